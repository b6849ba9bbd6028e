//! What was taken away, told to those who let people in: a follower of the events that end sessions, rights and keys.
//!
//! Owns the statement over `auth.revocation`, a view of the journal, and what each event takes away. The journal and not the log is
//! followed, so that it holds while Kafka is away; each shard from the last sequence that was seen, so that nothing is missed.

use std::{collections::HashMap, time::Duration};

use docket_events::{
    Category, EventData,
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
/// The longest life of what could still name something that was taken away: an access token's 15 minutes, and clocks differ.
const MEMORY: Duration = Duration::from_secs(20 * 60);

#[derive(sqlx::FromRow)]
struct Row {
    shard: i16,
    sequence: i64,
    stream_id: Uuid,
    stream_version: i64,
    tenant: Uuid,
    event_type: String,
    data: String,
}

/// A shard of which nothing was seen yet begins with what is young enough to matter.
const NEWS: &str = "select r.shard, r.sequence, r.stream_id, r.stream_version, r.tenant, r.event_type, r.data
     from unnest($2::smallint[], $3::bigint[]) as seen (shard, sequence)
     join auth.revocation r on r.category = $1 and r.shard = seen.shard and r.sequence > seen.sequence
     where seen.sequence > 0 or r.recorded_at > now() - make_interval(secs => $4)
     order by r.shard, r.sequence";

/// Feeds `revocations` until `stop`; `pool` belongs to the writer's or the reader's role.
pub async fn follow(pool: PgPool, shards: u16, revocations: &Revocations, stop: CancellationToken) {
    revocations.begin(Instant::now());
    let mut seen: HashMap<i16, i64> = (0..shards).map(|shard| (shard as i16, 0)).collect();
    let mut pause = tokio::time::interval(PERIOD);
    pause.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = pause.tick() => {}
        }
        let asked = Instant::now();
        match news(&pool, &seen).await {
            Ok(rows) => {
                let until = asked + MEMORY;
                revocations.add(rows.iter().filter_map(revocation).map(|revocation| (revocation, until)), asked);
                seen.extend(rows.iter().map(|row| (row.shard, row.sequence)));
                revocations.is_current(asked);
            }
            Err(error) => {
                tracing::warn!(%error, "what was taken away cannot be read; nobody is let in on old knowledge")
            }
        }
    }
}

async fn news(pool: &PgPool, seen: &HashMap<i16, i64>) -> Result<Vec<Row>, sqlx::Error> {
    let (shards, sequences): (Vec<i16>, Vec<i64>) = seen.iter().unzip();
    sqlx::query_as(NEWS)
        .bind(Category::Identity.code())
        .bind(shards)
        .bind(sequences)
        .bind(MEMORY.as_secs_f64())
        .fetch_all(&mut *db::acquire(pool).await?)
        .await
}

/// What an event takes away. One that cannot be read takes nothing: its stream is refused by whoever folds it.
fn revocation(row: &Row) -> Option<Revocation> {
    let event = match IdentityEvent::decode(&row.event_type, &row.data) {
        Ok(event) => event,
        Err(error) => {
            tracing::error!(%error, "an event that takes something away cannot be read");
            return None;
        }
    };
    let below = row.stream_version as u64;
    match event {
        IdentityEvent::SessionRevoked(_) => Some(Revocation::Session(row.stream_id)),
        IdentityEvent::AllSessionsRevoked(AllSessionsRevoked { kept }) => {
            Some(Revocation::Sessions { user: row.stream_id, below, kept: Some(kept) })
        }
        IdentityEvent::PasswordChanged(PasswordChanged { kept, .. }) => {
            Some(Revocation::Sessions { user: row.stream_id, below, kept })
        }
        IdentityEvent::RoleChanged(RoleChanged { user_id, .. })
        | IdentityEvent::MemberRemoved(MemberRemoved { user_id, .. }) => {
            Some(Revocation::Member { tenant: row.tenant, user: user_id, below })
        }
        IdentityEvent::ApiKeyRevoked(_) => Some(Revocation::Key(row.stream_id)),
        _ => None,
    }
}
