//! Histories and votes, loaded for many consultations at once. Owns the batching of one request, under the asker's tenant.

use std::collections::HashMap;

use async_graphql::dataloader::Loader;
use docket_domain::consultation::view::{HistoryView, VoteView};
use docket_platform::Problem;
use uuid::Uuid;

use super::rows;
use crate::read::Reads;

/// Loads histories as one tenant.
pub struct Histories {
    reads: Reads,
    tenant: Uuid,
}

impl Histories {
    /// Histories that `tenant` may see.
    pub fn new(reads: Reads, tenant: Uuid) -> Self {
        Self { reads, tenant }
    }
}

impl Loader<Uuid> for Histories {
    type Value = Vec<HistoryView>;
    type Error = Problem;

    async fn load(&self, keys: &[Uuid]) -> Result<HashMap<Uuid, Self::Value>, Problem> {
        let read = async {
            let mut tx = self.reads.begin(self.tenant).await?;
            rows::histories(&mut tx, keys).await
        };
        Ok(self.reads.guard(read).await?)
    }
}

/// Loads votes as one tenant.
pub struct Votes {
    reads: Reads,
    tenant: Uuid,
}

impl Votes {
    /// Votes that `tenant` may see.
    pub fn new(reads: Reads, tenant: Uuid) -> Self {
        Self { reads, tenant }
    }
}

impl Loader<Uuid> for Votes {
    type Value = Vec<VoteView>;
    type Error = Problem;

    async fn load(&self, keys: &[Uuid]) -> Result<HashMap<Uuid, Self::Value>, Problem> {
        let read = async {
            let mut tx = self.reads.begin(self.tenant).await?;
            rows::votes(&mut tx, keys).await
        };
        Ok(self.reads.guard(read).await?)
    }
}
