//! The change feed: one follower reads it for the whole process, a hub hands each tenant's changes to that tenant's subscribers.
//!
//! Owns the promise that a subscriber misses nothing or is told so. The feed carries keys and positions only: what a subscriber
//! sees of a consultation is read under its own tenant.

pub(crate) mod entries;
mod follower;
mod hub;
mod subscriber;
mod watch;

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use docket_domain::consultation::view::ConsultationView;
use docket_events::ShardId;
use docket_log::Position;
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::position::{CONSULTATION, Source};

pub use follower::Follower;
pub use hub::Hub;
pub use subscriber::{Changed, Interest, Subscriber};

/// The projection whose changes are followed.
const FOLLOWED: Source = CONSULTATION;

/// One key changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// In this shard.
    pub shard: ShardId,
    /// At this sequence.
    pub sequence: u64,
    /// Whose.
    pub tenant: Uuid,
    /// What changed.
    pub key: Uuid,
    /// How.
    pub kind: String,
    /// When the projection was written.
    pub at: DateTime<Utc>,
}

/// Changes of one tenant, in the order of each shard.
#[derive(Debug)]
struct Batch {
    changes: Vec<Change>,
    /// After the last change of this batch, all up to here were handed out.
    reached: Option<Arc<Position>>,
    /// What changed, as it stands: loaded once, by the first subscriber, for all of the tenant.
    rows: OnceCell<HashMap<Uuid, ConsultationView>>,
}

/// What the hub hands out.
#[derive(Debug, Clone)]
enum News {
    Changes(Arc<Batch>),
    /// Something was skipped or done again: read anew.
    Resync,
}
