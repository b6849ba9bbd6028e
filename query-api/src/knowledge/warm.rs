//! Graphs that are held in memory, one an organisation, and how they follow the read model.
//!
//! Owns when one is loaded, followed and given up. A read brings the graph as far as the checkpoints that it has seen, by the changes since
//! then and the rows that they name; so an answer from memory is as new as one from SQL would be. Whoever comes while a graph is being
//! loaded is answered from SQL.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use docket_log::Position;
use futures_util::TryStreamExt;
use prometheus::{IntCounterVec, IntGauge};
use sqlx::PgConnection;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    adjacency::{Adjacency, EntityPlace, RelationshipPlace, TooLarge},
    walk::{self, Hop, Walk},
};
use crate::{
    changes::entries,
    position::{Entered, Gate, KNOWLEDGE, checkpoints},
    read::Tx,
};

/// Changes of one shard that are followed at once. Where there are more, the graph is loaded anew.
const PAGE: usize = 2_000;
/// How long a graph that is too large, or could not be loaded, is left to SQL.
const REST: Duration = Duration::from_secs(600);
const RETRY: Duration = Duration::from_secs(5);

/// The graphs in the memory of one process. Clones are the same ones.
#[derive(Clone)]
pub struct Graphs(Arc<Shared>);

struct Shared {
    /// Bytes that they may take together.
    budget: usize,
    places: Mutex<HashMap<Uuid, Place>>,
    uses: AtomicU64,
    answers: IntCounterVec,
    bytes: IntGauge,
}

impl fmt::Debug for Graphs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graphs").field("budget", &self.0.budget).finish_non_exhaustive()
    }
}

enum Place {
    /// Somebody loads it.
    Loading,
    /// Not before then.
    Rests(Instant),
    Warm(Arc<Warm>),
}

/// One graph.
struct Warm {
    following: RwLock<Following>,
    /// Whoever brings it on holds this while reading and writing: rows are put in the order in which they were read.
    turn: tokio::sync::Mutex<()>,
    used: AtomicU64,
}

#[derive(Debug)]
struct Following {
    graph: Adjacency,
    at: Position,
    /// How often parked streams, or the place of the rows, had changed.
    parked: i64,
}

/// A graph as it is loaded.
enum Loaded {
    Whole(Box<Following>),
    TooLarge,
}

impl Warm {
    fn read(&self) -> RwLockReadGuard<'_, Following> {
        self.following.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Graphs {
    /// No graphs yet; together they take about `budget` bytes at most. None are held with 0.
    #[must_use]
    pub fn new(budget: usize) -> Self {
        let answers = docket_platform::metrics::int_counter_vec(
            "docket_graph_searches_total",
            "Searches in the knowledge graph, by where they were answered from.",
            &["from"],
        );
        let bytes = docket_platform::metrics::int_gauge("docket_graph_bytes", "What graphs in memory take.");
        Self(Arc::new(Shared { budget, places: Mutex::default(), uses: AtomicU64::new(0), answers, bytes }))
    }

    /// Whether the graph of `tenant` is in memory.
    #[must_use]
    pub fn is_warm(&self, tenant: Uuid) -> bool {
        matches!(self.places().get(&tenant), Some(Place::Warm(_)))
    }

    fn places(&self) -> MutexGuard<'_, HashMap<Uuid, Place>> {
        // The map is valid after every statement.
        self.0.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The graph of `tenant`, if it is in memory; else somebody begins to load it.
    fn place(&self, gate: &Gate, tenant: Uuid) -> Option<Arc<Warm>> {
        let mut places = self.places();
        match places.get(&tenant) {
            Some(Place::Warm(warm)) => {
                warm.used.store(self.0.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
                return Some(warm.clone());
            }
            Some(Place::Loading) => return None,
            Some(Place::Rests(until)) if Instant::now() < *until => return None,
            Some(Place::Rests(_)) | None => {}
        }
        if self.0.budget > 0 {
            places.insert(tenant, Place::Loading);
            let (graphs, gate) = (self.clone(), gate.clone());
            tokio::spawn(async move { graphs.load(&gate, tenant).await });
        }
        None
    }

    async fn load(&self, gate: &Gate, tenant: Uuid) {
        let place = match load(gate, tenant, self.0.budget).await {
            Ok(Loaded::Whole(following)) => Place::Warm(Arc::new(Warm {
                following: RwLock::new(*following),
                turn: tokio::sync::Mutex::default(),
                used: AtomicU64::new(self.0.uses.fetch_add(1, Ordering::Relaxed)),
            })),
            Ok(Loaded::TooLarge) => {
                tracing::warn!(%tenant, budget = self.0.budget, "a graph is too large for the memory that graphs may take: it is read from PostgreSQL");
                Place::Rests(Instant::now() + REST)
            }
            Err(error) => {
                tracing::warn!(%tenant, %error, "a graph cannot be loaded yet");
                Place::Rests(Instant::now() + RETRY)
            }
        };
        let mut places = self.places();
        places.insert(tenant, place);
        self.make_room(&mut places, tenant);
    }

    /// Gives those up that were not used for the longest time, and never the one that was just loaded.
    fn make_room(&self, places: &mut HashMap<Uuid, Place>, newest: Uuid) {
        let mut warm: Vec<(u64, usize, Uuid)> = places
            .iter()
            .filter_map(|(tenant, place)| match place {
                Place::Warm(warm) => Some((warm.used.load(Ordering::Relaxed), warm.read().graph.bytes(), *tenant)),
                Place::Loading | Place::Rests(_) => None,
            })
            .collect();
        warm.sort_unstable();
        let mut bytes: usize = warm.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, of_this, tenant) in warm.into_iter().filter(|(.., tenant)| *tenant != newest) {
            if bytes <= self.0.budget {
                break;
            }
            places.remove(&tenant);
            bytes -= of_this;
        }
        self.0.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// The graph of `tenant` no older than what `entered` has seen; none: ask SQL.
    async fn reach(&self, gate: &Gate, tenant: Uuid, entered: &mut Entered) -> Result<Option<Arc<Warm>>, sqlx::Error> {
        let Some(warm) = self.place(gate, tenant) else { return Ok(None) };
        if follow(&warm, &mut entered.tx, &entered.seen).await? {
            return Ok(Some(warm));
        }
        let mut places = self.places();
        if let Some(Place::Warm(there)) = places.get(&tenant)
            && Arc::ptr_eq(there, &warm)
        {
            places.remove(&tenant);
        }
        drop(places);
        Ok(self.place(gate, tenant))
    }
}

/// Brings a graph as far as `seen`. False: that cannot be told change by change, it has to be loaded anew.
async fn follow(warm: &Warm, tx: &mut Tx, seen: &Position) -> Result<bool, sqlx::Error> {
    let parked = entries::parked(tx, KNOWLEDGE).await?;
    let is_there = |following: &Following| seen.iter().all(|(shard, sequence)| following.at.get(shard) >= sequence);
    if warm.read().parked != parked {
        return Ok(false);
    }
    if is_there(&warm.read()) {
        return Ok(true);
    }
    let _turn = warm.turn.lock().await;
    let behind: Position = {
        let following = warm.read();
        if following.graph.is_worn() {
            return Ok(false);
        }
        let at = &following.at;
        seen.iter()
            .filter(|(shard, sequence)| at.get(*shard) < *sequence)
            .map(|(shard, _)| (shard, at.get(shard)))
            .collect()
    };
    if behind.is_empty() {
        return Ok(true);
    }
    let found = entries::behind(tx, KNOWLEDGE, &behind, PAGE as i64).await?;
    let (reached, more) = entries::advance(&behind, seen, &found, PAGE);
    // After the changes: what was trimmed before is then seen to be missing.
    if more || entries::is_too_old(&behind, &entries::trimmed(tx, KNOWLEDGE).await?) {
        return Ok(false);
    }
    let keys: Vec<Uuid> = found.iter().map(|change| change.key).collect();
    let (entities, relationships) = rows(tx, &keys).await?;
    let mut following = warm.following.write().unwrap_or_else(PoisonError::into_inner);
    let put = entities.into_iter().try_for_each(|entity| following.graph.put_entity(entity)).and_then(|()| {
        relationships.iter().try_for_each(|relationship| following.graph.put_relationship(relationship))
    });
    following.at.join(&reached);
    Ok(put.is_ok())
}

type EntityRow = (Uuid, Option<Uuid>, bool);
type RelationshipRow = (Uuid, Uuid, Uuid, String, f64, bool);

fn entity((id, merged_into, retracted): EntityRow) -> EntityPlace {
    EntityPlace { id, merged_into, retracted }
}

fn relationship((id, source, target, kind, confidence, retracted): RelationshipRow) -> RelationshipPlace {
    RelationshipPlace { id, source, target, kind, confidence: confidence as f32, retracted }
}

/// The entities and relationships among these keys, as they stand now.
async fn rows(
    connection: &mut PgConnection,
    keys: &[Uuid],
) -> Result<(Vec<EntityPlace>, Vec<RelationshipPlace>), sqlx::Error> {
    if keys.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let entities: Vec<EntityRow> =
        sqlx::query_as("select id, merged_into, retracted is not null from read.entity where id = any ($1)")
            .bind(keys)
            .fetch_all(&mut *connection)
            .await?;
    let relationships: Vec<RelationshipRow> = sqlx::query_as(
        "select id, source_id, target_id, type, confidence, retracted is not null from read.relationship where id = any ($1)",
    )
    .bind(keys)
    .fetch_all(connection)
    .await?;
    Ok((entities.into_iter().map(entity).collect(), relationships.into_iter().map(relationship).collect()))
}

/// Loads a graph; as new as the checkpoints that are read before it, or newer.
async fn load(gate: &Gate, tenant: Uuid, budget: usize) -> Result<Loaded, sqlx::Error> {
    let mut tx = gate.reads().begin(tenant).await?;
    let parked = entries::parked(&mut tx, KNOWLEDGE).await?;
    let at = checkpoints(&mut tx, gate.installation(), KNOWLEDGE).await?;
    let mut graph = Adjacency::default();
    let mut is_fitting = Ok(());
    let mut rows =
        sqlx::query_as("select id, merged_into, retracted is not null from read.entity order by id").fetch(&mut *tx);
    while let (Ok(()), Some(row)) = (is_fitting, rows.try_next().await?) {
        is_fitting = graph.begin_with_entity(entity(row)).and_then(|()| fitting(&graph, budget));
    }
    drop(rows);
    let mut rows = sqlx::query_as(
        "select id, source_id, target_id, type, confidence, retracted is not null from read.relationship order by id",
    )
    .fetch(&mut *tx);
    while let (Ok(()), Some(row)) = (is_fitting, rows.try_next().await?) {
        is_fitting = graph.begin_with_relationship(&relationship(row)).and_then(|()| fitting(&graph, budget));
    }
    drop(rows);
    if is_fitting.is_err() {
        return Ok(Loaded::TooLarge);
    }
    graph.finish();
    Ok(Loaded::Whole(Box::new(Following { graph, at, parked })))
}

fn fitting(graph: &Adjacency, budget: usize) -> Result<(), TooLarge> {
    if graph.bytes() > budget { Err(TooLarge) } else { Ok(()) }
}

/// Where searches go: the memory, or SQL.
pub(super) struct Ground<'a> {
    entered: &'a mut Entered,
    warm: Option<Arc<Warm>>,
    answers: IntCounterVec,
}

impl<'a> Ground<'a> {
    /// The graph of `tenant`, as new as what `entered` has seen.
    pub(super) async fn enter(gate: &Gate, tenant: Uuid, entered: &'a mut Entered) -> Result<Self, sqlx::Error> {
        let graphs = gate.graphs();
        let warm = graphs.reach(gate, tenant, entered).await?;
        Ok(Self { entered, warm, answers: graphs.0.answers.clone() })
    }

    /// The transaction, to read rows.
    pub(super) fn tx(&mut self) -> &mut PgConnection {
        &mut self.entered.tx
    }

    /// What the memory has; none: ask SQL. What is newer than what was seen may not be in memory yet.
    fn recall<T>(&self, search: impl FnOnce(&Adjacency) -> Option<T>) -> Option<T> {
        let found = self.warm.as_ref().and_then(|warm| search(&warm.read().graph));
        self.answers.with_label_values(&[if found.is_some() { "memory" } else { "sql" }]).inc();
        found
    }

    /// See [`walk::around`].
    pub(super) async fn around(&mut self, root: Uuid, depth: usize, limit: usize) -> Result<Walk, sqlx::Error> {
        match self.recall(|graph| graph.around(root, depth, limit)) {
            Some(walk) => Ok(walk),
            None => walk::around(&mut self.entered.tx, root, depth, limit).await,
        }
    }

    /// See [`walk::shortest`].
    pub(super) async fn shortest(
        &mut self,
        from: Uuid,
        to: Uuid,
        depth: usize,
    ) -> Result<(Option<Vec<Hop>>, bool), sqlx::Error> {
        match self.recall(|graph| graph.shortest(from, to, depth)) {
            Some(way) => Ok(way),
            None => walk::shortest(&mut self.entered.tx, from, to, depth).await,
        }
    }

    /// See [`walk::surest`].
    pub(super) async fn surest(
        &mut self,
        from: Uuid,
        to: Uuid,
        depth: usize,
    ) -> Result<(Option<Vec<Hop>>, bool), sqlx::Error> {
        match self.recall(|graph| graph.surest(from, to, depth)) {
            Some(way) => Ok(way),
            None => walk::surest(&mut self.entered.tx, from, to, depth).await,
        }
    }
}
