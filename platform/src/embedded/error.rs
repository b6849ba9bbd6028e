//! What can go wrong with a private cluster, each with what to do about it.

use std::path::{Path, PathBuf};

/// Why a private cluster could not be started, reached or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// No installed PostgreSQL was found.
    #[error(
        "no PostgreSQL 15 to 18 is installed: install the Debian package `postgresql-15`, \
         or name the folder of its programs in DOCKET_PG_BIN, or set DATABASE_URL"
    )]
    NoBinaries,
    /// The folder named for the programs holds none that can be used.
    #[error("{path} does not hold usable PostgreSQL programs: {reason}")]
    BadBinaries {
        /// The folder that was looked at.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The data was written by another major version than the installed ones.
    #[error(
        "the data in {path} was written by PostgreSQL {data}, which is not installed: \
         install the Debian package `postgresql-{data}`"
    )]
    Version {
        /// The cluster's data folder.
        path: PathBuf,
        /// The major version that wrote it.
        data: u32,
    },
    /// Started as root on a machine that has no user to drop to.
    #[error("PostgreSQL refuses to run as root, and there is neither a user `postgres` nor `nobody` to run it as")]
    NoServiceUser,
    /// The data belongs to somebody else.
    #[error("{path} belongs to user id {owner}: start docket as that user or as root")]
    Owner {
        /// The cluster's data folder.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
    },
    /// Another process supervises this data folder.
    #[error("another docket{} is running on {path}: stop it first, or choose another --data-dir", holder_text(*.holder))]
    Locked {
        /// The data folder.
        path: PathBuf,
        /// The process that holds it, where known.
        holder: Option<u32>,
    },
    /// Nothing runs on this data folder.
    #[error("no docket is running on {path}: start it with `docket up --data-dir {path}`")]
    NotRunning {
        /// The data folder.
        path: PathBuf,
    },
    /// The data folder could not be initialised.
    #[error("initdb failed: {0}")]
    Initdb(String),
    /// The server did not come up.
    #[error("PostgreSQL did not start: {0}")]
    Start(String),
    /// No folder for the socket was free.
    #[error("no private folder for PostgreSQL's socket could be made: {0}")]
    Socket(String),
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
    /// A statement failed while the database and roles were made.
    #[error("preparing the database: {0}")]
    Sql(#[from] sqlx::Error),
}

fn holder_text(holder: Option<u32>) -> String {
    holder.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// Names the path and the action in an I/O error: the bare error says neither.
pub(super) trait IoContext<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, EmbeddedError>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, EmbeddedError> {
        self.map_err(|source| EmbeddedError::Io { action, path: path.to_path_buf(), source })
    }
}
