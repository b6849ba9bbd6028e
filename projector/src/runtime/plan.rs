//! The plan of one transaction: what a batch of decoded events comes to for some projections.
//!
//! Owns the fold, and who is parked by it. Pure memory: nothing here reads or writes, and what a plan would change in the worker's
//! memory is taken over only when its transaction has committed.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use docket_events::{Recorded, ShardId};
use docket_log::faults::{self, Bug};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    decode::Item,
    shard::{Shard, Standing},
};
use crate::projection::{AnyBatch, Poison, Registry, Schema};

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
    pub(crate) revision: i64,
    /// Streams that are parked with it.
    pub(crate) parked: HashSet<Uuid>,
    pub(crate) event_time: DateTime<Utc>,
    /// The event that it ends with.
    pub(crate) last: Uuid,
}

impl Move {
    /// The revision afterwards.
    pub(crate) fn next_revision(&self) -> i64 {
        self.revision + i64::from(!self.parked.is_empty())
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

/// One projection's rows.
pub(crate) struct Part {
    pub(crate) projection: usize,
    /// Where they go. Should a shard know of an older home than another one, its checkpoint has moved on with the home, and the
    /// comparison stops the whole transaction before a row is written.
    pub(crate) home: Schema,
    pub(crate) batch: Box<dyn AnyBatch>,
}

/// An event that would park more streams than may be.
#[derive(Debug)]
pub(crate) struct Overrun<'a> {
    pub(crate) shard: ShardId,
    pub(crate) event: &'a Recorded,
    /// Why it cannot be applied.
    pub(crate) error: String,
}

/// What one transaction writes.
pub(crate) struct Plan<'a> {
    pub(crate) moves: Vec<Move>,
    pub(crate) parts: Vec<Part>,
    pub(crate) feed: Vec<FeedRow<'a>>,
    pub(crate) letters: Vec<Letter<'a>>,
    /// Streams parked per shard, each counted once however many projections refuse it.
    pub(crate) parkings: BTreeMap<ShardId, HashSet<Uuid>>,
    /// Where more streams would have been parked than may be.
    pub(crate) overrun: Vec<Overrun<'a>>,
}

/// What a fold needs to know.
pub(crate) struct Folder<'m> {
    pub(crate) registry: Registry,
    pub(crate) shards: &'m mut BTreeMap<ShardId, Shard>,
    pub(crate) refused: &'m Refused,
    pub(crate) park_limit: usize,
    /// Whether changes are told in the feed.
    pub(crate) feeds: bool,
}

impl Folder<'_> {
    /// Folds `slices` for each of `projections` that stands right before them.
    pub(crate) fn fold<'a>(&mut self, slices: &[Slice<'a>], projections: &[usize]) -> Plan<'a> {
        let mut plan = Plan {
            moves: Vec::new(),
            parts: Vec::new(),
            feed: Vec::new(),
            letters: Vec::new(),
            parkings: BTreeMap::new(),
            overrun: Vec::new(),
        };
        let now = Instant::now();
        for projection in projections {
            let mut batch = self.registry[*projection].batch();
            let mut home = None;
            for slice in slices {
                home = self.fold_shard(&mut plan, batch.as_mut(), *projection, *slice, now).or(home);
            }
            if let Some(home) = home {
                plan.parts.push(Part { projection: *projection, home, batch });
            }
        }
        plan
    }

    /// Folds one shard; answers where the rows go when there are any.
    fn fold_shard<'a>(
        &mut self,
        plan: &mut Plan<'a>,
        batch: &mut dyn AnyBatch,
        projection: usize,
        slice: Slice<'a>,
        now: Instant,
    ) -> Option<Schema> {
        let shard = self.shards.get_mut(&slice.shard)?;
        let room = self.park_limit.saturating_sub(shard.parked_lately(now));
        let standing = shard.standings.iter().find(|standing| standing.projection == projection)?;
        let (registry, feeds) = (self.registry, self.feeds);
        let mut fold = Fold { registry, feeds, projection, slice: slice.shard, standing, room, parked: HashSet::new() };
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
            if let Err(error) = fold.one(plan, batch, item, self.refused) {
                plan.overrun.push(Overrun { shard: slice.shard, event: &item.event, error });
                break;
            }
            at = sequence;
            last = Some(&item.event);
        }
        let last = last?;
        let Fold { parked, .. } = fold;
        plan.moves.push(Move {
            projection,
            shard: slice.shard,
            from: standing.sequence,
            to: at,
            revision: standing.revision,
            parked,
            event_time: last.time,
            last: last.id,
        });
        Some(standing.home.clone())
    }
}

/// The fold of one shard for one projection.
struct Fold<'s> {
    registry: Registry,
    feeds: bool,
    projection: usize,
    slice: ShardId,
    standing: &'s Standing,
    room: usize,
    parked: HashSet<Uuid>,
}

impl Fold<'_> {
    /// Folds one event. When that would park more streams than may be, nothing is done, and why it cannot be applied is the error.
    fn one<'a>(
        &mut self,
        plan: &mut Plan<'a>,
        batch: &mut dyn AnyBatch,
        item: &'a Item,
        refused: &Refused,
    ) -> Result<(), String> {
        let event = &item.event;
        let stream = event.stream.id;
        if self.standing.parked.contains(&stream) || self.parked.contains(&stream) {
            self.put_aside(plan, item, None);
            return Ok(());
        }
        let applied = match (&item.data, refused.get(&(self.projection, event.id))) {
            (_, Some(error)) => Err(Poison::new(error.clone())),
            (Err(poison), None) => Err(poison.clone()),
            (Ok(data), None) => batch.apply(event, data).map(|()| data),
        };
        match applied {
            Ok(data) => {
                let change = if self.feeds { self.registry[self.projection].change(event, data) } else { None };
                if let Some(change) = change {
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
                    return Err(poison.to_string());
                }
                parkings.insert(stream);
                self.parked.insert(stream);
                self.put_aside(plan, item, Some(poison.to_string()));
            }
        }
        Ok(())
    }

    fn put_aside<'a>(&self, plan: &mut Plan<'a>, item: &'a Item, error: Option<String>) {
        plan.letters.push(Letter { projection: self.projection, shard: self.slice, item, error });
    }
}
