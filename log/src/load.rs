//! Loading: a stream's state in one round trip, with the database's time and the answer that a key may have already.

use chrono::{DateTime, Utc};
use docket_domain::{Aggregate, At};
use docket_events::{DecodeError, EventData, StreamId};
use docket_platform::db;
use sqlx::{PgPool, Row, postgres::PgRow};
use uuid::Uuid;

/// Why a stream could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The database did not answer.
    #[error("the journal cannot be read: {0}")]
    Database(#[from] sqlx::Error),
    /// An event of the stream is of a type that only a newer release knows, or is damaged.
    #[error("the stream cannot be folded: {0}")]
    Decode(#[from] DecodeError),
}

/// A stream folded to a version.
#[derive(Debug, Clone)]
pub struct Loaded<A> {
    /// The state; the default one when the stream does not exist.
    pub state: A,
    /// The stream's version; 0 when it does not exist.
    pub version: u64,
    /// The shard's sequence of the event at that version.
    pub sequence: u64,
    /// The time of the last event.
    pub last_time: Option<DateTime<Utc>>,
    /// The database's time when the stream was read, in whole microseconds.
    pub now: DateTime<Utc>,
}

/// The answer that a key has already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Hash of the request that was answered.
    pub request_hash: Vec<u8>,
    /// The HTTP status of the answer.
    pub status: u16,
    /// The stream that the command wrote or read.
    pub stream: Uuid,
    /// The version that the answer showed.
    pub version: u64,
}

/// Row kinds: the head always comes first, then the events behind the snapshot. Another tenant's stream has no rows, nor has one of
/// another category: it reads, costs and is refused as one that does not exist.
const LOAD: &str = "with snap as (
         select version, sequence, time, state from write.snapshot
         where stream_id = $1 and schema = $2 and version <= $4 and ($5::uuid is null or tenant = $5)
     )
     select 0 as kind, s.version, s.sequence, s.time, null::text as event_type, s.state as data, clock_timestamp() as now,
            k.request_hash, k.status, k.stream_id, k.version as answered_version
     from (values (1)) as one left join snap s on true left join write.idempotency k on k.id = $3
     union all
     (select 1, j.stream_version, j.sequence, j.time, j.event_type, j.data, null, null, null, null, null
      from write.journal j
      where j.stream_id = $1 and j.stream_version > coalesce((select version from snap), 0) and j.stream_version <= $4
        and ($5::uuid is null or j.tenant = $5) and j.category = $6
      order by j.stream_version)";

/// Folds `stream` up to and with version `until`, and looks `key` up. With a tenant, only that tenant's stream exists.
pub(crate) async fn load<A: Aggregate>(
    pool: &PgPool,
    tenant: Option<Uuid>,
    stream: StreamId,
    key: Option<Uuid>,
    until: u64,
) -> Result<(Loaded<A>, Option<Answered>), LoadError> {
    let mut connection = db::acquire(pool).await?;
    let mut schema = A::SCHEMA;
    loop {
        let rows = sqlx::query(LOAD)
            .bind(stream.id)
            .bind(schema)
            .bind(key)
            .bind(i64::try_from(until).unwrap_or(i64::MAX))
            .bind(tenant)
            .bind(stream.category.code())
            .fetch_all(&mut *connection)
            .await?;
        let Some((head, events)) = rows.split_first() else {
            return Err(sqlx::Error::RowNotFound.into());
        };
        let Some(mut loaded) = from_head(head)? else {
            // A snapshot is only a cache: one that cannot be read is passed over, and the whole stream folded.
            tracing::warn!(%stream, "a snapshot cannot be read; folding the stream from its first event");
            schema = NO_SCHEMA;
            continue;
        };
        for row in events {
            fold(&mut loaded, row)?;
        }
        return Ok((loaded, answered(head)?));
    }
}

/// The schema of no snapshot.
const NO_SCHEMA: i32 = -1;

/// The state in the snapshot, or the default one; none when there is a snapshot that cannot be read.
fn from_head<A: Aggregate>(head: &PgRow) -> Result<Option<Loaded<A>>, sqlx::Error> {
    let version: Option<i64> = head.try_get("version")?;
    let sequence: Option<i64> = head.try_get("sequence")?;
    let state = match head.try_get::<Option<&str>, _>("data")? {
        None => A::default(),
        Some(text) => match serde_json::from_str(text) {
            Ok(state) => state,
            Err(_) => return Ok(None),
        },
    };
    Ok(Some(Loaded {
        state,
        version: version.unwrap_or(0) as u64,
        sequence: sequence.unwrap_or(0) as u64,
        last_time: head.try_get("time")?,
        now: head.try_get("now")?,
    }))
}

fn fold<A: Aggregate>(loaded: &mut Loaded<A>, row: &PgRow) -> Result<(), LoadError> {
    let (version, sequence): (i64, i64) = (row.try_get("version")?, row.try_get("sequence")?);
    let time: DateTime<Utc> = row.try_get("time")?;
    let event = A::Event::decode(row.try_get("event_type")?, row.try_get("data")?)?;
    loaded.version = version as u64;
    loaded.sequence = sequence as u64;
    loaded.last_time = Some(time);
    loaded.state.evolve(&event, At { version: loaded.version, time });
    Ok(())
}

fn answered(head: &PgRow) -> Result<Option<Answered>, sqlx::Error> {
    let Some(request_hash) = head.try_get::<Option<Vec<u8>>, _>("request_hash")? else { return Ok(None) };
    let (status, version): (i16, i64) = (head.try_get("status")?, head.try_get("answered_version")?);
    Ok(Some(Answered {
        request_hash,
        status: status as u16,
        stream: head.try_get("stream_id")?,
        version: version as u64,
    }))
}
