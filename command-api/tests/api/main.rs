//! The command API against a real PostgreSQL: what a client can notice, and what stands in the journal afterwards.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod attempts;
mod consultation;
mod doors;
mod idempotency;
mod input;
mod limits;
mod login;
mod outage;
mod passwords;
mod scheduler;
mod setup;
mod support;
mod tokens;
