//! What becomes of the events of identity: who belongs where, what they come in with, and the trail.

use chrono::{DateTime, TimeDelta, Utc};
use docket_domain::webhook::stream_of;
use docket_events::{
    Category, Personal, StreamId,
    identity::{
        AddressVerified, AllSessionsRevoked, ApiKeyCreated, ApiKeyRevoked, ApiKeyRotated, Channel, EndpointEnd,
        EndpointFormat, GroupCreated, GroupDeleted, GroupMemberAdded, GroupMemberRemoved, GroupRenamed,
        IdentityEvent as E, InvitationAccepted, InvitationRevoked, KeyEnd, LockedOut, LoginMethod, MemberAdded,
        MemberEnd, MemberInvited, MemberRemoved, NotificationPreferencesSet, OrganisationCreated, PasswordChanged,
        PasswordProof, PasswordResetRequested, ReadingShown, RecoveryCodeUsed, Redelivered, Role, RoleChanged, Scope,
        SecondFactor, SecondFactorDemanded, SecondFactorDisabled, SecondFactorEnabled, SessionEnd, SessionRevoked,
        SessionStarted, TemplateRetired, TemplateSet, UserRegistered, VerificationRequested, WebhookEndpointDisabled,
        WebhookEndpointEnabled, WebhookEndpointRemoved, WebhookEndpointSet, WebhookRedeliveryRequested,
        WebhookSecretRotated, WebhookTestRequested,
    },
};
use serde_json::json;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::support::{Dice, TENANT, World, settle, small};

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn user(n: u128) -> Uuid {
    id(0xabc0 + n)
}

fn session(n: u128) -> Uuid {
    id(0x5e00 + n)
}

fn stream(id: Uuid) -> StreamId {
    StreamId::new(Category::Identity, id)
}

fn later() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(25_000)
}

fn address(of: Uuid, n: u128) -> Option<Personal<String>> {
    Some(Personal::known(of, format!("192.0.2.{n}")))
}

fn organisation() -> Vec<E> {
    let (red, blue, green) = (id(0x91), id(0x92), id(0x93));
    let created = |group_id, name: &str| E::GroupCreated(GroupCreated { group_id, name: name.to_owned() });
    let joins = |group_id, n| E::GroupMemberAdded(GroupMemberAdded { group_id, user_id: user(n) });
    let invited = |n: u128| {
        let invitation_id = id(0x1700 + n);
        let email = Personal::known(invitation_id, format!("guest{n}@example.org"));
        E::MemberInvited(MemberInvited { invitation_id, email, role: Role::Requester, expires_at: later() })
    };
    let member = |n| E::MemberAdded(MemberAdded { user_id: user(n), role: Role::Reviewer, address: None });
    let removed = |n| E::MemberRemoved(MemberRemoved { user_id: user(n), reason: MemberEnd::Removed });
    let mut events = vec![E::OrganisationCreated(OrganisationCreated { name: "Works".to_owned(), address: None })];
    events.extend((1..=5).map(member));
    events.extend([created(red, "Red"), created(blue, "Blue"), created(green, "Green")]);
    events.extend([joins(red, 1), joins(red, 2), joins(red, 3), joins(blue, 3), joins(blue, 1), joins(green, 5)]);
    events.push(E::RoleChanged(RoleChanged { user_id: user(2), role: Role::Admin }));
    events.push(E::GroupRenamed(GroupRenamed { group_id: red, name: "Crimson".to_owned() }));
    events.push(E::GroupMemberRemoved(GroupMemberRemoved { group_id: red, user_id: user(2) }));
    // Whoever goes is in no group any more, also after coming again.
    events.extend([removed(3), removed(4), member(3), joins(blue, 3)]);
    // A group of the same id begins empty.
    events.extend([E::GroupDeleted(GroupDeleted { group_id: green }), created(green, "Green again")]);
    events.extend([invited(1), invited(2), invited(3)]);
    events.push(E::InvitationRevoked(InvitationRevoked { invitation_id: id(0x1701) }));
    events.push(E::InvitationAccepted(InvitationAccepted {
        invitation_id: id(0x1702),
        user_id: user(1),
        address: None,
    }));
    events.push(E::SecondFactorDemanded(SecondFactorDemanded { roles: vec![Role::Admin] }));
    events.extend([true, false, true, false, true].map(|shown| E::ReadingShown(ReadingShown { shown })));
    events
}

fn person(n: u128) -> Vec<E> {
    let (of, method) = (user(n), SecondFactor::Totp);
    let known = |value: String| Personal::known(of, value);
    let mut events = vec![
        E::UserRegistered(UserRegistered {
            email: known(format!("{n}@example.org")),
            name: known(format!("Person {n}")),
            address: None,
        }),
        E::VerificationRequested(VerificationRequested { channel: Channel::Mail, address: None }),
    ];
    if n % 2 == 1 {
        events.push(E::AddressVerified(AddressVerified { channel: Channel::Mail, address: None }));
        events.push(E::SecondFactorEnabled(SecondFactorEnabled { method }));
        events.push(E::RecoveryCodeUsed(RecoveryCodeUsed { left: 9, address: None }));
    }
    if n == 3 {
        events.push(E::NotificationPreferencesSet(NotificationPreferencesSet::default()));
        events.push(E::SecondFactorDisabled(SecondFactorDisabled { method }));
        events.push(E::AllSessionsRevoked(AllSessionsRevoked { kept: session(3) }));
    }
    if n == 4 {
        let wish = PasswordResetRequested { channel: Channel::Mail, address: address(of, n) };
        events.push(E::LockedOut(LockedOut { until: later(), address: address(of, n) }));
        events.push(E::PasswordResetRequested(wish));
        events.push(E::PasswordChanged(PasswordChanged {
            proof: PasswordProof::MailedLink,
            kept: None,
            address: None,
        }));
    }
    events
}

fn login(n: u128) -> Vec<E> {
    let of = user(n);
    let mut events = vec![E::SessionStarted(SessionStarted {
        user_id: of,
        method: LoginMethod::PasswordAndSecondFactor,
        credentials: 1,
        expires_at: later(),
        new_place: n == 2,
        address: address(of, n),
        agent: Some(Personal::known(of, format!("agent {n}"))),
    })];
    if n == 5 {
        events.push(E::SessionRevoked(SessionRevoked { user_id: of, reason: SessionEnd::LoggedOut, address: None }));
    }
    events
}

fn key(n: u128) -> Vec<E> {
    let mut events = vec![E::ApiKeyCreated(ApiKeyCreated {
        name: format!("key {n}"),
        scopes: vec![Scope::ConsultationAsk, Scope::IdentityRead],
        created_by: user(1),
        expires_at: (n == 1).then(later),
    })];
    if n > 1 {
        events.push(E::ApiKeyRotated(ApiKeyRotated { old_until: later() }));
    }
    if n > 2 {
        events.push(E::ApiKeyRevoked(ApiKeyRevoked { reason: KeyEnd::Revoked }));
    }
    events
}

/// The n-th template: set once, twice, set and retired, or brought back.
fn template(n: u128) -> Vec<E> {
    let name = format!("template-{n}");
    let set = |title: &str| {
        let (request, values) = (json!({"title": title}), (n == 2).then(|| json!({"minProperties": 1})));
        E::TemplateSet(TemplateSet { name: name.clone(), request, values, set_by: user(1) })
    };
    let retired = || E::TemplateRetired(TemplateRetired { name: name.clone(), retired_by: user(2) });
    match n {
        1 => vec![set("once")],
        2 => vec![set("first"), set("second")],
        3 => vec![set("gone"), retired()],
        _ => vec![set("old"), retired(), set("back")],
    }
}

/// The webhooks of an organisation: one endpoint that is changed, one that fails and is back, one that is gone.
fn webhooks() -> Vec<E> {
    let set = |n: u128, url: &str| {
        E::WebhookEndpointSet(WebhookEndpointSet {
            endpoint_id: id(n),
            url: Personal::known(id(n), url.to_owned()),
            description: (n == 1).then(|| "the pipeline".to_owned()),
            event_types: vec!["consultation.responded".to_owned(), "consultation.timed_out".to_owned()],
            format: EndpointFormat::Json,
            template: Some(json!({"text": "{{words}}"})),
            set_by: user(1),
        })
    };
    let failing = WebhookEndpointDisabled {
        endpoint_id: id(2),
        reason: EndpointEnd::Failing,
        failing_since: Some(DateTime::UNIX_EPOCH),
        disabled_by: None,
    };
    let rotated =
        |endpoint_id| WebhookSecretRotated { endpoint_id, old_until: DateTime::UNIX_EPOCH, rotated_by: user(1) };
    vec![
        set(1, "https://one.example"),
        set(2, "https://two.example"),
        E::WebhookEndpointDisabled(failing.clone()),
        set(1, "https://one.example/changed"),
        E::WebhookSecretRotated(rotated(Some(id(1)))),
        E::WebhookSecretRotated(rotated(None)),
        E::WebhookEndpointEnabled(WebhookEndpointEnabled { endpoint_id: id(2), enabled_by: user(1) }),
        set(3, "https://three.example"),
        E::WebhookTestRequested(WebhookTestRequested { endpoint_id: id(3), requested_by: user(1) }),
        E::WebhookRedeliveryRequested(WebhookRedeliveryRequested {
            endpoint_id: Some(id(3)),
            deliveries: Redelivered::Failed,
            requested_by: user(1),
        }),
        E::WebhookEndpointRemoved(WebhookEndpointRemoved { endpoint_id: id(3), removed_by: user(1) }),
        E::WebhookEndpointDisabled(failing),
    ]
}

/// Journals the life of an organisation, its streams woven into each other.
pub async fn lives(world: &World, seed: u64) {
    let mut dice = Dice::new(seed);
    let mut streams: Vec<(StreamId, Vec<E>)> = vec![(stream(TENANT), organisation())];
    streams.extend((1..=5).map(|n| (stream(user(n)), person(n))));
    streams.extend((1..=5).map(|n| (stream(session(n)), login(n))));
    streams.extend((1..=3).map(|n| (stream(id(0xa900 + n)), key(n))));
    streams.extend((1..=4).map(|n| (stream(id(0x7e00 + n)), template(n))));
    streams.push((stream(stream_of(TENANT)), webhooks()));
    streams.iter_mut().for_each(|(_, events)| events.reverse());
    while !streams.is_empty() {
        let chosen = dice.roll(streams.len() as u64) as usize;
        match streams[chosen].1.pop() {
            Some(event) => drop(world.say(streams[chosen].0, event).await),
            None => drop(streams.swap_remove(chosen)),
        }
    }
}

/// Rows as text, in order.
async fn list(world: &World, sql: &'static str) -> Vec<String> {
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&world.owner).await.expect("rows")
}

async fn assert_lives(world: &World) {
    let members = "select right(user_id::text, 1) || ' ' || role from read.member order by 1";
    assert_eq!(list(world, members).await, ["1 reviewer", "2 admin", "3 reviewer", "5 reviewer"]);
    let groups = "select g.name || ':' || coalesce(string_agg(right(m.user_id::text, 1), '' order by m.user_id), '')
         from read.group g left join read.group_member m using (tenant, group_id) group by g.name order by 1";
    assert_eq!(list(world, groups).await, ["Blue:13", "Crimson:1", "Green again:"]);
    assert_eq!(list(world, "select email || ' ' || role from read.invitation").await, ["guest3@example.org requester"]);
    let accounts =
        "select concat_ws(' ', right(user_id::text, 1), case when verified_at is not null then 'verified' end,
                case when second_factor_at is not null then 'two' end, sessions_ended, right(session_kept::text, 1))
         from read.account order by 1";
    assert_eq!(
        list(world, accounts).await,
        ["1 verified two 0", "2 0", "3 verified 8 3", "4 5", "5 verified two 0"],
        "the version at which sessions were ended, and which went on"
    );
    let sessions =
        "select concat_ws(' ', right(user_id::text, 1), method, credentials, new_place, address, agent, end_reason)
         from read.session order by 1";
    let open = |n, new: bool| {
        format!("{n} password_and_second_factor 1 {} 192.0.2.{n} agent {n}", if new { 't' } else { 'f' })
    };
    let expected = [open(1, false), open(2, true), open(3, false), open(4, false), open(5, false) + " logged_out"];
    assert_eq!(list(world, sessions).await, expected);
    let keys = "select concat_ws(' ', name, scopes::text, expires_at is not null, rotated_at is not null, old_until is not null,
                revoked_at is not null) from read.api_key order by 1";
    let scopes = "{consultation:ask,identity:read}";
    let expected = ["1 S t f f f", "2 S f t t f", "3 S f t t t"];
    assert_eq!(list(world, keys).await, expected.map(|row| format!("key {}", row.replace('S', scopes))));
    let templates = "select concat_ws(' ', name, version, request::json->>'title', \"values\", retired_at is not null) from read.template order by 1";
    let expected = [
        "template-1 1 once f",
        "template-2 1 first {\"minProperties\":1} f",
        "template-2 2 second {\"minProperties\":1} f",
        "template-3 1 gone t",
        "template-4 1 old f",
        "template-4 3 back f",
    ];
    assert_eq!(list(world, templates).await, expected, "what is retired is so in all its versions");
}

#[tokio::test]
async fn people_groups_sessions_and_keys_are_as_their_events_say() {
    let world = World::new().await;
    lives(&world, 1).await;
    // One event at a time: what a batch merges, and what changes rows of an earlier one, must come to the same.
    let mut engine = world.engine().await.with_options(small(1));
    settle(&mut engine).await;
    assert_lives(&world).await;
    world.reset().await;
    settle(&mut world.engine().await).await;
    assert_lives(&world).await;
    assert_eq!(world.number("select count(*) from read.dead_letter").await, 0);
    world.assert_verified().await;
}

#[tokio::test]
async fn the_trail_has_a_row_for_every_event_with_who_whom_and_from_where() {
    let world = World::new().await;
    lives(&world, 2).await;
    settle(&mut world.engine().await).await;
    let all = world.number("select count(*) from write.journal where category = 1").await;
    assert_eq!(world.number("select count(*) from read.audit").await, all);
    assert_eq!(world.number("select count(distinct kind) from read.audit").await, 39, "every type there is");
    let members = "select concat_ws(' ', right(user_id::text, 1), case when until is not null then 'left' end)
         from read.audit_member order by 1";
    assert_eq!(list(&world, members).await, ["1", "2", "3", "4 left", "5"], "whose accounts are shown, and until when");
    assert_eq!(world.number("select count(*) from read.audit_person where name is not null").await, 5);
    let of_four = "select concat_ws(' ', kind, right(user_id::text, 1), address) from read.audit
         where user_id = '00000000-0000-0000-0000-00000000abc4' and kind in ('locked_out', 'password_reset_requested', 'member_removed')
         order by 1";
    let expected = ["locked_out 4 192.0.2.4", "member_removed 4", "password_reset_requested 4 192.0.2.4"];
    assert_eq!(list(&world, of_four).await, expected);
    let logins = "select concat_ws(' ', right(a.by_id::text, 1), s.address) from read.audit a join read.session s on s.id = a.session_id
         where a.kind = 'session_started' order by 1";
    assert_eq!(list(&world, logins).await[0], "1 192.0.2.1", "where a session began is told by its own row");
    let what = "select kind || coalesce(' key', '') from read.audit where key_id is not null and kind = 'api_key_revoked'
         union all select kind from read.audit where ended_session is not null
         union all select distinct kind from read.audit where invitation_id is not null and user_id is not null order by 1";
    assert_eq!(list(&world, what).await, ["api_key_revoked key", "invitation_accepted", "session_revoked"]);
}

#[tokio::test]
async fn new_projections_are_built_from_the_beginning_beside_those_that_stand_further() {
    let world = World::new().await;
    lives(&world, 3).await;
    settle(&mut world.engine().await).await;
    // As after an update of an installation that did not have them.
    let new = "truncate read.account_v1, read.session_v1, read.api_key_v1, read.group_v1, read.group_member_v1, read.invitation_v1, read.template_v1,
             read.audit_v1, read.audit_member_v1, read.audit_person_v1;
         delete from read.checkpoint where projection in ('directory', 'audit');
         delete from read.generation where projection in ('directory', 'audit')";
    world.sql(new).await;
    settle(&mut world.engine().await).await;
    assert_lives(&world).await;
    world.assert_verified().await;
}
