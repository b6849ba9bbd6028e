//! The decisions of Docket: state and command in, events or a refusal out.
//!
//! A folder per aggregate: `state` (what is known, and how events evolve it), `command`, `decide`, and the tests beside them.
//! Everything here is pure and synchronous: time, ids and looked-up data come in as arguments, nothing does I/O.

pub mod aggregate;
pub mod calendar;
pub mod consultation;
pub mod engagement;
pub mod feed;
mod fields;
pub mod identity;
pub mod knowledge;
pub mod notice;
pub mod template;
pub mod webhook;

pub use aggregate::{Aggregate, At, Decided};
