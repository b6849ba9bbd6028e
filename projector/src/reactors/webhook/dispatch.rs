//! One attempt after another, many at a time.
//!
//! Owns how many are under way: in all, to each endpoint, and to each organisation. An endpoint begins with a few at a time, gets more
//! with every success and one again after a failure, so that one that hangs holds few places, and an organisation never holds more than
//! a part of all.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use docket_domain::webhook::{self as decisions, stream_of};
use docket_events::{Category, StreamId, identity::EndpointEnd};
use docket_log::{
    Bell, CommandContext, ExecuteError, Outcome, Vault,
    faults::{self, Bug},
};
use docket_platform::{Shutdown, auth::Receipts, clock, ids};
use sqlx::PgPool;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
    time::Instant,
};
use uuid::Uuid;

use super::{
    Persistence, Webhooks,
    attempt::{self, Came, Ready},
    prepare::{Prepared, Preparer, sorted},
    queue::{self, FIRST_ROOM, Failing, Head, Lane, Left, Settled, Verdict},
};
use crate::metrics;

/// Attempts under way at once, in one process.
const AT_ONCE: usize = 512;
/// Of these, for one organisation.
const OF_ONE_TENANT: i32 = 128;
/// The most for one endpoint.
const MOST_ROOM: i32 = 64;
/// Deliveries that are prepared together.
const PREPARED: usize = 64;
/// Attempts that are settled together.
const SETTLED: usize = 256;
/// The longest sleep without a look: retries become due without a bell.
const POLL: Duration = Duration::from_secs(1);
/// For how long attempts under way may go on when the process ends.
const LAST_CALL: Duration = Duration::from_secs(10);
/// The pause before what could not be noted is noted again.
const PAUSE: Duration = Duration::from_millis(500);
/// The pause before what could not be prepared is tried again.
const LATER: Duration = Duration::from_secs(5);

/// Delivers what was noted.
#[derive(Clone)]
pub(crate) struct Dispatch {
    pool: PgPool,
    preparer: Preparer,
    webhooks: Webhooks,
    persistence: Arc<Persistence>,
    rooms: Arc<Mutex<Rooms>>,
    /// Something was settled: there is room, and there may be a next one.
    again: Arc<Notify>,
}

/// How many attempts are under way, and how many there may be.
#[derive(Debug, Default)]
struct Rooms {
    endpoints: HashMap<Uuid, Room>,
    tenants: HashMap<Uuid, i32>,
}

#[derive(Debug)]
struct Room {
    tenant: Uuid,
    under_way: i32,
    allowed: i32,
}

/// Endpoints of which it is remembered how much they take though nothing is under way.
const REMEMBERED: usize = 10_000;

impl Rooms {
    /// How many more there may be.
    fn left(&self) -> Left {
        let of_endpoint = |(id, room): (&Uuid, &Room)| (*id, (room.allowed - room.under_way).max(0));
        let of_tenant = |(id, under_way): (&Uuid, &i32)| (*id, (OF_ONE_TENANT - under_way).max(0));
        Left {
            endpoints: self.endpoints.iter().map(of_endpoint).collect(),
            tenants: self.tenants.iter().map(of_tenant).collect(),
            any_tenant: OF_ONE_TENANT,
        }
    }

    fn begin(&mut self, endpoint: Uuid, tenant: Uuid) {
        if self.endpoints.len() >= REMEMBERED {
            self.endpoints.retain(|_, room| room.under_way > 0);
        }
        let room = self.endpoints.entry(endpoint).or_insert(Room { tenant, under_way: 0, allowed: FIRST_ROOM });
        room.under_way += 1;
        *self.tenants.entry(tenant).or_default() += 1;
    }

    fn end(&mut self, endpoint: Uuid, success: Option<bool>) {
        let Some(room) = self.endpoints.get_mut(&endpoint) else { return };
        room.under_way -= 1;
        room.allowed = match success {
            Some(true) => (room.allowed + 1).min(MOST_ROOM),
            // As TCP does (RFC 5681): one that fails now and then keeps most of it, one that fails always soon has one at a time.
            Some(false) => (room.allowed / 2).max(1),
            None => room.allowed,
        };
        if let Some(under_way) = self.tenants.get_mut(&room.tenant) {
            *under_way -= 1;
            if *under_way <= 0 {
                self.tenants.remove(&room.tenant);
            }
        }
    }
}

impl Dispatch {
    /// Delivers through `webhooks`; `pool` belongs to the projector's role.
    pub(crate) fn new(pool: PgPool, vault: Vault, webhooks: Webhooks, persistence: Persistence) -> Self {
        let url = webhooks.url.clone();
        let receipts = Receipts::from_pool(pool.clone());
        let preparer = Preparer { pool: pool.clone(), vault, receipts, url, timeout: persistence.timeout };
        let (rooms, again) = (Arc::default(), Arc::new(Notify::new()));
        Self { pool, preparer, webhooks, persistence: Arc::new(persistence), rooms, again }
    }

    /// Delivers until the shutdown. Woken by `bell` when deliveries were noted in this process.
    pub(crate) async fn run(self, bell: Bell, shutdown: Shutdown) {
        let (settled, results) = mpsc::channel(2 * AT_ONCE);
        let settling = tokio::spawn(self.clone().settle(results));
        tokio::spawn(self.preparer.receipts.clone().watch(shutdown.token()));
        let mut bell = bell.listen();
        let mut under_way = JoinSet::new();
        while !shutdown.has_begun() {
            while under_way.try_join_next().is_some() {}
            let free = AT_ONCE - under_way.len();
            if free > 0 && self.begin(free, &settled, &mut under_way).await {
                continue;
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.again.notified() => {}
                () = bell.heard(POLL) => {}
            }
        }
        drop(settled);
        let rest = async { while under_way.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_CALL, rest).await.is_err() {
            tracing::warn!("webhooks that were under way will be tried again");
            under_way.abort_all();
            while under_way.join_next().await.is_some() {}
        }
        if let Err(error) = settling.await {
            tracing::error!(%error, "what webhooks came to is not noted");
        }
    }

    /// Begins what is due; whether there may be more at once.
    async fn begin(&self, free: usize, settled: &mpsc::Sender<Settled>, under_way: &mut JoinSet<()>) -> bool {
        let left = self.lock().left();
        let held_until = Instant::now() + self.persistence.claim();
        let claimed = match queue::claim(&self.pool, &left, free.min(PREPARED), self.persistence.claim()).await {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::warn!(%error, "webhooks that are due cannot be looked for");
                tokio::time::sleep(PAUSE).await;
                return false;
            }
        };
        if claimed.is_empty() {
            return false;
        }
        faults::step("webhook.after_claim");
        let (full, empty) = sorted(claimed);
        for lane in empty {
            drop(settled.send(Settled { lane, delivery: None, attempt: None }).await);
        }
        let prepared = match self.preparer.prepare(full).await {
            Ok(prepared) => prepared,
            Err(error) => {
                tracing::warn!(%error, "webhooks cannot be prepared: they are tried again when their claims end");
                tokio::time::sleep(PAUSE).await;
                return false;
            }
        };
        for (lane, head, prepared) in prepared {
            match prepared {
                Prepared::Ready(ready) => {
                    self.lock().begin(lane.endpoint, head.tenant);
                    let (this, settled) = (self.clone(), settled.clone());
                    under_way.spawn(async move { this.attempt(lane, head, ready, settled, held_until).await });
                }
                Prepared::Dead(reason) => {
                    let delivery = Some((head, Verdict::Dead, reason));
                    drop(settled.send(Settled { lane, delivery, attempt: None }).await);
                }
                Prepared::Later(reason) => {
                    let delivery = Some((head, Verdict::Again(LATER), reason.to_owned()));
                    drop(settled.send(Settled { lane, delivery, attempt: None }).await);
                }
            }
        }
        true
    }

    async fn attempt(&self, lane: Lane, head: Head, ready: Ready, settled: mpsc::Sender<Settled>, held_until: Instant) {
        if faults::has(Bug::SettleBeforeSend) {
            let delivery = Some((head.clone(), Verdict::Delivered, String::new()));
            drop(settled.send(Settled { lane, delivery, attempt: None }).await);
        }
        faults::step("webhook.before_send");
        if Instant::now() >= held_until {
            // This process stood still: somebody else has it, and what comes after it, in hand.
            self.lock().end(lane.endpoint, None);
            return;
        }
        let (came, words, attempt) = attempt::make(&self.webhooks.outgoing, ready).await;
        faults::step("webhook.after_send");
        metrics::get().webhook_seconds.observe(attempt.duration.as_secs_f64());
        if came == Came::Gone && !head.callback {
            // Before it is noted that the delivery is given up: a process that dies in between finds out again.
            self.disable(head.tenant, lane.endpoint, EndpointEnd::Gone, None).await;
        }
        let [chance] = ids::random_bytes::<1>();
        let verdict = match came {
            Came::Taken => Verdict::Delivered,
            Came::Refused(asked) => {
                self.persistence.pause(head.attempt, chance, asked).map_or(Verdict::Dead, Verdict::Again)
            }
            Came::Never | Came::Gone => Verdict::Dead,
        };
        let label = match verdict {
            Verdict::Delivered => "done",
            Verdict::Again(_) => "failed",
            Verdict::Dead => "dead",
        };
        metrics::get().deliveries.with_label_values(&["webhooks", label]).inc();
        self.lock().end(lane.endpoint, Some(came == Came::Taken));
        let delivery = Some((head, verdict, words));
        drop(settled.send(Settled { lane, delivery, attempt: Some(attempt) }).await);
    }

    /// Notes what attempts came to, as many together as there are.
    async fn settle(self, mut results: mpsc::Receiver<Settled>) {
        let mut batch = Vec::with_capacity(SETTLED);
        while results.recv_many(&mut batch, SETTLED).await > 0 {
            match queue::settle(&self.pool, &batch).await {
                Ok(failing) => {
                    faults::step("webhook.after_settle");
                    self.again.notify_one();
                    for failing in failing {
                        self.judge(&batch, &failing).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, count = batch.len(), "what webhooks came to is not noted: they are tried again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
            batch.clear();
        }
    }

    /// Disables an endpoint that has been failing for too long.
    async fn judge(&self, batch: &[Settled], failing: &Failing) {
        if !queue::is_beyond(failing, clock::now(), &self.persistence) {
            return;
        }
        let of = |one: &&Settled| one.lane.endpoint == failing.endpoint;
        let Some((head, ..)) = batch.iter().find(of).and_then(|one| one.delivery.as_ref()) else { return };
        if !head.callback {
            self.disable(head.tenant, failing.endpoint, EndpointEnd::Failing, Some(failing.since)).await;
        }
    }

    /// As any client would: by a command. What fails is tried again with the next attempt that comes to the same.
    async fn disable(
        &self,
        tenant: Uuid,
        endpoint: Uuid,
        reason: EndpointEnd,
        since: Option<chrono::DateTime<chrono::Utc>>,
    ) {
        let stream = StreamId::new(Category::Identity, stream_of(tenant));
        let context = CommandContext { tenant, ..CommandContext::default() };
        let decide = |state: &decisions::Webhooks, _| decisions::disable_endpoint(state, endpoint, reason, since, None);
        let done: Result<Outcome<decisions::Webhooks, _>, ExecuteError> =
            self.webhooks.store.execute::<decisions::Webhooks, _>(&context, stream, decide).await;
        match done {
            Ok(Outcome::Accepted(_)) => tracing::warn!(%endpoint, ?reason, "an endpoint is disabled"),
            // It was removed meanwhile.
            Ok(Outcome::Refused(_)) => {}
            Err(error) => tracing::warn!(%endpoint, %error, "an endpoint cannot be disabled yet"),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(1);
    const TENANT: Uuid = Uuid::from_u128(2);

    fn left(rooms: &Rooms, endpoint: Uuid) -> i32 {
        rooms.left().endpoints.into_iter().find(|(known, _)| *known == endpoint).map_or(FIRST_ROOM, |(_, left)| left)
    }

    #[test]
    fn an_endpoint_that_answers_gets_more_and_one_that_fails_soon_gets_one_at_a_time() {
        let mut rooms = Rooms::default();
        for _ in 0..100 {
            rooms.begin(A, TENANT);
            rooms.end(A, Some(true));
        }
        assert_eq!(left(&rooms, A), MOST_ROOM);
        rooms.begin(A, TENANT);
        assert_eq!(left(&rooms, A), MOST_ROOM - 1);
        rooms.end(A, Some(false));
        assert_eq!(left(&rooms, A), MOST_ROOM / 2);
        for _ in 0..10 {
            rooms.begin(A, TENANT);
            rooms.end(A, Some(false));
        }
        assert_eq!(left(&rooms, A), 1);
    }

    #[test]
    fn an_organisation_has_a_part_of_all_however_many_endpoints_it_has() {
        let mut rooms = Rooms::default();
        for endpoint in 0..OF_ONE_TENANT {
            rooms.begin(Uuid::from_u128(100 + endpoint as u128), TENANT);
        }
        assert_eq!(rooms.left().tenants, [(TENANT, 0)]);
        rooms.begin(A, Uuid::from_u128(3));
        assert!(rooms.left().tenants.contains(&(Uuid::from_u128(3), OF_ONE_TENANT - 1)));
    }
}
