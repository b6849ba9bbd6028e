//! A forgotten password: `POST /api/v1/auth/forgot-password`, and `POST /api/v1/auth/reset-password` with what was mailed.
//!
//! The wish is an event; the mail that follows from it, and the token in that mail, are the mail reactor's. Known and unknown addresses
//! get the same answer for the same work.

use axum::{Json as Answer, http::StatusCode};
use docket_domain::identity::{NetworkAddress, change_password, request_password_reset};
use docket_events::identity::PasswordProof;
use docket_log::{CommandContext, IdempotencyKey, faults};
use docket_platform::{
    auth::mailed::{self, Purpose},
    db,
    http::Json,
    ids,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{attempts, error::RouteError, origin::Origin, password, registration, user};
use crate::{
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
    origin: Origin,
    Json { value: request, .. }: Json<ForgotRequest>,
) -> Result<(StatusCode, Answer<Forgotten>), RouteError> {
    let account = state.guarded_query(state.accounts.find(request.email.expose_secret())).await?;
    // Without an account a stream is asked that nobody has: the same way, to the same answer.
    let user = account.map_or_else(ids::new_id, |account| account.user_id);
    let context = origin.anonymous(Uuid::nil());
    let from = origin.address_of(user);
    user::command(&state, &context, user, |user, now| request_password_reset(user, from.clone(), now)).await?;
    let message = "If the address has an account, a mail with a link is on its way.";
    Ok((StatusCode::ACCEPTED, Answer(Forgotten { message })))
}

/// Set a new password with a mailed token
///
/// The token is used up, and every session of the user ends. A link that is cut, used or expired gets one and the same answer, and nothing changes.
#[utoipa::path(
    post, path = "/api/v1/auth/reset-password", operation_id = "reset_password", tag = "auth", request_body = ResetRequest,
    responses((status = OK, description = "The password is set", body = PasswordSet), ResetProblems),
    security(()),
)]
pub(super) async fn reset(
    axum::extract::State(state): axum::extract::State<State>,
    origin: Origin,
    Json { value: ResetRequest { token, password }, .. }: Json<ResetRequest>,
) -> Result<Answer<PasswordSet>, RouteError> {
    password::check_strength(&password).map_err(|unfit| RouteError::Unfit(unfit, "password"))?;
    let holder = async { mailed::holder(&mut *db::door(state.store.pool()).await?, RESET, &token).await };
    let user = state.guarded_query(holder).await?.ok_or(RouteError::InvalidToken)?;
    let hash = state.hasher.hash(password).await?;
    // The event first: should we die before the row is written, the link is still good, and the same event is found again.
    let once = IdempotencyKey::scoped(Uuid::nil(), user, "reset-password", token.expose_secret(), [0; 32]);
    let context = CommandContext { idempotency: Some(once), ..origin.anonymous(Uuid::nil()) };
    let change = Change { proof: PasswordProof::MailedLink, kept: None, from: origin.address_of(user) };
    if !journal(&state, &context, user, &change).await? {
        return Err(RouteError::InvalidToken);
    }
    // Whoever registered and never followed the first link has shown the same by this one.
    let made = registration::organise(&state, &origin, user).await?;
    faults::step("reset.before_write");
    if state.guarded_query(write(&state, user, &hash, made, &token)).await? {
        return Ok(Answer(PasswordSet::DONE));
    }
    Err(RouteError::InvalidToken)
}

const RESET: Purpose = Purpose::ResetPassword;

/// How a password changed.
#[derive(Debug)]
pub(super) struct Change {
    /// What allowed it.
    pub(super) proof: PasswordProof,
    /// The session that goes on.
    pub(super) kept: Option<Uuid>,
    /// Where the change came from, if no session tells.
    pub(super) from: NetworkAddress,
}

/// Notes the change. False: there is no such user.
pub(super) async fn journal(
    state: &State,
    context: &CommandContext,
    user: Uuid,
    Change { proof, kept, from }: &Change,
) -> Result<bool, RouteError> {
    Ok(user::command(state, context, user, |user, _| change_password(user, *proof, *kept, from.clone())).await?)
}

/// Uses the token up and puts the new hash in place, both or neither. False: somebody was faster.
async fn write(
    state: &State,
    user: Uuid,
    hash: &str,
    made: Option<Uuid>,
    token: &SecretString,
) -> Result<bool, sqlx::Error> {
    let mut transaction = db::door(state.store.pool()).await?;
    if !mailed::redeem(&mut transaction, RESET, token).await? {
        return Ok(false);
    }
    sqlx::query("update auth.account set password_hash = $2, updated_at = now() where user_id = $1")
        .bind(user)
        .bind(hash)
        .execute(&mut *transaction)
        .await?;
    registration::settle(&mut transaction, user, made).await?;
    attempts::forget(&mut transaction, user).await?;
    transaction.commit().await?;
    Ok(true)
}
