//! Registering, logging in, and what it stands on.
//!
//! Owns accounts (who may log in with what), password hashing, second factors, and sessions from the login to their end. It must not keep a password in clear any longer than a hash takes,
//! and must answer the same, with the same work, whether an account exists or not.

pub mod accounts;
pub mod attempts;
mod cache_stats;
mod change_password;
mod error;
mod join;
mod login;
mod me;
pub mod memberships;
mod notifications;
pub(crate) mod origin;
pub mod password;
mod register;
mod registration;
mod reset_password;
mod second_factor;
pub mod session;
mod unsubscribe;
mod user;
mod verify;

use utoipa_axum::{router::OpenApiRouter, routes};

pub use login::TOKEN_LIFETIME;

use crate::state::State;

/// The routes of this folder.
pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(register::handler))
        .routes(routes!(verify::handler))
        .routes(routes!(login::handler))
        .routes(routes!(reset_password::forgot))
        .routes(routes!(reset_password::reset))
        .routes(routes!(change_password::handler))
        .routes(routes!(cache_stats::handler))
        .routes(routes!(me::handler))
        .routes(routes!(notifications::handler))
        .routes(routes!(unsubscribe::page, unsubscribe::handler))
        .merge(session::router())
        .merge(second_factor::router())
}
