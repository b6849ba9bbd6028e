//! The log in Kafka, over real brokers: relay, topics, reader, security, and what may stand in a topic that no relay wrote.

mod foreign;
mod loss;
pub mod projecting;
mod reader;
mod relay;
mod restored;
mod security;
mod size;
pub mod support;
mod topics;
