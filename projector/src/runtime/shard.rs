//! What a worker knows of the shards that it holds: how far each projection stands and where its rows live, which streams are
//! parked, and whether the shard has to rest.
//!
//! Owns this memory and how it is loaded. The truth is in `checkpoint`, `dead_letter` and `generation`; every write compares with it.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    time::Duration,
};

use docket_events::{Category, ShardId};
use sqlx::{PgConnection, Row, postgres::PgRow};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    generation,
    projection::{Registry, Schema},
};

/// How long the parking of streams is remembered against a shard.
pub(crate) const PARKING_WINDOW: Duration = Duration::from_secs(60);

/// Where one projection stands in one shard.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    /// Which projection, as the registry counts.
    pub(crate) projection: usize,
    /// Where its rows are.
    pub(crate) home: Schema,
    /// The sequence applied.
    pub(crate) sequence: u64,
    /// How often the set of parked streams, or the home, changed.
    pub(crate) revision: i64,
    /// The streams that are parked.
    pub(crate) parked: HashSet<Uuid>,
    /// The last sequence that it is to apply; all, but in a check and in a rebuild.
    pub(crate) until: u64,
}

/// Why a shard is not worked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// An event that only a newer release knows.
    UnknownType,
    /// Too many streams were parked.
    Parking,
    /// An event is missing.
    Gap,
    /// The log holds another event under a sequence that was applied.
    Halted,
    /// The log holds an event that the journal lacks.
    Unjournalled,
}

impl Stop {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownType => "unknown_type",
            Self::Parking => "parking",
            Self::Gap => "gap",
            Self::Halted => "halted",
            Self::Unjournalled => "unjournalled",
        }
    }
}

/// A shard that is held.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) standings: Vec<Standing>,
    /// The newest event applied, to notice another one in its place.
    pub(crate) last: Option<(u64, Uuid)>,
    /// Not worked before this instant; none: not before it is taken anew.
    pub(crate) rest: Option<(Stop, Option<Instant>)>,
    /// When streams were parked lately.
    pub(crate) parkings: VecDeque<Instant>,
}

impl Shard {
    /// Whether it may be worked now.
    pub(crate) fn is_up(&self, now: Instant) -> bool {
        match self.rest {
            None => true,
            Some((_, until)) => until.is_some_and(|until| now >= until),
        }
    }

    /// How many streams were parked within the window.
    pub(crate) fn parked_lately(&mut self, now: Instant) -> usize {
        while self.parkings.front().is_some_and(|at| now.duration_since(*at) > PARKING_WINDOW) {
            self.parkings.pop_front();
        }
        self.parkings.len()
    }
}

/// How far each projection is to go in each shard, in a check and in a rebuild.
pub(crate) type Limits = HashMap<(&'static str, ShardId), u64>;

/// What was loaded.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) shards: BTreeMap<ShardId, Shard>,
    /// Projections that are left alone, with the version that made their live rows.
    pub(crate) outdated: BTreeMap<usize, u32>,
}

const CREATE: &str = "insert into {schema}.checkpoint (projection, category, shard)
     select * from unnest($1::text[], $2::smallint[], $3::smallint[]) on conflict do nothing";

// In one statement: a home that were older than the checkpoint beside it would be written to, and nothing would notice.
const LOAD: &str = "select c.projection, c.category, c.shard, c.sequence, c.parked,
            array(select distinct d.stream_id from {schema}.dead_letter d
                  where d.projection = c.projection and d.category = c.category and d.shard = c.shard) as streams,
            g.version, g.home
     from {schema}.checkpoint c
     join unnest($1::text[], $2::smallint[], $3::smallint[]) as w (projection, category, shard)
         on c.projection = w.projection and c.category = w.category and c.shard = w.shard
     left join read.generation g on g.projection = c.projection and g.state = 'live'";

/// Loads where the projections stand in `wanted`, and makes the checkpoints that are missing.
pub(crate) async fn load(
    connection: &mut PgConnection,
    schema: &Schema,
    registry: Registry,
    wanted: &[ShardId],
    limits: Option<&Limits>,
) -> Result<Loaded, sqlx::Error> {
    let places: Vec<(usize, ShardId)> = wanted
        .iter()
        .flat_map(|shard| {
            (0..registry.len())
                .filter(|projection| registry[*projection].info().categories.contains(&shard.category))
                .map(|projection| (projection, *shard))
        })
        .collect();
    let names: Vec<&str> = places.iter().map(|(projection, _)| registry[*projection].info().name).collect();
    let categories: Vec<i16> = places.iter().map(|(_, shard)| shard.category.code()).collect();
    let shards: Vec<i16> = places.iter().map(|(_, shard)| shard.shard as i16).collect();
    if schema.is_live() {
        generation::register(&mut *connection, registry).await?;
    }
    // A reactor begins where its registration says, and without one nowhere.
    if *schema != Schema::reactors() {
        sqlx::query(schema.sql(CREATE)).bind(&names).bind(&categories).bind(&shards).execute(&mut *connection).await?;
    }
    let rows =
        sqlx::query(schema.sql(LOAD)).bind(&names).bind(&categories).bind(&shards).fetch_all(&mut *connection).await?;
    let empty =
        |shard: &ShardId| (*shard, Shard { standings: Vec::new(), last: None, rest: None, parkings: VecDeque::new() });
    let mut loaded = Loaded { shards: wanted.iter().map(empty).collect(), outdated: BTreeMap::new() };
    for row in rows {
        take(&mut loaded, schema, registry, limits, &row)?;
    }
    Ok(loaded)
}

/// Takes over one checkpoint.
fn take(
    loaded: &mut Loaded,
    schema: &Schema,
    registry: Registry,
    limits: Option<&Limits>,
    row: &PgRow,
) -> Result<(), sqlx::Error> {
    let (name, category, shard): (&str, i16, i16) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let Some(category) = Category::from_code(category) else { return Ok(()) };
    let id = ShardId { category, shard: shard as u16 };
    let Some(projection) = registry.iter().position(|projection| projection.info().name == name) else { return Ok(()) };
    let info = registry[projection].info();
    let home = if schema.is_live() {
        let version = row.try_get::<i32, _>(6)? as u32;
        if version != info.version {
            loaded.outdated.insert(projection, version);
            return Ok(());
        }
        Schema::home(row.try_get(7)?)?
    } else {
        schema.clone()
    };
    let Some(shard) = loaded.shards.get_mut(&id) else { return Ok(()) };
    shard.standings.push(Standing {
        projection,
        home,
        sequence: row.try_get::<i64, _>(3)? as u64,
        revision: row.try_get(4)?,
        parked: row.try_get::<Vec<Uuid>, _>(5)?.into_iter().collect(),
        until: limits.map_or(u64::MAX, |limits| limits.get(&(info.name, id)).copied().unwrap_or(0)),
    });
    Ok(())
}
