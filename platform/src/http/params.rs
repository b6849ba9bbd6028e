//! Path and query parameters, refused as problems. Owns nothing but the wording.

use axum::extract::path::ErrorKind;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, rejection::FailedToDeserializePathParams};

use crate::problem::{FieldError, Problem};

/// Path parameters; one that cannot be read is a 400 that names it.
#[derive(Debug, Clone, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub struct Path<T>(pub T);

/// Query parameters; those that cannot be read are a 400.
#[derive(Debug, Clone, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub struct Query<T>(pub T);

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        match rejection {
            PathRejection::FailedToDeserializePathParams(failed) => path_parameter(failed),
            other => Self::internal(other),
        }
    }
}

fn path_parameter(failed: FailedToDeserializePathParams) -> Problem {
    let problem = Problem::bad_request("invalid_path", "The path names something that cannot exist.");
    match failed.into_kind() {
        ErrorKind::ParseErrorAtKey { key, expected_type, .. } => problem.with_error(FieldError::coded(
            key,
            "invalid_value",
            format!("Expected {}.", kind_name(expected_type)),
        )),
        ErrorKind::DeserializeError { key, message, .. } => {
            problem.with_error(FieldError::coded(key, "invalid_value", message))
        }
        ErrorKind::InvalidUtf8InPathParam { key } => {
            problem.with_error(FieldError::coded(key, "invalid_utf8", "Not UTF-8."))
        }
        _ => problem,
    }
}

/// `uuid::Uuid` is nobody's business but ours.
fn kind_name(expected: &str) -> &'static str {
    match expected {
        name if name.ends_with("Uuid") => "a UUID",
        "bool" => "true or false",
        "u8" | "u16" | "u32" | "u64" | "i8" | "i16" | "i32" | "i64" => "a whole number",
        _ => "another value",
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        tracing::debug!(%rejection, "query string refused");
        let QueryRejection::FailedToDeserializeQueryString(failed) = rejection else {
            return Self::bad_request("invalid_query", "The query string cannot be read.");
        };
        // "Failed to deserialize query string: first: invalid digit found in string" names the parameter in the middle.
        let text = failed.body_text();
        let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
        let problem = Self::bad_request("invalid_query", "The query string cannot be read.");
        match super::strict::named_field(text) {
            Some(name) => problem.with_error(FieldError::coded(name, "invalid_value", super::strict::plain(text))),
            None => match text.split_once(": ") {
                Some((name, detail)) => problem.with_error(FieldError::coded(name, "invalid_value", detail)),
                None => problem,
            },
        }
    }
}
