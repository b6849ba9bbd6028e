//! A broker for a section, and the yardsticks at it: what bare clients do with the same messages and settings.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use docket_events::{Category, Recorded};
use docket_log::{
    Bell, Kafka, KafkaArgs, MacKey, Topic,
    journal::JournalReader,
    kafka::{
        message, reader,
        topics::{self, Missing},
    },
    reader::Reader,
    relay,
};
use docket_platform::{db::DbRole, scratch_kafka::ScratchKafka};
use rdkafka::{
    ClientConfig, ClientContext, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError as ClientError,
    message::{DeliveryResult, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer, ProducerContext},
    types::RDKafkaErrorCode,
};

use crate::full::Full;

/// How long nothing may come before a yardstick gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a broker that goes with what is returned.
pub async fn broker() -> Result<ScratchKafka> {
    tokio::task::spawn_blocking(ScratchKafka::start).await?.context("starting a broker")
}

/// The topics under `prefix`, made if need be.
pub async fn topics(broker: &ScratchKafka, prefix: &str, shards: u16) -> Result<Kafka> {
    let kafka = Kafka::new(&KafkaArgs::plaintext(broker.bootstrap(), prefix))?.context("no brokers")?;
    topics::ensure(&kafka, shards, Missing::Make).await?;
    Ok(kafka)
}

/// The first `count` events of the journal, in the order in which a relay reads them.
pub async fn events(full: &Full, count: usize) -> Result<Vec<Recorded>> {
    let pool = full.database.pool(DbRole::Writer, 1, Duration::from_secs(5));
    let mut journal = JournalReader::new(pool, &Bell::new(Topic::Journal));
    let mut places: Vec<_> =
        full.store.installation().shards_of(Category::Consultation).map(|shard| (shard, 0)).collect();
    let mut events = Vec::new();
    while events.len() < count {
        let page = journal.read(&places, 2_000).await?;
        if page.is_empty() {
            break;
        }
        for event in &page {
            // A page holds sequences of each shard in order.
            places[usize::from(event.shard)].1 = event.sequence;
        }
        events.extend(page);
    }
    events.truncate(count);
    Ok(events)
}

/// Counts deliveries.
#[derive(Clone, Default)]
struct Count {
    delivered: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

impl ClientContext for Count {}

impl ProducerContext for Count {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let counter = if result.is_ok() { &self.delivered } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// A message whose headers are made before the clock runs.
struct Message<'a> {
    event: &'a Recorded,
    key: String,
    headers: OwnedHeaders,
}

/// The yardstick of the relay: a `BaseProducer` with the relay's own settings sends the same messages from memory. Messages a
/// second, from the first send to the last acknowledgement.
pub async fn produce(kafka: &Kafka, key: &MacKey, events: &Arc<Vec<Recorded>>) -> Result<f64> {
    let (kafka, key, events) = (kafka.clone(), key.clone(), events.clone());
    let produced = tokio::task::spawn_blocking(move || {
        let count = Count::default();
        let producer: BaseProducer<Count> = client(&kafka, &relay::PRODUCER).create_with_context(count.clone())?;
        // Connected before the clock runs, as the relay is.
        producer.client().fetch_metadata(Some(kafka.topic(Category::Consultation)), PATIENCE)?;
        let messages: Vec<Message<'_>> = events
            .iter()
            .map(|event| Message { event, key: event.stream.to_string(), headers: message::headers(event, &key) })
            .collect();
        let started = Instant::now();
        for message in messages {
            send(&producer, &kafka, message)?;
        }
        producer.flush(PATIENCE)?;
        let took = started.elapsed();
        let (delivered, failed) = (count.delivered.load(Ordering::Relaxed), count.failed.load(Ordering::Relaxed));
        ensure!(delivered == events.len() as u64, "delivered {delivered} of {}, failed {failed}", events.len());
        Ok(delivered as f64 / took.as_secs_f64())
    });
    produced.await?
}

fn client(kafka: &Kafka, settings: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.brokers());
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config
}

fn send(producer: &BaseProducer<Count>, kafka: &Kafka, message: Message<'_>) -> Result<()> {
    let Message { event, key, headers } = message;
    let mut record = BaseRecord::to(kafka.topic(Category::Consultation))
        .partition(i32::from(event.shard))
        .timestamp(event.time.timestamp_millis())
        .key(key.as_str())
        .payload(event.data.as_str())
        .headers(headers);
    loop {
        match producer.send(record) {
            Ok(()) => break,
            Err((ClientError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                record = refused;
                producer.poll(Duration::from_millis(1));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
    producer.poll(Duration::ZERO);
    Ok(())
}

/// The yardstick of reading: a `BaseConsumer` with our reader's own settings takes the same messages and looks at none. Messages a
/// second, from the assignment on.
pub async fn consume(kafka: &Kafka, full: &Full) -> Result<f64> {
    let (kafka, installation, events) = (kafka.clone(), full.store.installation(), full.events);
    let consumed = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = client(&kafka, &reader::CONSUMER).set("group.id", "bench").create()?;
        let mut list = TopicPartitionList::new();
        for shard in installation.shards_of(Category::Consultation) {
            list.add_partition_offset(kafka.topic(shard.category), i32::from(shard.shard), Offset::Offset(0))?;
        }
        let started = Instant::now();
        consumer.assign(&list)?;
        let mut seen = 0;
        while seen < events {
            match consumer.poll(PATIENCE) {
                Some(message) => drop(message?),
                None => bail!("only {seen} of {events} messages came"),
            }
            seen += 1;
        }
        Ok(events as f64 / started.elapsed().as_secs_f64())
    });
    consumed.await?
}
