//! The same signature for the same outcome, and nothing taken that is not a receipt of ours.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use jsonwebtoken::EncodingKey;
use serde_json::json;

use super::super::keys::tests::{claims, key, now};
use super::super::store::tests::tables;
use super::super::{Authenticator, KeyState, Keys, Rotation, Validity};
use super::*;

const TENANT: Uuid = Uuid::from_u128(2);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Says {
    sub: Uuid,
    iat: i64,
    exp: i64,
}

fn says() -> Says {
    Says { sub: Uuid::from_u128(9), iat: now().timestamp(), exp: now().timestamp() + 600 }
}

fn receipt_key(signs_from: DateTime<Utc>) -> SigningKey {
    let key = new_receipt_key().expect("a key");
    let private = key.private_der().map(<[u8]>::to_vec);
    let validity = Validity { signs_from: Some(signs_from), retires_at: None };
    SigningKey::from_der(key.kid(), &key.public_der(), private, validity).expect("a key")
}

fn signed(keys: &ReceiptKeys) -> String {
    keys.sign(TENANT, says().iat, &says()).expect("signed")
}

fn refused(keys: &ReceiptKeys, receipt: &str) -> ReceiptError {
    keys.verify::<Says>(receipt).expect_err("refused")
}

/// A JWS with this header and these claims, by that key.
fn forged(header: &Header, claims: &Value, key: &SigningKey) -> String {
    let private = EncodingKey::from_ed_der(key.private_der().expect("it signs"));
    jsonwebtoken::encode(header, claims, &private).expect("signed")
}

fn header(key: &SigningKey) -> Header {
    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = Some(RECEIPT_TYPE.to_owned());
    header.kid = Some(key.kid().to_owned());
    header
}

#[test]
fn the_same_outcome_has_the_same_receipt_in_every_process() {
    let (old, new) = (receipt_key(now() - TimeDelta::days(9)), receipt_key(now() + TimeDelta::minutes(2)));
    let before = ReceiptKeys::new(vec![old.clone()]);
    let after = ReceiptKeys::new(vec![old.clone(), new.clone()]);
    assert_eq!(signed(&before), signed(&before));
    assert_eq!(signed(&before), signed(&after), "a new key changes no receipt of what was decided before");
    assert_eq!(after.verify::<Says>(&signed(&before)).expect("valid"), (TENANT, says()));
    let kid = |at: DateTime<Utc>| {
        let receipt = after.sign(TENANT, at.timestamp(), &says()).expect("signed");
        jsonwebtoken::decode_header(&receipt).expect("a header").kid.expect("an id")
    };
    assert_eq!(kid(now() + TimeDelta::seconds(119)), old.kid());
    assert_eq!(kid(now() + TimeDelta::seconds(120)), new.kid());
    assert_eq!(kid(now() - TimeDelta::days(99)), old.kid(), "what was decided before there were receipts");
    assert!(matches!(ReceiptKeys::default().sign(TENANT, 0, &says()), Err(AuthError::NoSigningKey)));
}

#[test]
fn no_character_of_a_receipt_can_be_changed() {
    let keys = ReceiptKeys::new(vec![receipt_key(now())]);
    let receipt = signed(&keys);
    for place in 0..receipt.len() {
        let mut bytes = receipt.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(bytes).expect("ASCII");
        assert!(keys.verify::<Says>(&altered).is_err(), "at {place}");
    }
    for altered in [format!("{receipt}A"), receipt[..receipt.len() - 1].to_owned()] {
        assert!(matches!(refused(&keys, &altered), ReceiptError::Altered));
    }
    let (signed, signature) = receipt.rsplit_once('.').expect("three parts");
    let (head, _) = signed.split_once('.').expect("two parts");
    let other = URL_SAFE_NO_PAD.encode(json!({"iss": ISSUER, "tenant": TENANT, "sub": TENANT}).to_string());
    assert!(matches!(refused(&keys, &format!("{head}.{other}.{signature}")), ReceiptError::Altered));
}

#[test]
fn what_is_no_receipt_or_another_installation_s_says_so() {
    let ours = receipt_key(now());
    let keys = ReceiptKeys::new(vec![ours.clone()]);
    for text in
        ["", "a.b", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", &"x".repeat(LIMIT + 1), &format!("{}.x", signed(&keys))]
    {
        assert!(matches!(refused(&keys, text), ReceiptError::Malformed(_)), "{text:.40}");
    }
    let theirs = ReceiptKeys::new(vec![receipt_key(now())]);
    assert!(matches!(refused(&keys, &signed(&theirs)), ReceiptError::Foreign));
    let claims = |issuer: &str| json!({"iss": issuer, "tenant": TENANT, "sub": TENANT, "iat": 0, "exp": 1});
    let foreign = forged(&header(&ours), &claims("other"), &ours);
    assert!(matches!(refused(&keys, &foreign), ReceiptError::Foreign));
    let shapeless = forged(&header(&ours), &json!({"iss": ISSUER, "tenant": TENANT}), &ours);
    assert!(matches!(refused(&keys, &shapeless), ReceiptError::Altered));
    let mut untyped = header(&ours);
    untyped.typ = Some("JWT".to_owned());
    assert!(matches!(refused(&keys, &forged(&untyped, &claims(ISSUER), &ours)), ReceiptError::Malformed(_)));
    let mut symmetric = header(&ours);
    symmetric.alg = Algorithm::HS256;
    let public = EncodingKey::from_secret(&ours.public_der()[12..]);
    let confused = jsonwebtoken::encode(&symmetric, &claims(ISSUER), &public).expect("signed");
    assert!(matches!(refused(&keys, &confused), ReceiptError::Malformed(_)));
}

#[test]
fn a_receipt_is_no_token_a_token_no_receipt_and_neither_family_verifies_for_the_other() {
    let (access, receipts) = (key(), receipt_key(now()));
    let (tokens, papers) = (Keys::new(vec![access.clone()]), ReceiptKeys::new(vec![receipts.clone()]));
    // As they are.
    assert!(matches!(tokens.verify(&signed(&papers), now()), Err(AuthError::Invalid("type"))));
    let token = tokens.issue(&claims()).expect("signed");
    assert!(matches!(refused(&papers, &token), ReceiptError::Malformed(_)));
    // With the right type and claims, and the key of the other family.
    let by_receipts = Keys::new(vec![receipts.clone()]).issue(&claims()).expect("signed");
    assert!(matches!(tokens.verify(&by_receipts, now()), Err(AuthError::UnknownKey)));
    let by_access = signed(&ReceiptKeys::new(vec![access.clone()]));
    assert!(matches!(refused(&papers, &by_access), ReceiptError::Foreign));
    // … and its name besides.
    let disguised = |key: &SigningKey, kid: &str| {
        let private = key.private_der().map(<[u8]>::to_vec);
        SigningKey::from_der(kid, &key.public_der(), private, Validity::default()).expect("a key")
    };
    let by_receipts = Keys::new(vec![disguised(&receipts, access.kid())]).issue(&claims()).expect("signed");
    assert!(matches!(tokens.verify(&by_receipts, now()), Err(AuthError::Invalid("signature"))));
    let by_access = signed(&ReceiptKeys::new(vec![disguised(&access, receipts.kid())]));
    assert!(matches!(refused(&papers, &by_access), ReceiptError::Altered));
}

async fn make_first(pool: &PgPool) {
    let mut connection = pool.acquire().await.expect("a connection");
    ensure_receipt_key(&mut connection).await.expect("made");
}

#[tokio::test]
async fn keys_of_receipts_are_made_once_rotated_and_kept_for_ever() {
    let pool = tables("receipts_rotated").await;
    futures_util::future::join_all((0..8).map(|_| make_first(&pool))).await;
    let states = async || {
        let keys = list_receipt_keys(&pool).await.expect("listed");
        keys.into_iter().map(|(_, state)| state).collect::<Vec<_>>()
    };
    assert_eq!(states().await, [KeyState::Signs]);
    let receipts = Receipts::from_pool(pool.clone());
    let at = crate::clock::now();
    let first = receipts.keys().await.expect("loaded").sign(TENANT, at.timestamp(), &says()).expect("signed");

    let Rotation::Done(new) = rotate_receipt_key(&pool, Duration::from_secs(120)).await.expect("rotated") else {
        panic!("under way")
    };
    assert!(matches!(rotate_receipt_key(&pool, Duration::ZERO).await, Ok(Rotation::UnderWay(key)) if key == new));
    assert_eq!(states().await, [KeyState::Signs, KeyState::Waits]);
    // Who does not know the key yet looks for it; who does signs what was decided before as ever.
    let fresh = Receipts::from_pool(pool.clone());
    let keys = fresh.keys().await.expect("loaded");
    assert_eq!(keys.sign(TENANT, at.timestamp(), &says()).expect("signed"), first);
    let later = keys.sign(TENANT, new.signs_from.timestamp() + 1, &says()).expect("signed");
    assert!(matches!(receipts.verify::<Says>(&later).await, Err(ReceiptError::Foreign)), "asked a moment ago");
    receipts.reload().await.expect("loaded");
    assert!(receipts.verify::<Says>(&later).await.is_ok());
    assert!(receipts.verify::<Says>(&first).await.is_ok());
}

#[tokio::test]
async fn the_key_set_names_both_families_and_tells_no_private_half() {
    let pool = tables("receipts_published").await;
    make_first(&pool).await;
    super::super::ensure_key(&pool).await.expect("made");
    let authenticator = Authenticator::from_pool(pool.clone());
    let set = authenticator.jwks().await.expect("there");
    let keys = set["keys"].as_array().expect("keys");
    let is_receipts = |key: &&Value| key["kid"].as_str().is_some_and(|kid| kid.starts_with(RECEIPT_KID_PREFIX));
    assert_eq!((keys.len(), keys.iter().filter(is_receipts).count()), (2, 1));
    assert!(keys.iter().all(|key| key["use"] == "sig" && key["alg"] == "EdDSA" && key.get("d").is_none()));
    let receipts = authenticator.receipts().expect("it has").clone();
    assert!(!format!("{:?}", receipts.keys().await.expect("loaded")).contains("private"));
    // A key of receipts in that set opens no door.
    let (token, _) = authenticator.issue(claims().access(), now(), Duration::from_secs(60)).await.expect("signed");
    assert!(authenticator.verify(&token, now()).await.is_ok());
    let keys = load_receipt_keys(&pool).await.expect("loaded");
    let by_receipts = Keys::new(keys.0.clone()).issue(&claims()).expect("signed");
    assert!(matches!(authenticator.verify(&by_receipts, now()).await, Err(AuthError::UnknownKey)));
}
