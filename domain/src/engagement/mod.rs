//! What readers do with what they read: a call is one stream with one event.
//!
//! Owns what may be said in a call, and that the same call said again changes nothing. Whether an item was told in another call already is
//! the projection's to see; whether articles and entities exist comes in with the command.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use docket_events::{
    HasPersonal,
    engagement::{Action, Engaged, EngagementEvent, EngagementRecorded},
    personal::PersonalField,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Aggregate, At, Decided};

pub mod trend;

#[cfg(test)]
mod tests;

/// So many items a call may hold.
pub const MAX_ITEMS: usize = 1_000;
/// So long ago something may have been done.
const OLDEST: TimeDelta = TimeDelta::days(30);
/// Clocks differ: so far ahead something may have been done.
const AHEAD: TimeDelta = TimeDelta::minutes(5);
/// The longest look, a day, in milliseconds.
const MAX_DWELL_MS: u32 = 24 * 60 * 60 * 1_000;

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There are none, or too many, or an item does not do.
    #[error("`items` {0}")]
    Items(String),
    /// Another call of this reader had the id.
    #[error("another call with other items had this batch id")]
    BatchTaken,
}

impl Refusal {
    /// The stable name of this refusal.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Items(_) => "invalid",
            Self::BatchTaken => "batch_taken",
        }
    }
}

/// A call as its event tells it. The default was never made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// What was told; empty: it was never made.
    pub items: Vec<Engaged>,
}

impl Aggregate for Batch {
    type Event = EngagementEvent;

    const SCHEMA: i32 = 1;

    fn evolve(&mut self, event: &EngagementEvent, _: At) {
        let EngagementEvent::Recorded(event) = event;
        self.items.clone_from(&event.items);
    }
}

impl HasPersonal for Batch {
    fn visit_personal(&mut self, _: &mut dyn FnMut(&mut dyn PersonalField)) {}
}

/// The stream of a call: one for each of a reader's batch ids.
#[must_use]
pub fn batch_stream(tenant: Uuid, user_id: Uuid, batch_id: &str) -> Uuid {
    Uuid::new_v5(&tenant, format!("engagement:{user_id}:{batch_id}").as_bytes())
}

/// Decides that a reader did these things. The same call again: nothing happens.
#[must_use]
pub fn record(
    state: &Batch,
    user_id: Uuid,
    items: &[Engaged],
    now: DateTime<Utc>,
) -> Decided<EngagementEvent, Refusal> {
    if !state.items.is_empty() {
        return match state.items == items {
            true => Decided::accepted(Vec::new()),
            false => Decided::refused(Refusal::BatchTaken),
        };
    }
    match check(items, now) {
        Err(reason) => Decided::refused(Refusal::Items(reason)),
        Ok(()) => {
            Decided::accepted(vec![EngagementEvent::Recorded(EngagementRecorded { user_id, items: items.to_vec() })])
        }
    }
}

fn check(items: &[Engaged], now: DateTime<Utc>) -> Result<(), String> {
    if !(1..=MAX_ITEMS).contains(&items.len()) {
        return Err(format!("must be 1 to {MAX_ITEMS}"));
    }
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        check_item(item, now).map_err(|reason| format!("cannot be taken: in item {index}, {reason}"))?;
        if !seen.insert(item.id) {
            return Err(format!("cannot be taken: item {index} has the id of another"));
        }
    }
    Ok(())
}

fn check_item(item: &Engaged, now: DateTime<Utc>) -> Result<(), String> {
    match (item.action, item.dwell_ms) {
        (Action::Dwell, Some(1..=MAX_DWELL_MS)) => {}
        (Action::Dwell, _) => return Err(format!("`dwell_ms` must be 1 to {MAX_DWELL_MS}")),
        (Action::View | Action::Click | Action::Save | Action::Share, None) => {}
        (_, Some(_)) => return Err("`dwell_ms` must not be given with another action than `dwell`".to_owned()),
    }
    match item.at {
        Some(at) if at > now + AHEAD => Err("`at` must not lie in the future".to_owned()),
        Some(at) if at < now - OLDEST => Err(format!("`at` must not be more than {} days ago", OLDEST.num_days())),
        Some(_) | None => Ok(()),
    }
}
