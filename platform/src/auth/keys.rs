//! The set of Ed25519 keys, and the tokens signed and verified with them.
//!
//! Owns the format of tokens. It must not read a clock: whoever asks says what time it is.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{AUDIENCE, AuthError, Claims, ISSUER, TOKEN_TYPE};
use crate::ids;

/// DER before the 32 bytes of an Ed25519 public key (SubjectPublicKeyInfo, RFC 8410).
const PUBLIC_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// DER before the 32 bytes of an Ed25519 private key (PKCS#8, RFC 8410).
const PRIVATE_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// How far the clocks of two machines may differ: a token may be from this many seconds ahead.
const CLOCK_SKEW: i64 = 10;
/// No token of ours is longer; what is longer is not looked at.
pub(super) const TOKEN_LIMIT: usize = 4096;

/// One Ed25519 key.
#[derive(Clone)]
pub struct SigningKey {
    kid: String,
    public: [u8; 32],
    private_der: Option<Vec<u8>>,
    validity: Validity,
}

/// When a key signs and verifies. Nothing said is always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Validity {
    /// From when on it signs. It verifies before, too.
    pub signs_from: Option<DateTime<Utc>>,
    /// From when on it verifies nothing any more.
    pub retires_at: Option<DateTime<Utc>>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .field("signs", &self.private_der.is_some())
            .field("validity", &self.validity)
            .finish()
    }
}

impl SigningKey {
    /// A new key. Its id is its thumbprint (RFC 7638).
    ///
    /// # Errors
    /// When the public half cannot be derived.
    pub fn generate() -> Result<Self, AuthError> {
        let private_der = [PRIVATE_PREFIX.as_slice(), &ids::random_bytes::<32>()].concat();
        let bad = || AuthError::BadKey("new".to_owned());
        let encoding = EncodingKey::from_ed_der(&private_der);
        let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&encoding, Algorithm::EdDSA).map_err(|_| bad())?;
        let jsonwebtoken::jwk::AlgorithmParameters::OctetKeyPair(parameters) = jwk.algorithm else {
            return Err(bad());
        };
        let public = URL_SAFE_NO_PAD.decode(&parameters.x).map_err(|_| bad())?;
        let public: [u8; 32] = public.try_into().map_err(|_| bad())?;
        Ok(Self { kid: thumbprint(&public), public, private_der: Some(private_der), validity: Validity::default() })
    }

    /// A key as it is stored: SubjectPublicKeyInfo and PKCS#8.
    ///
    /// # Errors
    /// When it is not an Ed25519 key.
    pub fn from_der(
        kid: impl Into<String>,
        public_der: &[u8],
        private_der: Option<Vec<u8>>,
        validity: Validity,
    ) -> Result<Self, AuthError> {
        let kid = kid.into();
        let public = public_der.strip_prefix(PUBLIC_PREFIX.as_slice()).and_then(|public| public.try_into().ok());
        let Some(public) = public else { return Err(AuthError::BadKey(kid)) };
        Ok(Self { kid, public, private_der, validity })
    }

    /// The key's id.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half as SubjectPublicKeyInfo.
    pub fn public_der(&self) -> Vec<u8> {
        [PUBLIC_PREFIX.as_slice(), &self.public].concat()
    }

    /// The private half as PKCS#8, where this process may sign.
    pub fn private_der(&self) -> Option<&[u8]> {
        self.private_der.as_deref()
    }

    /// The same key under an id that begins with `prefix`.
    pub(super) fn named_after(self, prefix: &str) -> Self {
        Self { kid: format!("{prefix}{}", self.kid), ..self }
    }

    /// What it signs with, where this process may.
    pub(super) fn encoding(&self) -> Option<EncodingKey> {
        self.private_der().map(EncodingKey::from_ed_der)
    }

    /// What it verifies with.
    pub(super) fn decoding(&self) -> DecodingKey {
        DecodingKey::from_ed_der(&self.public)
    }

    /// The public half as a JWK (RFC 7517, RFC 8037).
    pub(super) fn jwk(&self) -> Value {
        json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "alg": "EdDSA",
            "use": "sig",
            "kid": self.kid,
            "x": URL_SAFE_NO_PAD.encode(self.public),
        })
    }

    fn valid_at(&self, time: DateTime<Utc>) -> bool {
        self.validity.retires_at.is_none_or(|end| time < end)
    }

    pub(super) fn signs_at(&self, time: DateTime<Utc>) -> bool {
        self.validity.signs_from.is_none_or(|start| start <= time)
    }
}

fn thumbprint(public: &[u8; 32]) -> String {
    let x = URL_SAFE_NO_PAD.encode(public);
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)))
}

/// What a token says, and the key that says so.
#[derive(Debug, Clone)]
pub(super) struct Verified {
    pub(super) claims: Claims,
    /// The public half: ids of keys are only names.
    pub(super) key: [u8; 32],
}

/// All keys of an installation, the newest last.
#[derive(Debug, Clone, Default)]
pub struct Keys(Vec<SigningKey>);

impl Keys {
    /// A set of keys, the newest last: it signs.
    pub fn new(keys: Vec<SigningKey>) -> Self {
        Self(keys)
    }

    /// Whether there is no key at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Signs a token with the newest key that has begun to sign and outlives it.
    ///
    /// # Errors
    /// When no key may sign.
    pub fn issue(&self, claims: &Claims) -> Result<String, AuthError> {
        let time = |seconds| DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let (start, end) = (time(claims.iat), time(claims.exp));
        let able = || {
            let outlive = self.0.iter().rev().filter(|key| key.valid_at(end));
            outlive.filter_map(|key| key.private_der().map(|private| (key, private)))
        };
        // Where no key has begun, the database's clock is ahead of ours: better a key too early than none.
        let (key, private) =
            able().find(|(key, _)| key.signs_at(start)).or_else(|| able().next()).ok_or(AuthError::NoSigningKey)?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(key.kid.clone());
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_ed_der(private))
            .map_err(|_| AuthError::BadKey(key.kid.clone()))
    }

    /// What a token says, if one of these keys signed it and it is valid `now`.
    ///
    /// # Errors
    /// When it is not.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Claims, AuthError> {
        self.verify_signed(token, now).map(|verified| verified.claims)
    }

    /// Whether this is the public half of a key that verifies `now`.
    pub(super) fn holds(&self, public: &[u8; 32], now: DateTime<Utc>) -> bool {
        self.0.iter().any(|key| key.public == *public && key.valid_at(now))
    }

    pub(super) fn verify_signed(&self, token: &str, now: DateTime<Utc>) -> Result<Verified, AuthError> {
        if token.len() > TOKEN_LIMIT {
            return Err(AuthError::Invalid("too long"));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| AuthError::Invalid("malformed"))?;
        if header.alg != Algorithm::EdDSA {
            return Err(AuthError::Invalid("algorithm"));
        }
        if header.typ.as_deref() != Some(TOKEN_TYPE) || header.crit.is_some() {
            return Err(AuthError::Invalid("type"));
        }
        let kid = header.kid.ok_or(AuthError::Invalid("no key id"))?;
        // Whatever else the header says of keys (jwk, jku, x5u) is not looked at.
        let key = self.0.iter().find(|key| key.kid == kid).ok_or(AuthError::UnknownKey)?;
        if !key.valid_at(now) {
            return Err(AuthError::UnknownKey);
        }
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        // The times are compared below, with the time that was given.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let decoded = jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_ed_der(&key.public), &validation);
        let claims = decoded.map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature => AuthError::Invalid("signature"),
            ErrorKind::InvalidIssuer => AuthError::Invalid("issuer"),
            ErrorKind::InvalidAudience => AuthError::Invalid("audience"),
            _ => AuthError::Invalid("claims"),
        })?;
        let claims = claims.claims;
        check_times(&claims, now)?;
        Ok(Verified { claims, key: key.public })
    }

    /// The public keys that are valid `now`, as a JWK Set.
    pub fn jwks(&self, now: DateTime<Utc>) -> Value {
        let keys = self.0.iter().filter(|key| key.valid_at(now)).map(SigningKey::jwk);
        json!({ "keys": keys.collect::<Vec<_>>() })
    }
}

/// Whether a token that says this is valid `now`, as far as the clock is concerned.
pub(super) fn check_times(claims: &Claims, now: DateTime<Utc>) -> Result<(), AuthError> {
    if claims.nbf > now.timestamp().saturating_add(CLOCK_SKEW) {
        return Err(AuthError::Invalid("not valid yet"));
    }
    if claims.exp <= now.timestamp() {
        return Err(AuthError::Expired);
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::auth::{Principal, Role};
    use chrono::TimeDelta;
    use std::time::Duration;
    use uuid::Uuid;

    pub(crate) fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).expect("a time")
    }

    pub(crate) fn claims() -> Claims {
        let principal = Principal::member(Uuid::from_u128(1), Uuid::from_u128(2), Role::Reviewer);
        Claims::new(&principal.into(), Uuid::from_u128(3), now(), Duration::from_secs(600))
    }

    pub(crate) fn key() -> SigningKey {
        SigningKey::generate().expect("a key")
    }

    fn reason(result: Result<Claims, AuthError>) -> String {
        result.expect_err("refused").to_string()
    }

    #[test]
    fn a_token_says_what_was_signed() {
        let keys = Keys::new(vec![key()]);
        let token = keys.issue(&claims()).expect("signed");
        assert_eq!(keys.verify(&token, now()).expect("valid"), claims());
    }

    #[test]
    fn a_stored_key_verifies_what_the_first_one_signed() {
        let key = key();
        let token = Keys::new(vec![key.clone()]).issue(&claims()).expect("signed");
        let stored = SigningKey::from_der(key.kid(), &key.public_der(), None, Validity::default()).expect("a key");
        let keys = Keys::new(vec![stored]);
        assert!(keys.verify(&token, now()).is_ok());
        assert!(matches!(keys.issue(&claims()), Err(AuthError::NoSigningKey)));
    }

    #[test]
    fn a_token_is_valid_from_its_start_to_its_end() {
        let keys = Keys::new(vec![key()]);
        let token = keys.issue(&claims()).expect("signed");
        assert!(keys.verify(&token, now() + TimeDelta::seconds(599)).is_ok());
        assert!(matches!(keys.verify(&token, now() + TimeDelta::seconds(600)), Err(AuthError::Expired)));
        assert!(keys.verify(&token, now() - TimeDelta::seconds(CLOCK_SKEW)).is_ok());
        assert!(matches!(keys.verify(&token, now() - TimeDelta::seconds(CLOCK_SKEW + 1)), Err(AuthError::Invalid(_))));
    }

    #[test]
    fn another_audience_or_issuer_is_refused() {
        let keys = Keys::new(vec![key()]);
        let other = Claims { aud: "other".to_owned(), ..claims() };
        assert!(reason(keys.verify(&keys.issue(&other).expect("signed"), now())).contains("audience"));
        let other = Claims { iss: "other".to_owned(), ..claims() };
        assert!(reason(keys.verify(&keys.issue(&other).expect("signed"), now())).contains("issuer"));
    }

    #[test]
    fn a_key_that_is_not_ours_or_a_forged_signature_is_refused() {
        let (ours, theirs) = (key(), key());
        let keys = Keys::new(vec![ours.clone()]);
        let token = Keys::new(vec![theirs.clone()]).issue(&claims()).expect("signed");
        assert!(matches!(keys.verify(&token, now()), Err(AuthError::UnknownKey)));
        let disguised = SigningKey { kid: ours.kid.clone(), ..theirs };
        let token = Keys::new(vec![disguised]).issue(&claims()).expect("signed");
        assert!(reason(keys.verify(&token, now())).contains("signature"));
    }

    #[test]
    fn another_type_or_algorithm_is_refused() {
        let key = key();
        let keys = Keys::new(vec![key.clone()]);
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(key.kid.clone());
        let private = EncodingKey::from_ed_der(key.private_der().expect("it signs"));
        let token = jsonwebtoken::encode(&header, &claims(), &private).expect("signed");
        assert!(reason(keys.verify(&token, now())).contains("type"));
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(key.kid.clone());
        let public_as_secret = EncodingKey::from_secret(&key.public);
        let token = jsonwebtoken::encode(&header, &claims(), &public_as_secret).expect("signed");
        assert!(reason(keys.verify(&token, now())).contains("algorithm"));
        let none = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"at+jwt"}"#), "e30");
        assert!(matches!(keys.verify(&none, now()), Err(AuthError::Invalid(_))));
        assert!(matches!(keys.verify(&"x".repeat(10_000), now()), Err(AuthError::Invalid(_))));
    }

    #[test]
    fn a_retired_key_neither_verifies_nor_is_published_and_one_that_ends_first_does_not_sign() {
        let mut old = key();
        let keys = Keys::new(vec![old.clone()]);
        let token = keys.issue(&claims()).expect("signed");
        old.validity.retires_at = Some(now() + TimeDelta::seconds(300));
        let new = key();
        let keys = Keys::new(vec![new.clone(), old.clone()]);
        assert!(keys.verify(&token, now()).is_ok());
        assert!(matches!(keys.verify(&token, now() + TimeDelta::seconds(300)), Err(AuthError::UnknownKey)));
        let signed_by = jsonwebtoken::decode_header(keys.issue(&claims()).expect("signed")).expect("a header").kid;
        assert_eq!(signed_by.as_deref(), Some(new.kid()));
        let published = |time| keys.jwks(time)["keys"].as_array().map(Vec::len);
        assert_eq!((published(now()), published(now() + TimeDelta::seconds(300))), (Some(2), Some(1)));
    }

    #[test]
    fn a_new_key_verifies_at_once_and_signs_from_its_time() {
        let (old, mut new) = (key(), key());
        new.validity.signs_from = Some(now() + TimeDelta::seconds(120));
        let keys = Keys::new(vec![old.clone(), new.clone()]);
        let signed_by = |keys: &Keys, time: DateTime<Utc>| {
            let claims = Claims { iat: time.timestamp(), ..claims() };
            jsonwebtoken::decode_header(keys.issue(&claims).expect("signed")).expect("a header").kid
        };
        assert_eq!(signed_by(&keys, now() + TimeDelta::seconds(119)).as_deref(), Some(old.kid()));
        assert_eq!(signed_by(&keys, now() + TimeDelta::seconds(120)).as_deref(), Some(new.kid()));
        let token = Keys::new(vec![new.clone()]).issue(&claims()).expect("signed");
        assert!(keys.verify(&token, now()).is_ok());
        assert_eq!(keys.jwks(now())["keys"].as_array().map(Vec::len), Some(2));
        // The database's clock may be ahead of ours when the only key is made.
        assert_eq!(signed_by(&Keys::new(vec![new.clone()]), now()).as_deref(), Some(new.kid()));
    }

    #[test]
    fn the_key_set_tells_no_private_half() {
        let key = key();
        let keys = Keys::new(vec![key.clone()]);
        let published = keys.jwks(now());
        assert_eq!(published["keys"][0]["kid"], key.kid());
        assert!(published["keys"][0].get("d").is_none());
        assert!(!format!("{keys:?}").contains("private"));
    }
}
