//! The one way to the read models: inside a transaction of the asker's tenant, behind the breaker.
//!
//! Owns how a read fails and what a client learns of it. It must not hold a query of any feature, and it hands out no connection
//! without a tenant.

use std::{borrow::Cow, future::Future, time::Duration};

use axum::http::StatusCode;
use docket_log::position::InvalidPosition;
use docket_platform::{
    Problem,
    auth::{AuthError, Receipts},
    breaker::{Breaker, BreakerError},
    db, http,
};
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

/// A transaction that sees one tenant's rows and writes none.
pub type Tx = Transaction<'static, Postgres>;

/// Access to the read models as the role `docket_reader`.
#[derive(Debug, Clone)]
pub struct Reads {
    pool: PgPool,
    breaker: Breaker,
    receipts: Receipts,
}

/// Why a read gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// PostgreSQL failed, or is known to be away.
    #[error("the read model cannot be read: {0}")]
    Database(#[from] BreakerError<sqlx::Error>),
    /// The text is no position.
    #[error(transparent)]
    InvalidPosition(#[from] InvalidPosition),
    /// The read model had not come that far when patience ended.
    #[error("the read model has not reached the position")]
    NotReached,
    /// An event at or before the position could not be applied.
    #[error("an event at or before the position is parked")]
    Parked,
    /// What happened since the position is not known any more, or not delivered in time.
    #[error("changes since the position cannot be told")]
    Resync,
    /// The change feed is not followed yet.
    #[error("the change feed is not followed yet")]
    NotFollowing,
    /// An event that only a newer release knows.
    #[error("an event cannot be read: {0}")]
    Newer(docket_events::DecodeError),
    /// An event that does not fit its type, or does not open with its key.
    #[error("an event cannot be shown: {0}")]
    Damaged(String),
    /// Receipts cannot be signed.
    #[error(transparent)]
    Receipts(#[from] AuthError),
    /// An argument that the schema allows and we do not.
    #[error("{name}: {detail}")]
    Argument {
        /// Which.
        name: &'static str,
        /// What is wrong with it.
        detail: Cow<'static, str>,
    },
}

impl ReadError {
    /// A wrong argument.
    pub fn argument(name: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Argument { name, detail: detail.into() }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Database(error) => error.into(),
            ReadError::InvalidPosition(error) => Self::bad_request("invalid_position", error.to_string()),
            ReadError::NotReached => Self::unavailable("position_not_reached", Duration::from_secs(1))
                .with_detail("The read model has not come to this position yet; try again."),
            ReadError::Parked => Self::conflict(
                "parked",
                "An event at or before this position could not be applied; an operator has to retry it.",
            ),
            ReadError::NotFollowing => Self::unavailable("feed_unavailable", Duration::from_secs(1)),
            ReadError::Newer(error) => {
                tracing::warn!(%error, "an event waits for a newer release of the query API");
                Self::unavailable("newer_release", Duration::from_secs(5))
                    .with_detail("What comes next is known to a newer release only, which is being installed.")
            }
            ReadError::Damaged(error) => Self::internal(error),
            ReadError::Receipts(error) => error.into(),
            ReadError::Resync => Self::new(StatusCode::GONE, "resync_required")
                .with_detail("Changes since this position cannot be told any more: read again, and subscribe anew."),
            ReadError::Argument { name, detail } => {
                Self::bad_request("invalid_argument", format!("The argument {name} is not valid: {detail}"))
                    .with_error(docket_platform::FieldError::new(name, detail))
            }
        }
    }
}

impl Reads {
    /// Reads through `pool`, whose connections are the role `docket_reader`.
    pub fn new(pool: PgPool, breaker: Breaker) -> Self {
        let receipts = Receipts::from_pool(pool.clone());
        Self { pool, breaker, receipts }
    }

    /// The same, with receipts signed by `receipts`, whose keys somebody keeps fresh.
    #[must_use]
    pub fn with_receipts(self, receipts: Receipts) -> Self {
        Self { receipts, ..self }
    }

    /// Who signs receipts.
    pub fn receipts(&self) -> &Receipts {
        &self.receipts
    }

    /// The pool, to make others like it from.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Begins to read as `tenant`; run it within [`Reads::guard`].
    ///
    /// # Errors
    /// When no connection is to be had.
    pub async fn begin(&self, tenant: Uuid) -> Result<Tx, sqlx::Error> {
        db::tenant_read(&self.pool, tenant).await
    }

    /// Reads unless PostgreSQL is known to be away; only a lost connection counts against it.
    ///
    /// # Errors
    /// See [`ReadError::Database`].
    pub async fn guard<T>(&self, read: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, ReadError> {
        Ok(self.breaker.call(db::is_connection_failure, read).await?)
    }
}

/// Lets the rest of a transaction see what is `user`'s own besides the tenant's rows: where else the user belongs, and how the account
/// stands. Rows of other tenants are among them, so what is read behind this names the user or the tenant.
///
/// # Errors
/// When the database does not answer.
pub async fn as_person(tx: &mut Tx, user: Uuid) -> Result<(), sqlx::Error> {
    let set = sqlx::query("select set_config('docket.user', $1, true)").bind(user.to_string());
    set.execute(&mut **tx).await.map(drop)
}

/// A `Docket-Position` header, or an `atLeast` or `since` argument.
///
/// # Errors
/// When it is no position.
pub fn position(token: Option<&str>) -> Result<docket_log::Position, ReadError> {
    token.map_or_else(|| Ok(docket_log::Position::default()), |token| Ok(token.parse()?))
}

/// The position that a request's header insists on.
///
/// # Errors
/// When it is no position.
pub fn header_position(header: &http::PositionHeader) -> Result<docket_log::Position, ReadError> {
    position(header.0.as_deref())
}
