//! Standard Webhooks: how a request is signed, and how its receiver checks that.
//!
//! Owns the form of a secret and the signature of version `v1`: HMAC-SHA256 over `id.timestamp.body`, in base64
//! (standardwebhooks.com, the specification's sections "Signature scheme" and "Webhook headers").

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;

use crate::ids;

/// The header with the delivery's id.
pub const ID: &str = "webhook-id";
/// The header with the time of the attempt, in whole seconds.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header with one or more signatures.
pub const SIGNATURE: &str = "webhook-signature";

/// What every secret begins with.
const PREFIX: &str = "whsec_";
/// How many bytes a secret may have.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// How far the clocks of sender and receiver may differ, in seconds.
const TOLERANCE: i64 = 5 * 60;
const VERSION: &str = "v1,";

/// A secret that signs: 24 to 64 bytes. It is never shown but on purpose.
#[derive(Clone)]
pub struct Secret(SecretSlice<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What is no secret: the rest of a sentence that begins with the field's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be `whsec_` and the base64 of 24 to 64 random bytes")]
pub struct NoSecret;

/// Why a request is not to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// Its time is no number, or too far from the present.
    #[error("the timestamp is not of the last five minutes")]
    Timestamp,
    /// None of its signatures fits.
    #[error("no signature fits")]
    Signature,
}

impl Secret {
    /// A new one of 32 bytes.
    #[must_use]
    pub fn generate() -> Self {
        Self(ids::random_bytes::<32>().to_vec().into())
    }

    /// One from its bytes.
    ///
    /// # Errors
    /// [`NoSecret`] when they are too few, or too many.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, NoSecret> {
        if BYTES.contains(&bytes.len()) { Ok(Self(bytes.into())) } else { Err(NoSecret) }
    }

    /// One as it is written.
    ///
    /// # Errors
    /// [`NoSecret`] when it has another form, or another length.
    pub fn parse(text: &str) -> Result<Self, NoSecret> {
        let text = text.strip_prefix(PREFIX).ok_or(NoSecret)?;
        Self::from_bytes(STANDARD.decode(text).map_err(|_| NoSecret)?)
    }

    /// As it is written, to be shown to whom it belongs.
    #[must_use]
    pub fn expose(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(self.bytes()))
    }

    /// Its bytes, to be kept.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.expose_secret()
    }

    fn mac(&self, id: &str, timestamp: i64, body: &[u8]) -> Hmac<Sha256> {
        // A key of HMAC may have any length.
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.bytes())
            .unwrap_or_else(|_| unreachable!("a key of HMAC may have any length"));
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        mac
    }

    /// The signature of one attempt.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        format!("{VERSION}{}", STANDARD.encode(self.mac(id, timestamp, body).finalize().into_bytes()))
    }

    /// Whether `signature`, the header with all of them, holds one of this secret over what was received. In constant time.
    ///
    /// # Errors
    /// See [`Unverified`].
    pub fn verify(
        &self,
        (id, timestamp, signature): (&str, &str, &str),
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(), Unverified> {
        let timestamp: i64 = timestamp.parse().map_err(|_| Unverified::Timestamp)?;
        if (now.timestamp() - timestamp).abs() > TOLERANCE {
            return Err(Unverified::Timestamp);
        }
        let given = signature.split(' ').filter_map(|one| STANDARD.decode(one.strip_prefix(VERSION)?).ok());
        let mut all = given.map(|given| self.mac(id, timestamp, body).verify_slice(&given).is_ok());
        if all.any(|fits| fits) { Ok(()) } else { Err(Unverified::Signature) }
    }
}

/// The header with the signatures of several secrets, as while one takes the place of another.
#[must_use]
pub fn signatures(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    secrets.iter().map(|secret| secret.sign(id, timestamp, body)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIME: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(TIME, 0).expect("a time")
    }

    #[test]
    fn a_signature_is_as_the_reference_has_it() {
        let secret = Secret::parse(SECRET).expect("a secret");
        assert_eq!(secret.sign(ID, TIME, BODY), SIGNED);
        assert_eq!(secret.verify((ID, "1614265330", SIGNED), BODY, now()), Ok(()));
        assert_eq!(secret.expose(), SECRET);
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }

    #[test]
    fn what_was_changed_or_is_old_is_not_believed() {
        let secret = Secret::parse(SECRET).expect("a secret");
        let check = |id: &str, timestamp: &str, signature: &str, body: &[u8]| {
            secret.verify((id, timestamp, signature), body, now())
        };
        assert_eq!(check("msg_other", "1614265330", SIGNED, BODY), Err(Unverified::Signature));
        assert_eq!(check(ID, "1614265331", SIGNED, BODY), Err(Unverified::Signature));
        assert_eq!(check(ID, "1614265330", SIGNED, b"{}"), Err(Unverified::Signature));
        assert_eq!(check(ID, "1614265330", &SIGNED.replace("v1,", "v2,"), BODY), Err(Unverified::Signature));
        assert_eq!(check(ID, "1614265330", "v1,", BODY), Err(Unverified::Signature));
        assert_eq!(check(ID, "then", SIGNED, BODY), Err(Unverified::Timestamp));
        for old in [TIME - 301, TIME + 301] {
            let signature = secret.sign(ID, old, BODY);
            assert_eq!(check(ID, &old.to_string(), &signature, BODY), Err(Unverified::Timestamp));
        }
    }

    #[test]
    fn while_a_secret_is_rotated_either_verifies() {
        let secrets = [Secret::generate(), Secret::generate()];
        let header = signatures(&secrets, ID, TIME, BODY);
        for secret in &secrets {
            assert_eq!(secret.verify((ID, "1614265330", &header), BODY, now()), Ok(()));
        }
        let other = Secret::generate();
        assert_eq!(other.verify((ID, "1614265330", &header), BODY, now()), Err(Unverified::Signature));
    }

    #[test]
    fn what_is_too_short_or_no_base64_is_no_secret() {
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        for (bytes, good) in [(23, false), (24, true), (64, true), (65, false), (0, false)] {
            assert_eq!(Secret::parse(&of(bytes)).is_ok(), good, "{bytes}");
        }
        for wrong in ["", "whsec_", "whsec_???", &of(32)["whsec_".len()..], "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert!(Secret::parse(wrong).is_err(), "{wrong}");
        }
    }
}
