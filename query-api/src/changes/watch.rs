//! Waiting for one key to change, without a connection to the database.

use std::{future, time::Duration};

use tokio::sync::broadcast::{Receiver, error::RecvError};
use uuid::Uuid;

use super::{Followed, Hub, hub::News};

/// How long to wait for the follower's first look.
const PATIENCE: Duration = Duration::from_secs(2);

/// An ear for the changes of a tenant.
pub struct Watch<F: Followed>(Option<Receiver<News<F>>>);

impl<F: Followed> Hub<F> {
    /// Listens from now on: whoever reads after this and then waits misses nothing.
    pub async fn watch(&self, tenant: Uuid) -> Watch<F> {
        // A follower that has not looked yet would begin behind what is read now. It looks at once unless the database is away.
        let _ = tokio::time::timeout(PATIENCE, self.followed()).await;
        Watch(self.subscribe(tenant))
    }
}

impl<F: Followed> Watch<F> {
    /// Returns when what has this key may have changed. Never, once the process is ending.
    pub async fn changed(&mut self, id: Uuid) {
        while let Some(news) = &mut self.0 {
            match news.recv().await {
                Ok(News::Changes(batch)) if batch.changes.iter().all(|change| change.key != id) => {}
                // What was skipped may have been this.
                Ok(News::Changes(_) | News::Resync) | Err(RecvError::Lagged(_)) => return,
                Err(RecvError::Closed) => self.0 = None,
            }
        }
        future::pending().await
    }
}
