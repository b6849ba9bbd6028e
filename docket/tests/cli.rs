//! The program as its users meet it: real processes, real PostgreSQL, real ports.

#![allow(clippy::disallowed_methods, reason = "a test calls the servers that it started, as their clients do")]

#[path = "cli/api_keys.rs"]
mod api_keys;
#[path = "cli/commands.rs"]
mod commands;
#[path = "cli/compose.rs"]
mod compose;
#[path = "cli/demo.rs"]
mod demo;
#[path = "cli/events.rs"]
mod events;
#[path = "cli/health.rs"]
mod health;
#[path = "cli/image.rs"]
mod image;
#[path = "cli/imports.rs"]
mod imports;
#[path = "cli/kafka.rs"]
mod kafka;
#[path = "cli/keys.rs"]
mod keys;
#[path = "cli/kills.rs"]
mod kills;
#[path = "cli/limits.rs"]
mod limits;
#[path = "cli/modes.rs"]
mod modes;
#[path = "cli/operations.rs"]
mod operations;
#[path = "cli/pages.rs"]
mod pages;
#[path = "cli/passwords.rs"]
mod passwords;
#[path = "cli/receipts.rs"]
mod receipts;
#[path = "cli/registration.rs"]
mod registration;
#[path = "cli/roles.rs"]
mod roles;
#[path = "cli/seed.rs"]
mod seed;
#[path = "cli/server.rs"]
mod server;
#[path = "cli/sessions.rs"]
mod sessions;
#[cfg(feature = "faults")]
#[path = "cli/supersession.rs"]
mod supersession;
#[path = "cli/webhooks.rs"]
mod webhooks;
#[path = "cli/wild_receiver.rs"]
mod wild_receiver;
