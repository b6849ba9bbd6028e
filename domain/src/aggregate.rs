//! What every aggregate is to the rest of Docket: a state that events evolve.

use chrono::{DateTime, Utc};
use docket_events::{EventData, HasPersonal};
use serde::{Serialize, de::DeserializeOwned};

/// Where and when an event stands in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// The event's version, from 1.
    pub version: u64,
    /// The time that was decided.
    pub time: DateTime<Utc>,
}

/// The state of one stream, folded from its events.
///
/// The state is serialised into snapshots, so its personal fields stay sealed as they came from the log.
pub trait Aggregate: HasPersonal + Default + Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The events of this aggregate's streams.
    type Event: EventData;

    /// The version of the state's serialised form. A snapshot of another version is ignored: raise it whenever the fields change.
    const SCHEMA: i32;

    /// The state after `event`. Never fails: whatever was journalled is a fact.
    fn evolve(&mut self, event: &Self::Event, at: At);

    /// The instant from which the clock has something to do with this aggregate, while nothing else happens.
    fn deadline(&self) -> Option<DateTime<Utc>> {
        None
    }

    /// Whether decisions need the personal fields of the state in clear.
    fn decides_in_clear(&self) -> bool {
        false
    }
}

/// What a decision came to: facts to append, and whether the command was accepted.
///
/// A refused command may still bring facts: a withdrawal after the deadline is refused, and the time-out it found is recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided<E, R> {
    /// What to append, in order.
    pub events: Vec<E>,
    /// Why the command itself was refused, if it was.
    pub refusal: Option<R>,
}

impl<E, R> Decided<E, R> {
    /// The command is accepted with these events; none: it changed nothing.
    #[must_use]
    pub const fn accepted(events: Vec<E>) -> Self {
        Self { events, refusal: None }
    }

    /// The command is refused and nothing happened.
    #[must_use]
    pub const fn refused(refusal: R) -> Self {
        Self { events: Vec::new(), refusal: Some(refusal) }
    }
}
