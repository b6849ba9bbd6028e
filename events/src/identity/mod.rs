//! What happens to users, organisations, sessions, API keys, the templates of requests, and webhooks.
//!
//! A user's stream belongs to no tenant (the nil tenant); memberships, invitations and groups are events of the organisation; a session,
//! an API key and a template are streams of their own within an organisation, and so are all its webhooks together. Secrets (password hashes, tokens, keys) are never events.

mod api_key;
mod organisation;
mod session;
mod template;
mod user;
mod webhook;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use api_key::{ApiKeyCreated, ApiKeyRevoked, ApiKeyRotated, KeyEnd, Scope};
pub use organisation::{
    CalendarSet, GroupCreated, GroupDeleted, GroupMemberAdded, GroupMemberRemoved, GroupRenamed, InvitationAccepted,
    InvitationRevoked, MemberAdded, MemberEnd, MemberInvited, MemberRemoved, OrganisationCreated, ReadingShown,
    RoleChanged, SecondFactorDemanded,
};
pub use session::{LoginMethod, SessionEnd, SessionRevoked, SessionStarted};
pub use template::{TemplateRetired, TemplateSet};
pub use user::{
    AddressVerified, AllSessionsRevoked, Channel, LockedOut, Mailing, NotificationPreferencesSet, PasswordChanged,
    PasswordProof, PasswordResetRequested, QuietHours, RecoveryCodeUsed, SecondFactor, SecondFactorDisabled,
    SecondFactorEnabled, UserRegistered, VerificationRequested,
};
pub use webhook::{
    EndpointEnd, EndpointFormat, Redelivered, WebhookEndpointDisabled, WebhookEndpointEnabled, WebhookEndpointRemoved,
    WebhookEndpointSet, WebhookRedeliveryRequested, WebhookSecretRotated, WebhookTestRequested,
};

use crate::{HasPersonal, personal::PersonalField};

/// What a member may do in an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
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

/// Any event of this category.
#[derive(Debug, Clone, PartialEq)]
pub enum IdentityEvent {
    /// See [`UserRegistered`].
    UserRegistered(UserRegistered),
    /// See [`VerificationRequested`].
    VerificationRequested(VerificationRequested),
    /// See [`AddressVerified`].
    AddressVerified(AddressVerified),
    /// See [`PasswordResetRequested`].
    PasswordResetRequested(PasswordResetRequested),
    /// See [`PasswordChanged`].
    PasswordChanged(PasswordChanged),
    /// See [`AllSessionsRevoked`].
    AllSessionsRevoked(AllSessionsRevoked),
    /// See [`SecondFactorEnabled`].
    SecondFactorEnabled(SecondFactorEnabled),
    /// See [`SecondFactorDisabled`].
    SecondFactorDisabled(SecondFactorDisabled),
    /// See [`RecoveryCodeUsed`].
    RecoveryCodeUsed(RecoveryCodeUsed),
    /// See [`LockedOut`].
    LockedOut(LockedOut),
    /// See [`NotificationPreferencesSet`].
    NotificationPreferencesSet(NotificationPreferencesSet),
    /// See [`OrganisationCreated`].
    OrganisationCreated(OrganisationCreated),
    /// See [`MemberAdded`].
    MemberAdded(MemberAdded),
    /// See [`MemberInvited`].
    MemberInvited(MemberInvited),
    /// See [`InvitationRevoked`].
    InvitationRevoked(InvitationRevoked),
    /// See [`InvitationAccepted`].
    InvitationAccepted(InvitationAccepted),
    /// See [`RoleChanged`].
    RoleChanged(RoleChanged),
    /// See [`MemberRemoved`].
    MemberRemoved(MemberRemoved),
    /// See [`GroupCreated`].
    GroupCreated(GroupCreated),
    /// See [`GroupRenamed`].
    GroupRenamed(GroupRenamed),
    /// See [`GroupDeleted`].
    GroupDeleted(GroupDeleted),
    /// See [`GroupMemberAdded`].
    GroupMemberAdded(GroupMemberAdded),
    /// See [`GroupMemberRemoved`].
    GroupMemberRemoved(GroupMemberRemoved),
    /// See [`CalendarSet`].
    CalendarSet(CalendarSet),
    /// See [`SecondFactorDemanded`].
    SecondFactorDemanded(SecondFactorDemanded),
    /// See [`ReadingShown`].
    ReadingShown(ReadingShown),
    /// See [`SessionStarted`].
    SessionStarted(SessionStarted),
    /// See [`SessionRevoked`].
    SessionRevoked(SessionRevoked),
    /// See [`ApiKeyCreated`].
    ApiKeyCreated(ApiKeyCreated),
    /// See [`ApiKeyRotated`].
    ApiKeyRotated(ApiKeyRotated),
    /// See [`ApiKeyRevoked`].
    ApiKeyRevoked(ApiKeyRevoked),
    /// See [`TemplateSet`].
    TemplateSet(TemplateSet),
    /// See [`TemplateRetired`].
    TemplateRetired(TemplateRetired),
    /// See [`WebhookEndpointSet`].
    WebhookEndpointSet(WebhookEndpointSet),
    /// See [`WebhookEndpointEnabled`].
    WebhookEndpointEnabled(WebhookEndpointEnabled),
    /// See [`WebhookEndpointDisabled`].
    WebhookEndpointDisabled(WebhookEndpointDisabled),
    /// See [`WebhookEndpointRemoved`].
    WebhookEndpointRemoved(WebhookEndpointRemoved),
    /// See [`WebhookSecretRotated`].
    WebhookSecretRotated(WebhookSecretRotated),
    /// See [`WebhookTestRequested`].
    WebhookTestRequested(WebhookTestRequested),
    /// See [`WebhookRedeliveryRequested`].
    WebhookRedeliveryRequested(WebhookRedeliveryRequested),
}

impl HasPersonal for IdentityEvent {
    fn visit_personal(&mut self, visit: &mut dyn FnMut(&mut dyn PersonalField)) {
        match self {
            Self::UserRegistered(UserRegistered { email, name, address }) => {
                visit(email);
                visit(name);
                address.iter_mut().for_each(|field| visit(field));
            }
            Self::VerificationRequested(VerificationRequested { address, .. })
            | Self::AddressVerified(AddressVerified { address, .. })
            | Self::PasswordResetRequested(PasswordResetRequested { address, .. })
            | Self::PasswordChanged(PasswordChanged { address, .. })
            | Self::RecoveryCodeUsed(RecoveryCodeUsed { address, .. })
            | Self::LockedOut(LockedOut { address, .. })
            | Self::OrganisationCreated(OrganisationCreated { address, .. })
            | Self::MemberAdded(MemberAdded { address, .. })
            | Self::InvitationAccepted(InvitationAccepted { address, .. })
            | Self::SessionRevoked(SessionRevoked { address, .. }) => address.iter_mut().for_each(|field| visit(field)),
            Self::MemberInvited(event) => visit(&mut event.email),
            Self::WebhookEndpointSet(event) => visit(&mut event.url),
            Self::SessionStarted(event) => {
                event.address.iter_mut().for_each(|field| visit(field));
                event.agent.iter_mut().for_each(|field| visit(field));
            }
            Self::AllSessionsRevoked(_)
            | Self::SecondFactorEnabled(_)
            | Self::SecondFactorDisabled(_)
            | Self::NotificationPreferencesSet(_)
            | Self::InvitationRevoked(_)
            | Self::RoleChanged(_)
            | Self::MemberRemoved(_)
            | Self::GroupCreated(_)
            | Self::GroupRenamed(_)
            | Self::GroupDeleted(_)
            | Self::GroupMemberAdded(_)
            | Self::GroupMemberRemoved(_)
            | Self::SecondFactorDemanded(_)
            | Self::ReadingShown(_)
            | Self::CalendarSet(_)
            | Self::ApiKeyCreated(_)
            | Self::ApiKeyRotated(_)
            | Self::ApiKeyRevoked(_)
            | Self::TemplateSet(_)
            | Self::TemplateRetired(_)
            | Self::WebhookEndpointEnabled(_)
            | Self::WebhookEndpointDisabled(_)
            | Self::WebhookEndpointRemoved(_)
            | Self::WebhookSecretRotated(_)
            | Self::WebhookTestRequested(_)
            | Self::WebhookRedeliveryRequested(_) => {}
        }
    }
}
