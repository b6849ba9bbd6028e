//! What else a request may hold, and whom it may be about.

use docket_events::{DataKey, HasPersonal, consultation::PrivateRequest, engagement::Item};

use super::*;

fn key() -> DataKey {
    DataKey::new(id(77), [7; 32])
}

fn about_alan() -> Request {
    let terms = Terms { subject: Some(person(4)), ..Terms::default() };
    Request { terms, ..request() }
}

#[test]
fn priority_labels_and_origin_are_recorded() {
    let labels = vec!["release".to_owned(), "über".to_owned()];
    let asked = Request { priority: Priority::High, labels: labels.clone(), supersedes: Some(id(8)), ..request() };
    let recorded = Requested { priority: Priority::High, labels, supersedes: Some(id(8)), ..requested() };
    Story::nothing().when(0, asked).then(&[Event::Requested(recorded)]);
    for labels in [vec![" ".to_owned()], vec!["x".repeat(51)], vec!["a\n".to_owned()], vec!["a".to_owned(); 2]] {
        Story::nothing().when(0, Request { labels, ..request() }).invalid("labels");
    }
    let labels = (0..21).map(|n| n.to_string()).collect();
    Story::nothing().when(0, Request { labels, ..request() }).invalid("labels");
    let callback_url = Some("x".repeat(2_001));
    Story::nothing().when(0, Request { callback_url, ..request() }).invalid("callback_url");
}

#[test]
fn what_it_rests_on_is_recorded() {
    let cites = vec![Item::Article(id(8)), Item::Entity(id(8)), Item::Entity(id(9))];
    let recorded = Requested { cites: cites.clone().into(), ..requested() };
    Story::nothing().when(0, Request { cites, ..request() }).then(&[Event::Requested(recorded)]);
    let twice = vec![Item::Entity(id(8)); 2];
    Story::nothing().when(0, Request { cites: twice, ..request() }).invalid("cites");
    let many = (0..51).map(|n| Item::Article(id(n))).collect();
    Story::nothing().when(0, Request { cites: many, ..request() }).invalid("cites");
}

#[test]
fn what_is_told_of_a_person_is_the_person_s() {
    let mut events = Story::nothing().when(0, about_alan()).0.events;
    let Event::Requested(asked) = &events[0] else { panic!("{events:?}") };
    assert_eq!((&asked.body, &asked.context), (&None, &None));
    let private = PrivateRequest { body: request().body, context: request().context, proposed: None };
    assert_eq!(asked.private.as_ref().unwrap().value(), Some(&private));
    let subjects: Vec<Uuid> = events.remove(0).unsealed_subjects().into_iter().collect();
    assert_eq!(subjects, [id(ADA), id(4)]);
    let story = Story::nothing().and(0, about_alan());
    let comment = Comment { comment_id: id(9), by: person(GRACE), text: "He knows.".to_owned() };
    for command in [comment.into(), respond(GRACE, Decision::Approve)] {
        for mut event in story.when(1, command).0.events {
            assert!(event.unsealed_subjects().contains(&id(4)), "{event:?}");
        }
    }
}

#[test]
fn an_erased_person_is_not_spoken_of_any_more() {
    let mut state = Story::nothing().and(0, about_alan()).0;
    state.seal_all(&|_| Some(key()), &mut || [9; 24]).unwrap();
    state.open_all(&|_| None).unwrap();
    let story = Story(state);
    story.when(1, respond(GRACE, Decision::Approve)).refused(Refusal::Erased);
    let comment = Comment { comment_id: id(9), by: person(GRACE), text: "Alan".to_owned() };
    story.when(1, comment).refused(Refusal::Erased);
    assert_eq!(story.when(1, withdraw(ADA, Reason::Withdrawn, false)).0.refusal, None);
    story.when(60, Expire).then(&[timed_out()]);
}

#[test]
fn a_private_proposal_is_changed_and_sealed() {
    let answer =
        AnswerKind::Edit { proposed: Some(json!({"salary": 1})), paths: vec!["/salary".to_owned()], schema: None };
    let terms = Terms { subject: Some(person(4)), answer, ..Terms::default() };
    let story = Story::nothing().and(0, Request { terms, ..request() });
    assert_eq!(story.0.proposed(), Some(&json!({"salary": 1})));
    let given = Given { payload: Some(json!({"salary": 2})), ..Given::decision(Decision::Approve) };
    let decided = story.when(1, super::answer(GRACE, given)).0;
    let Event::Responded(outcome) = &decided.events[1] else { panic!("{decided:?}") };
    assert_eq!((outcome.decision, &outcome.content), (None, &None));
    assert!(matches!(outcome.answer().unwrap().content, Some(Content::Changes { .. })));
}
