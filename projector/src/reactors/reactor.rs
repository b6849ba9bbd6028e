//! What a reactor is: which events ask it for something, and how it does that.

use std::{fmt, time::Duration};

use docket_events::{Category, Event, Recorded};
use futures_util::future::BoxFuture;
use uuid::Uuid;

use crate::projection::{Info, Poison};

/// To whom, or what for: with the event and the reactor it names one intent. It stands in a table, so it holds nothing personal.
pub type Target = String;

/// Which events ask for something. The same for every process of a release.
pub struct Reactor {
    pub(super) info: Info,
    /// What an event asks for. Pure; personal fields are still sealed.
    pub(super) wants: fn(&Recorded, &Event) -> Result<Vec<Target>, Poison>,
}

impl Reactor {
    /// A reactor to the events of `categories`, under a name that never changes.
    #[must_use]
    pub const fn new(
        name: &'static str,
        categories: &'static [Category],
        wants: fn(&Recorded, &Event) -> Result<Vec<Target>, Poison>,
    ) -> Self {
        Self { info: Info { name, version: 1, categories, tables: &[] }, wants }
    }

    /// Its name in checkpoints, intents, metrics and on the command line.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.info.name
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reactor").field(&self.info.name).finish()
    }
}

/// One thing to do.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The same in every attempt: an idempotency key for whoever takes it.
    pub id: Uuid,
    /// What it is done for.
    pub target: Target,
    /// Why it is done.
    pub event: Recorded,
    /// The event, with personal fields opened as far as their keys still exist.
    pub data: Event,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

/// What a delivery came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    /// It was taken: by whom, and under which name there. Nothing personal.
    By(String),
    /// There is nothing to do any more, for this reason.
    Moot(&'static str),
}

/// Why a delivery did not come about. The texts are kept and shown to operators; they hold nothing personal and no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// It may work later.
    #[error("{reason}")]
    Passing {
        /// What is wrong.
        reason: String,
        /// Not before then, as whoever refused said.
        retry_after: Option<Duration>,
    },
    /// It will never work.
    #[error("{0}")]
    Lasting(String),
}

/// Does what a [`Reactor`] wants.
pub trait React: Send + Sync {
    /// Does it. It may be asked again for the same delivery after it was done: a process can die in between.
    ///
    /// # Errors
    /// See [`DeliveryError`].
    fn react<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Delivered, DeliveryError>>;
}
