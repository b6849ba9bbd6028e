//! The command API: HTTP in, a decision, an append to the journal, the answer.
//!
//! Owns the write half of the HTTP interface ([`router`]), logging in, the deadline scheduler ([`scheduler`]), the first start
//! ([`setup`]) and the tidying of the write side ([`housekeeping`]). It must not decide (that is `docket_domain`), must not order or
//! store events (`docket_log`), and answers no reads of read models (`query-api`).
//!
//! A request goes: [`State`]'s router -> who ([`auth`]) and may they ([`docket_platform::auth::permissions`]) -> strict JSON -> a command of the domain ->
//! `docket_log::Store::execute` -> the resource as it is after the command, with `ETag` and `Docket-Position`.

mod api_keys;
pub mod auth;
mod backlog;
pub mod config;
pub mod consultation;
pub mod engagement;
mod envelope;
mod error;
mod existing;
pub mod feed;
pub mod housekeeping;
pub mod knowledge;
mod openapi;
mod organisation;
pub mod people;
pub mod recover;
pub mod roles;
mod route_error;
mod run;
pub mod scheduler;
pub mod setup;
mod state;
mod webhook;

use axum::{Extension, Router};
use docket_platform::Shutdown;
use utoipa::{
    OpenApi as _,
    openapi::{PathItem, SecurityRequirement},
};
use utoipa_axum::router::OpenApiRouter;

pub use config::{Config, FirstStartArgs};
pub use state::State;

fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::with_openapi(openapi::Document::openapi())
        .merge(auth::router())
        .merge(api_keys::router())
        .merge(organisation::router())
        .merge(consultation::router())
        .merge(webhook::router())
        .merge(knowledge::router())
        .merge(feed::router())
        .merge(engagement::router())
}

/// The routes of this role. Whoever serves them puts them behind `docket_platform::http::harden`.
pub fn router(state: State) -> Router {
    let (router, _) = routes().split_for_parts();
    router.layer(Extension(state.authenticator.clone())).with_state(state)
}

/// The description of these routes, to be merged with the other roles' and served.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    routes().into_openapi()
}

/// The routes that need no token. Whoever limits requests counts them by address.
#[must_use]
pub fn open_routes() -> Vec<String> {
    let document = openapi();
    let is_open = |item: &PathItem| {
        let operations = [&item.get, &item.post, &item.put, &item.patch, &item.delete];
        operations.into_iter().flatten().any(|operation| {
            // An empty requirement is met by everybody.
            operation.security.iter().flatten().any(|requirement| *requirement == SecurityRequirement::default())
        })
    };
    document.paths.paths.into_iter().filter(|(_, item)| is_open(item)).map(|(path, _)| path).collect()
}

/// Starts the deadline scheduler, the housekeeping and the watch over the relay's backlog; all end with `shutdown`, which waits for
/// what they have in hand.
pub fn spawn_scheduler(state: &State, shutdown: &Shutdown) {
    let token = shutdown.token();
    shutdown.spawn(scheduler::run(state.store.clone(), token.clone()));
    shutdown.spawn(housekeeping::run(state.store.pool().clone(), token.clone()));
    shutdown.spawn(backlog::watch(state.clone(), token));
}
