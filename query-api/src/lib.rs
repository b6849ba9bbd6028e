//! The read side of Docket over HTTP: GraphQL with subscriptions, and the REST reads.
//!
//! Owns `/graphql` (POST, GET, WebSocket, server-sent events), `/schema.graphql`, the GETs of read models and the feed of events. It
//! writes nothing and decides nothing. Four rules hold for every door:
//!
//! - The tenant comes from the verified token alone, and every row is read inside a transaction of that tenant ([`read`]); the one
//!   connection that sees more ([`changes`]) hands out keys, to subscribers of their tenant only.
//! - Checkpoints are read before rows ([`position`]): an answer is at least as new as the position that it names.
//! - An answer that lacks what the journal has had for more than a second says how old it is ([`age`]).
//! - An answer never tells an internal cause; what is wrong has a stable code.
//!
//! [`State::new`] begins the follower of the change feed, [`router`] gives the routes; `docket up` uses both in its own process, with
//! the bells of its projector, and `docket query-api` runs them alone.

pub mod age;
pub mod changes;
mod config;
pub mod consultation;
pub mod engagement;
pub mod events;
pub mod feed;
mod fresh;
pub mod graphql;
pub mod identity;
pub mod knowledge;
pub mod page;
pub mod position;
pub mod read;
mod refused;
pub mod webhook;

use std::sync::Arc;

use axum::{Extension, Router, routing::get};
use docket_log::{Bell, Installation};
use docket_platform::{
    Shutdown,
    auth::Authenticator,
    breaker::{Breaker, BreakerSettings},
};
use sqlx::PgPool;
use utoipa::OpenApi;

use crate::{
    age::Ages,
    changes::{Follower, Hubs},
    consultation::rest,
    events::{Waker, rest::Feeds},
    graphql::{Door, Engine},
    knowledge::Graphs,
    position::Gate,
    read::Reads,
};

pub use config::Config;
pub use graphql::sdl;

/// A query API whose follower runs. Clones are the same one.
#[derive(Clone)]
pub struct State {
    gate: Gate,
    hubs: Hubs,
    waker: Waker,
    door: Door,
}

impl State {
    /// Starts to follow the change feed and the bell `Topic::Read` until the shutdown; a projector in the same process rings the same
    /// bell. `pool` connects as `docket_reader`, to the primary or a replica. No database is needed yet: requests are refused until
    /// there is one.
    pub fn new(
        pool: PgPool,
        authenticator: Arc<Authenticator>,
        installation: Installation,
        bell: Bell,
        config: Config,
        shutdown: &Shutdown,
    ) -> Self {
        let hubs = Hubs::new(usize::try_from(config.subscription_buffer).unwrap_or(usize::MAX));
        shutdown.spawn(bell.clone().follow(pool.clone(), shutdown.token()));
        let follower = Follower::new(&pool, bell.clone(), installation, hubs.clone(), config.poll);
        shutdown.spawn(follower.run(shutdown.clone()));
        let waker = Waker::default();
        shutdown.spawn(waker.clone().run(pool.clone(), bell.clone(), installation, config.poll, shutdown.clone()));
        let breaker = Breaker::new("postgres_read", BreakerSettings::default());
        let ages = Ages::default();
        shutdown.spawn(ages.clone().watch(pool.clone(), config.poll, shutdown.clone()));
        let reads = match authenticator.receipts() {
            Some(receipts) => Reads::new(pool, breaker).with_receipts(receipts.clone()),
            None => Reads::new(pool, breaker),
        };
        let graphs = Graphs::new(usize::try_from(config.graph_memory).unwrap_or(usize::MAX).saturating_mul(1 << 20));
        let gate = Gate::new(reads, bell, installation, ages, config.position_wait).with_graphs(graphs);
        let introspection = config.graphql_introspection.unwrap_or(config.loopback);
        let engine =
            Engine::new(gate.clone(), hubs.clone(), config.graphql_timeout, config.graphql_cost, introspection);
        let door = Door {
            engine,
            authenticator,
            allowed_origins: config.allowed_origins.into(),
            init_timeout: config.graphql_init_timeout,
            shutdown: shutdown.clone(),
        };
        Self { gate, hubs, waker, door }
    }
}

impl State {
    /// Who hand out changes, for those who want to know how many listen.
    pub fn hubs(&self) -> &Hubs {
        &self.hubs
    }

    /// The knowledge graphs in memory, for those who want to know whether one is.
    pub fn graphs(&self) -> &Graphs {
        self.gate.graphs()
    }

    /// Who wakes those who wait for events, likewise.
    pub fn waker(&self) -> &Waker {
        &self.waker
    }
}

/// The routes. The process puts them behind its common middleware (`docket_platform::http::harden`).
pub fn router(state: State) -> Router {
    let keys = Extension(state.door.authenticator.clone());
    let feeds = Feeds { gate: state.gate.clone(), waker: state.waker, shutdown: state.door.shutdown.clone() };
    Router::new()
        .route("/api/v1/consultations", get(rest::list_consultations))
        .route("/api/v1/consultations/{id}", get(rest::get_consultation))
        .route("/api/v1/consultations/{id}/reading", get(rest::get_consultation_reading))
        .layer(Extension(state.hubs.consultations))
        .merge(knowledge::rest::router())
        .with_state(state.gate.clone())
        .merge(feed::rest::router(state.gate.clone()))
        .merge(engagement::rest::router(state.gate))
        .merge(events::rest::router(feeds))
        .merge(graphql::router(state.door))
        .layer(keys)
}

/// The REST reads, to be merged into the document of the process.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = rest::Api::openapi();
    document.merge(knowledge::rest::Api::openapi());
    document.merge(events::rest::Api::openapi());
    document.merge(feed::rest::Api::openapi());
    document.merge(engagement::rest::Api::openapi());
    document
}
