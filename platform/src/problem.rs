//! Errors as clients see them: RFC 9457 problem details.
//!
//! Owns the shape of every HTTP error, its stable `code`, and the headers that belong to it. It must never carry an
//! internal cause: causes are logged beside the request id, the client gets the request id.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::breaker::BreakerError;
use crate::db;
use crate::http::context;

/// The media type of every error answer.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// One field of the request that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// Where in the request: a JSON path such as `context.items[3]`, a header or a parameter name.
    pub field: String,
    /// What kind of mistake it is, stable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What is wrong, for a person to read.
    pub detail: String,
}

impl FieldError {
    /// A mistake in `field`, without a code of its own.
    pub fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), code: None, detail: detail.into() }
    }

    /// The same with a stable code.
    pub fn coded(field: impl Into<String>, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), code: Some(code.into()), detail: detail.into() }
    }
}

/// A problem document as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// A reference that names the kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "/problems/validation_failed")]
    pub type_: String,
    /// The kind of problem in a few words.
    #[schema(example = "Validation failed")]
    pub title: String,
    /// The HTTP status.
    #[schema(example = 422)]
    pub status: u16,
    /// What happened this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The kind of problem for programs: stable, snake_case.
    #[schema(example = "validation_failed")]
    pub code: String,
    /// The request this answers; name it when asking for help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The fields that are wrong, if that is the matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Seconds after which trying again makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// What else this kind of problem tells, such as the actual version.
    #[serde(flatten)]
    pub members: BTreeMap<String, Value>,
}

/// A refusal on its way to a client. Turn it into a response, or read its parts for another protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: Option<Cow<'static, str>>,
    errors: Vec<FieldError>,
    retry_after: Option<u32>,
    challenge: Option<&'static str>,
    members: BTreeMap<String, Value>,
}

impl Problem {
    /// Any problem: prefer the named constructors.
    pub fn new(status: StatusCode, code: &'static str) -> Self {
        Self {
            status,
            code,
            detail: None,
            errors: Vec::new(),
            retry_after: None,
            challenge: None,
            members: BTreeMap::new(),
        }
    }

    /// 400: the request cannot be understood.
    pub fn bad_request(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code).with_detail(detail)
    }

    /// 422 `validation_failed`: understood, but these fields are wrong.
    pub fn validation(errors: Vec<FieldError>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "validation_failed")
            .with_detail("Some fields of the request are not valid.")
            .with_errors(errors)
    }

    /// 422 for another reason than a field.
    pub fn unprocessable(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code).with_detail(detail)
    }

    /// 401 with the `Bearer` challenge. `code` is `unauthorized` or `token_expired`, or says more.
    pub fn unauthorized(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        let mut problem = Self::new(StatusCode::UNAUTHORIZED, code).with_detail(detail);
        problem.challenge = Some(if code == "token_expired" { r#"Bearer error="invalid_token""# } else { "Bearer" });
        problem
    }

    /// 403: known, but not allowed.
    pub fn forbidden(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code).with_detail(detail)
    }

    /// 404 `not_found`: not there, or not this tenant's. Both must read the same.
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found").with_detail(detail)
    }

    /// 409: the state of things does not allow it.
    pub fn conflict(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, code).with_detail(detail)
    }

    /// 412 `precondition_failed`: `If-Match` names another version.
    pub fn precondition_failed(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "precondition_failed").with_detail(detail)
    }

    /// 413 `too_large`.
    pub fn too_large(limit_bytes: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large")
            .with_detail(format!("The body may have at most {limit_bytes} bytes."))
    }

    /// 415 `unsupported_media_type`.
    pub fn unsupported_media_type(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type").with_detail(detail)
    }

    /// 429 with `Retry-After`. `code` says of what there was too much, such as `rate_limited`.
    pub fn too_many(code: &'static str, retry_after: Duration) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, code).with_retry_after(retry_after)
    }

    /// 503 with `Retry-After`. `code` says what is missing, such as `database_unavailable`.
    pub fn unavailable(code: &'static str, retry_after: Duration) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code)
            .with_detail("The service cannot do this at the moment; try again.")
            .with_retry_after(retry_after)
    }

    /// 500 `internal`: logs the cause with the request id; the client learns the request id only.
    pub fn internal(cause: impl Display) -> Self {
        let request_id = context::current().map(|context| context.request_id);
        tracing::error!(request_id = request_id.as_deref(), cause = format!("{cause:#}"), "internal error");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal")
            .with_detail("Something went wrong on our side; name the request id when asking for help.")
    }

    /// What happened this time.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The fields that are wrong.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// One field that is wrong.
    #[must_use]
    pub fn with_error(mut self, error: FieldError) -> Self {
        self.errors.push(error);
        self
    }

    /// When to try again, rounded up to whole seconds, at least one.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        let seconds = after.as_millis().div_ceil(1_000).max(1);
        self.retry_after = Some(u32::try_from(seconds).unwrap_or(u32::MAX));
        self
    }

    /// A member of its own (RFC 9457, extension members).
    #[must_use]
    pub fn with_member(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.members.insert(name.into(), value.into());
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What happened this time.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// The fields that are wrong.
    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    /// Seconds after which trying again makes sense.
    pub fn retry_after(&self) -> Option<u32> {
        self.retry_after
    }

    /// The document as it goes over the wire, with the id of the request under way.
    pub fn document(&self) -> ProblemDocument {
        ProblemDocument {
            type_: format!("/problems/{}", self.code),
            title: title(self.code),
            status: self.status.as_u16(),
            detail: self.detail.as_deref().map(str::to_owned),
            code: self.code.to_owned(),
            request_id: context::current().map(|context| context.request_id),
            errors: self.errors.clone(),
            retry_after: self.retry_after,
            members: self.members.clone(),
        }
    }
}

/// `version_conflict` reads "Version conflict".
fn title(code: &str) -> String {
    let mut title = code.replace('_', " ");
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    title
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.document()).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

/// Unreachable and overloaded are 503, a query that cannot work is 500.
impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&sqlx::Error> for Problem {
    fn from(error: &sqlx::Error) -> Self {
        let retry_after = Duration::from_secs(1);
        if db::is_connection_failure(error) {
            tracing::warn!(%error, "the database cannot be reached");
            Self::unavailable("database_unavailable", retry_after)
        } else if db::is_overload(error) {
            tracing::warn!(%error, "the database is overloaded");
            Self::unavailable("overloaded", retry_after)
        } else {
            Self::internal(error)
        }
    }
}

impl<E: Into<Problem>> From<BreakerError<E>> for Problem {
    fn from(error: BreakerError<E>) -> Self {
        match error {
            BreakerError::Open { retry_after } => Self::unavailable("dependency_unavailable", retry_after),
            BreakerError::Failed(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_its_media_type_and_is_never_cached() {
        let response = Problem::conflict("already_decided", "It was decided.").into_response();
        assert_eq!(response.status(), StatusCode::CONFLICT);
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    }

    #[test]
    fn unavailable_says_when_to_come_back_in_whole_seconds() {
        let response = Problem::unavailable("database_unavailable", Duration::from_millis(1_200)).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        let response = Problem::unavailable("database_unavailable", Duration::ZERO).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }

    #[test]
    fn unauthorized_challenges() {
        let response = Problem::unauthorized("unauthorized", "Log in.").into_response();
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
    }

    #[test]
    fn an_internal_problem_tells_no_cause() {
        let document = Problem::internal("password=hunter2 at 10.0.0.7").document();
        assert!(!serde_json::to_string(&document).expect("a document serialises").contains("hunter2"));
    }

    #[test]
    fn the_document_names_type_title_and_code() {
        let document = Problem::precondition_failed("Version 3 is current.").document();
        assert_eq!(document.type_, "/problems/precondition_failed");
        assert_eq!(document.title, "Precondition failed");
        assert_eq!(document.status, 412);
    }

    #[test]
    fn an_exhausted_pool_is_overload_and_a_refused_connection_an_outage() {
        assert_eq!(Problem::from(sqlx::Error::PoolTimedOut).code(), "overloaded");
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(Problem::from(sqlx::Error::Io(refused)).code(), "database_unavailable");
    }

    #[test]
    fn an_open_breaker_is_a_503_with_retry_after() {
        let open: BreakerError<sqlx::Error> = BreakerError::Open { retry_after: Duration::from_secs(3) };
        let problem = Problem::from(open);
        assert_eq!((problem.status(), problem.retry_after()), (StatusCode::SERVICE_UNAVAILABLE, Some(3)));
    }
}
