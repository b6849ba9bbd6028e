//! What a field may hold, whatever it is a field of: lines of text, words of an organisation's own, shares.

/// A field that does not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfit {
    /// The field, as the API names it.
    pub(crate) field: &'static str,
    /// What is wrong with it: the rest of a sentence that begins with the field's name.
    pub(crate) reason: String,
}

/// Refuses a field.
pub(crate) fn unfit<T>(field: &'static str, reason: impl Into<String>) -> Result<T, Unfit> {
    Err(Unfit { field, reason: reason.into() })
}

/// A text of one line, of 1 to `most` characters.
pub(crate) fn line(field: &'static str, text: &str, most: usize) -> Result<(), Unfit> {
    // Bytes first: what is far too long is not counted.
    if text.trim().is_empty() || text.len() > most * 4 || text.chars().count() > most {
        return unfit(field, format!("must have 1 to {most} characters, not all of them blank"));
    }
    if text.chars().any(char::is_control) {
        return unfit(field, "must not hold control characters or line breaks");
    }
    Ok(())
}

/// A text of any number of lines, of at most `most` characters; it may be empty.
pub(crate) fn lines(field: &'static str, text: &str, most: usize) -> Result<(), Unfit> {
    if text.len() > most * 4 || text.chars().count() > most {
        return unfit(field, format!("must have at most {most} characters"));
    }
    if text.chars().any(|character| character.is_control() && !matches!(character, '\n' | '\r' | '\t')) {
        return unfit(field, "must not hold control characters besides line breaks and tabs");
    }
    Ok(())
}

/// A word of the organisation's own, of at most `most` bytes: the vocabulary is free, the form is not.
pub(crate) fn word(field: &'static str, text: &str, most: usize) -> Result<(), Unfit> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-./".contains(&byte);
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'/');
    if begins && text.len() <= most && text.bytes().all(allowed) {
        return Ok(());
    }
    unfit(
        field,
        format!(
            "must have 1 to {most} lower-case letters, digits, underscores, hyphens, dots and slashes, and begin with a letter or a slash"
        ),
    )
}

/// A number from 0 to 1.
pub(crate) fn share(field: &'static str, number: f64) -> Result<(), Unfit> {
    // No number is in no range.
    if (0.0..=1.0).contains(&number) {
        return Ok(());
    }
    unfit(field, "must be a number from 0 to 1")
}
