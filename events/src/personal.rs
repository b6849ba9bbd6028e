//! Personal data: fields that only a data subject's key can open.
//!
//! A name or an address never stands in clear on the log. It is sealed under the key of the person it belongs to before the event
//! is appended; when that key is destroyed the field decodes to [`Personal::Erased`], and the log still replays. Serialising an
//! unsealed value is an error, so clear text cannot reach the journal, a snapshot or Kafka by mistake.
//!
//! On the log: `{"$personal":{"subject":…,"key":…,"alg":"XC20P","nonce":…,"data":…}}` with `nonce` and `data` in unpadded
//! base64url, sealed with XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) and the subject and key ids as associated data.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, ser::Error as _};
use uuid::Uuid;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The one algorithm in use: XChaCha20-Poly1305.
const ALG: &str = "XC20P";

/// The key of one data subject. Destroying it erases everything sealed under it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct DataKey {
    /// Which key this is; stands beside everything sealed under it.
    #[zeroize(skip)]
    pub id: Uuid,
    bytes: [u8; 32],
}

impl DataKey {
    /// A key from its 256 bits.
    #[must_use]
    pub const fn new(id: Uuid, bytes: [u8; 32]) -> Self {
        Self { id, bytes }
    }

    /// The 256 secret bits, for the vault alone.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DataKey({}, …)", self.id)
    }
}

/// A value as it stands on the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The person whom the value belongs to.
    pub subject: Uuid,
    /// The key it is sealed under.
    pub key: Uuid,
    /// The algorithm, `XC20P`.
    pub alg: Cow<'static, str>,
    /// 192 bits, base64url.
    pub nonce: String,
    /// Cipher text and tag, base64url.
    pub data: String,
}

/// Why a value could not be sealed or opened. Erasure is no error: it is [`Personal::Erased`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PersonalError {
    /// The value has no JSON form.
    #[error("a personal value has no JSON form")]
    Unserialisable,
    /// The algorithm is not known to this build.
    #[error("personal data is sealed with an unknown algorithm")]
    UnknownAlgorithm,
    /// The cipher text was changed, or belongs to another key or subject.
    #[error("personal data does not open with its key")]
    Corrupt,
}

/// A field that belongs to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Personal<T> {
    /// Readable: a value that was just given, or was opened with its key. Has no serialised form.
    Known {
        /// The person whom the value belongs to.
        subject: Uuid,
        /// The value in clear.
        value: T,
    },
    /// As it stands on the log.
    Sealed(Sealed),
    /// Its key is gone, for good.
    Erased {
        /// The person whom the value belonged to.
        subject: Uuid,
    },
}

impl<T> Personal<T> {
    /// A value in clear that belongs to `subject`.
    pub const fn known(subject: Uuid, value: T) -> Self {
        Self::Known { subject, value }
    }

    /// The value, when it is readable.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Known { value, .. } => Some(value),
            Self::Sealed(_) | Self::Erased { .. } => None,
        }
    }

    /// Whether the key is known to be gone.
    pub const fn is_erased(&self) -> bool {
        matches!(self, Self::Erased { .. })
    }
}

/// What the vault needs of a personal field, whatever its type.
pub trait PersonalField {
    /// The person whom the field belongs to.
    fn subject(&self) -> Uuid;
    /// The key that opens the field, while it is sealed.
    fn key(&self) -> Option<Uuid>;
    /// The field as it stands on the log, while it is sealed.
    fn sealed(&self) -> Option<&Sealed>;
    /// Whether the field is in clear and must be sealed before it is written.
    fn is_known(&self) -> bool;
    /// Seals a field in clear under `key`; leaves any other as it is. A nonce is used once.
    ///
    /// # Errors
    /// [`PersonalError::Unserialisable`] when the value has no JSON form.
    fn seal(&mut self, key: &DataKey, nonce: [u8; 24]) -> Result<(), PersonalError>;
    /// Opens a sealed field with its key, or marks it erased when there is none.
    ///
    /// # Errors
    /// When the cipher text does not belong to the key, or its algorithm is unknown.
    fn open(&mut self, key: Option<&DataKey>) -> Result<(), PersonalError>;
}

fn associated(subject: Uuid, key: Uuid) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(subject.as_bytes());
    bytes[16..].copy_from_slice(key.as_bytes());
    bytes
}

impl<T: Serialize + DeserializeOwned> PersonalField for Personal<T> {
    fn subject(&self) -> Uuid {
        match self {
            Self::Known { subject, .. } | Self::Erased { subject } => *subject,
            Self::Sealed(sealed) => sealed.subject,
        }
    }

    fn key(&self) -> Option<Uuid> {
        match self {
            Self::Sealed(sealed) => Some(sealed.key),
            Self::Known { .. } | Self::Erased { .. } => None,
        }
    }

    fn sealed(&self) -> Option<&Sealed> {
        match self {
            Self::Sealed(sealed) => Some(sealed),
            Self::Known { .. } | Self::Erased { .. } => None,
        }
    }

    fn is_known(&self) -> bool {
        matches!(self, Self::Known { .. })
    }

    fn seal(&mut self, key: &DataKey, nonce: [u8; 24]) -> Result<(), PersonalError> {
        let Self::Known { subject, value } = self else { return Ok(()) };
        let mut clear = serde_json::to_vec(value).map_err(|_| PersonalError::Unserialisable)?;
        let cipher = XChaCha20Poly1305::new((&key.bytes).into());
        let aad = associated(*subject, key.id);
        let data = cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: &clear, aad: &aad })
            .map_err(|_| PersonalError::Unserialisable)?;
        clear.zeroize();
        *self = Self::Sealed(Sealed {
            subject: *subject,
            key: key.id,
            alg: Cow::Borrowed(ALG),
            nonce: URL_SAFE_NO_PAD.encode(nonce),
            data: URL_SAFE_NO_PAD.encode(data),
        });
        Ok(())
    }

    fn open(&mut self, key: Option<&DataKey>) -> Result<(), PersonalError> {
        let Self::Sealed(sealed) = self else { return Ok(()) };
        let subject = sealed.subject;
        let Some(key) = key else {
            *self = Self::Erased { subject };
            return Ok(());
        };
        if sealed.alg != ALG {
            return Err(PersonalError::UnknownAlgorithm);
        }
        let nonce: [u8; 24] = URL_SAFE_NO_PAD
            .decode(&sealed.nonce)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(PersonalError::Corrupt)?;
        let data = URL_SAFE_NO_PAD.decode(&sealed.data).map_err(|_| PersonalError::Corrupt)?;
        let aad = associated(subject, sealed.key);
        let clear = XChaCha20Poly1305::new((&key.bytes).into())
            .decrypt(&XNonce::from(nonce), Payload { msg: &data, aad: &aad })
            .map_err(|_| PersonalError::Corrupt)?;
        let value = serde_json::from_slice(&clear).map_err(|_| PersonalError::Corrupt)?;
        *self = Self::Known { subject, value };
        Ok(())
    }
}

/// Types that may hold personal fields: events, states, views.
pub trait HasPersonal {
    /// Calls `visit` once for each personal field.
    fn visit_personal(&mut self, visit: &mut dyn FnMut(&mut dyn PersonalField));

    /// The keys that open what is sealed here.
    fn sealed_under(&mut self) -> Vec<Uuid> {
        let mut keys = Vec::new();
        self.visit_personal(&mut |field| keys.extend(field.key()));
        keys
    }

    /// The people whose fields stand in clear here and must be sealed before writing.
    fn unsealed_subjects(&mut self) -> Vec<Uuid> {
        let mut subjects = Vec::new();
        self.visit_personal(&mut |field| {
            if field.is_known() {
                subjects.push(field.subject());
            }
        });
        subjects
    }

    /// Seals every field in clear; `key_of` gives the key of a subject and `nonce` a fresh nonce at each call.
    ///
    /// # Errors
    /// [`PersonalError::Unserialisable`], also when `key_of` has no key for a subject.
    fn seal_all(
        &mut self,
        key_of: &dyn Fn(Uuid) -> Option<DataKey>,
        nonce: &mut dyn FnMut() -> [u8; 24],
    ) -> Result<(), PersonalError> {
        let mut outcome = Ok(());
        self.visit_personal(&mut |field| {
            if field.is_known() && outcome.is_ok() {
                outcome = match key_of(field.subject()) {
                    Some(key) => field.seal(&key, nonce()),
                    None => Err(PersonalError::Unserialisable),
                };
            }
        });
        outcome
    }

    /// Opens every sealed field with the key that `key_of` finds by its id; a missing key means erased.
    ///
    /// # Errors
    /// The first field that does not open with its key.
    fn open_all(&mut self, key_of: &dyn Fn(Uuid) -> Option<DataKey>) -> Result<(), PersonalError> {
        let mut outcome = Ok(());
        self.visit_personal(&mut |field| {
            if let (Some(id), true) = (field.key(), outcome.is_ok()) {
                outcome = field.open(key_of(id).as_ref());
            }
        });
        outcome
    }
}

#[derive(Serialize, Deserialize)]
struct Wire<B> {
    #[serde(rename = "$personal")]
    personal: B,
}

#[derive(Serialize, Deserialize)]
struct ErasedBody {
    subject: Uuid,
    erased: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Body {
    Sealed(Sealed),
    Erased(ErasedBody),
}

impl<T> Serialize for Personal<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Known { .. } => Err(S::Error::custom("personal data must be sealed before it is written")),
            Self::Sealed(sealed) => Wire { personal: sealed }.serialize(serializer),
            Self::Erased { subject } => {
                Wire { personal: ErasedBody { subject: *subject, erased: true } }.serialize(serializer)
            }
        }
    }
}

impl<'de, T> Deserialize<'de> for Personal<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Wire::<Body>::deserialize(deserializer)?.personal {
            Body::Sealed(sealed) => Self::Sealed(sealed),
            Body::Erased(body) => Self::Erased { subject: body.subject },
        })
    }
}

impl<T> JsonSchema for Personal<T> {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Personal")
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "A value that belongs to a person, sealed under that person's key; unreadable once the key is destroyed.",
            "properties": { "$personal": {
                "type": "object",
                "properties": {
                    "subject": { "type": "string", "format": "uuid" },
                    "key": { "type": "string", "format": "uuid" },
                    "alg": { "const": ALG },
                    "nonce": { "type": "string" },
                    "data": { "type": "string" }
                },
                "required": ["subject", "key", "alg", "nonce", "data"],
                "additionalProperties": false
            } },
            "required": ["$personal"],
            "additionalProperties": false
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Note(Personal<String>);
    impl HasPersonal for Note {
        fn visit_personal(&mut self, visit: &mut dyn FnMut(&mut dyn PersonalField)) {
            visit(&mut self.0);
        }
    }

    fn key(n: u8) -> DataKey {
        DataKey::new(Uuid::from_u128(n.into()), [n; 32])
    }

    fn note() -> Note {
        Note(Personal::known(Uuid::from_u128(7), "Ada Example".to_owned()))
    }

    #[test]
    fn a_sealed_value_opens_with_its_key_and_shows_no_clear_text() {
        let mut note = note();
        note.seal_all(&|_| Some(key(1)), &mut || [9; 24]).unwrap();
        let text = serde_json::to_string(&note.0).unwrap();
        assert!(text.starts_with("{\"$personal\":{\"subject\":") && !text.contains("Ada"), "{text}");
        let mut back = Note(serde_json::from_str(&text).unwrap());
        back.open_all(&|id| (id == Uuid::from_u128(1)).then(|| key(1))).unwrap();
        assert_eq!(back.0.value().map(String::as_str), Some("Ada Example"));
    }

    #[test]
    fn a_destroyed_key_makes_the_value_erased_not_an_error() {
        let mut note = note();
        note.seal_all(&|_| Some(key(1)), &mut || [9; 24]).unwrap();
        note.open_all(&|_| None).unwrap();
        assert!(note.0.is_erased());
    }

    #[test]
    fn clear_text_cannot_be_serialised() {
        assert!(serde_json::to_string(&note().0).is_err());
    }

    #[test]
    fn a_changed_cipher_text_subject_or_key_is_refused() {
        let mut note = note();
        note.seal_all(&|_| Some(key(1)), &mut || [9; 24]).unwrap();
        let Personal::Sealed(sealed) = note.0 else { panic!("sealed") };
        let other = Sealed { subject: Uuid::from_u128(8), ..sealed.clone() };
        let mut moved = Note(Personal::Sealed(other));
        assert_eq!(moved.open_all(&|_| Some(key(1))), Err(PersonalError::Corrupt));
        let mut wrong = Note(Personal::Sealed(sealed));
        assert_eq!(wrong.open_all(&|_| Some(key(2))), Err(PersonalError::Corrupt));
    }
}
