//! Where a user may belong: rows of `auth.membership`, by which the organisations of a user are found.
//!
//! A hint and no more: it stands there before the event that lets somebody join, and only the organisation's stream says who belongs.

use docket_log::ExecuteError;
use docket_platform::db;
use sqlx::PgPool;
use uuid::Uuid;

/// Notes that `user` may belong to `tenant`.
///
/// # Errors
/// When the database does not answer.
pub async fn hint(pool: &PgPool, user: Uuid, tenant: Uuid) -> Result<(), ExecuteError> {
    let mut door = db::door(pool).await?;
    sqlx::query("insert into auth.membership (user_id, tenant) values ($1, $2) on conflict do nothing")
        .bind(user)
        .bind(tenant)
        .execute(&mut *door)
        .await?;
    door.commit().await?;
    Ok(())
}
