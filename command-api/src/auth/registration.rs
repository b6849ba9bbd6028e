//! Registrations that wait for the mailed link: accounts that nobody may log in to yet, and the organisations that they want.
//!
//! Owns the statements over `auth.wanted_organisation` and over accounts that are not verified. The row comes before the event, so that
//! a registration that was cut off is taken up by the next one; the order of the rest is such that the same link mends it.

use docket_domain::identity::{
    CreateOrganisation, Organisation, OrganisationCommand, decide_organisation, request_verification,
};
use docket_events::{Category, StreamId};
use docket_log::{ExecuteError, faults};
use docket_platform::{breaker::BreakerError, db, ids};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{memberships, origin::Origin, user};
use crate::{
    error,
    run::{self, NotDone},
    state::State,
};

type Failed = BreakerError<ExecuteError>;

/// The condition that nothing was journalled of a user yet.
macro_rules! unknown {
    ($user:literal) => {
        concat!("not exists (select from write.journal j where j.stream_id = ", $user, ")")
    };
}

/// Of two attempts of which none was journalled the later one counts; what was journalled stands.
const ACCOUNT: &str = concat!(
    "insert into auth.account as a (user_id, email_hmac, password_hash, organisation, verified)
     values ($1, $2, $3, $4, false)
     on conflict (email_hmac) do update set password_hash = excluded.password_hash, updated_at = now()
     where not a.verified and ",
    unknown!("a.user_id")
);

const WANTED: &str = concat!(
    "insert into auth.wanted_organisation as w (user_id, tenant, name)
     select user_id, $2, $3 from auth.account where user_id = $1 and not verified
     on conflict (user_id) do update set name = excluded.name where ",
    unknown!("w.user_id")
);

/// Keeps what somebody wants to register with, unless the address has an account, and says whose account the address has now. The same
/// statements run either way.
pub(super) async fn propose(pool: &PgPool, hmac: &[u8], hash: &str, organisation: &str) -> Result<Uuid, ExecuteError> {
    let mut door = db::door(pool).await?;
    let tenant = ids::new_id();
    insert(&mut door, ids::new_id(), hmac, hash, tenant).await?;
    let user = holder(&mut door, hmac).await?.ok_or(sqlx::Error::RowNotFound)?;
    sqlx::query(WANTED).bind(user).bind(tenant).bind(organisation).execute(&mut *door).await?;
    door.commit().await?;
    Ok(user)
}

/// Keeps what an invited user wants to log in with; false: the address has the account of another user.
pub(super) async fn propose_invited(
    pool: &PgPool,
    user: Uuid,
    hmac: &[u8],
    hash: &str,
    tenant: Uuid,
) -> Result<bool, ExecuteError> {
    let mut door = db::door(pool).await?;
    insert(&mut door, user, hmac, hash, tenant).await?;
    let holder = holder(&mut door, hmac).await?;
    door.commit().await?;
    Ok(holder == Some(user))
}

async fn insert(door: &mut PgConnection, user: Uuid, hmac: &[u8], hash: &str, tenant: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query(ACCOUNT).bind(user).bind(hmac).bind(hash).bind(tenant).execute(door).await.map(drop)
}

async fn holder(door: &mut PgConnection, hmac: &[u8]) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar("select user_id from auth.account where email_hmac = $1").bind(hmac).fetch_optional(door).await
}

/// Forgets what was proposed for a user that the journal refused: the address belongs to one who has no account yet.
pub(super) async fn withdraw(pool: &PgPool, user: Uuid) -> Result<(), ExecuteError> {
    let mut door = db::door(pool).await?;
    let account = concat!("delete from auth.account a where user_id = $1 and not verified and ", unknown!("a.user_id"));
    sqlx::query(account).bind(user).execute(&mut *door).await?;
    let wanted = concat!("delete from auth.wanted_organisation w where user_id = $1 and ", unknown!("w.user_id"));
    sqlx::query(wanted).bind(user).execute(&mut *door).await?;
    door.commit().await?;
    Ok(())
}

/// Makes the organisation that a user wanted, with the user as its administrator, and gives its id; none: there is no wish. Again nothing
/// happens.
pub(super) async fn organise(state: &State, origin: &Origin, user: Uuid) -> Result<Option<Uuid>, Failed> {
    let wanted = async {
        let wanted: Option<(Uuid, String)> =
            sqlx::query_as("select tenant, name from auth.wanted_organisation where user_id = $1")
                .bind(user)
                .fetch_optional(&mut *db::door(state.store.pool()).await?)
                .await?;
        Ok(wanted)
    };
    let Some((tenant, name)) = state.guarded(wanted).await? else { return Ok(None) };
    state.guarded(memberships::hint(state.store.pool(), user, tenant)).await?;
    faults::step("verify.before_organisation");
    let command =
        OrganisationCommand::Create(CreateOrganisation { name, admin: Some(user), from: origin.address_of(user) });
    let context = origin.anonymous(tenant);
    let decide = |folded: &Organisation, now| decide_organisation(folded, command.clone(), now);
    match run::journal(state, &context, StreamId::new(Category::Identity, tenant), decide).await {
        Ok(_) => Ok(Some(tenant)),
        // The name was checked before it was kept.
        Err(NotDone::Refused(refusal)) => Err(error::unexpected(&refusal)),
        Err(NotDone::Failed(error)) => Err(error),
    }
}

/// Lets a user log in, in the organisation that was `made` for them if one was; there is nothing to wish for any more.
pub(super) async fn settle(door: &mut PgConnection, user: Uuid, made: Option<Uuid>) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update auth.account set verified = true, organisation = coalesce($2, organisation), updated_at = now()
         where user_id = $1",
    )
    .bind(user)
    .bind(made)
    .execute(&mut *door)
    .await?;
    // Behind the account's lock, so that nothing is wished for at the same time and then left over.
    sqlx::query("delete from auth.wanted_organisation where user_id = $1").bind(user).execute(door).await.map(drop)
}

/// Whether a user who knows the password has still to show that the address is theirs. If so, a mail with a new link goes there, one a
/// minute at most.
pub(super) async fn waits(state: &State, origin: &Origin, user: Uuid) -> Result<bool, Failed> {
    let verified = async {
        let verified: Option<bool> = sqlx::query_scalar("select verified from auth.account where user_id = $1")
            .bind(user)
            .fetch_optional(&mut *db::door(state.store.pool()).await?)
            .await?;
        Ok(verified.unwrap_or(false))
    };
    if state.guarded(verified).await? {
        return Ok(false);
    }
    let from = origin.address_of(user);
    let context = origin.anonymous(Uuid::nil());
    user::command(state, &context, user, |user, now| request_verification(user, from.clone(), now)).await?;
    Ok(true)
}
