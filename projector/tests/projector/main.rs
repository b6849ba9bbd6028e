//! The projector against a real PostgreSQL and a real Kafka.

// Test support is for the tests beside it.
#![allow(missing_docs)]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]

mod desk;
mod engagement;
mod feed;
mod knowledge;
mod letters;
mod modes;
mod notices;
mod order;
mod people;
mod poison;
mod post;
mod reactors;
mod rebuild;
mod receiver;
mod relay;
mod runtime;
#[path = "../mail/server.rs"]
mod server;
mod support;
mod upkeep;
mod webhooks;
