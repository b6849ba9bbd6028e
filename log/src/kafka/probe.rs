//! Questions to the topics: where partitions end and with which event, and what stands between two offsets.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use docket_events::{Category, Recorded, ShardId};
use rdkafka::{
    Message, Offset, TopicPartitionList, consumer::Consumer, error::KafkaError as ClientError, types::RDKafkaErrorCode,
};
use uuid::Uuid;

use super::{
    client::{Asker, Kafka},
    error::{KafkaError, is_unknown_topic},
    message::{self, Foreign, MacKey},
    reader::is_passing,
    topics::blocking,
};

/// How far back a partition's end is searched for the last event of ours, step by step.
const WINDOWS: [i64; 4] = [1, 64, 4096, i64::MAX];
/// How long nothing may come though the broker has more.
const PAGE: Duration = Duration::from_secs(5);

/// The last event of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Last {
    /// Its sequence.
    pub sequence: u64,
    /// Its id.
    pub id: Uuid,
}

/// Where a partition begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// The first offset that is kept.
    pub low: i64,
    /// The offset that the next message will have.
    pub end: i64,
    /// The last event; none in a partition without events of ours.
    pub last: Option<Last>,
}

/// A message that is not an event of this installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stranger {
    /// Where it stands.
    pub shard: ShardId,
    /// Its offset.
    pub offset: i64,
    /// Why it is none of ours.
    pub reason: Foreign,
}

/// A page of a partition.
#[derive(Debug, Default)]
pub struct Page {
    /// The events, as they stand there: repetitions and all.
    pub events: Vec<Recorded>,
    /// The messages that are none.
    pub strangers: Vec<Stranger>,
    /// Where the next page begins.
    pub next: i64,
}

/// Asks the topics. One question at a time; clones share the connection, which is made anew after a question that failed: librdkafka
/// may never again find a broker that was down while it was asked for.
#[derive(Clone)]
pub struct Probe {
    kafka: Kafka,
    key: MacKey,
    asker: Arc<Mutex<Asker>>,
}

/// A client for the probe's questions.
fn make(kafka: &Kafka) -> Result<Asker, KafkaError> {
    kafka.asker(&[
        ("group.id", "docket.probe"),
        ("enable.auto.commit", "false"),
        ("enable.partition.eof", "true"),
        ("auto.offset.reset", "error"),
        ("fetch.wait.max.ms", "50"),
        ("check.crcs", "true"),
    ])
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probe").field("kafka", &self.kafka).finish_non_exhaustive()
    }
}

impl Probe {
    /// A probe; connects at the first question.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn new(kafka: &Kafka, key: MacKey) -> Result<Self, KafkaError> {
        Ok(Self { kafka: kafka.clone(), key, asker: Arc::new(Mutex::new(make(kafka)?)) })
    }

    /// Asks one question, beside the runtime.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Self, &Asker) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, KafkaError> {
        let probe = self.clone();
        blocking(move || {
            let mut asker = probe.asker.lock().unwrap_or_else(PoisonError::into_inner);
            let answer = question(&probe, &asker);
            if answer.is_err() {
                *asker = make(&probe.kafka)?;
            }
            answer
        })
        .await
    }

    /// Where each of `shards` begins and ends, with its last event.
    ///
    /// # Errors
    /// See [`KafkaError`].
    pub async fn edges(&self, shards: &[ShardId]) -> Result<BTreeMap<ShardId, Edge>, KafkaError> {
        let shards = shards.to_vec();
        self.ask(move |probe, asker| {
            let mut edges = probe.watermarks(asker, &shards)?;
            for category in Category::ALL {
                probe.find_last(asker, category, &mut edges)?;
            }
            Ok(edges)
        })
        .await
    }

    /// The messages of a partition from `offset` on, `limit` at most, ending before `end`.
    ///
    /// # Errors
    /// See [`KafkaError`].
    pub async fn page(&self, shard: ShardId, offset: i64, end: i64, limit: usize) -> Result<Page, KafkaError> {
        self.ask(move |probe, asker| {
            let mut page = Page { next: offset, ..Page::default() };
            let end = end.min(offset.saturating_add(i64::try_from(limit).unwrap_or(i64::MAX)));
            if offset < end {
                probe.walk(asker, shard.category, &[(shard, offset, end)], &mut |shard, at, event| {
                    page.next = at + 1;
                    match event {
                        Ok(event) => page.events.push(event),
                        Err(reason) => page.strangers.push(Stranger { shard, offset: at, reason }),
                    }
                })?;
                page.next = end;
            }
            Ok(page)
        })
        .await
    }

    fn watermarks(&self, asker: &Asker, shards: &[ShardId]) -> Result<BTreeMap<ShardId, Edge>, KafkaError> {
        let mut edges = BTreeMap::new();
        for shard in shards {
            let topic = self.kafka.topic(shard.category);
            let partition = i32::from(shard.shard);
            let (low, end) = self
                .kafka
                .ask(asker, |consumer, patience| consumer.fetch_watermarks(topic, partition, patience))
                .map_err(|error| named(error, topic))?;
            edges.insert(*shard, Edge { low, end, last: None });
        }
        Ok(edges)
    }

    fn explain(&self, error: ClientError, asker: &Asker, topic: &str) -> KafkaError {
        if is_unknown_topic(&error) {
            return KafkaError::Missing(topic.to_owned());
        }
        asker.listen();
        self.kafka.explain(error, &asker.hearing)
    }

    /// Fills in the last events of one category: the last message nearly always, farther back where strangers stand at the end.
    fn find_last(
        &self,
        asker: &Asker,
        category: Category,
        edges: &mut BTreeMap<ShardId, Edge>,
    ) -> Result<(), KafkaError> {
        for window in WINDOWS {
            let open: Vec<(ShardId, i64, i64)> = edges
                .iter()
                .filter(|(shard, edge)| shard.category == category && edge.last.is_none() && edge.low < edge.end)
                // What the smaller window showed need not be looked at again, but it is little.
                .map(|(shard, edge)| (*shard, edge.low.max(edge.end.saturating_sub(window)), edge.end))
                .collect();
            if open.is_empty() {
                break;
            }
            self.walk(asker, category, &open, &mut |shard, _, event| {
                if let (Ok(event), Some(edge)) = (event, edges.get_mut(&shard)) {
                    edge.last = Some(Last { sequence: event.sequence, id: event.id });
                }
            })?;
        }
        Ok(())
    }

    /// Reads ranges of one category's partitions, each from an offset to before another.
    fn walk(
        &self,
        asker: &Asker,
        category: Category,
        ranges: &[(ShardId, i64, i64)],
        each: &mut dyn FnMut(ShardId, i64, Result<Recorded, Foreign>),
    ) -> Result<(), KafkaError> {
        let topic = self.kafka.topic(category);
        let mut list = TopicPartitionList::new();
        for (shard, from, _) in ranges {
            list.add_partition_offset(topic, i32::from(shard.shard), Offset::Offset(*from))?;
        }
        asker.consumer.assign(&list)?;
        let walked = self.poll(asker, topic, ranges, each);
        asker.consumer.unassign()?;
        walked
    }

    fn poll(
        &self,
        asker: &Asker,
        topic: &str,
        ranges: &[(ShardId, i64, i64)],
        each: &mut dyn FnMut(ShardId, i64, Result<Recorded, Foreign>),
    ) -> Result<(), KafkaError> {
        let mut open: VecDeque<(ShardId, i64)> = ranges.iter().map(|(shard, _, end)| (*shard, *end)).collect();
        let mut patience = Instant::now() + PAGE;
        while !open.is_empty() {
            match asker.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    patience = Instant::now() + PAGE;
                    let Some(shard) = self.kafka.shard(message.topic(), message.partition()) else { continue };
                    // Messages of an earlier question may still come.
                    let Some((_, end)) = open.iter().find(|(of, _)| *of == shard).copied() else { continue };
                    if message.offset() < end {
                        each(shard, message.offset(), message::event(&message, shard, &self.key));
                    }
                    if message.offset() + 1 >= end {
                        open.retain(|(of, _)| *of != shard);
                    }
                }
                Some(Err(ClientError::PartitionEOF(partition))) => {
                    open.retain(|(shard, _)| i32::from(shard.shard) != partition);
                }
                // What befell the connection since the last question is told first, piece by piece. Whether anybody answers now is
                // another matter.
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => return Err(self.explain(error, asker, topic)),
                None => {}
            }
            if Instant::now() >= patience {
                let error = ClientError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
                return Err(self.explain(error, asker, topic));
            }
        }
        Ok(())
    }
}

/// Names the topic that a question was about.
fn named(error: KafkaError, topic: &str) -> KafkaError {
    if matches!(error, KafkaError::Missing(_)) { KafkaError::Missing(topic.to_owned()) } else { error }
}
