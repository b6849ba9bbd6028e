//! Who has it in hand, who answers in whose place, and what is asked back.

use docket_events::consultation::{
    Assigned, Claimed, Clock, Delegated, InformationProvided, InformationRequested, Released,
};

use super::*;

const ALAN: u128 = 4;

fn claim(by: u128) -> Command {
    Claim { by: person(by), standing: Standing::default() }.into()
}

fn release(by: u128, is_admin: bool) -> Command {
    Release { by: person(by), standing: Standing { is_admin, ..Standing::default() } }.into()
}

fn assign(by: u128, is_admin: bool, to: u128) -> Command {
    let standing = Standing { is_admin, ..Standing::default() };
    Assign { by: person(by), standing, to: person(to), of_whom: Standing::default() }.into()
}

fn delegate(by: u128, to: u128) -> Command {
    Delegate { by: person(by), standing: Standing::default(), to: person(to) }.into()
}

fn question(n: u128, by: u128) -> Command {
    let (question_id, text) = (id(n), "Which branch?".to_owned());
    RequestInformation { question_id, by: person(by), standing: Standing::default(), text }.into()
}

fn reply(n: u128, by: u128) -> Command {
    ProvideInformation { question_id: id(n), by: person(by), text: "The one of June.".to_owned() }.into()
}

fn of(reviewers: &[u128]) -> Story {
    Story::nothing().and(0, Request { reviewers: reviewers.iter().copied().map(id).collect(), ..request() })
}

#[test]
fn who_claims_it_answers_alone_until_it_is_released() {
    let story = Story::asked();
    story.when(1, claim(GRACE)).then(&[Event::Claimed(Claimed { by: person(GRACE) })]);
    let story = story.and(1, claim(GRACE));
    story.when(2, claim(GRACE)).then(&[]);
    let refusal = Refusal::Claimed { by: id(GRACE) };
    for command in [claim(EDSGER), respond(EDSGER, Decision::Approve), release(EDSGER, false)] {
        story.when(2, command).refused(refusal.clone());
    }
    story.when(2, respond(GRACE, Decision::Approve)).then(&vote(GRACE, Decision::Approve));
    for (by, is_admin) in [(GRACE, false), (ADA, false), (EDSGER, true)] {
        story.when(2, release(by, is_admin)).then(&[Event::Released(Released { by: person(by) })]);
    }
    let story = story.and(2, release(GRACE, false));
    story.when(3, release(EDSGER, false)).then(&[]);
    story.when(3, respond(EDSGER, Decision::Approve)).then(&vote(EDSGER, Decision::Approve));
}

#[test]
fn only_who_may_answer_claims() {
    of(&[GRACE]).when(1, claim(EDSGER)).refused(Refusal::NotAReviewer);
    of(&[GRACE]).when(1, claim(ADA)).refused(Refusal::FourEyes);
    Story::asked().and(1, respond(GRACE, Decision::Approve)).when(2, claim(EDSGER)).refused(ended(State::Responded));
}

#[test]
fn the_asker_and_administrators_assign_to_who_may_answer() {
    let story = of(&[GRACE, EDSGER]).and(1, claim(GRACE));
    for (by, is_admin) in [(ADA, false), (ALAN, true)] {
        let assigned = Assigned { by: person(by), to: person(EDSGER) };
        story.when(2, assign(by, is_admin, EDSGER)).then(&[Event::Assigned(assigned)]);
    }
    story.when(2, assign(ADA, false, GRACE)).then(&[]);
    story.when(2, assign(ALAN, false, EDSGER)).refused(Refusal::NotTheRequester);
    story.when(2, assign(ADA, false, ALAN)).invalid("to");
    story.when(2, assign(ALAN, true, ADA)).invalid("to");
    let story = story.and(2, assign(ADA, false, EDSGER));
    story.when(3, respond(GRACE, Decision::Approve)).refused(Refusal::Claimed { by: id(EDSGER) });
}

#[test]
fn who_delegates_answers_no_more_and_the_other_does() {
    let story = of(&[GRACE]);
    let delegated = Delegated { by: person(GRACE), to: person(ALAN) };
    story.when(1, delegate(GRACE, ALAN)).then(&[Event::Delegated(delegated)]);
    let story = story.and(1, claim(GRACE)).and(1, delegate(GRACE, ALAN));
    story.when(2, delegate(GRACE, ALAN)).then(&[]);
    story.when(2, respond(GRACE, Decision::Approve)).refused(Refusal::NotAReviewer);
    story.when(2, delegate(GRACE, EDSGER)).refused(Refusal::NotAReviewer);
    story.when(2, respond(ALAN, Decision::Approve)).then(&vote(ALAN, Decision::Approve));
    of(&[GRACE]).when(1, delegate(EDSGER, ALAN)).refused(Refusal::NotAReviewer);
}

#[test]
fn delegations_do_not_lead_back_nor_to_who_asked() {
    let story = of(&[GRACE]);
    story.when(1, delegate(GRACE, GRACE)).refused(Refusal::DelegationLoop);
    story.when(1, delegate(GRACE, ADA)).invalid("to");
    let story = story.and(1, delegate(GRACE, EDSGER)).and(2, delegate(EDSGER, ALAN));
    for to in [GRACE, EDSGER, ALAN] {
        story.when(3, delegate(ALAN, to)).refused(Refusal::DelegationLoop);
    }
    story.when(3, respond(ALAN, Decision::Approve)).then(&vote(ALAN, Decision::Approve));
}

#[test]
fn a_seat_is_delegated_with_its_vote_to_be_cast_anew() {
    let terms = Terms { rule: DecisionRule::All, seats: vec![id(GRACE), id(EDSGER)], ..Terms::default() };
    let story = Story::nothing().and(0, Request { terms, ..request() }).and(1, respond(GRACE, Decision::Approve));
    story.when(2, delegate(GRACE, EDSGER)).invalid("to");
    let story = story.and(2, delegate(GRACE, ALAN)).and(3, respond(EDSGER, Decision::Approve));
    assert_eq!(story.0.state(), Some(State::Pending), "what Grace said does not count any more");
    let approved = Answer::of(Decision::Approve);
    let outcome = responded(ALAN, approved.clone(), Rule::All, 2, &[ALAN, EDSGER]);
    let decided = story.when(4, respond(ALAN, Decision::Approve)).0;
    let Event::Responded(event) = &decided.events[1] else { panic!("{decided:?}") };
    assert_eq!(event.agreed.len(), 2);
    assert_eq!(decided.events[0], cast(ALAN, approved));
    assert_eq!(outcome, Event::Responded(Responded { agreed: vec![id(ALAN), id(EDSGER)], ..event.clone() }));
}

#[test]
fn a_reviewer_asks_back_and_the_asker_answers() {
    let story = Story::asked();
    let text = "Which branch?".to_owned();
    let asked = InformationRequested::new(id(9), person(GRACE), text, None, false);
    story.when(1, question(9, GRACE)).then(&[Event::InformationRequested(asked)]);
    story.when(1, question(9, ADA)).refused(Refusal::FourEyes);
    let story = story.and(1, question(9, GRACE));
    story.when(2, reply(9, EDSGER)).refused(Refusal::NotTheRequester);
    story.when(2, reply(8, ADA)).refused(Refusal::NoSuchQuestion);
    let told = InformationProvided::new(id(9), person(ADA), "The one of June.".to_owned(), None, None);
    story.when(2, reply(9, ADA)).then(&[Event::InformationProvided(told)]);
    story.and(2, reply(9, ADA)).when(3, reply(9, ADA)).refused(Refusal::NoSuchQuestion);
    let many = (10..30).fold(Story::asked(), |story, n| story.and(1, question(n, GRACE)));
    many.when(2, question(30, GRACE)).refused(Refusal::TooManyQuestions);
}

#[test]
fn the_clock_stands_still_while_the_asker_is_asked_where_the_terms_say_so() {
    let terms = Terms { questions_stop_clock: true, reminders: vec![30], ..Terms::default() };
    let story = Story::nothing().and(0, Request { terms, ..request() }).and(10, question(9, GRACE));
    assert_eq!(story.0.deadline(), None);
    let story = story.and(20, question(8, EDSGER)).and(500, Expire).and(501, reply(9, ADA));
    assert_eq!((story.0.deadline(), story.0.state()), (None, Some(State::Pending)), "one question is open still");
    let decided = story.when(510, reply(8, ADA)).0;
    let [Event::InformationProvided(event)] = &decided.events[..] else { panic!("{decided:?}") };
    // Fifty minutes were left, and the reminder was twenty minutes away.
    let clock = Clock { deadline: Some(minute(560)), reminders: vec![minute(530)], escalations: vec![] };
    assert_eq!(event.clock, Some(clock));
    let story = story.and(510, reply(8, ADA));
    assert_eq!(story.0.deadline(), Some(minute(530)));
    let timed_out = Event::TimedOut(TimedOut { deadline: minute(560), default: None });
    story.when(560, Expire).then(&[timed_out]);
    // A question that stops nothing.
    assert_eq!(Story::asked().and(1, question(9, GRACE)).0.deadline(), Some(minute(60)));
}
