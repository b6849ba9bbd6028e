//! The data of an event as its own organisation reads it: what belongs to people stands in clear, or is gone.
//!
//! Owns the form: an opened field is its value; one whose key was destroyed is null, and `"erased": true` stands beside it. Neither
//! cipher text nor the ids of keys are in it. This is for answers to those who may read: nothing of it may be written to the log.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    DataKey, Event, HasPersonal, Personal, Sealed,
    personal::{PersonalError, PersonalField},
};

/// Why an event cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ClearError {
    /// The event has no JSON form, which only one in clear has not.
    #[error("an event has no JSON form: {0}")]
    Form(#[from] serde_json::Error),
    /// A field does not open with its key.
    #[error(transparent)]
    Personal(#[from] PersonalError),
}

/// The data of a sealed event in clear; `key_of` finds keys by their ids, and one that is missing means erased.
///
/// # Errors
/// See [`ClearError`].
pub fn data_in_clear(event: &mut Event, key_of: &dyn Fn(Uuid) -> Option<DataKey>) -> Result<Value, ClearError> {
    let data: Value = serde_json::from_str(&event.encode()?)?;
    let mut fields = HashMap::new();
    let mut opened = Ok(());
    event.visit_personal(&mut |field| {
        if let (Some(sealed), true) = (field.sealed(), opened.is_ok()) {
            match open(sealed, key_of) {
                Ok(value) => drop(fields.insert(sealed.nonce.clone(), (sealed.clone(), value))),
                Err(error) => opened = Err(error),
            }
        }
    });
    opened?;
    Ok(if fields.is_empty() { data } else { Clear(fields).value(data) })
}

/// The value in clear; none: it was erased.
fn open(sealed: &Sealed, key_of: &dyn Fn(Uuid) -> Option<DataKey>) -> Result<Option<Value>, PersonalError> {
    let mut field: Personal<Value> = Personal::Sealed(sealed.clone());
    field.open(key_of(sealed.key).as_ref())?;
    Ok(field.value().cloned())
}

/// The fields of people in one event, by their nonces. What else looks like one came in with the data of who asked, and stays.
struct Clear(HashMap<String, (Sealed, Option<Value>)>);

impl Clear {
    fn value(&self, value: Value) -> Value {
        match value {
            Value::Object(members) => Value::Object(self.object(members)),
            Value::Array(items) => Value::Array(items.into_iter().map(|item| self.value(item)).collect()),
            plain => plain,
        }
    }

    fn object(&self, members: Map<String, Value>) -> Map<String, Value> {
        let mut clear = Map::new();
        let mut is_erased = false;
        for (name, member) in members {
            let shown = match self.field(&member) {
                Some(Some(value)) => value.clone(),
                Some(None) => {
                    is_erased = true;
                    Value::Null
                }
                None => self.value(member),
            };
            clear.insert(name, shown);
        }
        if is_erased {
            clear.insert("erased".to_owned(), Value::Bool(true));
        }
        clear
    }

    fn field(&self, member: &Value) -> Option<&Option<Value>> {
        let body = member.as_object().filter(|body| body.len() == 1)?.get("$personal")?;
        let sealed = Sealed::deserialize(body).ok()?;
        let (known, value) = self.0.get(&sealed.nonce)?;
        (*known == sealed).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::consultation::{ConsultationEvent, Person, Requested};

    fn key() -> DataKey {
        DataKey::new(Uuid::from_u128(1), [7; 32])
    }

    fn requested(context: Option<Value>) -> Event {
        let asked = Requested { context, ..Requested::new("Merge?", Person::named(Uuid::from_u128(7), "Ada")) };
        let mut event = Event::Consultation(ConsultationEvent::Requested(asked));
        event.seal_all(&|_| Some(key()), &mut || [9; 24]).unwrap();
        event
    }

    #[test]
    fn a_name_is_shown_or_gone_and_its_key_is_not_told() {
        let shown = data_in_clear(&mut requested(None), &|_| Some(key())).unwrap();
        assert_eq!(shown["requested_by"], json!({ "id": Uuid::from_u128(7), "name": "Ada" }));
        let gone = data_in_clear(&mut requested(None), &|_| None).unwrap();
        assert_eq!(gone["requested_by"], json!({ "id": Uuid::from_u128(7), "name": null, "erased": true }));
        assert!(!gone.to_string().contains(&Uuid::from_u128(1).to_string()));
    }

    #[test]
    fn what_an_asker_made_look_like_a_sealed_field_is_not_opened() {
        let sealed: Value = serde_json::from_str(&requested(None).encode().unwrap()).unwrap();
        let mut copied = sealed["requested_by"]["name"].clone();
        copied["$personal"]["nonce"] = json!("AAAA");
        let shown = data_in_clear(&mut requested(Some(json!({ "name": copied }))), &|_| Some(key())).unwrap();
        assert_eq!(shown["context"], json!({ "name": copied }));
    }

    #[test]
    fn a_field_that_does_not_open_is_no_erasure() {
        let other = DataKey::new(Uuid::from_u128(1), [8; 32]);
        let refused = data_in_clear(&mut requested(None), &|_| Some(other.clone())).unwrap_err();
        assert!(matches!(refused, ClearError::Personal(PersonalError::Corrupt)));
    }
}
