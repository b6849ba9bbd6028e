//! Whom each event concerns, and when each is told.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use docket_events::{
    consultation::{
        Answer, AnswerKind, Assigned, ConsultationEvent as E, Decision, DecisionRule, Delegated, Escalated,
        InformationProvided, InformationRequested, Person, Priority, Reminded, Requested, Responded, Rule, TermsSet,
        TimedOut, VoteCast, WithdrawalReason, Withdrawn,
    },
    identity::{
        GroupCreated, GroupMemberAdded, IdentityEvent, Mailing, MemberAdded, NotificationPreferencesSet, QuietHours,
        Role,
    },
};
use proptest::prelude::*;
use uuid::Uuid;

use super::{Case, Topic, Turn, administrators, check, turn};
use crate::{Aggregate, At, consultation::Consultation, identity::Organisation};

const ADMIN: u128 = 1;
const ASKER: u128 = 2;
/// Reviewers.
const ADA: u128 = 3;
const GRACE: u128 = 4;
const LINUS: u128 = 5;
/// An analyst.
const ANN: u128 = 6;
const GROUP: Uuid = Uuid::from_u128(70);

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn person(n: u128) -> Person {
    Person::named(id(n), format!("Person {n}"))
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn now() -> DateTime<Utc> {
    at("2026-03-05T12:00:00Z")
}

fn organisation(members: &[(u128, Role)]) -> Organisation {
    let mut organisation = Organisation::default();
    let added = members
        .iter()
        .map(|(n, role)| IdentityEvent::MemberAdded(MemberAdded { user_id: id(*n), role: *role, address: None }));
    let group = [
        IdentityEvent::GroupCreated(GroupCreated { group_id: GROUP, name: "Releases".to_owned() }),
        IdentityEvent::GroupMemberAdded(GroupMemberAdded { group_id: GROUP, user_id: id(GRACE) }),
    ];
    for (version, event) in (1..).zip(added.chain(group)) {
        organisation.evolve(&event, At { version, time: now() });
    }
    organisation
}

fn works() -> Organisation {
    use Role::{Admin, Analyst, Requester, Reviewer};
    organisation(&[
        (ADMIN, Admin),
        (ASKER, Requester),
        (ADA, Reviewer),
        (GRACE, Reviewer),
        (LINUS, Reviewer),
        (ANN, Analyst),
    ])
}

fn requested() -> Requested {
    Requested { deadline: Some(now() + TimeDelta::hours(1)), ..Requested::new("Merge?", person(ASKER)) }
}

fn terms() -> TermsSet {
    TermsSet {
        answer: AnswerKind::Approval,
        rule: DecisionRule::AnyOne,
        asker_may_answer: false,
        groups: vec![],
        roles: vec![],
        seats: vec![],
        subject: None,
        on_timeout: None,
        reminders: vec![],
        escalations: vec![],
        questions_stop_clock: false,
        calendar: None,
    }
}

fn voted(n: u128) -> E {
    E::VoteCast(VoteCast::new(person(n), Answer::of(Decision::Approve), None))
}

fn folded(events: &[E]) -> Consultation {
    let mut state = Consultation::default();
    for (version, event) in (1..).zip(events) {
        state.evolve(event, At { version, time: now() - TimeDelta::minutes(5) });
    }
    state
}

/// Whom `events[which]` concerns in the end.
fn told_of(organisation: &Organisation, events: &[E], which: usize) -> Vec<u128> {
    let state = folded(events);
    let case = Case { event: &events[which], history: events, consultation: &state, organisation, now: now() };
    let concerned = case.concerned();
    for user in organisation.members.keys() {
        assert_eq!(case.why_moot(*user).is_none(), concerned.contains(user), "{user}");
    }
    concerned.iter().map(|user| user.as_u128()).collect()
}

/// Whom the last of `events` concerns.
fn told(events: &[E]) -> Vec<u128> {
    told_of(&works(), events, events.len() - 1)
}

#[test]
fn whoever_may_answer_is_asked_and_nobody_else() {
    assert_eq!(told(&[E::Requested(requested())]), [ADA, GRACE, LINUS], "every reviewer");
    let named = Requested { reviewers: vec![id(ADA), id(ADMIN), id(ANN)], ..requested() };
    assert_eq!(told(&[E::Requested(named)]), [ADMIN, ADA], "those who are named, as far as they can answer");
    let asked = |terms: TermsSet| told_of(&works(), &[E::Requested(requested()), E::TermsSet(Box::new(terms))], 0);
    assert_eq!(asked(TermsSet { groups: vec![GROUP], ..terms() }), [GRACE], "members of a group");
    assert_eq!(asked(TermsSet { roles: vec![Role::Admin], ..terms() }), [ADMIN], "a role");
    let seats = TermsSet { rule: DecisionRule::All, seats: vec![id(ADA), id(LINUS)], ..terms() };
    assert_eq!(asked(seats), [ADA, LINUS], "seats");
}

#[test]
fn whom_four_eyes_bar_is_not_asked_nor_is_whoever_asked() {
    let of_a_reviewer = Requested { requested_by: person(ADA), ..requested() };
    assert_eq!(told(&[E::Requested(of_a_reviewer.clone())]), [GRACE, LINUS]);
    let by_a_key = Requested { requested_by: person(99), key_made_by: Some(id(GRACE)), ..requested() };
    assert_eq!(told(&[E::Requested(by_a_key)]), [ADA, LINUS]);
    let may = TermsSet { asker_may_answer: true, ..terms() };
    let events = [E::Requested(of_a_reviewer), E::TermsSet(Box::new(may)), E::Reminded(Reminded { due: now() })];
    assert_eq!(told_of(&works(), &events, 0), [GRACE, LINUS], "whoever asked knows");
    assert_eq!(told(&events), [ADA, GRACE, LINUS], "but is reminded");
}

#[test]
fn where_there_are_no_reviewers_the_administrators_are_asked() {
    let small = organisation(&[(ADMIN, Role::Admin), (ASKER, Role::Requester)]);
    assert_eq!(told_of(&small, &[E::Requested(requested())], 0), [ADMIN]);
    assert_eq!(administrators(&works()), BTreeSet::from([id(ADMIN)]));
}

#[test]
fn who_has_voted_is_neither_asked_nor_reminded() {
    let seats = TermsSet { rule: DecisionRule::All, seats: vec![id(ADA), id(LINUS)], ..terms() };
    let events =
        [E::Requested(requested()), E::TermsSet(Box::new(seats)), voted(ADA), E::Reminded(Reminded { due: now() })];
    assert_eq!((told(&events), told_of(&works(), &events, 0)), (vec![LINUS], vec![LINUS]));
}

#[test]
fn what_is_given_to_somebody_is_told_to_them() {
    let assigned = |by, to| E::Assigned(Assigned { by: person(by), to: person(to) });
    let request = E::Requested(requested());
    assert_eq!(told(&[request.clone(), assigned(ASKER, ADA)]), [ADA]);
    assert!(told(&[request.clone(), assigned(ADA, ADA)]).is_empty(), "whoever takes it knows");
    let events = [request.clone(), assigned(ASKER, ADA), assigned(ASKER, LINUS)];
    assert!(told_of(&works(), &events, 1).is_empty(), "it was given to another");
    let delegated = E::Delegated(Delegated { by: person(ADA), to: person(ADMIN) });
    assert_eq!(told(&[request, delegated]), [ADMIN]);
}

#[test]
fn an_escalation_reaches_those_it_names_and_those_who_have_not_answered() {
    let escalated = E::Escalated(Escalated {
        step: 0,
        due: now(),
        reviewers: vec![id(ADMIN)],
        priority: Some(Priority::Urgent),
        notify: vec![id(ANN), id(98)],
    });
    let named = Requested { reviewers: vec![id(ADA)], ..requested() };
    assert_eq!(told(&[E::Requested(named), escalated]), [ADMIN, ADA, ANN], "members alone");
}

#[test]
fn questions_go_to_the_asker_and_answers_to_who_asked_them() {
    let question = E::InformationRequested(InformationRequested::new(id(50), person(ADA), "?".into(), None, false));
    let answer = E::InformationProvided(InformationProvided::new(id(50), person(ASKER), "!".into(), None, None));
    let request = E::Requested(requested());
    assert_eq!(told(&[request.clone(), question.clone()]), [ASKER]);
    let by_key = E::Requested(Requested { requested_by: person(99), key_made_by: Some(id(ADMIN)), ..requested() });
    assert_eq!(told(&[by_key, question.clone()]), [ADMIN], "a key's maker");
    let events = [request, question, answer];
    assert_eq!(told(&events), [ADA]);
    assert!(told_of(&works(), &events, 1).is_empty(), "the question is answered");
}

#[test]
fn what_came_of_it_is_told_to_those_who_had_a_part_but_not_to_who_did_it() {
    let responded = |by| {
        E::Responded(Responded {
            decision: Some(Decision::Approve),
            by: person(by),
            rule: Rule::All,
            request_version: 1,
            comment: None,
            content: None,
            private: None,
            agreed: vec![],
        })
    };
    let start = [E::Requested(requested()), E::Assigned(Assigned { by: person(ASKER), to: person(LINUS) })];
    let end = |last: &[E]| told(&[&start[..], last].concat());
    assert_eq!(end(&[voted(ADA), voted(GRACE), responded(GRACE)]), [ASKER, ADA, LINUS]);
    let withdrawn = |by| E::Withdrawn(Withdrawn { by: person(by), reason: WithdrawalReason::Cancelled, comment: None });
    assert_eq!(end(&[voted(ADA), withdrawn(ASKER)]), [ADA, LINUS]);
    assert_eq!(end(&[withdrawn(ADMIN)]), [ASKER, LINUS]);
    assert_eq!(end(&[E::TimedOut(TimedOut { deadline: now(), default: None })]), [ASKER, LINUS]);
}

#[test]
fn what_is_over_is_wanted_of_nobody() {
    let withdrawn = E::Withdrawn(Withdrawn { by: person(ASKER), reason: WithdrawalReason::Withdrawn, comment: None });
    let request = E::Requested(requested());
    assert!(told_of(&works(), &[request.clone(), withdrawn], 0).is_empty());
    let late = Requested { deadline: Some(now()), ..requested() };
    assert!(told(&[E::Requested(late)]).is_empty(), "also where nobody has noticed yet");
    let events = [request];
    let (state, works) = (folded(&events), works());
    let case = Case { event: &events[0], history: &events, consultation: &state, organisation: &works, now: now() };
    assert!(case.why_moot(id(98)).is_some_and(|why| why.contains("no member")));
}

fn berlin(asked: Mailing, quiet: Option<(u16, u16)>) -> NotificationPreferencesSet {
    NotificationPreferencesSet {
        asked,
        time_zone: "Europe/Berlin".to_owned(),
        digest_hour: 7,
        quiet_hours: quiet.map(|(from, to)| QuietHours { from, to }),
        ..NotificationPreferencesSet::default()
    }
}

fn turn_of(wanted: &NotificationPreferencesSet, urgent: bool, noted: &str, now: &str) -> Turn {
    turn(wanted, Some(Topic::Asked), urgent, at(noted), at(now))
}

#[test]
fn quiet_hours_hold_back_all_but_what_is_urgent_until_they_end() {
    let night = berlin(Mailing::AtOnce, Some((22 * 60, 7 * 60)));
    let (evening, before, morning) = ("2026-03-05T21:30:00Z", "2026-03-05T20:59:59Z", "2026-03-06T06:00:00Z");
    assert_eq!(turn_of(&night, false, evening, evening), Turn::Later(at(morning)));
    assert_eq!(turn_of(&night, false, evening, "2026-03-06T05:59:59Z"), Turn::Later(at(morning)));
    assert_eq!(turn_of(&night, false, evening, morning), Turn::Now);
    assert_eq!(turn_of(&night, false, before, before), Turn::Now);
    assert_eq!(turn_of(&night, true, evening, evening), Turn::Now);
    let noon = berlin(Mailing::AtOnce, Some((12 * 60, 13 * 60)));
    assert_eq!(turn_of(&noon, false, evening, "2026-07-01T10:15:00Z"), Turn::Later(at("2026-07-01T11:00:00Z")));
    let quiet = |topic| turn(&night, topic, false, at(evening), at(evening));
    assert_eq!(quiet(None), Turn::Later(at(morning)), "also what nobody can choose");
}

#[test]
fn quiet_hours_end_though_the_clock_is_put_forward_over_their_end_or_back_into_them() {
    let wanted = berlin(Mailing::AtOnce, Some((60, 2 * 60 + 30)));
    // 29 March 2026: there is no 2:30.
    let spring = turn_of(&wanted, false, "2026-03-29T00:30:00Z", "2026-03-29T00:30:00Z");
    assert_eq!(spring, Turn::Later(at("2026-03-29T01:00:00Z")));
    // 25 October 2026: 2:30 comes twice.
    let again = turn_of(&wanted, false, "2026-10-25T01:10:00Z", "2026-10-25T01:10:00Z");
    assert_eq!(again, Turn::Later(at("2026-10-25T01:30:00Z")));
}

#[test]
fn a_digest_goes_at_its_hour_and_not_before_the_quiet_hours_end() {
    let wanted = berlin(Mailing::Digest, None);
    let (noted, due) = ("2026-03-05T09:00:00Z", "2026-03-06T06:00:00Z");
    assert_eq!(turn_of(&wanted, true, noted, noted), Turn::Later(at(due)));
    assert_eq!(turn_of(&wanted, false, noted, due), Turn::Now);
    assert_eq!(
        turn_of(&wanted, false, "2026-03-05T05:59:00Z", "2026-03-05T05:59:00Z"),
        Turn::Later(at("2026-03-05T06:00:00Z"))
    );
    let late = berlin(Mailing::Digest, Some((0, 9 * 60)));
    assert_eq!(turn_of(&late, false, noted, due), Turn::Later(at("2026-03-06T08:00:00Z")));
    assert_eq!(turn_of(&berlin(Mailing::None, None), true, noted, due), Turn::Never);
}

#[test]
fn what_does_not_do_is_refused() {
    let good = berlin(Mailing::AtOnce, Some((1320, 420)));
    assert_eq!(check(&good), Ok(()));
    let quiet = |from, to| NotificationPreferencesSet { quiet_hours: Some(QuietHours { from, to }), ..good.clone() };
    let bad = [
        NotificationPreferencesSet { time_zone: "Mars/Olympus".to_owned(), ..good.clone() },
        NotificationPreferencesSet { digest_hour: 24, ..good.clone() },
        quiet(60, 60),
        quiet(60, 1440),
    ];
    assert!(bad.iter().all(|wanted| check(wanted).is_err()));
}

proptest! {
    #[test]
    fn whatever_waits_comes(from in 0u16..1440, to in 0u16..1440, hour in 0u8..24, zone in 0usize..4, start in 0i64..40_000_000) {
        prop_assume!(from != to);
        let zones = ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"];
        let wanted = NotificationPreferencesSet {
            asked: Mailing::Digest,
            outcome: Mailing::AtOnce,
            time_zone: zones[zone].to_owned(),
            digest_hour: hour,
            quiet_hours: Some(QuietHours { from, to }),
        };
        let noted = now() + TimeDelta::seconds(start);
        for topic in Topic::ALL {
            let (mut when, mut looks) = (noted, 0);
            while let Turn::Later(next) = turn(&wanted, Some(topic), false, noted, when) {
                prop_assert!(next > when, "{next} is not behind {when}");
                when = next;
                looks += 1;
            }
            prop_assert!(looks <= 3 && when <= noted + TimeDelta::hours(51), "{looks} looks until {when}");
        }
    }
}
