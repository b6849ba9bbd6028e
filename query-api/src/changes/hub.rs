//! Hands changes to the subscribers of their tenant.
//!
//! Owns the channels, one a tenant, each bounded: who falls behind its buffer is told to resync. No subscriber is ever given another
//! tenant's change.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{broadcast, watch};
use uuid::Uuid;

use super::News;

/// The subscribers of this process, by tenant.
#[derive(Debug)]
pub struct Hub {
    buffer: usize,
    tenants: Mutex<Tenants>,
    /// Whether the follower has its cursors: before that, changes could pass between a subscriber and the follower.
    following: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Tenants {
    channels: HashMap<Uuid, broadcast::Sender<News>>,
    closed: bool,
}

impl Hub {
    /// A hub whose subscribers may each be `buffer` batches behind.
    pub fn new(buffer: usize) -> Self {
        Self { buffer, tenants: Mutex::default(), following: watch::Sender::new(false) }
    }

    fn tenants(&self) -> MutexGuard<'_, Tenants> {
        // The map is valid after every statement, so a panic elsewhere leaves nothing broken behind.
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn follows(&self) {
        self.following.send_replace(true);
    }

    /// Resolves once the follower follows.
    pub(super) async fn followed(&self) {
        // The sender is `self`: it cannot be gone.
        let _ = self.following.subscribe().wait_for(|following| *following).await;
    }

    /// Everything of `tenant` that is handed out from now on; none when the process is ending.
    pub(super) fn subscribe(&self, tenant: Uuid) -> Option<broadcast::Receiver<News>> {
        let mut tenants = self.tenants();
        if tenants.closed {
            return None;
        }
        Some(tenants.channels.entry(tenant).or_insert_with(|| broadcast::Sender::new(self.buffer)).subscribe())
    }

    /// How many subscribers and reads that wait listen for `tenant`.
    pub fn listeners(&self, tenant: Uuid) -> usize {
        self.tenants().channels.get(&tenant).map_or(0, broadcast::Sender::receiver_count)
    }

    /// Whether anybody listens for `tenant`.
    pub(super) fn is_heard(&self, tenant: Uuid) -> bool {
        self.tenants().channels.contains_key(&tenant)
    }

    pub(super) fn publish(&self, tenant: Uuid, news: News) {
        let mut tenants = self.tenants();
        let unheard = tenants.channels.get(&tenant).is_some_and(|channel| channel.send(news).is_err());
        if unheard {
            tenants.channels.remove(&tenant);
        }
    }

    pub(super) fn resync_all(&self) {
        self.tenants().channels.retain(|_, channel| channel.send(News::Resync).is_ok());
    }

    /// Ends every subscription: the process is ending.
    pub(super) fn close(&self) {
        let mut tenants = self.tenants();
        tenants.closed = true;
        tenants.channels.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_reach_their_own_tenant_only() {
        let hub = Hub::new(4);
        let [ours, theirs] = [1, 2].map(Uuid::from_u128);
        let mut heard = hub.subscribe(ours).unwrap();
        hub.publish(theirs, News::Resync);
        assert!(heard.try_recv().is_err());
        hub.publish(ours, News::Resync);
        assert!(heard.try_recv().is_ok());
    }

    #[test]
    fn a_tenant_that_nobody_listens_for_is_forgotten() {
        let hub = Hub::new(4);
        let tenant = Uuid::from_u128(1);
        drop(hub.subscribe(tenant));
        assert!(hub.is_heard(tenant));
        hub.publish(tenant, News::Resync);
        assert!(!hub.is_heard(tenant));
    }

    #[test]
    fn a_closed_hub_takes_nobody_in() {
        let hub = Hub::new(4);
        hub.close();
        assert!(hub.subscribe(Uuid::nil()).is_none());
    }
}
