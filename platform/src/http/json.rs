//! The strict JSON body.
//!
//! Owns how a request's body becomes a value: media type, encoding, depth, duplicate keys, then types, each refusal
//! naming the field. It must not be lenient anywhere: what it lets through is hashed, journalled and kept for ever.
//!
//! Types derive `Deserialize` with `deny_unknown_fields`; `flatten` and `untagged` lose the path of an error.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::{Deserializer, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::strict::{self, DEPTH_LIMIT, Flaw, Refused};
use crate::problem::{FieldError, Problem};

/// A request body: the value, and the SHA-256 of the bytes it was read from.
#[derive(Debug, Clone)]
pub struct Json<T> {
    /// The value.
    pub value: T,
    /// SHA-256 of the body as it was sent: a repeated command must repeat it.
    pub hash: [u8; 32],
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        media_type(request.headers())?;
        let bytes = Bytes::from_request(request, state).await.map_err(body)?;
        parse(&bytes)
    }
}

/// Reads a body of at most the size that the server lets through.
///
/// # Errors
/// A problem that names what is wrong.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<Json<T>, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        Problem::bad_request("invalid_utf8", format!("The body is not UTF-8 at byte {at}."))
            .with_error(FieldError::coded(strict::field_at(bytes, at), "invalid_utf8", "Not UTF-8."))
    })?;
    if let Some(at) = strict::too_deep_at(bytes) {
        let detail = format!("Arrays and objects may be nested {DEPTH_LIMIT} deep at most.");
        return Err(Problem::bad_request("json_too_deep", detail).with_error(FieldError::coded(
            strict::field_at(bytes, at),
            "json_too_deep",
            "Nested too deep.",
        )));
    }
    strict::check(text).map_err(|refused| match refused {
        Refused::Syntax(error) => Problem::bad_request("invalid_json", format!("The body is not valid JSON: {error}.")),
        Refused::Flawed(Flaw::DuplicateKey, path) => Problem::bad_request("duplicate_key", "A key is given twice.")
            .with_error(FieldError::coded(path, "duplicate_key", "Given more than once.")),
        Refused::Flawed(Flaw::NulCharacter, path) => Problem::validation(vec![FieldError::coded(
            path,
            "nul_character",
            "Must not contain the character U+0000.",
        )]),
    })?;
    let parser = &mut serde_json::Deserializer::from_str(text);
    Ok(Json { value: typed(parser)?, hash: Sha256::digest(bytes).into() })
}

/// Reads a part of a body that was read as any JSON.
///
/// # Errors
/// A problem that names what is wrong, by its path within the part.
pub fn read<T: DeserializeOwned>(part: serde_json::Value) -> Result<T, Problem> {
    typed(part)
}

fn typed<'de, T: DeserializeOwned>(parser: impl Deserializer<'de, Error = serde_json::Error>) -> Result<T, Problem> {
    serde_path_to_error::deserialize(parser)
        .map_err(|error| Problem::validation(vec![field_error(&error.path().to_string(), error.inner())]))
}

fn field_error(path: &str, error: &serde_json::Error) -> FieldError {
    let message = error.to_string();
    let root = matches!(path, "." | "?");
    let field = match strict::named_field(&message) {
        Some(name) if root => name.to_owned(),
        // The parser stands at the unknown key itself, or at the object that lacks one.
        Some(name) if path == name || path.ends_with(&format!(".{name}")) => path.to_owned(),
        Some(name) => format!("{path}.{name}"),
        None if root => "$".to_owned(),
        None => path.to_owned(),
    };
    let code = match message.split_once(' ').map(|(first, _)| first) {
        Some("missing") => "missing_field",
        Some("unknown") if message.starts_with("unknown field") => "unknown_field",
        Some("invalid") if message.starts_with("invalid type") => "invalid_type",
        _ => "invalid_value",
    };
    FieldError::coded(field, code, strict::plain(&message))
}

fn media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let refused = || Problem::unsupported_media_type("The body must be sent as application/json in UTF-8.");
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).ok_or_else(refused)?;
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    });
    if essence.eq_ignore_ascii_case("application/json") && utf8 { Ok(()) } else { Err(refused()) }
}

fn body(rejection: BytesRejection) -> Problem {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large").with_detail("The body is too large.")
        }
        _ => Problem::bad_request("incomplete_body", "The body ended early."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "snake_case")]
    enum Decision {
        Approve,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Item {
        #[serde(rename = "count")]
        _count: u32,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        title: String,
        #[serde(default, rename = "items")]
        _items: Vec<Item>,
        #[serde(default, rename = "decision")]
        _decision: Option<Decision>,
        #[serde(default, rename = "context")]
        _context: serde_json::Value,
    }

    fn refusal(text: &str) -> Problem {
        parse::<Body>(text.as_bytes()).expect_err(text)
    }

    #[track_caller]
    fn assert_field(text: &str, field: &str, code: &str) {
        let problem = refusal(text);
        assert_eq!(problem.status(), StatusCode::UNPROCESSABLE_ENTITY, "{problem:?}");
        let error = &problem.errors()[0];
        assert_eq!((error.field.as_str(), error.code.as_deref()), (field, Some(code)), "{error:?}");
        assert!(!error.detail.contains("struct") && !error.detail.contains(" at line "), "{error:?}");
    }

    #[test]
    fn a_good_body_gives_its_value_and_the_hash_of_its_bytes() {
        let json = parse::<Body>(br#"{"title":"t"}"#).expect("valid");
        assert_eq!(json.value.title, "t");
        assert_ne!(json.hash, parse::<Body>(br#"{"title": "t"}"#).expect("valid").hash);
    }

    #[test]
    fn wrong_fields_are_named_with_their_path() {
        assert_field(r#"{"title":5}"#, "title", "invalid_type");
        assert_field(r#"{"items":[]}"#, "title", "missing_field");
        assert_field(r#"{"title":"t","titel":"t"}"#, "titel", "unknown_field");
        assert_field(r#"{"title":"t","items":[{"count":1},{"count":-1}]}"#, "items[1].count", "invalid_value");
        assert_field(r#"{"title":"t","items":[{}]}"#, "items[0].count", "missing_field");
        assert_field(r#"{"title":"t","items":[{"count":1,"x":1}]}"#, "items[0].x", "unknown_field");
        assert_field(r#"{"title":"t","decision":"perhaps"}"#, "decision", "invalid_value");
        assert_field(r#"{"title":"a\u0000b"}"#, "title", "nul_character");
        assert_field("5", "$", "invalid_type");
        assert_field(r#"{"title":null}"#, "title", "invalid_type");
        assert_field(r#"{"title":"t","items":{}}"#, "items", "invalid_type");
    }

    #[test]
    fn what_cannot_be_read_is_a_400_with_a_code() {
        for (text, code) in [("{", "invalid_json"), ("", "invalid_json"), (r#"{"title":"t"} x"#, "invalid_json")] {
            assert_eq!((refusal(text).status(), refusal(text).code()), (StatusCode::BAD_REQUEST, code), "{text}");
        }
        assert_eq!(parse::<Body>(b"{\"title\":\"\xff\"}").expect_err("not UTF-8").code(), "invalid_utf8");
        assert_eq!(refusal(&"[".repeat(100_000)).code(), "json_too_deep");
    }

    #[test]
    fn a_part_is_read_as_a_body_is() {
        let problem = read::<Body>(serde_json::json!({"title": "t", "items": [{"count": -1}]})).expect_err("negative");
        assert_eq!(
            (problem.errors()[0].field.as_str(), problem.errors()[0].code.as_deref()),
            ("items[0].count", Some("invalid_value"))
        );
        let problem = read::<Body>(serde_json::json!({"items": []})).expect_err("no title");
        assert_eq!(
            (problem.errors()[0].field.as_str(), problem.errors()[0].code.as_deref()),
            ("title", Some("missing_field"))
        );
        assert_eq!(read::<Body>(serde_json::json!({"title": "t"})).expect("valid").title, "t");
    }

    #[test]
    fn duplicate_keys_are_refused_even_in_free_form_values() {
        let problem = refusal(r#"{"title":"t","context":{"a":1,"a":2}}"#);
        assert_eq!((problem.code(), problem.errors()[0].field.as_str()), ("duplicate_key", "context.a"));
    }

    #[test]
    fn only_json_in_utf8_is_taken() {
        let check = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().expect("a header value"));
            media_type(&headers).is_ok()
        };
        assert!(check("application/json") && check("Application/JSON; charset=\"UTF-8\""));
        for wrong in ["text/plain", "application/jsonp", "application/json; charset=latin1", "application/vnd.x+json"] {
            assert!(!check(wrong), "{wrong}");
        }
        assert!(media_type(&HeaderMap::new()).is_err());
    }
}
