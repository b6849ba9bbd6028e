//! The organisation: a tenant, who belongs to it, who may come, and its groups.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use docket_events::{
    HasPersonal, Personal,
    calendar::BusinessCalendar,
    identity::{
        CalendarSet, GroupCreated, GroupDeleted, GroupMemberAdded, GroupMemberRemoved, GroupRenamed, IdentityEvent,
        InvitationAccepted, InvitationRevoked, MemberAdded, MemberEnd, MemberInvited, MemberRemoved,
        OrganisationCreated, ReadingShown, Role, RoleChanged, SecondFactorDemanded,
    },
    personal::PersonalField,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{NetworkAddress, Refusal, check_email, check_name};
use crate::{Aggregate, At, Decided, calendar};

/// How long an invitation can be accepted.
pub const INVITATION_LIFETIME: TimeDelta = TimeDelta::days(7);
/// The most open invitations of an organisation.
pub const MAX_INVITATIONS: usize = 1_000;
/// The most groups of an organisation.
pub const MAX_GROUPS: usize = 500;

/// An organisation as its events tell it. The default does not exist yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organisation {
    /// The name; none: the organisation does not exist.
    pub name: Option<String>,
    /// Its members.
    pub members: BTreeMap<Uuid, Member>,
    /// Invitations that were neither accepted nor revoked; they may have expired.
    pub invitations: BTreeMap<Uuid, Invitation>,
    /// Its groups.
    pub groups: BTreeMap<Uuid, Group>,
    /// In which roles a second factor is demanded; none: as the installation has it.
    pub second_factor: Option<BTreeSet<Role>>,
    /// Since when what reviewers open before they vote is shown with their votes; none: it is not.
    pub reading_shown: Option<DateTime<Utc>>,
    /// When it works, where that was said.
    pub calendar: Option<BusinessCalendar>,
    /// The version of the stream.
    pub version: u64,
    /// The time of the last event.
    pub updated_at: Option<DateTime<Utc>>,
}

/// A member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// What the member may do.
    pub role: Role,
    /// The version of the organisation's stream since which the member may.
    pub since: u64,
}

/// An invitation that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Where it was mailed to.
    pub email: Personal<String>,
    /// What the invited is to do.
    pub role: Role,
    /// Until when it can be accepted.
    pub expires_at: DateTime<Utc>,
}

/// Members who can be addressed together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Who belongs to it.
    pub members: BTreeSet<Uuid>,
}

impl Aggregate for Organisation {
    type Event = IdentityEvent;

    const SCHEMA: i32 = 4;

    fn evolve(&mut self, event: &IdentityEvent, at: At) {
        self.version = at.version;
        self.updated_at = Some(at.time);
        match event {
            IdentityEvent::OrganisationCreated(event) => self.name = Some(event.name.clone()),
            IdentityEvent::MemberAdded(MemberAdded { user_id, role, .. })
            | IdentityEvent::RoleChanged(RoleChanged { user_id, role }) => {
                self.members.insert(*user_id, Member { role: *role, since: at.version });
            }
            IdentityEvent::MemberRemoved(event) => {
                self.members.remove(&event.user_id);
                for group in self.groups.values_mut() {
                    group.members.remove(&event.user_id);
                }
            }
            IdentityEvent::MemberInvited(MemberInvited { invitation_id, email, role, expires_at }) => {
                self.invitations.retain(|_, other| at.time < other.expires_at);
                let invitation = Invitation { email: email.clone(), role: *role, expires_at: *expires_at };
                self.invitations.insert(*invitation_id, invitation);
            }
            IdentityEvent::InvitationRevoked(InvitationRevoked { invitation_id })
            | IdentityEvent::InvitationAccepted(InvitationAccepted { invitation_id, .. }) => {
                self.invitations.remove(invitation_id);
            }
            IdentityEvent::CalendarSet(event) => self.calendar = Some(event.calendar.clone()),
            IdentityEvent::SecondFactorDemanded(event) => {
                self.second_factor = Some(event.roles.iter().copied().collect());
            }
            IdentityEvent::ReadingShown(event) => self.reading_shown = event.shown.then_some(at.time),
            event => self.evolve_groups(event),
        }
    }
}

impl Organisation {
    fn evolve_groups(&mut self, event: &IdentityEvent) {
        match event {
            IdentityEvent::GroupCreated(GroupCreated { group_id, name }) => {
                self.groups.insert(*group_id, Group { name: name.clone(), members: BTreeSet::new() });
            }
            IdentityEvent::GroupRenamed(GroupRenamed { group_id, name }) => {
                if let Some(group) = self.groups.get_mut(group_id) {
                    group.name.clone_from(name);
                }
            }
            IdentityEvent::GroupDeleted(event) => drop(self.groups.remove(&event.group_id)),
            IdentityEvent::GroupMemberAdded(GroupMemberAdded { group_id, user_id }) => {
                if let Some(group) = self.groups.get_mut(group_id) {
                    group.members.insert(*user_id);
                }
            }
            IdentityEvent::GroupMemberRemoved(GroupMemberRemoved { group_id, user_id }) => {
                if let Some(group) = self.groups.get_mut(group_id) {
                    group.members.remove(user_id);
                }
            }
            // Of other aggregates' streams.
            _ => {}
        }
    }

    /// The member's role, if the user is one.
    #[must_use]
    pub fn role_of(&self, user: Uuid) -> Option<Role> {
        self.members.get(&user).map(|member| member.role)
    }

    /// Whether nobody else is an administrator.
    fn is_last_admin(&self, user: Uuid) -> bool {
        self.role_of(user) == Some(Role::Admin)
            && !self.members.iter().any(|(other, member)| *other != user && member.role == Role::Admin)
    }
}

impl HasPersonal for Organisation {
    fn visit_personal(&mut self, visit: &mut dyn FnMut(&mut dyn PersonalField)) {
        self.invitations.values_mut().for_each(|invitation| visit(&mut invitation.email));
    }
}

/// Make a tenant. Doing so again changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateOrganisation {
    /// The organisation's name.
    pub name: String,
    /// Its first administrator, if there is one from the beginning.
    pub admin: Option<Uuid>,
    /// Where that came from.
    pub from: NetworkAddress,
}

/// Let a user belong to the organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddMember {
    /// The user, who exists.
    pub user_id: Uuid,
    /// What the user may do there.
    pub role: Role,
}

/// Let whoever reads mail at an address join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteMember {
    /// The invitation's id.
    pub invitation_id: Uuid,
    /// The address.
    pub email: String,
    /// What the invited is to do.
    pub role: Role,
}

/// Join by an invitation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptInvitation {
    /// Which.
    pub invitation_id: Uuid,
    /// Who joins.
    pub user_id: Uuid,
    /// Where that came from.
    pub from: NetworkAddress,
}

/// Any command to an organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrganisationCommand {
    /// See [`CreateOrganisation`].
    Create(CreateOrganisation),
    /// See [`AddMember`].
    AddMember(AddMember),
    /// See [`InviteMember`].
    Invite(InviteMember),
    /// Let an invitation not be accepted any more.
    RevokeInvitation(Uuid),
    /// See [`AcceptInvitation`].
    AcceptInvitation(AcceptInvitation),
    /// Let a member do something else.
    ChangeRole(AddMember),
    /// Let a user not belong to the organisation any more.
    RemoveMember(Uuid, MemberEnd),
    /// Make a group of this id and name. The same id again changes nothing.
    CreateGroup(Uuid, String),
    /// Give a group another name.
    RenameGroup(Uuid, String),
    /// Let a group be no more.
    DeleteGroup(Uuid),
    /// Let a member (second) belong to a group (first).
    AddToGroup(Uuid, Uuid),
    /// Let a member (second) not belong to a group (first) any more.
    RemoveFromGroup(Uuid, Uuid),
    /// Demand a second factor of these roles.
    DemandSecondFactor(BTreeSet<Role>),
    /// Show what reviewers open before they vote with their votes, or do so no more.
    ShowReading(bool),
    /// Say when the organisation works.
    SetCalendar(BusinessCalendar),
}

type Decision = Result<Vec<IdentityEvent>, Refusal>;

/// Decides any command to an organisation at `now`.
#[must_use]
pub fn decide_organisation(
    state: &Organisation,
    command: OrganisationCommand,
    now: DateTime<Utc>,
) -> Decided<IdentityEvent, Refusal> {
    match decide(state, command, now) {
        Ok(events) => Decided::accepted(events),
        Err(refusal) => Decided::refused(refusal),
    }
}

fn decide(state: &Organisation, command: OrganisationCommand, now: DateTime<Utc>) -> Decision {
    use OrganisationCommand as C;
    if let C::Create(command) = command {
        return create(state, command);
    }
    if state.name.is_none() {
        return Err(Refusal::NotFound);
    }
    match command {
        C::Create(_) => Ok(Vec::new()),
        C::AddMember(command) => add_member(state, command),
        C::Invite(command) => invite(state, command, now),
        C::RevokeInvitation(id) => match state.invitations.get(&id) {
            Some(_) => Ok(vec![IdentityEvent::InvitationRevoked(InvitationRevoked { invitation_id: id })]),
            None => Err(Refusal::NoSuchInvitation),
        },
        C::AcceptInvitation(command) => accept(state, command, now),
        C::ChangeRole(command) => change_role(state, command),
        C::RemoveMember(user_id, reason) => {
            member(state, user_id)?;
            if state.is_last_admin(user_id) {
                return Err(Refusal::LastAdmin);
            }
            Ok(vec![IdentityEvent::MemberRemoved(MemberRemoved { user_id, reason })])
        }
        C::SetCalendar(calendar) if state.calendar.as_ref() == Some(&calendar) => Ok(Vec::new()),
        C::SetCalendar(calendar) => {
            calendar::check(&calendar)
                .map_err(|error| Refusal::Invalid { field: error.field(), reason: error.to_string() })?;
            Ok(vec![IdentityEvent::CalendarSet(CalendarSet { calendar })])
        }
        C::DemandSecondFactor(roles) if state.second_factor.as_ref() == Some(&roles) => Ok(Vec::new()),
        C::DemandSecondFactor(roles) => {
            let roles = roles.into_iter().collect();
            Ok(vec![IdentityEvent::SecondFactorDemanded(SecondFactorDemanded { roles })])
        }
        C::ShowReading(shown) if state.reading_shown.is_some() == shown => Ok(Vec::new()),
        C::ShowReading(shown) => Ok(vec![IdentityEvent::ReadingShown(ReadingShown { shown })]),
        C::CreateGroup(id, name) => create_group(state, id, &name),
        C::RenameGroup(group_id, name) => {
            let (group, name) = (group(state, group_id)?, check_name(&name)?);
            if group.name == name {
                return Ok(Vec::new());
            }
            is_free(state, group_id, &name)?;
            Ok(vec![IdentityEvent::GroupRenamed(GroupRenamed { group_id, name })])
        }
        C::DeleteGroup(group_id) => {
            group(state, group_id)?;
            Ok(vec![IdentityEvent::GroupDeleted(GroupDeleted { group_id })])
        }
        C::AddToGroup(group_id, user_id) => {
            let there = group(state, group_id)?.members.contains(&user_id);
            member(state, user_id)?;
            let event = IdentityEvent::GroupMemberAdded(GroupMemberAdded { group_id, user_id });
            Ok(if there { Vec::new() } else { vec![event] })
        }
        C::RemoveFromGroup(group_id, user_id) => {
            let there = group(state, group_id)?.members.contains(&user_id);
            let event = IdentityEvent::GroupMemberRemoved(GroupMemberRemoved { group_id, user_id });
            if there { Ok(vec![event]) } else { Err(Refusal::NoSuchMember) }
        }
    }
}

fn member(state: &Organisation, user: Uuid) -> Result<Member, Refusal> {
    state.members.get(&user).copied().ok_or(Refusal::NoSuchMember)
}

fn group(state: &Organisation, id: Uuid) -> Result<&Group, Refusal> {
    state.groups.get(&id).ok_or(Refusal::NoSuchGroup)
}

fn create(state: &Organisation, CreateOrganisation { name, admin, from }: CreateOrganisation) -> Decision {
    if state.name.is_some() {
        return Ok(Vec::new());
    }
    let created =
        IdentityEvent::OrganisationCreated(OrganisationCreated { name: check_name(&name)?, address: from.clone() });
    let admin =
        admin.map(|user_id| IdentityEvent::MemberAdded(MemberAdded { user_id, role: Role::Admin, address: from }));
    Ok([created].into_iter().chain(admin).collect())
}

/// A member's role is not changed by adding the member again.
fn add_member(state: &Organisation, AddMember { user_id, role }: AddMember) -> Decision {
    match state.role_of(user_id) {
        None => Ok(vec![IdentityEvent::MemberAdded(MemberAdded { user_id, role, address: None })]),
        Some(has) if has == role => Ok(Vec::new()),
        Some(role) => Err(Refusal::AlreadyMember { role }),
    }
}

fn change_role(state: &Organisation, AddMember { user_id, role }: AddMember) -> Decision {
    if member(state, user_id)?.role == role {
        return Ok(Vec::new());
    }
    if state.is_last_admin(user_id) {
        return Err(Refusal::LastAdmin);
    }
    Ok(vec![IdentityEvent::RoleChanged(RoleChanged { user_id, role })])
}

fn invite(
    state: &Organisation,
    InviteMember { invitation_id, email, role }: InviteMember,
    now: DateTime<Utc>,
) -> Decision {
    if state.invitations.contains_key(&invitation_id) {
        return Ok(Vec::new());
    }
    if state.invitations.values().filter(|invitation| now < invitation.expires_at).count() >= MAX_INVITATIONS {
        return Err(Refusal::TooMany("invitations"));
    }
    Ok(vec![IdentityEvent::MemberInvited(MemberInvited {
        invitation_id,
        email: Personal::known(invitation_id, check_email(&email)?),
        role,
        expires_at: now + INVITATION_LIFETIME,
    })])
}

fn accept(
    state: &Organisation,
    AcceptInvitation { invitation_id, user_id, from }: AcceptInvitation,
    now: DateTime<Utc>,
) -> Decision {
    let invitation = state.invitations.get(&invitation_id).filter(|invitation| now < invitation.expires_at);
    let role = invitation.ok_or(Refusal::NoSuchInvitation)?.role;
    let mut events =
        vec![IdentityEvent::InvitationAccepted(InvitationAccepted { invitation_id, user_id, address: from.clone() })];
    // Whoever belongs to it already keeps the role.
    if state.role_of(user_id).is_none() {
        events.push(IdentityEvent::MemberAdded(MemberAdded { user_id, role, address: from }));
    }
    Ok(events)
}

fn create_group(state: &Organisation, group_id: Uuid, name: &str) -> Decision {
    let name = check_name(name)?;
    // Whatever it is called by now: its members stay.
    if state.groups.contains_key(&group_id) {
        return Ok(Vec::new());
    }
    is_free(state, group_id, &name)?;
    if state.groups.len() >= MAX_GROUPS {
        return Err(Refusal::TooMany("groups"));
    }
    Ok(vec![IdentityEvent::GroupCreated(GroupCreated { group_id, name })])
}

fn is_free(state: &Organisation, group_id: Uuid, name: &str) -> Result<(), Refusal> {
    let taken = state.groups.iter().any(|(id, group)| *id != group_id && group.name == name);
    if taken { Err(Refusal::GroupNameTaken) } else { Ok(()) }
}
