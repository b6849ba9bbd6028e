//! Users, organisations, sessions and API keys: who exists, who belongs where in which role, and what may act for whom.
//!
//! A user's stream is the user's id in the nil tenant; an organisation is a tenant, and memberships, invitations and groups are its
//! events; sessions and API keys are streams of their own in their tenant. Owns what an e-mail address and a name may be. Must not know
//! of secrets (passwords, tokens, keys), which are never events; that an address is used once is a unique claim of the append, made on
//! [`normalise_email`].

mod api_key;
mod organisation;
mod session;
mod user;
mod validate;

#[cfg(test)]
mod tests;

pub use api_key::{ApiKey, CreateApiKey, create_api_key, revoke_api_key, rotate_api_key};
pub use organisation::{
    AcceptInvitation, AddMember, CreateOrganisation, Group, INVITATION_LIFETIME, Invitation, InviteMember, MAX_GROUPS,
    MAX_INVITATIONS, Member, Organisation, OrganisationCommand, decide_organisation,
};
pub use session::{Session, StartSession, revoke_session, start_session};
pub use user::{
    MAIL_PAUSE, NetworkAddress, RegisterUser, Registered, SessionsEnded, User, change_password, lock_out,
    register_invited, register_user, request_password_reset, request_verification, revoke_all_sessions,
    set_notifications, set_second_factor, sign_up, unsubscribe, use_recovery_code, verify_address,
};
pub use validate::{check_email, check_name, normalise_email};

use docket_events::identity::Role;

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such organisation.
    #[error("there is no such organisation")]
    NotFound,
    /// There is no such user.
    #[error("there is no such user")]
    NoSuchUser,
    /// What was given does not do.
    #[error("`{field}` {reason}")]
    Invalid {
        /// The field, as the API names it.
        field: &'static str,
        /// What is wrong with it: the rest of a sentence that begins with the field's name.
        reason: String,
    },
    /// Without this member in the role of an administrator nobody could manage the organisation.
    #[error("an organisation needs an administrator")]
    LastAdmin,
    /// The user does not belong to the organisation.
    #[error("there is no such member")]
    NoSuchMember,
    /// There is no such invitation, or it was accepted, revoked, or has expired.
    #[error("there is no such invitation")]
    NoSuchInvitation,
    /// There is no such group.
    #[error("there is no such group")]
    NoSuchGroup,
    /// Another group has this name.
    #[error("there is a group of this name already")]
    GroupNameTaken,
    /// There are as many as there may be.
    #[error("there are too many {0} already")]
    TooMany(&'static str),
    /// It is over, and nothing can be done with it.
    #[error("it has ended")]
    Ended,
    /// The user belongs to the organisation already, in another role.
    #[error("the user is a member already, in another role")]
    AlreadyMember {
        /// The role that the member has.
        role: Role,
    },
}

impl Refusal {
    /// The stable name of this refusal.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound | Self::NoSuchUser => "not_found",
            Self::Invalid { .. } => "invalid",
            Self::AlreadyMember { .. } => "already_member",
            Self::LastAdmin => "last_admin",
            Self::NoSuchMember | Self::NoSuchInvitation | Self::NoSuchGroup => "not_found",
            Self::GroupNameTaken => "name_taken",
            Self::TooMany(_) => "too_many",
            Self::Ended => "ended",
        }
    }
}
