//! The second factor: codes of an app (TOTP, RFC 6238), and recovery codes for who has lost it.
//!
//! Owns what a code may be and that each is taken once. Whether a login takes a second factor stands in the user's stream; the secret is a
//! row. It must not know passwords.

mod routes;
mod rows;

use chrono::{DateTime, Utc};
use docket_domain::identity::{set_second_factor, use_recovery_code};
use docket_platform::{clock, ids};
use secrecy::{ExposeSecret, SecretString};
use totp_rs::{Builder, Totp};
use uuid::Uuid;

use super::{error::RouteError, origin::Origin, user};
use crate::state::State;

pub(super) use routes::router;

/// What the app shows beside the code.
const ISSUER: &str = "Docket";
/// 160 bits, as RFC 4226 recommends.
const SECRET_BYTES: usize = 20;
/// How many recovery codes there are.
const RECOVERY_CODES: usize = 10;
/// The alphabet of recovery codes (Crockford's base 32): nothing in it looks like something else.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 80 random bits.
const RECOVERY_CHARS: usize = 16;

/// Six digits, SHA-1, 30 seconds, and the code before and after counts too: what apps take for granted.
fn totp(secret: &[u8], account: &str) -> Result<Totp, RouteError> {
    let builder = Builder::new().with_secret(secret.to_vec()).with_issuer(Some(ISSUER));
    // A colon would end the issuer.
    let built = builder.with_account_name(account.replace(':', "_")).build();
    built.map_err(|error| RouteError::Refused(docket_platform::Problem::internal(error)))
}

/// The time step whose code this is, if it is one of those that count at `now`.
fn step_of(secret: &[u8], code: &str, now: DateTime<Utc>) -> Result<Option<i64>, RouteError> {
    let now = u64::try_from(now.timestamp()).unwrap_or(0);
    Ok(totp(secret, ISSUER)?.check(code, now).and_then(|step| i64::try_from(step).ok()))
}

/// A code as people type it: blanks and hyphens do not matter, nor does case.
fn normalise(code: &SecretString) -> SecretString {
    let kept = code.expose_secret().chars().filter(|c| !c.is_whitespace() && *c != '-');
    kept.flat_map(char::to_lowercase).collect::<String>().into()
}

/// A recovery code, in groups of four.
fn generate_recovery_code() -> SecretString {
    let bytes = ids::random_bytes::<RECOVERY_CHARS>();
    let letters: Vec<char> = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
    letters.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-").into()
}

/// Takes a code at a login, and uses it up.
///
/// # Errors
/// [`RouteError::SecondFactorNeeded`] without one, [`RouteError::WrongCode`] with another, or one that was used.
pub(super) async fn check(
    state: &State,
    origin: &Origin,
    user: Uuid,
    code: Option<&SecretString>,
) -> Result<(), RouteError> {
    let code = normalise(code.ok_or(RouteError::SecondFactorNeeded)?);
    let pool = state.store.pool();
    if code.expose_secret().len() == RECOVERY_CHARS {
        let left = state.guarded_query(rows::use_recovery_code(pool, user, &code)).await?;
        let left = left.ok_or(RouteError::WrongCode)?;
        let context = origin.by(Uuid::nil(), user, None);
        let from = origin.address_of(user);
        user::command(state, &context, user, |user, _| use_recovery_code(user, left, from.clone())).await?;
        return Ok(());
    }
    let secret = state.guarded_query(rows::secret(pool, user)).await?.ok_or(RouteError::WrongCode)?;
    let step = step_of(&secret.bytes, code.expose_secret(), clock::now())?.ok_or(RouteError::WrongCode)?;
    if state.guarded_query(rows::take_step(pool, user, step)).await? { Ok(()) } else { Err(RouteError::WrongCode) }
}

/// Notes that a login takes a second factor from now on, or no more.
async fn journal(
    state: &State,
    origin: &Origin,
    principal: &docket_platform::auth::Principal,
    wanted: bool,
) -> Result<(), RouteError> {
    let context = origin.of_oneself(principal);
    user::command(state, &context, principal.id, |user, _| set_second_factor(user, wanted)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    /// RFC 6238, appendix B, the last six of its eight digits.
    #[test]
    fn codes_are_those_of_the_rfc() {
        let secret = b"12345678901234567890";
        for (seconds, code) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            let now = Utc.timestamp_opt(seconds, 0).unwrap();
            assert_eq!(step_of(secret, code, now).unwrap(), Some(seconds / 30));
            let later = |steps: i64| now + chrono::TimeDelta::seconds(30 * steps);
            assert_eq!(step_of(secret, code, later(1)).unwrap(), Some(seconds / 30), "the step before counts too");
            assert_eq!(step_of(secret, code, later(2)).unwrap(), None);
        }
    }

    #[test]
    fn what_is_no_code_is_refused() {
        for code in ["", "1", "1234567", "abcdef", "١٢٣٤٥٦"] {
            assert_eq!(
                step_of(b"12345678901234567890", code, Utc.timestamp_opt(59, 0).unwrap()).unwrap(),
                None,
                "{code}"
            );
        }
    }

    #[test]
    fn a_recovery_code_is_read_however_it_is_typed() {
        let code = generate_recovery_code();
        let typed: SecretString = format!(" {} ", code.expose_secret().to_uppercase().replace('-', " ")).into();
        assert_eq!(normalise(&typed).expose_secret(), &code.expose_secret().replace('-', ""));
        assert_eq!(normalise(&typed).expose_secret().len(), RECOVERY_CHARS);
    }
}
