//! The relay's work: compare, read, send, count acknowledgements, move marks.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use docket_events::{Category, ShardId};
use docket_platform::{Shutdown, breaker::Breaker};
use sqlx::PgPool;
use tokio::{sync::watch, time::Instant};

use super::{
    flight::Flight,
    judge::{Judgement, Sight, judge},
    look::look,
    marks::{self, Step},
    metrics,
    session::{Session, SessionError},
};
use crate::{
    faults::{self, Bug},
    installation::{Installation, Mode},
    journal::JournalReader,
    kafka::{
        Kafka, KafkaError, MacKey, Probe,
        topics::{self, Missing},
    },
    lease::Held,
    reader::Reader,
};

/// How often a topic's end is compared with the journal.
const COMPARE: Duration = Duration::from_secs(5);
/// The longest sleep without a look at the journal: bells may be missed.
const POLL: Duration = Duration::from_millis(500);
/// Events read at once.
const PAGE: usize = 2000;
/// Events sent before others on this thread have their turn.
const STRIDE: usize = 128;
/// The least time between two movements of the marks: they only spare repetitions.
const MARK_PACE: Duration = Duration::from_millis(10);
/// How long a shard rests whose next event the broker refuses for good.
const REFUSED_REST: Duration = Duration::from_secs(60);
/// How long what is in flight may take once the process was told to end.
const FLUSH: Duration = Duration::from_secs(5);

/// Publishes the shards that it is given.
pub(crate) struct Worker {
    pub(crate) kafka: Kafka,
    pub(crate) pool: PgPool,
    pub(crate) installation: Installation,
    pub(crate) reader: JournalReader,
    pub(crate) key: MacKey,
    pub(crate) probe: Probe,
    pub(crate) breaker: Breaker,
    pub(crate) held: watch::Receiver<Held>,
    pub(crate) mode: watch::Receiver<Mode>,
    pub(crate) shutdown: Shutdown,
    /// Shards with an event that the broker refuses, and until when they rest.
    pub(crate) refused: BTreeMap<ShardId, Instant>,
    /// Categories whose topic cannot hold the log, and why.
    pub(crate) unfit: BTreeMap<Category, String>,
    /// The largest message that every topic took when the session began.
    pub(crate) message_bytes: u64,
}

impl Worker {
    /// Works until the shutdown, or until the log is no longer in Kafka.
    pub(crate) async fn run(&mut self) {
        while self.goes_on() {
            let permit = match self.breaker.permit() {
                Ok(permit) => permit,
                Err(pause) => {
                    self.rest(pause).await;
                    continue;
                }
            };
            let mut proven = Some(permit);
            match self.session(&mut proven).await {
                Ok(()) => {}
                Err(error) => {
                    metrics::get().sessions_failed.inc();
                    tracing::warn!(%error, "publishing stopped; going on from the last mark");
                    if let (Some(permit), SessionError::Kafka(_)) = (proven, &error) {
                        permit.failure();
                    }
                    self.remember(&error).await;
                    self.rest(Duration::from_millis(200)).await;
                }
            }
        }
    }

    fn goes_on(&self) -> bool {
        !self.shutdown.has_begun() && *self.mode.borrow() == Mode::Kafka
    }

    async fn rest(&self, pause: Duration) {
        tokio::select! {
            () = self.shutdown.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    /// What concerns single shards is kept where operators look.
    async fn remember(&mut self, error: &SessionError) {
        let reason = error.to_string();
        let shards: Vec<ShardId> = match error {
            // What was refused was a batch, perhaps: the next session makes smaller ones.
            SessionError::TooLarge { .. } if self.takes_less().await => return,
            SessionError::TooLarge { shard, .. } => {
                self.refused.insert(*shard, Instant::now() + REFUSED_REST);
                vec![*shard]
            }
            SessionError::Kafka(KafkaError::Topic { .. } | KafkaError::Refused { .. }) => {
                self.held.borrow().now().into_iter().collect()
            }
            _ => return,
        };
        shards.iter().for_each(|shard| metrics::halted(*shard, true));
        let verdicts: Vec<_> = shards.into_iter().map(|shard| (shard, Some(reason.clone()))).collect();
        tracing::error!(shards = verdicts.len(), reason, "the relay halts these shards");
        if let Err(error) = marks::note(&self.pool, &verdicts).await {
            tracing::debug!(%error, "why shards are halted was not kept");
        }
    }

    /// One producer's life. `proven` is settled once Kafka has answered.
    async fn session(&mut self, proven: &mut Option<docket_platform::breaker::Permit>) -> Result<(), SessionError> {
        self.message_bytes = self.survey(Missing::Make).await?;
        let mut session = Session::begin(&self.kafka, &self.key, self.message_bytes)?;
        let worked = self.work(&mut session, proven).await;
        if worked.is_ok() {
            self.flush(&mut session).await;
        }
        session.end();
        worked
    }

    /// Whether topics take only smaller messages than when the session began.
    async fn takes_less(&mut self) -> bool {
        let before = self.message_bytes;
        self.survey(Missing::Refuse).await.is_ok_and(|message_bytes| message_bytes < before)
    }

    /// Looks which topics are fit; the largest message that all of them take.
    async fn survey(&mut self, missing: Missing) -> Result<u64, KafkaError> {
        let topics = topics::survey(&self.kafka, self.installation.shards, missing).await?;
        self.unfit = topics.iter().filter_map(|topic| Some((topic.category, topic.unfit()?.to_string()))).collect();
        Ok(topics.iter().map(|topic| topic.message_bytes).min().unwrap_or(u64::MAX))
    }

    async fn work(
        &mut self,
        session: &mut Session,
        proven: &mut Option<docket_platform::breaker::Permit>,
    ) -> Result<(), SessionError> {
        let mut compared: BTreeMap<ShardId, Instant> = BTreeMap::new();
        let mut marked = Instant::now();
        let mut more = true;
        while self.goes_on() {
            let held = self.held.borrow_and_update().now();
            session.keep(&held);
            compared.retain(|shard, _| held.contains(shard));
            let due: Vec<ShardId> = held
                .iter()
                .filter(|shard| compared.get(shard).is_none_or(|at| at.elapsed() >= COMPARE))
                .copied()
                .collect();
            // One question for all, once any is due: each costs the same.
            if !due.is_empty() {
                self.compare(session, &held).await?;
                if let Some(permit) = proven.take() {
                    permit.success();
                }
                let now = Instant::now();
                compared = held.iter().map(|shard| (*shard, now)).collect();
                more = true;
            }
            if more && session.room() >= PAGE {
                more = self.feed(session).await?;
            }
            session.acknowledge()?;
            let steps = session.steps();
            if !steps.is_empty() && (marked.elapsed() >= MARK_PACE || session.is_idle()) {
                self.mark(session, &steps).await?;
                marked = Instant::now();
            }
            metrics::get().in_flight.set((super::session::IN_FLIGHT - session.room()) as i64);
            if more && session.room() >= PAGE {
                continue;
            }
            let nap = if session.steps().is_empty() { POLL } else { MARK_PACE };
            tokio::select! {
                biased;
                taken = session.acknowledged(), if !session.is_idle() => taken?,
                () = self.reader.news(nap) => more = true,
                Ok(()) = self.held.changed() => {}
                Ok(()) = self.mode.changed() => {}
                () = self.shutdown.cancelled() => {}
            }
        }
        Ok(())
    }

    /// Reads a page of the journal and sends it; true: there may be more at once.
    async fn feed(&mut self, session: &mut Session) -> Result<bool, SessionError> {
        let places = session.places();
        let events = self.reader.read(&places, PAGE).await?;
        if events.is_empty() {
            return Ok(false);
        }
        faults::step("relay.before_produce");
        for (index, event) in events.iter().enumerate() {
            while !session.send(event)? {
                // The queue's bytes are full: whatever is acknowledged makes room.
                session.acknowledged().await?;
            }
            if index % STRIDE == STRIDE - 1 {
                tokio::task::yield_now().await;
                session.acknowledge()?;
            }
        }
        metrics::get().sent.inc_by(events.len() as u64);
        faults::step("relay.after_produce");
        if faults::has(Bug::MarkBeforeAcknowledgement) {
            for flight in session.flights.values_mut() {
                flight.acked = flight.sent;
            }
        }
        // A shard that filled its share may have more.
        Ok(events.len() >= (PAGE / places.len().max(1)).max(1))
    }

    async fn mark(&self, session: &mut Session, steps: &[Step]) -> Result<(), SessionError> {
        faults::step("relay.before_mark");
        if !marks::advance(&self.pool, steps).await? {
            return Err(SessionError::Overtaken);
        }
        faults::step("relay.after_mark");
        session.marked(steps);
        Ok(())
    }

    /// Compares the ends of the topics with the journal, the topics first: what they have must be journalled by then.
    async fn compare(&mut self, session: &mut Session, held: &BTreeSet<ShardId>) -> Result<(), SessionError> {
        if !self.unfit.is_empty() {
            self.survey(Missing::Make).await?;
        }
        let all: Vec<ShardId> = held.iter().copied().collect();
        marks::make(&self.pool, &all).await?;
        let (unfit, shards): (Vec<ShardId>, Vec<ShardId>) =
            all.into_iter().partition(|shard| self.unfit.contains_key(&shard.category));
        let seen = look::<SessionError>(&self.pool, &self.probe, &shards).await?;
        let now = Instant::now();
        self.refused.retain(|_, until| now < *until);
        let mut verdicts = Vec::new();
        for shard in unfit {
            session.flights.remove(&shard);
            verdicts.push((shard, self.unfit.get(&shard.category).cloned()));
        }
        for (shard, (_, sight)) in seen {
            let reason = self.settle(session, shard, sight).await?;
            if reason.is_some() || !self.refused.contains_key(&shard) {
                verdicts.push((shard, reason));
            }
        }
        verdicts.iter().for_each(|(shard, reason)| metrics::halted(*shard, reason.is_some()));
        marks::note(&self.pool, &verdicts).await?;
        Ok(())
    }

    /// Judges one shard and does what follows; answers why it is halted, if it is.
    async fn settle(
        &self,
        session: &mut Session,
        shard: ShardId,
        sight: Sight,
    ) -> Result<Option<String>, SessionError> {
        let (mark, running) = (sight.mark, session.flights.get(&shard));
        // What is acknowledged and not marked yet must be there too.
        match judge(Sight { mark: running.map_or(mark, |flight| flight.acked.max(mark)), ..sight }) {
            Judgement::Diverged(divergence) => {
                tracing::error!(%shard, %divergence, "the relay halts a shard: run `docket status --check`");
                session.flights.remove(&shard);
                return Ok(Some(divergence.to_string()));
            }
            Judgement::Lost { .. } if running.is_some() => return Err(SessionError::Lost(shard)),
            Judgement::Lost { has } => {
                tracing::error!(%shard, mark, has, "the topic has lost events: publishing them again");
                if !marks::advance(&self.pool, &[Step { shard, from: mark, to: has }]).await? {
                    return Err(SessionError::Overtaken);
                }
                session.flights.insert(shard, Flight::resume(has, has));
            }
            Judgement::Agree { acked } if running.is_none() && !self.refused.contains_key(&shard) => {
                session.flights.insert(shard, Flight::resume(mark, acked));
            }
            Judgement::Agree { .. } => {}
        }
        Ok(None)
    }

    /// The last acknowledgements and the last marks, before the process ends or the log moves.
    async fn flush(&self, session: &mut Session) {
        let flushed = async {
            while !session.is_idle() {
                session.acknowledged().await?;
            }
            let steps = session.steps();
            if steps.is_empty() { Ok(()) } else { self.mark(session, &steps).await }
        };
        match tokio::time::timeout(FLUSH, flushed).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the last marks were not moved: some events will be sent again"),
            Err(_) => tracing::debug!("not all was acknowledged: some events will be sent again"),
        }
    }
}
