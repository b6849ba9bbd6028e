//! Upcasters: each lifts one retired version of an event type to the next.
//!
//! When an event type changes shape, its new form gets the next version, the old struct goes, and one function here turns the old
//! JSON into the new. Chains are followed, so `v1` written years ago is lifted to `v2`, then `v3`. The old fixture stays in
//! `fixtures/` for ever.

use std::{collections::HashMap, sync::LazyLock};

use serde_json::Value;

use crate::DecodeError;

/// Turns the data of one version into the data of the next; the error says what does not fit.
pub type Upcast = fn(Value) -> Result<Value, String>;

/// The upcasters of a build: retired type to (next type, function).
#[derive(Default)]
pub struct Upcasters {
    steps: HashMap<&'static str, (&'static str, Upcast)>,
}

impl Upcasters {
    /// No upcasters: only newest versions are readable.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the step from the retired type `from` to `to`.
    #[must_use]
    pub fn with(mut self, from: &'static str, to: &'static str, upcast: Upcast) -> Self {
        self.steps.insert(from, (to, upcast));
        self
    }

    /// Lifts data to the newest version of its type.
    ///
    /// # Errors
    /// [`DecodeError::Unknown`] when no step starts at `event_type`, [`DecodeError::Malformed`] when a step refuses the data.
    pub fn lift(&self, event_type: &str, data: &str) -> Result<(&'static str, String), DecodeError> {
        let malformed = |reason: String| DecodeError::Malformed { event_type: event_type.to_owned(), reason };
        let Some(mut step) = self.steps.get(event_type) else {
            return Err(DecodeError::Unknown(event_type.to_owned()));
        };
        let mut value: Value = serde_json::from_str(data).map_err(|error| malformed(error.to_string()))?;
        loop {
            value = step.1(value).map_err(malformed)?;
            match self.steps.get(step.0) {
                Some(next) => step = next,
                None => return Ok((step.0, value.to_string())),
            }
        }
    }
}

/// The upcasters of this release. Empty: every type is still at its first version.
pub fn registered() -> &'static Upcasters {
    static REGISTERED: LazyLock<Upcasters> = LazyLock::new(Upcasters::new);
    &REGISTERED
}
