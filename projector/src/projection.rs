//! What a projection is: events in, rows out.
//!
//! Owns the trait that every projection implements, its type-erased form, and what can go wrong inside one. It must not know how
//! events are read, ordered or committed: that is the runtime's. A projection does no I/O while it folds and has no side effect but
//! its rows, so that it can be replayed from zero at any time and gives the same rows.

use std::fmt;

use docket_events::{Category, DecodeError, Event, Recorded};
use futures_util::future::BoxFuture;
use sqlx::PgConnection;
use uuid::Uuid;

/// A PostgreSQL schema with tables of projections: `read`, the home of a generation, or the scratch schema of a check.
///
/// It becomes part of SQL text, so it is always one of ours and never what a user gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema(String);

impl Schema {
    /// What is live: checkpoints, change feed and dead letters are here, each projection's rows in the home of its live generation.
    #[must_use]
    pub fn live() -> Self {
        Self("read".to_owned())
    }

    /// The schema of the `generation`-th generation of a projection that was made by a rebuild.
    #[must_use]
    pub(crate) fn of_generation(projection: &'static str, generation: i32) -> Self {
        Self(format!("read_{projection}_{generation}"))
    }

    /// A home as `read.generation` names it.
    ///
    /// # Errors
    /// When it is no plain name: what stands in a table is not trusted to be SQL.
    pub(crate) fn home(name: &str) -> Result<Self, sqlx::Error> {
        let plain = |byte: u8| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if !name.is_empty() && name.bytes().all(plain) {
            return Ok(Self(name.to_owned()));
        }
        Err(sqlx::Error::Decode(format!("the home `{name}` of a generation is no plain name").into()))
    }

    /// Whether this is what is live.
    #[must_use]
    pub(crate) fn is_live(&self) -> bool {
        self.0 == "read"
    }

    /// The scratch schema of one check.
    #[must_use]
    pub fn scratch(id: Uuid) -> Self {
        Self(format!("check_{}", id.simple()))
    }

    /// What reactors have to do, and how far they are.
    #[must_use]
    pub fn reactors() -> Self {
        Self("react".to_owned())
    }

    /// The statement `template` with this schema's name wherever `{schema}` stands.
    #[must_use]
    pub fn sql(&self, template: &'static str) -> sqlx::AssertSqlSafe<String> {
        // Safe: both parts are ours.
        sqlx::AssertSqlSafe(template.replace("{schema}", &self.0))
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A table of a projection.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Its name within the schema, with the version.
    pub name: &'static str,
    /// The columns that hold personal data in clear: what an erasure has to sweep.
    pub personal: &'static [&'static str],
}

/// What is fixed about a projection.
#[derive(Debug, Clone, Copy)]
pub struct Info {
    /// Its name in checkpoints, the change feed, metrics and on the command line.
    pub name: &'static str,
    /// Raised when its rows change shape or meaning, which asks for a rebuild.
    pub version: u32,
    /// The categories whose events it applies.
    pub categories: &'static [Category],
    /// Every table that it writes.
    pub tables: &'static [Table],
}

impl Info {
    /// Whether personal fields have to be opened for it.
    #[must_use]
    pub fn wants_personal(&self) -> bool {
        self.tables.iter().any(|table| !table.personal.is_empty())
    }
}

/// An event that a projection cannot apply, though its type and version are known. It stops its own stream and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Poison(pub String);

impl Poison {
    /// Poison with its reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl From<DecodeError> for Poison {
    fn from(error: DecodeError) -> Self {
        Self(error.to_string())
    }
}

/// Why rows could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The database refused, or did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The rows that the events build upon are not what they must be.
    #[error("{0}")]
    Inconsistent(String),
}

impl WriteError {
    /// Whether the data is at fault, so that writing it again cannot help.
    #[must_use]
    pub fn is_data(&self) -> bool {
        match self {
            Self::Inconsistent(_) | Self::Database(sqlx::Error::Encode(_)) => true,
            // Data exceptions and integrity violations.
            Self::Database(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
            }
            Self::Database(_) => false,
        }
    }

    /// Whether the database was at fault for a moment, so that the same again may work.
    #[must_use]
    pub fn is_passing(error: &sqlx::Error) -> bool {
        use docket_platform::db::{is_connection_failure, is_overload};
        is_connection_failure(error)
            || is_overload(error)
            // Pools, protocols, sessions that ended: whatever the server did not answer as an error of the statement.
            || !matches!(error, sqlx::Error::Database(_) | sqlx::Error::Encode(_) | sqlx::Error::Decode(_))
    }
}

/// Nothing is ever built upon the wrong ground in silence.
///
/// # Errors
/// [`WriteError::Inconsistent`] unless as many rows were written as there are to be.
pub(crate) fn all_there(what: &str, written: u64, wanted: usize) -> Result<(), WriteError> {
    if written == wanted as u64 {
        return Ok(());
    }
    Err(WriteError::Inconsistent(format!("{written} of {wanted} {what} are there to be changed")))
}

/// An entry of the change feed: what subscriptions and caches learn of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'a> {
    /// The row that changed: the aggregate's id.
    pub key: Uuid,
    /// What happened: the event's kind, such as `responded`.
    pub kind: &'a str,
}

/// The kind of an event: `responded` of `docket.consultation.responded.v1`.
#[must_use]
pub fn kind(event: &Recorded) -> &str {
    event.event_type.split('.').nth(2).unwrap_or(&event.event_type)
}

/// Events to rows.
pub trait Projection: Send + Sync + 'static {
    /// Name, version, categories, tables.
    const INFO: Info;

    /// What a batch of events comes to, in memory.
    type Batch: Default + Send + Sync + 'static;

    /// Folds one event into the batch. Pure: no I/O, no clock. On an error the batch is as it was before.
    ///
    /// # Errors
    /// [`Poison`] when the event cannot be applied.
    fn apply(&self, batch: &mut Self::Batch, event: &Recorded, data: &Event) -> Result<(), Poison>;

    /// Writes what a batch came to: few statements, each in the order of its table's key.
    fn write(
        &self,
        schema: &Schema,
        connection: &mut PgConnection,
        batch: &Self::Batch,
    ) -> impl Future<Output = Result<(), WriteError>> + Send;

    /// What the change feed says of an event that was applied; none: nothing.
    fn change<'a>(&self, event: &'a Recorded, data: &Event) -> Option<Change<'a>> {
        let _ = data;
        Some(Change { key: event.stream.id, kind: kind(event) })
    }
}

/// A batch of some projection.
pub trait AnyBatch: Send + Sync {
    /// See [`Projection::apply`].
    ///
    /// # Errors
    /// See there.
    fn apply(&mut self, event: &Recorded, data: &Event) -> Result<(), Poison>;

    /// See [`Projection::write`].
    fn write<'a>(
        &'a self,
        schema: &'a Schema,
        connection: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), WriteError>>;
}

/// Any projection, so that one registry can list them all.
pub trait AnyProjection: Send + Sync {
    /// Name, version, categories, tables.
    fn info(&'static self) -> &'static Info;
    /// An empty batch.
    fn batch(&'static self) -> Box<dyn AnyBatch>;
    /// See [`Projection::change`].
    fn change<'a>(&self, event: &'a Recorded, data: &Event) -> Option<Change<'a>>;
}

/// The projections that a runtime works.
pub type Registry = &'static [&'static dyn AnyProjection];

struct Folding<P: Projection> {
    projection: &'static P,
    batch: P::Batch,
}

impl<P: Projection> AnyBatch for Folding<P> {
    fn apply(&mut self, event: &Recorded, data: &Event) -> Result<(), Poison> {
        self.projection.apply(&mut self.batch, event, data)
    }

    fn write<'a>(
        &'a self,
        schema: &'a Schema,
        connection: &'a mut PgConnection,
    ) -> BoxFuture<'a, Result<(), WriteError>> {
        Box::pin(self.projection.write(schema, connection, &self.batch))
    }
}

impl<P: Projection> AnyProjection for P {
    fn info(&'static self) -> &'static Info {
        &P::INFO
    }

    fn batch(&'static self) -> Box<dyn AnyBatch> {
        Box::new(Folding { projection: self, batch: P::Batch::default() })
    }

    fn change<'a>(&self, event: &'a Recorded, data: &Event) -> Option<Change<'a>> {
        Projection::change(self, event, data)
    }
}
