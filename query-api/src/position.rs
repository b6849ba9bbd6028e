//! Reads that insist on a position: they wait for it, within bounds, or say honestly that it is not there.
//!
//! Owns the order "checkpoints first, then rows", which makes an answer at least as new as the position it names. It must not
//! read rows itself.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use docket_events::{Category, ShardId, StreamId};
use docket_log::{Bell, Installation, Position};
use sqlx::{PgConnection, Row};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use uuid::Uuid;

use crate::{
    age::Ages,
    knowledge::Graphs,
    read::{ReadError, Reads, Tx},
};

/// The longest time between two looks at the checkpoints while waiting, should no bell ring.
const LOOK: Duration = Duration::from_millis(50);
/// The least time between two looks: a busy projector rings often.
const PAUSE: Duration = Duration::from_millis(5);

/// A projection, and the category that it reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// The projection's name.
    pub projection: &'static str,
    /// Whose shards its checkpoints count.
    pub category: Category,
}

/// Consultations, with their history and the change feed.
pub const CONSULTATION: Source = Source { projection: "consultation", category: Category::Consultation };
/// Counts of consultations.
pub const CONSULTATION_STATS: Source = Source { projection: "consultation_stats", category: Category::Consultation };
/// Users, organisations, memberships.
pub const IDENTITY: Source = Source { projection: "identity", category: Category::Identity };

/// Groups, invitations, accounts, sessions, API keys.
pub const DIRECTORY: Source = Source { projection: "directory", category: Category::Identity };
/// What happened in identity.
pub const AUDIT: Source = Source { projection: "audit", category: Category::Identity };

/// The places of consultations' events.
pub const EVENTS_CONSULTATION: Source = Source { projection: "events", category: Category::Consultation };
/// The places of events in identity.
pub const EVENTS_IDENTITY: Source = Source { projection: "events", category: Category::Identity };

/// Entities and relationships.
pub const KNOWLEDGE: Source = Source { projection: "knowledge", category: Category::Knowledge };

/// Articles, topics, preferences and saved articles.
pub const FEED: Source = Source { projection: "feed", category: Category::Feed };
/// What readers did, and what it adds up to.
pub const ENGAGEMENT: Source = Source { projection: "engagement", category: Category::Engagement };

/// The places of the knowledge graph's events.
pub const EVENTS_KNOWLEDGE: Source = Source { projection: "events", category: Category::Knowledge };

/// The places of the feed's events.
pub const EVENTS_FEED: Source = Source { projection: "events", category: Category::Feed };

/// Every projection that is read here.
pub(crate) const SOURCES: [Source; 12] = [
    CONSULTATION,
    CONSULTATION_STATS,
    IDENTITY,
    DIRECTORY,
    AUDIT,
    KNOWLEDGE,
    FEED,
    ENGAGEMENT,
    EVENTS_CONSULTATION,
    EVENTS_IDENTITY,
    EVENTS_KNOWLEDGE,
    EVENTS_FEED,
];

/// Where reads begin.
#[derive(Debug, Clone)]
pub struct Gate {
    reads: Reads,
    bell: Bell,
    installation: Installation,
    ages: Ages,
    patience: Duration,
    /// Of those who wait for changes, so many read at once: a change wakes thousands.
    turns: Arc<Semaphore>,
    graphs: Graphs,
}

/// A read under way: rows read in `tx` are at least as new as `seen`.
#[derive(Debug)]
pub struct Entered {
    /// The transaction, as the tenant.
    pub tx: Tx,
    /// The checkpoints, read before any row; over all shards of the category.
    pub seen: Position,
    /// When the oldest event was journalled that is not among the rows; none: nothing is known to be lacking.
    pub lacks_since: Option<DateTime<Utc>>,
}

enum Look {
    Reached(Box<Entered>),
    Behind,
    Parked,
}

impl Gate {
    /// A gate that waits for at most `patience`, woken by the bell of the read models.
    pub fn new(reads: Reads, bell: Bell, installation: Installation, ages: Ages, patience: Duration) -> Self {
        // The other half is for those who come with a question of their own.
        let turns = reads.pool().options().get_max_connections().div_ceil(2);
        let turns = Arc::new(Semaphore::new(usize::try_from(turns).unwrap_or(1)));
        Self { reads, bell, installation, ages, patience, turns, graphs: Graphs::new(0) }
    }

    /// The same, with graphs held in memory.
    #[must_use]
    pub fn with_graphs(self, graphs: Graphs) -> Self {
        Self { graphs, ..self }
    }

    /// The knowledge graphs that are held in memory.
    pub fn graphs(&self) -> &Graphs {
        &self.graphs
    }

    /// Waits for the turn of somebody who was woken by a change; it ends when the permit is dropped.
    pub async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        self.turns.clone().acquire_owned().await.ok()
    }

    /// The way to the read models.
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    /// What was fixed at set-up.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// Begins to read `source` as `tenant`, once it has reached `wanted`; of one stream only, if the read is of one.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn enter(
        &self,
        tenant: Uuid,
        source: Source,
        wanted: &Position,
        stream: Option<StreamId>,
    ) -> Result<Entered, ReadError> {
        self.enter_all(tenant, &[source], wanted, stream).await
    }

    /// The same for several sources at once, each of a category of its own.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn enter_all(
        &self,
        tenant: Uuid,
        sources: &[Source],
        wanted: &Position,
        stream: Option<StreamId>,
    ) -> Result<Entered, ReadError> {
        let is_read = |shard: ShardId| sources.iter().any(|source| source.category == shard.category);
        let wanted: Position = wanted.iter().filter(|(shard, _)| is_read(*shard)).collect();
        let deadline = Instant::now() + self.patience;
        // Heard from before the first look, so that no ring is missed between a look and the wait.
        let mut bell = self.bell.listen();
        loop {
            match self.reads.guard(self.look(tenant, sources, &wanted, stream)).await? {
                Look::Reached(entered) => return Ok(*entered),
                Look::Parked => return Err(ReadError::Parked),
                Look::Behind => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ReadError::NotReached);
            }
            tokio::join!(bell.heard(left.min(LOOK)), tokio::time::sleep(PAUSE));
        }
    }

    async fn look(
        &self,
        tenant: Uuid,
        sources: &[Source],
        wanted: &Position,
        stream: Option<StreamId>,
    ) -> Result<Look, sqlx::Error> {
        let mut tx = self.reads.begin(tenant).await?;
        // Checkpoints before rows: rows can only be newer.
        let mut seen = Position::default();
        for source in sources {
            seen.join(&checkpoints(&mut tx, &self.installation, *source).await?);
        }
        for source in sources.iter().filter(|_| !wanted.is_empty()) {
            if is_parked(&mut tx, *source, wanted, stream).await? {
                return Ok(Look::Parked);
            }
        }
        let reached = wanted.iter().all(|(shard, sequence)| seen.get(shard) >= sequence);
        if !reached {
            return Ok(Look::Behind);
        }
        let only = stream.map(|stream| self.installation.shard_of(stream));
        let lacks_since = sources.iter().filter_map(|source| self.ages.lacks_since(*source, &seen, only)).min();
        Ok(Look::Reached(Box::new(Entered { tx, seen, lacks_since })))
    }
}

/// How far `source` is, over all shards of its category: a shard without a checkpoint is at 0.
///
/// # Errors
/// When it cannot be read.
pub async fn checkpoints(
    connection: &mut PgConnection,
    installation: &Installation,
    source: Source,
) -> Result<Position, sqlx::Error> {
    let rows = sqlx::query("select shard, sequence from read.checkpoint where projection = $1 and category = $2")
        .bind(source.projection)
        .bind(source.category.code())
        .fetch_all(connection)
        .await?;
    let mut position: Position = installation.shards_of(source.category).map(|shard| (shard, 0)).collect();
    for row in rows {
        position.raise(shard(source.category, row.try_get("shard")?), sequence(row.try_get("sequence")?));
    }
    Ok(position)
}

/// Whether an event at or before `wanted` waits in the dead letters that the tenant may see.
async fn is_parked(
    connection: &mut PgConnection,
    source: Source,
    wanted: &Position,
    stream: Option<StreamId>,
) -> Result<bool, sqlx::Error> {
    let wanted: Position = wanted.iter().filter(|(shard, _)| shard.category == source.category).collect();
    let (shards, sequences) = columns(&wanted);
    sqlx::query_scalar(
        "select exists (select from read.dead_letter d
                        join unnest($3::smallint[], $4::bigint[]) as w (shard, sequence)
                          on d.shard = w.shard and d.sequence <= w.sequence
                        where d.projection = $1 and d.category = $2 and ($5::uuid is null or d.stream_id = $5))",
    )
    .bind(source.projection)
    .bind(source.category.code())
    .bind(shards)
    .bind(sequences)
    .bind(stream.map(|stream| stream.id))
    .fetch_one(connection)
    .await
}

/// A position as two columns, for `unnest`.
pub fn columns(position: &Position) -> (Vec<i16>, Vec<i64>) {
    let narrow = |(shard, sequence): (ShardId, u64)| {
        // Tokens with more shards or higher sequences are refused when they are read.
        (i16::try_from(shard.shard).unwrap_or(i16::MAX), i64::try_from(sequence).unwrap_or(i64::MAX))
    };
    position.iter().map(narrow).unzip()
}

/// A shard of `category` as the database numbers it.
pub fn shard(category: Category, number: i16) -> ShardId {
    ShardId { category, shard: number.unsigned_abs() }
}

/// A sequence as the database numbers it.
pub fn sequence(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// What one request has seen: the lowest checkpoints of all its reads, so that each of them is at least that new.
#[derive(Debug, Default)]
pub struct Seen(Mutex<SeenSoFar>);

#[derive(Debug, Default)]
struct SeenSoFar {
    lowest: BTreeMap<ShardId, u64>,
    lacks_since: Option<DateTime<Utc>>,
    cut: bool,
}

impl Seen {
    /// Something was left out of a list that cannot say so itself.
    pub fn say_cut(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).cut = true;
    }

    /// Whether something was.
    pub fn is_cut(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).cut
    }

    /// One more read.
    pub fn record(&self, entered: &Entered) {
        self.add(&entered.seen, entered.lacks_since);
    }

    fn add(&self, position: &Position, lacks_since: Option<DateTime<Utc>>) {
        let mut so_far = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (shard, sequence) in position.iter() {
            let lowest = so_far.lowest.entry(shard).or_insert(sequence);
            *lowest = (*lowest).min(sequence);
        }
        so_far.lacks_since = [so_far.lacks_since, lacks_since].into_iter().flatten().min();
    }

    /// The position of the answer; none when nothing was read.
    pub fn position(&self) -> Option<Position> {
        let so_far = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!so_far.lowest.is_empty()).then(|| so_far.lowest.iter().map(|(shard, sequence)| (*shard, *sequence)).collect())
    }

    /// When the oldest event was journalled that the answer lacks.
    pub fn lacks_since(&self) -> Option<DateTime<Utc>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).lacks_since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_new_as_its_oldest_read() {
        let shard = |shard| ShardId { category: Category::Consultation, shard };
        let seen = Seen::default();
        assert_eq!(seen.position(), None);
        let [early, late] = [1, 2].map(|seconds| DateTime::from_timestamp(seconds, 0));
        seen.add(&[(shard(0), 5), (shard(1), 2)].into_iter().collect(), late);
        seen.add(&[(shard(0), 4), (shard(1), 3)].into_iter().collect(), early);
        seen.add(&Position::default(), None);
        assert_eq!(seen.lacks_since(), early);
        assert_eq!(seen.position(), Some([(shard(0), 4), (shard(1), 2)].into_iter().collect()));
    }
}
