//! An organisation's members, invitations and groups; and that somebody can manage it, whatever is commanded.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use docket_events::identity::{
    GroupCreated, GroupDeleted, GroupMemberAdded, GroupMemberRemoved, GroupRenamed, InvitationAccepted,
    InvitationRevoked, MemberEnd, MemberInvited, MemberRemoved, ReadingShown, RoleChanged, SecondFactorDemanded,
};
use proptest::prelude::*;

use super::*;

const BEN: Uuid = Uuid::from_u128(2);
const INVITATION: Uuid = Uuid::from_u128(10);
const GROUP: Uuid = Uuid::from_u128(20);
const OTHER: Uuid = Uuid::from_u128(21);

fn member(user_id: Uuid, role: Role) -> Event {
    Event::MemberAdded(MemberAdded { user_id, role, address: None })
}

fn invited() -> Event {
    Event::MemberInvited(MemberInvited {
        invitation_id: INVITATION,
        email: Personal::known(INVITATION, "ben@example.org".to_owned()),
        role: Role::Reviewer,
        expires_at: at(1).time + INVITATION_LIFETIME,
    })
}

fn group(group_id: Uuid, name: &str) -> Event {
    Event::GroupCreated(GroupCreated { group_id, name: name.to_owned() })
}

fn in_group(user_id: Uuid) -> Event {
    Event::GroupMemberAdded(GroupMemberAdded { group_id: GROUP, user_id })
}

/// Decides after `events`, so many days later.
fn decide_after(days: i64, events: &[Event], command: OrganisationCommand) -> Result<Vec<Event>, Refusal> {
    let decided = decide_organisation(&given(events), command, at(1).time + TimeDelta::days(days));
    decided.refusal.map_or(Ok(decided.events), Err)
}

fn decide(events: &[Event], command: OrganisationCommand) -> Result<Vec<Event>, Refusal> {
    decide_after(0, events, command)
}

#[test]
fn an_organisation_is_created_once() {
    let create = |name: &str, admin| {
        OrganisationCommand::Create(CreateOrganisation { name: name.to_owned(), admin, from: None })
    };
    let decide = |events: &[Event], command| decide_organisation(&given(events), command, at(9).time);
    assert_eq!(decide(&[], create(" Example Works ", None)), Decided::accepted(vec![created()]));
    let with_admin = decide(&[], create("Example Works", Some(ADA)));
    assert_eq!(with_admin, Decided::accepted(vec![created(), added(Role::Admin)]));
    assert_eq!(decide(&[created()], create("Example Works", Some(ADA))), Decided::accepted(vec![]));
    let nameless = decide(&[], create("\t", None));
    assert!(matches!(nameless.refusal, Some(Refusal::Invalid { field: "name", .. })));
}

#[test]
fn a_member_is_added_once_and_keeps_the_role() {
    let add = |role| OrganisationCommand::AddMember(AddMember { user_id: ADA, role });
    let decide = |events: &[Event], role| decide_organisation(&given(events), add(role), at(9).time);
    assert_eq!(decide(&[], Role::Admin), Decided::refused(Refusal::NotFound));
    assert_eq!(decide(&[created()], Role::Admin), Decided::accepted(vec![added(Role::Admin)]));
    let has = [created(), added(Role::Admin)];
    assert_eq!(decide(&has, Role::Admin), Decided::accepted(vec![]));
    assert_eq!(decide(&has, Role::Analyst), Decided::refused(Refusal::AlreadyMember { role: Role::Admin }));
}

#[test]
fn an_organisation_knows_its_members() {
    let organisation = given::<Organisation>(&[created(), added(Role::Reviewer)]);
    assert_eq!(organisation.name.as_deref(), Some("Example Works"));
    assert_eq!(organisation.role_of(ADA), Some(Role::Reviewer));
    assert_eq!((organisation.version, organisation.updated_at), (2, Some(at(2).time)));
}

#[test]
fn an_invitation_is_made_once_for_seven_days() {
    let invite = |email: &str| {
        let email = email.to_owned();
        OrganisationCommand::Invite(InviteMember { invitation_id: INVITATION, email, role: Role::Reviewer })
    };
    assert_eq!(decide(&[created()], invite(" ben@example.org ")), Ok(vec![invited()]));
    assert_eq!(decide(&[created(), invited()], invite("ben@example.org")), Ok(vec![]));
    assert_eq!(decide(&[], invite("ben@example.org")), Err(Refusal::NotFound));
    assert!(matches!(decide(&[created()], invite("ben")), Err(Refusal::Invalid { field: "email", .. })));
}

#[test]
fn there_are_so_many_open_invitations_and_no_more() {
    let one = |n: usize| {
        let Event::MemberInvited(event) = invited() else { unreachable!() };
        Event::MemberInvited(MemberInvited { invitation_id: Uuid::from_u128(1000 + n as u128), ..event })
    };
    let full: Vec<Event> = [created()].into_iter().chain((0..MAX_INVITATIONS).map(one)).collect();
    let invite = InviteMember { invitation_id: INVITATION, email: "ben@example.org".to_owned(), role: Role::Analyst };
    let command = OrganisationCommand::Invite(invite);
    assert_eq!(decide(&full, command.clone()), Err(Refusal::TooMany("invitations")));
    assert!(decide_after(7, &full, command).is_ok(), "those that have expired do not count");
}

#[test]
fn an_invitation_is_accepted_once_in_time_and_gives_its_role() {
    let accept = |user_id| {
        OrganisationCommand::AcceptInvitation(AcceptInvitation { invitation_id: INVITATION, user_id, from: None })
    };
    let accepted =
        |user_id| Event::InvitationAccepted(InvitationAccepted { invitation_id: INVITATION, user_id, address: None });
    let open = [created(), member(ADA, Role::Admin), invited()];
    assert_eq!(decide_after(6, &open, accept(BEN)), Ok(vec![accepted(BEN), member(BEN, Role::Reviewer)]));
    assert_eq!(decide_after(7, &open, accept(BEN)), Err(Refusal::NoSuchInvitation), "too late");
    assert_eq!(decide(&open, accept(ADA)), Ok(vec![accepted(ADA)]), "whoever is a member keeps the role");
    let used = [&open[..], &[accepted(BEN), member(BEN, Role::Reviewer)]].concat();
    assert_eq!(decide(&used, accept(Uuid::from_u128(3))), Err(Refusal::NoSuchInvitation));
    let revoked = [&open[..], &[Event::InvitationRevoked(InvitationRevoked { invitation_id: INVITATION })]].concat();
    assert_eq!(decide(&revoked, accept(BEN)), Err(Refusal::NoSuchInvitation));
    let again = OrganisationCommand::RevokeInvitation(INVITATION);
    assert_eq!(decide(&revoked, again), Err(Refusal::NoSuchInvitation));
}

#[test]
fn the_last_administrator_neither_goes_nor_does_something_else() {
    let change = OrganisationCommand::ChangeRole(AddMember { user_id: ADA, role: Role::Reviewer });
    let gone = |reason| OrganisationCommand::RemoveMember(ADA, reason);
    let alone = [created(), member(ADA, Role::Admin), member(BEN, Role::Reviewer)];
    for command in [change.clone(), gone(MemberEnd::Left), gone(MemberEnd::Removed)] {
        assert_eq!(decide(&alone, command), Err(Refusal::LastAdmin));
    }
    let same = OrganisationCommand::ChangeRole(AddMember { user_id: ADA, role: Role::Admin });
    assert_eq!(decide(&alone, same), Ok(vec![]));
    let two = [created(), member(ADA, Role::Admin), member(BEN, Role::Admin)];
    let changed = Event::RoleChanged(RoleChanged { user_id: ADA, role: Role::Reviewer });
    assert_eq!(decide(&two, change), Ok(vec![changed]));
    let left = Event::MemberRemoved(MemberRemoved { user_id: ADA, reason: MemberEnd::Left });
    assert_eq!(decide(&two, gone(MemberEnd::Left)), Ok(vec![left]));
}

#[test]
fn what_is_done_to_whom_is_no_member_is_refused() {
    let has = [created(), member(ADA, Role::Admin), group(GROUP, "Night")];
    for command in [
        OrganisationCommand::ChangeRole(AddMember { user_id: BEN, role: Role::Admin }),
        OrganisationCommand::RemoveMember(BEN, MemberEnd::Removed),
        OrganisationCommand::AddToGroup(GROUP, BEN),
        OrganisationCommand::RemoveFromGroup(GROUP, BEN),
    ] {
        assert_eq!(decide(&has, command.clone()), Err(Refusal::NoSuchMember), "{command:?}");
    }
}

#[test]
fn a_group_has_a_name_of_its_own() {
    let has = [created(), group(GROUP, "Night"), group(OTHER, "Day")];
    let create = |id, name: &str| OrganisationCommand::CreateGroup(id, name.to_owned());
    let rename = |name: &str| OrganisationCommand::RenameGroup(GROUP, name.to_owned());
    assert_eq!(decide(&[created()], create(GROUP, " Night ")), Ok(vec![group(GROUP, "Night")]));
    assert_eq!(decide(&has, create(Uuid::from_u128(22), "Night")), Err(Refusal::GroupNameTaken));
    assert_eq!(decide(&has, rename("Day")), Err(Refusal::GroupNameTaken));
    assert_eq!(decide(&has, rename("Night")), Ok(vec![]));
    let renamed = Event::GroupRenamed(GroupRenamed { group_id: GROUP, name: "Late".to_owned() });
    assert_eq!(decide(&has, rename("Late")), Ok(vec![renamed.clone()]));
    let late = [&has[..], &[in_group(ADA), renamed]].concat();
    assert_eq!(decide(&late, create(GROUP, "Night")), Ok(vec![]), "made once, whatever it is called by now");
    for hidden in ["a\u{202e}b", "a\u{200b}b", ""] {
        for command in [create(Uuid::from_u128(22), hidden), rename(hidden)] {
            assert!(matches!(decide(&has, command), Err(Refusal::Invalid { field: "name", .. })), "{hidden:?}");
        }
    }
}

#[test]
fn there_are_so_many_groups_and_no_more() {
    let one = |n: usize| group(Uuid::from_u128(1000 + n as u128), &format!("Group {n}"));
    let full: Vec<Event> = [created()].into_iter().chain((0..MAX_GROUPS).map(one)).collect();
    let command = OrganisationCommand::CreateGroup(GROUP, "One more".to_owned());
    assert_eq!(decide(&full, command), Err(Refusal::TooMany("groups")));
}

#[test]
fn a_group_has_members_of_the_organisation_and_ends_without_them_ending() {
    let has = [created(), member(ADA, Role::Admin), member(BEN, Role::Admin), group(GROUP, "Night"), in_group(ADA)];
    let add = |user| OrganisationCommand::AddToGroup(GROUP, user);
    assert_eq!(decide(&has, add(ADA)), Ok(vec![]));
    assert_eq!(decide(&has, add(BEN)), Ok(vec![in_group(BEN)]));
    let out = Event::GroupMemberRemoved(GroupMemberRemoved { group_id: GROUP, user_id: ADA });
    assert_eq!(decide(&has, OrganisationCommand::RemoveFromGroup(GROUP, ADA)), Ok(vec![out]));
    let deleted = Event::GroupDeleted(GroupDeleted { group_id: GROUP });
    assert_eq!(decide(&has, OrganisationCommand::DeleteGroup(GROUP)), Ok(vec![deleted.clone()]));
    let without = [&has[..], &[deleted]].concat();
    for command in [
        add(BEN),
        OrganisationCommand::DeleteGroup(GROUP),
        OrganisationCommand::RenameGroup(GROUP, "Late".to_owned()),
        OrganisationCommand::RemoveFromGroup(GROUP, ADA),
    ] {
        assert_eq!(decide(&without, command), Err(Refusal::NoSuchGroup));
    }
    assert_eq!(given::<Organisation>(&without).role_of(ADA), Some(Role::Admin));
    let left = Event::MemberRemoved(MemberRemoved { user_id: ADA, reason: MemberEnd::Left });
    let state = given::<Organisation>(&[&has[..], &[left]].concat());
    assert!(state.groups[&GROUP].members.is_empty(), "whoever goes is in no group any more");
}

#[test]
fn a_second_factor_is_demanded_of_roles() {
    let demand = |roles: &[Role]| OrganisationCommand::DemandSecondFactor(roles.iter().copied().collect());
    let demanded = |roles: &[Role]| Event::SecondFactorDemanded(SecondFactorDemanded { roles: roles.to_vec() });
    let two = [Role::Admin, Role::Reviewer];
    assert_eq!(decide(&[created()], demand(&[Role::Reviewer, Role::Admin])), Ok(vec![demanded(&two)]));
    assert_eq!(decide(&[created(), demanded(&two)], demand(&two)), Ok(vec![]));
    assert_eq!(decide(&[created(), demanded(&two)], demand(&[])), Ok(vec![demanded(&[])]));
    assert_eq!(decide(&[created()], demand(&[])), Ok(vec![demanded(&[])]), "of nobody, which is not nothing said");
}

#[test]
fn reading_is_shown_once_it_was_said_and_until_it_is_said_again() {
    let show = OrganisationCommand::ShowReading;
    let told = |shown| Event::ReadingShown(ReadingShown { shown });
    assert_eq!(decide(&[created()], show(false)), Ok(vec![]), "so it is from the beginning");
    assert_eq!(decide(&[created()], show(true)), Ok(vec![told(true)]));
    assert_eq!(decide(&[created(), told(true)], show(true)), Ok(vec![]));
    assert_eq!(decide(&[created(), told(true)], show(false)), Ok(vec![told(false)]));
    assert_eq!(decide(&[created(), told(true), told(false)], show(true)), Ok(vec![told(true)]));
    assert!(given::<Organisation>(&[created(), told(true)]).reading_shown.is_some());
}

/// Few people and groups, so that the same ones meet again.
fn command() -> impl Strategy<Value = OrganisationCommand> {
    use OrganisationCommand as C;
    let id = |from: u128| (from..from + 3).prop_map(Uuid::from_u128);
    let role = || prop_oneof![2 => Just(Role::Admin), 1 => Just(Role::Reviewer), 1 => Just(Role::Analyst)];
    let end = prop_oneof![Just(MemberEnd::Left), Just(MemberEnd::Removed)];
    let name = || prop_oneof![Just("Night"), Just("Day"), Just("\u{202e}")].prop_map(str::to_owned);
    let add = || (id(1), role()).prop_map(|(user_id, role)| AddMember { user_id, role });
    prop_oneof![
        1 => (name(), proptest::option::of(id(1)))
            .prop_map(|(name, admin)| C::Create(CreateOrganisation { name, admin, from: None })),
        1 => add().prop_map(C::AddMember),
        1 => (id(10), role()).prop_map(|(invitation_id, role)| {
            C::Invite(InviteMember { invitation_id, email: "ben@example.org".to_owned(), role })
        }),
        1 => id(10).prop_map(C::RevokeInvitation),
        1 => (id(10), id(1))
            .prop_map(|(invitation_id, user_id)| C::AcceptInvitation(AcceptInvitation { invitation_id, user_id, from: None })),
        4 => add().prop_map(C::ChangeRole),
        4 => (id(1), end).prop_map(|(user, end)| C::RemoveMember(user, end)),
        1 => (id(20), name()).prop_map(|(group, name)| C::CreateGroup(group, name)),
        1 => (id(20), name()).prop_map(|(group, name)| C::RenameGroup(group, name)),
        1 => id(20).prop_map(C::DeleteGroup),
        1 => (id(20), id(1)).prop_map(|(group, user)| C::AddToGroup(group, user)),
        1 => (id(20), id(1)).prop_map(|(group, user)| C::RemoveFromGroup(group, user)),
        1 => proptest::collection::btree_set(role(), 0..3).prop_map(C::DemandSecondFactor),
        1 => any::<bool>().prop_map(C::ShowReading),
    ]
}

/// How many administrators there are.
fn admins(state: &Organisation) -> usize {
    state.members.values().filter(|member| member.role == Role::Admin).count()
}

proptest! {
    #[test]
    fn an_organisation_that_has_an_administrator_keeps_one(
        commands in proptest::collection::vec((command(), 0..3_i64), 0..80),
    ) {
        let mut state = Organisation::default();
        let mut now = at(1).time;
        for (command, days) in commands {
            let before = state.clone();
            now += TimeDelta::days(days);
            let decided = decide_organisation(&state, command.clone(), now);
            prop_assert!(decided.refusal.is_none() || decided.events.is_empty(), "a refusal brings no facts");
            for event in &decided.events {
                state.evolve(event, At { version: state.version + 1, time: now });
            }
            prop_assert!(admins(&state) > 0 || admins(&before) == 0, "{command:?} on {before:?}");
            prop_assert!(before.name.is_none() || state.name == before.name);
            let members: BTreeSet<Uuid> = state.members.keys().copied().collect();
            let names: BTreeSet<&str> = state.groups.values().map(|group| group.name.as_str()).collect();
            prop_assert!(state.groups.values().all(|group| group.members.is_subset(&members)));
            prop_assert_eq!(names.len(), state.groups.len(), "no two groups have one name");
        }
    }
}
