//! Reactors: events to side effects, such as mail. Unlike a projection a reactor is never replayed.
//!
//! | step | module |
//! |---|---|
//! | what a reactor is, and what a delivery comes to | `reactor` |
//! | which intents an event makes, noted with the checkpoint | `intents` |
//! | intents become deliveries, each at least once | `delivery` |
//! | when to try again | `backoff` |
//! | aggregates as the journal has them now | `streams` |
//! | running all of it | `run` |
//! | listing them, and trying dead ones again | `deliveries` |
//! | endpoints that are told, with an order and a queue of its own | [`webhook`] |
//! | people who are told of consultations, one letter after another | [`notices`] |
//!
//! The log is read by the same engine as for projections, over the schema `react`. A reactor begins where the log ends when it is
//! registered, notes what it has to do in the transaction that moves its checkpoint, and delivers from there. An intent names its
//! event and holds nothing of it: personal fields are opened at the delivery, so that what was erased is not sent.

mod backoff;
pub mod deliveries;
mod delivery;
mod intents;

mod mail;
pub mod notices;
mod reactor;
mod run;
mod streams;
pub mod webhook;

pub use backoff::Patience;
pub use delivery::{Deliverer, Dispatch};
pub use intents::register;
pub use mail::{MAIL, Postman};
pub use notices::{Correspondence, Letters, NOTICES, Noter};
pub use reactor::{Delivered, Delivery, DeliveryError, React, Reactor, Target};
pub(crate) use run::Reacting;
pub use webhook::{WEBHOOKS, Webhooks};

use crate::projection::Registry;

/// The reactors of this release. What they want is noted by every projector, whether or not it has somebody who delivers.
pub static REACTORS: Registry = &[&MAIL, &NOTICES, &WEBHOOKS];
