//! Roles and scopes as events name them, and as tokens and answers do.

use docket_events::identity;
use docket_platform::auth::{Role, Scope};

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

/// The scope as keys and answers name it.
#[must_use]
pub const fn token_scope(scope: identity::Scope) -> Scope {
    match scope {
        identity::Scope::ConsultationAsk => Scope::ConsultationAsk,
        identity::Scope::ConsultationRead => Scope::ConsultationRead,
        identity::Scope::ConsultationComment => Scope::ConsultationComment,
        identity::Scope::ConsultationWithdraw => Scope::ConsultationWithdraw,
        identity::Scope::KnowledgeRead => Scope::KnowledgeRead,
        identity::Scope::KnowledgeWrite => Scope::KnowledgeWrite,
        identity::Scope::EngagementWrite => Scope::EngagementWrite,
        identity::Scope::IdentityRead => Scope::IdentityRead,
    }
}

/// The scope as events name it.
#[must_use]
pub const fn event_scope(scope: Scope) -> identity::Scope {
    match scope {
        Scope::ConsultationAsk => identity::Scope::ConsultationAsk,
        Scope::ConsultationRead => identity::Scope::ConsultationRead,
        Scope::ConsultationComment => identity::Scope::ConsultationComment,
        Scope::ConsultationWithdraw => identity::Scope::ConsultationWithdraw,
        Scope::KnowledgeRead => identity::Scope::KnowledgeRead,
        Scope::KnowledgeWrite => identity::Scope::KnowledgeWrite,
        Scope::EngagementWrite => identity::Scope::EngagementWrite,
        Scope::IdentityRead => identity::Scope::IdentityRead,
    }
}
