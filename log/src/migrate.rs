//! Migrations: the write and the read side, in this order, safe to run from several processes at once.

use docket_platform::auth::{AuthError, ensure_receipt_key};
use sqlx::{Connection, Executor, PgConnection, migrate::Migrator};

static WRITE: Migrator = sqlx::migrate!("../migrations/write");
static READ: Migrator = sqlx::migrate!("../migrations/read");

/// Why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database did not answer, or refused.
    #[error("the database refused a migration: {0}")]
    Database(#[from] sqlx::Error),
    /// A migration failed, or the database was migrated by a newer release.
    #[error("a migration failed: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The first key of receipts cannot be made.
    #[error("the first key of receipts cannot be made: {0}")]
    ReceiptKey(#[from] AuthError),
}

/// Brings both schemas up to date, and sees to it that receipts can be signed, on `connection`, which must belong to the owner.
///
/// # Errors
/// See [`MigrateError`]; whatever failed is rolled back, and what went before stays.
pub async fn migrate(connection: &mut PgConnection) -> Result<(), MigrateError> {
    // Migration books of their own, so that each side can grow at its own pace.
    for (migrator, book) in [(&WRITE, "docket_write"), (&READ, "docket_read")] {
        connection.execute(sqlx::AssertSqlSafe(format!("create schema if not exists {book}_migrations"))).await?;
        connection.execute(sqlx::AssertSqlSafe(format!("set search_path = {book}_migrations"))).await?;
        migrator.run(&mut *connection).await?;
    }
    connection.execute("reset search_path").await?;
    // Whoever reads an outcome signs its receipt, and readers make no keys: where the table is, a key is.
    ensure_receipt_key(connection).await?;
    connection.ping().await?;
    Ok(())
}
