//! Reminders, escalations, defaults, and time that counts only while somebody works.

use docket_events::{
    calendar::{BusinessCalendar, Hours},
    consultation::{Escalated, Reminded},
};

use super::*;

fn asked(terms: Terms) -> Story {
    Story::nothing().and(0, Request { terms, ..request() })
}

fn reminded(at: i64) -> Event {
    Event::Reminded(Reminded { due: minute(at) })
}

fn escalated(step: u32, at: i64, reviewers: &[u128], priority: Option<Priority>) -> Event {
    let reviewers = reviewers.iter().copied().map(id).collect();
    Event::Escalated(Escalated { step, due: minute(at), reviewers, priority, notify: vec![] })
}

#[test]
fn reviewers_are_reminded_before_the_deadline_once_each_time() {
    let story = asked(Terms { reminders: vec![30, 10], ..Terms::default() });
    assert_eq!(story.0.deadline(), Some(minute(30)));
    story.when(29, Expire).then(&[]);
    story.when(30, Expire).then(&[reminded(30)]);
    let story = story.and(30, Expire);
    story.when(31, Expire).then(&[]);
    assert_eq!(story.0.deadline(), Some(minute(50)));
    // Late by both: the second says it all; and after the deadline there is nothing to be reminded of.
    let late = asked(Terms { reminders: vec![30, 10], ..Terms::default() });
    late.when(55, Expire).then(&[reminded(50)]);
    late.when(60, Expire).then(&[timed_out()]);
}

#[test]
fn what_is_due_is_done_before_a_command_is_judged() {
    let step = EscalationStep { after_minutes: 20, reviewers: vec![id(EDSGER)], ..EscalationStep::default() };
    let terms = Terms { escalations: vec![step], ..Terms::default() };
    let story = Story::nothing().and(0, Request { reviewers: vec![id(GRACE)], terms, ..request() });
    story.when(19, respond(EDSGER, Decision::Approve)).refused(Refusal::NotAReviewer);
    let answered = Answer::of(Decision::Approve);
    story.when(20, respond(EDSGER, Decision::Approve)).then(&[
        escalated(0, 20, &[EDSGER], None),
        cast(EDSGER, answered.clone()),
        responded(EDSGER, answered, Rule::AnyOne, 2, &[]),
    ]);
}

#[test]
fn escalations_come_in_order_and_raise_the_priority_but_never_lower_it() {
    let step = |after_minutes, priority| EscalationStep {
        after_minutes,
        priority: Some(priority),
        ..EscalationStep::default()
    };
    let terms = Terms {
        escalations: vec![step(20, Priority::Normal), step(10, Priority::Urgent)],
        reminders: vec![45],
        ..Terms::default()
    };
    let story = asked(terms);
    story.when(25, Expire).then(&[
        escalated(1, 10, &[], Some(Priority::Urgent)),
        reminded(15),
        escalated(0, 20, &[], None),
    ]);
    assert_eq!(story.and(25, Expire).0.work.priority, Priority::Urgent);
}

#[test]
fn some_escalations_come_only_while_nobody_has_claimed_it() {
    let step = EscalationStep {
        after_minutes: 20,
        unclaimed: true,
        priority: Some(Priority::High),
        ..EscalationStep::default()
    };
    let terms = Terms { escalations: vec![step], ..Terms::default() };
    let claim = || Claim { by: person(GRACE), standing: Standing::default() };
    let story = asked(terms).and(5, claim());
    assert_eq!(story.0.deadline(), Some(minute(60)));
    story.when(30, Expire).then(&[]);
    let released = story.and(40, Release { by: person(GRACE), standing: Standing::default() });
    assert_eq!(released.0.deadline(), Some(minute(20)));
    released.when(40, Expire).then(&[escalated(0, 20, &[], Some(Priority::High))]);
}

#[test]
fn a_time_out_counts_as_the_request_had_it_and_the_state_is_timed_out() {
    let reject = Terms { on_timeout: Some(Given::decision(Decision::Reject)), ..Terms::default() };
    let default = Some(Answer::of(Decision::Reject));
    asked(reject.clone()).when(60, Expire).then(&[Event::TimedOut(TimedOut { deadline: minute(60), default })]);
    assert_eq!(asked(reject).and(60, Expire).0.state(), Some(State::TimedOut));
    let answer = AnswerKind::Choice { options: vec!["eu".into(), "us".into()], min: 1, max: 1 };
    let choose = |option: &str| Given { choices: Some(vec![option.to_owned()]), ..Given::default() };
    let terms = |option: &str| Terms { answer: answer.clone(), on_timeout: Some(choose(option)), ..Terms::default() };
    let content = Some(Content::Choices(vec!["us".to_owned()]));
    let default = Some(Answer { content, ..Answer::default() });
    asked(terms("us")).when(60, Expire).then(&[Event::TimedOut(TimedOut { deadline: minute(60), default })]);
    Story::nothing().when(0, Request { terms: terms("asia"), ..request() }).invalid("on_timeout");
    let never = Request { deadline: None, terms: terms("us"), ..request() };
    Story::nothing().when(0, never).invalid("on_timeout");
}

#[test]
fn what_cannot_be_in_time_is_refused() {
    let refuses = |field: &str, terms: Terms| Story::nothing().when(0, Request { terms, ..request() }).invalid(field);
    let step = EscalationStep { after_minutes: 5, notify: vec![id(GRACE)], ..EscalationStep::default() };
    let steps = |step: EscalationStep| Terms { escalations: vec![step], ..Terms::default() };
    refuses("reminders", Terms { reminders: vec![60], ..Terms::default() });
    refuses("reminders", Terms { reminders: vec![0], ..Terms::default() });
    refuses("reminders", Terms { reminders: vec![5, 5], ..Terms::default() });
    refuses("reminders", Terms { reminders: (1..=11).collect(), ..Terms::default() });
    refuses("escalations.after_minutes", steps(EscalationStep { after_minutes: 0, ..step.clone() }));
    refuses("escalations.after_minutes", steps(EscalationStep { after_minutes: u32::MAX, ..step.clone() }));
    refuses("escalations", steps(EscalationStep { after_minutes: 5, ..EscalationStep::default() }));
    refuses("escalations", Terms { escalations: vec![step.clone(); 11], ..Terms::default() });
    refuses("escalations.notify", steps(EscalationStep { notify: vec![id(2), id(2)], ..step }));
    let never = Request { deadline: None, terms: Terms { reminders: vec![5], ..Terms::default() }, ..request() };
    Story::nothing().when(0, never).invalid("reminders");
}

/// Nine to five in Berlin on weekdays.
fn office() -> BusinessCalendar {
    let day = |n| if n < 5 { vec![Hours { from: 540, to: 1020 }] } else { vec![] };
    BusinessCalendar { time_zone: "Europe/Berlin".to_owned(), week: (0..7).map(day).collect(), holidays: vec![] }
}

#[test]
fn business_time_counts_where_a_calendar_is_given() {
    // Noon in UTC on Friday, 2 January 2026: four hours are left of the day in Berlin.
    let terms = Terms { calendar: Some(office()), questions_stop_clock: true, ..Terms::default() };
    let due = Some(Due::After { minutes: 5 * 60 });
    let story = Story::nothing().and(0, Request { deadline: due, terms: terms.clone(), ..request() });
    assert_eq!(story.0.deadline(), Some("2026-01-05T09:00:00Z".parse().unwrap()), "over the weekend");
    // Stopped for the weekend, with three hours left: the time that was left is left.
    let question = RequestInformation {
        question_id: id(9),
        by: person(GRACE),
        standing: Standing::default(),
        text: "Which?".to_owned(),
    };
    let reply = ProvideInformation { question_id: id(9), by: person(ADA), text: "That.".to_owned() };
    let story = story.and(120, question).and(4 * 24 * 60, reply);
    assert_eq!(story.0.deadline(), Some("2026-01-06T15:00:00Z".parse().unwrap()));
    let nonsense = BusinessCalendar { time_zone: "Berlin".to_owned(), ..office() };
    let terms = Terms { calendar: Some(nonsense), ..terms };
    Story::nothing().when(0, Request { terms, ..request() }).invalid("calendar");
}

#[test]
fn a_deadline_on_the_wall_is_an_instant_unless_the_clock_is_put_forward_over_it() {
    let local = |at: &str, zone: &str| Request {
        deadline: Some(Due::Local { at: at.parse().unwrap(), time_zone: zone.to_owned() }),
        ..request()
    };
    let story = Story::nothing().and(0, local("2026-03-30T12:00:00", "Europe/Berlin"));
    assert_eq!(story.0.deadline(), Some("2026-03-30T10:00:00Z".parse().unwrap()));
    Story::nothing().when(0, local("2026-03-29T02:30:00", "Europe/Berlin")).invalid("deadline");
    Story::nothing().when(0, local("2026-03-30T12:00:00", "Europe/Atlantis")).invalid("time_zone");
    Story::nothing().when(0, local("2026-01-02T12:00:00", "Europe/Berlin")).invalid("deadline");
}
