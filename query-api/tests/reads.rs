//! The query API against a real PostgreSQL, through its own doors. Rows are written as a projector would write them.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test, and says where")]
#![allow(clippy::disallowed_methods, reason = "a test calls the servers that it started, as their clients do")]

#[path = "reads/api_keys.rs"]
mod api_keys;
#[path = "reads/articles.rs"]
mod articles;
#[path = "reads/as_of.rs"]
mod as_of;
#[path = "reads/contract.rs"]
mod contract;
#[path = "reads/engagement.rs"]
mod engagement;
#[path = "reads/events.rs"]
mod events;
#[path = "reads/events_log.rs"]
mod events_log;
#[path = "reads/events_on.rs"]
mod events_on;
#[path = "reads/feed.rs"]
mod feed;
#[path = "reads/feed_changes.rs"]
mod feed_changes;
#[path = "reads/fields.rs"]
mod fields;
#[path = "reads/identity.rs"]
mod identity;
#[path = "reads/knowledge.rs"]
mod knowledge;
#[path = "reads/knowledge_changes.rs"]
mod knowledge_changes;
#[path = "reads/knowledge_rest.rs"]
mod knowledge_rest;
#[path = "reads/limits.rs"]
mod limits;
#[path = "reads/lists.rs"]
mod lists;
#[path = "reads/memory.rs"]
mod memory;
#[path = "reads/organisation.rs"]
mod organisation;
#[path = "reads/pages.rs"]
mod pages;
#[path = "reads/positions.rs"]
mod positions;
#[path = "reads/rates.rs"]
mod rates;
#[path = "reads/reading.rs"]
mod reading;
#[path = "reads/receipts.rs"]
mod receipts;
#[path = "reads/rest.rs"]
mod rest;
#[path = "reads/revocations.rs"]
mod revocations;
#[path = "reads/subscriptions.rs"]
mod subscriptions;
#[path = "reads/support.rs"]
mod support;
#[path = "reads/tables.rs"]
mod tables;
#[path = "reads/tenants.rs"]
mod tenants;
#[path = "reads/websocket.rs"]
mod websocket;
