//! Kafka under the campaign: throw-away brokers that are broken and mended, and the topics of the present database.
//!
//! Owns who may break a broker at this moment. Every fresh database has topics of its own, told apart by their prefix.

use std::{
    collections::BTreeMap,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use docket_events::ShardId;
use docket_log::{
    Kafka, KafkaArgs, KafkaError, MacKey,
    kafka::{Edge, Probe},
};
use docket_platform::scratch_kafka::{KafkaOptions, ScratchKafka, ScratchKafkaError};
use sqlx::PgPool;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::process::Environment;

/// How long partitions may take until every broker has all of them again.
const IN_SYNC_WITHIN: Duration = Duration::from_secs(60);
/// How long brokers may take until they answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// How long a broker of three stays away when it is its turn.
const ABSENCE: Duration = Duration::from_secs(2);
/// How often one of three brokers is killed.
pub const TURN: Duration = Duration::from_secs(20);

/// The variable that names the topics.
pub const PREFIX: &str = "DOCKET_KAFKA_TOPIC_PREFIX";

/// The brokers of a campaign, numbered from 1.
#[derive(Debug)]
pub struct Brokers {
    kafka: Arc<ScratchKafka>,
    count: usize,
    /// Held by whoever breaks one, and by checks, which need all.
    quiet: Mutex<()>,
    databases: AtomicU32,
    kills: AtomicU32,
}

impl Brokers {
    /// Starts one broker, or three.
    pub async fn start(count: usize) -> Result<Arc<Self>> {
        let options = KafkaOptions { brokers: count, ..KafkaOptions::default() };
        let kafka = tokio::task::spawn_blocking(move || ScratchKafka::start_with(options)).await?;
        Ok(Arc::new(Self {
            kafka: Arc::new(kafka.context("starting Kafka")?),
            count,
            quiet: Mutex::default(),
            databases: AtomicU32::new(0),
            kills: AtomicU32::new(0),
        }))
    }

    /// How many.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// How often a broker was killed because it was its turn.
    pub fn kills(&self) -> u32 {
        self.kills.load(Ordering::Relaxed)
    }

    /// Where clients connect.
    pub fn bootstrap(&self) -> String {
        self.kafka.bootstrap()
    }

    /// The first part of the names of the present database's topics.
    pub fn prefix(&self) -> String {
        format!("docket{}", self.databases.load(Ordering::Relaxed))
    }

    /// Another database begins: its topics do not exist yet.
    pub fn next_prefix(&self) -> String {
        self.databases.fetch_add(1, Ordering::Relaxed);
        self.prefix()
    }

    /// What every process is told.
    pub fn environment(&self) -> Environment {
        vec![("KAFKA_BROKERS", self.bootstrap()), (PREFIX, self.prefix()), ("DOCKET_WITH_RELAY", "false".to_owned())]
    }

    /// A client of the present database's topics.
    pub fn kafka(&self) -> Result<Kafka> {
        Kafka::new(&KafkaArgs::plaintext(self.bootstrap(), self.prefix()))?.context("no broker is named")
    }

    /// Asks the present database's topics; `owner` belongs to the owner of the schema.
    pub async fn probe(&self, owner: &PgPool) -> Result<Probe> {
        let key = MacKey::load(owner).await.context("reading the key of the log")?;
        Ok(Probe::new(&self.kafka()?, key)?)
    }

    /// Where the topics of `shards` end. A broker that has just started may need a moment before it answers.
    pub async fn edges(&self, owner: &PgPool, shards: &[ShardId]) -> Result<BTreeMap<ShardId, Edge>> {
        let probe = self.probe(owner).await?;
        let deadline = Instant::now() + ANSWERS_WITHIN;
        loop {
            match probe.edges(shards).await {
                Err(KafkaError::Unreachable { .. }) if Instant::now() < deadline => {}
                asked => return asked.context("asking the topics for their ends"),
            }
        }
    }

    /// While this is held, nobody else breaks a broker.
    pub async fn hold(&self) -> MutexGuard<'_, ()> {
        self.quiet.lock().await
    }

    async fn blocking(
        &self,
        work: impl FnOnce(&ScratchKafka) -> Result<(), ScratchKafkaError> + Send + 'static,
    ) -> Result<()> {
        let kafka = Arc::clone(&self.kafka);
        Ok(tokio::task::spawn_blocking(move || work(&kafka)).await??)
    }

    /// `kill -9`.
    pub async fn kill(&self, broker: usize) -> Result<()> {
        self.blocking(move |kafka| kafka.kill(broker)).await.with_context(|| format!("killing broker {broker}"))
    }

    /// Starts a broker that was killed, and waits until it is ready.
    pub async fn start_again(&self, broker: usize) -> Result<()> {
        self.blocking(move |kafka| kafka.start_again(broker)).await.with_context(|| format!("starting broker {broker}"))
    }

    /// Kills a broker `after` its start began; it is down then.
    pub async fn kill_while_it_starts(&self, broker: usize, after: Duration) -> Result<()> {
        let starting = self.start_again(broker);
        let killing = async {
            sleep(after).await;
            self.kill(broker).await
        };
        // The start fails because of the kill, unless it was done before.
        let (_, killed) = tokio::join!(starting, killing);
        killed
    }

    /// SIGSTOP.
    pub async fn freeze(&self, broker: usize) -> Result<()> {
        self.blocking(move |kafka| kafka.freeze(broker)).await.with_context(|| format!("freezing broker {broker}"))
    }

    /// SIGCONT.
    pub async fn thaw(&self, broker: usize) -> Result<()> {
        self.blocking(move |kafka| kafka.thaw(broker)).await.with_context(|| format!("thawing broker {broker}"))
    }

    /// Its disk is lost and replaced; it is ready again.
    pub async fn wipe(&self, broker: usize) -> Result<()> {
        self.blocking(move |kafka| kafka.wipe(broker)).await.with_context(|| format!("wiping broker {broker}"))
    }

    /// Waits until every broker has what it is to have: before that, another loss would be one too many.
    pub async fn in_sync(&self) -> Result<()> {
        let deadline = Instant::now() + IN_SYNC_WITHIN;
        loop {
            let listed = tokio::process::Command::new("kcat")
                .args(["-L", "-m", "5", "-b", &self.bootstrap()])
                .stdin(Stdio::null())
                .output()
                .await
                .context("running kcat")?;
            let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
            if is_in_sync(&listed, self.count) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("not all partitions are in sync after {} s:\n{listed}", IN_SYNC_WITHIN.as_secs());
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Kills one broker after the other and starts it again, until `stop`.
    pub async fn take_turns(self: Arc<Self>, stop: CancellationToken) -> Result<()> {
        for broker in (1..=self.count).cycle() {
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep(TURN) => {}
            }
            let _held = self.hold().await;
            self.in_sync().await?;
            self.kill(broker).await?;
            sleep(ABSENCE).await;
            self.start_again(broker).await?;
            self.kills.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Ends them.
    pub async fn stop(self: Arc<Self>) {
        // Blocks for a moment. Whoever else holds it lets go too.
        if let Err(error) = tokio::task::spawn_blocking(move || drop(self)).await {
            eprintln!("Kafka was not ended: {error}");
        }
    }
}

/// Whether kcat's list says that `count` brokers have each partition.
fn is_in_sync(listed: &str, count: usize) -> bool {
    let brokers = listed.lines().filter(|line| line.starts_with("  broker ")).count();
    let whole = |line: &str| line.split("isrs: ").nth(1).is_some_and(|isrs| isrs.split(',').count() >= count);
    brokers == count && listed.lines().filter(|line| line.contains("isrs: ")).all(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_one_broker_lacks_is_not_in_sync() {
        let brokers = "  broker 1 at a:1\n  broker 2 at a:2 (controller)\n  broker 3 at a:3\n";
        let partition = |isrs: &str| format!("{brokers}    partition 0, leader 2, replicas: 2,3,1, isrs: {isrs}\n");
        assert!(is_in_sync(&partition("2,3,1"), 3));
        assert!(!is_in_sync(&partition("2,1"), 3));
        assert!(!is_in_sync("  broker 1 at a:1\n", 3));
    }
}
