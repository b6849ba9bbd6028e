//! Kafka: the log's public face, one topic per category, one partition per shard.
//!
//! | you look for | module |
//! |---|---|
//! | brokers, passwords, topic names | [`config`] |
//! | what can go wrong, in words | [`error`] |
//! | clients made from the settings | [`client`] |
//! | topics made or verified | [`topics`] |
//! | events to messages and back; what is foreign | [`message`] |
//! | the ends of partitions, and pages of them | [`probe`] |
//! | following partitions as projections do | [`reader`] |
//!
//! The relay, which fills the topics from the journal, is [`crate::relay`].

pub mod client;
pub mod config;
pub mod error;
pub mod message;
pub mod probe;
pub mod reader;
pub mod topics;

pub use client::Kafka;
pub use config::KafkaArgs;
pub use error::KafkaError;
pub use message::{Foreign, MacKey};
pub use probe::{Edge, Last, Probe};
