//! Tokens that are not ours, or not valid: each the same 401, and none in the log.

use std::io::Write;
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::*;
use crate::auth::Claims;

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("not poisoned")).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Signs tokens that nobody should accept, with a key that is accepted.
struct Forger {
    key: SigningKey,
    claims: Claims,
}

impl Forger {
    fn header(&self) -> Value {
        json!({"alg": "EdDSA", "typ": "at+jwt", "kid": self.key.kid()})
    }

    /// A token of this header and these claims under a signature of `signer`, whatever the header says of it.
    fn signed(signer: &SigningKey, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let private = EncodingKey::from_ed_der(signer.private_der().expect("it signs"));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &private, Algorithm::EdDSA).expect("signed");
        format!("{message}.{signature}")
    }

    /// A valid token but for this member of its header.
    fn with_header(&self, name: &str, value: Value) -> String {
        let mut header = self.header();
        header[name] = value;
        Self::signed(&self.key, &header, &json!(self.claims))
    }

    /// A valid token but for this claim.
    fn with_claim(&self, name: &str, value: Value) -> String {
        let mut claims = json!(self.claims);
        claims[name] = value;
        Self::signed(&self.key, &self.header(), &claims)
    }

    /// The public key, used as the secret of an HMAC.
    fn with_hmac(&self, secret: &[u8]) -> String {
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(self.key.kid().to_owned());
        jsonwebtoken::encode(&header, &self.claims, &EncodingKey::from_secret(secret)).expect("signed")
    }

    /// Every bad token with what is wrong with it and the code of its refusal.
    fn all(&self, now: i64) -> Vec<(&'static str, String, &'static str)> {
        let valid = Self::signed(&self.key, &self.header(), &json!(self.claims));
        let parts: Vec<&str> = valid.split('.').collect();
        let [header, claims, signature] = parts[..] else { panic!("{valid}") };
        let stranger = SigningKey::generate().expect("a key");
        let own_jwk =
            json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(&stranger.public_der()[12..])});
        let mut jwk_header = self.header();
        jwk_header["jwk"] = own_jwk;
        let unsigned = |alg: &str| {
            let header = json!({"alg": alg, "typ": "at+jwt", "kid": self.key.kid()}).to_string();
            format!("{}.{claims}.", URL_SAFE_NO_PAD.encode(header))
        };
        let admin = URL_SAFE_NO_PAD.encode(json!({"role": "admin"}).to_string());
        let public = self.key.public_der();
        let refused = [
            ("cut", valid[..valid.len() - 1].to_owned()),
            ("cut to its signature's half", valid[..valid.len() - signature.len() / 2].to_owned()),
            ("without a signature", format!("{header}.{claims}.")),
            ("without its last part", format!("{header}.{claims}")),
            ("its header alone", header.to_owned()),
            ("nothing", String::new()),
            ("doubled", format!("{valid}{valid}")),
            ("doubled with a dot", format!("{valid}.{valid}")),
            ("doubled with a blank", format!("{valid} {valid}")),
            ("not base64", format!("{header}.{claims}.{}", "!".repeat(86))),
            ("other claims under the signature", format!("{header}.{admin}.{signature}")),
            ("longer than any of ours", format!("{header}.{}.{signature}", "A".repeat(10_000))),
            ("alg none", unsigned("none")),
            ("alg None", unsigned("None")),
            ("alg none with a signature", self.with_header("alg", json!("none"))),
            ("alg ES256", self.with_header("alg", json!("ES256"))),
            ("HS256 with the public key", self.with_hmac(&public[12..])),
            ("HS256 with the public key's DER", self.with_hmac(&public)),
            ("HS256 with the public key's text", self.with_hmac(URL_SAFE_NO_PAD.encode(&public[12..]).as_bytes())),
            ("another type", self.with_header("typ", json!("JWT"))),
            ("a critical extension", self.with_header("crit", json!(["exp"]))),
            ("an unknown kid", self.with_header("kid", json!(stranger.kid()))),
            ("no kid", self.with_header("kid", Value::Null)),
            ("a path as kid", self.with_header("kid", json!("../../etc/passwd"))),
            ("another key's signature", Self::signed(&stranger, &self.header(), &json!(self.claims))),
            ("a key brought along", Self::signed(&stranger, &jwk_header, &json!(self.claims))),
            ("another aud", self.with_claim("aud", json!("another"))),
            ("no aud", self.with_claim("aud", Value::Null)),
            ("another iss", self.with_claim("iss", json!("another"))),
            ("no exp", self.with_claim("exp", Value::Null)),
            ("not valid yet", self.with_claim("nbf", json!(now + 60))),
            ("no such role", self.with_claim("role", json!("owner"))),
        ];
        let expired = [("expired by a second", self.with_claim("exp", json!(now - 1)))];
        let refused = refused.into_iter().map(|(what, token)| (what, token, "unauthorized"));
        refused.chain(expired.into_iter().map(|(what, token)| (what, token, "token_expired"))).collect()
    }
}

#[tokio::test]
async fn a_bad_token_is_a_typed_401_and_stands_in_no_log() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    let _logs = tracing::subscriber::set_default(subscriber.finish());

    let key = SigningKey::generate().expect("a key");
    let principal = Principal::member(Uuid::from_u128(1), Uuid::from_u128(2), Role::Analyst);
    let now = clock::now();
    let claims =
        Claims::new(&principal.into(), Uuid::from_u128(3), now - TimeDelta::seconds(30), Duration::from_secs(600));
    let forger = Forger { key: key.clone(), claims };
    let authenticator = Arc::new(Authenticator::fixed(Keys::new(vec![key])));
    let app = harden(router().layer(Extension(authenticator.clone())), &settings(), false);
    let ask = |tokens: &[&str]| {
        let mut request = Request::get("/me");
        for token in tokens {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        send(app.clone(), request.body(Body::empty()).expect("a request"))
    };
    let valid = forger.with_header("cty", Value::Null);
    assert_eq!(text(ask(&[&valid]).await).await, "analyst");
    assert_eq!(problem(ask(&[&valid, &valid]).await).await.code, "unauthorized");

    let bad = forger.all(now.timestamp());
    for (what, token, code) in &bad {
        // The second time nothing is remembered of the first.
        for _ in 0..2 {
            let refused = ask(&[token]).await;
            assert!(refused.headers().contains_key(header::WWW_AUTHENTICATE), "{what}");
            let document = problem(refused).await;
            assert_eq!((document.status, document.code.as_str()), (401, *code), "{what}");
            let said = serde_json::to_string(&document).expect("it serialises");
            assert!(token.is_empty() || !said.contains(token.as_str()), "{what}: {said}");
        }
    }
    assert_eq!(authenticator.cache_stats().await.size, 1);

    let logged = log.text();
    assert!(logged.contains("token refused") && logged.contains("the token is not valid: signature"), "{logged}");
    for (what, token, _) in bad {
        for part in token.split(['.', ' ']).filter(|part| part.len() > 16) {
            assert!(!logged.contains(part), "{what}");
        }
    }
    assert!(!logged.contains(&valid));
}
