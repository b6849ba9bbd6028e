//! `POST /api/v1/auth/change-password`: a new password for somebody who knows the old one.

use axum::Json as Answer;
use docket_events::identity::PasswordProof;
use docket_platform::{
    auth::{
        Principal,
        permissions::{self, Action},
    },
    http::{ClientAddress, Json},
};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    accounts::Account,
    attempts,
    error::RouteError,
    origin::Origin,
    password::{self, Verdict},
    reset_password::{Change, PasswordSet, journal},
};
use crate::{openapi::ChangePasswordProblems, state::State};

/// The old password and the new one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ChangePasswordRequest)]
pub(super) struct Request {
    /// The password that counts until now.
    #[schema(value_type = String, format = "password")]
    current_password: SecretString,
    /// The one that is to count from now on.
    #[schema(value_type = String, format = "password")]
    new_password: SecretString,
}

/// Change the password
///
/// Needs the current one, whoever holds the token. All other sessions end, and a mail tells the owner.
#[utoipa::path(
    post, path = "/api/v1/auth/change-password", operation_id = "change_password", tag = "auth", request_body = Request,
    responses((status = OK, description = "The password is changed", body = PasswordSet), ChangePasswordProblems),
)]
pub(super) async fn handler(
    axum::extract::State(state): axum::extract::State<State>,
    principal: Principal,
    origin: Origin,
    from: ClientAddress,
    Json { value: Request { current_password, new_password }, .. }: Json<Request>,
) -> Result<Answer<PasswordSet>, RouteError> {
    permissions::check(&principal, Action::ManageSelf)?;
    password::check_strength(&new_password).map_err(|unfit| RouteError::Unfit(unfit, "new_password"))?;
    let proof = prove(&state, &principal, current_password);
    let account = attempts::proving(&state, principal.id, from, proof).await?;
    let hash = state.hasher.hash(new_password).await?;
    // The event first: a change that nobody can see in the history is worse than one that has to be repeated.
    let change = Change { proof: PasswordProof::OldPassword, kept: principal.session, from: None };
    if !journal(&state, &origin.of_oneself(&principal), account.user_id, &change).await? {
        return Err(RouteError::WrongPassword);
    }
    if state.guarded_query(state.accounts.replace_hash(&account, &hash)).await? {
        return Ok(Answer(PasswordSet::DONE));
    }
    Err(RouteError::Raced)
}

/// The account of whoever asks, if this is its password.
pub(super) async fn prove(state: &State, principal: &Principal, password: SecretString) -> Result<Account, RouteError> {
    let account = state.guarded_query(state.accounts.of_user(principal.id)).await?;
    let known = account.as_ref().map(|account| account.password_hash.clone());
    match (account, state.hasher.verify(password, known).await?) {
        (Some(account), Verdict::Right { .. }) => Ok(account),
        (Some(_) | None, _) => Err(RouteError::WrongPassword),
    }
}
