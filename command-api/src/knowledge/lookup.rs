//! What is looked up for a command to one stream in others: which entities exist, and that only one merge is decided at a time.

use std::collections::BTreeSet;

use docket_events::Category;
use docket_platform::db;
use sha2::{Digest, Sha256};
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

// A stream begins with the event that adds it, and never loses it.
const EXIST: &str = "select stream_id from write.journal
     where stream_id = any($1) and stream_version = 1 and tenant = $2 and category = $3
       and event_type = 'docket.knowledge.entity_added.v1'";

/// Those of `ids` that were ever added as entities of `tenant`, whatever became of them since.
///
/// # Errors
/// When the database does not answer.
pub async fn entities_among(pool: &PgPool, tenant: Uuid, ids: &[Uuid]) -> Result<BTreeSet<Uuid>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let found: Vec<Uuid> = sqlx::query_scalar(EXIST)
        .bind(ids)
        .bind(tenant)
        .bind(Category::Knowledge.code())
        .fetch_all(&mut *db::acquire(pool).await?)
        .await?;
    Ok(found.into_iter().collect())
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
