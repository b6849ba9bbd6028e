//! The engine: one turn reads, folds and commits for every shard that is held.
//!
//! Owns the shards' memory and the order of the steps. It must not decide which shards are its own (the worker does), nor what to
//! do when the database is gone (the worker waits).
//!
//! The projections that are farthest in a shard are served first, with one read, one decoding and one transaction for all of them.
//! Whoever is behind (new, or failing) catches up in a pass of its own until it stands level.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use docket_events::{Recorded, ShardId};
use docket_log::{
    Bell, Vault, journal,
    reader::{ReadError, Reader},
};
use futures_util::{StreamExt, TryStreamExt};
use sqlx::PgPool;
use tokio::{sync::mpsc, time::Instant};

use super::{
    admit::{Disorder, admit},
    commit::{self, CommitError},
    decode::{self, Run},
    hold::Outdated,
    plan::{Folder, Overrun, Plan, Refused, Slice},
    shard::{Limits, Shard, Stop},
    trouble::Trouble,
};
use crate::{
    metrics,
    projection::{Registry, Schema, WriteError},
};

/// How long a shard rests at an event that only a newer release knows.
const UNKNOWN_REST: Duration = Duration::from_secs(5);
/// How long a shard rests after too many streams were parked in it.
const PARKING_REST: Duration = Duration::from_secs(60);
/// How long a shard rests at a gap that the journal has too.
const GAP_REST: Duration = Duration::from_millis(500);

/// How the engine is dimensioned.
#[derive(Debug, Clone, Copy)]
pub struct EngineOptions {
    /// Events per batch, over all shards.
    pub batch: usize,
    /// Streams that may be parked in a shard within a minute.
    pub park_limit: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { batch: 5000, park_limit: 100 }
    }
}

/// Why a turn failed. Nothing of the transaction under way was written.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The database did not answer.
    #[error("the read models cannot be written: {0}")]
    Database(#[from] sqlx::Error),
}

/// What a turn came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turn {
    /// Events that were dealt with, for one projection or all.
    pub applied: usize,
    /// There is more to apply at once.
    pub more: bool,
}

/// Where to read a shard, and for whom.
struct Want {
    shard: ShardId,
    behind: u64,
    up_to: u64,
}

/// Works the shards that it is given.
pub struct Engine<R> {
    pub(super) pool: PgPool,
    vault: Vault,
    pub(super) reader: R,
    pub(super) registry: Registry,
    pub(super) schema: Schema,
    options: EngineOptions,
    bell: Option<Bell>,
    pub(super) limits: Option<Limits>,
    /// Whether it makes rows that nobody reads yet: then nothing is parked and no change is told.
    building: bool,
    trouble: Option<Trouble>,
    pub(super) outdated: Outdated,
    declines: Option<mpsc::UnboundedSender<ShardId>>,
    pub(super) shards: BTreeMap<ShardId, Shard>,
    /// Projections that cannot be written at all rest until then.
    pub(super) failing: HashMap<usize, Instant>,
}

impl<R: Reader> Engine<R> {
    /// An engine that holds no shard yet; `pool` belongs to the projector's role and `bell` rings after every commit.
    pub fn new(pool: PgPool, vault: Vault, reader: R, registry: Registry, schema: Schema, bell: Option<Bell>) -> Self {
        Self {
            pool,
            vault,
            reader,
            registry,
            schema,
            options: EngineOptions::default(),
            bell,
            limits: None,
            building: false,
            trouble: None,
            outdated: Outdated::default(),
            declines: None,
            shards: BTreeMap::new(),
            failing: HashMap::new(),
        }
    }

    /// The same with other dimensions.
    #[must_use]
    pub fn with_options(mut self, options: EngineOptions) -> Self {
        self.options = options;
        self
    }

    /// The same, saying which shards it cannot work, so that a process of a newer release may.
    #[must_use]
    pub fn with_declines(mut self, declines: mpsc::UnboundedSender<ShardId>) -> Self {
        self.declines = Some(declines);
        self
    }

    /// The same, going no farther than `limits`; where those are silent, nowhere.
    pub(crate) fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// The same, making rows that nobody reads yet: it tells no change, parks nothing, and keeps what it cannot apply as its trouble.
    pub(crate) fn building(mut self) -> Self {
        self.building = true;
        self
    }

    /// The first thing that it could not apply, when it is building.
    pub(crate) fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// Remembers `trouble` when it is building, and says so.
    pub(super) fn meet(&mut self, trouble: impl FnOnce() -> Trouble) -> bool {
        if self.building && self.trouble.is_none() {
            self.trouble = Some(trouble());
        }
        self.building
    }

    /// The projections that it works.
    pub(crate) fn registry(&self) -> Registry {
        self.registry
    }

    /// How it reaches the database, and opens personal fields.
    pub(crate) fn pool_and_vault(&self) -> (&PgPool, &Vault) {
        (&self.pool, &self.vault)
    }

    /// Waits for news of the log.
    pub(crate) async fn news(&mut self, at_most: Duration) {
        self.reader.news(at_most).await;
    }

    /// Why a shard is not worked at this moment.
    #[must_use]
    pub fn stopped(&self, shard: ShardId) -> Option<Stop> {
        let (stop, _) = self.shards.get(&shard)?.rest?;
        Some(stop)
    }

    /// The sequence that a projection has applied in a shard; 0 when it is not held.
    pub(crate) fn stands_at(&self, projection: &str, shard: ShardId) -> u64 {
        let standings = self.shards.get(&shard).map_or(&[][..], |shard| &shard.standings);
        let standing = standings.iter().find(|standing| self.registry[standing.projection].info().name == projection);
        standing.map_or(0, |standing| standing.sequence)
    }

    /// One turn: for the foremost projections, then for those behind.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub async fn turn(&mut self) -> Result<Turn, EngineError> {
        let now = Instant::now();
        self.wake(now);
        self.look_again(now).await?;
        let foremost = self.pass(self.wants(|sequences| sequences.max().map(|at| (at, u64::MAX)))).await?;
        let behind = self.wants(|sequences| {
            let (low, high) = sequences.fold((u64::MAX, 0), |(low, high), at| (low.min(at), high.max(at)));
            (low < high).then_some((low, high))
        });
        let catching_up = !behind.is_empty();
        let behind = self.pass(behind).await?;
        let applied = foremost.applied + behind.applied;
        Ok(Turn { applied, more: foremost.more || behind.more || (catching_up && applied > 0) })
    }

    /// Ends the rest of shards and projections whose time has come.
    fn wake(&mut self, now: Instant) {
        for (id, shard) in &mut self.shards {
            if let Some((stop, Some(until))) = shard.rest
                && now >= until
            {
                shard.rest = None;
                metrics::get().stopped.with_label_values(&[&id.to_string(), stop.name()]).set(0);
            }
        }
        let registry = self.registry;
        self.failing.retain(|projection, until| {
            let rests = now < *until;
            metrics::get().failing.with_label_values(&[registry[*projection].info().name]).set(i64::from(rests));
            rests
        });
    }

    /// The places to read: `choose` gets the sequences at which the projections of a shard stand.
    fn wants(&self, choose: impl Fn(&mut dyn Iterator<Item = u64>) -> Option<(u64, u64)>) -> Vec<Want> {
        let now = Instant::now();
        self.shards
            .iter()
            .filter(|(_, shard)| shard.is_up(now))
            .filter_map(|(id, shard)| {
                let mut sequences = shard
                    .standings
                    .iter()
                    .filter(|standing| standing.sequence < standing.until)
                    .filter(|standing| !self.failing.contains_key(&standing.projection))
                    .map(|standing| standing.sequence);
                let (behind, up_to) = choose(&mut sequences)?;
                Some(Want { shard: *id, behind, up_to })
            })
            .collect()
    }

    async fn pass(&mut self, wants: Vec<Want>) -> Result<Turn, EngineError> {
        if wants.is_empty() {
            return Ok(Turn::default());
        }
        let places: Vec<(ShardId, u64)> = wants.iter().map(|want| (want.shard, want.behind)).collect();
        let mut read: BTreeMap<ShardId, Vec<Recorded>> = BTreeMap::new();
        for event in self.reader.read(&places, self.options.batch).await? {
            read.entry(event.shard_id()).or_default().push(event);
        }
        // A reader that cuts each shard at its share may have more of a shard that reached it.
        let share = (self.options.batch / places.len()).max(1);
        let more = read.values().any(|events| events.len() >= share);
        let started = Instant::now();
        let mut runs = Vec::with_capacity(read.len());
        for want in &wants {
            if let Some(events) = read.remove(&want.shard) {
                let events = self.in_order(want, events).await?;
                if !events.is_empty() {
                    runs.push(Run::decode(want.shard, events));
                }
            }
        }
        self.hold_back_unjournalled(&mut runs).await?;
        let projections = self.working();
        if projections.iter().any(|projection| self.registry[*projection].info().wants_personal()) {
            decode::open(&mut runs, &self.vault).await?;
        }
        let slices: Vec<Slice<'_>> = runs.iter().map(|run| Slice { shard: run.shard, items: &run.items }).collect();
        let mut turn = Turn { applied: slices.iter().map(|slice| slice.items.len()).sum(), more };
        if turn.applied > 0 {
            metrics::get().batch_size.observe(turn.applied as f64);
            if !self.project(&slices, &projections).await? {
                turn = Turn { applied: 0, more: true };
            }
            metrics::get().batch_seconds.observe(started.elapsed().as_secs_f64());
        }
        for run in &runs {
            if let Some(unknown) = &run.unknown {
                self.meet(|| Trouble::with(run.shard, &unknown.event, unknown.what.as_str()));
                tracing::warn!(shard = %run.shard, sequence = unknown.event.sequence, what = unknown.what,
                    "a shard waits for a newer release: it holds an event that this one does not know");
                self.stop(run.shard, Stop::UnknownType, Some(UNKNOWN_REST));
                if let Some(declines) = &self.declines {
                    // Nobody listens any more when the process is ending: then everything is given back.
                    let _ = declines.send(run.shard);
                }
            }
        }
        Ok(turn)
    }

    /// The projections that are not failing.
    fn working(&self) -> Vec<usize> {
        (0..self.registry.len()).filter(|projection| !self.failing.contains_key(projection)).collect()
    }

    /// The events that may be applied, with what was missing fetched from the journal.
    async fn in_order(&mut self, want: &Want, events: Vec<Recorded>) -> Result<Vec<Recorded>, EngineError> {
        let known = self.shards.get(&want.shard).and_then(|shard| shard.last);
        let last = known.filter(|(sequence, _)| *sequence == want.behind).map(|(_, id)| id);
        let mut admitted = admit(want.behind, last, want.up_to, events);
        while let Some(Disorder::Gap { expected, found }) = admitted.disorder {
            let missing = self.missing(want.shard, expected, found).await?;
            let healed = missing.len() as u64 == found - expected;
            let labels = [want.shard.to_string(), healed.to_string()];
            metrics::get().gaps.with_label_values(&[&labels[0], &labels[1]]).inc();
            tracing::error!(shard = %want.shard, expected, found, healed, "events are missing in what was read of the log");
            if !healed {
                self.meet(|| Trouble::Missing { shard: want.shard, expected, found });
                self.stop(want.shard, Stop::Gap, Some(GAP_REST));
                break;
            }
            let (behind, last) = admitted.events.last().map_or((want.behind, last), |e| (e.sequence, Some(e.id)));
            let rest = missing.into_iter().chain(admitted.aside).collect();
            let next = admit(behind, last, want.up_to, rest);
            admitted.events.extend(next.events);
            (admitted.disorder, admitted.aside) = (next.disorder, next.aside);
        }
        if let Some(Disorder::Forked { sequence, first, other }) = admitted.disorder {
            self.meet(|| Trouble::Forked { shard: want.shard, sequence, first, other });
            tracing::error!(shard = %want.shard, sequence, %first, %other,
                "another event stands under a sequence that was seen: the shard is halted");
            self.stop(want.shard, Stop::Halted, None);
        }
        Ok(admitted.events)
    }

    /// What the journal holds from `expected` to before `found`, as far as it is without a gap; at most a batch.
    async fn missing(&self, shard: ShardId, expected: u64, found: u64) -> Result<Vec<Recorded>, EngineError> {
        let events: Vec<Recorded> = journal::shard_events(&self.pool, shard, expected - 1)
            .take(self.options.batch.min((found - expected) as usize))
            .try_collect()
            .await?;
        Ok(events.into_iter().zip(expected..found).take_while(|(e, at)| e.sequence == *at).map(|(e, _)| e).collect())
    }

    pub(super) fn stop(&mut self, id: ShardId, stop: Stop, rest: Option<Duration>) {
        if let Some(shard) = self.shards.get_mut(&id) {
            shard.rest = Some((stop, rest.map(|rest| Instant::now() + rest)));
            metrics::get().stopped.with_label_values(&[&id.to_string(), stop.name()]).set(1);
        }
    }

    /// Applies `slices` for `projections` in one transaction; apart where that fails. False: somebody else was there first.
    async fn project(&mut self, slices: &[Slice<'_>], projections: &[usize]) -> Result<bool, EngineError> {
        match self.attempt(slices, projections, &Refused::new()).await? {
            Attempt::Done => Ok(true),
            Attempt::Fenced(shards) => self.reload(&shards).await.map(|()| false),
            Attempt::Refused { projection, error } => {
                let name = self.registry[projection].info().name;
                tracing::warn!(projection = name, %error, "a projection cannot be written; trying each apart");
                for projection in projections {
                    self.isolate(slices, *projection).await?;
                }
                Ok(true)
            }
        }
    }

    /// One transaction. On success the shards' memory follows it.
    pub(super) async fn attempt(
        &mut self,
        slices: &[Slice<'_>],
        projections: &[usize],
        refused: &Refused,
    ) -> Result<Attempt, EngineError> {
        let (registry, feeds) = (self.registry, !self.building);
        let park_limit = if self.building { 0 } else { self.options.park_limit };
        let plan = Folder { registry, shards: &mut self.shards, refused, park_limit, feeds }.fold(slices, projections);
        if !plan.moves.is_empty() {
            let mut connection = self.pool.acquire().await?;
            match commit::commit(&mut connection, &self.schema, self.registry, &plan).await {
                Ok(()) => {}
                Err(CommitError::Fenced) => {
                    metrics::get().fenced.inc();
                    let shards: BTreeSet<ShardId> = plan.moves.iter().map(|m| m.shard).collect();
                    tracing::warn!(shards = shards.len(), "a checkpoint was moved by somebody else; looking anew");
                    return Ok(Attempt::Fenced(shards.into_iter().collect()));
                }
                Err(CommitError::Write { error: WriteError::Database(error), .. } | CommitError::Database(error))
                    if WriteError::is_passing(&error) =>
                {
                    return Err(error.into());
                }
                Err(CommitError::Write { projection, error }) => return Ok(Attempt::Refused { projection, error }),
                Err(CommitError::Database(error)) => return Err(error.into()),
            }
            if let Some(bell) = &self.bell {
                bell.ring();
            }
        }
        self.take_over(plan);
        Ok(Attempt::Done)
    }

    /// The shards' memory after a commit.
    fn take_over(&mut self, plan: Plan<'_>) {
        let now = Instant::now();
        for moved in plan.moves {
            let revision = moved.next_revision();
            let name = self.registry[moved.projection].info().name;
            if !moved.parked.is_empty() {
                metrics::get().parked.with_label_values(&[name]).inc_by(moved.parked.len() as u64);
            }
            let Some(shard) = self.shards.get_mut(&moved.shard) else { continue };
            if shard.last.is_none_or(|(sequence, _)| sequence < moved.to) {
                shard.last = Some((moved.to, moved.last));
            }
            let Some(standing) = shard.standings.iter_mut().find(|s| s.projection == moved.projection) else {
                continue;
            };
            standing.sequence = moved.to;
            standing.revision = revision;
            standing.parked.extend(moved.parked);
        }
        for letter in plan.letters.iter().filter(|letter| letter.error.is_some()) {
            tracing::error!(projection = self.registry[letter.projection].info().name, shard = %letter.shard,
                stream = %letter.item.event.stream, sequence = letter.item.event.sequence, error = letter.error,
                "a stream is parked: one of its events cannot be applied");
        }
        for (id, streams) in plan.parkings {
            if let Some(shard) = self.shards.get_mut(&id) {
                shard.parkings.extend(std::iter::repeat_n(now, streams.len()));
            }
        }
        for Overrun { shard, event, error } in plan.overrun {
            if !self.meet(|| Trouble::with(shard, event, error)) {
                tracing::error!(%shard, limit = self.options.park_limit,
                    "too many streams were parked within a minute; the shard rests");
            }
            self.stop(shard, Stop::Parking, Some(PARKING_REST));
        }
    }
}

/// What became of one transaction.
pub(super) enum Attempt {
    /// It committed, or there was nothing to do.
    Done,
    /// Nothing was written; these shards' checkpoints have to be looked at anew.
    Fenced(Vec<ShardId>),
    /// Nothing was written, for a reason that will not pass.
    Refused {
        /// Whose rows could not be written.
        projection: usize,
        /// Why.
        error: WriteError,
    },
}
