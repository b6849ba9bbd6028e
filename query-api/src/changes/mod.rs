//! The change feed: one follower reads it for the whole process, a hub for each source hands each tenant's changes to that tenant's
//! subscribers.
//!
//! Owns the promise that a subscriber misses nothing or is told so. The feed carries keys and positions only: what a subscriber
//! sees of what changed is read under its own tenant.
//!
//! To follow one more source: a file with its [`Followed`] and the [`Interest`] of each subscription, beside the subscription, and its hub
//! in [`Hubs`].

pub(crate) mod entries;
mod follower;
mod hub;
mod hubs;
mod subscriber;
mod watch;

use std::{
    fmt::Debug,
    future::{self, Future},
};

use chrono::{DateTime, Utc};
use docket_events::ShardId;
use uuid::Uuid;

use crate::{
    position::{Gate, Source},
    read::{ReadError, Tx},
};

pub use follower::Follower;
pub use hub::Hub;
pub use hubs::Hubs;
pub use subscriber::{Changed, Subscriber};

/// A source whose changes are told.
pub trait Followed: Debug + Clone + Copy + Send + Sync + 'static {
    /// The projection that writes the changes.
    const SOURCE: Source;
    /// What changed, as it stands.
    type Rows: Debug + Send + Sync + 'static;

    /// What has changed with these keys, each named once, as the tenant of the transaction sees it now. It is loaded once for all
    /// subscribers of the tenant, whatever each of them wants.
    fn load(tx: &mut Tx, keys: &[Uuid]) -> impl Future<Output = Result<Self::Rows, sqlx::Error>> + Send;
}

/// Which changes of a source a subscriber wants, and what it is shown of them.
pub trait Interest: Send + Sync + 'static {
    /// The source.
    type In: Followed;
    /// What the subscriber is shown.
    type Shown: Send;

    /// Whether a change may be wanted, as far as its key and kind can tell.
    fn wants(&self, change: &Change) -> bool;

    /// Looks up what it takes to show these changes, some of which may be wanted. Whoever reads for one subscriber alone takes a turn
    /// ([`Gate::turn`]).
    fn look(
        &mut self,
        gate: &Gate,
        tenant: Uuid,
        changes: &[Change],
        rows: &<Self::In as Followed>::Rows,
    ) -> impl Future<Output = Result<(), ReadError>> + Send {
        let _ = (gate, tenant, changes, rows);
        future::ready(Ok(()))
    }

    /// What is shown of a change that may be wanted; none: nothing.
    fn show(&self, change: &Change, rows: &<Self::In as Followed>::Rows) -> Option<Self::Shown>;
}

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
