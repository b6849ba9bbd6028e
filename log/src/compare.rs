//! Topics against the journal, for operators and tests: their ends, or every event.
//!
//! Owns the comparison and no remedy. The topics are always looked at first: what they hold must be journalled by then.

use std::collections::BTreeMap;

use docket_events::{Recorded, ShardId};
use futures_util::TryStreamExt;
use sqlx::PgPool;

use crate::{
    journal,
    kafka::{Edge, KafkaError, Probe, probe::Stranger},
    reader::ReadError,
    relay::{
        judge::{Judgement, judge},
        look::look,
    },
};

/// Messages compared at once.
const PAGE: usize = 5000;

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The topics do not answer.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// The journal does not answer.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<sqlx::Error> for CompareError {
    fn from(error: sqlx::Error) -> Self {
        Self::Read(error.into())
    }
}

/// How topic and journal of one shard end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ends {
    /// The shard.
    pub shard: ShardId,
    /// The journal's last sequence.
    pub journal: u64,
    /// Up to where relays say that it is published.
    pub published: u64,
    /// The topic's last sequence; none in a partition without events.
    pub topic: Option<u64>,
    /// What follows.
    pub judgement: Judgement,
}

/// How topic and journal end in each of `shards`; `pool` belongs to a role that may read `write.published`.
///
/// # Errors
/// See [`CompareError`].
pub async fn ends(pool: &PgPool, probe: &Probe, shards: &[ShardId]) -> Result<Vec<Ends>, CompareError> {
    let seen = look::<CompareError>(pool, probe, shards).await?;
    let ends = seen.into_iter().map(|(shard, (_, sight))| Ends {
        shard,
        journal: sight.journal,
        published: sight.mark,
        topic: sight.topic.map(|last| last.sequence),
        judgement: judge(sight),
    });
    Ok(ends.collect())
}

/// What is wrong with one message, or with the lack of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Something behind it is there, and it is not.
    #[error("sequence {0} is missing")]
    Missing(u64),
    /// It is not as it was journalled.
    #[error("sequence {sequence} at offset {offset} differs from the journal in {what}")]
    Differs {
        /// The sequence.
        sequence: u64,
        /// The place in the partition.
        offset: u64,
        /// The fields.
        what: String,
    },
    /// The journal has nothing like it.
    #[error("sequence {0} is not in the journal")]
    NotJournalled(u64),
}

/// What every message of one partition comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// Events, each counted once.
    pub events: u64,
    /// Messages that repeat one.
    pub repeated: u64,
    /// Messages that are none of ours.
    pub strangers: Vec<Stranger>,
    /// Everything that is wrong.
    pub flaws: Vec<Flaw>,
}

/// Compares every message of a partition with the journal, event by event.
///
/// # Errors
/// See [`CompareError`].
pub async fn events(pool: &PgPool, probe: &Probe, shard: ShardId) -> Result<Compared, CompareError> {
    let edges = probe.edges(&[shard]).await?;
    let Some(Edge { low, end, .. }) = edges.get(&shard).copied() else { return Ok(Compared::default()) };
    let (mut compared, mut offset) = (Compared::default(), low);
    while offset < end {
        let page = probe.page(shard, offset, end, PAGE).await?;
        let journal = journalled(pool, shard, &page.events).await?;
        for event in &page.events {
            compared.take(event, journal.get(&event.sequence), offset as u64);
        }
        compared.strangers.extend(page.strangers);
        offset = page.next;
    }
    Ok(compared)
}

/// The journal's events under the sequences of a page.
async fn journalled(pool: &PgPool, shard: ShardId, page: &[Recorded]) -> Result<BTreeMap<u64, Recorded>, CompareError> {
    let (low, high) =
        page.iter().fold((u64::MAX, 0), |(low, high), event| (low.min(event.sequence), high.max(event.sequence)));
    if high == 0 {
        return Ok(BTreeMap::new());
    }
    let events = journal::shard_events(pool, shard, low - 1);
    let within = events.try_take_while(|event| std::future::ready(Ok(event.sequence <= high)));
    Ok(within.map_ok(|event| (event.sequence, event)).try_collect().await?)
}

impl Compared {
    fn take(&mut self, event: &Recorded, journalled: Option<&Recorded>, offset: u64) {
        let sequence = event.sequence;
        if sequence <= self.events {
            self.repeated += 1;
        } else {
            self.flaws.extend((self.events + 1..sequence).map(Flaw::Missing));
            self.events = sequence;
        }
        match journalled {
            None => self.flaws.push(Flaw::NotJournalled(sequence)),
            Some(known) if known != event => {
                self.flaws.push(Flaw::Differs { sequence, offset, what: differences(known, event) });
            }
            Some(_) => {}
        }
    }
}

fn differences(known: &Recorded, event: &Recorded) -> String {
    let fields = [
        ("id", known.id != event.id),
        ("stream", known.stream != event.stream),
        ("version", known.version != event.version),
        ("type", known.event_type != event.event_type),
        ("tenant", known.tenant != event.tenant),
        ("time", known.time != event.time || known.recorded_at != event.recorded_at),
        ("data", known.data != event.data),
        ("metadata", known.meta != event.meta),
    ];
    fields.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use docket_events::{Category, StreamId};
    use uuid::Uuid;

    use super::*;

    fn event(sequence: u64) -> Recorded {
        Recorded {
            stream: StreamId::new(Category::Consultation, Uuid::nil()),
            shard: 0,
            sequence,
            version: sequence,
            id: Uuid::from_u128(sequence.into()),
            event_type: "docket.consultation.commented.v1".to_owned(),
            tenant: Uuid::nil(),
            time: DateTime::UNIX_EPOCH,
            recorded_at: DateTime::UNIX_EPOCH,
            data: "{}".to_owned(),
            meta: "{}".to_owned(),
        }
    }

    #[test]
    fn repetitions_are_fine_and_gaps_and_changes_are_not() {
        let mut compared = Compared::default();
        for sequence in [1, 2, 1, 2, 3] {
            compared.take(&event(sequence), Some(&event(sequence)), 0);
        }
        assert_eq!((compared.events, compared.repeated, compared.flaws.len()), (3, 2, 0));
        compared.take(&event(5), Some(&Recorded { data: "[]".to_owned(), version: 1, ..event(5) }), 9);
        compared.take(&event(6), None, 10);
        let told: Vec<_> = compared.flaws.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "sequence 4 is missing",
                "sequence 5 at offset 9 differs from the journal in version, data",
                "sequence 6 is not in the journal"
            ]
        );
    }
}
