//! Of an organisation's stream.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Role;
use crate::{Personal, calendar::BusinessCalendar};

/// `docket.identity.organisation_created.v1`: a tenant exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrganisationCreated {
    /// The organisation's name.
    pub name: String,
    /// The network address that it came from, where no session tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Personal<String>>,
}

/// `docket.identity.member_added.v1`: a user belongs to the organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberAdded {
    /// The user.
    pub user_id: Uuid,
    /// What the user may do there.
    pub role: Role,
    /// The network address that it came from, where no session tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Personal<String>>,
}

/// `docket.identity.member_invited.v1`: whoever reads mail at an address may join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberInvited {
    /// The invitation, which is also the data subject of the address until somebody joins.
    pub invitation_id: Uuid,
    /// Where the invitation is mailed to.
    pub email: Personal<String>,
    /// What the invited may do once they have joined.
    pub role: Role,
    /// Until when it can be accepted.
    pub expires_at: DateTime<Utc>,
}

/// `docket.identity.invitation_revoked.v1`: an invitation cannot be accepted any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InvitationRevoked {
    /// Which.
    pub invitation_id: Uuid,
}

/// `docket.identity.invitation_accepted.v1`: somebody who had the mailed link joins; `member_added` follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InvitationAccepted {
    /// Which invitation.
    pub invitation_id: Uuid,
    /// Who joined.
    pub user_id: Uuid,
    /// The network address that it came from, where no session tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Personal<String>>,
}

/// `docket.identity.role_changed.v1`: a member may do something else from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleChanged {
    /// The member.
    pub user_id: Uuid,
    /// The role from now on.
    pub role: Role,
}

/// How a membership ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberEnd {
    /// An administrator ended it.
    Removed,
    /// The member did.
    Left,
}

/// `docket.identity.member_removed.v1`: a user does not belong to the organisation, nor to its groups, any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberRemoved {
    /// The user.
    pub user_id: Uuid,
    /// How it came to that.
    pub reason: MemberEnd,
}

/// `docket.identity.group_created.v1`: members can be addressed together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupCreated {
    /// The group.
    pub group_id: Uuid,
    /// Its name, which no other group of the organisation has.
    pub name: String,
}

/// `docket.identity.group_renamed.v1`: a group has another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupRenamed {
    /// The group.
    pub group_id: Uuid,
    /// Its name from now on.
    pub name: String,
}

/// `docket.identity.group_deleted.v1`: a group is no more; its members stay members of the organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupDeleted {
    /// The group.
    pub group_id: Uuid,
}

/// `docket.identity.group_member_added.v1`: a member belongs to a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupMemberAdded {
    /// The group.
    pub group_id: Uuid,
    /// The member.
    pub user_id: Uuid,
}

/// `docket.identity.group_member_removed.v1`: a member does not belong to a group any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupMemberRemoved {
    /// The group.
    pub group_id: Uuid,
    /// The member.
    pub user_id: Uuid,
}

/// `docket.identity.calendar_set.v1`: when the organisation works, for requests that count business time from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CalendarSet {
    /// The hours and holidays.
    pub calendar: BusinessCalendar,
}

/// `docket.identity.second_factor_demanded.v1`: in these roles nobody does anything here without a second factor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecondFactorDemanded {
    /// All roles of whom it is demanded from now on.
    pub roles: Vec<Role>,
}

/// `docket.identity.reading_shown.v1`: what reviewers open before they vote is shown with their votes from now on, or no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReadingShown {
    /// Whether it is.
    pub shown: bool,
}
