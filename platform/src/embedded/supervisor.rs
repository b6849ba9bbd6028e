//! Keeps one postmaster running: starts or adopts it, notices its death, clears what it left behind, starts it again.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::process::Child;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::binaries::Binaries;
use super::error::{EmbeddedError, IoContext};
use super::folder::{Folder, Lock};
use super::process::{self, POLL, ProcessId};
use super::settings;
use super::{ClusterConfig, State, account};

/// A server that died sooner than this is started again with a growing delay.
const LIVED_LONG: Duration = Duration::from_secs(30);
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// What a killed server left may need this long to let go; what still fails then will not heal by itself.
const RETRY_FOR: Duration = Duration::from_secs(10);
/// Replaying the log after a crash may take minutes, and the server says so meanwhile.
const RECOVERY_MAX: Duration = Duration::from_secs(600);
const LOG_CHECK: Duration = Duration::from_secs(60);
const LOG_MAX: u64 = 64 * 1024 * 1024;

/// The postmaster, as our child or as one that a killed predecessor left.
enum Postmaster {
    Child(Child, ProcessId),
    Adopted(ProcessId),
}

impl Postmaster {
    fn id(&self) -> ProcessId {
        match self {
            Self::Child(_, id) | Self::Adopted(id) => *id,
        }
    }

    /// Waits for the end and says how it came. Safe to cancel.
    async fn exited(&mut self) -> String {
        match self {
            Self::Child(child, _) => match child.wait().await {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            },
            Self::Adopted(id) => {
                id.gone().await;
                "it was not our child, so how it ended is unknown".to_owned()
            }
        }
    }
}

/// The process that a drop without `stop` signals.
pub(super) type Current = Arc<Mutex<Option<ProcessId>>>;

pub(super) struct Supervisor {
    pub(super) config: ClusterConfig,
    pub(super) folder: Folder,
    pub(super) binaries: Binaries,
    pub(super) options: PgConnectOptions,
    pub(super) state: watch::Sender<State>,
    pub(super) current: Current,
    /// Freed when the supervision has ended and the server with it.
    pub(super) locks: Vec<Lock>,
    postmaster: Option<Postmaster>,
}

impl Supervisor {
    pub(super) fn new(
        config: ClusterConfig,
        folder: Folder,
        binaries: Binaries,
        options: PgConnectOptions,
        locks: Vec<Lock>,
    ) -> Self {
        Self {
            config,
            folder,
            binaries,
            options,
            state: watch::Sender::new(State::Starting),
            current: Current::default(),
            locks,
            postmaster: None,
        }
    }

    /// Until a server answers; what stands in its way is cleared, for some seconds.
    pub(super) async fn bring_up(&mut self) -> Result<PgConnection, EmbeddedError> {
        let give_up = Instant::now() + RETRY_FOR;
        let mut last = None;
        let mut pause = POLL;
        while last.is_none() || Instant::now() < give_up {
            if last.is_some() {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
            let adopted = process::postmaster_of(&self.folder.data, self.folder.account);
            let postmaster = match adopted {
                Some(id) if self.listens_where_we_look() => {
                    tracing::info!(pid = id.pid, "adopting the PostgreSQL that a previous run left behind");
                    Ok(Postmaster::Adopted(id))
                }
                Some(id) => {
                    tracing::info!(pid = id.pid, "stopping a PostgreSQL that listens on another socket");
                    self.end(id).await;
                    last = Some(EmbeddedError::Start("a previous server does not end".to_owned()));
                    continue;
                }
                None => self.spawn().await,
            };
            match postmaster {
                Ok(postmaster) => self.set(Some(postmaster)),
                Err(error @ EmbeddedError::Io { .. }) => return Err(error),
                Err(error) => {
                    last = Some(error);
                    continue;
                }
            }
            match self.answer().await {
                Ok(connection) => return Ok(connection),
                Err(error) => {
                    tracing::warn!(%error, "PostgreSQL did not come up");
                    self.terminate().await;
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| EmbeddedError::Start("no time was given".to_owned())))
    }

    fn listens_where_we_look(&self) -> bool {
        process::pid_file(&self.folder.data).is_some_and(|(_, socket)| socket == self.folder.socket)
    }

    /// Starts a server of our own, after whatever a killed one left has ended.
    async fn spawn(&self) -> Result<Postmaster, EmbeddedError> {
        // A killed postmaster's busy backends go on, and hold the folder and its shared memory.
        if !process::end_all(&self.folder.data, self.folder.account).await {
            return Err(EmbeddedError::Start("processes of a previous server do not end".to_owned()));
        }
        // Nothing works in the folder now, so these are stale whatever process has their number by this time.
        let socket = self.folder.socket.join(".s.PGSQL.5432");
        for path in [self.folder.data.join("postmaster.pid"), socket.with_extension("5432.lock"), socket] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).at("removing", &path)?,
                _ => {}
            }
        }
        settings::write(&self.folder, &self.config)?;
        let path = self.start_log();
        let stderr = std::fs::File::create(&path).at("making", &path)?;
        let program = self.binaries.dir.join("postgres");
        let mut command = account::command(&program, self.folder.account);
        command.arg("-D").arg(&self.folder.data).stderr(Stdio::from(stderr));
        // A group of its own: Ctrl-C in the terminal is for docket, which stops the server last.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = tokio::process::Command::from(command).spawn().at("running", &program)?;
        let id = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(ProcessId::of);
        match id {
            Some(id) => Ok(Postmaster::Child(child, id)),
            None => Err(EmbeddedError::Start(settings::last_words(&path))),
        }
    }

    fn start_log(&self) -> std::path::PathBuf {
        self.folder.log.join("start.log")
    }

    /// Connects until the server answers, ends, or has stayed silent for too long.
    async fn answer(&mut self) -> Result<PgConnection, EmbeddedError> {
        let mut deadline = Instant::now() + self.config.start_timeout;
        let latest = Instant::now() + RECOVERY_MAX;
        let start_log = self.start_log();
        let options = self.options.clone();
        let Some(postmaster) = self.postmaster.as_mut() else {
            return Err(EmbeddedError::Start("it is not running".to_owned()));
        };
        loop {
            let attempt = async {
                match tokio::time::timeout(Duration::from_secs(5), PgConnection::connect_with(&options)).await {
                    Ok(result) => result.map_err(EmbeddedError::from),
                    Err(_) => Err(EmbeddedError::Start("it accepts but does not answer".to_owned())),
                }
            };
            let error = tokio::select! {
                result = attempt => match result {
                    Ok(connection) => return Ok(connection),
                    Err(error) => error,
                },
                status = postmaster.exited() => {
                    return Err(EmbeddedError::Start(format!("{status}: {}", settings::last_words(&start_log))));
                }
            };
            if is_code(&error, "57P03") {
                // It lives and recovers (or, adopted, shuts down): that may take its time.
                deadline = (Instant::now() + self.config.start_timeout).min(latest);
            }
            if Instant::now() >= deadline {
                return Err(EmbeddedError::Start(error.to_string()));
            }
            tokio::time::sleep(POLL / 2).await;
        }
    }

    /// Restarts the server whenever it dies, until told to stop; then stops it and frees the lock.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut logs = tokio::time::interval(LOG_CHECK);
        let mut backoff = Duration::ZERO;
        'running: loop {
            let since = Instant::now();
            while let Some(postmaster) = self.postmaster.as_mut() {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => break 'running,
                    status = postmaster.exited() => {
                        tracing::error!(%status, "PostgreSQL ended unasked; starting it again");
                        break;
                    }
                    _ = logs.tick() => settings::bound_logs(&self.folder.log, LOG_MAX),
                }
            }
            self.set(None);
            self.state.send_replace(State::Restarting);
            if since.elapsed() > LIVED_LONG {
                backoff = Duration::ZERO;
            }
            loop {
                let attempt = async {
                    tokio::time::sleep(backoff).await;
                    self.bring_up().await
                };
                let result = tokio::select! {
                    biased;
                    () = stop.cancelled() => break 'running,
                    result = attempt => result,
                };
                backoff = (backoff * 2).clamp(BACKOFF_FIRST, BACKOFF_MAX);
                match result {
                    Ok(connection) => {
                        settings::close(connection).await;
                        tracing::info!("PostgreSQL is back");
                        self.state.send_replace(State::Ready);
                        break;
                    }
                    Err(error) => tracing::error!(%error, ?backoff, "PostgreSQL cannot be started; trying again"),
                }
            }
        }
        self.terminate().await;
        self.locks.clear();
        self.state.send_replace(State::Stopped);
    }

    /// Ends the server that runs now, politely first.
    pub(super) async fn terminate(&mut self) {
        match self.postmaster.take() {
            Some(mut postmaster) => {
                let id = postmaster.id();
                self.end(id).await;
                // Reaped, or it would stay a zombie; bounded, as a process in the kernel's hands may not end at all.
                let _ = tokio::time::timeout(Duration::from_secs(1), postmaster.exited()).await;
            }
            None => {
                if let Some(id) = process::postmaster_of(&self.folder.data, self.folder.account) {
                    self.end(id).await;
                }
            }
        }
        self.set(None);
    }

    async fn end(&self, id: ProcessId) {
        for (signal, patience) in [
            (Signal::INT, self.config.stop_timeout),
            (Signal::QUIT, Duration::from_secs(5)),
            (Signal::KILL, Duration::from_secs(5)),
        ] {
            id.signal(signal);
            if tokio::time::timeout(patience, id.gone()).await.is_ok() {
                break;
            }
            tracing::warn!(pid = id.pid, ?signal, "PostgreSQL did not end in time");
        }
        process::end_all(&self.folder.data, self.folder.account).await;
    }

    fn set(&mut self, postmaster: Option<Postmaster>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = postmaster.as_ref().map(Postmaster::id);
        self.postmaster = postmaster;
    }
}

fn is_code(error: &EmbeddedError, code: &str) -> bool {
    let EmbeddedError::Sql(error) = error else { return false };
    error.as_database_error().and_then(|error| error.code()).as_deref() == Some(code)
}
