//! The append: what one command wants journalled, and the verdict on it.
//!
//! One command writes one stream in one shard. Commands travel to the database in batches that a lane gathers; each gets a
//! verdict of its own, so that one conflict fails alone.

use chrono::{DateTime, Utc};
use docket_events::{NewEvent, ShardId, StreamId};
use tokio::sync::oneshot;
use uuid::Uuid;

/// The first answer to a command, found by its key when the command is repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRow {
    /// Hash of tenant, principal, route and key.
    pub id: Uuid,
    /// SHA-256 of the request, so that another request under the same key is noticed.
    pub request_hash: [u8; 32],
    /// The HTTP status of the first answer.
    pub status: u16,
}

/// A value that one stream alone may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What kind of value, such as `email`.
    pub kind: &'static str,
    /// Keyed hash of the value; the value itself is personal.
    pub value: Vec<u8>,
}

/// What an append does to the stream's deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadlineChange {
    /// Nothing.
    Keep,
    /// The clock has to end the stream at this instant.
    Set(DateTime<Utc>),
    /// The clock has nothing to do any more.
    Clear,
}

impl DeadlineChange {
    /// The change from one deadline to the other.
    #[must_use]
    pub fn between(before: Option<DateTime<Utc>>, after: Option<DateTime<Utc>>) -> Self {
        match after {
            _ if before == after => Self::Keep,
            Some(at) => Self::Set(at),
            None => Self::Clear,
        }
    }
}

/// The folded state to keep as a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotRow {
    /// The version of the state's serialised form.
    pub schema: i32,
    /// The stream's version that the state stands at: the last of this append.
    pub version: u64,
    /// The time of the last event.
    pub time: DateTime<Utc>,
    /// The state's JSON text, personal fields sealed.
    pub state: String,
}

/// One command's wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Whose stream it is; nil for users.
    pub tenant: Uuid,
    /// The stream.
    pub stream: StreamId,
    /// The stream's version that was decided upon; 0 for a new stream.
    pub expected_version: u64,
    /// The events, in order; none when only the answer is to be kept.
    pub events: Vec<NewEvent>,
    /// [`docket_events::Metadata`] as JSON text, the same for all events of the command.
    pub meta: String,
    /// The answer to keep, when the client named a key.
    pub idempotency: Option<IdempotencyRow>,
    /// Values that the stream claims.
    pub claims: Vec<Claim>,
    /// What happens to the deadline.
    pub deadline: DeadlineChange,
    /// A snapshot to keep.
    pub snapshot: Option<SnapshotRow>,
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Durable. With no events, the version is the expected one and the sequence is the shard's at that moment.
    Appended {
        /// The stream's version now.
        version: u64,
        /// The sequence of the last event.
        sequence: u64,
    },
    /// Nothing was written: the key has an answer already.
    Answered,
    /// Nothing was written: the stream stands at another version.
    Conflict {
        /// The stream's version.
        actual: u64,
    },
    /// Nothing was written: another stream holds a claimed value.
    ClaimTaken,
}

/// Why an append has no verdict.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The database cannot be reached, or was lost while it worked: the outcome is unknown, and a retry with the same key is safe.
    #[error("the journal cannot be reached")]
    Unreachable,
    /// The shard, or the key, was locked by another client for longer than the bound. Nothing was written.
    #[error("the shard is busy")]
    Busy,
    /// The database refused the data. Nothing was written.
    #[error("the database refused the append: {0}")]
    Refused(String),
    /// The process is shutting down.
    #[error("the journal is closed")]
    Closed,
}

/// An append on its way, with the place where its verdict is awaited.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) append: Append,
    pub(crate) shard: ShardId,
    pub(crate) reply: oneshot::Sender<Result<Verdict, AppendError>>,
}
