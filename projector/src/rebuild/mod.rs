//! `docket rebuild`: a projection made anew from the log, beside the live one, and put in its place.
//!
//! Owns the way from the first event to the switch: what is built stands in a schema of its own with checkpoints of its own, so that
//! an interrupted rebuild goes on where it stopped, and nobody sees a row before the switch. It must not park, skip or guess: any
//! trouble ends it, and the live rows stay as they are.
//!
//! | step | module |
//! |---|---|
//! | a new generation's tables | `build` |
//! | the transaction that puts it in place | `switch` |

mod build;
mod switch;

use std::{collections::BTreeSet, time::Duration};

use docket_events::{Category, ShardId};
use docket_log::{
    Installation, Vault,
    installation::InstallationError,
    reader::{ReadError, Reader},
};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Executor, PgConnection, PgPool, Row,
    postgres::{PgConnectOptions, PgPoolOptions, PgRow},
};
use tokio::time::Instant;

use switch::Switch;

use crate::{
    generation::Generation,
    projection::{Info, Registry},
    projections::registry,
    retry::RetryError,
    runtime::{Engine, EngineError, EngineOptions, Trouble, shard::Limits},
};

/// How long a rebuild that was killed may still seem to run.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
/// The pause before something is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// How a rebuild goes about it.
#[derive(Debug, Clone)]
pub struct RebuildOptions {
    /// Events a second, at most; none: as fast as it goes.
    pub rate: Option<u32>,
    /// Events in one transaction, at most.
    pub batch: usize,
    /// With so many events left, or fewer, the switch is tried: the live projection waits while they are applied.
    pub few: u64,
    /// Whether to begin anew, and not where an earlier rebuild stopped.
    pub anew: bool,
    /// How long it waits without getting on: for events that the live projection has and the log does not give, or for readers
    /// that keep the views.
    pub patience: Duration,
}

impl Default for RebuildOptions {
    fn default() -> Self {
        Self { rate: Some(20_000), batch: 5000, few: 1000, anew: false, patience: Duration::from_secs(60) }
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// What an earlier rebuild had begun was of no use, and is dropped.
    Dropped {
        /// The version of the projection that it was of.
        version: u32,
    },
    /// It begins, or goes on where an earlier one stopped.
    Begun {
        /// Events that were applied before.
        done: u64,
        /// Events that are applied in the live projection.
        total: u64,
    },
    /// Events were applied.
    At {
        /// So many, with those before.
        done: u64,
        /// Of so many.
        total: u64,
    },
    /// It has the live projection's checkpoints, and puts itself in its place.
    Switching,
}

/// What a rebuild came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The generation that is live now.
    pub generation: Generation,
    /// Events that this run applied.
    pub events: u64,
    /// How long it took.
    pub took: Duration,
}

/// Why a projection was not rebuilt. What is live stays live; what was built so far is kept for the next run.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The database did not answer, or refused.
    #[error("the projection cannot be rebuilt: {0}")]
    Database(#[from] sqlx::Error),
    /// Nothing is set up.
    #[error(transparent)]
    Installation(#[from] InstallationError),
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No projection has this name.
    #[error("there is no projection `{0}`")]
    NoSuchProjection(String),
    /// Somebody else is at it.
    #[error("the projection {0} is being rebuilt already")]
    Busy(&'static str),
    /// An event could not be applied, or is missing.
    #[error("the rebuild stopped: {0}")]
    Stopped(Trouble),
    /// The log does not give what the live projection has applied.
    #[error("the rebuild stands at {at} in {shard} and the live projection at {wanted}: the log gives no more events")]
    Stalled {
        /// The shard.
        shard: ShardId,
        /// The sequence reached.
        at: u64,
        /// The sequence of the live checkpoint.
        wanted: u64,
    },
    /// Readers did not let go of the views.
    #[error("everything is built, but long transactions keep the views of {0}: end them, and run the rebuild again")]
    InUse(&'static str),
    /// What was being built is not there any more.
    #[error("the generation that was being built was taken away")]
    Gone,
}

impl From<RetryError> for RebuildError {
    fn from(error: RetryError) -> Self {
        match error {
            RetryError::Database(error) => Self::Database(error),
            RetryError::Read(error) => Self::Read(error),
            RetryError::NoSuchProjection(name) => Self::NoSuchProjection(name),
        }
    }
}

impl From<EngineError> for RebuildError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Database(error) => Self::Database(error),
            EngineError::Read(error) => Self::Read(error),
        }
    }
}

/// Rebuilds a projection of this release from `reader`, whatever it reads, and puts it in the live one's place.
///
/// `owner` belongs to the owner of the schema, which must be a member of the projector's role.
///
/// # Errors
/// See [`RebuildError`].
pub async fn rebuild<R: Reader>(
    owner: &PgPool,
    reader: R,
    projection: &str,
    options: &RebuildOptions,
    progress: impl Fn(Progress) + Sync,
) -> Result<Report, RebuildError> {
    rebuild_with(owner, reader, registry(), projection, options, progress).await
}

/// The same with other projections than this release's.
///
/// # Errors
/// See [`RebuildError`].
pub async fn rebuild_with<R: Reader>(
    owner: &PgPool,
    reader: R,
    registry: Registry,
    projection: &str,
    options: &RebuildOptions,
    progress: impl Fn(Progress) + Sync,
) -> Result<Report, RebuildError> {
    let place = registry.iter().position(|known| known.info().name == projection);
    let place = place.ok_or_else(|| RebuildError::NoSuchProjection(projection.to_owned()))?;
    let only = &registry[place..=place];
    let info = only[0].info();
    let started = Instant::now();
    let installation = Installation::read(owner).await?;
    let shards: BTreeSet<ShardId> = info.categories.iter().flat_map(|c| installation.shards_of(*c)).collect();
    let mut session = session(owner, info.name).await?;
    let building = build::find_or_make(&mut session, only, &shards, options.anew, &progress).await?;

    let pool = as_projector(owner);
    let rate = options.rate.map(|rate| rate.max(1));
    // A throttled rebuild takes small steps, not a large one now and then.
    let batch = rate.map_or(options.batch, |rate| options.batch.min(rate.div_ceil(4) as usize)).max(1);
    let engine = Engine::new(pool.clone(), Vault::new(pool.clone()), reader, only, building.home.clone(), None)
        .with_options(EngineOptions { batch, ..EngineOptions::default() })
        .building();
    let mut rebuild = Rebuild { info, session, engine, shards, building, limits: Limits::new(), few: options.few };
    let built = rebuild.run(options.patience, Pace::new(rate), &progress).await;
    pool.close().await;
    let events = built?;
    Ok(Report { generation: rebuild.building, events, took: started.elapsed() })
}

/// A pool of the projector's role on the owner's way in. Row security does not bind that role, and may bind the owner.
pub(crate) fn as_projector(owner: &PgPool) -> PgPool {
    let options: PgConnectOptions = (*owner.connect_options()).clone();
    PgPoolOptions::new().max_connections(4).connect_lazy_with(options.options([("role", "docket_projector")]))
}

/// The session that alone may rebuild this projection, and that switches: who lost the lock cannot switch.
async fn session(owner: &PgPool, projection: &'static str) -> Result<PgConnection, RebuildError> {
    let options: PgConnectOptions = (*owner.connect_options()).clone();
    let mut session = options.application_name("docket-rebuild").connect().await?;
    let patient = Instant::now() + LOCK_PATIENCE;
    loop {
        let locked: bool =
            sqlx::query_scalar("select pg_try_advisory_lock(hashtextextended('docket rebuild ' || $1, 0))")
                .bind(projection)
                .fetch_one(&mut session)
                .await?;
        match locked {
            true => return Ok(session),
            false if Instant::now() < patient => tokio::time::sleep(RETRY).await,
            false => return Err(RebuildError::Busy(projection)),
        }
    }
}

/// A rebuild under way.
struct Rebuild<R> {
    info: &'static Info,
    session: PgConnection,
    engine: Engine<R>,
    shards: BTreeSet<ShardId>,
    building: Generation,
    /// Where the live projection stood when it was last looked at.
    limits: Limits,
    /// See [`RebuildOptions::few`].
    few: u64,
}

impl<R: Reader> Rebuild<R> {
    /// Lets PostgreSQL count what is in the new tables. Without that it takes a tenant's rows for a few, whatever there are, and reads all of
    /// them to find one: for a minute after the switch, until autovacuum comes by.
    async fn count_rows(&mut self) -> Result<(), RebuildError> {
        let Self { session, building, .. } = self;
        for table in &building.tables {
            session.execute(AssertSqlSafe(format!("analyze {}.{table}", building.home))).await?;
        }
        Ok(())
    }

    /// Applies events until the switch; answers how many.
    async fn run(
        &mut self,
        patience: Duration,
        mut pace: Pace,
        progress: &(impl Fn(Progress) + Sync),
    ) -> Result<u64, RebuildError> {
        self.aim().await?;
        self.engine.hold(&self.shards).await?;
        let before = self.done();
        progress(Progress::Begun { done: before, total: self.total() });
        let (mut done, mut moved, mut refused) = (before, Instant::now(), None);
        let mut is_counted = false;
        loop {
            let applied = self.turn().await?;
            if self.done() != done {
                (done, moved) = (self.done(), Instant::now());
            }
            progress(Progress::At { done, total: self.total() });
            if self.total() - done <= self.few {
                if !std::mem::replace(&mut is_counted, true) {
                    self.count_rows().await?;
                }
                match self.switch(progress).await? {
                    Switch::Done => return Ok(self.done() - before),
                    Switch::Refused if refused.get_or_insert_with(Instant::now).elapsed() >= patience => {
                        return Err(RebuildError::InUse(self.info.name));
                    }
                    Switch::Refused | Switch::NotYet => {}
                }
            }
            if moved.elapsed() >= patience
                && let Some((shard, at, wanted)) = self.missing()
            {
                return Err(RebuildError::Stalled { shard, at, wanted });
            }
            if applied == 0 {
                self.engine.news(RETRY).await;
            }
            pace.keep(applied).await;
            self.aim().await?;
        }
    }

    /// Aims at where the live projection stands by now.
    async fn aim(&mut self) -> Result<(), RebuildError> {
        let limits = live_checkpoints(&mut self.session, self.info, Wait::No).await?;
        self.engine.limit(limits.clone());
        self.limits = limits;
        Ok(())
    }

    /// Applies some events; answers how many.
    async fn turn(&mut self) -> Result<usize, RebuildError> {
        let turn = self.engine.turn().await?;
        match self.engine.trouble() {
            Some(trouble) => Err(RebuildError::Stopped(trouble.clone())),
            None => Ok(turn.applied),
        }
    }

    /// Events that are applied, those of earlier runs too.
    fn done(&self) -> u64 {
        self.shards.iter().map(|shard| self.engine.stands_at(self.info.name, *shard)).sum()
    }

    /// Events that the live projection has applied.
    fn total(&self) -> u64 {
        self.limits.values().sum::<u64>().max(self.done())
    }

    /// A shard in which the live projection is farther: where, where we are, where it is.
    fn missing(&self) -> Option<(ShardId, u64, u64)> {
        self.limits.iter().find_map(|((name, shard), wanted)| {
            let at = self.engine.stands_at(name, *shard);
            (at < *wanted).then_some((*shard, at, *wanted))
        })
    }
}

/// Whether to hold what is read until the transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    No,
    /// So that no projector moves it meanwhile.
    Hold,
}

/// Where the live projection stands.
async fn live_checkpoints(
    connection: &mut PgConnection,
    info: &'static Info,
    wait: Wait,
) -> Result<Limits, sqlx::Error> {
    let select = "select category, shard, sequence from read.checkpoint where projection = $1 order by category, shard";
    let sql = AssertSqlSafe(if wait == Wait::Hold { format!("{select} for update") } else { select.to_owned() });
    let rows: Vec<PgRow> = sqlx::query(sql).bind(info.name).fetch_all(connection).await?;
    let mut limits = Limits::new();
    for row in rows {
        let Some(category) = Category::from_code(row.try_get(0)?) else { continue };
        let shard = ShardId { category, shard: row.try_get::<i16, _>(1)? as u16 };
        limits.insert((info.name, shard), row.try_get::<i64, _>(2)? as u64);
    }
    Ok(limits)
}

/// Sees to it that events go no faster than they may.
struct Pace {
    rate: Option<u32>,
    next: Instant,
}

impl Pace {
    fn new(rate: Option<u32>) -> Self {
        Self { rate, next: Instant::now() }
    }

    /// Waits until `applied` more events are within the rate. What was not used is not saved up.
    async fn keep(&mut self, applied: usize) {
        let Some(rate) = self.rate else { return };
        self.next = self.next.max(Instant::now() - RETRY) + Duration::from_secs_f64(applied as f64 / f64::from(rate));
        tokio::time::sleep_until(self.next).await;
    }
}
