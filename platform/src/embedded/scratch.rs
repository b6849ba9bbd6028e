//! A throw-away cluster for tests and trials: made in the temporary folder, gone with the process that made it.

use std::path::PathBuf;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};
use std::thread::JoinHandle;

use sqlx::postgres::PgConnectOptions;
use tokio::sync::oneshot;

use super::error::{EmbeddedError, IoContext};
use super::{Cluster, ClusterConfig, options};

/// Reads until the pipe closes, which it does however our process ends; then stops the server and removes the folder.
const REAPER: &str = r#"
cat >/dev/null
pid=$(head -n 1 "$1/postgres/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null && {
    tries=0
    # The file goes with the server, whose process may stay a zombie where nobody reaps it.
    while [ -e "$1/postgres/data/postmaster.pid" ] && kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
}
rm -rf "$1"
"#;

/// A cluster without durability, on a thread and runtime of its own, so that tests with a runtime each can share it.
#[derive(Debug)]
pub struct ScratchCluster {
    data_dir: PathBuf,
    socket: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    reaper: Child,
    pipe: Option<ChildStdin>,
}

impl ScratchCluster {
    /// Starts one; blocks for about a second.
    pub fn start() -> Result<Self, EmbeddedError> {
        Self::start_with(|_| {})
    }

    /// Starts one with other settings.
    pub fn start_with(change: impl FnOnce(&mut ClusterConfig)) -> Result<Self, EmbeddedError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("docket-scratch-{}-{number}", std::process::id());
        let mut parent = std::env::temp_dir();
        if super::account::Account::for_this_process()?.is_some_and(|account| !account.can_enter(&parent)) {
            parent = PathBuf::from("/tmp");
        }
        let mut config = ClusterConfig::new(parent.join(name));
        config.durable = false;
        config.max_connections = 300;
        change(&mut config);
        let data_dir = super::folder::open_data_dir(&config.data_dir)?;

        let mut reaper = super::account::command("/bin/sh", None);
        reaper.args(["-c", REAPER, "sh"]).arg(&data_dir).stdin(Stdio::piped());
        // Ctrl-C on a test run must not end it before its work.
        std::os::unix::process::CommandExt::process_group(&mut reaper, 0);
        let mut reaper = reaper.spawn().at("watching", &data_dir)?;
        let pipe = reaper.stdin.take();

        let (stop, stopped) = oneshot::channel();
        let (report, reported) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("scratch-postgres".to_owned())
            .spawn(move || supervise(config, stopped, &report))
            .at("supervising", &data_dir)?;
        let started = reported.recv().unwrap_or_else(|_| Err(EmbeddedError::Start("its supervisor ended".to_owned())));
        let mut scratch =
            Self { data_dir, socket: PathBuf::new(), stop: Some(stop), thread: Some(thread), reaper, pipe };
        scratch.socket = started?;
        Ok(scratch)
    }

    /// The one that all tests of a process share, started when first asked for.
    ///
    /// # Panics
    /// When it cannot be started: no test that asks for it could do anything.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<ScratchCluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start().unwrap_or_else(|error| panic!("no PostgreSQL for the tests: {error}")))
    }

    /// How to connect as `user` to `database`.
    pub fn connect_options(&self, user: &str, database: &str) -> PgConnectOptions {
        options(&self.socket, user, database)
    }

    /// The data folder, for commands that attach to it.
    pub fn data_dir(&self) -> &std::path::Path {
        &self.data_dir
    }

    /// The folder of the socket, for `psql -h`.
    pub fn socket_dir(&self) -> &std::path::Path {
        &self.socket
    }
}

impl Drop for ScratchCluster {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        drop(self.pipe.take());
        let _ = self.reaper.wait();
    }
}

fn supervise(
    config: ClusterConfig,
    stopped: oneshot::Receiver<()>,
    report: &mpsc::Sender<Result<PathBuf, EmbeddedError>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = report.send(Err(EmbeddedError::Start(error.to_string())));
            return;
        }
    };
    runtime.block_on(async {
        match Cluster::start(config).await {
            Ok(cluster) => {
                let _ = report.send(Ok(cluster.socket_dir().to_path_buf()));
                let _ = stopped.await;
                cluster.stop().await;
            }
            Err(error) => {
                let _ = report.send(Err(error));
            }
        }
    });
}
