//! Where the database is: the private cluster in a data folder, or the one that `DATABASE_URL` names.
//!
//! Owns the choice between the two, and opens what every command needs of it. It must not hold a statement of any feature.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use docket_log::installation::{Installation, InstallationError};
use docket_log::kafka::topics::{self, Missing};
use docket_log::{Bell, Kafka, KafkaArgs, KafkaError, Mode, Store, StoreOptions, migrate};
use docket_platform::config::{DatabaseArgs, Describe, Setting};
use docket_platform::db::{self, Database, DbRole};
use docket_platform::embedded::{Cluster, ClusterConfig, DATABASE, OWNER};
use docket_platform::{Shutdown, auth, ids};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::time::Instant;

use crate::exit::{self, Ending};

/// How long a command waits for a database that does not answer yet, or restarts.
const PATIENCE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(200);
/// How long a cluster that is starting may still take once the process was told to end.
const START_GRACE: Duration = Duration::from_secs(15);
/// How long PostgreSQL gets to stop: with the drain before it, less than the thirty seconds that a process has.
const STOP_TIMEOUT: Duration = Duration::from_secs(6);

/// Where the database is.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct Place {
    /// The folder of the private PostgreSQL cluster; DATABASE_URL goes before it
    #[arg(long, env = "DOCKET_DATA_DIR", default_value = "./.docket", value_name = "FOLDER")]
    pub data_dir: PathBuf,
    /// The database and its pools.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

impl Describe for Place {
    fn describe(&self) -> Vec<Setting> {
        let mut settings = vec![Setting::new("DOCKET_DATA_DIR", self.data_dir.display())];
        settings.extend(self.database.describe());
        settings
    }
}

impl Place {
    /// The database that is running: the one that is named, or the cluster that another `docket` keeps in the data folder.
    ///
    /// # Errors
    /// When it does not answer, which ends the command with [`exit::UNREACHABLE`].
    pub async fn find(&self) -> anyhow::Result<Database> {
        let Some(url) = self.database.url() else {
            let attached = Cluster::attach(&self.data_dir).await?;
            return Ok(Database::embedded(attached.connect_options(OWNER, DATABASE)));
        };
        let database = Database::from_url("DATABASE_URL", url)?;
        answers(&database).await.with_context(|| format!("the database {url} cannot be used"))?;
        Ok(database)
    }

    /// The folder of the private cluster, where that is the database.
    pub fn embedded_folder(&self) -> Option<PathBuf> {
        self.database.url().is_none().then(|| self.data_dir.clone())
    }

    /// Where the query API reads: the replica if one is named, else `database`.
    ///
    /// # Errors
    /// When the replica's URL cannot be read.
    pub fn reads(&self, database: &Database) -> anyhow::Result<Database> {
        match self.database.url_read() {
            Some(url) => Ok(Database::from_url("DATABASE_URL_READ", url)?),
            None => Ok(database.clone()),
        }
    }

    /// A pool of this role, of the configured size.
    pub fn pool(&self, database: &Database, role: DbRole) -> PgPool {
        database.pool(role, self.database.connections(role), self.database.acquire_timeout)
    }

    /// A store over the writer's pool.
    pub fn store(&self, database: &Database, installation: Installation, bell: Bell) -> Store {
        let pool = self.pool(database, DbRole::Writer);
        db::export_pool("writer", &pool);
        let lanes = usize::try_from(self.database.writer_lanes).unwrap_or(usize::MAX);
        Store::open(database, pool, installation, bell, StoreOptions { lanes, ..StoreOptions::default() })
    }
}

/// What was set up in the database.
///
/// # Errors
/// When nothing was, or the database does not answer.
pub async fn installation(pool: &PgPool) -> anyhow::Result<Installation> {
    let passing =
        |error: &InstallationError| matches!(error, InstallationError::Database(e) if exit::is_unreachable(e));
    patiently(PATIENCE, passing, async || Installation::read(pool).await).await.map_err(anyhow::Error::from)
}

async fn answers(database: &Database) -> Result<(), sqlx::Error> {
    let connection = patiently(PATIENCE, exit::is_unreachable, async || database.connect(DbRole::Owner).await).await?;
    connection.close().await
}

/// Tries again for a while as long as `passing` says that the error may pass.
///
/// # Errors
/// The last one, or the first that does not pass.
pub async fn patiently<T, E>(
    patience: Duration,
    passing: impl Fn(&E) -> bool,
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, E> {
    let deadline = Instant::now() + patience;
    loop {
        match attempt().await {
            Err(error) if passing(&error) && Instant::now() < deadline => tokio::time::sleep(RETRY).await,
            result => return result,
        }
    }
}

/// Brings the schema up to date, fixes the installation, and makes the first signing key. Repeating it changes nothing.
///
/// Where nothing is set up yet and brokers are named, the log will be in Kafka: then Kafka must answer, and the topics are made.
///
/// # Errors
/// When the database or Kafka refuses or does not answer.
pub async fn set_up(database: &Database, shards: u16, kafka: Option<&Kafka>) -> anyhow::Result<Installation> {
    let mut owner: PgConnection = database.connect(DbRole::Owner).await.context("the database cannot be set up")?;
    migrate::migrate(&mut owner).await.context("the schema cannot be brought up to date")?;
    let is_new = !Installation::exists(&mut owner).await?;
    let mode = if kafka.is_some() { Mode::Kafka } else { Mode::Journal };
    if let Some(kafka) = kafka.filter(|_| is_new) {
        topics::ensure(kafka, shards, Missing::Make).await.context("nothing was set up")?;
    }
    let installation = Installation::set_up(&mut owner, ids::new_id(), shards, mode).await?;
    owner.close().await?;
    let writer = database.pool(DbRole::Writer, 1, PATIENCE);
    auth::ensure_key(&writer).await.context("the signing key cannot be made")?;
    writer.close().await;
    Ok(installation)
}

/// The Kafka that is named, if any.
///
/// # Errors
/// When the settings contradict each other.
pub fn kafka(args: &KafkaArgs) -> anyhow::Result<Option<Kafka>> {
    Ok(Kafka::new(args)?)
}

/// Looks whether Kafka is as this installation needs it, before a role starts. Brokers that do not answer stop nobody: commands are
/// accepted without them, and whoever reads waits for them.
///
/// # Errors
/// When the log is in Kafka and no broker is named, or the brokers refuse us, or a topic cannot hold the log.
pub async fn check_kafka(installation: Installation, kafka: Option<&Kafka>) -> anyhow::Result<()> {
    match (installation.mode, kafka) {
        (Mode::Journal, None) => Ok(()),
        (Mode::Journal, Some(_)) => {
            tracing::info!("the log is in the journal; `docket log switch` moves it to Kafka while everything runs");
            Ok(())
        }
        (Mode::Kafka, None) => {
            Err(Ending::usage("the log of this installation is in Kafka, and KAFKA_BROKERS is not set").into())
        }
        (Mode::Kafka, Some(kafka)) => match topics::ensure(kafka, installation.shards, Missing::Refuse).await {
            Ok(()) => Ok(()),
            Err(error @ (KafkaError::Topic { .. } | KafkaError::Refused { .. } | KafkaError::Settings(_))) => {
                Err(error.into())
            }
            Err(error) => {
                tracing::warn!(%error, "going on without Kafka until it answers");
                Ok(())
            }
        },
    }
}

/// The database of `docket up`, which keeps the cluster itself unless one is named.
pub struct Home {
    /// How to connect.
    pub database: Database,
    cluster: Option<Cluster>,
}

impl Home {
    /// Starts the cluster, or finds the named database.
    ///
    /// # Errors
    /// When it does not start, or the process is told to end meanwhile.
    pub async fn open(place: &Place, binaries: Option<&Path>, shutdown: &Shutdown) -> anyhow::Result<Self> {
        if place.database.url().is_some() {
            return Ok(Self { database: place.find().await?, cluster: None });
        }
        let given_up = async {
            shutdown.cancelled().await;
            tokio::time::sleep(START_GRACE).await;
        };
        let config = ClusterConfig {
            binaries: binaries.map(Path::to_path_buf),
            stop_timeout: STOP_TIMEOUT,
            ..ClusterConfig::new(&place.data_dir)
        };
        let cluster = tokio::select! {
            started = Cluster::start(config) => started?,
            () = given_up => anyhow::bail!("told to end before PostgreSQL had started"),
        };
        let database = Database::embedded(cluster.connect_options(OWNER, DATABASE));
        Ok(Self { database, cluster: Some(cluster) })
    }

    /// Stops the cluster, if there is one.
    pub async fn close(self) {
        if let Some(cluster) = self.cluster {
            cluster.stop().await;
        }
    }
}
