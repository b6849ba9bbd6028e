//! Given events, when a command comes at a time, then these events follow, or this refusal.

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use docket_events::consultation::{
    Answer, AnswerKind, Commented, ConsultationEvent as Event, Content, Decision, DecisionRule, LateResponseRecorded,
    Person, Priority, Requested, Responded, Rule, TimedOut, VoteCast, WithdrawalReason as Reason, Withdrawn,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::{Aggregate, At, Decided};

mod answers;
mod asking_more;
mod input;
mod receipts;
mod rules;
mod time;
mod working;

const ADA: u128 = 1;
const GRACE: u128 = 2;
const EDSGER: u128 = 3;

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn person(n: u128) -> Person {
    Person::named(id(n), format!("Person {n}"))
}

/// So many minutes after noon.
fn minute(n: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 2, 12, 0, 0).unwrap() + TimeDelta::minutes(n)
}

/// Ada asks, due 60 minutes after noon.
fn request() -> Request {
    Request {
        body: Some("All checks are green.".to_owned()),
        context: Some(json!({"branch": "release/7", "checks": [1, 2.5, null]})),
        external_id: Some("pr-7".to_owned()),
        deadline: Some(Due::At(minute(60))),
        ..Request::new("Merge the release branch?", person(ADA))
    }
}

/// The request as it is recorded.
fn requested() -> Requested {
    let Request { title, body, context, external_id, requested_by, .. } = request();
    Requested { body, context, external_id, deadline: Some(minute(60)), ..Requested::new(title, requested_by) }
}

fn respond(by: u128, decision: Decision) -> Command {
    answer(by, Given::decision(decision))
}

fn answer(by: u128, given: Given) -> Command {
    Respond { by: person(by), standing: Standing::default(), given }.into()
}

fn withdraw(by: u128, reason: Reason, as_admin: bool) -> Command {
    Withdraw { by: person(by), reason, comment: None, as_admin }.into()
}

fn vote(by: u128, decision: Decision) -> [Event; 2] {
    [cast(by, Answer::of(decision)), responded(by, Answer::of(decision), Rule::AnyOne, 1, &[])]
}

fn cast(by: u128, answer: Answer) -> Event {
    Event::VoteCast(VoteCast::new(person(by), answer, None))
}

fn responded(by: u128, answer: Answer, rule: Rule, request_version: u64, agreed: &[u128]) -> Event {
    let Answer { decision, content, comment } = answer;
    let agreed = agreed.iter().copied().map(id).collect();
    Event::Responded(Responded {
        decision,
        by: person(by),
        rule,
        request_version,
        comment,
        content,
        private: None,
        agreed,
    })
}

fn late(by: u128, decision: Decision, ordinal: u32) -> Event {
    Event::LateResponseRecorded(LateResponseRecorded::new(person(by), Answer::of(decision), None, ordinal))
}

fn timed_out() -> Event {
    Event::TimedOut(TimedOut { deadline: minute(60), default: None })
}

/// A consultation that lived through some commands.
struct Story(Consultation);

impl Story {
    fn nothing() -> Self {
        Self(Consultation::default())
    }

    fn asked() -> Self {
        Self::nothing().and(0, request())
    }

    fn and(mut self, at: i64, command: impl Into<Command>) -> Self {
        let time = minute(at);
        for event in decide(&self.0, command.into(), time).events {
            let at = At { version: self.0.version + 1, time };
            self.0.evolve(&event, at);
        }
        self
    }

    fn when(&self, at: i64, command: impl Into<Command>) -> Then {
        Then(decide(&self.0, command.into(), minute(at)))
    }
}

#[derive(Debug)]
struct Then(Decided<Event, Refusal>);

impl Then {
    #[track_caller]
    fn then(self, events: &[Event]) {
        assert_eq!(self.0, Decided::accepted(events.to_vec()));
    }

    #[track_caller]
    fn refused(self, refusal: Refusal) {
        assert_eq!(self.0, Decided::refused(refusal));
    }

    #[track_caller]
    fn refused_with(self, events: &[Event], refusal: Refusal) {
        assert_eq!(self.0, Decided { events: events.to_vec(), refusal: Some(refusal) });
    }

    #[track_caller]
    fn invalid(self, expected: &str) {
        let Some(Refusal::Invalid { field, reason }) = &self.0.refusal else { panic!("not refused: {self:?}") };
        assert_eq!((*field, reason.is_empty(), self.0.events.len()), (expected, false, 0));
    }
}

fn ended(state: State) -> Refusal {
    Refusal::AlreadyEnded { state }
}

mod asking {
    use super::*;

    #[test]
    fn a_request_is_recorded_as_it_was_asked_with_its_title_trimmed() {
        let asked = Request { title: "  Merge the release branch? ".to_owned(), ..request() };
        Story::nothing().when(0, asked).then(&[Event::Requested(requested())]);
    }

    #[test]
    fn asking_again_changes_nothing_whatever_is_asked() {
        let other = Request { title: String::new(), deadline: Some(Due::At(minute(-1))), ..request() };
        Story::asked().when(1, request()).then(&[]);
        Story::asked().when(1, other).then(&[]);
    }

    #[test]
    fn asking_again_after_the_deadline_finds_it_timed_out() {
        Story::asked().when(60, request()).then(&[timed_out()]);
    }

    #[test]
    fn a_timeout_counts_from_the_moment_of_asking_in_whole_microseconds() {
        let asked = Request { deadline: Some(Due::After { minutes: 90 }), ..request() };
        let now = minute(5) + TimeDelta::nanoseconds(1_999);
        let decided = decide(&Consultation::default(), asked.into(), now);
        let [Event::Requested(event)] = &decided.events[..] else { panic!("{decided:?}") };
        assert_eq!(event.deadline, Some(minute(95) + TimeDelta::microseconds(1)));
    }

    #[test]
    fn a_context_of_null_is_no_context() {
        let decided = Story::nothing().when(0, Request { context: Some(Value::Null), ..request() }).0;
        let [Event::Requested(event)] = &decided.events[..] else { panic!("{decided:?}") };
        assert_eq!(event.context, None);
    }

    #[test]
    fn anything_but_a_request_meets_nothing() {
        let comment = Comment { comment_id: id(9), by: person(GRACE), text: "Hello".to_owned() };
        for command in [
            comment.into(),
            respond(GRACE, Decision::Approve),
            withdraw(ADA, Reason::Withdrawn, true),
            Command::Expire(Expire),
        ] {
            Story::nothing().when(0, command).refused(Refusal::NotFound);
        }
    }
}

mod answering {
    use super::*;

    #[test]
    fn the_first_vote_decides_on_the_request_as_it_stands() {
        Story::asked().when(1, respond(GRACE, Decision::Approve)).then(&vote(GRACE, Decision::Approve));
        Story::asked().when(1, respond(EDSGER, Decision::Reject)).then(&vote(EDSGER, Decision::Reject));
    }

    #[test]
    fn who_asked_cannot_answer_in_time_or_late() {
        Story::asked().when(1, respond(ADA, Decision::Approve)).refused(Refusal::FourEyes);
        Story::asked().when(60, respond(ADA, Decision::Approve)).refused_with(&[timed_out()], Refusal::FourEyes);
        let named = Request { reviewers: vec![id(ADA), id(GRACE)], ..request() };
        Story::nothing().and(0, named).when(1, respond(ADA, Decision::Approve)).refused(Refusal::FourEyes);
    }

    #[test]
    fn only_named_reviewers_answer_where_some_are_named() {
        let given = Story::nothing().and(0, Request { reviewers: vec![id(GRACE)], ..request() });
        given.when(1, respond(EDSGER, Decision::Approve)).refused(Refusal::NotAReviewer);
        given.when(1, respond(GRACE, Decision::Approve)).then(&vote(GRACE, Decision::Approve));
        given.when(61, respond(EDSGER, Decision::Approve)).refused_with(&[timed_out()], Refusal::NotAReviewer);
    }

    #[test]
    fn the_same_answer_again_changes_nothing_and_any_other_is_refused() {
        let given = Story::asked().and(1, respond(GRACE, Decision::Approve));
        given.when(2, respond(GRACE, Decision::Approve)).then(&[]);
        given.when(2, respond(GRACE, Decision::Reject)).refused(ended(State::Responded));
        given.when(2, respond(EDSGER, Decision::Approve)).refused(ended(State::Responded));
        // The clock has no say any more.
        given.when(99, respond(GRACE, Decision::Approve)).then(&[]);
    }

    #[test]
    fn an_answer_after_a_withdrawal_is_refused() {
        let given = Story::asked().and(1, withdraw(ADA, Reason::Withdrawn, false));
        given.when(2, respond(GRACE, Decision::Approve)).refused(ended(State::Withdrawn));
    }

    #[test]
    fn an_answer_at_the_deadline_is_late_and_one_just_before_is_not() {
        let just_before = minute(60) - TimeDelta::microseconds(1);
        let in_time = decide(&Story::asked().0, respond(GRACE, Decision::Approve), just_before);
        assert_eq!(in_time.events, vote(GRACE, Decision::Approve));
        Story::asked()
            .when(60, respond(GRACE, Decision::Approve))
            .then(&[timed_out(), late(GRACE, Decision::Approve, 1)]);
    }

    #[test]
    fn late_answers_are_numbered_and_a_repeated_one_is_not_recorded() {
        let given = Story::asked().and(60, Expire).and(61, respond(GRACE, Decision::Approve));
        given.when(62, respond(GRACE, Decision::Approve)).then(&[]);
        given.when(62, respond(GRACE, Decision::Reject)).then(&[late(GRACE, Decision::Reject, 2)]);
        given.when(62, respond(EDSGER, Decision::Approve)).then(&[late(EDSGER, Decision::Approve, 2)]);
        let given = given.and(62, respond(GRACE, Decision::Reject));
        given.when(63, respond(GRACE, Decision::Approve)).then(&[late(GRACE, Decision::Approve, 3)]);
        assert_eq!((given.0.state(), given.0.late_responses.count), (Some(State::TimedOut), 2));
    }
}

mod withdrawing {
    use super::*;

    fn withdrawn(by: u128, reason: Reason) -> Event {
        Event::Withdrawn(Withdrawn { by: person(by), reason, comment: None })
    }

    #[test]
    fn the_requester_withdraws_or_supersedes_and_an_administrator_cancels() {
        for (by, reason, as_admin) in
            [(ADA, Reason::Withdrawn, false), (ADA, Reason::Superseded, false), (GRACE, Reason::Cancelled, true)]
        {
            Story::asked().when(1, withdraw(by, reason, as_admin)).then(&[withdrawn(by, reason)]);
        }
    }

    #[test]
    fn nobody_else_takes_it_back_and_nobody_for_another_reason() {
        for (by, reason, as_admin) in [
            (GRACE, Reason::Withdrawn, false),
            (GRACE, Reason::Superseded, true),
            (GRACE, Reason::Cancelled, false),
            (ADA, Reason::Cancelled, false),
        ] {
            Story::asked().when(1, withdraw(by, reason, as_admin)).refused(Refusal::NotTheRequester);
        }
    }

    #[test]
    fn the_same_withdrawal_again_changes_nothing_and_any_other_is_refused() {
        let given = Story::asked().and(1, withdraw(ADA, Reason::Withdrawn, false));
        given.when(2, withdraw(ADA, Reason::Withdrawn, false)).then(&[]);
        given.when(2, withdraw(ADA, Reason::Superseded, false)).refused(ended(State::Withdrawn));
        given.when(2, withdraw(ADA, Reason::Cancelled, true)).refused(ended(State::Withdrawn));
    }

    #[test]
    fn a_withdrawal_after_another_outcome_is_refused() {
        let answered = Story::asked().and(1, respond(GRACE, Decision::Approve));
        answered.when(2, withdraw(ADA, Reason::Withdrawn, false)).refused(ended(State::Responded));
        let expired = Story::asked().and(60, Expire);
        expired.when(61, withdraw(ADA, Reason::Withdrawn, false)).refused(ended(State::TimedOut));
    }

    #[test]
    fn a_late_withdrawal_is_refused_and_records_the_time_out_it_found() {
        let late = withdraw(ADA, Reason::Withdrawn, false);
        Story::asked().when(60, late).refused_with(&[timed_out()], ended(State::TimedOut));
    }
}

mod the_clock {
    use super::*;

    #[test]
    fn it_strikes_at_the_deadline_and_not_before() {
        Story::asked().when(59, Expire).then(&[]);
        Story::asked().when(60, Expire).then(&[timed_out()]);
        Story::asked().when(999, Expire).then(&[timed_out()]);
        Story::asked().and(60, Expire).when(61, Expire).then(&[]);
    }

    #[test]
    fn it_leaves_alone_what_has_ended_or_has_no_deadline() {
        Story::asked().and(1, respond(GRACE, Decision::Approve)).when(99, Expire).then(&[]);
        Story::asked().and(1, withdraw(ADA, Reason::Withdrawn, false)).when(99, Expire).then(&[]);
        Story::nothing().and(0, Request { deadline: None, ..request() }).when(9_999_999, Expire).then(&[]);
    }

    #[test]
    fn it_does_not_run_backwards() {
        // Asked at 10 with a deadline at 60; a command that claims to be earlier than the stream is judged at the stream's time.
        let given = Story::nothing().and(10, request());
        given.when(-99, respond(GRACE, Decision::Approve)).then(&vote(GRACE, Decision::Approve));
        let given = given.and(61, Expire);
        given.when(1, respond(GRACE, Decision::Approve)).then(&[late(GRACE, Decision::Approve, 1)]);
    }

    #[test]
    fn the_aggregate_has_a_deadline_only_while_pending() {
        assert_eq!(Story::nothing().0.deadline(), None);
        assert_eq!(Story::asked().0.deadline(), Some(minute(60)));
        assert_eq!(Story::asked().and(60, Expire).0.deadline(), None);
        assert_eq!(Story::asked().and(1, respond(GRACE, Decision::Approve)).0.deadline(), None);
        assert_eq!(Story::asked().and(1, withdraw(ADA, Reason::Withdrawn, false)).0.deadline(), None);
    }
}

mod talking {
    use super::*;

    fn comment() -> Comment {
        Comment { comment_id: id(9), by: person(ADA), text: "Any news?".to_owned() }
    }

    fn commented() -> Event {
        Event::Commented(Commented::new(id(9), person(ADA), "Any news?".to_owned(), None))
    }

    #[test]
    fn a_comment_is_allowed_in_every_state() {
        Story::asked().when(1, comment()).then(&[commented()]);
        Story::asked().when(60, comment()).then(&[timed_out(), commented()]);
        Story::asked().and(60, Expire).when(61, comment()).then(&[commented()]);
        Story::asked().and(1, respond(GRACE, Decision::Reject)).when(2, comment()).then(&[commented()]);
        Story::asked().and(1, withdraw(ADA, Reason::Withdrawn, false)).when(2, comment()).then(&[commented()]);
    }

    #[test]
    fn comments_are_counted() {
        assert_eq!(Story::asked().and(1, comment()).and(2, comment()).0.comment_count, 2);
    }
}

#[test]
fn the_state_shows_what_happened() {
    let comment = Some("Not yet.".to_owned());
    let given = Given { comment: comment.clone(), ..Given::decision(Decision::Reject) };
    let state = Story::asked().and(7, answer(GRACE, given)).0;
    let asked = state.asked.as_ref().unwrap();
    assert_eq!((asked.requested_at, asked.request_version), (minute(0), 1));
    assert_eq!((state.version, state.updated_at, state.state()), (3, Some(minute(7)), Some(State::Responded)));
    let rejected = Answer { comment, ..Answer::of(Decision::Reject) };
    let Event::Responded(event) = responded(GRACE, rejected, Rule::AnyOne, 1, &[]) else { unreachable!() };
    assert_eq!(state.outcome, Some(Outcome::Responded { event: Box::new(event), at: minute(7) }));
}

#[test]
fn states_and_refusals_have_stable_names() {
    for state in [State::Pending, State::Responded, State::TimedOut, State::Withdrawn] {
        assert_eq!(json!(state), json!(state.as_str()));
    }
    let invalid = Refusal::Invalid { field: "title", reason: "must be good".to_owned() };
    assert_eq!(invalid.to_string(), "`title` must be good");
    let refusals = [
        Refusal::NotFound,
        invalid,
        Refusal::FourEyes,
        Refusal::NotAReviewer,
        Refusal::Claimed { by: id(GRACE) },
        Refusal::DelegationLoop,
        Refusal::NoSuchQuestion,
        Refusal::TooManyQuestions,
        Refusal::Erased,
        Refusal::NotTheRequester,
        ended(State::TimedOut),
    ];
    let codes = [
        "not_found",
        "invalid",
        "four_eyes",
        "not_a_reviewer",
        "claimed",
        "delegation_loop",
        "not_found",
        "too_many",
        "erased",
        "not_the_requester",
        "already_ended",
    ];
    assert_eq!(refusals.map(|refusal| refusal.code()), codes);
}
