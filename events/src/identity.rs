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

/// The way by which a link reaches a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// A mail to the user's address.
    Mail,
}

/// `docket.identity.password_reset_requested.v1`: somebody who named the address wants to set a new password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PasswordResetRequested {
    /// Where the link goes; whether it was the user who asked shows when it is used.
    pub channel: Channel,
}

/// How a password was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PasswordProof {
    /// By somebody who was logged in and knew the old one.
    OldPassword,
    /// By the link that was mailed to the address.
    MailedLink,
}

/// `docket.identity.password_changed.v1`: the user has a new password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PasswordChanged {
    /// What allowed it.
    pub proof: PasswordProof,
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
    /// See [`PasswordResetRequested`].
    PasswordResetRequested(PasswordResetRequested),
    /// See [`PasswordChanged`].
    PasswordChanged(PasswordChanged),
}

impl HasPersonal for IdentityEvent {
    fn visit_personal(&mut self, visit: &mut dyn FnMut(&mut dyn PersonalField)) {
        match self {
            Self::UserRegistered(event) => {
                visit(&mut event.email);
                visit(&mut event.name);
            }
            Self::OrganisationCreated(_)
            | Self::MemberAdded(_)
            | Self::PasswordResetRequested(_)
            | Self::PasswordChanged(_) => {}
        }
    }
}
