//! What every role of Docket needs and none of them owns: configuration, telemetry, the database's roles and pools,
//! circuit breakers, HTTP manners, access tokens, health, shutdown, and the private PostgreSQL cluster.
//!
//! This crate must not know any feature: no aggregate, no event, no table but those of its own concern.

pub mod auth;
pub mod breaker;
pub mod clock;
pub mod config;
pub mod db;
pub mod embedded;
pub mod health;
pub mod http;
pub mod ids;
pub mod metrics;
pub mod outgoing;
pub mod problem;
pub mod rate_limit;
pub mod scratch_kafka;
pub mod serve;
pub mod shutdown;
pub mod telemetry;
pub mod webhook;

pub use problem::{FieldError, Problem, ProblemDocument};
pub use shutdown::Shutdown;
