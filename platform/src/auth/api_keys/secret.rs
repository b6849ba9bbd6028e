//! The secret of an API key: its form, which scanners for leaked secrets know it by, and how one is made.
//!
//! A secret is `docket_key_`, 40 random characters of base62, and 6 of the CRC-32 of all before them:
//! `docket_key_[0-9A-Za-z]{46}`. Owns that form; it must not know where secrets are kept.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::ids;

/// What every secret begins with.
pub const PREFIX: &str = "docket_key_";

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 238 bits.
const RANDOM: usize = 40;
/// Enough for any CRC-32.
const CHECKSUM: usize = 6;

/// A secret of the right form; whether it opens anything is not said. It is never shown but on purpose.
#[derive(Clone)]
pub struct ApiKeySecret(SecretString);

impl fmt::Debug for ApiKeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKeySecret(…)")
    }
}

impl ApiKeySecret {
    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        let mut text = String::with_capacity(PREFIX.len() + RANDOM + CHECKSUM);
        text.push_str(PREFIX);
        while text.len() < PREFIX.len() + RANDOM {
            // Bytes beyond the last whole multiple of 62 would make some characters likelier than others.
            let fair = ids::random_bytes::<64>().into_iter().filter(|byte| *byte < 248);
            let left = PREFIX.len() + RANDOM - text.len();
            text.extend(fair.take(left).map(|byte| char::from(ALPHABET[usize::from(byte % 62)])));
        }
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Self(text.into())
    }

    /// The secret that a text is, if it has the form; nothing is looked up.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        if rest.len() != RANDOM + CHECKSUM || !rest.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let (body, given) = text.split_at(PREFIX.len() + RANDOM);
        (checksum(body) == given).then(|| Self(text.into()))
    }

    /// The secret in clear, to be shown to whom it belongs, once.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What is kept of it: its SHA-256. 238 random bits need no slower hash.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.expose().as_bytes()).into()
    }
}

/// CRC-32 as base62, the most significant digit first.
fn checksum(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut digits = [b'0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(rest % 62) as usize];
        rest /= 62;
    }
    digits.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_the_form_that_scanners_look_for() {
        for _ in 0..200 {
            let secret = ApiKeySecret::generate();
            let rest = secret.expose().strip_prefix("docket_key_").expect("the prefix");
            assert!(rest.len() == 46 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{rest}");
            assert!(ApiKeySecret::parse(secret.expose()).is_some());
        }
        // Frozen: a key that was given out must be one for ever.
        let frozen = "docket_key_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcd4Hy2X9";
        assert_eq!(checksum(&frozen[..51]), &frozen[51..]);
        assert!(ApiKeySecret::parse(frozen).is_some());
    }

    #[test]
    fn what_was_mistyped_cut_or_extended_is_none() {
        let secret = ApiKeySecret::generate();
        let text = secret.expose();
        for place in 0..text.len() {
            for other in ['0', 'a', 'Z', '_', ' ', 'é'] {
                let mut wrong: String = text.chars().take(place).collect();
                wrong.push(other);
                wrong.extend(text.chars().skip(place + 1));
                assert_eq!(ApiKeySecret::parse(&wrong).is_some(), wrong == text, "{wrong}");
            }
            assert!(ApiKeySecret::parse(&text[..place]).is_none());
            if place + 1 < text.len() && text.as_bytes()[place] != text.as_bytes()[place + 1] {
                let mut swapped = text.as_bytes().to_vec();
                swapped.swap(place, place + 1);
                assert!(ApiKeySecret::parse(&String::from_utf8_lossy(&swapped)).is_none());
            }
        }
        let doubled = text.repeat(2);
        let (longer, before, upper) = (format!("{text}0"), format!(" {text}"), text.to_ascii_uppercase());
        for wrong in [&doubled, &longer, &before, &upper] {
            assert!(ApiKeySecret::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn noise_is_no_secret() {
        for round in 0..2_000_usize {
            let noise: String = ids::random_bytes::<64>().into_iter().map(char::from).collect();
            assert!(ApiKeySecret::parse(&noise).is_none());
            let dressed: String = noise.chars().filter(char::is_ascii_alphanumeric).cycle().take(round % 90).collect();
            assert!(ApiKeySecret::parse(&format!("{PREFIX}{dressed}")).is_none(), "{dressed}");
        }
    }

    #[test]
    fn a_secret_shows_itself_on_purpose_alone() {
        let secret = ApiKeySecret::generate();
        assert_eq!(format!("{secret:?}"), "ApiKeySecret(…)");
        assert_eq!(secret.hash(), ApiKeySecret::parse(secret.expose()).expect("the same").hash());
        assert_ne!(secret.hash(), ApiKeySecret::generate().hash());
    }
}
