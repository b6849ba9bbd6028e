//! Logging in, and what it stands on.
//!
//! Owns accounts (who may log in with what) and password hashing. It must not keep a password in clear any longer than a hash takes,
//! and must answer the same, with the same work, whether an account exists or not.

pub mod accounts;
pub mod attempts;
mod cache_stats;
mod change_password;
mod login;
pub mod password;
mod reset_password;

use utoipa_axum::{router::OpenApiRouter, routes};

pub use login::TOKEN_LIFETIME;

use crate::state::State;

/// The routes of this folder.
pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(login::handler))
        .routes(routes!(reset_password::forgot))
        .routes(routes!(reset_password::reset))
        .routes(routes!(change_password::handler))
        .routes(routes!(cache_stats::handler))
}
