//! A forgotten password: `POST /api/v1/auth/forgot-password`, and `POST /api/v1/auth/reset-password` with what was mailed.
//!
//! The wish is an event; the mail that follows from it, and the token in that mail, are the mail reactor's. Known and unknown addresses
//! get the same answer for the same work.

use axum::{
    Json as Answer,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use docket_domain::identity::{Refusal, User, change_password, request_password_reset};
use docket_events::{Category, StreamId, identity::PasswordProof};
use docket_log::{CommandContext, ExecuteError, IdempotencyKey, Outcome, faults};
use docket_platform::{
    Problem,
    auth::mailed::{self, Purpose},
    breaker::BreakerError,
    db,
    http::Json,
    ids,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    attempts,
    password::{self, PasswordError, UnfitPassword},
};
use crate::{
    error,
    openapi::{ForgotProblems, ResetProblems},
    state::State,
};

/// Whose password is forgotten.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ForgotPasswordRequest)]
pub(super) struct ForgotRequest {
    /// The e-mail address; case and surrounding blanks do not matter.
    #[schema(value_type = String, format = "email", example = "admin@docket.local")]
    email: SecretString,
}

/// What happens now, if the address is somebody's.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ForgotPasswordAnswer)]
pub(super) struct Forgotten {
    /// A sentence to show.
    #[schema(example = "If the address has an account, a mail with a link is on its way.")]
    message: &'static str,
}

/// A new password, and what allows it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ResetPasswordRequest)]
pub(super) struct ResetRequest {
    /// The token of the mailed link.
    #[schema(value_type = String)]
    token: SecretString,
    /// The new password.
    #[schema(value_type = String, format = "password")]
    password: SecretString,
}

/// The password is set.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PasswordSet)]
pub(super) struct PasswordSet {
    /// A sentence to show.
    #[schema(example = "The new password is set.")]
    message: &'static str,
}

impl PasswordSet {
    pub(super) const DONE: Self = Self { message: "The new password is set." };
}

/// Why a password is not set.
#[derive(Debug, thiserror::Error)]
pub(super) enum RouteError {
    #[error("the mailed link is not valid")]
    InvalidToken,
    #[error(transparent)]
    Unfit(#[from] UnfitPassword),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Database(#[from] BreakerError<sqlx::Error>),
    #[error(transparent)]
    Journal(#[from] BreakerError<ExecuteError>),
}

impl IntoResponse for RouteError {
    fn into_response(self) -> Response {
        match self {
            Self::InvalidToken => Problem::bad_request(
                "invalid_token",
                "This link was used, has expired, or is none of ours. Ask for a new one.",
            ),
            Self::Unfit(unfit) => unfit.problem("password"),
            Self::Password(error) => error.into(),
            Self::Database(error) => error::of_query(error),
            Self::Journal(error) => error::of_breaker(error),
        }
        .into_response()
    }
}

/// Ask for a mail to set a new password
///
/// The answer is the same whether the address has an account or not. A mail with a link goes to the address, at most one a minute.
#[utoipa::path(
    post, path = "/api/v1/auth/forgot-password", operation_id = "forgot_password", tag = "auth", request_body = ForgotRequest,
    responses((status = ACCEPTED, description = "A mail is on its way, if there is an account", body = Forgotten), ForgotProblems),
    security(()),
)]
pub(super) async fn forgot(
    axum::extract::State(state): axum::extract::State<State>,
    Json { value: request, .. }: Json<ForgotRequest>,
) -> Result<(StatusCode, Answer<Forgotten>), RouteError> {
    let account = state.guarded_query(state.accounts.find(request.email.expose_secret())).await?;
    // Without an account a stream is asked that nobody has: the same way, to the same answer.
    let user = account.map_or_else(ids::new_id, |account| account.user_id);
    let stream = StreamId::new(Category::Identity, user);
    let context = CommandContext::default();
    let wish = state.store.execute(&context, stream, |user: &User, now| request_password_reset(user, None, now));
    match state.guarded(wish).await? {
        Outcome::Accepted(_) | Outcome::Refused(_) => {}
    }
    let message = "If the address has an account, a mail with a link is on its way.";
    Ok((StatusCode::ACCEPTED, Answer(Forgotten { message })))
}

/// Set a new password with a mailed token
///
/// The token is used up. A link that is cut, used or expired gets one and the same answer, and nothing changes.
#[utoipa::path(
    post, path = "/api/v1/auth/reset-password", operation_id = "reset_password", tag = "auth", request_body = ResetRequest,
    responses((status = OK, description = "The password is set", body = PasswordSet), ResetProblems),
    security(()),
)]
pub(super) async fn reset(
    axum::extract::State(state): axum::extract::State<State>,
    Json { value: ResetRequest { token, password }, .. }: Json<ResetRequest>,
) -> Result<Answer<PasswordSet>, RouteError> {
    password::check_strength(&password)?;
    let holder = async { mailed::holder(&mut *db::door(state.store.pool()).await?, RESET, &token).await };
    let user = state.guarded_query(holder).await?.ok_or(RouteError::InvalidToken)?;
    let hash = state.hasher.hash(password).await?;
    // The event first: should we die before the row is written, the link is still good, and the same event is found again.
    if !journal(&state, user, PasswordProof::MailedLink, Some(&token)).await? {
        return Err(RouteError::InvalidToken);
    }
    faults::step("reset.before_write");
    if state.guarded_query(write(&state, user, &hash, &token)).await? {
        return Ok(Answer(PasswordSet::DONE));
    }
    Err(RouteError::InvalidToken)
}

const RESET: Purpose = Purpose::ResetPassword;

/// Notes the change; once only for one token. False: there is no such user.
pub(super) async fn journal(
    state: &State,
    user: Uuid,
    proof: PasswordProof,
    once_for: Option<&SecretString>,
) -> Result<bool, BreakerError<ExecuteError>> {
    let once = |token: &SecretString| {
        IdempotencyKey::scoped(Uuid::nil(), user, "reset-password", token.expose_secret(), [0; 32])
    };
    let context = CommandContext { idempotency: once_for.map(once), ..CommandContext::default() };
    let stream = StreamId::new(Category::Identity, user);
    let change = state.store.execute(&context, stream, |user: &User, _| change_password(user, proof, None));
    match state.guarded(change).await? {
        Outcome::Accepted(_) => Ok(true),
        Outcome::Refused(Refusal::NoSuchUser) => Ok(false),
        Outcome::Refused(refusal) => Err(BreakerError::Failed(ExecuteError::Internal(refusal.to_string()))),
    }
}

/// Uses the token up and puts the new hash in place, both or neither. False: somebody was faster.
async fn write(state: &State, user: Uuid, hash: &str, token: &SecretString) -> Result<bool, sqlx::Error> {
    let mut transaction = db::door(state.store.pool()).await?;
    if !mailed::redeem(&mut transaction, RESET, token).await? {
        return Ok(false);
    }
    sqlx::query("update auth.account set password_hash = $2, updated_at = now() where user_id = $1")
        .bind(user)
        .bind(hash)
        .execute(&mut *transaction)
        .await?;
    attempts::forget(&mut transaction, user).await?;
    transaction.commit().await?;
    Ok(true)
}
