//! One process: the roles in it, what they share, and its life from the first readiness to the last commit.
//!
//! Owns the assembly. Roles know nothing of each other; what they have in common (bells, keys, health, one port) is put into their
//! hands here.

use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use docket_log::installation::follow_mode;
use docket_log::{Bell, Installation, Kafka, Mode, Store, Topic, relay, revocations};
use docket_platform::auth::Authenticator;
use docket_platform::config::HttpArgs;
use docket_platform::db::{self, Database, DbRole};
use docket_platform::health::Health;
use docket_platform::http::{HttpSettings, harden};
use docket_platform::rate_limit::Limiter;
use docket_platform::{Shutdown, serve};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::mail::MailArgs;
use crate::place::Place;
use crate::web;

/// How long what is under way may take once the process was told to end. PostgreSQL stops after it, and all within 30 s.
const DRAIN: Duration = Duration::from_secs(22);
/// How often the keys of access tokens are read anew: within this time every process knows a new one and forgets a retired one.
pub const KEYS_PERIOD: Duration = Duration::from_secs(5);
/// How often readiness is looked at until it is there for the first time.
const READY_POLL: Duration = Duration::from_millis(20);
/// Connections of the bells: two that listen, one that rings.
const BELL_CONNECTIONS: u32 = 3;

/// The connection of the one who watches what is taken away: never waiting behind others, so that it holds under any load.
const REVOCATION_CONNECTIONS: u32 = 1;

/// Connections of the rate limits: their own, so that no other load opens them.
const LIMIT_CONNECTIONS: u32 = 2;

/// Connections of those who write letters.
const MAIL_CONNECTIONS: u32 = 2;

/// A process under assembly.
pub struct Node<'a> {
    place: &'a Place,
    database: Database,
    role: DbRole,
    installation: Installation,
    kafka: Option<Kafka>,
    mode: watch::Receiver<Mode>,
    shutdown: Shutdown,
    health: Health,
    journal: Bell,
    read: Bell,
    router: Router,
    listener: TcpListener,
    address: SocketAddr,
    tasks: Vec<JoinHandle<anyhow::Result<()>>>,
}

impl<'a> Node<'a> {
    /// A process without roles yet. `role` is what its bells connect as.
    pub fn new(
        place: &'a Place,
        (database, role): (Database, DbRole),
        (installation, kafka): (Installation, Option<Kafka>),
        (listener, address): (TcpListener, SocketAddr),
        shutdown: Shutdown,
    ) -> Self {
        let health = Health::new(shutdown.clone());
        let bells = database.pool(role, BELL_CONNECTIONS, place.database.acquire_timeout);
        health.register_postgres("postgres", bells.clone());
        let (journal, read) = (Bell::new(Topic::Journal), Bell::new(Topic::Read));
        for bell in [&journal, &read] {
            shutdown.spawn(bell.clone().announce(bells.clone(), shutdown.token()));
            shutdown.spawn(bell.clone().follow(bells.clone(), shutdown.token()));
        }
        // Only `docket log switch` changes it, and only who is told of brokers can follow.
        let mode = match kafka {
            Some(_) => follow_mode(bells, installation.mode, shutdown.token()),
            None => watch::channel(installation.mode).1,
        };
        let router = web::operations(&health);
        Self {
            place,
            database,
            role,
            installation,
            kafka,
            mode,
            shutdown,
            health,
            journal,
            read,
            router,
            listener,
            address,
            tasks: Vec::new(),
        }
    }

    /// The journal, as the command API and the first start write it.
    pub fn store(&self) -> Store {
        self.place.store(&self.database, self.installation, self.journal.clone())
    }

    /// Whether only this machine can ask.
    pub fn is_loopback(&self) -> bool {
        self.address.ip().is_loopback()
    }

    /// Serves these routes too.
    pub fn route(&mut self, routes: Router) {
        self.router = std::mem::take(&mut self.router).merge(routes);
    }

    /// Takes commands, and watches deadlines.
    pub fn command_api(&mut self, store: Store, keys: Arc<Authenticator>, config: docket_command_api::Config) {
        let config = config.settled(self.place.embedded_folder().is_some());
        let state = docket_command_api::State::new(store, keys, config);
        docket_command_api::spawn_scheduler(&state, &self.shutdown);
        self.route(docket_command_api::router(state));
    }

    /// Projects the log into the read models.
    ///
    /// `data` is the folder of an installation that lives in one: mails may go there.
    ///
    /// # Errors
    /// When the settings for mail cannot be used.
    pub fn projector(
        &mut self,
        config: docket_projector::Config,
        mail: &MailArgs,
        data: Option<PathBuf>,
    ) -> anyhow::Result<()> {
        let pool = self.database.pool(DbRole::Projector, MAIL_CONNECTIONS, self.place.database.acquire_timeout);
        let listening = format!("http://{}", self.address);
        let told = mail.telling(data, pool, self.store(), &listening)?;
        let (database, installation) = (self.database.clone(), self.installation);
        let (kafka, mode) = (self.kafka.clone(), self.mode.clone());
        let (journal, read, shutdown) = (self.journal.clone(), self.read.clone(), self.shutdown.clone());
        self.tasks.push(self.shutdown.spawn(async move {
            let ended = docket_projector::run(
                config,
                &database,
                installation,
                (kafka, mode),
                (&journal, &read),
                told,
                &shutdown,
            )
            .await;
            ended.context("the projector ended")
        }));
        Ok(())
    }

    /// Publishes the journal, whenever the log is in Kafka. Without brokers it does nothing.
    pub fn relay(&mut self, config: relay::Config) {
        let Some(kafka) = self.kafka.clone() else { return };
        let (database, installation, mode) = (self.database.clone(), self.installation, self.mode.clone());
        let (journal, shutdown) = (self.journal.clone(), self.shutdown.clone());
        self.tasks.push(self.shutdown.spawn(async move {
            let ended = relay::run(config, kafka, &database, installation, &journal, mode, &shutdown).await;
            ended.context("the relay ended")
        }));
    }

    /// Answers queries and subscriptions.
    ///
    /// # Errors
    /// When the replica's URL cannot be read.
    pub fn query_api(
        &mut self,
        keys: Arc<Authenticator>,
        config: docket_query_api::Config,
        http: &HttpArgs,
    ) -> anyhow::Result<()> {
        let database = self.place.reads(&self.database)?;
        let pool = self.place.pool(&database, DbRole::Reader);
        db::export_pool("reader", &pool);
        if self.place.database.url_read().is_some() {
            self.health.register_postgres("postgres_read", pool.clone());
        }
        let config = docket_query_api::Config {
            allowed_origins: http.allowed_origins.clone(),
            loopback: self.is_loopback(),
            ..config
        };
        let bell = self.read.clone();
        let state = docket_query_api::State::new(pool, keys, self.installation, bell, config, &self.shutdown);
        self.route(docket_query_api::router(state));
        Ok(())
    }

    /// Publishes the keys of access tokens, keeps them, and what was taken away, fresh, and notes which API keys are used.
    pub fn keys(&mut self, keys: &Arc<Authenticator>) {
        self.route(web::keys(keys.clone()));
        let pool = self.database.pool(self.role, REVOCATION_CONNECTIONS, self.place.database.acquire_timeout);
        let (known, stop) = (keys.revocations().clone(), self.shutdown.token());
        let watched = known.clone();
        self.health.register("revocations", move || {
            let stale = watched.is_stale();
            async move { if stale { Err("stale") } else { Ok(()) } }
        });
        self.shutdown.spawn(async move { revocations::follow(pool, &known, stop).await });
        let (used, stop) = (keys.clone(), self.shutdown.token());
        self.shutdown.spawn(async move { used.keep_key_uses(stop).await });
        let (keys, shutdown) = (keys.clone(), self.shutdown.clone());
        self.shutdown.spawn(async move {
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(KEYS_PERIOD) => {}
                }
                if let Err(error) = keys.reload().await {
                    tracing::warn!(%error, "the signing keys cannot be read; those known stay in use");
                }
            }
        });
    }

    /// Serves until the process is told to end, says when everything answers, and waits for what is under way.
    ///
    /// # Errors
    /// When a role or the server ends by itself.
    pub async fn run(self, http: &HttpArgs) -> anyhow::Result<()> {
        let pool = self.database.pool(self.role, LIMIT_CONNECTIONS, self.place.database.acquire_timeout);
        let limiter = Limiter::new(pool, http.rate_limits.clone(), docket_command_api::open_routes());
        let Self { shutdown, health, router, listener, address, mut tasks, .. } = self;
        let router = harden(limiter.guard(router), &HttpSettings::from(http), false);
        let served = shutdown.clone();
        tasks.push(shutdown.spawn(async move { Ok(serve::serve(listener, router, &served).await?) }));
        let ended = futures_util::future::select_all(tasks);
        let ready = async {
            while !health.check().await.0 {
                tokio::time::sleep(READY_POLL).await;
            }
            say(&format!("ready http://{address}"));
            std::future::pending::<Infallible>().await
        };
        let (result, rest) = tokio::select! {
            (result, _, rest) = ended => (result, rest),
            never = ready => match never {},
        };
        let early = !shutdown.has_begun();
        if let Err(error) = shutdown.drain(DRAIN).await {
            tracing::warn!(%error, "not everything was finished");
        }
        let mut results = vec![result];
        for task in rest.into_iter().filter(JoinHandle::is_finished) {
            results.push(task.await);
        }
        for result in results {
            result.context("a part of the process broke")??;
        }
        anyhow::ensure!(!early, "a part of the process ended by itself");
        Ok(())
    }
}

/// Says something on standard output; nobody may be listening any more.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        tracing::debug!(%error, "nobody reads the standard output");
    }
}
