//! Hands changes of one source to the subscribers of their tenant.
//!
//! Owns the channels, one a tenant, each bounded: who falls behind its buffer is told to resync. No subscriber is ever given another
//! tenant's change.

use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use docket_log::Position;
use tokio::sync::{OnceCell, broadcast, watch};
use uuid::Uuid;

use super::{Change, Followed};
use crate::position::Source;

/// Changes of one tenant, in the order of each shard.
#[derive(Debug)]
pub(super) struct Batch<F: Followed> {
    pub(super) changes: Vec<Change>,
    /// After the last change of this batch, all up to here were handed out.
    pub(super) reached: Option<Arc<Position>>,
    /// What changed, as it stands: loaded once, by the first subscriber, for all of the tenant.
    pub(super) rows: OnceCell<F::Rows>,
}

/// What a hub hands out.
#[derive(Debug, Clone)]
pub(super) enum News<F: Followed> {
    Changes(Arc<Batch<F>>),
    /// Something was skipped or done again: read anew.
    Resync,
}

/// The subscribers of this process to one source, by tenant.
#[derive(Debug)]
pub struct Hub<F: Followed> {
    buffer: usize,
    tenants: Mutex<Tenants<F>>,
    /// Whether the follower has its cursors: before that, changes could pass between a subscriber and the follower.
    following: watch::Sender<bool>,
}

#[derive(Debug)]
struct Tenants<F: Followed> {
    channels: HashMap<Uuid, broadcast::Sender<News<F>>>,
    closed: bool,
}

impl<F: Followed> Hub<F> {
    /// A hub whose subscribers may each be `buffer` batches behind.
    pub fn new(buffer: usize) -> Self {
        let tenants = Mutex::new(Tenants { channels: HashMap::new(), closed: false });
        Self { buffer, tenants, following: watch::Sender::new(false) }
    }

    fn tenants(&self) -> MutexGuard<'_, Tenants<F>> {
        // The map is valid after every statement, so a panic elsewhere leaves nothing broken behind.
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves once the follower follows.
    pub(super) async fn followed(&self) {
        // The sender is `self`: it cannot be gone.
        let _ = self.following.subscribe().wait_for(|following| *following).await;
    }

    /// Everything of `tenant` that is handed out from now on; none when the process is ending.
    pub(super) fn subscribe(&self, tenant: Uuid) -> Option<broadcast::Receiver<News<F>>> {
        let mut tenants = self.tenants();
        if tenants.closed {
            return None;
        }
        Some(tenants.channels.entry(tenant).or_insert_with(|| broadcast::Sender::new(self.buffer)).subscribe())
    }

    fn send(&self, tenant: Uuid, news: News<F>) {
        let mut tenants = self.tenants();
        let unheard = tenants.channels.get(&tenant).is_some_and(|channel| channel.send(news).is_err());
        if unheard {
            tenants.channels.remove(&tenant);
        }
    }
}

/// A hub as the follower sees it, whatever changes there.
pub(super) trait Outlet: Debug + Send + Sync {
    /// What is followed for it.
    fn source(&self) -> Source;

    /// The follower follows.
    fn follows(&self);

    /// How many subscribers and reads that wait listen for `tenant`.
    fn listeners(&self, tenant: Uuid) -> usize;

    /// Whether anybody listens for `tenant`.
    fn is_heard_by(&self, tenant: Uuid) -> bool;

    /// Whether anybody listens at all. Whoever comes later reads from the database what is there by then.
    fn is_heard(&self) -> bool;

    /// Hands changes to those who listen for `tenant`; with `reached`, all up to there were handed out.
    fn publish(&self, tenant: Uuid, changes: Vec<Change>, reached: Option<Arc<Position>>);

    /// Tells all subscribers to read anew.
    fn resync_all(&self);

    /// Ends every subscription: the process is ending.
    fn close(&self);
}

impl<F: Followed> Outlet for Hub<F> {
    fn source(&self) -> Source {
        F::SOURCE
    }

    fn follows(&self) {
        self.following.send_replace(true);
    }

    fn listeners(&self, tenant: Uuid) -> usize {
        self.tenants().channels.get(&tenant).map_or(0, broadcast::Sender::receiver_count)
    }

    fn is_heard_by(&self, tenant: Uuid) -> bool {
        self.tenants().channels.contains_key(&tenant)
    }

    fn is_heard(&self) -> bool {
        let mut tenants = self.tenants();
        tenants.channels.retain(|_, channel| channel.receiver_count() > 0);
        !tenants.channels.is_empty()
    }

    fn publish(&self, tenant: Uuid, changes: Vec<Change>, reached: Option<Arc<Position>>) {
        self.send(tenant, News::Changes(Arc::new(Batch { changes, reached, rows: OnceCell::new() })));
    }

    fn resync_all(&self) {
        self.tenants().channels.retain(|_, channel| channel.send(News::Resync).is_ok());
    }

    fn close(&self) {
        let mut tenants = self.tenants();
        tenants.closed = true;
        tenants.channels.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consultation::Consultations;

    fn hub() -> Hub<Consultations> {
        Hub::new(4)
    }

    #[test]
    fn news_reach_their_own_tenant_only() {
        let hub = hub();
        let [ours, theirs] = [1, 2].map(Uuid::from_u128);
        let mut heard = hub.subscribe(ours).unwrap();
        hub.send(theirs, News::Resync);
        assert!(heard.try_recv().is_err());
        hub.send(ours, News::Resync);
        assert!(heard.try_recv().is_ok());
    }

    #[test]
    fn a_tenant_that_nobody_listens_for_is_forgotten() {
        let hub = hub();
        let tenant = Uuid::from_u128(1);
        drop(hub.subscribe(tenant));
        assert!(hub.is_heard_by(tenant));
        hub.send(tenant, News::Resync);
        assert!(!hub.is_heard_by(tenant));
        let listening = hub.subscribe(tenant);
        assert!(hub.is_heard());
        drop(listening);
        assert!(!hub.is_heard() && !hub.is_heard_by(tenant));
    }

    #[test]
    fn a_closed_hub_takes_nobody_in() {
        let hub = hub();
        hub.close();
        assert!(hub.subscribe(Uuid::nil()).is_none());
    }
}
