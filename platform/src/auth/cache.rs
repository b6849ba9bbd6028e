//! Verified tokens, so that a signature is not computed again at every request.
//!
//! Owns the entries and their figures. It must not hold a token, only its hash; and it never vouches for longer than the token and the
//! key that signed it do: both are looked at again at every hit.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use moka::Expiry;
use moka::future::Cache;
use prometheus::{IntCounter, IntGauge};
use sha2::{Digest, Sha256};

use super::keys::{TOKEN_LIMIT, Verified, check_times};
use super::{Claims, Keys};
use crate::metrics::{int_counter, int_gauge};

/// Some four megabytes.
const CAPACITY: u64 = 10_000;
/// How long an entry is kept at most; less where its token ends before.
const MAX_AGE: Duration = Duration::from_secs(5 * 60);

static SIZE: LazyLock<IntGauge> =
    LazyLock::new(|| int_gauge("docket_token_cache_entries", "Verified access tokens that are remembered."));
static HITS: LazyLock<IntCounter> =
    LazyLock::new(|| int_counter("docket_token_cache_hits_total", "Access tokens that had been verified before."));
static MISSES: LazyLock<IntCounter> =
    LazyLock::new(|| int_counter("docket_token_cache_misses_total", "Access tokens that had to be verified."));

/// How a cache does since its process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheStats {
    /// Tokens that are remembered.
    pub size: u64,
    /// Tokens that had been verified before.
    pub hits: u64,
    /// Tokens that had to be verified, valid or not.
    pub misses: u64,
}

impl CacheStats {
    /// The share of hits, from 0 to 1; 0 while nobody has asked.
    pub fn hit_rate(self) -> f64 {
        let asked = self.hits + self.misses;
        if asked == 0 { 0.0 } else { self.hits as f64 / asked as f64 }
    }
}

type Id = [u8; 32];

#[derive(Debug, Clone)]
struct Entry {
    verified: Arc<Verified>,
    keep: Duration,
}

/// Forgets an entry when its own time is over.
#[derive(Debug)]
struct Own;

impl Expiry<Id, Entry> for Own {
    fn expire_after_create(&self, _id: &Id, entry: &Entry, _created: Instant) -> Option<Duration> {
        Some(entry.keep)
    }
}

/// The cache of one authenticator.
#[derive(Debug)]
pub(super) struct TokenCache {
    entries: Cache<Id, Entry>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl TokenCache {
    pub(super) fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    fn with_capacity(capacity: u64) -> Self {
        let entries = Cache::builder().max_capacity(capacity).expire_after(Own).build();
        Self { entries, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// What the token says, if it was verified before, is valid `now`, and `keys` still hold the key that signed it.
    pub(super) async fn get(&self, token: &str, keys: &Keys, now: DateTime<Utc>) -> Option<Claims> {
        let claims = self.look(token, keys, now).await;
        let (own, all) = if claims.is_some() { (&self.hits, &HITS) } else { (&self.misses, &MISSES) };
        own.fetch_add(1, Ordering::Relaxed);
        all.inc();
        claims
    }

    async fn look(&self, token: &str, keys: &Keys, now: DateTime<Utc>) -> Option<Claims> {
        // What is longer is no token of ours, and not worth a hash.
        if token.len() > TOKEN_LIMIT {
            return None;
        }
        let id = id(token);
        let Verified { claims, key } = &*self.entries.get(&id).await?.verified;
        if keys.holds(key, now) && check_times(claims, now).is_ok() {
            return Some(claims.clone());
        }
        self.entries.invalidate(&id).await;
        None
    }

    /// Remembers what was verified `now`.
    pub(super) async fn insert(&self, token: &str, verified: Verified, now: DateTime<Utc>) {
        let left = u64::try_from(verified.claims.exp.saturating_sub(now.timestamp())).unwrap_or(0);
        let keep = MAX_AGE.min(Duration::from_secs(left));
        self.entries.insert(id(token), Entry { verified: Arc::new(verified), keep }).await;
    }

    /// Drops what is over, and shows how much there is.
    pub(super) async fn tidy(&self) {
        self.entries.run_pending_tasks().await;
        SIZE.set(i64::try_from(self.entries.entry_count()).unwrap_or(i64::MAX));
    }

    pub(super) async fn stats(&self) -> CacheStats {
        self.tidy().await;
        let count = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        CacheStats { size: self.entries.entry_count(), hits: count(&self.hits), misses: count(&self.misses) }
    }
}

fn id(token: &str) -> Id {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::super::keys::tests::{claims, key, now};
    use super::super::{SigningKey, Validity};
    use super::*;
    use chrono::TimeDelta;
    use uuid::Uuid;

    fn figures(stats: CacheStats) -> (u64, u64, u64) {
        (stats.size, stats.hits, stats.misses)
    }

    /// A cache that has seen one token, with the keys and the token.
    async fn seen() -> (TokenCache, Keys, String) {
        let (cache, keys) = (TokenCache::new(), Keys::new(vec![key()]));
        let token = keys.issue(&claims()).expect("signed");
        assert!(cache.get(&token, &keys, now()).await.is_none());
        cache.insert(&token, keys.verify_signed(&token, now()).expect("valid"), now()).await;
        (cache, keys, token)
    }

    #[tokio::test]
    async fn a_verified_token_is_remembered_by_its_hash() {
        let (cache, keys, token) = seen().await;
        assert_eq!(cache.get(&token, &keys, now()).await, Some(claims()));
        let (_, signature) = token.rsplit_once('.').expect("three parts");
        assert!(cache.get(&format!("{token}x"), &keys, now()).await.is_none());
        assert_eq!(figures(cache.stats().await), (1, 1, 2));
        assert!((cache.stats().await.hit_rate() - 1.0 / 3.0).abs() < 1e-9);
        assert!(!format!("{cache:?} {:?}", cache.entries.iter().collect::<Vec<_>>()).contains(signature));
    }

    #[tokio::test]
    async fn an_entry_ends_with_its_token() {
        let (cache, keys, token) = seen().await;
        assert!(cache.get(&token, &keys, now() + TimeDelta::seconds(599)).await.is_some());
        assert!(cache.get(&token, &keys, now() + TimeDelta::seconds(600)).await.is_none());
        assert_eq!(cache.stats().await.size, 0);
    }

    #[tokio::test]
    async fn an_entry_is_kept_no_longer_than_its_token_has_left() {
        let (cache, keys) = (TokenCache::new(), Keys::new(vec![key()]));
        for (left, kept) in [(1, 1), (299, 299), (600, 300)] {
            let verified = keys.verify_signed(&keys.issue(&claims()).expect("signed"), now()).expect("valid");
            let id = left.to_string();
            cache.insert(&id, verified, now() + TimeDelta::seconds(600 - left)).await;
            let entry = cache.entries.get(&super::id(&id)).await.expect("there");
            assert_eq!(entry.keep, Duration::from_secs(kept));
        }
    }

    #[tokio::test]
    async fn an_entry_dies_with_its_key() {
        let (cache, keys, token) = seen().await;
        let jwks = keys.jwks(now());
        let kid = jwks["keys"][0]["kid"].as_str().expect("an id");
        let namesake = SigningKey::from_der(kid, &key().public_der(), None, Validity::default()).expect("a key");
        assert!(cache.get(&token, &Keys::new(vec![namesake]), now()).await.is_none());
        assert_eq!(cache.stats().await.size, 0);
    }

    #[tokio::test]
    async fn no_more_is_kept_than_there_is_room_for() {
        let (cache, keys) = (TokenCache::with_capacity(10), Keys::new(vec![key()]));
        for n in 0..200 {
            let token = keys.issue(&Claims { jti: Uuid::from_u128(n), ..claims() }).expect("signed");
            cache.insert(&token, keys.verify_signed(&token, now()).expect("valid"), now()).await;
        }
        assert!(cache.stats().await.size <= 10, "{:?}", cache.stats().await);
    }
}
