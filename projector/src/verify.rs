//! Read models against a replay: the whole journal is projected again, through the very same code, into scratch tables.
//!
//! Owns the check behind P7. It must not touch a live row. It works on a running system too: the live rows are copied in one snapshot
//! together with their checkpoints, and the replay goes exactly as far as those.

use std::fmt;

use docket_events::{Category, ShardId};
use docket_log::{Bell, Topic, Vault, journal::JournalReader};
use docket_platform::ids;
use sqlx::{
    Connection, PgConnection, PgPool, Row,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    projection::{Registry, Schema},
    projections::registry,
    runtime::{Engine, EngineError, EngineOptions, shard::Limits},
};

/// Examples shown of each side of a difference.
const EXAMPLES: i64 = 3;

/// A table that is not what a replay makes of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The table, without its schema.
    pub table: String,
    /// Rows that the replay does not give, the first few as JSON.
    pub live_only: Vec<String>,
    /// Rows that the replay gives and that are not there, the first few as JSON.
    pub replay_only: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: live only [{}]; replay only [{}]",
            self.table,
            self.live_only.join(", "),
            self.replay_only.join(", ")
        )
    }
}

/// Why the read models could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The database did not answer, or refused.
    #[error("the read models cannot be checked: {0}")]
    Database(#[from] sqlx::Error),
    /// The journal could not be projected.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The replay stopped before it reached the live checkpoints.
    #[error("the replay stopped in shard {shard} of {projection} at {at}, before {wanted}")]
    Stopped {
        /// The projection.
        projection: String,
        /// The shard.
        shard: ShardId,
        /// The sequence reached.
        at: u64,
        /// The sequence of the live checkpoint.
        wanted: u64,
    },
}

/// What the replay has to be equal in besides the projections' own tables: (table, columns).
const SHARED: [(&str, &str); 2] = [
    ("change", "projection, category, shard, sequence, tenant, key, kind"),
    ("dead_letter", "projection, category, shard, sequence, tenant, stream_id, event_id, event_type"),
];

/// Projects the whole journal again and compares row for row; no differences: all is well.
///
/// `owner` belongs to the owner of the schema, which must be a member of the projector's role.
///
/// # Errors
/// See [`VerifyError`].
pub async fn verify_read_model(owner: &PgPool) -> Result<Vec<Difference>, VerifyError> {
    verify_registry(owner, registry()).await
}

/// The same for other projections than this release's.
///
/// # Errors
/// See [`VerifyError`].
pub async fn verify_registry(owner: &PgPool, registry: Registry) -> Result<Vec<Difference>, VerifyError> {
    let schema = Schema::scratch(ids::new_id());
    sqlx::query(sqlx::AssertSqlSafe(format!("create schema {schema} authorization docket_projector")))
        .execute(owner)
        .await?;
    let compared = compare(owner, &schema, registry).await;
    let dropped = sqlx::query(sqlx::AssertSqlSafe(format!("drop schema {schema} cascade"))).execute(owner).await;
    let differences = compared?;
    dropped?;
    Ok(differences)
}

async fn compare(owner: &PgPool, schema: &Schema, registry: Registry) -> Result<Vec<Difference>, VerifyError> {
    let options: PgConnectOptions = (*owner.connect_options()).clone();
    // Row security does not bind the projector's role, and may bind the owner's.
    let pool =
        PgPoolOptions::new().max_connections(4).connect_lazy_with(options.options([("role", "docket_projector")]));
    let result = async {
        let limits = copy(&pool, schema, registry).await?;
        replay(&pool, schema, registry, &limits).await?;
        let mut connection = pool.acquire().await?;
        let mut differences = Vec::new();
        for (table, columns) in tables(registry) {
            differences.extend(difference(&mut connection, schema, table, columns).await?);
        }
        Ok(differences)
    }
    .await;
    pool.close().await;
    result
}

/// Every table to compare, with its columns.
fn tables(registry: Registry) -> impl Iterator<Item = (&'static str, &'static str)> {
    registry.iter().flat_map(|projection| projection.info().tables).map(|table| (table.name, "*")).chain(SHARED)
}

/// Copies the live rows in one snapshot, makes empty tables for the replay, and answers how far that has to go.
async fn copy(pool: &PgPool, schema: &Schema, registry: Registry) -> Result<Limits, VerifyError> {
    let mut connection = pool.acquire().await?;
    for table in tables(registry).map(|(table, _)| table).chain(["checkpoint"]) {
        run(&mut connection, format!("create table {schema}.{table} (like read.{table} including all)")).await?;
    }
    let mut snapshot = connection.begin().await?;
    run(&mut snapshot, "set transaction isolation level repeatable read".to_owned()).await?;
    for (table, columns) in tables(registry) {
        // Entries before what was trimmed are gone on one side only.
        let filter = if table == "change" {
            "t where sequence > coalesce((select m.sequence from read.change_trimmed m where m.projection = t.projection
                 and m.category = t.category and m.shard = t.shard), 0)"
        } else {
            ""
        };
        let copied = format!("create table {schema}.live_{table} as select {columns} from read.{table} {filter}");
        run(&mut snapshot, copied).await?;
    }
    let trimmed = format!("create table {schema}.change_trimmed as select * from read.change_trimmed");
    run(&mut snapshot, trimmed).await?;
    let rows = sqlx::query("select projection, category, shard, sequence from read.checkpoint")
        .fetch_all(&mut *snapshot)
        .await?;
    snapshot.commit().await?;
    let mut limits = Limits::new();
    for row in rows {
        let (name, code, shard): (&str, i16, i16) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let sequence: i64 = row.try_get(3)?;
        let Some(category) = Category::from_code(code) else { continue };
        if let Some(projection) = registry.iter().find(|projection| projection.info().name == name) {
            let shard = ShardId { category, shard: shard as u16 };
            limits.insert((projection.info().name, shard), sequence as u64);
        }
    }
    Ok(limits)
}

async fn run(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(connection).await.map(drop)
}

/// Projects the journal up to `limits` into `schema`.
async fn replay(pool: &PgPool, schema: &Schema, registry: Registry, limits: &Limits) -> Result<(), VerifyError> {
    let reader = JournalReader::new(pool.clone(), &Bell::new(Topic::Journal));
    let vault = Vault::new(pool.clone());
    // What was parked over weeks is parked again within seconds.
    let options = EngineOptions { park_limit: usize::MAX, ..EngineOptions::default() };
    let mut engine = Engine::new(pool.clone(), vault, reader, registry, schema.clone(), None)
        .with_options(options)
        .with_limits(limits.clone());
    engine.hold(&limits.keys().map(|(_, shard)| *shard).collect()).await?;
    loop {
        let turn = engine.turn().await?;
        if turn.applied == 0 {
            break;
        }
    }
    for ((projection, shard), wanted) in limits {
        let at = engine.stands_at(projection, *shard);
        if at < *wanted {
            return Err(VerifyError::Stopped {
                projection: (*projection).to_owned(),
                shard: *shard,
                at,
                wanted: *wanted,
            });
        }
    }
    Ok(())
}

async fn difference(
    connection: &mut PgConnection,
    schema: &Schema,
    table: &str,
    columns: &str,
) -> Result<Option<Difference>, sqlx::Error> {
    let live = format!("select * from {schema}.live_{table}");
    let replayed = if table == "change" {
        format!(
            "select {columns} from {schema}.change t where sequence > coalesce((select m.sequence from {schema}.change_trimmed m
                 where m.projection = t.projection and m.category = t.category and m.shard = t.shard), 0)"
        )
    } else {
        format!("select {columns} from {schema}.{table}")
    };
    let live_only = except(connection, &live, &replayed).await?;
    let replay_only = except(connection, &replayed, &live).await?;
    let equal = live_only.is_empty() && replay_only.is_empty();
    Ok((!equal).then(|| Difference { table: table.to_owned(), live_only, replay_only }))
}

async fn except(connection: &mut PgConnection, one: &str, other: &str) -> Result<Vec<String>, sqlx::Error> {
    let sql = format!("select to_jsonb(d)::text from ({one} except {other}) d limit {EXAMPLES}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(connection).await
}
