//! The plan of one transaction: what a batch of decoded events comes to for some projections.
//!
//! Owns the fold, and who is parked by it. Pure memory: nothing here reads or writes, and what a plan would change in the worker's
//! memory is taken over only when its transaction has committed.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use docket_events::ShardId;
use docket_log::faults::{self, Bug};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    decode::Item,
    shard::{Shard, Standing},
};
use crate::projection::{AnyBatch, Poison, Registry};

/// Consecutive decoded events of one shard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slice<'a> {
    pub(crate) shard: ShardId,
    pub(crate) items: &'a [Item],
}

/// Events whose write failed for their data, by projection and event id.
pub(crate) type Refused = HashMap<(usize, Uuid), String>;

/// A checkpoint's way in the transaction.
#[derive(Debug)]
pub(crate) struct Move {
    pub(crate) projection: usize,
    pub(crate) shard: ShardId,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) generation: i64,
    /// Streams that are parked with it.
    pub(crate) parked: HashSet<Uuid>,
    pub(crate) event_time: DateTime<Utc>,
    /// The event that it ends with.
    pub(crate) last: Uuid,
}

impl Move {
    /// The generation afterwards.
    pub(crate) fn next_generation(&self) -> i64 {
        self.generation + i64::from(!self.parked.is_empty())
    }
}

/// A row of the change feed.
#[derive(Debug)]
pub(crate) struct FeedRow<'a> {
    pub(crate) projection: usize,
    pub(crate) shard: ShardId,
    pub(crate) sequence: u64,
    pub(crate) tenant: Uuid,
    pub(crate) key: Uuid,
    pub(crate) kind: &'a str,
}

/// An event that is put aside.
#[derive(Debug)]
pub(crate) struct Letter<'a> {
    pub(crate) projection: usize,
    pub(crate) shard: ShardId,
    pub(crate) item: &'a Item,
    /// Why, on the first of its stream.
    pub(crate) error: Option<String>,
}

/// What one transaction writes.
pub(crate) struct Plan<'a> {
    pub(crate) moves: Vec<Move>,
    pub(crate) batches: Vec<(usize, Box<dyn AnyBatch>)>,
    pub(crate) feed: Vec<FeedRow<'a>>,
    pub(crate) letters: Vec<Letter<'a>>,
    /// Streams parked per shard, each counted once however many projections refuse it.
    pub(crate) parkings: BTreeMap<ShardId, HashSet<Uuid>>,
    /// Shards in which more streams would have been parked than may be.
    pub(crate) overrun: Vec<ShardId>,
}

/// What a fold needs to know.
pub(crate) struct Folder<'m> {
    pub(crate) registry: Registry,
    pub(crate) shards: &'m mut BTreeMap<ShardId, Shard>,
    pub(crate) refused: &'m Refused,
    pub(crate) park_limit: usize,
}

impl Folder<'_> {
    /// Folds `slices` for each of `projections` that stands right before them.
    pub(crate) fn fold<'a>(&mut self, slices: &[Slice<'a>], projections: &[usize]) -> Plan<'a> {
        let mut plan = Plan {
            moves: Vec::new(),
            batches: Vec::new(),
            feed: Vec::new(),
            letters: Vec::new(),
            parkings: BTreeMap::new(),
            overrun: Vec::new(),
        };
        let now = Instant::now();
        for projection in projections {
            let mut batch = self.registry[*projection].batch();
            let moves = plan.moves.len();
            for slice in slices {
                self.fold_shard(&mut plan, batch.as_mut(), *projection, *slice, now);
            }
            if plan.moves.len() > moves {
                plan.batches.push((*projection, batch));
            }
        }
        plan
    }

    fn fold_shard<'a>(
        &mut self,
        plan: &mut Plan<'a>,
        batch: &mut dyn AnyBatch,
        projection: usize,
        slice: Slice<'a>,
        now: Instant,
    ) {
        let Some(shard) = self.shards.get_mut(&slice.shard) else { return };
        let room = self.park_limit.saturating_sub(shard.parked_lately(now));
        let Some(standing) = shard.standings.iter().find(|standing| standing.projection == projection) else { return };
        let mut fold =
            Fold { registry: self.registry, projection, slice: slice.shard, standing, room, parked: HashSet::new() };
        let mut at = standing.sequence;
        let mut last = None;
        for item in slice.items {
            let sequence = item.event.sequence;
            if sequence <= at {
                continue;
            }
            // Behind where the slice begins, or as far as it is to go.
            if (sequence != at + 1 && !faults::has(Bug::ReadPastGap)) || sequence > standing.until {
                break;
            }
            if !fold.one(plan, batch, item, self.refused) {
                plan.overrun.push(slice.shard);
                break;
            }
            at = sequence;
            last = Some(&item.event);
        }
        let Some(last) = last else { return };
        let Fold { parked, .. } = fold;
        plan.moves.push(Move {
            projection,
            shard: slice.shard,
            from: standing.sequence,
            to: at,
            generation: standing.generation,
            parked,
            event_time: last.time,
            last: last.id,
        });
    }
}

/// The fold of one shard for one projection.
struct Fold<'s> {
    registry: Registry,
    projection: usize,
    slice: ShardId,
    standing: &'s Standing,
    room: usize,
    parked: HashSet<Uuid>,
}

impl Fold<'_> {
    /// Folds one event; false when that would park more streams than may be, and nothing was done.
    fn one<'a>(&mut self, plan: &mut Plan<'a>, batch: &mut dyn AnyBatch, item: &'a Item, refused: &Refused) -> bool {
        let event = &item.event;
        let stream = event.stream.id;
        if self.standing.parked.contains(&stream) || self.parked.contains(&stream) {
            self.put_aside(plan, item, None);
            return true;
        }
        let applied = match (&item.data, refused.get(&(self.projection, event.id))) {
            (_, Some(error)) => Err(Poison::new(error.clone())),
            (Err(poison), None) => Err(poison.clone()),
            (Ok(data), None) => batch.apply(event, data).map(|()| data),
        };
        match applied {
            Ok(data) => {
                if let Some(change) = self.registry[self.projection].change(event, data) {
                    plan.feed.push(FeedRow {
                        projection: self.projection,
                        shard: self.slice,
                        sequence: event.sequence,
                        tenant: event.tenant,
                        key: change.key,
                        kind: change.kind,
                    });
                }
            }
            Err(poison) => {
                let parkings = plan.parkings.entry(self.slice).or_default();
                if !parkings.contains(&stream) && parkings.len() >= self.room {
                    return false;
                }
                parkings.insert(stream);
                self.parked.insert(stream);
                self.put_aside(plan, item, Some(poison.to_string()));
            }
        }
        true
    }

    fn put_aside<'a>(&self, plan: &mut Plan<'a>, item: &'a Item, error: Option<String>) {
        plan.letters.push(Letter { projection: self.projection, shard: self.slice, item, error });
    }
}
