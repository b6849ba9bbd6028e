//! What a worker knows of the shards that it holds: how far each projection stands, which streams are parked, and whether the shard
//! has to rest.
//!
//! Owns this memory and how it is loaded. The truth is in `checkpoint` and `dead_letter`; every write compares with it.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    time::Duration,
};

use docket_events::{Category, ShardId};
use sqlx::{PgConnection, Row};
use tokio::time::Instant;
use uuid::Uuid;

use crate::projection::{Registry, Schema};

/// How long the parking of streams is remembered against a shard.
pub(crate) const PARKING_WINDOW: Duration = Duration::from_secs(60);

/// Where one projection stands in one shard.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    /// Which projection, as the registry counts.
    pub(crate) projection: usize,
    /// The sequence applied.
    pub(crate) sequence: u64,
    /// How often the set of parked streams changed.
    pub(crate) generation: i64,
    /// The streams that are parked.
    pub(crate) parked: HashSet<Uuid>,
    /// The last sequence that it is to apply; all, but in a check.
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

/// How far each projection is to go in each shard, in a check.
pub(crate) type Limits = HashMap<(&'static str, ShardId), u64>;

const CREATE: &str = "insert into {schema}.checkpoint (projection, category, shard)
     select * from unnest($1::text[], $2::smallint[], $3::smallint[]) on conflict do nothing";

const LOAD: &str = "select c.projection, c.category, c.shard, c.sequence, c.parked,
            array(select distinct d.stream_id from {schema}.dead_letter d
                  where d.projection = c.projection and d.category = c.category and d.shard = c.shard) as streams
     from {schema}.checkpoint c
     join unnest($1::text[], $2::smallint[], $3::smallint[]) as w (projection, category, shard)
         on c.projection = w.projection and c.category = w.category and c.shard = w.shard";

/// Loads where the projections stand in `wanted`, and makes the checkpoints that are missing.
pub(crate) async fn load(
    connection: &mut PgConnection,
    schema: &Schema,
    registry: Registry,
    wanted: &[ShardId],
    limits: Option<&Limits>,
) -> Result<BTreeMap<ShardId, Shard>, sqlx::Error> {
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
    sqlx::query(schema.sql(CREATE)).bind(&names).bind(&categories).bind(&shards).execute(&mut *connection).await?;
    let rows =
        sqlx::query(schema.sql(LOAD)).bind(&names).bind(&categories).bind(&shards).fetch_all(&mut *connection).await?;
    let mut loaded: BTreeMap<ShardId, Shard> = wanted
        .iter()
        .map(|shard| (*shard, Shard { standings: Vec::new(), last: None, rest: None, parkings: VecDeque::new() }))
        .collect();
    for row in rows {
        let (name, category, shard): (&str, i16, i16) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let Some(category) = Category::from_code(category) else { continue };
        let id = ShardId { category, shard: shard as u16 };
        let Some(projection) = registry.iter().position(|projection| projection.info().name == name) else { continue };
        let Some(shard) = loaded.get_mut(&id) else { continue };
        let until =
            limits.map_or(u64::MAX, |limits| limits.get(&(registry[projection].info().name, id)).copied().unwrap_or(0));
        shard.standings.push(Standing {
            projection,
            sequence: row.try_get::<i64, _>(3)? as u64,
            generation: row.try_get(4)?,
            parked: row.try_get::<Vec<Uuid>, _>(5)?.into_iter().collect(),
            until,
        });
    }
    Ok(loaded)
}
