//! What was taken away, told to those who let people in: a follower of the events that end sessions, rights and keys.
//!
//! Owns the statement over `auth.revocation`, a view of the journal, and what each event takes away. The journal and not the log is
//! followed, so that it holds while Kafka is away. What is read overlaps with what was read before, so that neither a transaction that
//! committed late nor a database that was put back to an earlier state hides anything.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use docket_events::{
    EventData,
    identity::{AllSessionsRevoked, IdentityEvent, MemberRemoved, PasswordChanged, RoleChanged},
};
use docket_platform::{
    auth::{Revocation, Revocations},
    db,
};
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How often the journal is looked at: a fifth of what a right may outlive its end.
const PERIOD: Duration = Duration::from_secs(1);
/// How far each look reaches back behind the one before: longer than any transaction of the journal may take.
const OVERLAP: TimeDelta = TimeDelta::seconds(60);
/// The longest life of what could still name something that was taken away: an access token's 15 minutes, and clocks differ.
const MEMORY: Duration = Duration::from_secs(20 * 60);

/// The time of the look, and an event, if there is one.
#[derive(sqlx::FromRow)]
struct Row {
    now: DateTime<Utc>,
    stream_id: Option<Uuid>,
    stream_version: Option<i64>,
    tenant: Option<Uuid>,
    event_type: Option<String>,
    data: Option<String>,
}

const NEWS: &str = "select look.now, r.stream_id, r.stream_version, r.tenant, r.event_type, r.data
     from (select clock_timestamp() as now) look
     left join auth.revocation r on r.recorded_at > coalesce($1, now() - make_interval(secs => $2))
     order by r.recorded_at, r.stream_id, r.stream_version";

/// Feeds `revocations` until `stop`; `pool` belongs to the writer's or the reader's role.
pub async fn follow(pool: PgPool, revocations: &Revocations, stop: CancellationToken) {
    revocations.begin(Instant::now());
    let mut since = None;
    let mut pause = tokio::time::interval(PERIOD);
    pause.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = pause.tick() => {}
        }
        let asked = Instant::now();
        match news(&pool, since).await {
            Ok(rows) => {
                let until = asked + MEMORY;
                revocations.add(rows.iter().filter_map(revocation).map(|revocation| (revocation, until)), asked);
                since = rows.first().map(|row| row.now - OVERLAP);
                revocations.is_current(asked);
            }
            Err(error) => {
                tracing::warn!(%error, "what was taken away cannot be read; nobody is let in on old knowledge")
            }
        }
    }
}

async fn news(pool: &PgPool, since: Option<DateTime<Utc>>) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as(NEWS).bind(since).bind(MEMORY.as_secs_f64()).fetch_all(&mut *db::acquire(pool).await?).await
}

/// What an event takes away. One that cannot be read takes nothing: its stream is refused by whoever folds it.
fn revocation(row: &Row) -> Option<Revocation> {
    let (stream, tenant, version) = (row.stream_id?, row.tenant?, row.stream_version?);
    let event = match IdentityEvent::decode(row.event_type.as_deref()?, row.data.as_deref()?) {
        Ok(event) => event,
        Err(error) => {
            tracing::error!(%error, "an event that takes something away cannot be read");
            return None;
        }
    };
    let below = version as u64;
    match event {
        IdentityEvent::SessionRevoked(_) => Some(Revocation::Session(stream)),
        IdentityEvent::AllSessionsRevoked(AllSessionsRevoked { kept }) => {
            Some(Revocation::Sessions { user: stream, below, kept: Some(kept) })
        }
        IdentityEvent::PasswordChanged(PasswordChanged { kept, .. }) => {
            Some(Revocation::Sessions { user: stream, below, kept })
        }
        IdentityEvent::RoleChanged(RoleChanged { user_id, .. })
        | IdentityEvent::MemberRemoved(MemberRemoved { user_id, .. }) => {
            Some(Revocation::Member { tenant, user: user_id, below })
        }
        IdentityEvent::ApiKeyRevoked(_) => Some(Revocation::Key(stream)),
        _ => None,
    }
}
