//! What happens to users and organisations.
//!
//! A user's stream belongs to no tenant (the nil tenant); memberships are events of the organisation. Secrets (password hashes,
//! tokens) are never events.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{HasPersonal, Personal, personal::PersonalField};

/// What a member may do in an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, members and settings included.
    Admin,
    /// Answers consultations.
    Reviewer,
    /// Asks for decisions.
    Requester,
    /// Reads, and replays history.
    Analyst,
}

/// `docket.identity.user_registered.v1`: a person has an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserRegistered {
    /// The e-mail address, as given.
    pub email: Personal<String>,
    /// The name shown to others.
    pub name: Personal<String>,
}

/// `docket.identity.organisation_created.v1`: a tenant exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrganisationCreated {
    /// The organisation's name.
    pub name: String,
}

/// `docket.identity.member_added.v1`: a user belongs to the organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberAdded {
    /// The user.
    pub user_id: Uuid,
    /// What the user may do there.
    pub role: Role,
}

/// Any event of a user or an organisation.
#[derive(Debug, Clone, PartialEq)]
pub enum IdentityEvent {
    /// See [`UserRegistered`].
    UserRegistered(UserRegistered),
    /// See [`OrganisationCreated`].
    OrganisationCreated(OrganisationCreated),
    /// See [`MemberAdded`].
    MemberAdded(MemberAdded),
}

impl HasPersonal for IdentityEvent {
    fn visit_personal(&mut self, visit: &mut dyn FnMut(&mut dyn PersonalField)) {
        match self {
            Self::UserRegistered(event) => {
                visit(&mut event.email);
                visit(&mut event.name);
            }
            Self::OrganisationCreated(_) | Self::MemberAdded(_) => {}
        }
    }
}
