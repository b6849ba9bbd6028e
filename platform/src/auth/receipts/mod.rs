//! Receipts: what an installation signs for others to keep, and everybody can check with the published keys.
//!
//! Owns their form, a JWS in compact serialization (RFC 7515) by Ed25519 (RFC 8037), and the copy of their keys in memory. These keys are a
//! family of their own: they sign and verify nothing but receipts, and no other key does. It must not know what a receipt says.

mod store;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{AuthError, ISSUER, RELOAD_INTERVAL, SigningKey};

pub use store::{
    RECEIPT_KID_PREFIX, ensure_receipt_key, list_receipt_keys, load_receipt_keys, new_receipt_key, rotate_receipt_key,
};

/// `typ` of a receipt.
pub const RECEIPT_TYPE: &str = "docket-receipt+jwt";
/// No receipt of ours is longer, with all who may agree to an outcome in it; what is longer is not looked at.
const LIMIT: usize = 64 * 1024;

/// Why something is no receipt of ours.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// It does not have the form of a receipt.
    #[error("it is no receipt: {0}")]
    Malformed(&'static str),
    /// Another installation signed it, or it is another organisation's.
    #[error("the receipt was not issued here")]
    Foreign,
    /// It is not what was signed, or says what no receipt says.
    #[error("the receipt is not what was signed")]
    Altered,
    /// The keys cannot be loaded.
    #[error(transparent)]
    Keys(#[from] AuthError),
}

/// What is signed: who issued it, for which organisation, and what it says.
#[derive(Serialize, Deserialize)]
struct Signed<T> {
    iss: String,
    tenant: Uuid,
    #[serde(flatten)]
    says: T,
}

/// The keys of receipts.
#[derive(Debug, Clone, Default)]
pub struct ReceiptKeys(Vec<SigningKey>);

impl ReceiptKeys {
    /// A set of keys, in the order in which they began to sign.
    pub fn new(keys: Vec<SigningKey>) -> Self {
        Self(keys)
    }

    /// Signs what `says`, of an outcome of this second since 1970. The same always has the same signature: the key is the newest that had
    /// begun to sign by then, or else the oldest there is.
    ///
    /// # Errors
    /// When there is no key.
    pub fn sign(&self, tenant: Uuid, issued_at: i64, says: &impl Serialize) -> Result<String, AuthError> {
        let time = DateTime::from_timestamp(issued_at, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let key = self.0.iter().rev().find(|key| key.signs_at(time)).or_else(|| self.0.first());
        let key = key.ok_or(AuthError::NoSigningKey)?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(RECEIPT_TYPE.to_owned());
        header.kid = Some(key.kid().to_owned());
        let private = key.encoding().ok_or(AuthError::NoSigningKey)?;
        let signed = Signed { iss: ISSUER.to_owned(), tenant, says };
        jsonwebtoken::encode(&header, &signed, &private).map_err(|_| AuthError::BadKey(key.kid().to_owned()))
    }

    /// What a receipt says, and of which organisation, if one of these keys signed it; whether it still holds is not looked at.
    ///
    /// # Errors
    /// When it is none of ours.
    pub fn verify<T: DeserializeOwned>(&self, receipt: &str) -> Result<(Uuid, T), ReceiptError> {
        if receipt.len() > LIMIT {
            return Err(ReceiptError::Malformed("it is too long"));
        }
        if receipt.split('.').count() != 3 {
            return Err(ReceiptError::Malformed("it does not have three parts"));
        }
        let header = jsonwebtoken::decode_header(receipt).map_err(|_| ReceiptError::Malformed("its header"))?;
        if header.alg != Algorithm::EdDSA {
            return Err(ReceiptError::Malformed("its algorithm"));
        }
        if header.typ.as_deref() != Some(RECEIPT_TYPE) || header.crit.is_some() {
            return Err(ReceiptError::Malformed("its type"));
        }
        let kid = header.kid.ok_or(ReceiptError::Malformed("it names no key"))?;
        // Whatever else the header says of keys (jwk, jku, x5u) is not looked at.
        let key = self.0.iter().find(|key| key.kid() == kid).ok_or(ReceiptError::Foreign)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.required_spec_claims.clear();
        validation.set_issuer(&[ISSUER]);
        // Whether it still holds is judged with the outcome at hand, and by the database's clock.
        validation.validate_exp = false;
        validation.validate_aud = false;
        let decoded = jsonwebtoken::decode::<Signed<T>>(receipt, &key.decoding(), &validation);
        match decoded.map_err(|error| error.into_kind()) {
            Ok(decoded) => Ok((decoded.claims.tenant, decoded.claims.says)),
            Err(ErrorKind::InvalidIssuer) => Err(ReceiptError::Foreign),
            Err(_) => Err(ReceiptError::Altered),
        }
    }

    /// The public halves, as JWKs (RFC 7517).
    pub(super) fn jwks(&self) -> impl Iterator<Item = Value> + '_ {
        self.0.iter().map(SigningKey::jwk)
    }
}

/// Signs and verifies receipts with keys that it keeps fresh. Clones are the same one.
#[derive(Clone)]
pub struct Receipts(Arc<Shared>);

struct Shared {
    /// Where keys are loaded; none: there are no others.
    pool: Option<PgPool>,
    keys: RwLock<Arc<ReceiptKeys>>,
    /// When keys were last asked for; held while loading, so that one load serves all who wait.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

impl fmt::Debug for Receipts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipts").field("keys", &self.known()).finish_non_exhaustive()
    }
}

impl Receipts {
    /// Loads keys from the table `auth.receipt_key`, as any of the roles that serve. The first who needs one loads them.
    pub fn from_pool(pool: PgPool) -> Self {
        Self(Arc::new(Shared { pool: Some(pool), keys: RwLock::default(), asked: tokio::sync::Mutex::default() }))
    }

    /// Has these keys and no others.
    pub fn fixed(keys: ReceiptKeys) -> Self {
        let keys = RwLock::new(Arc::new(keys));
        Self(Arc::new(Shared { pool: None, keys, asked: tokio::sync::Mutex::default() }))
    }

    fn known(&self) -> Arc<ReceiptKeys> {
        self.0.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys as they are known. Ask for them before a transaction begins: the first time they are loaded over a connection of their own.
    ///
    /// # Errors
    /// When none are known yet and they cannot be loaded.
    pub async fn keys(&self) -> Result<Arc<ReceiptKeys>, AuthError> {
        let known = self.known();
        if !known.0.is_empty() {
            return Ok(known);
        }
        let mut asked = self.0.asked.lock().await;
        // Somebody else may have loaded them while we waited.
        if self.known().0.is_empty() {
            self.load().await?;
            *asked = Some(Instant::now());
        }
        Ok(self.known())
    }

    /// Loads the keys now.
    ///
    /// # Errors
    /// When they cannot be loaded; those known stay in use.
    pub async fn reload(&self) -> Result<(), AuthError> {
        let mut asked = self.0.asked.lock().await;
        *asked = Some(Instant::now());
        self.load().await
    }

    /// Loads the keys from time to time until `stop`, for processes that do so for no other keys.
    pub async fn watch(self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.reload().await {
                tracing::warn!(%error, "the keys of receipts cannot be loaded; those known stay in use");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RELOAD_INTERVAL) => {}
            }
        }
    }

    async fn load(&self) -> Result<(), AuthError> {
        let Some(pool) = &self.0.pool else { return Ok(()) };
        let keys = load_receipt_keys(pool).await?;
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }

    /// What a receipt says, and of which organisation; see [`ReceiptKeys::verify`]. A key that is not known yet is looked for, once in
    /// [`RELOAD_INTERVAL`] at most.
    ///
    /// # Errors
    /// When it is none of ours, or the keys cannot be loaded.
    pub async fn verify<T: DeserializeOwned>(&self, receipt: &str) -> Result<(Uuid, T), ReceiptError> {
        let known = self.keys().await?;
        match known.verify(receipt) {
            Err(ReceiptError::Foreign) => {}
            result => return result,
        }
        let mut asked = self.0.asked.lock().await;
        if Arc::ptr_eq(&known, &self.known()) && asked.is_none_or(|at| at.elapsed() >= RELOAD_INTERVAL) {
            *asked = Some(Instant::now());
            self.load().await?;
        }
        drop(asked);
        self.known().verify(receipt)
    }
}

#[cfg(test)]
mod tests;
