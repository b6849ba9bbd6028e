//! A role of the release build as a process of its own, what it and PostgreSQL take, and an installation for such processes.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use docket_log::Store;
use docket_platform::{
    auth,
    db::{Database, DbRole},
    embedded::{DATABASE, OWNER, ScratchCluster},
};
use sqlx::{Connection, PgPool};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::append;

/// A running docket.
pub struct Process {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub address: String,
    /// From the start of the process to its readiness line.
    pub ready_after: Duration,
    /// What it said before that line.
    pub said: Vec<String>,
}

impl Process {
    /// Starts `docket ROLE` on a data folder and a free port, and waits for its readiness line. Empty brokers are none.
    pub async fn start(docket: &Path, role: &str, data_dir: &Path, brokers: &str) -> Result<Self> {
        let started = Instant::now();
        let mut child = Command::new(docket)
            .args([role, "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .env("DOCKET_LOG", "warn,docket::access=off")
            .envs(docket_tests::UNLIMITED)
            // Receivers of webhooks listen on this machine.
            .env("DOCKET_OUTGOING_LOCAL", "true")
            .env_remove("DATABASE_URL")
            // Set but empty is not set.
            .env("KAFKA_BROKERS", brokers)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", docket.display()))?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let mut said = Vec::new();
        while let Some(line) = lines.next_line().await? {
            let Some(url) = line.strip_prefix("ready ") else {
                said.push(line);
                continue;
            };
            let address = url.trim_start_matches("http://").to_owned();
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(Self { child, address, ready_after: started.elapsed(), said });
        }
        bail!("docket {role} ended before it was ready")
    }

    fn pid(&self) -> Result<u32> {
        self.child.id().context("docket is gone")
    }

    /// Resident memory in MiB, without PostgreSQL.
    pub fn resident(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
        Ok(kib / 1024.0)
    }

    /// The time on a core that it has taken until now, without PostgreSQL.
    pub fn cpu(&self) -> Result<Duration> {
        Ok(Cpu::of(self.pid()?)?.own)
    }

    /// Ends it as an operator would.
    pub async fn stop(mut self) -> Result<()> {
        Command::new("kill").args(["-TERM", &self.pid()?.to_string()]).status().await?;
        tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await??;
        Ok(())
    }

    /// Ends it in the middle of whatever it does (SIGKILL).
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// What the kernel counts of a process, in `/proc/PID/stat`.
struct Cpu {
    parent: u32,
    own: Duration,
    /// Of children that have ended.
    ended: Duration,
}

impl Cpu {
    fn of(pid: u32) -> Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name, in parentheses, may hold anything; what follows are numbers, the state first.
        let (_, rest) = stat.rsplit_once(')').context("no name")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |place: usize| -> Result<u64> { Ok(fields.get(place).context("a short line")?.parse()?) };
        // The kernel tells it in hundredths of a second (USER_HZ), whatever it counts in.
        let time =
            |user: usize| Ok::<_, anyhow::Error>(Duration::from_millis((number(user)? + number(user + 1)?) * 10));
        Ok(Self { parent: u32::try_from(number(1)?)?, own: time(11)?, ended: time(13)? })
    }
}

/// The time on a core that a process of a single thread has taken, to the nanosecond: PostgreSQL's many processes take little each.
fn on_core(pid: u32) -> Result<Duration> {
    let schedstat = std::fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    let first = schedstat.split_whitespace().next().context("no figure")?;
    Ok(Duration::from_nanos(first.parse()?))
}

/// The time on a core that a PostgreSQL server has taken until now: its postmaster, all it started, and what has ended of it.
pub async fn postgres_cpu(owner: &PgPool) -> Result<Duration> {
    let backend: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(owner).await?;
    let postmaster = Cpu::of(u32::try_from(backend)?)?.parent;
    let mut total = on_core(postmaster)? + Cpu::of(postmaster)?.ended;
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // Processes end while one looks.
        if let Ok(cpu) = Cpu::of(pid)
            && cpu.parent == postmaster
            && let Ok(time) = on_core(pid)
        {
            total += time;
        }
    }
    Ok(total)
}

/// A cluster with an installation in it, for processes that attach to it. Durable, as those of users are.
pub struct Place {
    cluster: ScratchCluster,
    pub database: Database,
    pub store: Store,
    pub owner: PgPool,
}

impl Place {
    /// A new one, with its signing key.
    pub async fn new() -> Result<Self> {
        let cluster = ScratchCluster::start_with(|config| config.durable = true)?;
        let database = Database::embedded(cluster.connect_options(OWNER, DATABASE));
        let store = append::install(&database).await?;
        auth::ensure_key(store.pool()).await?;
        let owner = database.pool(DbRole::Owner, 4, Duration::from_secs(5));
        Ok(Self { cluster, database, store, owner })
    }

    /// Starts a role on it.
    pub async fn role(&self, docket: &Path, role: &str) -> Result<Process> {
        Process::start(docket, role, self.cluster.data_dir(), "").await
    }

    /// Does at once what autovacuum does in its own time.
    pub async fn tidy(&self) -> Result<()> {
        let mut owner = self.database.connect(DbRole::Owner).await?;
        for statement in ["vacuum analyze", "checkpoint"] {
            sqlx::query(statement).execute(&mut owner).await?;
        }
        Ok(owner.close().await?)
    }
}
