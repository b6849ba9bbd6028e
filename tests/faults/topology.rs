//! What is broken and mended: a durable PostgreSQL, three command-api, two projectors, and where the log goes to Kafka two relays, each
//! a process of its own.
//!
//! Owns the folder, the ports and the database. A fresh database is a copy of one that was set up once.

use std::{
    array::from_fn,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use docket_log::{Bell, Installation, Mode, Store, StoreOptions, Topic, journal, relay::marks};
use docket_platform::{
    db::{Database, DbRole},
    embedded::{Cluster, ClusterConfig, DATABASE, OWNER, State},
    ids,
};
use futures_util::future::join_all;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool, postgres::PgPoolOptions};
use tokio::{process::Command, time::Instant};

use crate::{
    Args, Log,
    kafka::{Brokers, PREFIX},
    lag,
    people::People,
    process::{Environment, Plan, Process},
    reaper::Reaper,
    webhooks::{self, Memory, Receiver},
};

/// Shards per category: few, so that commands meet.
pub const SHARDS: u16 = 4;
/// Processes that take commands, each with a deadline scheduler.
pub const APIS: usize = 3;
/// How long a projector or a relay that is silent keeps its shards.
pub const LEASE: Duration = Duration::from_secs(1);
/// How long anything may take to be up again.
const PATIENCE: Duration = Duration::from_secs(30);
const TEMPLATE: &str = "docket_as_set_up";
const EARLIER: &str = "docket_an_hour_ago";

/// The running system.
pub struct Topology {
    /// The processes that take commands.
    pub apis: [Arc<Process>; APIS],
    /// The processes that project.
    pub projectors: [Arc<Process>; 2],
    /// The processes that publish; none where the log stays in the journal.
    pub relays: Vec<Arc<Process>>,
    /// Kafka, unless the log stays in the journal.
    pub brokers: Option<Arc<Brokers>>,
    /// Who uses it.
    pub people: Arc<People>,
    /// Who is told by webhooks.
    pub receiver: Receiver,
    /// The owner's connections, for checks.
    pub owner: PgPool,
    /// How many events the setting up made.
    pub setup_events: i64,
    /// Where commands go.
    pub addresses: [String; APIS],
    http: reqwest::Client,
    binary: PathBuf,
    cluster: Cluster,
    folder: PathBuf,
    // The last to go.
    _reaper: Reaper,
}

impl Topology {
    /// Starts everything for a log of this kind; every process has `environment` besides its own settings.
    pub async fn start(args: &Args, log: Log, mut environment: Environment) -> Result<Self> {
        // Processes are started in the campaign's folder.
        let binary = &args.binary.canonicalize().with_context(|| format!("finding {}", args.binary.display()))?;
        let folder =
            std::env::temp_dir().join(format!("docket-faults-{}-{}", std::process::id(), ids::new_id().simple()));
        let reaper = Reaper::watch(&folder, args.keep)?;
        let config = ClusterConfig { max_connections: 200, ..ClusterConfig::new(&folder) };
        let cluster = Cluster::start(config).await.context("starting PostgreSQL")?;
        let brokers = if log == Log::Journal { None } else { Some(Brokers::start(args.brokers).await?) };
        let of_kafka = brokers.as_ref().map(|brokers| brokers.environment()).unwrap_or_default();
        migrate(binary, &folder, if log == Log::Kafka { &of_kafka } else { &[] }).await?;
        let receiver = Receiver::start().await?;
        let (people, setup_events) = set_up(&cluster, &receiver).await?;
        let folder = cluster.data_dir().to_owned();
        copy_database(&cluster, DATABASE, TEMPLATE).await?;
        let ports = free_ports(APIS + 4)?;
        environment.extend(docket_tests::UNLIMITED.map(|(name, value)| (name, value.to_owned())));
        environment.extend(of_kafka);
        environment.extend([
            ("DOCKET_DATA_DIR", folder.display().to_string()),
            ("DOCKET_PROJECTOR_LEASE_TTL", LEASE.as_secs().to_string()),
            ("DOCKET_RELAY_LEASE_TTL", LEASE.as_secs().to_string()),
            ("DOCKET_DELIVERY_RETRY", "500ms".to_owned()),
            ("DOCKET_DELIVERY_TIMEOUT", "2s".to_owned()),
            ("DOCKET_OUTGOING_LOCAL", "true".to_owned()),
            ("DOCKET_WEBHOOK_RETRIES", ["200ms"; 20].join(",")),
            ("DOCKET_WEBHOOK_TIMEOUT", "2s".to_owned()),
        ]);
        let start = |number: usize, role: &'static str, name: &str| {
            let mut environment = environment.clone();
            environment.push(("DOCKET_LISTEN", format!("127.0.0.1:{}", ports[number])));
            let (name, binary, folder) = (name.to_owned(), binary.to_owned(), folder.clone());
            Process::start(Plan { name, binary, role, folder, environment })
        };
        let of_role = |role: &'static str, first: usize, number: usize| {
            start(first + number, role, &format!("{role}-{}", number + 1))
        };
        let relays = if brokers.is_some() { 2 } else { 0 };
        let topology = Self {
            apis: from_fn(|number| of_role("command-api", 0, number)),
            projectors: from_fn(|number| of_role("projector", APIS, number)),
            relays: (0..relays).map(|number| of_role("relay", APIS + 2, number)).collect(),
            brokers,
            people: Arc::new(people),
            receiver,
            owner: owner_pool(&cluster),
            setup_events,
            addresses: from_fn(|number| format!("http://127.0.0.1:{}", ports[number])),
            http: reqwest::Client::builder()
                .no_proxy()
                .timeout(Duration::from_secs(2))
                .build()
                .context("making a client")?,
            binary: binary.clone(),
            cluster,
            folder,
            _reaper: reaper,
        };
        topology.ready().await?;
        topology.registered().await?;
        Ok(topology)
    }

    /// How often processes were started, PostgreSQL not counted.
    pub fn starts(&self) -> u32 {
        self.processes().map(|process| process.starts()).sum()
    }

    /// All processes.
    pub fn processes(&self) -> impl Iterator<Item = &Arc<Process>> {
        self.apis.iter().chain(&self.projectors).chain(&self.relays)
    }

    /// The brokers, for faults that are dealt only where there are some.
    pub fn kafka(&self) -> Result<&Arc<Brokers>> {
        self.brokers.as_ref().context("there is no Kafka")
    }

    /// Whether the log is in Kafka now.
    pub async fn is_on_kafka(&self) -> Result<bool> {
        Ok(Installation::read(&self.owner).await.context("reading the log's mode")?.mode == Mode::Kafka)
    }

    /// A command line of the same installation, with what it says kept in the logs.
    pub fn command(&self, line: &[&str]) -> Result<Command> {
        let words: Vec<&str> = line.iter().copied().filter(|word| !word.contains('/')).collect();
        let path = self.folder.join("logs").join(format!("{}.log", words.join("-")));
        let log = std::fs::File::options().create(true).append(true).open(&path);
        let log = log.with_context(|| format!("opening {}", path.display()))?;
        let mut command = Command::new(&self.binary);
        command
            .args(line)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("DOCKET_DATA_DIR", &self.folder)
            .envs(self.brokers.as_ref().map(|brokers| brokers.environment()).unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("sharing the log")?)
            .stderr(log)
            .kill_on_drop(true);
        Ok(command)
    }

    /// Where everything lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// PostgreSQL's first process.
    pub fn postmaster(&self) -> Option<i32> {
        self.cluster.postmaster_pid()
    }

    /// The database, for roles.
    pub fn database(&self) -> Database {
        Database::embedded(self.cluster.connect_options(OWNER, DATABASE))
    }

    /// Waits until PostgreSQL answers and all command-api processes say that they are ready.
    pub async fn ready(&self) -> Result<()> {
        let mut state = self.cluster.state();
        // What `wait_for` gives is a lock that the supervisor waits for: it must not outlive this statement.
        let is_up = tokio::time::timeout(PATIENCE, state.wait_for(|state| *state == State::Ready)).await.is_ok();
        ensure!(is_up, "PostgreSQL was not back within {} s", PATIENCE.as_secs());
        for process in self.processes() {
            process.running().await?;
        }
        for address in &self.addresses {
            self.answers(address).await?;
        }
        Ok(())
    }

    /// Waits until the reactors have said from where on they note what is to be done.
    async fn registered(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shards: i64 = sqlx::query_scalar("select count(*) from react.checkpoint where category = 1")
                .fetch_one(&self.owner)
                .await
                .context("reading how far the reactors are")?;
            if shards >= i64::from(SHARDS) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the reactors did not begin within {} s", PATIENCE.as_secs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn answers(&self, address: &str) -> Result<()> {
        let (deadline, url) = (Instant::now() + PATIENCE, format!("{address}/health/ready"));
        loop {
            let last = match self.http.get(&url).send().await {
                Ok(answer) if answer.status() == 200 => return Ok(()),
                Ok(answer) => format!("{} {}", answer.status(), answer.text().await.unwrap_or_default()),
                Err(error) => error.to_string(),
            };
            if Instant::now() >= deadline {
                bail!("{url} was not ready within {} s: {last}", PATIENCE.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the projections have come to where the journal ends at this moment; what still lags after `patience`.
    pub async fn wait_projected(&self, patience: Duration) -> Result<Option<String>> {
        let deadline = Instant::now() + patience;
        let mut connection = self.owner.acquire().await.context("looking at the projections")?;
        let tails = lag::tails(&mut connection).await?;
        loop {
            let lagging = lag::lagging(&mut connection, Some(&tails)).await?;
            if lagging.is_empty() || Instant::now() >= deadline {
                return Ok((!lagging.is_empty()).then(|| lagging.join(", ")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until what is journalled at this moment is published; what is not after `patience`.
    pub async fn wait_published(&self, patience: Duration) -> Result<Option<String>> {
        let deadline = Instant::now() + patience;
        let tails = journal::tails(&self.owner).await.context("looking at the journal")?;
        loop {
            let marks = marks::all(&self.owner).await.context("looking at the marks")?;
            let published = |shard| marks.get(shard).map_or(0, |mark| mark.sequence);
            let open: Vec<String> = tails
                .iter()
                .filter(|(shard, tail)| published(shard) < *tail)
                .map(|(shard, tail)| format!("{shard} is published up to {} of {tail}", published(shard)))
                .collect();
            if open.is_empty() || Instant::now() >= deadline {
                return Ok((!open.is_empty()).then(|| open.join(", ")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Kills everything, and lets nothing come back.
    pub async fn send_all_away(&self) -> Result<()> {
        join_all(self.processes().map(|process| process.send_away())).await.into_iter().collect()
    }

    /// Keeps a copy of the database as it is now. Nothing may run meanwhile.
    pub async fn keep_copy(&self) -> Result<()> {
        copy_database(&self.cluster, DATABASE, EARLIER).await
    }

    /// Replaces the database by the copy that was kept. Nothing may run meanwhile.
    pub async fn restore_copy(&self) -> Result<()> {
        copy_database(&self.cluster, EARLIER, DATABASE).await
    }

    /// Puts the database back to how it was set up. The old one is kept under `keep_as`, when that is given.
    pub async fn fresh(&mut self, keep_as: Option<&str>) -> Result<()> {
        self.send_all_away().await?;
        self.owner.close().await;
        if let Some(name) = keep_as {
            let mut connection = maintenance(&self.cluster).await?;
            end_sessions(&mut connection).await?;
            connection.execute(AssertSqlSafe(format!("alter database {DATABASE} rename to {name}"))).await?;
        }
        copy_database(&self.cluster, TEMPLATE, DATABASE).await?;
        self.owner = owner_pool(&self.cluster);
        *self.receiver.memory() = Memory::default();
        if let Some(brokers) = &self.brokers {
            let prefix = brokers.next_prefix();
            self.processes().for_each(|process| process.set(PREFIX, prefix.clone()));
        }
        self.processes().for_each(|process| process.come_back());
        self.ready().await?;
        self.registered().await
    }

    /// Ends everything in order.
    pub async fn stop(mut self) {
        join_all(self.processes().map(|process| process.stop())).await;
        self.owner.close().await;
        self.cluster.stop().await;
        if let Some(brokers) = self.brokers.take() {
            brokers.stop().await;
        }
    }
}

impl Drop for Topology {
    fn drop(&mut self) {
        // Or they would be started again while the reaper ends them.
        self.processes().for_each(|process| process.abandon());
    }
}

fn owner_pool(cluster: &Cluster) -> PgPool {
    let options = cluster.connect_options(OWNER, DATABASE);
    PgPoolOptions::new().max_connections(4).acquire_timeout(Duration::from_secs(10)).connect_lazy_with(options)
}

async fn migrate(binary: &Path, folder: &Path, environment: &[(&str, String)]) -> Result<()> {
    let output = Command::new(binary)
        .args(["migrate", "--shards", &SHARDS.to_string(), "--data-dir"])
        .arg(folder)
        .envs(environment.iter().map(|(name, value)| (*name, value.as_str())))
        .output()
        .await
        .with_context(|| format!("running {}", binary.display()))?;
    ensure!(output.status.success(), "docket migrate: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The organisation, its people, and who is told.
async fn set_up(cluster: &Cluster, receiver: &Receiver) -> Result<(People, i64)> {
    let database = Database::embedded(cluster.connect_options(OWNER, DATABASE));
    let pool = database.pool(DbRole::Writer, 4, Duration::from_secs(5));
    let installation = Installation::read(&pool).await?;
    let store = Store::open(&database, pool.clone(), installation, Bell::new(Topic::Journal), StoreOptions::default());
    let people = People::create(&store, receiver.url(webhooks::CALLBACK)).await.context("making the people")?;
    webhooks::set_endpoint(&store, &pool, receiver, people.tenant).await.context("setting the endpoint")?;
    let events = sqlx::query_scalar("select count(*) from write.journal").fetch_one(&pool).await?;
    drop(store);
    pool.close().await;
    Ok((people, events))
}

async fn maintenance(cluster: &Cluster) -> Result<PgConnection> {
    PgConnection::connect_with(&cluster.connect_options(OWNER, "postgres")).await.context("connecting to PostgreSQL")
}

async fn end_sessions(connection: &mut PgConnection) -> Result<()> {
    let ended = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()";
    sqlx::query(ended).bind(DATABASE).execute(connection).await?;
    Ok(())
}

/// Replaces `to` by a copy of `from`, whoever is connected to either.
async fn copy_database(cluster: &Cluster, from: &str, to: &str) -> Result<()> {
    let mut connection = maintenance(cluster).await?;
    connection.execute(AssertSqlSafe(format!("drop database if exists {to} with (force)"))).await?;
    for attempt in 1.. {
        let ended = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
        sqlx::query(ended).bind(from).execute(&mut connection).await?;
        match connection.execute(AssertSqlSafe(format!("create database {to} template {from}"))).await {
            Ok(_) => break,
            // A session that was just ended may need a moment.
            Err(_) if attempt < 10 => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(error) => return Err(error).context("copying the database"),
        }
    }
    Ok(())
}

/// Ports that nobody has, below those that the system gives to connections: while a process is down, no client must get its port.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let [a, b] = ids::random_bytes::<2>();
    let first = 20_000 + (u16::from_be_bytes([a, b]) % 10_000);
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let ports: Vec<u16> = (first..32_000).filter(is_free).take(count).collect();
    ensure!(ports.len() == count, "no free ports");
    Ok(ports)
}
