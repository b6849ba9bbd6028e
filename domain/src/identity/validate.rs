//! What an e-mail address and a name may be.

use super::Refusal;

const MAX_EMAIL_CHARS: usize = 254;
const MAX_LOCAL_BYTES: usize = 64;
const MAX_NAME_CHARS: usize = 200;

/// The form of an address under which it is unique: without surrounding blanks, in lower case.
#[must_use]
pub fn normalise_email(email: &str) -> String {
    email.trim().to_lowercase()
}

/// The address without surrounding blanks, when it can be one. Whether mail arrives there is for mail to say.
///
/// # Errors
/// [`Refusal::Invalid`] on `email`.
pub fn check_email(email: &str) -> Result<String, Refusal> {
    let invalid = |reason: &str| Err(Refusal::Invalid { field: "email", reason: reason.to_owned() });
    let email = email.trim();
    if email.chars().count() > MAX_EMAIL_CHARS {
        return invalid("must not be longer than 254 characters");
    }
    if email.chars().any(|c| c.is_whitespace() || c.is_control() || is_deceptive(c)) {
        return invalid("must not hold blanks, control or invisible characters");
    }
    match email.split_once('@') {
        Some((local, domain)) if is_local(local) && is_domain(domain) => Ok(email.to_owned()),
        _ => invalid("must be an e-mail address such as ada@example.org"),
    }
}

fn is_local(local: &str) -> bool {
    (1..=MAX_LOCAL_BYTES).contains(&local.len())
}

fn is_domain(domain: &str) -> bool {
    !domain.contains('@') && domain.split('.').all(|label| !label.is_empty())
}

/// The name without surrounding blanks, when it can be shown as one line that looks like what it is.
///
/// # Errors
/// [`Refusal::Invalid`] on `name`.
pub fn check_name(name: &str) -> Result<String, Refusal> {
    let invalid = |reason: String| Err(Refusal::Invalid { field: "name", reason });
    let name = name.trim();
    if !(1..=MAX_NAME_CHARS).contains(&name.chars().count()) {
        return invalid(format!("must have 1 to {MAX_NAME_CHARS} characters"));
    }
    if name.chars().any(|c| c.is_control() || is_deceptive(c)) {
        return invalid("must not hold control, direction-changing or invisible characters".to_owned());
    }
    Ok(name.to_owned())
}

/// Characters that make one text look like another: zero width, line and paragraph separators, changes of direction.
const fn is_deceptive(c: char) -> bool {
    matches!(
        c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FEFF}'
    )
}
