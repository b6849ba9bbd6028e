//! What ends a rebuild: the first thing that a running projector would put aside, or wait for.
//!
//! Owns how such a thing is said to an operator.

use docket_events::{Recorded, ShardId, StreamId};
use uuid::Uuid;

/// Why an engine that puts nothing aside cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// An event cannot be applied, or only a newer release knows it.
    #[error("event {sequence} of {shard} ({event_type}, stream {stream}) cannot be applied: {cause}")]
    Event {
        /// Its shard.
        shard: ShardId,
        /// Its sequence.
        sequence: u64,
        /// Its type.
        event_type: String,
        /// Its stream.
        stream: StreamId,
        /// Why.
        cause: String,
    },
    /// An event is missing, in the journal too.
    #[error("event {expected} of {shard} is missing, in the journal too: the next one there is is {found}")]
    Missing {
        /// The shard.
        shard: ShardId,
        /// The sequence that should have come.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// Two events stand under one sequence.
    #[error("two events stand under sequence {sequence} of {shard}: {first} and {other}")]
    Forked {
        /// The shard.
        shard: ShardId,
        /// The sequence.
        sequence: u64,
        /// The event that was seen first.
        first: Uuid,
        /// The other one.
        other: Uuid,
    },
    /// Rows cannot be written, and no event is at fault.
    #[error("the rows cannot be written: {0}")]
    Rows(String),
}

impl Trouble {
    /// With an event that cannot be applied.
    pub(crate) fn with(shard: ShardId, event: &Recorded, cause: impl Into<String>) -> Self {
        Self::Event {
            shard,
            sequence: event.sequence,
            event_type: event.event_type.clone(),
            stream: event.stream,
            cause: cause.into(),
        }
    }
}
