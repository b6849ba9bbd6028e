//! Given a user or an organisation, when a command comes, then these events follow, or this refusal.

use chrono::{TimeZone, Utc};
use docket_events::{
    DataKey, EventData, HasPersonal, Personal,
    identity::{
        Channel, IdentityEvent as Event, MemberAdded, OrganisationCreated, PasswordChanged, PasswordProof,
        PasswordResetRequested, Role, UserRegistered,
    },
};
use uuid::Uuid;

use super::*;
use crate::{Aggregate, At, Decided};

mod organisation;
mod registration;

const ADA: Uuid = Uuid::from_u128(1);

fn registration() -> RegisterUser {
    RegisterUser { user_id: ADA, email: " Ada@Example.org ".to_owned(), name: " Ada Example ".to_owned(), from: None }
}

fn registered() -> Event {
    Event::UserRegistered(UserRegistered {
        email: Personal::known(ADA, "Ada@Example.org".to_owned()),
        name: Personal::known(ADA, "Ada Example".to_owned()),
        address: None,
    })
}

fn created() -> Event {
    Event::OrganisationCreated(OrganisationCreated { name: "Example Works".to_owned(), address: None })
}

fn added(role: Role) -> Event {
    Event::MemberAdded(MemberAdded { user_id: ADA, role, address: None })
}

fn at(version: u64) -> At {
    At { version, time: Utc.with_ymd_and_hms(2026, 1, 2, 12, 0, 0).unwrap() }
}

fn given<A: Aggregate>(events: &[A::Event]) -> A {
    let mut state = A::default();
    for (event, version) in events.iter().zip(1..) {
        state.evolve(event, at(version));
    }
    state
}

fn seal(event: &mut Event) -> String {
    event.seal_all(&|_| Some(DataKey::new(Uuid::from_u128(77), [7; 32])), &mut || [9; 24]).unwrap();
    event.encode().unwrap()
}

#[test]
fn a_user_is_registered_with_address_and_name_as_given_without_blanks_around() {
    assert_eq!(register_user(&User::default(), registration()), Decided::accepted(vec![registered()]));
}

#[test]
fn registering_again_changes_nothing() {
    let other = RegisterUser { email: "nonsense".to_owned(), ..registration() };
    let user = given::<User>(&[registered()]);
    assert_eq!(register_user(&user, registration()), Decided::accepted(vec![]));
    assert_eq!(register_user(&user, other), Decided::accepted(vec![]));
}

#[test]
fn a_registration_names_the_field_that_does_not_do() {
    let field = |command| match register_user(&User::default(), command).refusal {
        Some(Refusal::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(RegisterUser { email: "ada".to_owned(), ..registration() }), "email");
    assert_eq!(field(RegisterUser { name: String::new(), ..registration() }), "name");
}

#[test]
fn an_address_has_one_at_sign_a_domain_and_no_blanks() {
    let longest = format!("{}@{}.org", "a".repeat(64), "b".repeat(185));
    for good in ["ada@example.org", "a+b.c@localhost", "jürgen@müller.example", "o'brien@example.org", &longest] {
        assert_eq!(check_email(good).as_deref(), Ok(good));
    }
    let too_long = format!("{}@{}.org", "a".repeat(64), "b".repeat(186));
    let long_local = format!("{}@example.org", "a".repeat(65));
    for bad in [
        "",
        "ada",
        "@example.org",
        "ada@",
        "a@b@c.org",
        "a b@c.org",
        "a\u{a0}b@c.org",
        "a\n@c.org",
        "a\0@c.org",
        "a\u{200b}@c.org",
        "a\u{202e}@c.org",
        "ada@example..org",
        "ada@.org",
        "ada@example.",
        &too_long,
        &long_local,
    ] {
        assert!(matches!(check_email(bad), Err(Refusal::Invalid { field: "email", .. })), "{bad:?}");
    }
}

#[test]
fn an_address_is_unique_without_regard_to_case_and_blanks_around() {
    assert_eq!(normalise_email("  Ada@EXAMPLE.org\n"), "ada@example.org");
    assert_eq!(normalise_email("ada@example.org"), "ada@example.org");
}

#[test]
fn a_name_is_one_visible_line() {
    let longest = "é".repeat(200);
    for good in ["A", "Ada Example", "李小龍", "O'Brien-Ñuñez", "Ada 😀", "عائشة", &longest] {
        assert_eq!(check_name(good).as_deref(), Ok(good));
    }
    let too_long = "é".repeat(201);
    for bad in [
        "",
        "   ",
        "a\nb",
        "a\0",
        "a\u{7f}",
        "a\u{85}b",
        "a\u{200b}b",
        "a\u{200d}b",
        "a\u{feff}b",
        "a\u{202e}b",
        "a\u{2066}b",
        "a\u{2028}b",
        "a\u{ad}b",
        &too_long,
    ] {
        assert!(matches!(check_name(bad), Err(Refusal::Invalid { field: "name", .. })), "{bad:?}");
    }
}

#[test]
fn a_new_password_is_asked_for_at_most_once_a_minute() {
    let asked = Event::PasswordResetRequested(PasswordResetRequested { channel: Channel::Mail, address: None });
    let changed =
        Event::PasswordChanged(PasswordChanged { proof: PasswordProof::MailedLink, kept: None, address: None });
    let decide = |events: &[Event], seconds| {
        request_password_reset(&given(events), None, at(1).time + chrono::TimeDelta::seconds(seconds))
    };
    assert_eq!(decide(&[], 0), Decided::refused(Refusal::NoSuchUser));
    assert_eq!(decide(&[registered()], 0), Decided::accepted(vec![asked.clone()]));
    let once = [registered(), asked.clone()];
    assert_eq!(decide(&once, 59), Decided::accepted(vec![]), "a mail is on its way");
    assert_eq!(decide(&once, 60), Decided::accepted(vec![asked.clone()]));
    assert_eq!(decide(&[registered(), asked.clone(), changed], 1), Decided::accepted(vec![asked]));
}

#[test]
fn who_does_not_exist_has_no_password() {
    let changed =
        Event::PasswordChanged(PasswordChanged { proof: PasswordProof::OldPassword, kept: None, address: None });
    let decide = |events: &[Event]| change_password(&given(events), PasswordProof::OldPassword, None, None);
    assert_eq!(decide(&[]), Decided::refused(Refusal::NoSuchUser));
    assert_eq!(decide(&[registered()]), Decided::accepted(vec![changed]));
}

#[test]
fn snapshots_of_user_and_organisation_read_back_and_hold_nothing_personal_in_clear() {
    let mut event = registered();
    seal(&mut event);
    let user = given::<User>(&[event]);
    let text = serde_json::to_string(&user).unwrap();
    assert!(!text.contains("Ada"), "{text}");
    assert_eq!(serde_json::from_str::<User>(&text).unwrap(), user);

    let organisation = given::<Organisation>(&[created(), added(Role::Reviewer)]);
    let text = serde_json::to_string(&organisation).unwrap();
    assert_eq!(serde_json::from_str::<Organisation>(&text).unwrap(), organisation);
}

#[test]
fn a_registered_user_opens_with_the_users_key_and_is_erased_without() {
    let mut event = registered();
    seal(&mut event);
    let mut user = given::<User>(&[event]);
    let mut erased = user.clone();
    user.open_all(&|_| Some(DataKey::new(Uuid::from_u128(77), [7; 32]))).unwrap();
    assert_eq!(user.registered.unwrap().email.value().map(String::as_str), Some("Ada@Example.org"));
    erased.open_all(&|_| None).unwrap();
    assert!(erased.registered.unwrap().name.is_erased());
}

#[test]
fn refusals_have_stable_names() {
    let invalid = Refusal::Invalid { field: "email", reason: "must be good".to_owned() };
    let codes = [Refusal::NotFound, invalid, Refusal::AlreadyMember { role: Role::Admin }].map(|r| r.code());
    assert_eq!(codes, ["not_found", "invalid", "already_member"]);
}
