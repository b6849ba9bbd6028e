//! The contract of the log: what was ever written stays readable, byte for byte, and its published schemas tell the truth.
//!
//! A failure here means that a change would break logs, consumers or streams that exist. Do not mend it by changing a frozen file:
//! give the event type a new version and an upcaster.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "contract/asyncapi.rs"]
mod asyncapi;
#[path = "contract/cloud_events.rs"]
mod cloud_events;
#[path = "contract/examples.rs"]
mod examples;
#[path = "contract/fixtures.rs"]
mod fixtures;
#[path = "contract/schemas.rs"]
mod schemas;
#[path = "contract/shards.rs"]
mod shards;
#[path = "contract/upcasting.rs"]
mod upcasting;
