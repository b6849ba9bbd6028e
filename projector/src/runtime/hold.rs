//! Which shards the engine holds, and what it knows of them.
//!
//! Owns the loading. A projection whose live rows another version made is left alone, and looked at again now and then: it is live for
//! this release once a rebuild has switched.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use docket_events::ShardId;
use docket_log::reader::Reader;
use tokio::time::Instant;

use super::{
    engine::{Engine, EngineError},
    shard::{self, Limits, Shard},
};
use crate::metrics;

/// How long a projection is left alone until it is looked at again.
const OUTDATED_REST: Duration = Duration::from_secs(5);

/// What is remembered of projections that are left alone.
#[derive(Debug, Default)]
pub(super) struct Outdated {
    /// Which were told to the operator already, with the version of their live rows.
    told: BTreeSet<(usize, u32)>,
    looked: Option<Instant>,
}

impl<R: Reader> Engine<R> {
    /// Works exactly the shards `held` from now on: forgets the others, and loads where projections stand in new ones.
    ///
    /// # Errors
    /// See [`EngineError`]; new shards are then tried again at the next call.
    pub async fn hold(&mut self, held: &BTreeSet<ShardId>) -> Result<(), EngineError> {
        self.shards.retain(|id, shard| {
            let kept = held.contains(id);
            if let (false, Some((stop, _))) = (kept, shard.rest) {
                metrics::get().stopped.with_label_values(&[&id.to_string(), stop.name()]).set(0);
            }
            kept
        });
        let new: Vec<ShardId> = held.iter().filter(|shard| !self.shards.contains_key(shard)).copied().collect();
        if new.is_empty() {
            return Ok(());
        }
        let loaded = self.load(&new).await?;
        self.shards.extend(loaded);
        Ok(())
    }

    /// Looks anew at where the projections stand in `wanted`, after somebody else had moved them.
    pub(super) async fn reload(&mut self, wanted: &[ShardId]) -> Result<(), EngineError> {
        for (id, fresh) in self.load(wanted).await? {
            if let Some(shard) = self.shards.get_mut(&id) {
                shard.standings = fresh.standings;
                shard.last = None;
            }
        }
        Ok(())
    }

    async fn load(&mut self, wanted: &[ShardId]) -> Result<BTreeMap<ShardId, Shard>, EngineError> {
        let mut connection = self.pool.acquire().await?;
        let limits = self.limits.as_ref();
        let loaded = shard::load(&mut connection, &self.schema, self.registry, wanted, limits).await?;
        for (projection, live) in loaded.outdated {
            self.outdated.looked = Some(Instant::now());
            if self.outdated.told.insert((projection, live)) {
                let info = self.registry[projection].info();
                tracing::warn!(
                    projection = info.name,
                    live,
                    version = info.version,
                    "a projection is left alone: another version made its live rows; `docket rebuild` makes them anew"
                );
            }
        }
        Ok(loaded.shards)
    }

    /// Looks whether what was left alone is live for this release by now.
    pub(super) async fn look_again(&mut self, now: Instant) -> Result<(), EngineError> {
        let rested = self.outdated.looked.is_some_and(|looked| now >= looked + OUTDATED_REST);
        if !rested || !self.shards.iter().any(|(id, shard)| self.lacks(*id, shard)) {
            return Ok(());
        }
        self.outdated.looked = Some(now);
        let held: Vec<ShardId> = self.shards.keys().copied().collect();
        self.reload(&held).await
    }

    /// Whether a projection of the shard's category is left alone there.
    fn lacks(&self, id: ShardId, shard: &Shard) -> bool {
        let wanted = self.registry.iter().filter(|projection| projection.info().categories.contains(&id.category));
        shard.standings.len() < wanted.count()
    }

    /// From now on goes no farther than `limits`.
    pub(crate) fn limit(&mut self, limits: Limits) {
        for (id, shard) in &mut self.shards {
            for standing in &mut shard.standings {
                let name = self.registry[standing.projection].info().name;
                standing.until = limits.get(&(name, *id)).copied().unwrap_or(0);
            }
        }
        self.limits = Some(limits);
    }
}
