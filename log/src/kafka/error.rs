//! What can go wrong with Kafka, said so that an operator knows what to do.

use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};

/// Why Kafka could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// The settings contradict each other, or name a file that cannot be read.
    #[error("the settings for Kafka cannot be used: {0}")]
    Settings(String),
    /// No broker answers.
    #[error("Kafka at {brokers} does not answer{}", because(.reason))]
    Unreachable {
        /// The brokers that were tried.
        brokers: String,
        /// What the client saw, if it said anything.
        reason: Option<String>,
    },
    /// The brokers answer, and do not let us in.
    #[error("Kafka at {brokers} refuses the connection: {reason}")]
    Refused {
        /// The brokers that were tried.
        brokers: String,
        /// What they said.
        reason: String,
    },
    /// A topic is not as Docket needs it.
    #[error("the topic {topic} cannot hold the log: {}", .problems.join("; "))]
    Topic {
        /// The topic.
        topic: String,
        /// What is wrong, each with what was wanted.
        problems: Vec<String>,
    },
    /// A topic is not there (any more).
    #[error("the topic {0} does not exist")]
    Missing(String),
    /// Anything else that the client reports.
    #[error("Kafka failed: {0}")]
    Client(#[from] ClientError),
}

fn because(reason: &Option<String>) -> String {
    reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"))
}

impl KafkaError {
    /// Whether trying the same again later may help without anybody's doing.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Client(_) | Self::Missing(_))
    }
}

/// Whether an error says that there is no such topic or partition.
pub(crate) fn is_unknown_topic(error: &ClientError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopicId
        )
    )
}
