//! The command API against a real PostgreSQL: what a client can notice, and what stands in the journal afterwards.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod api_key_secrets;
mod api_keys;
mod consultation;
mod doors;
mod idempotency;
mod input;
mod login;
mod outage;
mod passwords;
mod scheduler;
mod second_factor;
mod sessions;
mod setup;
mod support;
mod tokens;
