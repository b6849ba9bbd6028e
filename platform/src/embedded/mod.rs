//! A private PostgreSQL cluster in a data folder: found, initialised, started, supervised and stopped here.
//!
//! Owns the folder, the server process and the database with its login roles. Knows nothing of schemas (migrations make
//! those), and downloads nothing.
//!
//! - One supervisor a folder: a lock file that the kernel frees, whatever ends the process.
//! - The server is a direct child. When it dies it is started again; when *we* are killed it lives on, and the next start
//!   adopts it.
//! - No network: a socket in a 0700 folder is the only door, which is why every local user of it is trusted.
//! - Started by root it runs as `postgres` (else `nobody`), as PostgreSQL refuses root.

mod account;
mod binaries;
mod error;
mod folder;
mod process;
mod scratch;
mod settings;
mod supervisor;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

use rustix::process::Signal;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{Connection, PgConnection};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use error::EmbeddedError;
pub use scratch::ScratchCluster;

use binaries::Binaries;
use folder::{Folder, Lock, Record};
use supervisor::{Current, Supervisor};

/// The database that the first start makes.
pub const DATABASE: &str = "docket";
/// The superuser, for migrations and operators only: row-level security does not bind it.
pub const OWNER: &str = "docket";
/// Login role of command-api and the relay.
pub const WRITER: &str = "docket_writer";
/// Login role of the projector.
pub const PROJECTOR: &str = "docket_projector";
/// Login role of query-api.
pub const READER: &str = "docket_reader";

/// How a cluster is run.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// The folder that holds everything; made when missing.
    pub data_dir: PathBuf,
    /// The folder of `postgres` and `initdb`; searched for when not given.
    pub binaries: Option<PathBuf>,
    /// PostgreSQL's `shared_buffers`.
    pub shared_buffers: String,
    /// PostgreSQL's `max_connections`.
    pub max_connections: u16,
    /// Whether an acknowledged commit survives a power loss. Off only for data that may be lost; a kill it always survives.
    pub durable: bool,
    /// How long a server may stay silent after its start. Recovery, which it announces, may take longer.
    pub start_timeout: Duration,
    /// How long a fast shutdown may take before it is forced.
    pub stop_timeout: Duration,
}

impl ClusterConfig {
    /// The defaults for a data folder.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            binaries: None,
            shared_buffers: "128MB".to_owned(),
            max_connections: 100,
            durable: true,
            start_timeout: Duration::from_secs(60),
            stop_timeout: Duration::from_secs(15),
        }
    }
}

/// What the server is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not yet ready for the first time.
    Starting,
    /// It answers.
    Ready,
    /// It died and is being started again.
    Restarting,
    /// It was stopped.
    Stopped,
}

/// A running cluster under supervision. Dropping it asks the server to stop and waits for nothing; prefer [`Cluster::stop`].
#[derive(Debug)]
pub struct Cluster {
    data_dir: PathBuf,
    home: PathBuf,
    socket: PathBuf,
    state: watch::Receiver<State>,
    current: Current,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Cluster {
    /// Starts the cluster, or adopts the one that a killed predecessor left; initialises it first where there is none.
    /// Returns when the server answers and the database and roles are there.
    pub async fn start(config: ClusterConfig) -> Result<Self, EmbeddedError> {
        let data_dir = folder::open_data_dir(&config.data_dir)?;
        let mut locks = vec![Lock::take(&data_dir).await?];
        let folder = Folder::prepare(&data_dir)?;
        if !folder.home.starts_with(&data_dir) {
            // A copied data folder would name the same home.
            locks.push(Lock::take(&folder.home).await?);
        }
        let version = settings::data_version(&folder.data)?;
        let binaries = Binaries::find(config.binaries.as_deref(), version.map(|v| (folder.data.as_path(), v)))?;
        if version.is_none() {
            tracing::info!(home = %folder.home.display(), version = binaries.version, "initialising a PostgreSQL cluster");
            settings::initialise(&folder, &binaries, &config).await?;
        }
        let (home, socket) = (folder.home.clone(), folder.socket.clone());
        let mut supervisor = Supervisor::new(config, folder, binaries, options(&socket, OWNER, "postgres"), locks);
        let prepared = async {
            let mut connection = supervisor.bring_up().await?;
            settings::ensure_database(&mut connection).await?;
            settings::close(connection).await;
            Ok(())
        };
        if let Err(error) = prepared.await {
            supervisor.terminate().await;
            return Err(error);
        }
        supervisor.state.send_replace(State::Ready);
        let state = supervisor.state.subscribe();
        let current = supervisor.current.clone();
        let stop = CancellationToken::new();
        let task = tokio::spawn(supervisor.run(stop.clone()));
        Ok(Self { data_dir, home, socket, state, current, stop, task: Mutex::new(Some(task)) })
    }

    /// Finds the cluster that another process supervises, waiting a moment when it is just starting or restarting.
    pub async fn attach(data_dir: impl AsRef<Path>) -> Result<Attached, EmbeddedError> {
        let not_running = |path: &Path| EmbeddedError::NotRunning { path: path.to_path_buf() };
        let data_dir = data_dir.as_ref();
        let data_dir = data_dir.canonicalize().map_err(|_| not_running(data_dir))?;
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(record) = Record::read(&data_dir)? {
                let options = options(&record.socket, OWNER, DATABASE);
                let attempt = PgConnection::connect_with(&options);
                if let Ok(Ok(connection)) = tokio::time::timeout(Duration::from_secs(5), attempt).await {
                    settings::close(connection).await;
                    return Ok(Attached { socket: record.socket });
                }
            }
            if !Lock::is_held(&data_dir)? || Instant::now() >= deadline {
                return Err(not_running(&data_dir));
            }
            tokio::time::sleep(process::POLL).await;
        }
    }

    /// How to connect as `user` to `database`. Stays valid over restarts.
    pub fn connect_options(&self, user: &str, database: &str) -> PgConnectOptions {
        options(&self.socket, user, database)
    }

    /// Follows what the server is doing.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// The postmaster's process id; none between its death and its restart.
    pub fn postmaster_pid(&self) -> Option<i32> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).map(|process| process.pid)
    }

    /// The folder that was asked for, absolute.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Where data and logs lie: in the data folder, unless PostgreSQL's user cannot reach that.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The folder of the socket, for `psql -h`.
    pub fn socket_dir(&self) -> &Path {
        &self.socket
    }

    /// Stops the server: a fast shutdown, forced when it takes too long. Then the folder is free for another process.
    pub async fn stop(&self) {
        self.stop.cancel();
        if let Some(task) = self.task.lock().await.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the supervision of PostgreSQL ended badly");
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop.cancel();
        // The supervisor does this too, unless its runtime is gone already.
        if let Some(process) = *self.current.lock().unwrap_or_else(PoisonError::into_inner) {
            process.signal(Signal::INT);
        }
    }
}

/// A cluster that another process supervises.
#[derive(Debug, Clone)]
pub struct Attached {
    socket: PathBuf,
}

impl Attached {
    /// How to connect as `user` to `database`.
    pub fn connect_options(&self, user: &str, database: &str) -> PgConnectOptions {
        options(&self.socket, user, database)
    }

    /// The folder of the socket, for `psql -h`.
    pub fn socket_dir(&self) -> &Path {
        &self.socket
    }
}

/// Everything is named, so that no PG* variable of the environment has a say.
fn options(socket: &Path, user: &str, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host("localhost")
        .port(5432)
        .socket(socket)
        .username(user)
        .database(database)
        .ssl_mode(PgSslMode::Disable)
}
