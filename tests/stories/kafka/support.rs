//! A log of a test's own: a database, topics under a prefix, relays that can be killed, and clients that know nothing of Docket.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, Result};
use docket_events::{Category, Recorded, ShardId};
use docket_log::{
    Bell, Kafka, KafkaArgs, LogReader, MacKey, Mode, Store, StoreOptions, Topic, journal,
    kafka::message,
    relay::{
        self,
        marks::{self, Mark},
    },
};
use docket_platform::{Shutdown, db::DbRole, scratch_kafka::ScratchKafka};
use docket_tests::{TENANT, TestDatabase, eventually_within};
use futures_util::TryStreamExt;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    message::{Headers, OwnedHeaders, OwnedMessage},
    producer::{FutureProducer, FutureRecord},
};
use sqlx::PgPool;
use tokio::sync::{oneshot, watch};

/// How long anything may take: brokers start beside the test, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
const ANSWER: Duration = Duration::from_secs(20);

/// A shard of the consultations.
pub const fn shard(shard: u16) -> ShardId {
    ShardId { category: Category::Consultation, shard }
}

/// Where users and organisations are.
pub const IDENTITY: ShardId = ShardId { category: Category::Identity, shard: 0 };

/// A log of a test's own.
pub struct Log {
    pub db: TestDatabase,
    pub kafka: Kafka,
    pub owner: PgPool,
    /// Rings when something is journalled.
    pub bell: Bell,
    mode: watch::Sender<Mode>,
    /// Of somebody who may write to the brokers.
    producer: FutureProducer,
}

impl Log {
    /// On the brokers that all tests share.
    pub async fn new() -> Result<Self> {
        let brokers = tokio::task::spawn_blocking(|| ScratchKafka::shared().bootstrap()).await?;
        Self::on(&brokers).await
    }

    /// On brokers without security.
    pub async fn on(brokers: &str) -> Result<Self> {
        Self::with(KafkaArgs::plaintext(brokers, prefix())).await
    }

    pub async fn with(args: KafkaArgs) -> Result<Self> {
        let db = TestDatabase::create().await?;
        let kafka = Kafka::new(&args)?.context("brokers are named")?;
        let owner = db.pool(DbRole::Owner);
        let producer = ClientConfig::new().set("bootstrap.servers", kafka.brokers()).create()?;
        Ok(Self { db, kafka, owner, bell: Bell::new(Topic::Journal), mode: watch::channel(Mode::Kafka).0, producer })
    }

    /// A store that rings this log's bell.
    pub fn store(&self) -> Store {
        let (pool, bell) = (self.db.pool(DbRole::Writer), self.bell.clone());
        Store::open(&self.db.database, pool, self.db.installation, bell, StoreOptions::default())
    }

    pub async fn key(&self) -> Result<MacKey> {
        Ok(MacKey::load(&self.owner).await?)
    }

    /// A reader as projectors have it.
    pub async fn reader(&self) -> Result<LogReader> {
        let pool = self.db.pool(DbRole::Projector);
        Ok(LogReader::new(pool, &self.bell, Some((&self.kafka, self.key().await?)), self.mode.subscribe())?)
    }

    pub fn relay(&self) -> Relay {
        Relay::start(self)
    }

    /// Journals `count` events in `shard`, whose data is `data` and what makes each differ.
    pub async fn journal(&self, shard: ShardId, count: i32, data: &str) -> Result<()> {
        sqlx::query(
            "with given as (
                 update write.shard set sequence = sequence + $3 where category = $1 and shard = $2 returning sequence
             )
             insert into write.journal (category, shard, sequence, stream_id, stream_version, event_id, tenant, time,
                                        event_type, data, meta)
             select $1, $2, sequence - $3 + n, gen_random_uuid(), 1, gen_random_uuid(), $4, now(),
                    'docket.consultation.commented.v1', json_build_object('n', sequence - $3 + n, 'text', $5)::text, '{}'
             from given, generate_series(1, $3) n",
        )
        .bind(shard.category.code())
        .bind(shard.shard as i16)
        .bind(count)
        .bind(TENANT)
        .bind(data)
        .execute(&self.owner)
        .await?;
        self.bell.ring();
        Ok(())
    }

    pub async fn journalled(&self, shard: ShardId) -> Result<Vec<Recorded>> {
        Ok(journal::shard_events(&self.owner, shard, 0).try_collect().await?)
    }

    pub async fn mark(&self, shard: ShardId) -> Result<Mark> {
        Ok(marks::all(&self.owner).await?.remove(&shard).unwrap_or_default())
    }

    pub async fn set_mark(&self, shard: ShardId, sequence: u64) -> Result<()> {
        sqlx::query(
            "insert into write.published (category, shard, sequence) values ($1, $2, $3)
             on conflict (category, shard) do update set sequence = excluded.sequence",
        )
        .bind(shard.category.code())
        .bind(shard.shard as i16)
        .bind(sequence as i64)
        .execute(&self.owner)
        .await?;
        Ok(())
    }

    /// Waits until a mark stands at `sequence`.
    pub async fn published(&self, shard: ShardId, sequence: u64) -> Result<()> {
        let what = format!("{shard} published up to {sequence}");
        eventually_within(PATIENCE, &what, async || Ok((self.mark(shard).await?.sequence == sequence).then_some(())))
            .await
    }

    /// Waits until everything is published.
    pub async fn all_published(&self) -> Result<()> {
        eventually_within(PATIENCE, "everything published", async || {
            Ok((marks::backlog(&self.owner).await? == 0).then_some(()))
        })
        .await
    }

    /// Waits until a shard is halted; why.
    pub async fn halted(&self, shard: ShardId) -> Result<String> {
        let what = format!("{shard} halted");
        eventually_within(PATIENCE, &what, async || Ok(self.mark(shard).await?.halted)).await
    }

    /// Waits until a shard is not halted any more.
    pub async fn goes_on(&self, shard: ShardId) -> Result<()> {
        let what = format!("{shard} going on");
        eventually_within(PATIENCE, &what, async || Ok(self.mark(shard).await?.halted.is_none().then_some(()))).await
    }

    /// A client that knows the brokers and nothing else.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.kafka.brokers()).set("group.id", "test");
        config
    }

    /// Everything in a partition, in its order.
    pub async fn messages(&self, shard: ShardId) -> Result<Vec<OwnedMessage>> {
        let (config, topic) = (self.client(), self.kafka.topic(shard.category).to_owned());
        tokio::task::spawn_blocking(move || messages(&config, &topic, i32::from(shard.shard))).await?
    }

    /// What the topic has of `shard`: the first message of each sequence, which must stand in order and without a gap.
    pub async fn assert_complete(&self, shard: ShardId) -> Result<()> {
        let mut expected = self.journalled(shard).await?.into_iter();
        let mut last = 0;
        for message in self.messages(shard).await? {
            let sequence: u64 = header(&message, "ce_sequence").context("a sequence")?.parse()?;
            if sequence <= last {
                continue;
            }
            let event = expected.next().context("the topic has more than the journal")?;
            assert_eq!(sequence, event.sequence, "a gap behind {last}");
            assert_eq!(header(&message, "ce_id"), Some(event.id.to_string()));
            assert_eq!(message.payload(), Some(event.data.as_bytes()));
            last = sequence;
        }
        assert_eq!(expected.next().map(|event| event.sequence), None, "the topic lacks the journal's end");
        Ok(())
    }

    /// Writes a message as anybody may who reaches the brokers; where it stands.
    pub async fn produce(
        &self,
        shard: ShardId,
        key: &str,
        payload: &[u8],
        headers: Option<OwnedHeaders>,
    ) -> Result<i64> {
        let mut record = FutureRecord::to(self.kafka.topic(shard.category))
            .partition(i32::from(shard.shard))
            .key(key)
            .payload(payload);
        record.headers = headers;
        let delivery = self.producer.send(record, ANSWER).await.map_err(|(error, _)| error)?;
        Ok(delivery.offset)
    }

    /// Writes events as a relay of this installation would, in whatever order they are given.
    pub async fn produce_events(&self, events: &[&Recorded]) -> Result<()> {
        let key = self.key().await?;
        for event in events {
            let headers = message::headers(event, &key);
            self.produce(event.shard_id(), &event.stream.to_string(), event.data.as_bytes(), Some(headers)).await?;
        }
        Ok(())
    }

    pub fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        Ok(self.client().create()?)
    }

    /// Gives a topic these settings, and the ones that the log needs where they are silent.
    pub async fn configure(&self, category: Category, settings: &[(&str, &str)]) -> Result<()> {
        let mut all = BTreeMap::from([("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")]);
        all.extend(settings.iter().copied());
        let topic = ResourceSpecifier::Topic(self.kafka.topic(category));
        let config = AlterConfig { specifier: topic, entries: all.into_iter().collect() };
        let altered = self.admin()?.alter_configs(&[config], &options()).await?;
        altered.into_iter().try_for_each(|one| one.map(drop).map_err(|(_, code)| anyhow::anyhow!("refused: {code}")))
    }

    /// Deletes the topics.
    pub async fn delete_topics(&self) -> Result<()> {
        let topics = Category::ALL.map(|category| self.kafka.topic(category));
        let deleted = self.admin()?.delete_topics(&topics, &options()).await?;
        deleted.into_iter().try_for_each(|one| one.map(drop).map_err(|(_, code)| anyhow::anyhow!("refused: {code}")))
    }
}

/// A prefix that no other test has.
pub fn prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("t{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER)).operation_timeout(Some(ANSWER))
}

/// A header's text.
pub fn header(message: &OwnedMessage, name: &str) -> Option<String> {
    let found = message.headers()?.iter().find(|header| header.key == name)?;
    Some(String::from_utf8_lossy(found.value?).into_owned())
}

fn messages(config: &ClientConfig, topic: &str, partition: i32) -> Result<Vec<OwnedMessage>> {
    let consumer: BaseConsumer = config.create()?;
    let (low, end) = consumer.fetch_watermarks(topic, partition, ANSWER)?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(low))?;
    consumer.assign(&list)?;
    let mut messages = Vec::new();
    while messages.last().map_or(low, |message: &OwnedMessage| message.offset() + 1) < end {
        messages.push(consumer.poll(ANSWER).context("the broker has more")??.detach());
    }
    Ok(messages)
}

/// A relay in a runtime of its own, as in a process of its own.
pub struct Relay {
    shutdown: Shutdown,
    kill: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    fn start(log: &Log) -> Self {
        let (database, installation, kafka) = (log.db.database.clone(), log.db.installation, log.kafka.clone());
        let (bell, mode, shutdown) = (log.bell.clone(), log.mode.subscribe(), Shutdown::new());
        let (kill, killed) = oneshot::channel();
        let ends = shutdown.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let runtime = runtime.expect("a runtime");
            runtime.block_on(async {
                let config = relay::Config { lease_ttl: 1 };
                let relay = relay::run(config, kafka, &database, installation, &bell, mode, &ends);
                tokio::select! {
                    ended = relay => ended.expect("the relay runs"),
                    _ = killed => {}
                }
            });
            runtime.shutdown_background();
        });
        Self { shutdown, kill: Some(kill), thread: Some(thread) }
    }

    /// Tells it to end, and waits for it.
    pub async fn stop(mut self) -> Result<()> {
        self.shutdown.begin();
        let thread = self.thread.take().context("it runs")?;
        tokio::task::spawn_blocking(move || thread.join()).await?.map_err(|_| anyhow::anyhow!("the relay panicked"))
    }

    /// Ends it at once: nothing is flushed, and its leases run out by themselves.
    pub fn kill(self) {}
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(kill) = self.kill.take() {
            // It may have ended before.
            let _ = kill.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
