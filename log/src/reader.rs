//! The reader: how projections and reactors get at the log, whatever it is made of.

use std::time::Duration;

use docket_events::{Recorded, ShardId};

/// Why the log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database did not answer.
    #[error("the journal cannot be read: {0}")]
    Database(#[from] sqlx::Error),
    /// The journal holds a category that only a newer release knows.
    #[error("the log holds the category {0}, which is not known to this release")]
    UnknownCategory(i16),
    /// Kafka cannot be read.
    #[error(transparent)]
    Kafka(#[from] crate::kafka::KafkaError),
}

/// Reads the log by shard and sequence.
///
/// What comes back is in sequence order within each shard. A reader may repeat an event and may run ahead of a missing one: whoever
/// applies events checks the sequence.
pub trait Reader: Send {
    /// Events behind the given sequences, at most `limit` in all; none when there is no news.
    fn read(
        &mut self,
        behind: &[(ShardId, u64)],
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Recorded>, ReadError>> + Send;

    /// Resolves when there may be news, and after `at_most` in any case.
    fn news(&mut self, at_most: Duration) -> impl Future<Output = ()> + Send;
}
