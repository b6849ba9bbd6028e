//! Where the keys of receipts are kept: the table `auth.receipt_key`. Owns its statements. A key is never removed: what it signed must stay
//! verifiable.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection, PgPool};

use super::super::store::{clock, insert, locked, with_states};
use super::super::{AuthError, KeyState, Rotation, SigningKey, StoredKey, Validity};
use super::ReceiptKeys;
use crate::db;

/// Who makes keys holds this. Any number that nothing else locks: "receipt" as ASCII.
const LOCK: i64 = 0x0072_6563_6569_7074;
/// What the ids of keys of receipts begin with, so that whoever checks one offline takes no other key of the set.
pub const RECEIPT_KID_PREFIX: &str = "receipt-";

type Row = (String, Vec<u8>, Vec<u8>, DateTime<Utc>);

/// A new key of receipts, which is stored nowhere.
///
/// # Errors
/// When the public half cannot be derived.
pub fn new_receipt_key() -> Result<SigningKey, AuthError> {
    Ok(SigningKey::generate()?.named_after(RECEIPT_KID_PREFIX))
}

/// All keys, in the order in which they begin to sign.
///
/// # Errors
/// When the database fails or holds a key that cannot be used.
pub async fn load_receipt_keys(pool: &PgPool) -> Result<ReceiptKeys, AuthError> {
    let mut connection = db::acquire(pool).await?;
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT kid, public_der, private_der, signs_from FROM auth.receipt_key ORDER BY signs_from, created_at, kid",
    )
    .fetch_all(&mut *connection)
    .await?;
    let keys = rows.into_iter().map(|(kid, public, private, signs_from)| {
        SigningKey::from_der(kid, &public, Some(private), Validity { signs_from: Some(signs_from), retires_at: None })
    });
    Ok(ReceiptKeys::new(keys.collect::<Result<_, _>>()?))
}

/// Makes the first key if there is none. Several processes may do so at once: one key comes out.
///
/// # Errors
/// When the database fails.
pub async fn ensure_receipt_key(connection: &mut PgConnection) -> Result<(), AuthError> {
    let mut transaction = connection.begin().await?;
    let now = locked(&mut transaction, LOCK).await?;
    if stored(&mut transaction).await?.is_empty() {
        let key = new_receipt_key()?;
        insert(&mut transaction, INSERT, &key, now, now).await?;
        tracing::info!(kid = key.kid(), "made a key of receipts");
    }
    transaction.commit().await?;
    Ok(())
}

/// All keys, the newest last, with what each does now by the database's clock.
///
/// # Errors
/// When the database fails.
pub async fn list_receipt_keys(pool: &PgPool) -> Result<Vec<(StoredKey, KeyState)>, AuthError> {
    let mut connection = db::acquire(pool).await?;
    let now = clock(&mut connection).await?;
    Ok(with_states(stored(&mut connection).await?, now))
}

/// Makes a new key, which signs the receipts of outcomes from `lead` on. Those of earlier outcomes stay as they are.
///
/// # Errors
/// When the database fails; then nothing was changed.
pub async fn rotate_receipt_key(pool: &PgPool, lead: Duration) -> Result<Rotation, AuthError> {
    let mut connection = db::acquire(pool).await?;
    let mut transaction = connection.begin().await?;
    let now = locked(&mut transaction, LOCK).await?;
    if let Some(waiting) = stored(&mut transaction).await?.into_iter().find(|key| key.signs_from > now) {
        return Ok(Rotation::UnderWay(waiting));
    }
    let (key, signs_from) = (new_receipt_key()?, now + lead);
    insert(&mut transaction, INSERT, &key, now, signs_from).await?;
    transaction.commit().await?;
    Ok(Rotation::Done(StoredKey { kid: key.kid().to_owned(), created_at: now, signs_from, retires_at: None }))
}

async fn stored(connection: &mut PgConnection) -> Result<Vec<StoredKey>, sqlx::Error> {
    sqlx::query_as(
        "SELECT kid, created_at, signs_from, NULL::timestamptz AS retires_at FROM auth.receipt_key ORDER BY signs_from, created_at, kid",
    )
    .fetch_all(connection)
    .await
}

const INSERT: &str =
    "INSERT INTO auth.receipt_key (kid, public_der, private_der, created_at, signs_from) VALUES ($1, $2, $3, $4, $5)";
