//! Verifies the tokens of requests with keys that it keeps fresh, and the API keys that come in their place.
//!
//! Owns the copy of the keys in memory, and asks the cache of verified tokens before it looks at a signature. It must not load keys
//! for every stranger's token: an unknown key id causes one reload in [`RELOAD_INTERVAL`] at most.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, header, request::Parts};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::api_keys::{self, ApiKeys};
use super::cache::{CacheStats, TokenCache};
use super::keys::Verified;
use super::{Access, AuthError, Claims, Keys, Principal, Receipts, Revocations, load_keys, load_public_keys};
use crate::problem::Problem;
use crate::rate_limit::Charge;
use crate::{clock, ids};

/// The least time between two reloads that unknown key ids cause.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(5);

/// The same while there are no keys at all.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Loads the keys, usually [`load_keys`].
pub type KeyLoader = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Keys, AuthError>> + Send>> + Send + Sync>;

/// Verifies and issues tokens. Put it into the router as `Extension(Arc<Authenticator>)` for [`Principal`] to be
/// extracted.
pub struct Authenticator {
    keys: RwLock<Arc<Keys>>,
    loader: KeyLoader,
    /// When keys were last asked for; held while loading, so that one load serves all who wait.
    asked: tokio::sync::Mutex<Option<Instant>>,
    /// What was verified a moment ago.
    verified: TokenCache,
    /// What was taken away a moment ago.
    revocations: Arc<Revocations>,
    /// Where API keys are looked up; none: none are known.
    api_keys: Option<ApiKeys>,
    /// The keys of receipts, which are published and reloaded beside those of tokens, and verify none.
    receipts: Option<Receipts>,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("keys", &self.keys()).finish_non_exhaustive()
    }
}

impl Authenticator {
    /// Starts without keys: the first token, or [`Authenticator::reload`], loads them.
    pub fn new(loader: KeyLoader) -> Self {
        Self {
            keys: RwLock::default(),
            loader,
            asked: tokio::sync::Mutex::default(),
            verified: TokenCache::new(),
            revocations: Arc::default(),
            api_keys: None,
            receipts: None,
        }
    }

    /// Loads keys from the table `auth.signing_key`, and those of receipts, and looks API keys up in the same database.
    pub fn from_pool(pool: PgPool) -> Self {
        let keys = pool.clone();
        Self::new(Box::new(move || {
            let pool = pool.clone();
            Box::pin(async move { load_keys(&pool).await })
        }))
        .with_receipts(Receipts::from_pool(keys.clone()))
        .with_api_keys(keys)
    }

    /// The same with the public halves alone: verifies, and never signs.
    pub fn public_from_pool(pool: PgPool) -> Self {
        let keys = pool.clone();
        Self::new(Box::new(move || {
            let pool = pool.clone();
            Box::pin(async move { load_public_keys(&pool).await })
        }))
        .with_receipts(Receipts::from_pool(keys.clone()))
        .with_api_keys(keys)
    }

    /// Looks API keys up through `pool`, of the writer's or the reader's role.
    #[must_use]
    pub fn with_api_keys(self, pool: PgPool) -> Self {
        Self { api_keys: Some(ApiKeys::new(pool)), ..self }
    }

    /// Publishes and reloads the keys of receipts too.
    #[must_use]
    pub fn with_receipts(self, receipts: Receipts) -> Self {
        Self { receipts: Some(receipts), ..self }
    }

    /// Who signs and verifies receipts, where the keys come from a database.
    pub fn receipts(&self) -> Option<&Receipts> {
        self.receipts.as_ref()
    }

    /// Has these keys and no others.
    pub fn fixed(keys: Keys) -> Self {
        let loaded = keys.clone();
        let authenticator = Self::new(Box::new(move || {
            let keys = loaded.clone();
            Box::pin(async move { Ok(keys) })
        }));
        *authenticator.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        authenticator
    }

    fn keys(&self) -> Arc<Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Loads the keys now. Call it from time to time, so that new keys are known before they sign and retired ones are forgotten.
    ///
    /// # Errors
    /// When they cannot be loaded; those known stay in use.
    pub async fn reload(&self) -> Result<(), AuthError> {
        let mut asked = self.asked.lock().await;
        *asked = Some(Instant::now());
        self.verified.tidy().await;
        self.load().await?;
        match &self.receipts {
            Some(receipts) => receipts.reload().await,
            None => Ok(()),
        }
    }

    async fn load(&self) -> Result<(), AuthError> {
        let keys = (self.loader)().await?;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }

    /// What was taken away; whoever follows the journal feeds it.
    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// Whom a token or an API key speaks for, if it is ours, valid `now`, and nothing that it stands on was taken away.
    ///
    /// # Errors
    /// When it is not, or when its key is unknown and the keys cannot be loaded.
    pub async fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Access, AuthError> {
        if token.starts_with(api_keys::PREFIX) {
            return self.verify_api_key(token, now).await;
        }
        let access = self.claims(token, now).await?.access();
        if self.revocations.ends(&access) {
            return Err(AuthError::Revoked);
        }
        // What was taken away stays so; of the rest nothing is known now.
        if self.revocations.is_stale() {
            return Err(AuthError::Stale);
        }
        Ok(access)
    }

    async fn verify_api_key(&self, secret: &str, now: DateTime<Utc>) -> Result<Access, AuthError> {
        let api_keys = self.api_keys.as_ref().ok_or(AuthError::UnknownApiKey)?;
        let access = api_keys.access(secret, now).await?;
        if self.revocations.ends(&access) {
            return Err(AuthError::UnknownApiKey);
        }
        if self.revocations.is_stale() {
            return Err(AuthError::Stale);
        }
        api_keys.note_use(&access.principal, now);
        Ok(access)
    }

    /// Writes down now and then, and at the end, which API keys were used.
    pub async fn keep_key_uses(&self, stop: CancellationToken) {
        if let Some(api_keys) = &self.api_keys {
            api_keys.keep_uses(stop).await;
        }
    }

    async fn claims(&self, token: &str, now: DateTime<Utc>) -> Result<Claims, AuthError> {
        if let Some(claims) = self.verified.get(token, &self.keys(), now).await {
            return Ok(claims);
        }
        let verified = self.verify_signed(token, now).await?;
        let claims = verified.claims.clone();
        self.verified.insert(token, verified, now).await;
        Ok(claims)
    }

    /// How the cache of verified tokens does.
    pub async fn cache_stats(&self) -> CacheStats {
        self.verified.stats().await
    }

    async fn verify_signed(&self, token: &str, now: DateTime<Utc>) -> Result<Verified, AuthError> {
        let known = self.keys();
        match known.verify_signed(token, now) {
            Err(AuthError::UnknownKey) => {}
            result => return result,
        }
        let mut asked = self.asked.lock().await;
        // Somebody else may have loaded them while we waited.
        let replaced = !Arc::ptr_eq(&known, &self.keys());
        // Without any key nobody's token can be judged: that is our outage, and soon tried again.
        let interval = if known.is_empty() { RETRY_INTERVAL } else { RELOAD_INTERVAL };
        let rested = asked.is_none_or(|at| at.elapsed() >= interval);
        if !replaced && rested {
            let loaded = self.load().await;
            *asked = Some(Instant::now());
            loaded?;
        } else if !replaced && known.is_empty() {
            return Err(AuthError::NoKeys);
        }
        drop(asked);
        self.keys().verify_signed(token, now)
    }

    /// A token for `access`, valid from `now` for `lifetime`, and what it says.
    ///
    /// # Errors
    /// When no key may sign.
    pub async fn issue(
        &self,
        access: impl Into<Access>,
        now: DateTime<Utc>,
        lifetime: Duration,
    ) -> Result<(String, Claims), AuthError> {
        if self.keys().is_empty() {
            self.reload().await?;
        }
        let claims = Claims::new(&access.into(), ids::new_id(), now, lifetime);
        Ok((self.keys().issue(&claims)?, claims))
    }

    /// The public keys, those of receipts behind those of tokens, as a JWK Set, for `/.well-known/jwks.json`.
    ///
    /// # Errors
    /// When there are none yet and they cannot be loaded.
    pub async fn jwks(&self) -> Result<Value, AuthError> {
        if self.keys().is_empty() {
            self.reload().await?;
        }
        let mut set = self.keys().jwks(clock::now());
        if let (Some(receipts), Some(keys)) = (&self.receipts, set["keys"].as_array_mut()) {
            keys.extend(receipts.keys().await?.jwks());
        }
        Ok(set)
    }

    /// Whom the `Authorization` header speaks for.
    ///
    /// # Errors
    /// When it is missing or its token is not valid.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Access, AuthError> {
        self.verify(bearer(headers)?, clock::now()).await
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, AuthError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().and_then(|value| value.to_str().ok()).ok_or(AuthError::Missing)?;
    if values.next().is_some() {
        return Err(AuthError::Invalid("several Authorization headers"));
    }
    let (scheme, token) = value.split_once(' ').ok_or(AuthError::Missing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(AuthError::Missing) }
}

async fn access(parts: &Parts) -> Result<Access, Problem> {
    let Some(authenticator) = parts.extensions.get::<Arc<Authenticator>>().cloned() else {
        return Err(Problem::internal("the router has no Extension(Arc<Authenticator>)"));
    };
    let access = authenticator.authenticate(&parts.headers).await?;
    if let Some(charge) = parts.extensions.get::<Charge>().cloned() {
        charge.principal(&access.principal).await?;
    }
    Ok(access)
}

/// Access of any kind, also one that is good for nothing but setting up a second factor. For the routes that do that alone.
#[derive(Debug, Clone)]
pub struct Restricted(pub Access);

impl<S: Send + Sync> FromRequestParts<S> for Restricted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        access(parts).await.map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Access {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let access = access(parts).await?;
        if access.restricted { Err(AuthError::Restricted.into()) } else { Ok(access) }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Access::from_request_parts(parts, state).await.map(|access| access.principal)
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::tests::{claims, key, now};
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn counting(keys: Keys, fails: bool) -> (Authenticator, Arc<AtomicUsize>) {
        let loads = Arc::new(AtomicUsize::new(0));
        let counted = loads.clone();
        let loader: KeyLoader = Box::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            let keys = keys.clone();
            Box::pin(async move { if fails { Err(sqlx::Error::PoolTimedOut.into()) } else { Ok(keys) } })
        });
        (Authenticator::new(loader), loads)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_token_loads_the_keys() {
        let keys = Keys::new(vec![key()]);
        let token = keys.issue(&claims()).expect("signed");
        let (authenticator, loads) = counting(keys, false);
        assert!(authenticator.verify(&token, now()).await.is_ok());
        assert!(authenticator.verify(&token, now()).await.is_ok());
        assert_eq!(loads.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn unknown_key_ids_cause_one_reload_in_five_seconds() {
        let stranger = Keys::new(vec![key()]).issue(&claims()).expect("signed");
        let (authenticator, loads) = counting(Keys::new(vec![key()]), false);
        for _ in 0..10 {
            assert!(matches!(authenticator.verify(&stranger, now()).await, Err(AuthError::UnknownKey)));
        }
        assert_eq!(loads.load(Ordering::SeqCst), 1);
        tokio::time::advance(RELOAD_INTERVAL).await;
        assert!(authenticator.verify(&stranger, now()).await.is_err());
        assert_eq!(loads.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_while_no_key_is_known_is_not_the_clients_fault() {
        let token = Keys::new(vec![key()]).issue(&claims()).expect("signed");
        let (authenticator, loads) = counting(Keys::default(), true);
        for expected in [1, 1, 2] {
            let error = authenticator.verify(&token, now()).await.expect_err("cannot load");
            assert_eq!(Problem::from(error).status(), 503);
            assert_eq!(loads.load(Ordering::SeqCst), expected);
            tokio::time::advance(RETRY_INTERVAL / 2).await;
        }
    }

    #[test]
    fn only_one_bearer_token_is_taken() {
        let mut headers = HeaderMap::new();
        assert!(matches!(bearer(&headers), Err(AuthError::Missing)));
        headers.insert(header::AUTHORIZATION, "Basic abc".parse().expect("a value"));
        assert!(matches!(bearer(&headers), Err(AuthError::Missing)));
        headers.insert(header::AUTHORIZATION, "bearer abc".parse().expect("a value"));
        assert!(matches!(bearer(&headers), Ok("abc")));
        headers.append(header::AUTHORIZATION, "Bearer def".parse().expect("a value"));
        assert!(matches!(bearer(&headers), Err(AuthError::Invalid(_))));
    }
}
