//! Request headers that commands and reads understand, as extractors; a malformed one is a 400 that names it.
//!
//! Owns their syntax. What they mean for a command is the command API's concern.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::problem::{FieldError, Problem};

/// `Idempotency-Key`.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// `Docket-Position`.
pub const POSITION: HeaderName = HeaderName::from_static("docket-position");
/// `Docket-Age`.
pub const AGE: HeaderName = HeaderName::from_static("docket-age");

const KEY_LIMIT: usize = 255;
const POSITION_LIMIT: usize = 4096;

/// The key under which a repeated command gets its first answer. Quoted or bare, the key is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(pub Option<String>);

/// The version a command insists on. None without the header, and for `*`, which any version satisfies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IfMatch(pub Option<u64>);

/// The position a read insists on, still opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionHeader(pub Option<String>);

/// The entity tag of a version.
pub fn etag(version: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("digits and quotes are valid in a header")
}

fn invalid(name: &HeaderName, detail: &str) -> Problem {
    let field = match name.as_str() {
        "idempotency-key" => "Idempotency-Key",
        "docket-position" => "Docket-Position",
        "if-match" => "If-Match",
        other => other,
    };
    Problem::bad_request("invalid_header", format!("The header {field} is not valid.")).with_error(FieldError::coded(
        field,
        "invalid_value",
        detail,
    ))
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(invalid(name, "May be given once only."));
    }
    value.to_str().map(|value| Some(value.trim())).map_err(|_| invalid(name, "Must be visible ASCII."))
}

fn visible(value: &str, limit: usize) -> bool {
    (1..=limit).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Takes a structured-field string out of its quotes: `"a\"b"` is `a"b`.
fn unquote(value: &str) -> Option<String> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    let mut plain = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return None,
            '\\' => plain.push(characters.next().filter(|escaped| matches!(escaped, '"' | '\\'))?),
            other => plain.push(other),
        }
    }
    Some(plain)
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Some(value) = single(&parts.headers, &IDEMPOTENCY_KEY)? else { return Ok(Self(None)) };
        let key = if value.starts_with('"') { unquote(value) } else { Some(value.to_owned()) };
        match key.filter(|key| visible(key, KEY_LIMIT)) {
            Some(key) => Ok(Self(Some(key))),
            None => Err(invalid(&IDEMPOTENCY_KEY, "Must be 1 to 255 visible ASCII characters.")),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Some(value) = single(&parts.headers, &header::IF_MATCH)? else { return Ok(Self(None)) };
        if value == "*" {
            return Ok(Self(None));
        }
        let digits = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let version = digits
            .filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok());
        match version {
            Some(version) => Ok(Self(Some(version))),
            None => {
                Err(invalid(&header::IF_MATCH, "Must be one strong entity tag as answered in ETag, such as \"7\"."))
            }
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PositionHeader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        match single(&parts.headers, &POSITION)? {
            None => Ok(Self(None)),
            Some(value) if visible(value, POSITION_LIMIT) => Ok(Self(Some(value.to_owned()))),
            Some(_) => Err(invalid(&POSITION, "Must be a position as answered in Docket-Position.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    async fn read<T: FromRequestParts<(), Rejection = Problem>>(name: &str, value: &str) -> Result<T, Problem> {
        let request = Request::get("/").header(name, value).body(()).expect("a request");
        T::from_request_parts(&mut request.into_parts().0, &()).await
    }

    async fn key(value: &str) -> Option<String> {
        read::<IdempotencyKey>("idempotency-key", value).await.ok().and_then(|key| key.0)
    }

    #[tokio::test]
    async fn an_idempotency_key_is_the_same_bare_or_quoted() {
        assert_eq!(key("abc-1").await.as_deref(), Some("abc-1"));
        assert_eq!(key("\"abc-1\"").await.as_deref(), Some("abc-1"));
        assert_eq!(key(r#""a\"b""#).await.as_deref(), Some("a\"b"));
        assert_eq!(key(&"k".repeat(255)).await.map(|key| key.len()), Some(255));
    }

    #[tokio::test]
    async fn a_malformed_idempotency_key_is_named() {
        for value in ["", "a b", "\"", "\"\"", "\"a", r#""a\x""#, r#""a"b""#, &"k".repeat(256)] {
            let problem = read::<IdempotencyKey>("idempotency-key", value).await;
            assert_eq!(problem.expect_err(value).errors()[0].field, "Idempotency-Key");
        }
    }

    #[tokio::test]
    async fn if_match_takes_one_strong_tag() {
        assert_eq!(read("if-match", "\"7\"").await, Ok(IfMatch(Some(7))));
        assert_eq!(read("if-match", "*").await, Ok(IfMatch(None)));
        for value in ["7", "W/\"7\"", "\"\"", "\"+7\"", "\"7\", \"8\"", "\"99999999999999999999\""] {
            let problem = read::<IfMatch>("if-match", value).await.expect_err(value);
            assert_eq!(problem.errors()[0].field, "If-Match");
        }
    }

    #[tokio::test]
    async fn a_header_given_twice_is_refused() {
        let request = Request::get("/").header("if-match", "\"1\"").header("if-match", "\"2\"").body(());
        let mut parts = request.expect("a request").into_parts().0;
        assert!(IfMatch::from_request_parts(&mut parts, &()).await.is_err());
    }

    #[tokio::test]
    async fn absent_headers_are_none() {
        let mut parts = Request::get("/").body(()).expect("a request").into_parts().0;
        assert_eq!(IdempotencyKey::from_request_parts(&mut parts, &()).await, Ok(IdempotencyKey(None)));
        assert_eq!(IfMatch::from_request_parts(&mut parts, &()).await, Ok(IfMatch(None)));
        assert_eq!(PositionHeader::from_request_parts(&mut parts, &()).await, Ok(PositionHeader(None)));
    }

    #[test]
    fn a_version_is_a_strong_tag() {
        assert_eq!(etag(7), "\"7\"");
    }
}
