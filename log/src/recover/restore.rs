//! The transaction that gives one shard its tail back.
//!
//! Owns its statements, and the rule for what was journalled since the restore: on streams that the tail does not touch it moves
//! behind the tail; on others the clock's own events are void, and those of people have to be set aside.

use std::collections::{BTreeMap, BTreeSet};

use docket_events::{Recorded, ShardId, StreamId};
use futures_util::TryStreamExt;
use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

use super::{Derive, Derived, Price, RecoverError, Recovered, SetAside, Tail};
use crate::{faults, journal};

/// Rows inserted by one statement.
const CHUNK: usize = 2000;

/// What becomes of the events that were journalled since the restore.
#[derive(Debug, Default)]
struct Sorted<'a> {
    /// They go behind the tail.
    moved: Vec<&'a Recorded>,
    /// The clock's, on streams that the tail goes on with.
    void: Vec<&'a Recorded>,
    /// Those of people, on such streams.
    conflicting: Vec<&'a Recorded>,
}

fn sort(tail: &Tail) -> Sorted<'_> {
    let goes_on: BTreeSet<StreamId> = tail.topic.iter().map(|event| event.stream).collect();
    let mut sorted = Sorted::default();
    for event in &tail.journal {
        match (goes_on.contains(&event.stream), event.metadata().principal) {
            (false, _) => sorted.moved.push(event),
            (true, None) => sorted.void.push(event),
            (true, Some(_)) => sorted.conflicting.push(event),
        }
    }
    sorted
}

/// How one shard gets its tail back, for no more than the price.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    tail: &'a Tail,
    sorted: Sorted<'a>,
    derived: BTreeMap<StreamId, (Uuid, Derived)>,
    unreadable: usize,
}

/// Sees what one shard's tail costs, and changes nothing.
pub(super) async fn plan<'a>(
    owner: &PgPool,
    tail: &'a Tail,
    derive: &impl Derive,
    price: &Price<'_, impl SetAside>,
) -> Result<Plan<'a>, RecoverError> {
    let sorted = sort(tail);
    let shard = tail.shard;
    let streams: BTreeSet<StreamId> = sorted.conflicting.iter().map(|event| event.stream).collect();
    if !streams.is_empty() && price.aside.is_none() {
        return Err(RecoverError::Conflict { shard, events: sorted.conflicting.len(), streams: streams.len() });
    }
    let derived = derive_all(owner, tail, &sorted, derive).await?;
    let unreadable = derived.values().map(|(_, derived)| derived.unreadable).sum();
    if unreadable > 0 && !price.without_keys {
        return Err(RecoverError::KeysMissing { shard, fields: unreadable });
    }
    Ok(Plan { tail, sorted, derived, unreadable })
}

/// Mends one shard, all of it or nothing.
pub(super) async fn restore(
    owner: &PgPool,
    plan: &Plan<'_>,
    price: &mut Price<'_, impl SetAside>,
) -> Result<Recovered, RecoverError> {
    let Plan { tail, sorted, derived, unreadable } = plan;
    let shard = tail.shard;
    let end = tail.topic.last().map_or(tail.common, |last| last.sequence);
    let behind: Vec<Recorded> =
        (end + 1..).zip(&sorted.moved).map(|(sequence, event)| Recorded { sequence, ..(*event).clone() }).collect();

    let mut connection = owner.acquire().await?;
    let mut transaction = connection.begin().await?;
    sqlx::query("set local lock_timeout = '10s'").execute(&mut *transaction).await?;
    hold(&mut transaction, tail).await?;
    let projected = !tail.journal.is_empty() && is_projected(&mut transaction, tail).await?;
    remove(&mut transaction, tail).await?;
    insert(&mut transaction, &tail.topic).await?;
    insert(&mut transaction, &behind).await?;
    advance(&mut transaction, shard, end, end + behind.len() as u64).await?;
    for (stream, (tenant, derived)) in derived {
        keep(&mut transaction, *stream, *tenant, derived).await?;
    }
    if let Some(aside) = price.aside.as_deref_mut()
        && !sorted.conflicting.is_empty()
    {
        aside.keep(&sorted.conflicting.iter().map(|event| (*event).clone()).collect::<Vec<_>>())?;
    }
    faults::step("recover.before_commit");
    transaction.commit().await?;
    Ok(Recovered {
        shard,
        common: tail.common,
        restored: tail.topic.len(),
        moved: sorted.moved.len(),
        void: sorted.void.len(),
        set_aside: sorted.conflicting.len(),
        unreadable: *unreadable,
        projected,
    })
}

/// What is kept beside every stream that changes, made from all its events as they will stand.
async fn derive_all(
    owner: &PgPool,
    tail: &Tail,
    sorted: &Sorted<'_>,
    derive: &impl Derive,
) -> Result<BTreeMap<StreamId, (Uuid, Derived)>, RecoverError> {
    let mut streams: BTreeMap<StreamId, Vec<&Recorded>> = BTreeMap::new();
    for event in tail.topic.iter().chain(sorted.moved.iter().copied()) {
        streams.entry(event.stream).or_default().push(event);
    }
    let mut all = BTreeMap::new();
    for (stream, new) in streams {
        let Some(first) = new.first() else { continue };
        let mut events: Vec<Recorded> = journal::stream_events(owner, stream)
            .try_filter(|event| std::future::ready(event.sequence <= tail.common))
            .try_collect()
            .await?;
        let tenant = first.tenant;
        events.extend(new.into_iter().cloned());
        all.insert(stream, (tenant, derive.derive(stream, &events).await?));
    }
    Ok(all)
}

/// Keeps others from the shard, and sees that it stands where it was when it was looked at.
async fn hold(connection: &mut PgConnection, tail: &Tail) -> Result<(), RecoverError> {
    let sequence: i64 =
        sqlx::query_scalar("select sequence from write.shard where category = $1 and shard = $2 for update")
            .bind(tail.shard.category.code())
            .bind(tail.shard.shard as i16)
            .fetch_one(connection)
            .await?;
    if sequence as u64 == tail.common + tail.journal.len() as u64 {
        return Ok(());
    }
    Err(RecoverError::Moving(tail.shard))
}

/// Whether a projection has applied something behind the parting.
async fn is_projected(connection: &mut PgConnection, tail: &Tail) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select exists (select from read.checkpoint where category = $1 and shard = $2 and sequence > $3)",
    )
    .bind(tail.shard.category.code())
    .bind(tail.shard.shard as i16)
    .bind(tail.common as i64)
    .fetch_one(connection)
    .await
}

/// Takes away what was journalled behind the parting, with what was kept because of it.
async fn remove(connection: &mut PgConnection, tail: &Tail) -> Result<(), sqlx::Error> {
    sqlx::query("delete from write.journal where category = $1 and shard = $2 and sequence > $3")
        .bind(tail.shard.category.code())
        .bind(tail.shard.shard as i16)
        .bind(tail.common as i64)
        .execute(&mut *connection)
        .await?;
    let goes_on: BTreeSet<StreamId> = tail.topic.iter().map(|event| event.stream).collect();
    let gone: Vec<&Recorded> = tail.journal.iter().filter(|event| goes_on.contains(&event.stream)).collect();
    if gone.is_empty() {
        return Ok(());
    }
    let (streams, versions): (Vec<Uuid>, Vec<i64>) =
        gone.iter().map(|event| (event.stream.id, event.version as i64)).unzip();
    // The same command, repeated, is decided anew.
    for sql in [
        "delete from write.idempotency i using unnest($1::uuid[], $2::bigint[]) as g (stream, version)
         where i.stream_id = g.stream and i.version >= g.version",
        "delete from write.snapshot s using unnest($1::uuid[], $2::bigint[]) as g (stream, version)
         where s.stream_id = g.stream and s.version >= g.version",
    ] {
        sqlx::query(sql).bind(&streams).bind(&versions).execute(&mut *connection).await?;
    }
    sqlx::query("delete from write.claim where stream_id = any ($1)").bind(&streams).execute(connection).await.map(drop)
}

async fn insert(connection: &mut PgConnection, events: &[Recorded]) -> Result<(), sqlx::Error> {
    for chunk in events.chunks(CHUNK) {
        sqlx::query(
            "insert into write.journal (category, shard, sequence, stream_id, stream_version, event_id, tenant, time, recorded_at,
                                        event_type, data, meta)
             select * from unnest($1::smallint[], $2::smallint[], $3::bigint[], $4::uuid[], $5::bigint[], $6::uuid[], $7::uuid[],
                                  $8::timestamptz[], $9::timestamptz[], $10::text[], $11::text[], $12::text[])",
        )
        .bind(chunk.iter().map(|event| event.stream.category.code()).collect::<Vec<_>>())
        .bind(chunk.iter().map(|event| event.shard as i16).collect::<Vec<_>>())
        .bind(chunk.iter().map(|event| event.sequence as i64).collect::<Vec<_>>())
        .bind(chunk.iter().map(|event| event.stream.id).collect::<Vec<_>>())
        .bind(chunk.iter().map(|event| event.version as i64).collect::<Vec<_>>())
        .bind(chunk.iter().map(|event| event.id).collect::<Vec<_>>())
        .bind(chunk.iter().map(|event| event.tenant).collect::<Vec<_>>())
        .bind(chunk.iter().map(|event| event.time).collect::<Vec<_>>())
        .bind(chunk.iter().map(|event| event.recorded_at).collect::<Vec<_>>())
        .bind(chunk.iter().map(|event| event.event_type.as_str()).collect::<Vec<_>>())
        .bind(chunk.iter().map(|event| event.data.as_str()).collect::<Vec<_>>())
        .bind(chunk.iter().map(|event| event.meta.as_str()).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// The shard ends with `tail`, and the topic, which agrees with it now, with `published`.
async fn advance(connection: &mut PgConnection, shard: ShardId, published: u64, tail: u64) -> Result<(), sqlx::Error> {
    sqlx::query("update write.shard set sequence = $3 where category = $1 and shard = $2")
        .bind(shard.category.code())
        .bind(shard.shard as i16)
        .bind(tail as i64)
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "insert into write.published (category, shard, sequence, moved_at) values ($1, $2, $3, clock_timestamp())
         on conflict (category, shard) do update set sequence = excluded.sequence, halted = null, moved_at = excluded.moved_at",
    )
    .bind(shard.category.code())
    .bind(shard.shard as i16)
    .bind(published as i64)
    .execute(connection)
    .await
    .map(drop)
}

/// Keeps a stream's deadline and claims as they follow from its events.
async fn keep(
    connection: &mut PgConnection,
    stream: StreamId,
    tenant: Uuid,
    derived: &Derived,
) -> Result<(), RecoverError> {
    for claim in &derived.claims {
        let holder: Uuid = sqlx::query_scalar(
            "with kept as (
                 insert into write.claim (kind, value, category, stream_id) values ($1, $2, $3, $4)
                 on conflict (kind, value) do nothing returning stream_id)
             select stream_id from kept union all select stream_id from write.claim where kind = $1 and value = $2 limit 1",
        )
        .bind(claim.kind)
        .bind(&claim.value)
        .bind(stream.category.code())
        .bind(stream.id)
        .fetch_one(&mut *connection)
        .await?;
        if holder != stream.id {
            return Err(RecoverError::ClaimTaken { stream, holder });
        }
    }
    let query = match derived.deadline {
        Some(due_at) => sqlx::query(
            "insert into write.deadline (stream_id, category, tenant, due_at) values ($1, $2, $3, $4)
             on conflict (stream_id) do update set due_at = excluded.due_at, claimed_until = null",
        )
        .bind(stream.id)
        .bind(stream.category.code())
        .bind(tenant)
        .bind(due_at),
        None => sqlx::query("delete from write.deadline where stream_id = $1").bind(stream.id),
    };
    query.execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use docket_events::Category;

    use super::*;

    fn event(stream: u128, sequence: u64, principal: bool) -> Recorded {
        let principal =
            if principal { format!("{{\"principal\":\"{}\"}}", Uuid::from_u128(9)) } else { "{}".to_owned() };
        Recorded {
            stream: StreamId::new(Category::Consultation, Uuid::from_u128(stream)),
            shard: 0,
            sequence,
            version: 1,
            id: Uuid::from_u128(sequence.into()),
            event_type: String::new(),
            tenant: Uuid::nil(),
            time: DateTime::UNIX_EPOCH,
            recorded_at: DateTime::UNIX_EPOCH,
            data: String::new(),
            meta: principal,
        }
    }

    #[test]
    fn what_was_journalled_since_is_moved_void_or_in_conflict() {
        let tail = Tail {
            shard: ShardId { category: Category::Consultation, shard: 0 },
            common: 10,
            topic: vec![event(1, 11, true), event(2, 12, true)],
            journal: vec![event(1, 11, true), event(2, 12, false), event(3, 13, true), event(3, 14, false)],
        };
        let Sorted { moved, void, conflicting } = sort(&tail);
        let at = |events: Vec<&Recorded>| events.iter().map(|event| event.sequence).collect::<Vec<_>>();
        assert_eq!((at(moved), at(void), at(conflicting)), (vec![13, 14], vec![12], vec![11]));
    }
}
