//! Wrong passwords: who tries many for one account has to wait, longer each time, and the owner does not.
//!
//! Owns `auth.login_attempt` and its rules. After [`Config::login_attempts`](crate::Config) wrong passwords for an account from one
//! address, no further one from there is looked at for a second, then two, up to a quarter of an hour. After [`EVERYWHERE`] from all
//! addresses together the same holds for those that nobody ever logged in to the account from. An attempt counts before its password is
//! looked at, so that many at once are not one. The way by mail to a new password is never closed, and forgets all of this. Accounts that
//! exist and accounts that do not are alike: both are hashes of an e-mail address here.

use std::time::Duration;

use chrono::{DateTime, Utc};
use docket_domain::identity::lock_out;
use docket_events::Personal;
use docket_log::CommandContext;
use docket_platform::{Problem, breaker::BreakerError, db, http::ClientAddress, ids};
use sqlx::PgConnection;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{
    error::RouteError,
    password::{PasswordError, Verdict},
    user,
};
use crate::{error, state::State};

/// Wrong passwords for an account from all addresses together before strangers have to wait.
const EVERYWHERE: u32 = 50;
/// Further ones at each length of the wait, where all addresses are counted.
const STEP_EVERYWHERE: u32 = 10;
/// How many more may be under way at once from an address that the owner is known to use, until the first turns out wrong.
const AT_ONCE: u32 = 20;
/// Connections that counting takes.
const COUNTING: usize = 2;
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// How long wrong passwords count.
const MEMORY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long an address is known after a login from there.
const KNOWN: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// A wait beyond this is noted in the user's stream, at most once an hour.
const NOTED: Duration = Duration::from_secs(60);
const NOTED_EVERY: Duration = Duration::from_secs(60 * 60);

/// Why no password is looked at.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// Too many were wrong.
    #[error("too many wrong passwords: the next attempt is in {0:?}")]
    TooMany(Duration),
    /// Too many wait already: the database is not bothered with those who are turned away.
    #[error(transparent)]
    Busy(PasswordError),
    /// The database does not answer.
    #[error(transparent)]
    Database(#[from] BreakerError<sqlx::Error>),
}

impl From<AttemptError> for Problem {
    fn from(error: AttemptError) -> Self {
        match error {
            AttemptError::TooMany(wait) => Self::too_many("too_many_attempts", wait)
                .with_detail("Too many wrong passwords: wait, or set a new password by mail."),
            AttemptError::Busy(error) => error.into(),
            AttemptError::Database(error) => error::of_query(error),
        }
    }
}

/// An attempt under way; `None` where none is counted.
#[derive(Debug)]
#[must_use]
pub struct Attempt(Option<Counted>);

#[derive(Debug)]
struct Counted {
    account: Vec<u8>,
    place: Vec<u8>,
    from: ClientAddress,
    /// Whether somebody logged in to the account from there before.
    known: bool,
    /// Whether others from there are looked at meanwhile, however this one goes.
    at_once: bool,
    failures: u32,
}

/// Lets few at a time count, and turns away whom it would keep waiting for long: a flood of logins must leave the connections of the pool
/// to commands.
#[derive(Debug)]
pub struct Turnstile {
    admitted: Semaphore,
    counting: Semaphore,
}

impl Turnstile {
    /// At most `queue` may wait.
    #[must_use]
    pub fn new(queue: usize) -> Self {
        Self { admitted: Semaphore::new(COUNTING + queue), counting: Semaphore::new(COUNTING) }
    }
}

/// A row of the table as it counts now.
#[derive(Debug, Clone, Default, PartialEq, Eq, sqlx::FromRow)]
struct Row {
    failures: i32,
    blocked_until: Option<DateTime<Utc>>,
    known: bool,
    now: DateTime<Utc>,
}

impl Row {
    fn failures(&self) -> u32 {
        u32::try_from(self.failures).unwrap_or(0)
    }

    /// How long nothing from there is looked at.
    fn wait(&self) -> Option<Duration> {
        let left = self.blocked_until? - self.now;
        left.to_std().ok().filter(|left| !left.is_zero())
    }
}

/// The wait after `failures` in a row where the first `free` cost none, `step` at each length; none: no wait.
fn backoff(failures: u32, free: u32, step: u32) -> Option<Duration> {
    let beyond = failures.checked_sub(free)? / step;
    Some(SHORTEST.saturating_mul(1_u32.checked_shl(beyond).unwrap_or(u32::MAX)).min(LONGEST))
}

/// Counts an attempt for the account of an address before its password is looked at.
///
/// # Errors
/// When it must not be looked at now, or the database does not answer.
pub async fn before(state: &State, email: &str, from: ClientAddress) -> Result<Attempt, AttemptError> {
    begin(state, state.accounts.email_hmac(email), from).await
}

/// Lets somebody who is logged in prove who they are, unless too many such proofs were wrong: a stolen token must not become a password.
pub(super) async fn proving<T>(
    state: &State,
    user: Uuid,
    from: ClientAddress,
    proof: impl Future<Output = Result<T, RouteError>>,
) -> Result<T, RouteError> {
    let attempt = begin(state, state.accounts.email_hmac_of(user), from).await?;
    let proven = proof.await;
    let verdict = match &proven {
        Ok(_) => Some(Verdict::Right { outdated: false }),
        Err(RouteError::WrongPassword | RouteError::WrongCode) => Some(Verdict::Wrong),
        Err(_) => None,
    };
    after(state, attempt, Some(user), verdict).await?;
    proven
}

async fn begin(
    state: &State,
    account: impl Future<Output = Result<Vec<u8>, sqlx::Error>>,
    from: ClientAddress,
) -> Result<Attempt, AttemptError> {
    let busy = AttemptError::Busy(PasswordError::Busy);
    if state.hasher.is_full() {
        return Err(busy);
    }
    let Ok(_admitted) = state.turnstile.admitted.try_acquire() else { return Err(busy) };
    let Ok(_counting) = state.turnstile.counting.acquire().await else { return Err(busy) };
    let free = state.config.login_attempts;
    if free == 0 {
        return Ok(Attempt(None));
    }
    let counted = async {
        let account = account.await?;
        let place = from.counted().map_or_else(|| "nowhere".to_owned(), |address| address.to_string());
        let place = state.accounts.hmac(&format!("login from {place}")).await?;
        count(state, free, account, place, from).await
    };
    match state.guarded_query(counted).await? {
        Ok(counted) => Ok(Attempt(Some(counted))),
        Err(wait) => Err(AttemptError::TooMany(wait)),
    }
}

async fn count(
    state: &State,
    free: u32,
    account: Vec<u8>,
    place: Vec<u8>,
    from: ClientAddress,
) -> Result<Result<Counted, Duration>, sqlx::Error> {
    let mut door = db::door(state.store.pool()).await?;
    // Always in this order: attempts for one account wait for each other and never in a ring.
    let everywhere = locked(&mut door, &account, &[]).await?;
    let here = locked(&mut door, &account, &place).await?;
    if let Some(wait) = here.wait().or_else(|| everywhere.wait().filter(|_| !here.known)) {
        return Ok(Err(wait));
    }
    let failures = here.failures() + 1;
    let at_once = here.known && here.blocked_until.is_none() && failures <= free + AT_ONCE;
    let wait = backoff(failures, free, 1).filter(|_| !at_once);
    set(&mut door, &account, &place, failures, wait).await?;
    if !here.known {
        let all = everywhere.failures() + 1;
        set(&mut door, &account, &[], all, backoff(all, EVERYWHERE, STEP_EVERYWHERE)).await?;
    }
    door.commit().await?;
    Ok(Ok(Counted { account, place, from, known: here.known, at_once, failures }))
}

/// The row, made if there is none, and held until the transaction ends.
async fn locked(door: &mut PgConnection, account: &[u8], place: &[u8]) -> Result<Row, sqlx::Error> {
    sqlx::query_as(
        "insert into auth.login_attempt as row (account, place) values ($1, $2)
         on conflict (account, place) do update set failures = row.failures
         returning case when row.counted_until > clock_timestamp() then row.failures else 0 end as failures,
             row.blocked_until, coalesce(row.known_until > clock_timestamp(), false) as known, clock_timestamp() as now",
    )
    .bind(account)
    .bind(place)
    .fetch_one(door)
    .await
}

async fn set(
    door: &mut PgConnection,
    account: &[u8],
    place: &[u8],
    failures: u32,
    wait: Option<Duration>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update auth.login_attempt set failures = $3, blocked_until = clock_timestamp() + make_interval(secs => $4),
             counted_until = clock_timestamp() + make_interval(secs => $5)
         where account = $1 and place = $2",
    )
    .bind(account)
    .bind(place)
    .bind(i32::try_from(failures).unwrap_or(i32::MAX))
    .bind(wait.map(|wait| wait.as_secs_f64()))
    .bind(MEMORY.as_secs_f64())
    .execute(door)
    .await?;
    Ok(())
}

/// Notes how an attempt went; no verdict: the password was not looked at after all.
///
/// # Errors
/// When the database does not answer.
pub async fn after(
    state: &State,
    attempt: Attempt,
    user: Option<Uuid>,
    verdict: Option<Verdict>,
) -> Result<(), AttemptError> {
    let Attempt(Some(counted)) = attempt else { return Ok(()) };
    match verdict {
        Some(Verdict::Right { .. }) => state.guarded_query(succeeded(state, &counted)).await?,
        Some(Verdict::Wrong) => {
            let wait = backoff(counted.failures, state.config.login_attempts, 1);
            if let (true, Some(wait)) = (counted.at_once, wait) {
                state.guarded_query(block(state, &counted, wait)).await?;
            }
            if let Some(wait) = wait.filter(|wait| *wait > NOTED) {
                note(state, &counted, user, wait).await;
            }
        }
        None => state.guarded_query(take_back(state, &counted)).await?,
    }
    Ok(())
}

/// The place is known from now on, and nothing counts against it.
async fn succeeded(state: &State, counted: &Counted) -> Result<(), sqlx::Error> {
    let mut door = db::door(state.store.pool()).await?;
    uncount_everywhere(&mut door, counted).await?;
    sqlx::query(
        "update auth.login_attempt set failures = 0, blocked_until = null,
             known_until = clock_timestamp() + make_interval(secs => $3)
         where account = $1 and place = $2",
    )
    .bind(&counted.account)
    .bind(&counted.place)
    .bind(KNOWN.as_secs_f64())
    .execute(&mut *door)
    .await?;
    door.commit().await
}

async fn take_back(state: &State, counted: &Counted) -> Result<(), sqlx::Error> {
    let mut door = db::door(state.store.pool()).await?;
    uncount_everywhere(&mut door, counted).await?;
    uncount(&mut door, &counted.account, &counted.place).await?;
    door.commit().await
}

async fn uncount_everywhere(door: &mut PgConnection, counted: &Counted) -> Result<(), sqlx::Error> {
    if counted.known {
        return Ok(());
    }
    uncount(door, &counted.account, &[]).await
}

async fn uncount(door: &mut PgConnection, account: &[u8], place: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update auth.login_attempt set failures = greatest(failures - 1, 0), blocked_until = null
         where account = $1 and place = $2",
    )
    .bind(account)
    .bind(place)
    .execute(door)
    .await?;
    Ok(())
}

async fn block(state: &State, counted: &Counted, wait: Duration) -> Result<(), sqlx::Error> {
    let mut door = db::door(state.store.pool()).await?;
    sqlx::query(
        "update auth.login_attempt set blocked_until = greatest(blocked_until, clock_timestamp() + make_interval(secs => $3))
         where account = $1 and place = $2",
    )
    .bind(&counted.account)
    .bind(&counted.place)
    .bind(wait.as_secs_f64())
    .execute(&mut *door)
    .await?;
    door.commit().await
}

/// Puts the lock-out on record. The answer is the same whether that works out or not, and whether there is an account.
async fn note(state: &State, counted: &Counted, user: Option<Uuid>, wait: Duration) {
    let noted = async {
        let mut door = db::door(state.store.pool()).await?;
        let done = sqlx::query(
            "update auth.login_attempt set noted_at = clock_timestamp() where account = $1 and place = ''
             and (noted_at is null or noted_at < clock_timestamp() - make_interval(secs => $2))",
        )
        .bind(&counted.account)
        .bind(NOTED_EVERY.as_secs_f64())
        .execute(&mut *door)
        .await?;
        door.commit().await?;
        Ok(done.rows_affected() == 1)
    };
    match state.guarded_query(noted).await {
        Ok(true) => {}
        Ok(false) => return,
        Err(error) => return tracing::warn!(%error, "a lock-out is not on record"),
    }
    // Without an account a stream is asked that nobody has.
    let user = user.unwrap_or_else(ids::new_id);
    let from = counted.from.0.map(|address| Personal::known(user, address.to_string()));
    let context = CommandContext::default();
    let noted = user::command(state, &context, user, |user, now| lock_out(user, now + wait, from.clone()));
    if let Err(error) = noted.await {
        tracing::warn!(%error, "a lock-out is not on record");
    }
}

/// Forgets everything about a user's account: whoever set a new password by mail begins anew, and so does everybody else.
///
/// # Errors
/// When the database does not answer.
pub async fn forget(door: &mut PgConnection, user: Uuid) -> Result<(), sqlx::Error> {
    // In the order in which attempts take the rows.
    for everywhere in [true, false] {
        sqlx::query(
            "delete from auth.login_attempt
             where account = (select email_hmac from auth.account where user_id = $1) and (place = '') = $2",
        )
        .bind(user)
        .bind(everywhere)
        .execute(&mut *door)
        .await?;
    }
    Ok(())
}

/// Forgets what does not count any more, but for rows that somebody uses at this moment.
///
/// # Errors
/// When the database does not answer.
pub async fn forget_expired(door: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        "delete from auth.login_attempt where (account, place) in (
             select account, place from auth.login_attempt where counted_until < clock_timestamp()
             and coalesce(known_until < clock_timestamp(), true) and coalesce(blocked_until < clock_timestamp(), true)
             for update skip locked)",
    )
    .execute(door)
    .await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_from_a_second_to_a_quarter_of_an_hour() {
        let seconds = |failures| backoff(failures, 5, 1).map(|wait| wait.as_secs());
        assert_eq!([4, 5, 6, 7, 11].map(seconds), [None, Some(1), Some(2), Some(4), Some(64)]);
        assert_eq!([14, 15, 16, 40, u32::MAX].map(seconds), [Some(512), Some(900), Some(900), Some(900), Some(900)]);
    }

    #[test]
    fn of_all_addresses_more_are_free_and_each_wait_is_for_ten() {
        let seconds = |failures| backoff(failures, EVERYWHERE, STEP_EVERYWHERE).map(|wait| wait.as_secs());
        assert_eq!([49, 50, 59, 60, 69, 70].map(seconds), [None, Some(1), Some(1), Some(2), Some(2), Some(4)]);
        assert_eq!(seconds(1_000), Some(900));
    }
}
