//! Roles as events name them, and as tokens and answers do.

use docket_events::identity;
use docket_platform::auth::Role;

/// The role as tokens and answers name it.
#[must_use]
pub const fn token_role(role: identity::Role) -> Role {
    match role {
        identity::Role::Admin => Role::Admin,
        identity::Role::Reviewer => Role::Reviewer,
        identity::Role::Requester => Role::Requester,
        identity::Role::Analyst => Role::Analyst,
    }
}

/// The role as events name it.
#[must_use]
pub const fn event_role(role: Role) -> identity::Role {
    match role {
        Role::Admin => identity::Role::Admin,
        Role::Reviewer => identity::Role::Reviewer,
        Role::Requester => identity::Role::Requester,
        Role::Analyst => identity::Role::Analyst,
    }
}
