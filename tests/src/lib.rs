//! What the stories, the fault campaign and the benchmarks share: databases, stores and small commands.
//!
//! A test run has one PostgreSQL cluster; each test gets a database of its own, cloned from a migrated template.

pub mod webhooks;

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use chrono::{DateTime, Utc};
use docket_domain::consultation::{Command, Consultation, Due, Given, Refusal, Request, Respond, Standing, decide};
use docket_events::{
    Category, StreamId,
    consultation::{Decision, Person},
};
use docket_log::{
    Bell, CommandContext, Installation, Mode, Outcome, Store, StoreOptions, Topic, execute::ExecuteError, migrate,
};
use docket_platform::{
    db::{Database, DbRole},
    embedded::{OWNER, ScratchCluster},
    ids,
};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// Shards per category in tests: few, so that streams meet.
pub const SHARDS: u16 = 2;

/// Settings of a server that is asked more than any client should ask.
pub const UNLIMITED: [(&str, &str); 5] = [
    ("DOCKET_RATE_LIMIT_AUTH", "0"),
    ("DOCKET_RATE_LIMIT_ADDRESS", "0"),
    ("DOCKET_RATE_LIMIT_ACCOUNT", "0"),
    ("DOCKET_RATE_LIMIT_KEY", "0"),
    ("DOCKET_LOGIN_ATTEMPTS", "0"),
];

const TEMPLATE: &str = "docket_template";

/// A database of a test's own.
pub struct TestDatabase {
    /// How to connect to it, with login roles.
    pub database: Database,
    /// What was fixed at its set-up.
    pub installation: Installation,
}

impl TestDatabase {
    /// A migrated, empty database on the run's cluster.
    ///
    /// # Errors
    /// When PostgreSQL refuses.
    pub async fn create() -> anyhow::Result<Self> {
        static READY: OnceCell<Installation> = OnceCell::const_new();
        let installation = *READY.get_or_try_init(make_template).await?;
        Self::clone_of(TEMPLATE, installation).await
    }

    /// A copy of it as it is now. Whoever is connected to this one is thrown out.
    ///
    /// # Errors
    /// When PostgreSQL refuses.
    pub async fn copy(&self) -> anyhow::Result<Self> {
        let original = self.database.connect_options(DbRole::Owner).get_database().context("no name")?.to_owned();
        let cluster = ScratchCluster::shared();
        let mut owner = PgConnection::connect_with(&cluster.connect_options(OWNER, "postgres")).await?;
        eventually("everybody has left", async || {
            let left: i64 =
                sqlx::query_scalar("select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = $1")
                    .bind(&original)
                    .fetch_one(&mut owner)
                    .await?;
            Ok((left == 0).then_some(()))
        })
        .await?;
        owner.close().await?;
        Self::clone_of(&original, self.installation).await
    }

    async fn clone_of(template: &str, installation: Installation) -> anyhow::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let cluster = ScratchCluster::shared();
        let name = format!("story_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut owner = PgConnection::connect_with(&cluster.connect_options(OWNER, "postgres")).await?;
        owner.execute(AssertSqlSafe(format!("create database {name} template {template}"))).await?;
        owner.close().await?;
        Ok(Self { database: Database::embedded(cluster.connect_options(OWNER, &name)), installation })
    }

    /// A pool as `role`.
    #[must_use]
    pub fn pool(&self, role: DbRole) -> PgPool {
        self.database.pool(role, 16, std::time::Duration::from_secs(5))
    }

    /// A store with a journal bell of its own: like another command-api process.
    #[must_use]
    pub fn store(&self) -> Store {
        self.store_with(StoreOptions::default())
    }

    /// A store with other dimensions.
    #[must_use]
    pub fn store_with(&self, options: StoreOptions) -> Store {
        Store::open(&self.database, self.pool(DbRole::Writer), self.installation, Bell::new(Topic::Journal), options)
    }
}

async fn make_template() -> anyhow::Result<Installation> {
    let cluster = ScratchCluster::shared();
    let mut owner = PgConnection::connect_with(&cluster.connect_options(OWNER, "postgres")).await?;
    owner.execute(AssertSqlSafe(format!("create database {TEMPLATE}"))).await?;
    owner.close().await?;
    let mut template = PgConnection::connect_with(&cluster.connect_options(OWNER, TEMPLATE)).await?;
    migrate::migrate(&mut template).await?;
    let installation = Installation::set_up(&mut template, ids::new_id(), SHARDS, Mode::Journal).await?;
    template.close().await?;
    Ok(installation)
}

/// A fresh consultation stream.
#[must_use]
pub fn new_stream() -> StreamId {
    StreamId::new(Category::Consultation, ids::new_id())
}

/// A fresh consultation stream in `shard`.
#[must_use]
pub fn new_stream_in(shard: u16) -> StreamId {
    loop {
        let stream = new_stream();
        if stream.shard(SHARDS).shard == shard {
            return stream;
        }
    }
}

/// A person with a readable name.
#[must_use]
pub fn person(n: u128) -> Person {
    Person::named(Uuid::from_u128(n), format!("Person {n}"))
}

/// A request by person 1 with a title and, if given, a deadline.
#[must_use]
pub fn request(title: &str, deadline: Option<DateTime<Utc>>) -> Command {
    Request { deadline: deadline.map(Due::At), ..Request::new(title, person(1)) }.into()
}

/// A comment by person `n`.
#[must_use]
pub fn comment(n: u128, text: &str) -> Command {
    docket_domain::consultation::Comment { comment_id: ids::new_id(), by: person(n), text: text.to_owned() }.into()
}

/// A response by person `n`.
#[must_use]
pub fn respond(n: u128, decision: Decision) -> Command {
    Respond { by: person(n), standing: Standing::default(), given: Given::decision(decision) }.into()
}

/// The tenant of most tests.
pub const TENANT: Uuid = Uuid::from_u128(0x7e4a);

/// A context of [`TENANT`] without a key.
#[must_use]
pub fn context() -> CommandContext {
    CommandContext { tenant: TENANT, ..CommandContext::default() }
}

/// Executes a consultation command the way command-api does.
///
/// # Errors
/// As [`Store::execute`].
pub async fn execute(
    store: &Store,
    context: &CommandContext,
    stream: StreamId,
    command: Command,
) -> Result<Outcome<Consultation, Refusal>, ExecuteError> {
    store.execute(context, stream, |state: &Consultation, now| decide(state, command.clone(), now)).await
}

/// Executes a command that must be accepted.
///
/// # Errors
/// When it is refused or has no outcome.
pub async fn accept(
    store: &Store,
    context: &CommandContext,
    stream: StreamId,
    command: Command,
) -> anyhow::Result<docket_log::Accepted<Consultation>> {
    match execute(store, context, stream, command).await? {
        Outcome::Accepted(accepted) => Ok(accepted),
        Outcome::Refused(refusal) => Err(refusal).context("refused"),
    }
}

/// Waits until `condition` gives a value, asking again and again; fails after ten seconds.
///
/// # Errors
/// When the condition fails, or never gives a value.
pub async fn eventually<T>(what: &str, condition: impl AsyncFnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    eventually_within(std::time::Duration::from_secs(10), what, condition).await
}

/// The same, failing after `limit`.
///
/// # Errors
/// When the condition fails, or never gives a value.
pub async fn eventually_within<T>(
    limit: std::time::Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        if let Some(value) = condition().await? {
            return Ok(value);
        }
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
