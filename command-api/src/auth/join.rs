//! Registering by an invitation: the address is the invited one, and that the token reached it is what there is to verify.
//!
//! Owns the order of the steps. The user's id follows from the invitation and the token is used up last, so that a registration that was
//! cut off anywhere is gone on with by the same link; of several at once the one that uses the token up sets the password.

use docket_domain::identity::{Invitation, Organisation, RegisterUser, User, check_name, register_invited};
use docket_events::{Category, StreamId};
use docket_log::{Claim, CommandContext, ExecuteError, Outcome, faults};
use docket_platform::{
    auth::mailed::{self, Invited, Purpose},
    breaker::BreakerError,
    db,
};
use secrecy::SecretString;
use uuid::Uuid;

use super::{origin::Origin, password, register::RouteError, registration};
use crate::{
    organisation::{self, JoinedView},
    state::State,
};

/// Registers whoever has the token of an invitation, and lets them join.
pub(super) async fn register(
    state: &State,
    origin: &Origin,
    token: &SecretString,
    name: &str,
    password: SecretString,
) -> Result<JoinedView, RouteError> {
    let name = check_name(name)?;
    password::check_strength(&password)?;
    let invited = async { Ok(mailed::invited(&mut *db::door(state.store.pool()).await?, token).await?) };
    let invited = state.guarded(invited).await?.ok_or(RouteError::InvalidToken)?;
    let hash = state.hasher.hash(password).await?;
    let user = Uuid::new_v5(&invited.invitation, b"user");
    // None: nobody can accept it any more, unless it was this user who did and was cut off.
    if let Some(email) = address(state, invited).await? {
        let command = RegisterUser { user_id: user, email, name, from: origin.address_of(user) };
        if !is_registered(state, origin, command, &hash, invited.tenant).await? {
            return Err(RouteError::AccountExists);
        }
    }
    let joined = organisation::join(state, origin, user, None, invited).await?.ok_or(RouteError::InvalidToken)?;
    faults::step("join.before_write");
    if !state.guarded(write(state, user, &hash, token)).await? {
        return Err(RouteError::InvalidToken);
    }
    JoinedView::of(user, invited.tenant, &joined).ok_or(RouteError::InvalidToken)
}

/// The invited address; none: the invitation is over.
async fn address(state: &State, Invited { invitation, tenant }: Invited) -> Result<Option<String>, RouteError> {
    let stream = StreamId::new(Category::Identity, tenant);
    let load = async { Ok(state.store.load::<Organisation>(stream, None).await?.0) };
    let mut loaded = state.guarded(load).await?;
    let Some(found) = loaded.state.invitations.remove(&invitation) else { return Ok(None) };
    if found.expires_at <= loaded.now {
        return Ok(None);
    }
    let Invitation { email, .. } = organisation::open(state, invitation, found).await?;
    // Without an address nobody can log in.
    email.value().cloned().map(Some).ok_or(RouteError::InvalidToken)
}

/// Makes account and user; false: the address has another one's.
async fn is_registered(
    state: &State,
    origin: &Origin,
    command: RegisterUser,
    hash: &str,
    tenant: Uuid,
) -> Result<bool, RouteError> {
    let user = command.user_id;
    let hmac = state.guarded(async { Ok(state.accounts.email_hmac(&command.email).await?) }).await?;
    let propose = registration::propose_invited(state.store.pool(), user, &hmac, hash, tenant);
    if !state.guarded(propose).await? {
        return Ok(false);
    }
    let claim = Claim { kind: "email", value: hmac };
    let context = CommandContext { claims: vec![claim], ..origin.anonymous(Uuid::nil()) };
    let stream = StreamId::new(Category::Identity, user);
    let decide = |folded: &User, _| register_invited(folded, command.clone());
    match state.guarded(state.store.execute(&context, stream, decide)).await {
        Ok(Outcome::Accepted(_)) => Ok(true),
        Ok(Outcome::Refused(refusal)) => Err(refusal.into()),
        Err(BreakerError::Failed(ExecuteError::ClaimTaken)) => {
            state.guarded(registration::withdraw(state.store.pool(), user)).await?;
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Uses the token up and lets the user log in, both or neither. False: somebody was faster.
async fn write(state: &State, user: Uuid, hash: &str, token: &SecretString) -> Result<bool, ExecuteError> {
    let mut door = db::door(state.store.pool()).await?;
    if !mailed::redeem(&mut door, Purpose::Invitation, token).await? {
        return Ok(false);
    }
    sqlx::query("update auth.account set password_hash = $2 where user_id = $1")
        .bind(user)
        .bind(hash)
        .execute(&mut *door)
        .await?;
    registration::settle(&mut door, user, None).await?;
    door.commit().await?;
    Ok(true)
}
