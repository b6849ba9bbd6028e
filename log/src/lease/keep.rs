//! The leases of a worker, renewed beside its work so that a long batch costs no shard.
//!
//! Owns the clock of the leases. What is held is published with the instant until which that may be believed.

use std::{collections::BTreeSet, time::Duration};

use docket_events::ShardId;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::Leases;

/// What a worker holds, and until when it may think so.
#[derive(Debug, Clone)]
pub struct Held {
    shards: BTreeSet<ShardId>,
    until: Instant,
}

impl Held {
    /// Nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self { shards: BTreeSet::new(), until: Instant::now() }
    }

    /// What is held now.
    #[must_use]
    pub fn now(&self) -> BTreeSet<ShardId> {
        if Instant::now() < self.until { self.shards.clone() } else { BTreeSet::new() }
    }
}

/// How long a shard that this process cannot work is left to others.
const DECLINED: Duration = Duration::from_secs(5);

/// Renews `leases` and publishes what they hold until `stop`, then gives them back. What comes through `declines` is given back at
/// once.
pub async fn keep(
    mut leases: Leases,
    ttl: Duration,
    held: watch::Sender<Held>,
    mut declines: mpsc::UnboundedReceiver<ShardId>,
    stop: CancellationToken,
) {
    loop {
        // Taken before the question: we must not believe longer than the database does.
        let until = Instant::now() + ttl;
        let pause = match leases.tick().await {
            Ok(shards) => {
                held.send_if_modified(|held| {
                    let news = held.shards != shards;
                    *held = Held { shards, until };
                    news
                });
                leases.period()
            }
            Err(error) => {
                tracing::warn!(%error, "leases cannot be renewed");
                leases.period() / 4
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            Some(shard) = declines.recv() => leases.decline(shard, DECLINED),
            () = tokio::time::sleep(pause) => {}
        }
    }
    held.send_replace(Held::nothing());
    if let Err(error) = leases.leave().await {
        tracing::debug!(%error, "leases were not given back; they run out by themselves");
    }
}
