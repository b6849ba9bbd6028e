//! Errors as GraphQL clients see them: a message, and a stable `extensions.code`.
//!
//! Owns the codes and the HTTP status of an answer. It must never carry an internal cause: those are logged where they arise.

use async_graphql::{Error, ErrorExtensionValues, Pos, Response, ServerError, Value};
use axum::http::StatusCode;
use docket_platform::Problem;

use crate::read::ReadError;

/// The request cannot be understood.
pub const BAD_REQUEST: &str = "BAD_REQUEST";
/// An argument has a value that cannot be used.
pub const INVALID_ARGUMENT: &str = "INVALID_ARGUMENT";
/// Who asks is not known, or not any more.
pub const UNAUTHENTICATED: &str = "UNAUTHENTICATED";
/// Known, but not allowed here.
pub const FORBIDDEN: &str = "FORBIDDEN";
/// The request costs more than one request may.
pub const TOO_COMPLEX: &str = "TOO_COMPLEX";
/// The request took longer than one request may.
pub const TIMEOUT: &str = "TIMEOUT";
/// The service cannot answer now.
pub const UNAVAILABLE: &str = "UNAVAILABLE";
/// Something went wrong on our side.
pub const INTERNAL: &str = "INTERNAL";

/// An error with a code, before anything was executed.
pub fn refusal(code: &'static str, message: impl Into<String>, at: Option<Pos>) -> ServerError {
    let mut error = ServerError::new(message, at);
    error.extensions = Some(coded(code));
    error
}

fn coded(code: &str) -> ErrorExtensionValues {
    let mut extensions = ErrorExtensionValues::default();
    extensions.set("code", code);
    extensions
}

/// A resolver's error from a problem.
pub fn from_problem(problem: &Problem) -> Error {
    let code = match problem.code() {
        "database_unavailable" | "overloaded" | "dependency_unavailable" | "feed_unavailable" => UNAVAILABLE.to_owned(),
        "unauthorized" | "token_expired" | "token_revoked" | "key_expired" => UNAUTHENTICATED.to_owned(),
        other => other.to_ascii_uppercase(),
    };
    let mut extensions = coded(&code);
    if let Some(seconds) = problem.retry_after() {
        extensions.set("retryAfter", seconds);
    }
    if let Some(field) = problem.errors().first() {
        extensions.set("argument", field.field.as_str());
    }
    let mut error = Error::new(problem.detail().unwrap_or("The request failed."));
    error.extensions = Some(extensions);
    error
}

/// A resolver's error from a failed read.
pub fn from_read(error: ReadError) -> Error {
    from_problem(&Problem::from(error))
}

/// The code of an error.
pub fn code(error: &ServerError) -> Option<&str> {
    match error.extensions.as_ref()?.get("code")? {
        Value::String(code) => Some(code),
        _ => None,
    }
}

/// Gives a code to the errors that the GraphQL engine raised itself: they are all about the request.
pub fn complete(mut response: Response) -> Response {
    for error in &mut response.errors {
        if code(error).is_none() {
            let code = if error.path.is_empty() { BAD_REQUEST } else { INVALID_ARGUMENT };
            error.extensions.get_or_insert_default().set("code", code);
        }
    }
    response
}

/// Whether nothing was executed.
pub fn is_request_error(response: &Response) -> bool {
    !response.errors.is_empty()
        && response.data == Value::Null
        && response.errors.iter().all(|error| error.path.is_empty())
}

/// The HTTP status of an answer: what could be answered in part is 200, as GraphQL wants it.
pub fn status(response: &Response) -> StatusCode {
    let answered = match &response.data {
        Value::Null => false,
        Value::Object(fields) => fields.values().any(|value| *value != Value::Null),
        _ => true,
    };
    let Some(error) = response.errors.first().filter(|_| !answered) else { return StatusCode::OK };
    match code(error).unwrap_or(INTERNAL) {
        UNAVAILABLE | TIMEOUT | "POSITION_NOT_REACHED" => StatusCode::SERVICE_UNAVAILABLE,
        INTERNAL => StatusCode::INTERNAL_SERVER_ERROR,
        UNAUTHENTICATED => StatusCode::UNAUTHORIZED,
        FORBIDDEN => StatusCode::FORBIDDEN,
        "PARKED" => StatusCode::CONFLICT,
        _ => StatusCode::BAD_REQUEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_in_part_is_200_and_none_at_all_is_what_went_wrong() {
        let failed = || vec![refusal(UNAVAILABLE, "away", None)];
        let mut response = Response::from_errors(failed());
        assert_eq!(status(&response), StatusCode::SERVICE_UNAVAILABLE);
        response.data = async_graphql::value!({"a": null});
        assert_eq!(status(&response), StatusCode::SERVICE_UNAVAILABLE);
        response.data = async_graphql::value!({"a": null, "b": 1});
        assert_eq!(status(&response), StatusCode::OK);
        assert_eq!(status(&Response::new(Value::Null)), StatusCode::OK);
    }

    #[test]
    fn an_internal_problem_tells_no_cause() {
        let error = from_problem(&Problem::internal("secret detail")).into_server_error(Pos::default());
        assert_eq!(code(&error), Some(INTERNAL));
        assert!(!serde_json::to_string(&error).unwrap().contains("secret"));
    }
}
