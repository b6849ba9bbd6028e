//! Where topic and journal part: the last sequence under which both hold the same event, and what the topic holds behind it.

use std::collections::BTreeMap;

use docket_events::{Recorded, ShardId};
use futures_util::TryStreamExt;
use sqlx::PgPool;
use uuid::Uuid;

use super::RecoverError;
use crate::{
    journal,
    kafka::{Edge, Probe},
    relay::{
        judge::{Judgement, judge},
        look::look,
    },
};

/// How far behind the supposed parting the search begins.
const WINDOW: u64 = 1000;
/// Messages read at once.
const PAGE: usize = 5000;

/// A shard whose topic goes on where its journal does not.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) shard: ShardId,
    /// Up to here both are the same.
    pub(super) common: u64,
    /// What the topic holds behind it, in sequence.
    pub(super) topic: Vec<Recorded>,
    /// What the journal holds behind it.
    pub(super) journal: Vec<Recorded>,
}

/// Every shard whose topic is ahead of the journal or contradicts it.
pub(super) async fn find(owner: &PgPool, probe: &Probe, shards: &[ShardId]) -> Result<Vec<Tail>, RecoverError> {
    let mut tails = Vec::new();
    for (shard, (edge, sight)) in look::<RecoverError>(owner, probe, shards).await? {
        if let Judgement::Diverged(_) = judge(sight) {
            tails.push(part(owner, probe, shard, edge, sight.journal).await?);
        }
    }
    Ok(tails)
}

/// Looks for the parting of one shard, farther and farther back.
async fn part(owner: &PgPool, probe: &Probe, shard: ShardId, edge: Edge, tail: u64) -> Result<Tail, RecoverError> {
    let last = edge.last.map_or(0, |last| last.sequence);
    let mut window = WINDOW;
    loop {
        let from = tail.min(last).saturating_sub(window);
        let topic = behind(probe, shard, edge, from).await?;
        let journal: BTreeMap<u64, Recorded> =
            journal::shard_events(owner, shard, from).map_ok(|event| (event.sequence, event)).try_collect().await?;
        let same = |sequence: &u64, id: Uuid| journal.get(sequence).is_some_and(|event| event.id == id);
        let common = topic.iter().rev().find(|(sequence, event)| same(sequence, event.id)).map(|(at, _)| *at);
        if let Some(common) = common.or((from == 0).then_some(0)) {
            let topic: Vec<Recorded> = topic.into_values().filter(|event| event.sequence > common).collect();
            if let Some((sequence, _)) = (common + 1..).zip(&topic).find(|(at, event)| *at != event.sequence) {
                return Err(RecoverError::Hole { shard, sequence });
            }
            let journal = journal.into_values().filter(|event| event.sequence > common).collect();
            return Ok(Tail { shard, common, topic, journal });
        }
        window = window.saturating_mul(8);
    }
}

/// What the topic holds behind sequence `from`, each once. A message never stands before the place that its sequence has in a topic
/// without repetitions.
async fn behind(probe: &Probe, shard: ShardId, edge: Edge, from: u64) -> Result<BTreeMap<u64, Recorded>, RecoverError> {
    let mut events = BTreeMap::new();
    let mut offset = edge.low.max(i64::try_from(from).unwrap_or(i64::MAX));
    while offset < edge.end {
        let page = probe.page(shard, offset, edge.end, PAGE).await?;
        for event in page.events.into_iter().filter(|event| event.sequence > from) {
            let (sequence, id) = (event.sequence, event.id);
            let first: &mut Recorded = events.entry(sequence).or_insert(event);
            if first.id != id {
                return Err(RecoverError::Contradiction { shard, sequence });
            }
        }
        offset = page.next;
    }
    Ok(events)
}
