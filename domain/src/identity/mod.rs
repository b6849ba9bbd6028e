//! Users and organisations, the least that decisions need: who exists, and who belongs where in which role.
//!
//! A user's stream is the user's id in the nil tenant; an organisation is a tenant, and memberships are its events. Owns what an
//! e-mail address and a name may be. Must not know of secrets (passwords, tokens), which are never events; that an address is used
//! once is a unique claim of the append, made on [`normalise_email`].

mod organisation;
mod user;
mod validate;

#[cfg(test)]
mod tests;

pub use organisation::{
    AddMember, CreateOrganisation, Organisation, OrganisationCommand, add_member, create_organisation,
    decide_organisation,
};
pub use user::{RESET_PAUSE, RegisterUser, Registered, User, change_password, register_user, request_password_reset};
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
        }
    }
}
