//! Read models against a replay: the whole log is projected again, through the very same code, into scratch tables.
//!
//! Owns the check behind P7. It must not touch a live row. It works on a running system too: the live rows are copied in one snapshot
//! together with their checkpoints, and the replay goes exactly as far as those. Projections whose live rows another version made are
//! left out.

use std::{fmt, time::Duration};

use docket_events::{Category, ShardId};
use docket_log::{Bell, Topic, Vault, journal::JournalReader, reader::Reader};
use docket_platform::ids;
use sqlx::{Connection, PgConnection, PgPool, Row};
use tokio::time::Instant;

use crate::{
    generation::{self, Generation, State},
    projection::{Registry, Schema},
    projections::registry,
    rebuild::as_projector,
    runtime::{Engine, EngineError, EngineOptions, shard::Limits},
};

/// The longest wait without a look at the log.
const POLL: Duration = Duration::from_millis(100);
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

/// Where the replay reads, and how long it waits for events that a live projection has.
struct Source<R> {
    reader: R,
    patience: Duration,
}

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
    let pool = as_projector(owner);
    let reader = JournalReader::new(pool.clone(), &Bell::new(Topic::Journal));
    let verified = verify(owner, Source { reader, patience: Duration::ZERO }, registry).await;
    pool.close().await;
    verified
}

/// Projects what `reader` gives and compares row for row. It waits up to `patience` for events that are not there yet.
///
/// # Errors
/// See [`VerifyError`].
pub async fn verify_from<R: Reader>(
    owner: &PgPool,
    reader: R,
    patience: Duration,
) -> Result<Vec<Difference>, VerifyError> {
    verify(owner, Source { reader, patience }, registry()).await
}

async fn verify<R: Reader>(
    owner: &PgPool,
    source: Source<R>,
    registry: Registry,
) -> Result<Vec<Difference>, VerifyError> {
    let schema = Schema::scratch(ids::new_id());
    sqlx::query(sqlx::AssertSqlSafe(format!("create schema {schema} authorization docket_projector")))
        .execute(owner)
        .await?;
    let compared = compare(owner, &schema, source, registry).await;
    let dropped = sqlx::query(sqlx::AssertSqlSafe(format!("drop schema {schema} cascade"))).execute(owner).await;
    let differences = compared?;
    dropped?;
    Ok(differences)
}

async fn compare<R: Reader>(
    owner: &PgPool,
    schema: &Schema,
    source: Source<R>,
    registry: Registry,
) -> Result<Vec<Difference>, VerifyError> {
    let pool = as_projector(owner);
    let result = async {
        let compared = copy(&pool, schema, registry).await?;
        replay(&pool, schema, source, registry, &compared.limits).await?;
        let mut connection = pool.acquire().await?;
        let mut differences = Vec::new();
        for Copied { table, columns, .. } in &compared.tables {
            differences.extend(difference(&mut connection, schema, table, columns).await?);
        }
        Ok(differences)
    }
    .await;
    pool.close().await;
    result
}

/// What is compared.
struct Compared {
    tables: Vec<Copied>,
    /// How far the replay has to go.
    limits: Limits,
}

/// A table that is compared.
struct Copied {
    table: &'static str,
    /// Where the live one is.
    home: Schema,
    columns: &'static str,
}

/// The tables of these generations, and those that projections share.
fn tables(registry: Registry, live: &[Generation]) -> Vec<Copied> {
    let own = live.iter().filter_map(|generation| {
        let info = registry.iter().map(|known| known.info()).find(|info| info.name == generation.projection)?;
        let tables = info.tables.iter();
        Some(tables.map(|table| Copied { table: table.name, home: generation.home.clone(), columns: "*" }))
    });
    let shared = SHARED.map(|(table, columns)| Copied { table, home: Schema::live(), columns });
    own.flatten().chain(shared).collect()
}

/// The live generations that were made by these very projections.
async fn comparable(connection: &mut PgConnection, registry: Registry) -> Result<Vec<Generation>, sqlx::Error> {
    generation::register(&mut *connection, registry).await?;
    let mut found = generation::of(connection, None).await?;
    found.retain(|generation| {
        generation.state == State::Live
            && registry.iter().any(|known| known.info().name == generation.projection && generation.is_of(known.info()))
    });
    Ok(found)
}

/// Copies the live rows in one snapshot, makes empty tables for the replay, and answers how far that has to go.
async fn copy(pool: &PgPool, schema: &Schema, registry: Registry) -> Result<Compared, VerifyError> {
    let mut connection = pool.acquire().await?;
    let mut snapshot = connection.begin().await?;
    run(&mut snapshot, "set transaction isolation level repeatable read".to_owned()).await?;
    let live = comparable(&mut snapshot, registry).await?;
    let names: Vec<&str> = live.iter().map(|generation| generation.projection.as_str()).collect();
    let tables = tables(registry, &live);
    for Copied { table, home, .. } in &tables {
        run(&mut snapshot, format!("create table {schema}.{table} (like {home}.{table} including all)")).await?;
        let filter = match *table {
            // Entries before what was trimmed are gone on one side only.
            "change" => {
                "t where projection = any($1) and sequence > coalesce((select m.sequence from read.change_trimmed m
                     where m.projection = t.projection and m.category = t.category and m.shard = t.shard), 0)"
            }
            "dead_letter" => "t where projection = any($1)",
            _ => "t where $1::text[] is not null",
        };
        let copied = format!("create table {schema}.live_{table} (like {home}.{table})");
        run(&mut snapshot, copied).await?;
        let filled = format!("insert into {schema}.live_{table} select t.* from {home}.{table} {filter}");
        sqlx::query(sqlx::AssertSqlSafe(filled)).bind(&names).execute(&mut *snapshot).await?;
    }
    run(&mut snapshot, format!("create table {schema}.checkpoint (like read.checkpoint including all)")).await?;
    run(&mut snapshot, format!("create table {schema}.change_trimmed as select * from read.change_trimmed")).await?;
    let rows =
        sqlx::query("select projection, category, shard, sequence from read.checkpoint where projection = any($1)")
            .bind(&names)
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
    Ok(Compared { tables, limits })
}

async fn run(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(connection).await.map(drop)
}

/// Projects the log up to `limits` into `schema`.
async fn replay<R: Reader>(
    pool: &PgPool,
    schema: &Schema,
    source: Source<R>,
    registry: Registry,
    limits: &Limits,
) -> Result<(), VerifyError> {
    let vault = Vault::new(pool.clone());
    // What was parked over weeks is parked again within seconds.
    let options = EngineOptions { park_limit: usize::MAX, ..EngineOptions::default() };
    let mut engine = Engine::new(pool.clone(), vault, source.reader, registry, schema.clone(), None)
        .with_options(options)
        .with_limits(limits.clone());
    engine.hold(&limits.keys().map(|(_, shard)| *shard).collect()).await?;
    let mut moved = Instant::now();
    loop {
        let applied = engine.turn().await?.applied;
        let short = limits.iter().find(|((name, shard), wanted)| engine.stands_at(name, *shard) < **wanted);
        let Some(((projection, shard), wanted)) = short else { return Ok(()) };
        if applied > 0 {
            moved = Instant::now();
        } else if moved.elapsed() >= source.patience {
            let at = engine.stands_at(projection, *shard);
            return Err(VerifyError::Stopped {
                projection: (*projection).to_owned(),
                shard: *shard,
                at,
                wanted: *wanted,
            });
        } else {
            engine.news(POLL).await;
        }
    }
}

async fn difference(
    connection: &mut PgConnection,
    schema: &Schema,
    table: &str,
    columns: &str,
) -> Result<Option<Difference>, sqlx::Error> {
    let live = format!("select {columns} from {schema}.live_{table}");
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
