//! Database roles, connections and pools.
//!
//! Owns who a connection is and which time-outs it has, how a tenant's transaction begins, and which database errors
//! mean what. It must not hold a query of any feature.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock, Mutex, Once, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool, Postgres, Transaction};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::config::Masked;
use crate::metrics;

/// How long a pooled connection may rest before it is asked whether it still lives.
const RESTED: Duration = Duration::from_secs(1);
/// What a waiting request is patient for before it asks whether the server is there at all.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long the answer to that question is believed.
const PROBE_FRESH: Duration = Duration::from_millis(250);
/// How long the question itself may take. A server that accepts and says nothing is slow, not gone.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

/// Who a connection is to PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DbRole {
    /// The owner of the schema: migrations and nothing else, for row security does not bind it.
    Owner,
    /// The command API, its scheduler and the relay.
    Writer,
    /// The projector: an explicit policy lets it see all tenants.
    Projector,
    /// The query API.
    Reader,
}

impl DbRole {
    /// The roles that migrations create, without the owner.
    pub const SERVING: [Self; 3] = [Self::Writer, Self::Projector, Self::Reader];

    /// The role's name in PostgreSQL; the owner is whoever the URL names.
    pub fn postgres_name(self) -> Option<&'static str> {
        match self {
            Self::Owner => None,
            Self::Writer => Some("docket_writer"),
            Self::Projector => Some("docket_projector"),
            Self::Reader => Some("docket_reader"),
        }
    }

    /// `application_name`, as `pg_stat_activity` shows it.
    pub fn application_name(self) -> &'static str {
        match self {
            Self::Owner => "docket-owner",
            Self::Writer => "docket-writer",
            Self::Projector => "docket-projector",
            Self::Reader => "docket-reader",
        }
    }
}

impl fmt::Display for DbRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.application_name().trim_start_matches("docket-"))
    }
}

/// The database cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The URL cannot be read. It is not shown: it may hold a password.
    #[error("{name} is not a PostgreSQL URL such as postgres://user:password@host:5432/docket")]
    Url {
        /// Which setting.
        name: &'static str,
    },
}

/// One PostgreSQL database and how its roles are taken on.
#[derive(Clone)]
pub struct Database {
    options: PgConnectOptions,
    login_roles: bool,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The options hold the password.
        f.debug_struct("Database")
            .field("host", &self.options.get_host())
            .field("port", &self.options.get_port())
            .field("database", &self.options.get_database())
            .field("login_roles", &self.login_roles)
            .finish()
    }
}

impl Database {
    /// The private cluster: `options` connect as the owner, and each role may log in itself.
    pub fn embedded(options: PgConnectOptions) -> Self {
        Self { options, login_roles: true }
    }

    /// An outside database: sessions log in as the URL's user and take on their role (`SET ROLE`), which that user
    /// must be a member of.
    ///
    /// # Errors
    /// When the URL cannot be read; `name` says which setting it came from.
    pub fn from_url(name: &'static str, url: &Masked) -> Result<Self, DatabaseError> {
        let url = url.expose();
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(DatabaseError::Url { name });
        }
        let options = PgConnectOptions::from_str(url).map_err(|_| DatabaseError::Url { name })?;
        Ok(Self { options, login_roles: false })
    }

    /// The same server, another database.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Self {
        Self { options: self.options.clone().database(database), login_roles: self.login_roles }
    }

    /// Whether the roles log in themselves.
    pub fn login_roles(&self) -> bool {
        self.login_roles
    }

    /// How to connect as `role`.
    pub fn connect_options(&self, role: DbRole) -> PgConnectOptions {
        let mut options = self.options.clone().application_name(role.application_name());
        if let Some(name) = role.postgres_name() {
            options = if self.login_roles { options.username(name) } else { options.options([("role", name)]) };
        }
        if role == DbRole::Writer {
            // A writer that freezes must not hold a shard: the server ends what it began.
            options = options.options([
                ("lock_timeout", "1000ms"),
                ("statement_timeout", "10s"),
                ("idle_in_transaction_session_timeout", "1000ms"),
            ]);
        }
        // What was acknowledged is durable, whatever the server's configuration says.
        options.options([("synchronous_commit", "on"), ("TimeZone", "UTC")])
    }

    /// A pool of at most `max` connections as `role`. It opens none yet, so a process starts while PostgreSQL is down.
    pub fn pool(&self, role: DbRole, max: u32, acquire_timeout: Duration) -> PgPool {
        PgPoolOptions::new()
            .max_connections(max)
            .acquire_timeout(acquire_timeout)
            .max_lifetime(Duration::from_secs(30 * 60))
            .idle_timeout(Duration::from_secs(10 * 60))
            // A ping at every acquire would be a second round trip for every command and query: only a connection that
            // rested for a while is asked whether it still lives.
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > RESTED {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(self.connect_options(role))
    }

    /// One connection as `role`, outside any pool.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn connect(&self, role: DbRole) -> Result<PgConnection, sqlx::Error> {
        self.connect_options(role).connect().await
    }
}

/// Whether the error means that PostgreSQL cannot be reached: the only kind that a breaker counts. Lock and pool
/// waits and cancelled statements are not.
pub fn is_connection_failure(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) => true,
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| matches!(code.as_ref(), "57P01" | "57P02" | "57P03") || code.starts_with("08")),
        _ => false,
    }
}

/// Whether the error means that PostgreSQL is there but has no room or no time: worth a later attempt.
pub fn is_overload(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            // Lock not available, statement cancelled, idle in transaction, too many connections, deadlock,
            // serialisation failure.
            matches!(code.as_ref(), "55P03" | "57014" | "25P03" | "53300" | "40P01" | "40001")
        }),
        _ => false,
    }
}

/// Takes a connection from the pool, and says soon when PostgreSQL is gone.
///
/// The pool itself keeps trying while connections are refused and then reports that it timed out, which reads like
/// a busy pool. So after a moment's wait, one waiting caller at a time asks the server directly.
///
/// # Errors
/// A connection failure when the server is gone, `PoolTimedOut` when it is there but all connections are in use.
pub async fn acquire(pool: &PgPool) -> Result<PoolConnection<Postgres>, sqlx::Error> {
    let mut acquiring = std::pin::pin!(pool.acquire());
    loop {
        match timeout(PATIENCE, &mut acquiring).await {
            Ok(Err(sqlx::Error::PoolTimedOut)) => {
                return Err(unreachable(pool).await.unwrap_or(sqlx::Error::PoolTimedOut));
            }
            Ok(result) => return result,
            Err(_elapsed) => {
                if let Some(error) = unreachable(pool).await {
                    return Err(error);
                }
            }
        }
    }
}

/// What the server says when it is asked for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reachability {
    /// It gave one.
    Answers,
    /// It is there, but gives none: too many connections, no such role.
    Refuses,
    /// It said nothing in time.
    Silent,
    /// Nobody is there, or it is starting or ending.
    Gone(std::io::ErrorKind),
}

type Probe = Arc<tokio::sync::Mutex<Option<(Instant, Reachability)>>>;

/// Asks the server behind `pool` for a connection of its own, at most four times a second for all callers
/// together. Answers within half a second however busy the pool is.
pub async fn reachability(pool: &PgPool) -> Reachability {
    static PROBES: LazyLock<Mutex<HashMap<String, Probe>>> = LazyLock::new(Mutex::default);
    let options = pool.connect_options();
    // The URL leaves the role out, and another role may be refused.
    let place = format!("{} {:?}", options.to_url_lossy(), options.get_options());
    let probe = PROBES.lock().unwrap_or_else(PoisonError::into_inner).entry(place).or_default().clone();
    let mut last = probe.lock().await;
    if let Some((at, found)) = *last
        && at.elapsed() < PROBE_FRESH
    {
        return found;
    }
    let found = match timeout(PROBE_TIMEOUT, PgConnection::connect_with(&options)).await {
        Ok(Ok(connection)) => {
            // The answer is known; how the goodbye goes does not matter.
            let _ = connection.close().await;
            Reachability::Answers
        }
        Ok(Err(sqlx::Error::Io(error))) => Reachability::Gone(error.kind()),
        Ok(Err(error)) if is_connection_failure(&error) => Reachability::Gone(std::io::ErrorKind::NotConnected),
        Ok(Err(_)) => Reachability::Refuses,
        Err(_) => Reachability::Silent,
    };
    *last = Some((Instant::now(), found));
    found
}

/// The connection failure, if the server is gone. One that is slow or full is waited for.
async fn unreachable(pool: &PgPool) -> Option<sqlx::Error> {
    match reachability(pool).await {
        Reachability::Gone(kind) => Some(sqlx::Error::Io(kind.into())),
        Reachability::Answers | Reachability::Refuses | Reachability::Silent => None,
    }
}

/// Begins a transaction that sees and writes `tenant`'s rows only, in one round trip.
///
/// # Errors
/// As [`acquire`], or when the server refuses.
pub async fn tenant_transaction(pool: &PgPool, tenant: Uuid) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    begin(pool, tenant, "BEGIN").await
}

/// The same for reading only: the server refuses any write.
///
/// # Errors
/// As [`acquire`], or when the server refuses.
pub async fn tenant_read(pool: &PgPool, tenant: Uuid) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    begin(pool, tenant, "BEGIN READ ONLY").await
}

async fn begin(
    pool: &PgPool,
    tenant: Uuid,
    begin: &'static str,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    // Safe: a UUID prints as hexadecimal digits and hyphens, whatever its bytes.
    begin_with(pool, AssertSqlSafe(format!("{begin}; SET LOCAL docket.tenant = '{}'", tenant.hyphenated()))).await
}

/// Begins a transaction that sees the rows of the schema `auth` of everybody: where somebody is let in, there is no tenant yet.
///
/// # Errors
/// As [`acquire`], or when the server refuses.
pub async fn door(pool: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    begin_with(pool, "BEGIN; SET LOCAL docket.door = 'identity'").await
}

async fn begin_with(
    pool: &PgPool,
    statement: impl sqlx::SqlSafeStr,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let connection = acquire(pool).await?;
    Transaction::begin(connection, Some(sqlx::SqlSafeStr::into_sql_str(statement))).await
}

/// Shows the use of `pool` in the metrics as `name` until it is closed or another takes the name.
pub fn export_pool(name: &'static str, pool: &PgPool) {
    static POOLS: LazyLock<Mutex<HashMap<&'static str, PgPool>>> = LazyLock::new(Mutex::default);
    static HOOK: Once = Once::new();
    POOLS.lock().unwrap_or_else(PoisonError::into_inner).insert(name, pool.clone());
    HOOK.call_once(|| {
        let gauge = metrics::int_gauge_vec(
            "docket_db_pool_connections",
            "Database connections of a pool: in use, idle, and the most it may open.",
            &["pool", "state"],
        );
        metrics::before_scrape(move || {
            let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
            pools.retain(|_, pool| !pool.is_closed());
            gauge.reset();
            for (name, pool) in pools.iter() {
                let (size, idle) = (i64::from(pool.size()), i64::try_from(pool.num_idle()).unwrap_or(i64::MAX));
                gauge.with_label_values(&[name, "used"]).set((size - idle).max(0));
                gauge.with_label_values(&[name, "idle"]).set(idle);
                gauge.with_label_values(&[name, "max"]).set(i64::from(pool.options().get_max_connections()));
            }
        });
    });
}

#[cfg(test)]
mod tests;
