//! Sessions: what a login begins, how it goes on, and how it ends.
//!
//! Owns the order of events and rows. That a session is open stands in the journal: its own stream, the user's (all sessions ended, a new
//! password) and the organisation's (the role). The rows hold what is secret: refresh tokens, of which each is good for one use.

mod routes;
mod rows;

use chrono::TimeDelta;
use docket_domain::{
    Aggregate,
    identity::{NetworkAddress, Organisation, Refusal, Session, StartSession, User, revoke_session, start_session},
};
use docket_events::{
    Category, StreamId,
    identity::{self, LoginMethod, SessionEnd},
};
use docket_log::{CommandContext, ExecuteError, faults, load::Loaded};
use docket_platform::{
    auth::{Access, AuthError, Principal, Role, ensure_key},
    breaker::BreakerError,
    clock, ids,
};
use secrecy::SecretString;
use uuid::Uuid;

use super::{TOKEN_LIFETIME, error::RouteError, origin::Origin};
use crate::{
    error,
    roles::token_role,
    run::{self, NotDone},
    state::State,
};

pub(super) use routes::router;
pub(crate) use rows::Row;
pub use rows::forget_old;

/// A member who may have a session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) user_id: Uuid,
    pub(super) tenant: Uuid,
    pub(super) role: Role,
    /// The version of the organisation's stream since which the member has the role.
    since: u64,
    /// Whether a second factor is demanded here and the user has none.
    restricted: bool,
}

/// The two tokens of a session, and whom they are for.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) access: String,
    pub(super) refresh: SecretString,
    pub(super) session: Row,
    pub(super) member: Member,
}

/// The state of a stream of this category.
pub(crate) async fn load<A: Aggregate>(state: &State, id: Uuid) -> Result<A, BreakerError<ExecuteError>> {
    Ok(loaded(state, id).await?.state)
}

/// The same, with the database's time.
async fn loaded<A: Aggregate>(state: &State, id: Uuid) -> Result<Loaded<A>, BreakerError<ExecuteError>> {
    let stream = StreamId::new(Category::Identity, id);
    let load = async { Ok(state.store.load::<A>(stream, None).await?) };
    Ok(state.guarded(load).await?.0)
}

/// Whether `role` takes a second factor in `organisation`.
pub(super) fn demands(state: &State, organisation: &Organisation, role: identity::Role) -> bool {
    match &organisation.second_factor {
        Some(roles) => roles.contains(&role),
        None => state.config.second_factor.as_ref().is_some_and(|roles| roles.0.contains(&token_role(role))),
    }
}

/// The user as a member of the organisation `tenant`; none: the user is not.
pub(super) async fn member(
    state: &State,
    user_id: Uuid,
    user: &User,
    tenant: Uuid,
) -> Result<Option<Member>, RouteError> {
    let organisation: Organisation = load(state, tenant).await?;
    Ok(organisation.members.get(&user_id).map(|member| Member {
        user_id,
        tenant,
        role: token_role(member.role),
        since: member.since,
        restricted: !user.second_factor && demands(state, &organisation, member.role),
    }))
}

/// The user as a member of `wanted`, or of the first of the organisations that the user may belong to.
pub(super) async fn choose(
    state: &State,
    user_id: Uuid,
    user: &User,
    wanted: Option<Uuid>,
) -> Result<Member, RouteError> {
    let candidates = match wanted {
        Some(tenant) => vec![tenant],
        None => state.guarded_query(state.accounts.organisations(user_id)).await?,
    };
    for tenant in candidates {
        if let Some(member) = member(state, user_id, user, tenant).await? {
            return Ok(member);
        }
    }
    Err(RouteError::NoOrganisation)
}

/// Begins a session of `member`, whose login was checked when sessions had last been ended at `credentials`.
pub(super) async fn begin(
    state: &State,
    origin: &Origin,
    member: Member,
    method: LoginMethod,
    credentials: u64,
) -> Result<Tokens, RouteError> {
    let Member { user_id, tenant, .. } = member;
    let place = state.guarded_query(state.accounts.place_hmac(origin)).await?;
    let new_place = state.guarded_query(rows::is_new_place(state.store.pool(), user_id, &place)).await?;
    let id = ids::new_id();
    let command = StartSession {
        user_id,
        method,
        credentials,
        lifetime: TimeDelta::from_std(state.config.session_lifetime).unwrap_or(TimeDelta::MAX),
        new_place,
        address: origin.address.clone(),
        agent: origin.agent.clone(),
    };
    let context = origin.by(tenant, user_id, Some(id));
    let stream = StreamId::new(Category::Identity, id);
    // The event first: a session without one could not be seen, and not be ended.
    let decide = |session: &Session, now| start_session(session, &command, now);
    let started = match run::journal(state, &context, stream, decide).await {
        Ok(accepted) => accepted.state,
        Err(NotDone::Refused(refusal)) => return Err(error::unexpected(&refusal).into()),
        Err(NotDone::Failed(error)) => return Err(error.into()),
    };
    let (Some(last_used_at), Some(expires_at)) = (started.started_at, started.expires_at) else {
        return Err(error::unexpected(&Refusal::NotFound).into());
    };
    let session = Row { id, tenant, user_id, last_used_at, expires_at };
    faults::step("login.before_rows");
    let refresh = state.guarded_query(rows::insert(state.store.pool(), &session, &place)).await?;
    let access = issue(state, &member, session.id, credentials).await?;
    Ok(Tokens { access, refresh, session, member })
}

/// Uses a refresh token up and gives new tokens. One that was used before ends its session.
pub(super) async fn renew(state: &State, origin: &Origin, token: &SecretString) -> Result<Tokens, RouteError> {
    let found = state.guarded_query(rows::find(state.store.pool(), token)).await?;
    let rows::Brought { session: row, used } = found.ok_or(RouteError::InvalidRefreshToken)?;
    if used {
        return Err(reused(state, origin, &row).await?);
    }
    let (Loaded { state: session, now, .. }, user) =
        tokio::try_join!(loaded::<Session>(state, row.id), load::<User>(state, row.user_id))?;
    let open = session.is_open(now) && !user.sessions_ended.ends(row.id, session.credentials);
    let member = member(state, row.user_id, &user, row.tenant).await?;
    let Some(member) = member.filter(|_| open) else { return Err(RouteError::InvalidRefreshToken) };
    let Some(refresh) = state.guarded_query(rows::rotate(state.store.pool(), token)).await? else {
        return Err(reused(state, origin, &row).await?);
    };
    faults::step("refresh.before_answer");
    let access = issue(state, &member, row.id, session.credentials).await?;
    Ok(Tokens { access, refresh, session: row, member })
}

/// Ends the session of a refresh token that came twice: one of the two who have it should not.
async fn reused(state: &State, origin: &Origin, row: &Row) -> Result<RouteError, RouteError> {
    let context = origin.anonymous(row.tenant);
    end(state, &context, row, SessionEnd::RefreshTokenReused, origin.address_of(row.user_id)).await?;
    tracing::warn!(session = %row.id, "a refresh token came twice; its session has been ended");
    Ok(RouteError::InvalidRefreshToken)
}

/// Ends a session; one that is over already stays so. `from` is told where no session tells it.
pub(super) async fn end(
    state: &State,
    context: &CommandContext,
    row: &Row,
    reason: SessionEnd,
    from: NetworkAddress,
) -> Result<(), RouteError> {
    let stream = StreamId::new(Category::Identity, row.id);
    let user = row.user_id;
    let decide = |session: &Session, _| revoke_session(session, user, reason, from.clone());
    match run::journal(state, context, stream, decide).await {
        // A row without its event is of a login that was cut off.
        Ok(_) | Err(NotDone::Refused(Refusal::NotFound)) => Ok(()),
        Err(NotDone::Refused(refusal)) => Err(error::unexpected(&refusal).into()),
        Err(NotDone::Failed(error)) => Err(error.into()),
    }
}

/// The version at which sessions had last been ended when the login of the asking session was checked; a token without a session stands on
/// nothing, and what it begins ends with the next change.
pub(super) async fn credentials(state: &State, principal: &Principal) -> Result<u64, RouteError> {
    match principal.session {
        Some(id) => Ok(load::<Session>(state, id).await?.credentials),
        None => Ok(0),
    }
}

/// The sessions of a user that go on, the last used first, each with its stream's state, personal fields open.
pub(super) async fn open_ones(state: &State, user_id: Uuid) -> Result<Vec<(Row, Session)>, RouteError> {
    let user: User = load(state, user_id).await?;
    let mut open = Vec::new();
    for row in state.guarded_query(rows::of_user(state.store.pool(), user_id)).await? {
        let Loaded { state: session, now, .. } = loaded::<Session>(state, row.id).await?;
        if session.is_open(now) && !user.sessions_ended.ends(row.id, session.credentials) {
            open.push((row, session));
        }
    }
    let (rows, mut sessions): (Vec<Row>, Vec<Session>) = open.into_iter().unzip();
    let opened = async { Ok(state.store.vault().open(&mut sessions).await?) };
    state.guarded(opened).await?;
    Ok(rows.into_iter().zip(sessions).collect())
}

/// A session of the user; none: there is none, or it is another's.
pub(super) async fn one(state: &State, id: Uuid, user_id: Uuid) -> Result<Option<Row>, RouteError> {
    Ok(state.guarded_query(rows::one(state.store.pool(), id, user_id)).await?)
}

/// Signs an access token; the first of an installation makes the key.
async fn issue(state: &State, member: &Member, session: Uuid, credentials: u64) -> Result<String, RouteError> {
    let Member { user_id, tenant, role, since, restricted } = *member;
    let access = Access {
        credentials: Some(credentials),
        member_since: Some(since),
        restricted,
        ..Access::of(Principal { session: Some(session), ..Principal::member(user_id, tenant, role) })
    };
    let now = clock::now();
    let issued = match state.authenticator.issue(access.clone(), now, TOKEN_LIFETIME).await {
        Err(AuthError::NoSigningKey) => {
            ensure_key(state.store.pool()).await?;
            state.authenticator.reload().await?;
            state.authenticator.issue(access, now, TOKEN_LIFETIME).await
        }
        issued => issued,
    };
    Ok(issued.map(|(token, _)| token)?)
}

impl Member {
    /// Whether a second factor is demanded that the user has not set up.
    pub(super) const fn is_restricted(&self) -> bool {
        self.restricted
    }
}
