//! The pure folds.

use chrono::{DateTime, TimeDelta, Utc};
use docket_events::{
    Category, Event, EventData, Personal, Recorded, StreamId,
    consultation::{
        Answer, Commented, ConsultationEvent, Decision, LateResponseRecorded, Person, Requested, Responded, Rule,
        TimedOut, VoteCast, WithdrawalReason, Withdrawn,
    },
    identity::{IdentityEvent, MemberAdded, Role, UserRegistered},
};
use uuid::Uuid;

use super::{Consultation, ConsultationStats, Events, Identity, consultation, identity, registry};
use crate::projection::{self, Projection};

const TENANT: Uuid = Uuid::from_u128(7);

fn recorded(category: Category, id: u128, version: u64) -> Recorded {
    let time = DateTime::UNIX_EPOCH + TimeDelta::seconds(version as i64);
    Recorded {
        stream: StreamId::new(category, Uuid::from_u128(id)),
        shard: 3,
        sequence: version,
        version,
        id: Uuid::from_u128(id << 16 | u128::from(version)),
        event_type: String::new(),
        tenant: TENANT,
        time,
        recorded_at: time,
        data: String::new(),
        meta: String::new(),
    }
}

fn at(version: u64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(version as i64)
}

fn person(n: u128) -> Person {
    Person::named(Uuid::from_u128(n), format!("Person {n}"))
}

fn requested() -> ConsultationEvent {
    ConsultationEvent::Requested(Requested {
        context: Some(serde_json::json!({ "branch": 7 })),
        external_id: Some("pr-7".to_owned()),
        reviewers: vec![Uuid::from_u128(2)],
        ..Requested::new("Merge?", person(1))
    })
}

fn commented() -> ConsultationEvent {
    ConsultationEvent::Commented(Commented::new(Uuid::nil(), person(2), "Why?".to_owned(), None))
}

fn responded(decision: Decision) -> ConsultationEvent {
    let comment = Some("Well.".to_owned());
    ConsultationEvent::Responded(Responded {
        decision: Some(decision),
        by: person(2),
        rule: Rule::AnyOne,
        request_version: 1,
        comment,
        content: None,
        private: None,
        agreed: vec![Uuid::from_u128(2)],
    })
}

fn timed_out() -> ConsultationEvent {
    ConsultationEvent::TimedOut(TimedOut { deadline: DateTime::UNIX_EPOCH, default: None })
}

fn late(ordinal: u32) -> ConsultationEvent {
    let answer = Answer::of(Decision::Reject);
    ConsultationEvent::LateResponseRecorded(LateResponseRecorded::new(person(2), answer, None, ordinal))
}

fn fold<P: Projection>(projection: &P, first: u64, events: Vec<ConsultationEvent>) -> P::Batch {
    let mut batch = P::Batch::default();
    for (version, event) in (first..).zip(events) {
        projection
            .apply(&mut batch, &recorded(Category::Consultation, 1, version), &Event::Consultation(event))
            .expect("it applies");
    }
    batch
}

#[test]
fn a_whole_life_is_merged_into_one_new_row() {
    let vote = VoteCast::new(person(2), Answer::of(Decision::Approve), None);
    let events =
        vec![requested(), commented(), ConsultationEvent::VoteCast(vote), responded(Decision::Approve), commented()];
    let batch = fold(&Consultation, 1, events);
    let [row] = batch.rows.values().collect::<Vec<_>>()[..] else { panic!("one row") };
    assert_eq!((row.before, row.version, row.comments, row.updated_at), (0, 5, 2, at(5)));
    let asked = row.asked.as_ref().expect("asked");
    assert_eq!((asked.at, asked.by_name.as_deref()), (at(1), Some("Person 1")));
    assert_eq!(asked.context.as_deref(), Some(r#"{"branch":7}"#));
    let ended = row.ended.as_ref().expect("ended");
    assert_eq!(
        (ended.state, ended.decision, ended.rule, ended.at),
        ("responded", Some("approve"), Some("any_one"), at(4))
    );
    let kinds: Vec<_> = batch.history.iter().map(|row| (row.version, row.kind)).collect();
    assert_eq!(kinds, [(1, "requested"), (2, "commented"), (3, "vote_cast"), (4, "responded"), (5, "commented")]);
}

#[test]
fn events_behind_an_older_row_become_a_patch_that_names_its_ground() {
    let batch = fold(&Consultation, 4, vec![timed_out(), late(1), late(2)]);
    let row = batch.rows.values().next().expect("one row");
    assert!(row.asked.is_none());
    assert_eq!((row.before, row.version, row.late_responses), (3, 6, Some(2)));
    assert_eq!(row.ended.as_ref().map(|ended| (ended.state, ended.by)), Some(("timed_out", None)));
}

#[test]
fn a_withdrawal_keeps_its_reason_and_who() {
    let withdrawn = Withdrawn { by: person(1), reason: WithdrawalReason::Superseded, comment: None };
    let batch = fold(&Consultation, 2, vec![ConsultationEvent::Withdrawn(withdrawn)]);
    let ended = batch.rows.values().next().and_then(|row| row.ended.as_ref()).expect("ended");
    assert_eq!((ended.state, ended.reason, ended.by), ("withdrawn", Some("superseded"), Some(Uuid::from_u128(1))));
}

#[test]
fn what_cannot_follow_is_poison_and_leaves_the_batch_as_it_was() {
    let mut batch: consultation::Batch = fold(&Consultation, 1, vec![requested(), timed_out()]);
    let before = format!("{batch:?}");
    for (id, version, event) in [
        (2, 1, commented()),
        (2, 2, requested()),
        (1, 3, requested()),
        (1, 3, timed_out()),
        (1, 3, responded(Decision::Reject)),
        (1, 5, commented()),
        (1, 3, late(u32::MAX)),
    ] {
        let recorded = recorded(Category::Consultation, id, version);
        Consultation.apply(&mut batch, &recorded, &Event::Consultation(event)).expect_err("poison");
        assert_eq!(format!("{batch:?}"), before);
    }
}

#[test]
fn an_erased_name_is_no_name() {
    let mut asked = requested();
    if let ConsultationEvent::Requested(event) = &mut asked {
        event.requested_by.name = Personal::Erased { subject: Uuid::from_u128(1) };
    }
    let batch = fold(&Consultation, 1, vec![asked]);
    let row = batch.rows.values().next().expect("one row");
    assert_eq!(row.asked.as_ref().and_then(|asked| asked.by_name.as_deref()), None);
    assert_eq!(batch.history[0].by_name, None);

    let mut users = identity::Batch::default();
    let erased = || Personal::Erased { subject: Uuid::from_u128(9) };
    let event = Event::Identity(IdentityEvent::UserRegistered(UserRegistered {
        email: erased(),
        name: erased(),
        address: None,
    }));
    Identity.apply(&mut users, &recorded(Category::Identity, 9, 1), &event).expect("it applies");
    let user = &users.users[&Uuid::from_u128(9)];
    assert_eq!((&user.name, &user.email), (&None, &None));
}

#[test]
fn stats_count_states_and_late_answers_once_per_consultation() {
    let batch = fold(
        &ConsultationStats,
        1,
        vec![
            requested(),
            requested(),
            requested(),
            commented(),
            responded(Decision::Approve),
            timed_out(),
            late(1),
            late(2),
        ],
    );
    let deltas = &batch[&(TENANT, 3)];
    assert_eq!((deltas.pending, deltas.responded, deltas.approved, deltas.rejected), (1, 1, 1, 0));
    assert_eq!((deltas.timed_out, deltas.late_answered, deltas.late_responses, deltas.comments), (1, 1, 2, 1));
}

#[test]
fn the_feed_holds_what_is_an_organisations_own() {
    let mut batch = <Events as Projection>::Batch::default();
    for (version, tenant) in [(1, TENANT), (2, Uuid::nil()), (3, TENANT)] {
        let event_type = "docket.consultation.commented.v1".to_owned();
        let event = Recorded { tenant, event_type, ..recorded(Category::Consultation, 1, version) };
        Events.apply(&mut batch, &event, &Event::Consultation(commented())).expect("it applies");
    }
    let places: Vec<_> = batch.iter().map(|place| (place.tenant, place.sequence, place.kind.as_str())).collect();
    assert_eq!(places, [(TENANT, 1, "commented"), (TENANT, 3, "commented")]);
}

#[test]
fn a_member_added_again_has_the_last_role() {
    let mut batch = identity::Batch::default();
    for (version, role) in [(1, Role::Reviewer), (2, Role::Admin)] {
        let event = Event::Identity(IdentityEvent::MemberAdded(MemberAdded {
            user_id: Uuid::from_u128(5),
            role,
            address: None,
        }));
        Identity.apply(&mut batch, &recorded(Category::Identity, 1, version), &event).expect("it applies");
    }
    let member = batch.members[&(TENANT, Uuid::from_u128(5))].as_ref().expect("there");
    assert_eq!(member.role, "admin");
}

#[test]
fn every_kind_of_event_has_a_readable_kind() {
    let mut event = recorded(Category::Consultation, 1, 1);
    for event_type in ConsultationEvent::TYPES {
        event.event_type = (*event_type).to_owned();
        let name = event_type.trim_start_matches("docket.consultation.").trim_end_matches(".v1");
        assert_eq!(projection::kind(&event), name);
    }
}

#[test]
fn projections_have_names_and_tables_of_their_own() {
    let names: std::collections::BTreeSet<_> = registry().iter().map(|projection| projection.info().name).collect();
    let tables: Vec<_> = registry().iter().flat_map(|projection| projection.info().tables).collect();
    assert_eq!(names.len(), registry().len());
    assert_eq!(tables.iter().map(|table| table.name).collect::<std::collections::BTreeSet<_>>().len(), tables.len());
    assert!(super::personal_columns().any(|column| column == ("consultation_v1", "requested_by_name")));
}
