//! Generations: which tables of a projection are live, which are being built, and which are old.
//!
//! Owns `read.generation`: who is registered, what there is, and the end of old ones. It must not change which one is live: that is
//! the switch's, in [`crate::rebuild`].

use std::fmt;

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool, Row, postgres::PgRow};

use crate::{
    projection::{Info, Registry, Schema},
    projections::registry,
};

/// What a generation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// A rebuild works, or worked, on it. Nobody reads it.
    Building,
    /// Readers see it, and projectors write it.
    Live,
    /// It was live before; nobody reads or writes it any more.
    Old,
}

impl State {
    /// Its name in the database and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Live => "live",
            Self::Old => "old",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of a projection's tables in one schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// The projection.
    pub projection: String,
    /// Which one: later ones have higher numbers.
    pub number: i32,
    /// The version of the projection that writes it.
    pub version: u32,
    /// The schema that holds its tables.
    pub home: Schema,
    /// What it is.
    pub state: State,
    /// Its tables, as they are called in that schema.
    pub tables: Vec<String>,
    /// When it was begun.
    pub started_at: DateTime<Utc>,
    /// When it went live.
    pub switched_at: Option<DateTime<Utc>>,
}

impl Generation {
    /// The tables with their schema, for SQL.
    pub(crate) fn places(&self) -> Vec<String> {
        self.tables.iter().map(|table| format!("{}.\"{table}\"", self.home)).collect()
    }

    /// Whether it has the shape that `info` writes.
    pub(crate) fn is_of(&self, info: &Info) -> bool {
        self.version == info.version && self.tables.iter().map(String::as_str).eq(info.tables.iter().map(|t| t.name))
    }

    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let state: &str = row.try_get("state")?;
        Ok(Self {
            projection: row.try_get("projection")?,
            number: row.try_get("generation")?,
            version: row.try_get::<i32, _>("version")? as u32,
            home: Schema::home(row.try_get("home")?)?,
            state: match state {
                "building" => State::Building,
                "live" => State::Live,
                _ => State::Old,
            },
            tables: row.try_get("tables")?,
            started_at: row.try_get("started_at")?,
            switched_at: row.try_get("switched_at")?,
        })
    }
}

const REGISTER: &str = "insert into read.generation (projection, generation, version, home, state, tables, switched_at)
     select n.projection, 1, n.version, 'read', 'live', string_to_array(n.tables, ','), now()
     from unnest($1::text[], $2::integer[], $3::text[]) as n (projection, version, tables)
     where not exists (select from read.generation g where g.projection = n.projection)
     on conflict do nothing";

/// Registers the first generation of projections that have none: those of a new release, in the tables that its migrations made.
pub(crate) async fn register(connection: &mut PgConnection, registry: Registry) -> Result<(), sqlx::Error> {
    let tables = |info: &Info| info.tables.iter().map(|table| table.name).collect::<Vec<_>>().join(",");
    let infos = || registry.iter().map(|projection| projection.info());
    sqlx::query(REGISTER)
        .bind(infos().map(|info| info.name).collect::<Vec<_>>())
        .bind(infos().map(|info| info.version as i32).collect::<Vec<_>>())
        .bind(infos().map(tables).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// The generations of one projection or all, oldest first.
pub(crate) async fn of(
    connection: &mut PgConnection,
    projection: Option<&str>,
) -> Result<Vec<Generation>, sqlx::Error> {
    let select = "select projection, generation, version, home, state, tables, started_at, switched_at
         from read.generation where $1::text is null or projection = $1 order by projection, generation";
    let rows = sqlx::query(select).bind(projection).fetch_all(connection).await?;
    rows.iter().map(Generation::from_row).collect()
}

/// The live generation of a projection; none when it was never registered.
pub(crate) async fn live(connection: &mut PgConnection, projection: &str) -> Result<Option<Generation>, sqlx::Error> {
    Ok(of(connection, Some(projection)).await?.into_iter().find(|generation| generation.state == State::Live))
}

/// A projection whose live rows were made by another version of it than this release has: projectors leave it alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outdated {
    /// Its name.
    pub projection: &'static str,
    /// The version that made the live rows.
    pub live: u32,
    /// This release's version.
    pub version: u32,
}

/// The projections that want a `docket rebuild` before this release can write them; `pool` belongs to any role.
///
/// # Errors
/// When the database does not answer.
pub async fn outdated(pool: &PgPool) -> Result<Vec<Outdated>, sqlx::Error> {
    outdated_of(pool, registry()).await
}

/// The same of other projections than this release's.
///
/// # Errors
/// When the database does not answer.
pub async fn outdated_of(pool: &PgPool, registry: Registry) -> Result<Vec<Outdated>, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let generations = of(&mut connection, None).await?;
    let lives = generations.iter().filter(|generation| generation.state == State::Live);
    Ok(lives
        .filter_map(|live| {
            let info = registry.iter().map(|projection| projection.info()).find(|info| info.name == live.projection)?;
            let outdated = Outdated { projection: info.name, live: live.version, version: info.version };
            (live.version != info.version).then_some(outdated)
        })
        .collect())
}

/// A generation, with what an operator wants to know of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// The generation.
    pub generation: Generation,
    /// What its tables and their indexes take on disk.
    pub bytes: u64,
    /// How much of what is live has been built, from 0 to 1, while it is being built.
    pub built: Option<f64>,
}

/// Every generation there is; `owner` belongs to the owner of the schema.
///
/// # Errors
/// When the database does not answer.
pub async fn list(owner: &PgPool) -> Result<Vec<Listed>, sqlx::Error> {
    let mut connection = owner.acquire().await?;
    let mut listed = Vec::new();
    for generation in of(&mut connection, None).await? {
        let bytes: i64 = sqlx::query_scalar(
            "select coalesce(sum(pg_total_relation_size(to_regclass(place))), 0)::bigint from unnest($1::text[]) place",
        )
        .bind(generation.places())
        .fetch_one(&mut *connection)
        .await?;
        let built = match generation.state {
            State::Building => Some(built(&mut connection, &generation).await?),
            State::Live | State::Old => None,
        };
        listed.push(Listed { generation, bytes: bytes as u64, built });
    }
    Ok(listed)
}

async fn built(connection: &mut PgConnection, generation: &Generation) -> Result<f64, sqlx::Error> {
    let sql = generation.home.sql(
        "select coalesce(sum(b.sequence)::float8 / nullif(sum(c.sequence), 0), 1)
         from read.checkpoint c left join {schema}.checkpoint b using (projection, category, shard)
         where c.projection = $1",
    );
    sqlx::query_scalar(sql).bind(&generation.projection).fetch_one(connection).await
}

/// Drops the old generations of one projection or all, and answers which; `owner` belongs to the owner of the schema.
///
/// # Errors
/// When the database refuses, or a reader keeps a table for too long. What was dropped before stays dropped.
pub async fn drop_old(owner: &PgPool, projection: Option<&str>) -> Result<Vec<Generation>, sqlx::Error> {
    let mut connection = owner.acquire().await?;
    let mut dropped = Vec::new();
    for generation in of(&mut connection, projection).await? {
        if generation.state == State::Old {
            let mut transaction = connection.begin().await?;
            transaction.execute("set local lock_timeout = '5s'").await?;
            discard(&mut transaction, &generation).await?;
            transaction.commit().await?;
            dropped.push(generation);
        }
    }
    Ok(dropped)
}

/// Removes a generation with its tables. Those that migrations made are emptied and stay: they are the pattern for the next one.
/// Tables are named and nothing cascades, so that whatever else depends on them is an error and not gone.
pub(crate) async fn discard(connection: &mut PgConnection, generation: &Generation) -> Result<(), sqlx::Error> {
    let mut places = generation.places();
    if generation.home.is_live() {
        // A later migration may have removed them.
        places = sqlx::query_scalar("select place from unnest($1::text[]) place where to_regclass(place) is not null")
            .bind(places)
            .fetch_all(&mut *connection)
            .await?;
        if !places.is_empty() {
            connection.execute(AssertSqlSafe(format!("truncate {}", places.join(", ")))).await?;
        }
    } else {
        places.extend(WORKING.map(|table| format!("{}.{table}", generation.home)));
        connection.execute(AssertSqlSafe(format!("drop table if exists {}", places.join(", ")))).await?;
        connection.execute(AssertSqlSafe(format!("drop schema {}", generation.home))).await?;
    }
    sqlx::query("delete from read.generation where projection = $1 and generation = $2")
        .bind(&generation.projection)
        .bind(generation.number)
        .execute(connection)
        .await?;
    Ok(())
}

/// What a generation has besides its tables while it is being built.
pub(crate) const WORKING: [&str; 2] = ["checkpoint", "dead_letter"];
