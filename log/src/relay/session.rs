//! One producer's life: from the comparison at its start to the first thing that goes wrong.
//!
//! Owns what is in flight. After any failed or timed-out send the producer is not to be trusted with order any more: the session
//! ends, and the next one begins with a comparison, at min(published, tail) + 1. Repeats are possible, gaps are not.

use std::collections::{BTreeMap, BTreeSet};

use docket_events::{Category, Recorded, ShardId};
use rdkafka::{
    ClientContext,
    error::KafkaError as ClientError,
    message::DeliveryResult,
    producer::{BaseRecord, ProducerContext, ThreadedProducer},
    types::RDKafkaErrorCode,
};
use tokio::sync::mpsc;

use super::{flight::Flight, marks::Step};
use crate::kafka::{Kafka, KafkaError, MacKey, client::Hearing, message};

/// Events in flight, at most.
pub(crate) const IN_FLIGHT: usize = 20_000;
/// The settings of the producer. PERFORMANCE: batches come from what is in flight, not from waiting.
pub const PRODUCER: [(&str, &str); 9] = [
    ("acks", "all"),
    ("enable.idempotence", "true"),
    ("enable.gapless.guarantee", "true"),
    ("linger.ms", "0"),
    ("compression.type", "zstd"),
    // How long an event may be in flight before the session is given up.
    ("message.timeout.ms", "10000"),
    ("message.max.bytes", "1048588"),
    // More than may be in flight.
    ("queue.buffering.max.messages", "40000"),
    ("queue.buffering.max.kbytes", "65536"),
];
/// Bits of a delivery's tag that hold the sequence; the rest holds the shard.
const SEQUENCE_BITS: u32 = 48;

/// Tells of deliveries.
pub(crate) struct Deliveries {
    hearing: Hearing,
    told: mpsc::UnboundedSender<(usize, Option<RDKafkaErrorCode>)>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, fac: &str, message: &str) {
        self.hearing.log(level, fac, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        self.hearing.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, tag: usize) {
        let failed = match result {
            Ok(_) => None,
            Err((error, _)) => Some(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)),
        };
        // Nobody listens to a session that was given up.
        let _ = self.told.send((tag, failed));
    }
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// Kafka did not take an event.
    #[error("{0}")]
    Kafka(#[from] KafkaError),
    /// Kafka will never take this event.
    #[error("the broker refuses the event with sequence {sequence} of {bytes} bytes: it takes no message of that size")]
    TooLarge {
        /// Its shard.
        shard: ShardId,
        /// Its sequence.
        sequence: u64,
        /// The bytes of its data, as far as it is known.
        bytes: usize,
    },
    /// The database did not answer.
    #[error("the journal does not answer: {0}")]
    Database(#[from] sqlx::Error),
    /// The journal could not be read.
    #[error(transparent)]
    Read(#[from] crate::reader::ReadError),
    /// Another relay moved a mark: it works one of our shards.
    #[error("another relay moved a mark of ours")]
    Overtaken,
    /// The topic has less than was acknowledged.
    #[error("the topic of {0} has lost events")]
    Lost(ShardId),
}

/// One producer and what it has in flight.
pub(crate) struct Session {
    kafka: Kafka,
    key: MacKey,
    hearing: Hearing,
    producer: ThreadedProducer<Deliveries>,
    told: mpsc::UnboundedReceiver<(usize, Option<RDKafkaErrorCode>)>,
    pub(crate) flights: BTreeMap<ShardId, Flight>,
    in_flight: usize,
    /// The largest event sent, to tell of it when the broker refuses one.
    largest: BTreeMap<ShardId, (u64, usize)>,
}

impl Session {
    /// A producer by the relay's settings.
    pub(crate) fn begin(kafka: &Kafka, key: &MacKey) -> Result<Self, KafkaError> {
        let (sender, told) = mpsc::unbounded_channel();
        let hearing = Hearing::default();
        let config = kafka.configured(&PRODUCER);
        let producer = config.create_with_context(Deliveries { hearing: hearing.clone(), told: sender })?;
        Ok(Self {
            kafka: kafka.clone(),
            key: key.clone(),
            hearing,
            producer,
            told,
            flights: BTreeMap::new(),
            in_flight: 0,
            largest: BTreeMap::new(),
        })
    }

    /// How many events may still be sent.
    pub(crate) const fn room(&self) -> usize {
        IN_FLIGHT.saturating_sub(self.in_flight)
    }

    /// Whether nothing is in flight.
    pub(crate) const fn is_idle(&self) -> bool {
        self.in_flight == 0
    }

    /// Where to read each shard: behind what is sent.
    pub(crate) fn places(&self) -> Vec<(ShardId, u64)> {
        self.flights.iter().map(|(shard, flight)| (*shard, flight.sent)).collect()
    }

    /// Sends an event, the next of its shard. False: the queue is full, nothing was sent.
    pub(crate) fn send(&mut self, event: &Recorded) -> Result<bool, SessionError> {
        let shard = event.shard_id();
        let Some(flight) = self.flights.get_mut(&shard) else { return Ok(true) };
        if event.sequence != flight.sent + 1 {
            // The journal has no gaps; this read is older than what was sent since.
            return Ok(true);
        }
        let key = event.stream.to_string();
        let record = BaseRecord::with_opaque_to(self.kafka.topic(shard.category), tag(shard, event.sequence))
            .partition(i32::from(shard.shard))
            .timestamp(event.time.timestamp_millis())
            .key(key.as_str())
            .payload(event.data.as_str())
            .headers(message::headers(event, &self.key));
        match self.producer.send(record) {
            Ok(()) => {
                flight.sent = event.sequence;
                self.in_flight += 1;
                let largest = self.largest.entry(shard).or_default();
                if event.data.len() >= largest.1 {
                    *largest = (event.sequence, event.data.len());
                }
                Ok(true)
            }
            Err((ClientError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Ok(false),
            Err((error, _)) => Err(self.failed(error).into()),
        }
    }

    fn failed(&self, error: ClientError) -> KafkaError {
        self.kafka.explain(error, &self.hearing)
    }

    /// Takes the acknowledgements that have come.
    pub(crate) fn acknowledge(&mut self) -> Result<(), SessionError> {
        while let Ok(told) = self.told.try_recv() {
            self.take(told)?;
        }
        Ok(())
    }

    /// Waits for an acknowledgement, and takes it.
    pub(crate) async fn acknowledged(&mut self) -> Result<(), SessionError> {
        match self.told.recv().await {
            Some(told) => self.take(told),
            // The sender lives in the producer, which is ours.
            None => Ok(()),
        }
    }

    fn take(&mut self, (tag, failed): (usize, Option<RDKafkaErrorCode>)) -> Result<(), SessionError> {
        self.in_flight = self.in_flight.saturating_sub(1);
        let (shard, sequence) = untag(tag);
        match failed {
            None => {
                if let Some(flight) = self.flights.get_mut(&shard) {
                    flight.acknowledge(sequence);
                }
                Ok(())
            }
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                let bytes =
                    self.largest.get(&shard).filter(|(known, _)| *known == sequence).map_or(0, |(_, bytes)| *bytes);
                Err(SessionError::TooLarge { shard, sequence, bytes })
            }
            Some(code) => Err(self.failed(ClientError::MessageProduction(code)).into()),
        }
    }

    /// Forgets what is not `held` any more. What is in flight of it may still arrive: readers drop the repetition.
    pub(crate) fn keep(&mut self, held: &BTreeSet<ShardId>) {
        self.flights.retain(|shard, _| held.contains(shard));
    }

    /// The marks that may move.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let moved = self.flights.iter().filter(|(_, flight)| flight.acked > flight.marked);
        moved.map(|(shard, flight)| Step { shard: *shard, from: flight.marked, to: flight.acked }).collect()
    }

    /// After the marks have moved.
    pub(crate) fn marked(&mut self, steps: &[Step]) {
        for step in steps {
            if let Some(flight) = self.flights.get_mut(&step.shard) {
                flight.marked = step.to;
            }
        }
    }

    /// Ends the producer without waiting for a broker that may be frozen.
    pub(crate) fn end(self) {
        let Self { producer, .. } = self;
        // Its thread is joined, which takes a moment.
        drop(tokio::task::spawn_blocking(move || drop(producer)));
    }
}

fn tag(shard: ShardId, sequence: u64) -> usize {
    let shard = (shard.category.code().unsigned_abs() as usize) << 10 | usize::from(shard.shard);
    shard << SEQUENCE_BITS | sequence as usize
}

fn untag(tag: usize) -> (ShardId, u64) {
    let shard = tag >> SEQUENCE_BITS;
    // What we tagged has a category that we know.
    let category = Category::from_code((shard >> 10) as i16).unwrap_or(Category::Identity);
    (ShardId { category, shard: (shard & 0x3ff) as u16 }, (tag & ((1 << SEQUENCE_BITS) - 1)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_tells_shard_and_sequence() {
        for (category, shard, sequence) in
            [(Category::Identity, 0, 1), (Category::Consultation, 1023, (1 << SEQUENCE_BITS) - 1)]
        {
            let shard = ShardId { category, shard };
            assert_eq!(untag(tag(shard, sequence)), (shard, sequence));
        }
    }
}
