//! `POST /api/v1/auth/verify`: the mailed link was followed, so the address is whose it was said to be.

use axum::{
    Json as Answer,
    response::{IntoResponse, Response},
};
use docket_domain::identity::{Refusal, User, verify_address};
use docket_events::{Category, StreamId};
use docket_log::{CommandContext, ExecuteError, Outcome, faults};
use docket_platform::{
    Problem,
    auth::mailed::{self, Purpose},
    breaker::BreakerError,
    db,
    http::Json,
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::registration;
use crate::{error, openapi::VerifyProblems, state::State};

/// What was mailed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VerifyRequest)]
pub(super) struct Request {
    /// The token of the mailed link.
    #[schema(value_type = String)]
    token: SecretString,
}

/// The address is verified.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VerifyAnswer)]
pub(super) struct Verified {
    /// A sentence to show.
    #[schema(example = "Your address is confirmed. You can log in now.")]
    message: &'static str,
}

/// Why the address is not verified.
#[derive(Debug, thiserror::Error)]
pub(super) enum RouteError {
    #[error("the mailed link is not valid")]
    InvalidToken,
    #[error(transparent)]
    Journal(#[from] BreakerError<ExecuteError>),
}

impl IntoResponse for RouteError {
    fn into_response(self) -> Response {
        let problem: Problem = match self {
            Self::InvalidToken => error::invalid_token(),
            Self::Journal(error) => error::of_breaker(error),
        };
        problem.into_response()
    }
}

const VERIFY: Purpose = Purpose::VerifyAddress;

/// Confirm an address with a mailed token
///
/// Makes the organisation that was registered with, with the user as its administrator, who can log in from now on. The token is used
/// up. A link that is cut, used or expired gets one and the same answer, and nothing changes.
#[utoipa::path(
    post, path = "/api/v1/auth/verify", operation_id = "verify", tag = "auth", request_body = Request,
    responses((status = OK, description = "The address is confirmed", body = Verified), VerifyProblems),
    security(()),
)]
pub(super) async fn handler(
    axum::extract::State(state): axum::extract::State<State>,
    Json { value: Request { token }, .. }: Json<Request>,
) -> Result<Answer<Verified>, RouteError> {
    let holder = async { Ok(mailed::holder(&mut *db::door(state.store.pool()).await?, VERIFY, &token).await?) };
    let user = state.guarded(holder).await?.ok_or(RouteError::InvalidToken)?;
    // Events first, each found again by whoever comes back after a kill; what lets somebody log in, and ends the token, last.
    if !journal(&state, user).await? {
        return Err(RouteError::InvalidToken);
    }
    let made = registration::organise(&state, user).await?;
    faults::step("verify.before_write");
    if !state.guarded(write(&state, user, made, &token)).await? {
        return Err(RouteError::InvalidToken);
    }
    Ok(Answer(Verified { message: "Your address is confirmed. You can log in now." }))
}

/// Notes that the address is the user's. False: there is no such user.
async fn journal(state: &State, user: Uuid) -> Result<bool, BreakerError<ExecuteError>> {
    let stream = StreamId::new(Category::Identity, user);
    let context = CommandContext::default();
    let verify = state.store.execute(&context, stream, |folded: &User, _| verify_address(folded));
    match state.guarded(verify).await? {
        Outcome::Accepted(_) => Ok(true),
        Outcome::Refused(Refusal::NoSuchUser) => Ok(false),
        Outcome::Refused(refusal) => Err(BreakerError::Failed(ExecuteError::Internal(refusal.to_string()))),
    }
}

/// Uses the token up and lets the user log in, both or neither. False: somebody was faster.
async fn write(state: &State, user: Uuid, made: Option<Uuid>, token: &SecretString) -> Result<bool, ExecuteError> {
    let mut door = db::door(state.store.pool()).await?;
    if !mailed::redeem(&mut door, VERIFY, token).await? {
        return Ok(false);
    }
    registration::settle(&mut door, user, made).await?;
    door.commit().await?;
    Ok(true)
}
