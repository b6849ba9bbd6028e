//! Following partitions: explicit assignment, explicit offsets, no consumer group but for the offsets that lag tools look at.
//!
//! # Where to begin
//!
//! The first occurrences of sequences stand in the topic in order and without a gap, since a relay resumes at or before what is
//! published. So before offset `n` there is no sequence above `n`: whoever has applied up to `n` misses nothing by beginning at
//! offset `n`. What is repeated or foreign only makes it read a little more.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use docket_events::{Recorded, ShardId};
use futures_util::{FutureExt, StreamExt};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer, StreamConsumer},
    error::KafkaError as ClientError,
    message::BorrowedMessage,
    types::RDKafkaErrorCode,
};

use super::{
    client::{ANSWER, Hearing, Kafka, is_silence},
    error::{KafkaError, is_unknown_topic},
    message::{self, MacKey},
    probe::Stranger,
    topics::blocking,
};

/// The settings of a consumer that follows partitions, besides its group.
pub const CONSUMER: [(&str, &str); 8] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // Out of range means that the topic lost events: then we look again, and jump nowhere.
    ("auto.offset.reset", "error"),
    ("fetch.wait.max.ms", "100"),
    ("fetch.queue.backoff.ms", "5"),
    ("queued.max.messages.kbytes", "32768"),
    ("fetch.error.backoff.ms", "100"),
    ("group.protocol", "classic"),
];
/// How often offsets are committed.
const COMMIT: Duration = Duration::from_secs(1);
/// A shard that nobody asked for is not followed for longer than this.
const FORGOTTEN: Duration = Duration::from_secs(2);

/// One partition that is followed.
#[derive(Debug)]
struct Cursor {
    /// The highest sequence handed out.
    handed: u64,
    /// Read and not handed out yet, with their offsets.
    pending: VecDeque<(i64, Recorded)>,
    /// Ends of what was handed out: the last sequence, and the offset behind it.
    ends: VecDeque<(u64, i64)>,
    /// What was applied, and is to be committed.
    applied: Option<i64>,
    asked: Instant,
}

/// Follows partitions.
pub struct Following {
    kafka: Kafka,
    key: MacKey,
    consumer: StreamConsumer<Hearing>,
    hearing: Hearing,
    cursors: BTreeMap<ShardId, Cursor>,
    pending: usize,
    strangers: Vec<Stranger>,
    committed: Instant,
}

impl std::fmt::Debug for Following {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Following")
            .field("kafka", &self.kafka)
            .field("shards", &self.cursors.len())
            .finish_non_exhaustive()
    }
}

/// What came of looking for messages.
enum Pulled {
    /// Nothing was wrong.
    Fine,
    /// The topics are not what they were: offsets mean nothing any more.
    Upset(ClientError),
}

fn consumer(kafka: &Kafka) -> Result<(StreamConsumer<Hearing>, Hearing), KafkaError> {
    let group = kafka.group();
    let settings: Vec<_> = CONSUMER.into_iter().chain([("group.id", group.as_str())]).collect();
    kafka.client(&settings)
}

impl Following {
    /// Follows nothing yet.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn new(kafka: &Kafka, key: MacKey) -> Result<Self, KafkaError> {
        let (consumer, hearing) = consumer(kafka)?;
        Ok(Self {
            kafka: kafka.clone(),
            key,
            consumer,
            hearing,
            cursors: BTreeMap::new(),
            pending: 0,
            strangers: Vec::new(),
            committed: Instant::now(),
        })
    }

    /// Where its Kafka is.
    pub(crate) const fn kafka(&self) -> &Kafka {
        &self.kafka
    }

    /// The highest sequence handed out of `shard`; none when it is not followed.
    pub(crate) fn handed(&self, shard: ShardId) -> Option<u64> {
        self.cursors.get(&shard).map(|cursor| cursor.handed)
    }

    /// Whether any partition is followed.
    pub(crate) fn is_idle(&self) -> bool {
        self.cursors.is_empty()
    }

    /// Follows each shard from an offset on, as [`find`] gave it; the last number is what its reader has.
    ///
    /// # Errors
    /// See [`KafkaError`].
    pub(crate) fn follow(&mut self, starts: &[(ShardId, i64, u64)]) -> Result<(), KafkaError> {
        let starts: Vec<_> = starts.iter().filter(|(shard, ..)| !self.cursors.contains_key(shard)).copied().collect();
        if starts.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for (shard, offset, _) in &starts {
            list.add_partition_offset(
                self.kafka.topic(shard.category),
                i32::from(shard.shard),
                Offset::Offset(*offset),
            )?;
        }
        self.consumer.incremental_assign(&list)?;
        for (shard, _, handed) in starts {
            let (pending, ends) = (VecDeque::new(), VecDeque::new());
            self.cursors.insert(shard, Cursor { handed, pending, ends, applied: None, asked: Instant::now() });
        }
        Ok(())
    }

    /// Follows nothing any more, with a consumer that remembers nothing.
    pub(crate) fn start_anew(&mut self) {
        self.cursors.clear();
        self.pending = 0;
        match consumer(&self.kafka) {
            Ok((fresh, hearing)) => {
                let old = std::mem::replace(&mut self.consumer, fresh);
                self.hearing = hearing;
                // Its threads are joined, which takes a moment.
                drop(tokio::task::spawn_blocking(move || drop(old)));
            }
            Err(error) => tracing::warn!(%error, "a new consumer cannot be made"),
        }
    }

    /// Leaves shards that nobody asks for any more.
    fn forget(&mut self) {
        let forgotten: Vec<ShardId> = self
            .cursors
            .iter()
            .filter(|(_, cursor)| cursor.asked.elapsed() > FORGOTTEN)
            .map(|(shard, _)| *shard)
            .collect();
        for shard in forgotten {
            self.leave(shard);
        }
    }

    /// Follows `shard` no more.
    pub(crate) fn leave(&mut self, shard: ShardId) {
        let Some(cursor) = self.cursors.remove(&shard) else { return };
        self.pending -= cursor.pending.len();
        let mut list = TopicPartitionList::new();
        list.add_partition(self.kafka.topic(shard.category), i32::from(shard.shard));
        if let Err(error) = self.consumer.incremental_unassign(&list) {
            tracing::debug!(%error, %shard, "a partition was not left");
        }
    }

    /// The next events of each shard, `limit` in all, at most `share` each where more than that is waiting; `behind` says what is
    /// applied.
    ///
    /// # Errors
    /// [`KafkaError`] when the topics are not what they were; the caller starts anew.
    pub(crate) fn read(
        &mut self,
        behind: &[(ShardId, u64)],
        limit: usize,
        share: usize,
    ) -> Result<Vec<Recorded>, KafkaError> {
        let pulled = self.pull(limit);
        // The brokers send a partition's events in long runs: cut at its share, a run would keep all other partitions from coming.
        let share = if self.pending <= limit { limit } else { share };
        let mut events = Vec::with_capacity(self.pending.min(limit));
        for (shard, applied) in behind {
            let Some(cursor) = self.cursors.get_mut(shard) else { continue };
            cursor.asked = Instant::now();
            while cursor.ends.front().is_some_and(|(sequence, _)| sequence <= applied) {
                cursor.applied = cursor.ends.pop_front().map(|(_, offset)| offset);
            }
            let count = cursor.pending.len().min(share);
            self.pending -= count;
            let mut last = None;
            for (offset, event) in cursor.pending.drain(..count) {
                cursor.handed = cursor.handed.max(event.sequence);
                last = Some(offset);
                events.push(event);
            }
            if let Some(offset) = last {
                cursor.ends.push_back((cursor.handed, offset + 1));
            }
        }
        self.forget();
        self.commit();
        match pulled {
            Pulled::Fine => Ok(events),
            Pulled::Upset(error) => Err(self.kafka.explain(error, &self.hearing)),
        }
    }

    /// Takes what librdkafka has, up to `limit` in memory.
    fn pull(&mut self, limit: usize) -> Pulled {
        let Self { kafka, key, consumer, cursors, pending, strangers, .. } = self;
        let mut stream = consumer.stream();
        while *pending < limit {
            match stream.next().now_or_never().flatten() {
                Some(Ok(message)) => *pending += take(&message, kafka, key, cursors, strangers),
                Some(Err(error)) if is_passing(&error) => tracing::debug!(target: "kafka", %error, "reading"),
                Some(Err(error)) => return Pulled::Upset(error),
                None => break,
            }
        }
        Pulled::Fine
    }

    /// Resolves when there is something to read.
    pub(crate) async fn news(&mut self) {
        if self.pending > 0 {
            return;
        }
        let Self { kafka, key, consumer, cursors, pending, strangers, .. } = self;
        loop {
            match consumer.recv().await {
                Ok(message) => {
                    *pending += take(&message, kafka, key, cursors, strangers);
                    if *pending > 0 || !strangers.is_empty() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::debug!(target: "kafka", %error, "waiting");
                    if !is_passing(&error) {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        // The topics are not what they were. This error was taken off the queue: the next read would not see it.
        self.start_anew();
    }

    /// Messages that were refused since the last call.
    pub(crate) fn strangers(&mut self) -> Vec<Stranger> {
        std::mem::take(&mut self.strangers)
    }

    fn commit(&mut self) {
        if self.committed.elapsed() < COMMIT {
            return;
        }
        self.committed = Instant::now();
        let mut list = TopicPartitionList::new();
        for (shard, cursor) in &mut self.cursors {
            if let Some(offset) = cursor.applied.take() {
                let topic = self.kafka.topic(shard.category);
                // The offset is one that a broker gave.
                let _ = list.add_partition_offset(topic, i32::from(shard.shard), Offset::Offset(offset));
            }
        }
        if list.count() > 0
            && let Err(error) = self.consumer.commit(&list, CommitMode::Async)
        {
            tracing::debug!(%error, "offsets for lag tools were not committed");
        }
    }
}

/// Where to begin in each shard whose reader has all up to a sequence. Shards whose partition does not reach there are left out.
///
/// # Errors
/// See [`KafkaError`]; the brokers must answer.
pub(crate) async fn find(kafka: &Kafka, wanted: Vec<(ShardId, u64)>) -> Result<Vec<(ShardId, i64)>, KafkaError> {
    let kafka = kafka.clone();
    blocking(move || {
        let (probe, hearing) = consumer(&kafka)?;
        let mut starts = Vec::new();
        for (shard, sequence) in wanted {
            let topic = kafka.topic(shard.category);
            let (low, end) = match probe.fetch_watermarks(topic, i32::from(shard.shard), ANSWER) {
                Ok(marks) => marks,
                Err(error) if is_unknown_topic(&error) => continue,
                Err(error) => return Err(kafka.explain(error, &hearing)),
            };
            let offset = i64::try_from(sequence).unwrap_or(i64::MAX).max(low);
            if offset <= end {
                starts.push((shard, offset));
            }
        }
        Ok(starts)
    })
    .await
}

/// Decodes a message into its shard's queue; how many events that gave.
fn take(
    message: &BorrowedMessage<'_>,
    kafka: &Kafka,
    key: &MacKey,
    cursors: &mut BTreeMap<ShardId, Cursor>,
    strangers: &mut Vec<Stranger>,
) -> usize {
    let Some(shard) = kafka.shard(message.topic(), message.partition()) else { return 0 };
    let Some(cursor) = cursors.get_mut(&shard) else { return 0 };
    match message::event(message, shard, key) {
        Ok(event) => {
            cursor.pending.push_back((message.offset(), event));
            1
        }
        Err(reason) => {
            strangers.push(Stranger { shard, offset: message.offset(), reason });
            0
        }
    }
}

/// Whether an error of the consumer passes by itself: brokers come and go, and librdkafka goes on.
pub(super) fn is_passing(error: &ClientError) -> bool {
    error.rdkafka_error_code().is_some_and(|code| {
        is_silence(code)
            || matches!(
                code,
                RDKafkaErrorCode::Resolve
                    | RDKafkaErrorCode::Authentication
                    | RDKafkaErrorCode::ReplicaNotAvailable
                    | RDKafkaErrorCode::FencedLeaderEpoch
                    | RDKafkaErrorCode::UnknownLeaderEpoch
                    | RDKafkaErrorCode::OffsetNotAvailable
                    | RDKafkaErrorCode::CoordinatorNotAvailable
                    | RDKafkaErrorCode::NotCoordinator
                    | RDKafkaErrorCode::CoordinatorLoadInProgress
            )
    })
}
