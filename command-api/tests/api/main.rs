//! The command API against a real PostgreSQL: what a client can notice, and what stands in the journal afterwards.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod api_key_secrets;
mod api_keys;
mod attempts;
mod citing;
mod consultation;
mod deciding;
mod doors;
mod engagement;
mod feed;
mod idempotency;
mod input;
mod knowledge;
mod limits;
mod login;
mod members;
mod memberships;
mod notifications;
mod outage;
mod passwords;
mod receipts;
mod register;
mod scheduler;
mod second_factor;
mod sessions;
mod setup;
mod support;
mod templates;
mod tokens;
