//! How reads are refused, for the OpenAPI document. Owns the words; what leads to each is [`crate::read::ReadError`]'s.

use docket_platform::ProblemDocument;
use utoipa::IntoResponses;

/// The refusals of every REST read.
#[derive(Debug, IntoResponses)]
#[allow(dead_code, reason = "it is the document's: problems are answered as they come")]
pub(crate) enum Refused {
    /// `invalid_argument`, `invalid_position`, `invalid_path`, `invalid_query` or `invalid_header`
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(ProblemDocument),
    /// No valid token
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(ProblemDocument),
    /// `forbidden`: the scopes of the API key do not allow it
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(ProblemDocument),
    /// `parked`: an event at or before the position could not be applied
    #[response(status = 409, content_type = "application/problem+json")]
    Parked(ProblemDocument),
    /// Too many requests: `rate_limited`, with `Retry-After`
    #[response(status = 429, content_type = "application/problem+json")]
    TooMany(ProblemDocument),
    /// `position_not_reached`, or the database is away
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemDocument),
}
