//! The names of people and API keys, as events carry them.
//!
//! Owns a cache of at most a minute, which is also how long a person who was erased may still be named here. It must not hold
//! anything but names, and never writes.

use std::{sync::Arc, time::Duration};

use docket_domain::identity::{ApiKey, User};
use docket_events::{Category, StreamId};
use docket_log::{ExecuteError, Store};
use moka::future::Cache;
use uuid::Uuid;

/// How long a name is believed.
const MAX_AGE: Duration = Duration::from_secs(60);

/// Names by user, or API key.
#[derive(Debug, Clone)]
pub struct People {
    store: Store,
    names: Cache<Uuid, Arc<str>>,
    makers: Cache<Uuid, Uuid>,
}

impl People {
    /// Names that are read from `store`.
    #[must_use]
    pub fn new(store: Store) -> Self {
        let names = Cache::builder().max_capacity(50_000).time_to_live(MAX_AGE).build();
        let makers = Cache::builder().max_capacity(50_000).time_to_live(MAX_AGE).build();
        Self { store, names, makers }
    }

    /// The name of a user; none when there is no such user, or the person was erased.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn name(&self, user: Uuid) -> Result<Option<Arc<str>>, ExecuteError> {
        if let Some(name) = self.names.get(&user).await {
            return Ok(Some(name));
        }
        let (mut loaded, _) = self.store.load::<User>(StreamId::new(Category::Identity, user), None).await?;
        self.store.vault().open(std::slice::from_mut(&mut loaded.state)).await?;
        let name = loaded.state.registered.as_ref().and_then(|registered| registered.name.value());
        Ok(self.remember(user, name).await)
    }

    /// The name of an API key; none when there is no such key.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn key_name(&self, key: Uuid) -> Result<Option<Arc<str>>, ExecuteError> {
        if let Some(name) = self.names.get(&key).await {
            return Ok(Some(name));
        }
        let (loaded, _) = self.store.load::<ApiKey>(StreamId::new(Category::Identity, key), None).await?;
        Ok(self.remember(key, loaded.state.name.as_ref()).await)
    }

    /// Who made an API key; none when there is no such key.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn key_maker(&self, key: Uuid) -> Result<Option<Uuid>, ExecuteError> {
        if let Some(maker) = self.makers.get(&key).await {
            return Ok(Some(maker));
        }
        let (loaded, _) = self.store.load::<ApiKey>(StreamId::new(Category::Identity, key), None).await?;
        let Some(maker) = loaded.state.created_by else { return Ok(None) };
        self.makers.insert(key, maker).await;
        Ok(Some(maker))
    }

    async fn remember(&self, id: Uuid, name: Option<&String>) -> Option<Arc<str>> {
        let name: Arc<str> = name?.as_str().into();
        self.names.insert(id, name.clone()).await;
        Some(name)
    }
}
