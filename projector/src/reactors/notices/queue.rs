//! Who is written to next, and what a letter came to.
//!
//! Owns the statements over `react.reader` and `react.notice` that claim and settle. A claim is on a reader and holds until a time
//! after which others may take it; whoever comes back later changes nothing. What a letter tells is fixed before it is sent: when a
//! process dies before it has noted that it was, the same letter goes once more under the same id.

use std::time::Duration;

use chrono::{DateTime, Utc};
use docket_domain::notice::Kind;
use sqlx::{PgPool, Row, postgres::PgRow};
use uuid::Uuid;

/// The most notices that one letter tells. The rest goes with the next.
pub(super) const MOST: i64 = 2_000;

/// A reader who is ours for a while.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claimed {
    pub(super) user: Uuid,
    claim: Uuid,
    /// The letter that somebody was about to send.
    pub(super) letter: Option<Uuid>,
    /// Which attempt in a row this is, from 1.
    pub(super) attempt: u32,
}

/// A notice that waits.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) id: Uuid,
    pub(super) event: Uuid,
    pub(super) kind: Option<Kind>,
    pub(super) tenant: Uuid,
    pub(super) stream: Uuid,
    pub(super) category: i16,
    pub(super) urgent: bool,
    pub(super) noted_at: DateTime<Utc>,
    /// How often a letter with it was tried.
    pub(super) attempts: u32,
}

/// What became of a notice.
#[derive(Debug, Clone)]
pub(super) struct Became {
    pub(super) id: Uuid,
    pub(super) state: &'static str,
    pub(super) outcome: String,
    /// Whether that took an attempt to send it.
    pub(super) tried: bool,
}

/// When the reader is looked at next.
#[derive(Debug, Clone, Copy)]
pub(super) enum Next {
    /// Then, unless there are more notices than the `held` ones that were seen.
    At(DateTime<Utc>, i64),
    /// After a letter: when this time has passed, if anything waits.
    Rested(Duration),
    /// At once, if anything waits.
    Free,
    /// After this pause. A letter that was about to be sent, and may have been, stays the same.
    Again(Duration),
}

const CLAIM: &str = "with due as (
         select user_id from react.reader where due_at <= clock_timestamp() order by due_at limit $1 for update skip locked
     )
     update react.reader r
     set claim = gen_random_uuid(), attempts = r.attempts + 1, due_at = clock_timestamp() + make_interval(secs => $2)
     from due d where r.user_id = d.user_id
     returning r.user_id, r.claim, r.letter, r.attempts";

/// Claims at most `limit` readers who are due.
pub(super) async fn claim(pool: &PgPool, limit: usize, holds: Duration) -> Result<Vec<Claimed>, sqlx::Error> {
    let rows = sqlx::query(CLAIM).bind(limit as i64).bind(holds.as_secs_f64()).fetch_all(pool).await?;
    let claimed = |row: PgRow| {
        Ok(Claimed {
            user: row.try_get("user_id")?,
            claim: row.try_get("claim")?,
            letter: row.try_get("letter")?,
            attempt: row.try_get::<i32, _>("attempts")?.unsigned_abs(),
        })
    };
    rows.into_iter().map(claimed).collect()
}

/// What waits for a reader, the urgent and then the oldest first: of the letter that was about to be sent, or all.
pub(super) async fn waiting(pool: &PgPool, claimed: &Claimed) -> Result<Vec<Waiting>, sqlx::Error> {
    let rows = sqlx::query(
        "select id, event_id, kind, tenant, stream_id, category, urgent, noted_at, attempts from react.notice
         where user_id = $1 and state = 'pending' and ($2::uuid is null or letter = $2) order by urgent desc, noted_at, id limit $3",
    )
    .bind(claimed.user)
    .bind(claimed.letter)
    .bind(MOST)
    .fetch_all(pool)
    .await?;
    let waiting = |row: PgRow| {
        Ok(Waiting {
            id: row.try_get("id")?,
            event: row.try_get("event_id")?,
            kind: Kind::of_name(row.try_get("kind")?),
            tenant: row.try_get("tenant")?,
            stream: row.try_get("stream_id")?,
            category: row.try_get("category")?,
            urgent: row.try_get("urgent")?,
            noted_at: row.try_get("noted_at")?,
            attempts: row.try_get::<i32, _>("attempts")?.unsigned_abs(),
        })
    };
    rows.into_iter().map(waiting).collect()
}

/// Fixes what a letter tells. False: the claim is another's by now.
pub(super) async fn fix(pool: &PgPool, claimed: &Claimed, letter: Uuid, notices: &[Uuid]) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "with mine as (update react.reader set letter = $3 where user_id = $1 and claim = $2 returning user_id)
         update react.notice n set letter = $3 from mine where n.user_id = mine.user_id and n.id = any ($4)",
    )
    .bind(claimed.user)
    .bind(claimed.claim)
    .bind(letter)
    .bind(notices)
    .execute(pool)
    .await?;
    Ok(done.rows_affected() > 0)
}

const BECAME: &str = "update react.notice n
     set state = b.state, outcome = b.outcome, attempts = n.attempts + b.tried::int,
         settled_at = case when b.state = 'pending' then null else clock_timestamp() end
     from unnest($1::uuid[], $2::text[], $3::text[], $4::bool[]) as b (id, state, outcome, tried)
     where n.id = b.id and n.state = 'pending'";

const RETURN: &str = "update react.reader r
     set claim = null, letter = case when $4::float8 is null then null else r.letter end, attempts = case when $4::float8 is null then 0 else r.attempts end,
         rests = case when $3::float8 is null then r.rests else clock_timestamp() + make_interval(secs => $3) end,
         due_at = case
             when $4 is not null then clock_timestamp() + make_interval(secs => $4)
             when w.pending > $6 then clock_timestamp() + make_interval(secs => coalesce($3, 0))
             else coalesce($5, 'infinity') end
     from (select count(*) as pending from react.notice where user_id = $1 and state = 'pending') w
     where r.user_id = $1 and r.claim = $2";

/// Notes what became of notices, and gives the claim back. Nothing happens where it is another's by now.
pub(super) async fn settle(pool: &PgPool, claimed: &Claimed, became: &[Became], next: Next) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    let mine = sqlx::query("select from react.reader where user_id = $1 and claim = $2 for update")
        .bind(claimed.user)
        .bind(claimed.claim)
        .fetch_optional(&mut *tx)
        .await?;
    if mine.is_none() {
        return Ok(());
    }
    sqlx::query(BECAME)
        .bind(became.iter().map(|one| one.id).collect::<Vec<_>>())
        .bind(became.iter().map(|one| one.state).collect::<Vec<_>>())
        // PostgreSQL's text holds no NUL.
        .bind(became.iter().map(|one| one.outcome.replace('\0', "\u{fffd}")).collect::<Vec<_>>())
        .bind(became.iter().map(|one| one.tried).collect::<Vec<_>>())
        .execute(&mut *tx)
        .await?;
    let seconds = |duration: Duration| Some(duration.as_secs_f64());
    let (rest, pause, at, held) = match next {
        Next::At(at, held) => (None, None, Some(at), held),
        Next::Rested(rest) => (seconds(rest), None, None, 0),
        Next::Free => (None, None, None, 0),
        Next::Again(pause) => (None, seconds(pause), None, 0),
    };
    sqlx::query(RETURN)
        .bind(claimed.user)
        .bind(claimed.claim)
        .bind(rest)
        .bind(pause)
        .bind(at)
        .bind(held)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}
