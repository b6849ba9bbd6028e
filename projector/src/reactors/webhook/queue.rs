//! Whose turn it is, and what an attempt came to.
//!
//! Owns the statements over `react.lane`, `react.delivery`, `react.attempt` and `react.endpoint` that claim and settle. A claim is on a
//! lane, a stream of one endpoint, and holds until a time after which others may take it; whoever comes back later changes nothing.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool, Row, postgres::PgRow};
use uuid::Uuid;

use super::Persistence;

/// So many failures in a row, and an endpoint is left alone for a while and then tried by one delivery.
const OPEN_AFTER: i32 = 5;
/// The longest that it is left alone.
const OPEN_AT_MOST: Duration = Duration::from_secs(60);
/// Deliveries at once to an endpoint of which nothing is known yet.
pub(super) const FIRST_ROOM: i32 = 4;

/// A lane that is ours for a while.
#[derive(Debug)]
pub(super) struct Claimed {
    pub(super) lane: Lane,
    /// Its oldest delivery; none: there is none any more.
    pub(super) head: Option<Head>,
}

/// A stream of one endpoint, and the claim on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) endpoint: Uuid,
    pub(super) stream: Uuid,
    pub(super) claim: Uuid,
}

/// What is to be delivered.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) id: Uuid,
    pub(super) tenant: Uuid,
    pub(super) callback: bool,
    pub(super) name: String,
    pub(super) event: Uuid,
    pub(super) version: u64,
    /// Which attempt this is since it was noted or asked for again, and which in all; from 1.
    pub(super) attempt: u32,
    pub(super) number: u32,
}

/// Endpoints are walked from lane to lane. Each gives no more than it has room for, and all of an organisation no more than that has: so none,
/// however much waits for it, takes the turn of another. Which of them come first is left to chance.
const CLAIM: &str = "with recursive walk (endpoint) as (
         (select endpoint, tenant from react.lane order by endpoint limit 1)
         union all
         select n.endpoint, n.tenant from walk w cross join lateral (
             select l.endpoint, l.tenant from react.lane l where l.endpoint > w.endpoint order by l.endpoint limit 1
         ) n
     ), open as (
         select w.endpoint, w.tenant, coalesce(e.failures, 0) >= $5 as failing,
                case when coalesce(e.failures, 0) >= $5 then least(coalesce(b.room, 1), 1) else coalesce(b.room, $3) end as room,
                coalesce(t.room, $9) as of_tenant
         from walk w left join react.endpoint e on e.id = w.endpoint
         left join unnest($1::uuid[], $2::int[]) as b (endpoint, room) on b.endpoint = w.endpoint
         left join unnest($7::uuid[], $8::int[]) as t (tenant, room) on t.tenant = w.tenant
         where not coalesce(e.off, false) and coalesce(e.open_until, '-infinity') <= clock_timestamp()
           and exists (select from react.lane l where l.endpoint = w.endpoint and l.due_at <= clock_timestamp())
     ), shared as (
         select o.*, coalesce(sum(room) over (partition by tenant order by random() rows between unbounded preceding and 1 preceding), 0)
                    as before
         from open o where room > 0
     ), waiting as materialized (
         select endpoint, failing, least(room, of_tenant - before) as room from shared where before < of_tenant order by random()
     ), due as (
         select p.endpoint, p.stream_id, w.failing
         from waiting w cross join lateral (
             select l.endpoint, l.stream_id from react.lane l
             where l.endpoint = w.endpoint and l.due_at <= clock_timestamp()
             order by l.due_at limit w.room
             for update skip locked
         ) p
         limit $4
     ), claimed as (
         update react.lane l
         set claim = gen_random_uuid(), due_at = clock_timestamp() + make_interval(secs => $6)
         from due d where l.endpoint = d.endpoint and l.stream_id = d.stream_id
         returning l.endpoint, l.stream_id, l.claim
     ), probing as (
         update react.endpoint e set open_until = clock_timestamp() + make_interval(secs => $6)
         from (select id from react.endpoint where id in (select endpoint from due where failing) order by id for update) p
         where e.id = p.id
     )
     select c.endpoint, c.stream_id, c.claim, d.id, d.tenant, d.callback, d.event_type, d.event_id, d.stream_version,
            d.attempts, d.tries
     from claimed c left join lateral (
         select * from react.delivery d
         where d.endpoint = c.endpoint and d.stream_id = c.stream_id and d.state = 'pending'
         order by d.stream_version limit 1
     ) d on true";

/// How many more may be under way here: to endpoints and for organisations of which something is known, and for any other organisation.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) endpoints: Vec<(Uuid, i32)>,
    pub(super) tenants: Vec<(Uuid, i32)>,
    pub(super) any_tenant: i32,
}

/// Claims at most `limit` lanes that are due, as far as there is room `left`.
pub(super) async fn claim(
    pool: &PgPool,
    left: &Left,
    limit: usize,
    holds: Duration,
) -> Result<Vec<Claimed>, sqlx::Error> {
    let rows = sqlx::query(CLAIM)
        .bind(left.endpoints.iter().map(|(endpoint, _)| *endpoint).collect::<Vec<_>>())
        .bind(left.endpoints.iter().map(|(_, room)| *room).collect::<Vec<_>>())
        .bind(FIRST_ROOM)
        .bind(limit as i64)
        .bind(OPEN_AFTER)
        .bind(holds.as_secs_f64())
        .bind(left.tenants.iter().map(|(tenant, _)| *tenant).collect::<Vec<_>>())
        .bind(left.tenants.iter().map(|(_, room)| *room).collect::<Vec<_>>())
        .bind(left.any_tenant)
        .fetch_all(pool)
        .await?;
    rows.iter().map(claimed).collect()
}

fn claimed(row: &PgRow) -> Result<Claimed, sqlx::Error> {
    let lane =
        Lane { endpoint: row.try_get("endpoint")?, stream: row.try_get("stream_id")?, claim: row.try_get("claim")? };
    let Some(id) = row.try_get("id")? else { return Ok(Claimed { lane, head: None }) };
    let head = Head {
        id,
        tenant: row.try_get("tenant")?,
        callback: row.try_get("callback")?,
        name: row.try_get("event_type")?,
        event: row.try_get("event_id")?,
        version: row.try_get::<i64, _>("stream_version")?.cast_unsigned(),
        attempt: row.try_get::<i32, _>("attempts")?.unsigned_abs() + 1,
        number: row.try_get::<i32, _>("tries")?.unsigned_abs() + 1,
    };
    Ok(Claimed { lane, head: Some(head) })
}

/// What a delivery comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was taken.
    Delivered,
    /// It is tried again after this time.
    Again(Duration),
    /// It is given up.
    Dead,
}

/// One attempt, for the log of deliveries.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) at: DateTime<Utc>,
    pub(super) duration: Duration,
    pub(super) request: String,
    pub(super) status: Option<u16>,
    pub(super) error: Option<String>,
    pub(super) answer: Option<String>,
}

/// A claim that is given back.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) lane: Lane,
    /// What came of the delivery; none: there was none.
    pub(super) delivery: Option<(Head, Verdict, String)>,
    /// The attempt that was made; none: none was.
    pub(super) attempt: Option<Attempt>,
}

/// An endpoint to which nothing has got through since then.
pub(super) struct Failing {
    pub(super) endpoint: Uuid,
    pub(super) since: DateTime<Utc>,
}

/// Those of the claims that are ours still. The lock keeps whoever notes another delivery waiting until the next one was looked for.
const HELD: &str = "select l.endpoint, l.stream_id, l.claim
     from unnest($1::uuid[], $2::uuid[], $3::uuid[]) as c (endpoint, stream_id, claim)
     join react.lane l on l.endpoint = c.endpoint and l.stream_id = c.stream_id and l.claim = c.claim
     order by l.endpoint, l.stream_id for update of l";

const ATTEMPTED: &str = "insert into react.attempt
         (delivery, number, tenant, endpoint, at, duration_ms, request, status, error, answer)
     select * from unnest($1::uuid[], $2::int[], $3::uuid[], $4::uuid[], $5::timestamptz[], $6::int[], $7::text[], $8::smallint[],
                          $9::text[], $10::text[])
     on conflict do nothing";

const DELIVERED: &str = "update react.delivery d
     set state = s.state, outcome = s.outcome, attempts = d.attempts + s.tried, tries = d.tries + s.tried,
         due_at = clock_timestamp() + make_interval(secs => s.pause),
         settled_at = case when s.state = 'pending' then null else clock_timestamp() end
     from unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::float8[]) as s (id, state, outcome, tried, pause)
     where d.id = s.id";

const NEXT: &str = "update react.lane l set claim = null, due_at = n.due_at
     from unnest($1::uuid[], $2::uuid[]) as k (endpoint, stream_id)
     cross join lateral (
         select d.due_at from react.delivery d
         where d.endpoint = k.endpoint and d.stream_id = k.stream_id and d.state = 'pending'
         order by d.stream_version limit 1
     ) n
     where l.endpoint = k.endpoint and l.stream_id = k.stream_id";

const EMPTY: &str = "delete from react.lane l using unnest($1::uuid[], $2::uuid[]) as k (endpoint, stream_id)
     where l.endpoint = k.endpoint and l.stream_id = k.stream_id
       and not exists (select from react.delivery d
                       where d.endpoint = l.endpoint and d.stream_id = l.stream_id and d.state = 'pending')";

const WELL: &str = "update react.endpoint set failures = 0, failing_since = null, open_until = '-infinity'
     where id = any ($1) and failures > 0";

const ILL: &str = "insert into react.endpoint as e (id, tenant, failures, failing_since)
     select id, tenant, failures, clock_timestamp() from unnest($1::uuid[], $2::uuid[], $3::int[]) as f (id, tenant, failures) order by 1
     on conflict (id) do update set
         failures = least(e.failures + excluded.failures, 1000000),
         failing_since = coalesce(e.failing_since, excluded.failing_since),
         open_until = case when e.failures + excluded.failures < $4 then e.open_until
             else clock_timestamp() + make_interval(secs => least($5, power(2, least(e.failures + excluded.failures - $4, 20)))) end
     returning e.id, e.failing_since";

/// Gives claims back, in one transaction; answers which endpoints have been failing, and since when.
pub(super) async fn settle(pool: &PgPool, settled: &[Settled]) -> Result<Vec<Failing>, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let held: Vec<(Uuid, Uuid, Uuid)> = sqlx::query_as(HELD)
        .bind(settled.iter().map(|one| one.lane.endpoint).collect::<Vec<_>>())
        .bind(settled.iter().map(|one| one.lane.stream).collect::<Vec<_>>())
        .bind(settled.iter().map(|one| one.lane.claim).collect::<Vec<_>>())
        .fetch_all(&mut *tx)
        .await?;
    let claims: Vec<Uuid> = held.iter().map(|(_, _, claim)| *claim).collect();
    let ours: Vec<&Settled> = settled.iter().filter(|one| claims.contains(&one.lane.claim)).collect();
    log_attempts(&mut tx, &ours).await?;
    settle_deliveries(&mut tx, &ours).await?;
    let endpoints: Vec<Uuid> = held.iter().map(|(endpoint, ..)| *endpoint).collect();
    let streams: Vec<Uuid> = held.iter().map(|(_, stream, _)| *stream).collect();
    for next in [NEXT, EMPTY] {
        sqlx::query(next).bind(&endpoints).bind(&streams).execute(&mut *tx).await?;
    }
    let failing = note_health(&mut tx, &ours).await?;
    tx.commit().await?;
    Ok(failing)
}

async fn log_attempts(connection: &mut PgConnection, ours: &[&Settled]) -> Result<(), sqlx::Error> {
    let made = ours.iter().filter_map(|one| {
        let (head, ..) = one.delivery.as_ref()?;
        Some((head, one.lane.endpoint, one.attempt.as_ref()?))
    });
    let made: Vec<(&Head, Uuid, &Attempt)> = made.collect();
    if made.is_empty() {
        return Ok(());
    }
    let milliseconds = |duration: Duration| i32::try_from(duration.as_millis()).unwrap_or(i32::MAX);
    sqlx::query(ATTEMPTED)
        .bind(made.iter().map(|(head, ..)| head.id).collect::<Vec<_>>())
        .bind(made.iter().map(|(head, ..)| head.number.cast_signed()).collect::<Vec<_>>())
        .bind(made.iter().map(|(head, ..)| head.tenant).collect::<Vec<_>>())
        .bind(made.iter().map(|(_, endpoint, _)| *endpoint).collect::<Vec<_>>())
        .bind(made.iter().map(|(.., attempt)| attempt.at).collect::<Vec<_>>())
        .bind(made.iter().map(|(.., attempt)| milliseconds(attempt.duration)).collect::<Vec<_>>())
        .bind(made.iter().map(|(.., attempt)| attempt.request.as_str()).collect::<Vec<_>>())
        .bind(made.iter().map(|(.., attempt)| attempt.status.map(u16::cast_signed)).collect::<Vec<_>>())
        .bind(made.iter().map(|(.., attempt)| attempt.error.as_deref()).collect::<Vec<_>>())
        .bind(made.iter().map(|(.., attempt)| attempt.answer.as_deref()).collect::<Vec<_>>())
        .execute(connection)
        .await
        .map(drop)
}

async fn settle_deliveries(connection: &mut PgConnection, ours: &[&Settled]) -> Result<(), sqlx::Error> {
    let named = |verdict: &Verdict| match verdict {
        Verdict::Delivered => ("delivered", 0.0),
        Verdict::Again(pause) => ("pending", pause.as_secs_f64()),
        Verdict::Dead => ("dead", 0.0),
    };
    let tried = |one: &Settled| i32::from(one.attempt.is_some());
    let done =
        ours.iter().filter_map(|one| one.delivery.as_ref().map(|(head, verdict, why)| (one, head, verdict, why)));
    let done: Vec<_> = done.collect();
    sqlx::query(DELIVERED)
        .bind(done.iter().map(|(_, head, ..)| head.id).collect::<Vec<_>>())
        .bind(done.iter().map(|(.., verdict, _)| named(verdict).0).collect::<Vec<_>>())
        // PostgreSQL's text holds no NUL.
        .bind(done.iter().map(|(.., why)| why.replace('\0', "\u{fffd}")).collect::<Vec<_>>())
        .bind(done.iter().map(|(one, ..)| tried(one)).collect::<Vec<_>>())
        .bind(done.iter().map(|(.., verdict, _)| named(verdict).1).collect::<Vec<_>>())
        .execute(connection)
        .await
        .map(drop)
}

/// One that took anything is well; else each failure counts.
async fn note_health(connection: &mut PgConnection, ours: &[&Settled]) -> Result<Vec<Failing>, sqlx::Error> {
    let mut failures: BTreeMap<Uuid, (Uuid, Option<i32>)> = BTreeMap::new();
    for one in ours.iter().filter(|one| one.attempt.is_some()) {
        let Some((head, verdict, _)) = &one.delivery else { continue };
        let (_, count) = failures.entry(one.lane.endpoint).or_insert((head.tenant, Some(0)));
        *count = count.filter(|_| *verdict != Verdict::Delivered).map(|count| count + 1);
    }
    // In one order, as everybody locks endpoints.
    sqlx::query("select from react.endpoint where id = any ($1) order by id for update")
        .bind(failures.keys().copied().collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
    let well: Vec<Uuid> =
        failures.iter().filter(|(_, (_, count))| count.is_none()).map(|(endpoint, _)| *endpoint).collect();
    if !well.is_empty() {
        sqlx::query(WELL).bind(&well).execute(&mut *connection).await?;
    }
    let ill = failures.iter().filter_map(|(endpoint, (tenant, count))| Some((*endpoint, *tenant, (*count)?)));
    let ill: Vec<(Uuid, Uuid, i32)> = ill.collect();
    if ill.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<(Uuid, DateTime<Utc>)> = sqlx::query_as(ILL)
        .bind(ill.iter().map(|(endpoint, ..)| *endpoint).collect::<Vec<_>>())
        .bind(ill.iter().map(|(_, tenant, _)| *tenant).collect::<Vec<_>>())
        .bind(ill.iter().map(|(.., count)| *count).collect::<Vec<_>>())
        .bind(OPEN_AFTER)
        .bind(OPEN_AT_MOST.as_secs_f64())
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|(endpoint, since)| Failing { endpoint, since }).collect())
}

/// The time after which an endpoint that has been failing is disabled, as the database's clock has it.
pub(super) fn is_beyond(failing: &Failing, now: DateTime<Utc>, persistence: &Persistence) -> bool {
    (now - failing.since).to_std().is_ok_and(|time| time >= persistence.disable_after)
}
