//! Commands to consultations: a file for each kind of route, and what they share.
//!
//! Owns how a request becomes a command of `docket_domain::consultation` and how the outcome is answered. It must not judge: whether
//! a command is accepted is decided there, on the state at hand.

mod ask;
mod bulk;
mod comment;
mod error;
mod receipt;
mod respond;
pub(crate) mod run;
mod template;
mod terms;
mod withdraw;
mod work;

pub(crate) use ask::check_url;
pub use ask::stream_of;
pub(crate) use template::check as check_template;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::state::State;

/// The routes of this folder.
pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(ask::handler))
        .routes(routes!(respond::handler))
        .routes(routes!(comment::handler))
        .routes(routes!(withdraw::handler))
        .merge(work::router())
        .merge(receipt::router())
        .merge(bulk::router())
}
