//! What can go wrong with a throw-away Kafka.

use std::path::{Path, PathBuf};

/// Why a throw-away Kafka could not be started or treated as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScratchKafkaError {
    /// Nobody installed Kafka into the target folder, or the Java that was found then is gone.
    #[error("no Kafka for the tests: {missing} is missing, run script/bootstrap test")]
    NotInstalled {
        /// What was looked for.
        missing: PathBuf,
    },
    /// Another number of brokers than one or three.
    #[error("a scratch Kafka has one broker or three, not {0}")]
    Size(usize),
    /// The Kafka was started by somebody else, who alone may treat its brokers.
    #[error("the Kafka at {0} is not this process's own: start one to stop, kill or freeze its brokers")]
    NotOurs(String),
    /// The Kafka that somebody else is said to have started does not answer.
    #[error("DOCKET_TEST_KAFKA names {address}, where nothing answers: {source}")]
    Unreachable {
        /// What the variable names.
        address: String,
        /// How the connection failed.
        #[source]
        source: std::io::Error,
    },
    /// A number that no broker has; they are numbered from 1.
    #[error("there is no broker {0}")]
    NoSuchBroker(usize),
    /// The broker runs already.
    #[error("broker {0} is running")]
    Running(usize),
    /// The broker was stopped or killed before.
    #[error("broker {0} is not running")]
    NotRunning(usize),
    /// The broker did not become ready.
    #[error("broker {broker} {reason}; the end of its log:\n{log}")]
    NotReady {
        /// Which broker.
        broker: usize,
        /// What happened instead.
        reason: &'static str,
        /// The last lines of its log.
        log: String,
    },
    /// A program that prepares something failed.
    #[error("{program} failed: {output}")]
    Program {
        /// What it was to do.
        program: &'static str,
        /// What it printed.
        output: String,
    },
    /// A file operation failed.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// How it failed.
        #[source]
        source: std::io::Error,
    },
}

/// Names the path and the action in an I/O error: the bare error says neither.
pub(super) trait IoContext<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, ScratchKafkaError>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, ScratchKafkaError> {
        self.map_err(|source| ScratchKafkaError::Io { action, path: path.to_path_buf(), source })
    }
}
