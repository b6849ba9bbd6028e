//! Rate limits: how much one address, one account and one API key may ask for in a minute, all processes together.
//!
//! Owns the limits, their state in `auth.rate_limit`, and the header fields that tell of them. A
//! quota refills steadily (GCRA). A process takes tokens from the shared row in batches, a sixtieth of the quota or a hundred at most, so
//! that most requests cost no statement; quotas of up to 60 are counted one by one. When the database does not answer in time nobody is
//! turned away: the request itself will say so, and no command waits for this.

mod bucket;
mod fields;
mod guard;
mod settings;

use std::net::IpAddr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use moka::future::Cache;
use prometheus::{IntCounter, IntCounterVec};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use tokio::time::Instant;

use crate::auth::Principal;
use crate::metrics;
use crate::problem::Problem;
use bucket::Bucket;

pub use fields::{RATE_LIMIT, RATE_LIMIT_POLICY};
pub use guard::Charge;
pub use settings::RateLimitArgs;

/// The time that a quota is for.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Processes that hold a part of a quota each must not hold much of it.
const LARGEST_BATCH: u32 = 100;
/// How many clients a process remembers.
const CLIENTS: u64 = 100_000;
/// How long a request waits for its place in the count.
const PATIENCE: Duration = Duration::from_millis(100);
/// The same for a request without a token, where a count that is left out helps whoever guesses.
const PATIENCE_AUTH: Duration = Duration::from_secs(2);
/// How long nothing is counted after the database did not answer.
const REST: Duration = Duration::from_secs(1);

static REFUSED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    metrics::int_counter_vec("docket_rate_limited_total", "Requests that were answered 429, by policy.", &["policy"])
});
static UNCOUNTED: LazyLock<IntCounter> = LazyLock::new(|| {
    metrics::int_counter("docket_rate_limit_failures_total", "Counts that the database did not give in time.")
});

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One address and one route that needs no token.
    Auth,
    /// One address and all other routes.
    Address,
    /// One person.
    Account,
    /// One API key.
    Key,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Address => "address",
            Self::Account => "account",
            Self::Key => "key",
        }
    }

    const fn patience(self) -> Duration {
        match self {
            Self::Auth => PATIENCE_AUTH,
            Self::Address | Self::Account | Self::Key => PATIENCE,
        }
    }
}

/// Where one request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count {
    kind: Kind,
    quota: u32,
    /// What is left.
    remaining: u32,
    /// Until all of it is there again; of a refused request, until one more would be let in.
    reset: Duration,
    refused: bool,
}

impl Count {
    fn problem(self) -> Problem {
        let whom = match self.kind {
            Kind::Auth | Kind::Address => "from this address",
            Kind::Account => "from this account",
            Kind::Key => "by this API key",
        };
        Problem::too_many("rate_limited", self.reset)
            .with_detail(format!("At most {} requests a minute are taken {whom}.", self.quota))
    }
}

/// The limits of a process. Clones are the same.
#[derive(Debug, Clone)]
pub struct Limiter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: PgPool,
    limits: RateLimitArgs,
    open_routes: Vec<String>,
    patience: Option<Duration>,
    buckets: Cache<[u8; 16], Arc<Bucket>>,
    /// Until when nothing is asked, for each kind: a slow count of one must not open the other.
    resting: [Mutex<Option<Instant>>; 4],
}

impl Limiter {
    /// Limits over a pool of the writer or the reader, which nobody else should use: a busy pool would let everybody through.
    /// `open_routes` are those that need no token, as the router names them.
    #[must_use]
    pub fn new(pool: PgPool, limits: RateLimitArgs, open_routes: Vec<String>) -> Self {
        Self::build(pool, limits, open_routes, None)
    }

    /// The same, waiting this long for a count whatever it is of.
    #[must_use]
    pub fn patient(pool: PgPool, limits: RateLimitArgs, open_routes: Vec<String>, patience: Duration) -> Self {
        Self::build(pool, limits, open_routes, Some(patience))
    }

    fn build(pool: PgPool, limits: RateLimitArgs, open_routes: Vec<String>, patience: Option<Duration>) -> Self {
        let buckets = Cache::builder().max_capacity(CLIENTS).time_to_idle(WINDOW).build();
        Self(Arc::new(Inner { pool, limits, open_routes, patience, buckets, resting: Default::default() }))
    }

    /// Counts something that `principal` asks for outside of a request, as in a WebSocket.
    ///
    /// # Errors
    /// When it is too much.
    pub async fn admit(&self, principal: &Principal) -> Result<(), Problem> {
        match self.count(Self::kind_of(principal), principal.id.as_bytes()).await {
            Some(count) if count.refused => Err(count.problem()),
            Some(_) | None => Ok(()),
        }
    }

    const fn kind_of(principal: &Principal) -> Kind {
        if principal.scopes.is_some() { Kind::Key } else { Kind::Account }
    }

    async fn count_address(&self, address: Option<IpAddr>) -> Option<Count> {
        self.count(Kind::Address, address_text(address).as_bytes()).await
    }

    /// Each route is counted for itself: who floods logins does not keep the others from asking for a new password.
    async fn count_open(&self, route: &str, address: Option<IpAddr>) -> Option<Count> {
        self.count(Kind::Auth, format!("{route} {}", address_text(address)).as_bytes()).await
    }

    /// Takes one token; none: there is no limit, or nothing is known of it.
    async fn count(&self, kind: Kind, subject: &[u8]) -> Option<Count> {
        let Inner { pool, limits, patience, buckets, .. } = &*self.0;
        let quota = limits.quota(kind);
        if quota == 0 {
            return None;
        }
        let id = id(kind, subject);
        let bucket = buckets.get_with(id, async { Arc::default() }).await;
        if let Some(count) = bucket.take(kind, quota) {
            return Some(count);
        }
        if self.rests(kind) {
            return None;
        }
        let asked = bucket.ask(pool, &id, kind, quota);
        match tokio::time::timeout(patience.unwrap_or(kind.patience()), asked).await {
            Ok(Ok(count)) => return Some(count),
            Ok(Err(error)) => tracing::warn!(%error, policy = kind.name(), "requests are not counted for a moment"),
            Err(_) => tracing::warn!(policy = kind.name(), "requests are not counted for a moment: too slow"),
        }
        UNCOUNTED.inc();
        *self.resting(kind) = Some(Instant::now() + REST);
        None
    }

    fn rests(&self, kind: Kind) -> bool {
        self.resting(kind).is_some_and(|until| Instant::now() < until)
    }

    fn resting(&self, kind: Kind) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0.resting[kind as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn address_text(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "nowhere".to_owned(), |address| address.to_string())
}

/// Hashed, so that rows are small and name nobody at a glance.
fn id(kind: Kind, subject: &[u8]) -> [u8; 16] {
    let hash = Sha256::new().chain_update(kind.name()).chain_update([0]).chain_update(subject).finalize();
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    id
}

/// Forgets clients whose whole quota is there again, and says how many; `connection` belongs to the writer's role.
///
/// # Errors
/// When the database does not answer.
pub async fn forget_idle(connection: &mut sqlx::PgConnection) -> Result<u64, sqlx::Error> {
    let done = sqlx::query("delete from auth.rate_limit where full_at < clock_timestamp()").execute(connection).await?;
    Ok(done.rows_affected())
}
