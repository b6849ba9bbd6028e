//! The rules of a consultation's life: what an event may be, given what stood before it.
//!
//! Owns the judgement, by [`Life`] alone. Every rule is told as what is wrong where it is not kept.

use docket_events::consultation::{
    Assigned, Claimed, Clock, ConsultationEvent, Decision, DecisionRule, Delegated, Escalated, InformationProvided,
    InformationRequested, LateResponseRecorded, Reminded, Responded, Rule, TermsSet, TimedOut, VoteCast,
    WithdrawalReason, Withdrawn,
};
use uuid::Uuid;

use super::life::{Asked, Due, Ended, Instant, Life, Owed};

type Judged = Result<(), String>;

/// The most questions that may wait at once.
const QUESTIONS: usize = 20;

fn wrong(text: impl Into<String>) -> Judged {
    Err(text.into())
}

fn unless(kept: bool, text: &str) -> Judged {
    if kept { Ok(()) } else { wrong(text) }
}

/// What is wrong with `event` as the one that led to `version` at `at`.
pub(super) fn judge(life: &Life, event: &ConsultationEvent, at: Instant, version: u64) -> Judged {
    use ConsultationEvent as E;
    let asked = match (&life.asked, event) {
        (None, E::Requested(_)) => return Ok(()),
        (None, _) => return wrong("nothing was asked"),
        (Some(_), E::Requested(_)) => return wrong("it was asked before"),
        (Some(asked), _) => asked,
    };
    match (&life.owed, event) {
        (Some(owed), E::Responded(event)) => return outcome(life, asked, owed, event, at),
        (Some(_), _) => return wrong("the vote before it completes the rule, and no outcome stands behind that vote"),
        (None, E::Responded(_)) => return wrong("no vote right before it completes the rule"),
        (None, _) => {}
    }
    let owed = life.owed_by_clock(at);
    match event {
        E::Reminded(event) => reminded(life, event, owed),
        E::Escalated(event) => escalated(life, event, owed),
        E::TimedOut(event) => timed_out(life, event, owed, at),
        E::TermsSet(event) => terms_set(asked, event, at, version),
        _ if owed.is_some() => wrong(format!("{owed:?} had come, and the clock did nothing before it")),
        E::Commented(_) => Ok(()),
        E::ReceiptRedeemed(_) | E::ReceiptRevoked(_) => wrong("the clients of the campaign redeem and revoke nothing"),
        E::LateResponseRecorded(event) => late(life, event),
        _ if !life.is_pending() => wrong(format!("it had ended: {:?}", life.ended)),
        E::Claimed(event) => claimed(life, event),
        E::Released(event) => released(life, asked, event.by.id),
        E::Assigned(event) => assigned(life, asked, event),
        E::Delegated(event) => delegated(life, asked, event),
        E::InformationRequested(event) => information_requested(life, event),
        E::InformationProvided(event) => information_provided(life, asked, event, at),
        E::VoteCast(event) => vote_cast(life, event),
        E::Withdrawn(event) => withdrawn(asked, event),
        // Judged above.
        E::Requested(_) | E::Responded(_) => Ok(()),
    }
}

/// What is wrong with a consultation behind its last event.
pub(super) fn judge_end(life: &Life) -> Judged {
    unless(life.owed.is_none(), "its last vote completes the rule, and no outcome stands behind it")
}

fn terms_set(asked: &Asked, event: &TermsSet, at: Instant, version: u64) -> Judged {
    unless(version == asked.version + 1 && at == asked.at, "it does not come with the request")?;
    let TermsSet { rule, groups, roles, subject, calendar, .. } = event;
    let is_ours = matches!(rule, DecisionRule::AnyOne | DecisionRule::MOfN { .. });
    let is_plain = groups.is_empty() && roles.is_empty() && subject.is_none() && calendar.is_none();
    unless(is_ours && is_plain, "the clients of the campaign ask for no such thing")
}

fn outcome(life: &Life, asked: &Asked, owed: &Owed, event: &Responded, at: Instant) -> Judged {
    unless(life.is_pending(), "it had an outcome")?;
    unless(at == owed.at, "it does not come with the vote that completes the rule")?;
    let same_vote = (event.by.id, event.decision, &event.comment) == (owed.by, owed.decision, &owed.comment);
    unless(same_vote, "it is not what the vote says that completes the rule")?;
    let rule = if life.terms.agree.is_some() { Rule::MOfN } else { Rule::AnyOne };
    unless(event.rule == rule && event.request_version == asked.version, "it names another rule or request")?;
    let sorted = |ids: &[Uuid]| {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids
    };
    unless(sorted(&event.agreed) == sorted(&owed.agreed), "others agree than it says")
}

fn reminded(life: &Life, event: &Reminded, owed: Option<Due>) -> Judged {
    unless(life.is_pending(), "it had ended")?;
    unless(owed == Some(Due::Reminder(event.due)), &format!("what was due then: {owed:?}"))
}

fn escalated(life: &Life, event: &Escalated, owed: Option<Due>) -> Judged {
    unless(life.is_pending(), "it had ended")?;
    unless(owed == Some(Due::Escalation(event.step, event.due)), &format!("what was due then: {owed:?}"))?;
    let Some(step) = life.terms.steps.get(event.step as usize) else { return wrong("there is no such step") };
    let priority = step.priority.filter(|priority| *priority > life.priority);
    let says = (&event.reviewers, &event.notify, event.priority);
    unless(says == (&step.reviewers, &step.notify, priority), "it says another thing than its step")
}

fn timed_out(life: &Life, event: &TimedOut, owed: Option<Due>, at: Instant) -> Judged {
    unless(life.is_pending(), "it had an outcome")?;
    unless(life.ahead.stopped.is_none(), "the clock stood still")?;
    unless(life.ahead.deadline == Some(event.deadline), "it names another deadline")?;
    unless(event.deadline <= at && owed == Some(Due::Deadline(event.deadline)), "it timed out before its deadline")?;
    unless(event.default == life.terms.on_timeout, "it counts as another thing than `on_timeout` says")
}

fn may_answer(life: &Life, who: Uuid) -> Judged {
    unless(life.may_answer(who), &format!("{who} may not answer it"))
}

fn vote_cast(life: &Life, event: &VoteCast) -> Judged {
    let by = event.by.id;
    may_answer(life, by)?;
    let is_kept = life.terms.agree.is_none() && life.hand.is_some_and(|who| who != by);
    unless(!is_kept, "somebody else had it in hand")?;
    unless(life.votes.get(&by) != Some(&event.decision), "its reviewer had voted so before")?;
    unless(event.decision.is_some() && event.content.is_none(), "it is no answer to what was asked")
}

fn late(life: &Life, event: &LateResponseRecorded) -> Judged {
    unless(life.ended == Some(Ended::TimedOut), "it had not timed out")?;
    may_answer(life, event.by.id)?;
    let (count, last) = &life.late;
    unless(event.ordinal == count + 1, &format!("it is number {}", count + 1))?;
    unless(last.get(&event.by.id) != Some(&event.decision), "its reviewer had said so before")
}

fn claimed(life: &Life, event: &Claimed) -> Judged {
    may_answer(life, event.by.id)?;
    unless(life.hand.is_none(), "somebody had it in hand")
}

fn released(life: &Life, asked: &Asked, by: Uuid) -> Judged {
    let Some(hand) = life.hand else { return wrong("nobody had it in hand") };
    unless(by == hand || by == asked.by, "it was let go by one who neither had it nor asked")
}

fn assigned(life: &Life, asked: &Asked, event: &Assigned) -> Judged {
    unless(event.by.id == asked.by, "one who had not asked gave it away")?;
    may_answer(life, event.to.id)?;
    unless(life.hand != Some(event.to.id), "that one had it in hand")
}

fn delegated(life: &Life, asked: &Asked, event: &Delegated) -> Judged {
    let (by, to) = (event.by.id, event.to.id);
    may_answer(life, by)?;
    let answers = life.answers_for(to);
    unless(to != by && answers != by, "it leads back")?;
    unless(to != asked.by && answers != asked.by, "it leads to who asked")?;
    let has_seat = life.terms.agree.is_some() && life.seats().into_iter().any(|seat| life.answers_for(seat) == answers);
    unless(!has_seat, "it gives a second vote to one who has one")
}

fn information_requested(life: &Life, event: &InformationRequested) -> Judged {
    may_answer(life, event.by.id)?;
    unless(!life.questions.contains(&event.question_id), "it was asked before")?;
    unless(life.questions.len() < QUESTIONS, "too many questions waited")?;
    unless(event.stops_clock == life.terms.stops_clock, "it stops the clock, or not, against the terms")
}

/// Behind the last answer everything is as far away as it was when the clock stopped.
fn information_provided(life: &Life, asked: &Asked, event: &InformationProvided, at: Instant) -> Judged {
    unless(event.by.id == asked.by, "one who had not asked answered")?;
    unless(life.questions.contains(&event.question_id), "no such question waited")?;
    let goes_on = life.ahead.stopped.filter(|_| life.questions.len() == 1);
    let wanted = goes_on.map(|stopped| {
        let moved = |instant: Instant| instant + (at - stopped);
        let mut reminders: Vec<Instant> = life.ahead.reminders.iter().copied().map(moved).collect();
        reminders.sort_unstable();
        let escalations = life.ahead.escalations.iter().map(|(_, due)| moved(*due)).collect();
        Clock { deadline: life.ahead.deadline.map(moved), reminders, escalations }
    });
    let found = event.clock.clone().map(|mut clock| {
        clock.reminders.sort_unstable();
        clock
    });
    unless(found == wanted, &format!("the clock goes on with {found:?}, and had ahead {wanted:?}"))
}

fn withdrawn(asked: &Asked, event: &Withdrawn) -> Judged {
    let by_asker = event.by.id == asked.by && event.reason == WithdrawalReason::Withdrawn;
    unless(by_asker, "it was not taken back by who asked")
}

/// What an event decides, where it decides something.
pub(super) const fn decision(event: &ConsultationEvent) -> Option<Decision> {
    match event {
        ConsultationEvent::VoteCast(event) => event.decision,
        ConsultationEvent::Responded(event) => event.decision,
        ConsultationEvent::LateResponseRecorded(event) => event.decision,
        _ => None,
    }
}
