//! The hubs of a process. Owns the list of what is followed.

use std::sync::Arc;

use uuid::Uuid;

use super::{Hub, hub::Outlet};
use crate::{consultation::Consultations, engagement::Engagements, feed::Feed, knowledge::Knowledge};

/// One hub for each source that is followed. Clones are the same ones.
#[derive(Debug, Clone)]
pub struct Hubs {
    /// Consultations.
    pub consultations: Arc<Hub<Consultations>>,
    /// Entities and relationships.
    pub knowledge: Arc<Hub<Knowledge>>,
    /// Articles.
    pub feed: Arc<Hub<Feed>>,
    /// What readers do.
    pub engagement: Arc<Hub<Engagements>>,
}

impl Hubs {
    /// Hubs whose subscribers may each be `buffer` batches behind.
    pub fn new(buffer: usize) -> Self {
        Self {
            consultations: Arc::new(Hub::new(buffer)),
            knowledge: Arc::new(Hub::new(buffer)),
            feed: Arc::new(Hub::new(buffer)),
            engagement: Arc::new(Hub::new(buffer)),
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<dyn Outlet>> {
        vec![self.consultations.clone(), self.knowledge.clone(), self.feed.clone(), self.engagement.clone()]
    }

    /// How many subscribers and reads that wait listen for `tenant`.
    pub fn listeners(&self, tenant: Uuid) -> usize {
        self.all().iter().map(|hub| hub.listeners(tenant)).sum()
    }
}
