//! The reader that projections use: from Kafka where the log is in Kafka, from the journal else.
//!
//! A shard is read from the journal until what is published has (nearly) reached its reader, and then from Kafka; when the topic is
//! not what it was (a broker lost its data), from the journal again until the relay has filled it. Sequences are the same on both
//! sides, so a reader changes sides between any two events.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use docket_events::{Recorded, ShardId};
use docket_platform::metrics;
use prometheus::IntGauge;
use sqlx::PgPool;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    bell::Bell,
    installation::Mode,
    journal::JournalReader,
    kafka::{
        Kafka, KafkaError, MacKey,
        probe::Stranger,
        reader::{Following, find},
    },
    reader::{ReadError, Reader},
    relay::marks::{self, Mark},
};

/// How far behind a reader the mark may be for Kafka to be good enough: what is between is read again, and dropped.
const NEAR: u64 = 10_000;
/// How often shards that are not followed are looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How often shards that are followed are looked at.
const CARE: Duration = Duration::from_secs(3);
/// How long Kafka may give nothing of what is published before its consumer is made anew.
const STALL: Duration = Duration::from_secs(6);
/// The most refused messages that are kept for operators at once.
const STRANGERS: usize = 100;

type Search = JoinHandle<Result<Vec<(ShardId, i64)>, KafkaError>>;

/// Reads the log wherever it is.
#[derive(Debug)]
pub struct LogReader {
    pool: PgPool,
    journal: JournalReader,
    kafka: Option<Following>,
    mode: watch::Receiver<Mode>,
    /// Nothing but Kafka is good enough.
    alone: bool,
    looked: Option<Instant>,
    /// Brokers are asked where to begin beside the reading: they may be silent for long.
    search: Option<Search>,
    /// Whether some shards are read from the journal.
    mixed: bool,
    /// Shards from which nothing came though it is published, and since when.
    stalled: BTreeMap<ShardId, (u64, Instant)>,
    /// How many shards Kafka gives.
    from_kafka: IntGauge,
}

impl LogReader {
    /// A reader over a pool whose role may read the journal. Without `kafka` it reads the journal whatever the mode.
    ///
    /// # Errors
    /// When the settings for Kafka cannot be used.
    pub fn new(
        pool: PgPool,
        bell: &Bell,
        kafka: Option<(&Kafka, MacKey)>,
        mode: watch::Receiver<Mode>,
    ) -> Result<Self, KafkaError> {
        let kafka = kafka.map(|(kafka, key)| Following::new(kafka, key)).transpose()?;
        let journal = JournalReader::new(pool.clone(), bell);
        Ok(Self {
            pool,
            journal,
            kafka,
            mode,
            alone: false,
            looked: None,
            search: None,
            mixed: false,
            stalled: BTreeMap::new(),
            from_kafka: from_kafka("projections"),
        })
    }

    /// A reader that reads Kafka alone, whatever the mode; where Kafka has nothing, it gives nothing.
    ///
    /// # Errors
    /// When the settings for Kafka cannot be used.
    pub fn kafka_alone(pool: PgPool, kafka: &Kafka, key: MacKey) -> Result<Self, KafkaError> {
        let (_, mode) = watch::channel(Mode::Kafka);
        let bell = Bell::new(crate::bell::Topic::Journal);
        Ok(Self { alone: true, ..Self::new(pool, &bell, Some((kafka, key)), mode)? })
    }

    /// The same, counted in the metrics as `reader` instead of `projections`.
    #[must_use]
    pub fn counted_as(mut self, reader: &'static str) -> Self {
        self.from_kafka = from_kafka(reader);
        self
    }

    /// Whether `shard` is read from Kafka at this moment.
    #[must_use]
    pub fn is_from_kafka(&self, shard: ShardId) -> bool {
        self.kafka.as_ref().is_some_and(|kafka| kafka.handed(shard).is_some())
    }

    /// Sees to it that shards are followed where Kafka has what they need.
    async fn look(&mut self, behind: &[(ShardId, u64)]) -> Result<(), ReadError> {
        if self.search.as_ref().is_some_and(JoinHandle::is_finished)
            && let Some(search) = self.search.take()
        {
            self.found(search, behind).await?;
        }
        let Some(kafka) = &mut self.kafka else { return Ok(()) };
        let all_followed = behind.iter().all(|(shard, _)| kafka.handed(*shard).is_some());
        let pause = if all_followed { CARE } else { LOOK };
        if self.search.is_some() || self.looked.is_some_and(|at| at.elapsed() < pause) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        let marks = if self.alone { BTreeMap::new() } else { marks::all(&self.pool).await? };
        if stalls(&mut self.stalled, kafka, behind, &marks) {
            tracing::warn!("nothing comes from Kafka though it is published: the consumer is made anew");
            kafka.start_anew();
        }
        let wanted: Vec<(ShardId, u64)> = behind
            .iter()
            .filter(|(shard, _)| kafka.handed(*shard).is_none())
            .filter_map(|(shard, applied)| {
                let published = if self.alone { *applied } else { marks.get(shard)?.sequence };
                (published + NEAR >= *applied).then_some((*shard, published.min(*applied)))
            })
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let (place, wanted) = (kafka.kafka().clone(), wanted);
        let search = tokio::spawn(async move { find(&place, wanted).await });
        if self.alone {
            return self.found(search, behind).await;
        }
        self.search = Some(search);
        Ok(())
    }

    /// Follows the shards for which a search found where to begin.
    async fn found(&mut self, search: Search, behind: &[(ShardId, u64)]) -> Result<(), ReadError> {
        let starts = match search.await {
            Ok(Ok(starts)) => starts,
            Ok(Err(error)) if self.alone => return Err(error.into()),
            Ok(Err(error)) => {
                tracing::debug!(%error, "partitions are not followed yet");
                return Ok(());
            }
            // It is ending with the process.
            Err(_) => return Ok(()),
        };
        let Some(kafka) = &mut self.kafka else { return Ok(()) };
        let starts: Vec<_> = starts
            .into_iter()
            // What was applied since the search began is read again, and dropped.
            .filter_map(|(shard, at)| Some((shard, at, behind.iter().find(|(of, _)| *of == shard)?.1)))
            .collect();
        kafka.follow(&starts)?;
        Ok(())
    }

    /// Keeps what was refused where operators look.
    async fn report(&self, strangers: &[Stranger]) {
        let kept = &strangers[..strangers.len().min(STRANGERS)];
        for stranger in kept {
            tracing::error!(shard = %stranger.shard, offset = stranger.offset, reason = %stranger.reason,
                "a message on the log is not ours and is left out");
        }
        if kept.len() < strangers.len() {
            tracing::error!(
                left_out = strangers.len() - kept.len(),
                "more such messages, which are not noted one by one"
            );
        }
        let written = sqlx::query(
            "insert into write.foreign_message (category, shard, log_offset, reason)
             select * from unnest($1::smallint[], $2::smallint[], $3::bigint[], $4::text[]) on conflict do nothing",
        )
        .bind(kept.iter().map(|stranger| stranger.shard.category.code()).collect::<Vec<_>>())
        .bind(kept.iter().map(|stranger| stranger.shard.shard as i16).collect::<Vec<_>>())
        .bind(kept.iter().map(|stranger| stranger.offset).collect::<Vec<_>>())
        .bind(kept.iter().map(|stranger| stranger.reason.to_string()).collect::<Vec<_>>())
        .execute(&self.pool)
        .await;
        if let Err(error) = written {
            tracing::debug!(%error, "what was refused was not kept");
        }
    }

    async fn read_both(&mut self, behind: &[(ShardId, u64)], limit: usize) -> Result<Vec<Recorded>, ReadError> {
        self.look(behind).await?;
        let share = (limit / behind.len()).max(1);
        let Some(kafka) = &mut self.kafka else { return self.journal.read(behind, limit).await };
        // A place before what was handed out (a failed transaction, a projection that catches up) is the journal's.
        let (followed, others): (Vec<_>, Vec<_>) =
            behind.iter().partition(|(shard, applied)| kafka.handed(*shard).is_some_and(|handed| *applied >= handed));
        self.from_kafka.set(i64::try_from(followed.len()).unwrap_or(i64::MAX));
        let mut events = Vec::new();
        if !followed.is_empty() {
            match kafka.read(&followed, limit, share) {
                Ok(read) => events = read,
                Err(error) if self.alone => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(%error, "the topics are not what they were: reading on from the journal");
                    kafka.start_anew();
                }
            }
        }
        self.mixed = !others.is_empty();
        let strangers = kafka.strangers();
        let handed: BTreeMap<ShardId, u64> =
            others.iter().filter_map(|(shard, _)| Some((*shard, kafka.handed(*shard)?))).collect();
        if !strangers.is_empty() {
            self.report(&strangers).await;
        }
        if !others.is_empty() {
            if self.alone {
                // Only Kafka will do: back to there.
                if let Some(kafka) = &mut self.kafka {
                    others.iter().for_each(|(shard, _)| kafka.leave(*shard));
                }
                self.looked = None;
                return Ok(events);
            }
            let read = self.journal.read(&others, share * others.len()).await?;
            // Not beyond what Kafka handed out: there it goes on.
            events.extend(
                read.into_iter().filter(|e| handed.get(&e.shard_id()).is_none_or(|handed| e.sequence <= *handed)),
            );
        }
        Ok(events)
    }
}

/// Counts the shards that Kafka gives to one reader.
fn from_kafka(reader: &'static str) -> IntGauge {
    let gauges = metrics::int_gauge_vec(
        "docket_reader_kafka_shards",
        "Shards that are read from Kafka at this moment; the others are read from the journal.",
        &["reader"],
    );
    gauges.with_label_values(&[reader])
}

/// Whether something is published for long and does not come.
fn stalls(
    stalled: &mut BTreeMap<ShardId, (u64, Instant)>,
    kafka: &Following,
    behind: &[(ShardId, u64)],
    marks: &BTreeMap<ShardId, Mark>,
) -> bool {
    let mut stalls = false;
    for (shard, applied) in behind {
        let published = marks.get(shard).map_or(0, |mark| mark.sequence);
        if kafka.handed(*shard).is_none_or(|handed| handed != *applied || published <= handed) {
            stalled.remove(shard);
            continue;
        }
        let (at, since) = stalled.entry(*shard).or_insert((*applied, Instant::now()));
        if *at != *applied {
            (*at, *since) = (*applied, Instant::now());
        }
        stalls |= since.elapsed() >= STALL;
    }
    if stalls {
        stalled.clear();
    }
    stalls
}

impl Reader for LogReader {
    async fn read(&mut self, behind: &[(ShardId, u64)], limit: usize) -> Result<Vec<Recorded>, ReadError> {
        if behind.is_empty() {
            return Ok(Vec::new());
        }
        if *self.mode.borrow_and_update() == Mode::Kafka && self.kafka.is_some() {
            return self.read_both(behind, limit).await;
        }
        if let Some(kafka) = &mut self.kafka
            && !kafka.is_idle()
        {
            kafka.start_anew();
            self.from_kafka.set(0);
        }
        self.journal.read(behind, limit).await
    }

    async fn news(&mut self, at_most: Duration) {
        let Self { journal, kafka, mode, mixed, .. } = self;
        match kafka {
            Some(kafka) if !kafka.is_idle() && !*mixed => {
                // The journal's bell rings before Kafka has the event: who follows Kafka waits for Kafka.
                let _ = tokio::time::timeout(at_most, kafka.news()).await;
            }
            Some(kafka) if !kafka.is_idle() => {
                tokio::select! {
                    () = kafka.news() => {}
                    () = journal.news(at_most.min(LOOK)) => {}
                }
            }
            Some(_) if *mode.borrow() == Mode::Kafka => journal.news(at_most.min(LOOK)).await,
            _ => journal.news(at_most).await,
        }
    }
}
