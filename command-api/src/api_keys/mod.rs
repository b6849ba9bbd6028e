//! API keys: a folder of three routes, and what they share.
//!
//! Owns how a request becomes a command of `docket_domain::identity` on a key, and the one moment at which a secret is shown. The event
//! comes first and the secret's row after it: what stands between them when a process dies is a key without the secret, never a secret
//! that no event knows. It must not keep a secret.

mod create;
mod error;
mod resource;
mod revoke;
mod rotate;
mod run;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::state::State;

/// The routes of this folder.
pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(create::handler))
        .routes(routes!(rotate::handler))
        .routes(routes!(revoke::handler))
}
