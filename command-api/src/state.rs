//! What the handlers share. Owns nothing but the assembly.

use std::{ops::Deref, sync::Arc};

use docket_events::consultation::Person;
use docket_log::{ExecuteError, Store};
use docket_platform::{
    auth::{Authenticator, Principal, Receipts},
    breaker::{Breaker, BreakerError, BreakerSettings},
    db,
};
use tokio::sync::Mutex;

use crate::{
    auth::{accounts::Accounts, attempts::Turnstile, password::Hasher},
    backlog::Backlog,
    config::Config,
    people::People,
};

/// What the handlers share. Clones are the same, and cheap: axum makes several for each request.
#[derive(Debug, Clone)]
pub struct State(Arc<Parts>);

/// The parts, put together once.
#[derive(Debug)]
pub struct Parts {
    pub(crate) store: Store,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) config: Config,
    pub(crate) accounts: Accounts,
    pub(crate) hasher: Hasher,
    pub(crate) turnstile: Turnstile,
    pub(crate) people: People,
    pub(crate) backlog: Backlog,
    pub(crate) receipts: Receipts,
    /// Held while entities are merged.
    pub(crate) merging: Mutex<()>,
    breaker: Breaker,
}

impl Deref for State {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl State {
    /// Puts the parts together. `authenticator` verifies and signs access tokens.
    #[must_use]
    pub fn new(store: Store, authenticator: Arc<Authenticator>, config: Config) -> Self {
        Self(Arc::new(Parts {
            accounts: Accounts::new(store.pool().clone()),
            hasher: Hasher::new(config.login_queue as usize),
            turnstile: Turnstile::new(config.login_queue as usize),
            people: People::new(store.clone()),
            backlog: Backlog::default(),
            receipts: authenticator.receipts().cloned().unwrap_or_else(|| Receipts::from_pool(store.pool().clone())),
            merging: Mutex::new(()),
            breaker: Breaker::new("postgres-write", BreakerSettings::default()),
            store,
            authenticator,
            config,
        }))
    }

    /// The journal that the commands are written to.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// How commands are taken.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Hashes and verifies passwords; how often is counted there.
    #[must_use]
    pub fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    /// Asks the database, unless it is known to be gone. Only a lost connection counts against it: locks and a busy pool do not.
    pub(crate) async fn guarded<T>(
        &self,
        work: impl Future<Output = Result<T, ExecuteError>>,
    ) -> Result<T, BreakerError<ExecuteError>> {
        // On the heap: a future that holds another twice, at every level, outgrows a stack.
        self.breaker.call(|error| matches!(error, ExecuteError::Unreachable), Box::pin(work)).await
    }

    /// The same for a plain query.
    pub(crate) async fn guarded_query<T>(
        &self,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, BreakerError<sqlx::Error>> {
        self.breaker.call(db::is_connection_failure, Box::pin(work)).await
    }

    /// The principal as events name it; none when the person is gone.
    pub(crate) async fn person(&self, principal: &Principal) -> Result<Option<Person>, BreakerError<ExecuteError>> {
        let name = match principal.scopes {
            None => self.guarded(self.people.name(principal.id)).await?,
            Some(_) => self.guarded(self.people.key_name(principal.id)).await?,
        };
        Ok(name.map(|name| Person::named(principal.id, &*name)))
    }
}
