//! Deliveries of webhooks a second, and how long an event takes to its receiver, beside a bare HTTP client that makes the same posts; and
//! both with endpoints that hang.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use chrono::{DateTime, Utc};
use docket_log::CommandContext;
use docket_platform::{clock, db::DbRole, webhook::Secret};
use docket_projector::reactors::{REACTORS, register};
use docket_tests::{
    accept, eventually_within, new_stream, request,
    webhooks::{Endpoint, set_endpoint},
};
use futures_util::{StreamExt, future::try_join_all, stream};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::{
    Size,
    process::{Place, Process},
    report::{Latencies, Report, Target},
};

const ORGANISATIONS: usize = 10;
/// Endpoints of each; one of them can hang.
const ENDPOINTS: usize = 10;
/// Posts that the bare client makes at once.
const AT_ONCE: usize = 64;
/// Events a second where latencies are measured: each is told to all endpoints of its organisation.
const RATE: u32 = 20;
/// How long all deliveries may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// The section.
pub async fn run(docket: &Path, size: Size, report: &mut Report) -> Result<()> {
    let hall = Hall::open(docket).await?;
    let events = size.pick(100, 2_000);
    let whole = hall.rate(events, false).await.context("all endpoints answer")?;
    // Before and after, since machines drift.
    let bare = hall.receiver.last()?;
    let before = bare.rate(&hall.receiver, events * ENDPOINTS).await?;
    let hanging = hall.rate(events, true).await.context("one endpoint in ten hangs")?;
    let after = bare.rate(&hall.receiver, events * ENDPOINTS).await?;
    let client = f64::midpoint(before, after);
    let yardstick = format!("bare client, {AT_ONCE} at once {client:.0}/s");
    let row = "webhooks delivered, 100 endpoints of 10 organisations";
    report.row(row, format!("{whole:.0}/s"), yardstick, whole / client, Target::None);
    let yardstick = format!("none hangs {whole:.0}/s");
    report.row("the same to 90, while 10 hang", format!("{hanging:.0}/s"), yardstick, hanging / whole, Target::None);

    let count = size.pick(3, 30) * RATE as usize;
    let well = hall.latencies(count, false).await?;
    let bare = bare.latencies(&hall.receiver, count * ENDPOINTS).await?;
    let ill = hall.latencies(count, true).await?;
    let deliveries = RATE as usize * ENDPOINTS;
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
        let [well, bare, ill] = [&well, &bare, &ill].map(|latencies| latencies.ms(quantile));
        let row = format!("event to receiver at {deliveries} deliveries/s, {name}");
        report.row(&row, format!("{well:.2} ms"), format!("bare client {bare:.2} ms"), well / bare, Target::None);
        let row = format!("the same while 10 of 100 endpoints hang, {name}");
        report.row(&row, format!("{ill:.2} ms"), format!("none hangs {well:.2} ms"), ill / well, Target::None);
    }
    Ok(())
}

/// An installation with its endpoints, and who listens.
struct Hall<'a> {
    docket: &'a Path,
    place: Place,
    receiver: Receiver,
    /// Ends what tells the projector of new events.
    _announcing: DropGuard,
}

const fn organisation(n: usize) -> Uuid {
    Uuid::from_u128(0xbe_0000 + n as u128)
}

impl<'a> Hall<'a> {
    async fn open(docket: &'a Path) -> Result<Self> {
        let (place, receiver) = (Place::new().await?, Receiver::start().await?);
        let pool = |role| place.database.pool(role, 2, Duration::from_secs(5));
        register(&pool(DbRole::Projector), REACTORS).await?;
        let (writer, secret): (PgPool, _) = (pool(DbRole::Writer), Secret::generate());
        for tenant in (0..ORGANISATIONS).map(organisation) {
            for n in 0..ENDPOINTS {
                let (id, url) = (Uuid::from_u128(tenant.as_u128() << 16 | n as u128), receiver.url(n == 0));
                let endpoint = Endpoint { tenant, id, url, event_types: &["consultation.requested"] };
                set_endpoint(&place.store, &writer, &secret, &endpoint).await?;
            }
        }
        let stop = CancellationToken::new();
        tokio::spawn(place.store.bell().clone().announce(writer, stop.clone()));
        Ok(Self { docket, place, receiver, _announcing: stop.drop_guard() })
    }

    /// One event, of the organisation whose turn it is.
    async fn ask(&self, n: usize) -> Result<()> {
        let context = CommandContext { tenant: organisation(n % ORGANISATIONS), ..CommandContext::default() };
        accept(&self.place.store, &context, new_stream(), request("Deploy release 42?", None)).await.map(drop)
    }

    /// Deliveries a second of a backlog of so many events, from the first that arrives to the last. Those that hang do not count.
    async fn rate(&self, events: usize, some_hang: bool) -> Result<f64> {
        let numbers: Vec<usize> = (0..events).collect();
        for numbers in numbers.chunks(100) {
            try_join_all(numbers.iter().map(|n| self.ask(*n))).await?;
        }
        self.receiver.begin(some_hang);
        let projector = self.place.role(self.docket, "projector").await?;
        let wanted = events * (ENDPOINTS - usize::from(some_hang));
        let arrivals = self.receiver.until(wanted).await?;
        let took = arrivals.last().zip(arrivals.first()).map_or(Duration::ZERO, |(last, first)| last.at - first.at);
        self.end(projector, some_hang).await?;
        Ok(wanted as f64 / took.as_secs_f64())
    }

    /// Ends a projector that has delivered all but what hangs, and forgets that: the next measurement should not meet it.
    async fn end(&self, projector: Process, some_hang: bool) -> Result<()> {
        if !some_hang {
            eventually_within(PATIENCE, "everything is settled", async || {
                let left: bool =
                    sqlx::query_scalar("select exists (select from react.lane)").fetch_one(&self.place.owner).await?;
                Ok((!left).then_some(()))
            })
            .await?;
            return projector.stop().await;
        }
        // In order it would wait for what hangs.
        projector.kill().await?;
        for statement in [
            "delete from react.delivery where state = 'pending'",
            "delete from react.lane",
            "update react.endpoint set failures = 0, open_until = '-infinity'",
        ] {
            sqlx::query(statement).execute(&self.place.owner).await?;
        }
        Ok(())
    }

    /// How long events take to their receivers, one event after the other.
    async fn latencies(&self, events: usize, some_hang: bool) -> Result<Latencies> {
        let projector = self.place.role(self.docket, "projector").await?;
        let of_each = ENDPOINTS - usize::from(some_hang);
        // A process that begins waits for its leases first.
        self.receiver.begin(some_hang);
        for n in 0..ORGANISATIONS {
            self.ask(n).await?;
        }
        self.receiver.until(ORGANISATIONS * of_each).await?;
        self.receiver.begin(some_hang);
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
        for n in 0..events {
            ticks.tick().await;
            self.ask(n).await?;
        }
        let arrivals = self.receiver.until(events * of_each).await?;
        self.end(projector, some_hang).await?;
        Ok(Latencies::new(arrivals.iter().map(|arrival| arrival.after).collect()))
    }
}

/// A post that arrived.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    at: Instant,
    /// How long after what it tells of.
    after: Duration,
}

#[derive(Debug, Default)]
struct Inner {
    arrivals: Mutex<Vec<Arrival>>,
    last: Mutex<Option<Post>>,
    hangs: AtomicBool,
}

/// Who listens.
#[derive(Debug)]
struct Receiver {
    address: SocketAddr,
    inner: Arc<Inner>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When what a post tells of happened.
fn told_of(body: &[u8]) -> Option<DateTime<Utc>> {
    let name = b"\"timestamp\":\"";
    let start = body.windows(name.len()).position(|window| window == name)? + name.len();
    let length = body[start..].iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&body[start..start + length]).ok()?.parse().ok()
}

async fn take(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) {
    let (at, now) = (Instant::now(), clock::now());
    let after = told_of(&body).and_then(|time| (now - time).to_std().ok()).unwrap_or_default();
    lock(&inner.arrivals).push(Arrival { at, after });
    *lock(&inner.last) = Some(Post { headers, body });
}

async fn perhaps_hang(state: State<Arc<Inner>>, headers: HeaderMap, body: Bytes) {
    if !state.hangs.load(Ordering::Relaxed) {
        return take(state, headers, body).await;
    }
    std::future::pending().await
}

impl Receiver {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, inner) = (listener.local_addr()?, Arc::<Inner>::default());
        let router = Router::new().route("/", post(take)).route("/hang", post(perhaps_hang));
        let router = router.with_state(Arc::clone(&inner));
        tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Ok(Self { address, inner })
    }

    fn url(&self, may_hang: bool) -> String {
        format!("http://{}/{}", self.address, if may_hang { "hang" } else { "" })
    }

    /// Forgets what arrived; from now on those that can hang do, or do not.
    fn begin(&self, some_hang: bool) {
        self.inner.hangs.store(some_hang, Ordering::Relaxed);
        lock(&self.inner.arrivals).clear();
    }

    /// Waits for so many posts.
    async fn until(&self, count: usize) -> Result<Vec<Arrival>> {
        eventually_within(PATIENCE, "everything arrives", async || {
            let arrivals = lock(&self.inner.arrivals);
            Ok((arrivals.len() >= count).then(|| arrivals.clone()))
        })
        .await
    }

    /// The last post, to be made again.
    fn last(&self) -> Result<Post> {
        lock(&self.inner.last).clone().context("nothing was delivered")
    }
}

/// A post as Docket makes it.
#[derive(Debug, Clone)]
struct Post {
    headers: HeaderMap,
    body: Bytes,
}

impl Post {
    fn client() -> Result<reqwest::Client> {
        Ok(reqwest::Client::builder().no_proxy().pool_max_idle_per_host(AT_ONCE).build()?)
    }

    async fn send(&self, client: &reqwest::Client, url: &str, body: Bytes) -> Result<()> {
        let status = client.post(url).headers(self.headers.clone()).body(body).send().await?.status();
        ensure!(status.is_success(), "the receiver answered {status}");
        Ok(())
    }

    /// Posts a second, of the same bytes.
    async fn rate(&self, receiver: &Receiver, count: usize) -> Result<f64> {
        let (client, url) = (Self::client()?, receiver.url(false));
        let started = Instant::now();
        let mut posts =
            stream::iter(0..count).map(|_| self.send(&client, &url, self.body.clone())).buffer_unordered(AT_ONCE);
        while let Some(sent) = posts.next().await {
            sent?;
        }
        Ok(count as f64 / started.elapsed().as_secs_f64())
    }

    /// How long posts take to the receiver, sent as Docket sends them: all of one event at once.
    async fn latencies(&self, receiver: &Receiver, count: usize) -> Result<Latencies> {
        let (client, url) = (Self::client()?, receiver.url(false));
        receiver.begin(false);
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
        for _ in 0..count / ENDPOINTS {
            ticks.tick().await;
            let now = clock::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
            let old = told_of(&self.body).context("a post without a time")?;
            let old = old.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
            let body = Bytes::from(String::from_utf8_lossy(&self.body).replace(&old, &now));
            try_join_all((0..ENDPOINTS).map(|_| self.send(&client, &url, body.clone()))).await?;
        }
        let arrivals = receiver.until(count).await?;
        Ok(Latencies::new(arrivals.iter().map(|arrival| arrival.after).collect()))
    }
}
