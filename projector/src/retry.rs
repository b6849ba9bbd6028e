//! `docket retry`: applies what was parked, once its cause is gone.
//!
//! Owns the way back of a parked stream. Each stream has a transaction of its own that holds the checkpoint's row, so that the
//! runtime neither adds to what is parked meanwhile nor goes on with an outdated idea of it.

use docket_events::{Category, Recorded, ShardId, StreamId};
use docket_log::{Vault, journal, reader::ReadError};
use futures_util::TryStreamExt;
use sqlx::{Connection, PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::{
    generation,
    projection::{AnyBatch, AnyProjection, Change, Schema, WriteError},
    projections::registry,
    reactors,
    runtime::decode::{self, Run},
};

/// A stream that waits for `docket retry`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedStream {
    /// Whose checkpoints and dead letters: the projections', or the reactors'.
    pub(crate) schema: Schema,
    /// The projection, or the reactor, that could not apply it.
    pub projection: String,
    /// The stream.
    pub stream: StreamId,
    /// Its shard.
    pub shard: ShardId,
    /// The sequence of the event that could not be applied.
    pub sequence: u64,
    /// How many events wait.
    pub events: u64,
    /// Why, as far as it is known.
    pub error: Option<String>,
}

/// What a retry came to.
#[derive(Debug, Clone, Default)]
pub struct RetryReport {
    /// Streams that are applied now.
    pub healed: Vec<ParkedStream>,
    /// Streams that stay parked, with the new error.
    pub parked: Vec<ParkedStream>,
}

/// Why a retry could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// The database did not answer. Streams that were healed before stay healed.
    #[error("parked streams cannot be retried: {0}")]
    Database(#[from] sqlx::Error),
    /// The journal could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No projection, and no reactor, has this name.
    #[error("there is no projection and no reactor `{0}`")]
    NoSuchProjection(String),
}

const PARKED: &str = "select projection, category, shard, stream_id, min(sequence) as sequence, count(*) as events,
            (array_agg(error order by sequence) filter (where error is not null))[1] as error
     from {schema}.dead_letter
     where ($1::text is null or projection = $1) and ($2::uuid is null or (stream_id = $2 and category = $3))
     group by projection, category, shard, stream_id
     order by projection, category, shard, min(sequence)";

/// The streams that wait for a retry, by projection and shard; `pool` belongs to the projector's role.
///
/// # Errors
/// When the database does not answer.
pub async fn parked(pool: &PgPool) -> Result<Vec<ParkedStream>, sqlx::Error> {
    list(pool, None, None).await
}

pub(crate) async fn list(
    pool: &PgPool,
    projection: Option<&str>,
    stream: Option<StreamId>,
) -> Result<Vec<ParkedStream>, sqlx::Error> {
    let mut parked = Vec::new();
    for schema in [Schema::live(), Schema::reactors()] {
        parked.extend(list_in(pool, &schema, projection, stream).await?);
    }
    Ok(parked)
}

async fn list_in(
    pool: &PgPool,
    schema: &Schema,
    projection: Option<&str>,
    stream: Option<StreamId>,
) -> Result<Vec<ParkedStream>, sqlx::Error> {
    let rows = sqlx::query(schema.sql(PARKED))
        .bind(projection)
        .bind(stream.map(|stream| stream.id))
        .bind(stream.map(|stream| stream.category.code()))
        .fetch_all(pool)
        .await?;
    let mut parked = Vec::with_capacity(rows.len());
    for row in rows {
        // A category that only a newer release knows is that release's to retry.
        let Some(category) = Category::from_code(row.try_get("category")?) else { continue };
        parked.push(ParkedStream {
            schema: schema.clone(),
            projection: row.try_get("projection")?,
            stream: StreamId::new(category, row.try_get("stream_id")?),
            shard: ShardId { category, shard: row.try_get::<i16, _>("shard")? as u16 },
            sequence: row.try_get::<i64, _>("sequence")? as u64,
            events: row.try_get::<i64, _>("events")? as u64,
            error: row.try_get("error")?,
        });
    }
    Ok(parked)
}

/// Tries to apply parked streams: all, or those of one projection, or one stream; `pool` belongs to the projector's role.
///
/// # Errors
/// See [`RetryError`]; a stream that still cannot be applied is no error but stands in the report.
pub async fn retry(
    pool: &PgPool,
    vault: &Vault,
    projection: Option<&str>,
    stream: Option<StreamId>,
) -> Result<RetryReport, RetryError> {
    let all: Vec<_> = registry().iter().chain(reactors::REACTORS).copied().collect();
    retry_with(pool, vault, &all, projection, stream).await
}

/// The same with other projections and reactors than this release's.
///
/// # Errors
/// See [`retry`].
pub async fn retry_with(
    pool: &PgPool,
    vault: &Vault,
    registry: &[&'static dyn AnyProjection],
    projection: Option<&str>,
    stream: Option<StreamId>,
) -> Result<RetryReport, RetryError> {
    if let Some(name) = projection
        && !registry.iter().any(|projection| projection.info().name == name)
    {
        return Err(RetryError::NoSuchProjection(name.to_owned()));
    }
    let mut report = RetryReport::default();
    for parked in list(pool, projection, stream).await? {
        let Some(projection) = registry.iter().find(|p| p.info().name == parked.projection) else { continue };
        match retry_stream(pool, vault, *projection, &parked).await? {
            Ok(events) => report.healed.push(ParkedStream { events, ..parked }),
            Err(error) => {
                note(pool, &parked, &error).await?;
                report.parked.push(ParkedStream { error: Some(error), ..parked });
            }
        }
    }
    Ok(report)
}

const LOCK: &str =
    "select sequence from {schema}.checkpoint where projection = $1 and category = $2 and shard = $3 for update";

const WAITING: &str = "select sequence from {schema}.dead_letter
     where projection = $1 and category = $2 and shard = $3 and stream_id = $4 order by sequence";

const HEALED: &str = "with gone as (
         delete from {schema}.dead_letter where projection = $1 and category = $2 and shard = $3 and stream_id = $4
     )
     update {schema}.checkpoint set parked = parked + 1 where projection = $1 and category = $2 and shard = $3";

const TOLD: &str = "insert into {schema}.change (projection, category, shard, sequence, tenant, key, kind, late)
     select $1, $2, $3, *, true from unnest($4::bigint[], $5::uuid[], $6::uuid[], $7::text[])
     on conflict do nothing";

/// Applies one stream; the inner error says why it stays parked.
async fn retry_stream(
    pool: &PgPool,
    vault: &Vault,
    projection: &'static dyn AnyProjection,
    parked: &ParkedStream,
) -> Result<Result<u64, String>, RetryError> {
    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    place(sqlx::query(parked.schema.sql(LOCK)), parked).fetch_optional(&mut *transaction).await?;
    // Behind the lock: a rebuild that switched meanwhile is seen, and none switches until this is done.
    let Some(home) = home(&mut transaction, projection, parked).await? else {
        return Ok(Err("another version of the projection made the live rows".to_owned()));
    };
    let waiting = waiting(&mut transaction, parked).await?;
    let run = match read(pool, vault, parked, &waiting).await? {
        Ok(run) => run,
        Err(error) => return Ok(Err(error)),
    };
    let (batch, told) = match fold(projection, &run) {
        Ok(folded) => folded,
        Err(error) => return Ok(Err(error)),
    };
    match batch.write(&home, &mut transaction).await {
        Ok(()) => {}
        Err(error) if error.is_data() => return Ok(Err(error.to_string())),
        Err(WriteError::Database(error)) => return Err(error.into()),
        Err(error) => return Ok(Err(error.to_string())),
    }
    heal(&mut transaction, parked, &told).await?;
    transaction.commit().await?;
    Ok(Ok(waiting.len() as u64))
}

/// Where rows go: for a projection into its live generation, if that is of this version; for a reactor beside its checkpoint.
async fn home(
    connection: &mut PgConnection,
    projection: &'static dyn AnyProjection,
    parked: &ParkedStream,
) -> Result<Option<Schema>, sqlx::Error> {
    if !parked.schema.is_live() {
        return Ok(Some(parked.schema.clone()));
    }
    let live = generation::live(connection, &parked.projection).await?;
    Ok(live.filter(|live| live.is_of(projection.info())).map(|live| live.home))
}

/// Tells what was parked of a stream that a rebuild has applied, and parks it no longer.
pub(crate) async fn heal_rebuilt(
    connection: &mut PgConnection,
    (pool, vault): (&PgPool, &Vault),
    projection: &'static dyn AnyProjection,
    parked: &ParkedStream,
) -> Result<(), RetryError> {
    let waiting = waiting(&mut *connection, parked).await?;
    let run = read(pool, vault, parked, &waiting).await?;
    match run {
        Ok(run) => heal(connection, parked, &changes(projection, &run)).await?,
        // It was applied, so it can be read.
        Err(_) => heal(connection, parked, &Told::new()).await?,
    }
    Ok(())
}

/// What the change feed says of the events of a run.
fn changes<'a>(projection: &'static dyn AnyProjection, run: &'a Run) -> Told<'a> {
    let decoded = run.items.iter().filter_map(|item| Some((&item.event, item.data.as_ref().ok()?)));
    decoded.filter_map(|(event, data)| Some((event, projection.change(event, data)?))).collect()
}

/// The sequences of a stream's events that wait.
async fn waiting(connection: &mut PgConnection, parked: &ParkedStream) -> Result<Vec<i64>, sqlx::Error> {
    place(sqlx::query(parked.schema.sql(WAITING)), parked)
        .bind(parked.stream.id)
        .try_map(|row: sqlx::postgres::PgRow| row.try_get(0))
        .fetch_all(connection)
        .await
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn place<'q>(query: Query<'q>, parked: &ParkedStream) -> Query<'q> {
    query.bind(parked.projection.clone()).bind(parked.shard.category.code()).bind(parked.shard.shard as i16)
}

/// The waiting events of the stream, decoded; the inner error says what cannot be read.
async fn read(
    pool: &PgPool,
    vault: &Vault,
    parked: &ParkedStream,
    waiting: &[i64],
) -> Result<Result<Run, String>, RetryError> {
    let events: Vec<Recorded> = journal::stream_events(pool, parked.stream)
        .try_filter(|event| std::future::ready(waiting.binary_search(&(event.sequence as i64)).is_ok()))
        .try_collect()
        .await?;
    if events.len() != waiting.len() {
        return Ok(Err("the journal does not hold all events that wait".to_owned()));
    }
    let mut runs = [Run::decode(parked.shard, events)];
    decode::open(&mut runs, vault).await?;
    let [run] = runs;
    match &run.unknown {
        Some(unknown) => Ok(Err(format!("event {}: {}", unknown.event.sequence, unknown.what))),
        None => Ok(Ok(run)),
    }
}

type Told<'a> = Vec<(&'a Recorded, Change<'a>)>;

fn fold<'a>(projection: &'static dyn AnyProjection, run: &'a Run) -> Result<(Box<dyn AnyBatch>, Told<'a>), String> {
    let mut batch = projection.batch();
    let mut told = Vec::new();
    for item in &run.items {
        let refused = |error: &dyn std::fmt::Display| format!("event {}: {error}", item.event.sequence);
        let data = item.data.as_ref().map_err(|error| refused(error))?;
        batch.apply(&item.event, data).map_err(|error| refused(&error))?;
        told.extend(projection.change(&item.event, data).map(|change| (&item.event, change)));
    }
    Ok((batch, told))
}

async fn heal(connection: &mut PgConnection, parked: &ParkedStream, told: &Told<'_>) -> Result<(), sqlx::Error> {
    let healed = place(sqlx::query(parked.schema.sql(HEALED)), parked).bind(parked.stream.id);
    healed.execute(&mut *connection).await?;
    if told.is_empty() {
        return Ok(());
    }
    place(sqlx::query(parked.schema.sql(TOLD)), parked)
        .bind(told.iter().map(|(event, _)| event.sequence as i64).collect::<Vec<_>>())
        .bind(told.iter().map(|(event, _)| event.tenant).collect::<Vec<Uuid>>())
        .bind(told.iter().map(|(_, change)| change.key).collect::<Vec<_>>())
        .bind(told.iter().map(|(_, change)| change.kind).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

const NOTE: &str = "update {schema}.dead_letter set error = $5
     where projection = $1 and category = $2 and shard = $3 and stream_id = $4 and sequence = $6";

/// Keeps the new error with the first event of the stream.
async fn note(pool: &PgPool, parked: &ParkedStream, error: &str) -> Result<(), sqlx::Error> {
    place(sqlx::query(parked.schema.sql(NOTE)), parked)
        .bind(parked.stream.id)
        .bind(error.replace('\0', "\u{fffd}"))
        .bind(parked.sequence as i64)
        .execute(pool)
        .await?;
    Ok(())
}
