//! The vault: the keys of data subjects, in a schema of their own.
//!
//! A key is made before the first event that is sealed under it is appended. Keys are cached for a bounded time, which is also how
//! long an erased person may stay readable in this process.

use std::{collections::HashMap, time::Duration};

use docket_events::{DataKey, HasPersonal, personal::PersonalError};
use docket_platform::ids;
use moka::future::Cache;
use sqlx::PgPool;
use uuid::Uuid;

/// The longest time that a key, or the knowledge that there is none, is kept in memory.
pub const MAX_CACHE_AGE: Duration = Duration::from_secs(60);

/// Why the vault could not help.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The database did not answer.
    #[error("the vault cannot be reached: {0}")]
    Database(#[from] sqlx::Error),
    /// A value could not be sealed or opened.
    #[error(transparent)]
    Personal(#[from] PersonalError),
}

/// Access to the keys of data subjects.
#[derive(Debug, Clone)]
pub struct Vault {
    pool: PgPool,
    by_subject: Cache<Uuid, DataKey>,
    by_id: Cache<Uuid, Option<DataKey>>,
}

impl Vault {
    /// A vault over a pool whose role may read `vault`, and write it where values are sealed.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self {
            pool,
            by_subject: Cache::builder().max_capacity(50_000).time_to_live(MAX_CACHE_AGE).build(),
            by_id: Cache::builder().max_capacity(50_000).time_to_live(MAX_CACHE_AGE).build(),
        }
    }

    /// Seals every personal field in clear, under keys that are durable when this returns.
    ///
    /// # Errors
    /// See [`VaultError`].
    pub async fn seal(&self, values: &mut [impl HasPersonal]) -> Result<(), VaultError> {
        let mut subjects: Vec<Uuid> = values.iter_mut().flat_map(HasPersonal::unsealed_subjects).collect();
        if subjects.is_empty() {
            return Ok(());
        }
        subjects.sort_unstable();
        subjects.dedup();
        let keys = self.keys_of_subjects(&subjects).await?;
        for value in values {
            value.seal_all(&|subject| keys.get(&subject).cloned(), &mut ids::random_bytes::<24>)?;
        }
        Ok(())
    }

    /// Opens every sealed field; where the key is gone the field becomes erased.
    ///
    /// # Errors
    /// See [`VaultError`].
    pub async fn open(&self, values: &mut [impl HasPersonal]) -> Result<(), VaultError> {
        let mut wanted: Vec<Uuid> = values.iter_mut().flat_map(HasPersonal::sealed_under).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        wanted.sort_unstable();
        wanted.dedup();
        let keys = self.keys(&wanted).await?;
        for value in values {
            value.open_all(&|id| keys.get(&id).cloned())?;
        }
        Ok(())
    }

    async fn keys_of_subjects(&self, subjects: &[Uuid]) -> Result<HashMap<Uuid, DataKey>, VaultError> {
        let mut found = HashMap::with_capacity(subjects.len());
        let mut missing = Vec::new();
        for subject in subjects {
            match self.by_subject.get(subject).await {
                Some(key) => {
                    found.insert(*subject, key);
                }
                None => missing.push(*subject),
            }
        }
        // A key that another process makes at this moment is invisible to the first statement and there for the second.
        for _ in 0..2 {
            missing.retain(|subject| !found.contains_key(subject));
            if missing.is_empty() {
                break;
            }
            for (id, subject, secret) in self.make_keys(&missing).await? {
                let Ok(bytes) = <[u8; 32]>::try_from(secret) else { continue };
                let key = DataKey::new(id, bytes);
                self.by_subject.insert(subject, key.clone()).await;
                found.insert(subject, key);
            }
        }
        Ok(found)
    }

    async fn make_keys(&self, subjects: &[Uuid]) -> Result<Vec<(Uuid, Uuid, Vec<u8>)>, sqlx::Error> {
        let ids: Vec<Uuid> = subjects.iter().map(|_| ids::new_id()).collect();
        let secrets: Vec<Vec<u8>> = subjects.iter().map(|_| ids::random_bytes::<32>().to_vec()).collect();
        sqlx::query_as(
            "with made as (
                 insert into vault.data_key (id, subject, secret)
                 select * from unnest($1::uuid[], $2::uuid[], $3::bytea[]) as k (id, subject, secret) order by subject
                 on conflict (subject) do nothing
                 returning id, subject, secret)
             select id, subject, secret from made
             union all
             select id, subject, secret from vault.data_key where subject = any ($2::uuid[])",
        )
        .bind(ids)
        .bind(subjects)
        .bind(secrets)
        .fetch_all(&self.pool)
        .await
    }

    /// Those of these keys that were not destroyed.
    ///
    /// # Errors
    /// See [`VaultError`].
    pub async fn keys(&self, wanted: &[Uuid]) -> Result<HashMap<Uuid, DataKey>, VaultError> {
        let mut found = HashMap::with_capacity(wanted.len());
        let mut missing = Vec::new();
        for id in wanted {
            match self.by_id.get(id).await {
                Some(key) => found.extend(key.map(|key| (*id, key))),
                None => missing.push(*id),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let rows: Vec<(Uuid, Vec<u8>)> = sqlx::query_as("select id, secret from vault.data_key where id = any ($1)")
            .bind(&missing)
            .fetch_all(&self.pool)
            .await?;
        for (id, secret) in rows {
            let Ok(bytes) = <[u8; 32]>::try_from(secret) else { continue };
            found.insert(id, DataKey::new(id, bytes));
        }
        for id in missing {
            self.by_id.insert(id, found.get(&id).cloned()).await;
        }
        Ok(found)
    }
}
