//! What is looked up for a command to one stream in others: which entities exist, and that only one merge is decided at a time.

use std::collections::BTreeSet;

use docket_platform::db;
use sha2::{Digest, Sha256};
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::existing;

/// Those of `ids` that were ever added as entities of `tenant`, whatever became of them since.
///
/// # Errors
/// When the database does not answer.
pub async fn entities_among(pool: &PgPool, tenant: Uuid, ids: &[Uuid]) -> Result<BTreeSet<Uuid>, sqlx::Error> {
    existing::among(pool, tenant, existing::ENTITIES, ids).await
}

/// Keeps every other process from merging entities of `tenant` until it is dropped: two merges that were decided side by side could each
/// be into what the other takes away.
///
/// # Errors
/// When the database does not answer, or others merge for longer than a writer waits.
pub(super) async fn merging(pool: &PgPool, tenant: Uuid) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let digest = Sha256::digest(format!("docket.knowledge.merge:{tenant}"));
    let mut key = [0; 8];
    key.copy_from_slice(&digest[..8]);
    let mut transaction = db::tenant_transaction(pool, tenant).await?;
    sqlx::query("select pg_advisory_xact_lock($1)").bind(i64::from_be_bytes(key)).execute(&mut *transaction).await?;
    Ok(transaction)
}
