//! What commands to an organisation answer: the parts of the folded state that they changed.

use chrono::{DateTime, Utc};
use docket_domain::identity::Organisation;
use docket_platform::auth::Role;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::roles::token_role;

/// An organisation in short.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Organisation)]
pub(super) struct OrganisationView {
    /// Its id.
    id: Uuid,
    /// Its name.
    #[schema(example = "Harbour Works")]
    name: String,
    /// The version of its stream. Also its `ETag`.
    version: u64,
    /// How many belong to it.
    member_count: usize,
    /// How many invitations wait.
    invitation_count: usize,
    /// How many groups it has.
    group_count: usize,
    /// In which roles a second factor is demanded; null: as the installation has it.
    second_factor: Option<Vec<Role>>,
    /// Since when what reviewers open before they vote is shown with their votes; null: it is not.
    reading_shown_since: Option<DateTime<Utc>>,
}

/// An invitation that waits.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Invitation)]
pub(super) struct InvitationView {
    /// Its id.
    id: Uuid,
    /// Where it is mailed to; null when it was erased.
    #[schema(format = "email")]
    email: Option<String>,
    /// What the invited may do once they have joined.
    role: Role,
    /// Until when it can be accepted.
    expires_at: DateTime<Utc>,
}

/// A member.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Member)]
pub(super) struct MemberView {
    /// The user.
    user_id: Uuid,
    /// What the member may do.
    role: Role,
    /// The groups that the member belongs to.
    groups: Vec<Uuid>,
}

/// Members who can be addressed together.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Group)]
pub(super) struct GroupView {
    /// Its id.
    id: Uuid,
    /// Its name.
    #[schema(example = "Night shift")]
    name: String,
    /// Who belongs to it.
    members: Vec<Uuid>,
}

/// Where somebody belongs from now on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Joined)]
pub(crate) struct JoinedView {
    /// Who joined.
    user_id: Uuid,
    /// What they may do there.
    role: Role,
    /// Where.
    organisation: JoinedOrganisation,
}

/// The organisation that somebody joined.
#[derive(Debug, Serialize, ToSchema)]
struct JoinedOrganisation {
    /// Its id.
    id: Uuid,
    /// Its name.
    name: String,
}

impl OrganisationView {
    pub(super) fn of(id: Uuid, state: &Organisation) -> Option<Self> {
        Some(Self {
            id,
            name: state.name.clone()?,
            version: state.version,
            member_count: state.members.len(),
            invitation_count: state.invitations.len(),
            group_count: state.groups.len(),
            second_factor: state.second_factor.as_ref().map(|roles| roles.iter().copied().map(token_role).collect()),
            reading_shown_since: state.reading_shown,
        })
    }
}

impl InvitationView {
    /// Its address must have been opened.
    pub(super) fn of(id: Uuid, state: &Organisation) -> Option<Self> {
        let invitation = state.invitations.get(&id)?;
        let email = invitation.email.value().cloned();
        Some(Self { id, email, role: token_role(invitation.role), expires_at: invitation.expires_at })
    }
}

impl MemberView {
    pub(super) fn of(user_id: Uuid, state: &Organisation) -> Option<Self> {
        let groups = state.groups.iter().filter(|(_, group)| group.members.contains(&user_id)).map(|(id, _)| *id);
        Some(Self { user_id, role: token_role(state.role_of(user_id)?), groups: groups.collect() })
    }
}

impl GroupView {
    pub(super) fn of(id: Uuid, state: &Organisation) -> Option<Self> {
        let group = state.groups.get(&id)?;
        Some(Self { id, name: group.name.clone(), members: group.members.iter().copied().collect() })
    }
}

impl JoinedView {
    /// `user_id` in the organisation `id`.
    pub(crate) fn of(user_id: Uuid, id: Uuid, state: &Organisation) -> Option<Self> {
        let organisation = JoinedOrganisation { id, name: state.name.clone()? };
        Some(Self { user_id, role: token_role(state.role_of(user_id)?), organisation })
    }
}
