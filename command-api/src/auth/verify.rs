//! `POST /api/v1/auth/verify`: the mailed link was followed, so the address is whose it was said to be.

use axum::Json as Answer;
use docket_domain::identity::verify_address;
use docket_log::{ExecuteError, faults};
use docket_platform::{
    auth::mailed::{self, Purpose},
    db,
    http::Json,
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{error::RouteError, origin::Origin, registration, user};
use crate::{openapi::VerifyProblems, state::State};

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
    origin: Origin,
    Json { value: Request { token }, .. }: Json<Request>,
) -> Result<Answer<Verified>, RouteError> {
    let holder = async { Ok(mailed::holder(&mut *db::door(state.store.pool()).await?, VERIFY, &token).await?) };
    let user = state.guarded(holder).await?.ok_or(RouteError::InvalidToken)?;
    // Events first, each found again by whoever comes back after a kill; what lets somebody log in, and ends the token, last.
    let from = origin.address_of(user);
    let context = origin.anonymous(Uuid::nil());
    if !user::command(&state, &context, user, |user, _| verify_address(user, from.clone())).await? {
        return Err(RouteError::InvalidToken);
    }
    let made = registration::organise(&state, &origin, user).await?;
    faults::step("verify.before_write");
    if !state.guarded(write(&state, user, made, &token)).await? {
        return Err(RouteError::InvalidToken);
    }
    Ok(Answer(Verified { message: "Your address is confirmed. You can log in now." }))
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
