//! The life of a consultation as its events tell it: what the check knows of it, written apart from the domain.
//!
//! Owns a second reading of the rules that the campaign's clients ask for. A mistake in the domain must not hide itself here: nothing but the
//! events' types is shared. Calendars, groups and people whom a request is about do not occur.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use docket_events::consultation::{
    Answer, ConsultationEvent, Decision, DecisionRule, Escalated, Escalation, InformationProvided,
    LateResponseRecorded, Priority, Requested, TermsSet, VoteCast,
};
use uuid::Uuid;

/// An instant.
pub(super) type Instant = DateTime<Utc>;

/// What is known of a consultation.
#[derive(Debug, Clone, Default)]
pub(super) struct Life {
    /// The request; none: there is none yet.
    pub(super) asked: Option<Asked>,
    /// How it is decided.
    pub(super) terms: Terms,
    /// What is ahead.
    pub(super) ahead: Ahead,
    /// Who has it in hand.
    pub(super) hand: Option<Uuid>,
    /// Who answers in whose place.
    pub(super) delegated: HashMap<Uuid, Uuid>,
    /// Who came to answer besides.
    pub(super) added: Vec<Uuid>,
    /// How soon it is wanted.
    pub(super) priority: Priority,
    /// Questions that wait for an answer.
    pub(super) questions: BTreeSet<Uuid>,
    /// The votes that count.
    pub(super) votes: BTreeMap<Uuid, Option<Decision>>,
    /// An outcome that the last vote brings, and that must stand right behind it.
    pub(super) owed: Option<Owed>,
    /// How it ended.
    pub(super) ended: Option<Ended>,
    /// The last late answer of each, and how many there were.
    pub(super) late: (u32, HashMap<Uuid, Option<Decision>>),
}

/// The request.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// Who asked.
    pub(super) by: Uuid,
    /// When.
    pub(super) at: Instant,
    /// Who may answer by name; empty: all reviewers.
    pub(super) named: Vec<Uuid>,
    /// The version at which it stood in full.
    pub(super) version: u64,
}

/// How it is decided.
#[derive(Debug, Clone, Default)]
pub(super) struct Terms {
    /// How many seats must agree; none: the first vote decides.
    pub(super) agree: Option<usize>,
    /// The seats.
    pub(super) seats: BTreeSet<Uuid>,
    /// What counts when the deadline passes.
    pub(super) on_timeout: Option<Answer>,
    /// What happens after a while.
    pub(super) steps: Vec<Escalation>,
    /// Whether questions stop the clock.
    pub(super) stops_clock: bool,
}

/// What the clock has ahead.
#[derive(Debug, Clone, Default)]
pub(super) struct Ahead {
    /// The deadline.
    pub(super) deadline: Option<Instant>,
    /// Reminders to come.
    pub(super) reminders: BTreeSet<Instant>,
    /// Escalations to come.
    pub(super) escalations: Vec<(u32, Instant)>,
    /// Since when it stands still.
    pub(super) stopped: Option<Instant>,
}

/// An outcome that a vote brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owed {
    /// Whose vote.
    pub(super) by: Uuid,
    /// Its decision.
    pub(super) decision: Option<Decision>,
    /// What was said with it.
    pub(super) comment: Option<String>,
    /// Who agrees, seat by seat; none where one vote is enough.
    pub(super) agreed: Vec<Uuid>,
    /// When.
    pub(super) at: Instant,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// By votes.
    Responded,
    /// By the clock.
    TimedOut,
    /// By who asked.
    Withdrawn,
}

/// Something that the clock has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// End it.
    Deadline(Instant),
    /// Remind of it.
    Reminder(Instant),
    /// Escalate it by this step.
    Escalation(u32, Instant),
}

impl Due {
    /// When.
    pub(super) const fn at(self) -> Instant {
        match self {
            Self::Deadline(at) | Self::Reminder(at) | Self::Escalation(_, at) => at,
        }
    }
}

impl Life {
    /// Whether it waits for its outcome.
    pub(super) const fn is_pending(&self) -> bool {
        self.asked.is_some() && self.ended.is_none()
    }

    /// What the clock has to do next, however far away; nothing while it stands still, and nothing when it has ended.
    pub(super) fn next(&self) -> Option<Due> {
        if !self.is_pending() || self.ahead.stopped.is_some() {
            return None;
        }
        let deadline = self.ahead.deadline.map(Due::Deadline);
        let reminder = self.ahead.reminders.first().copied().map(Due::Reminder);
        let escalation = self.escalations().min_by_key(|(step, at)| (*at, *step));
        let escalation = escalation.map(|(step, at)| Due::Escalation(step, at));
        // At one instant: the end, what escalates, what reminds.
        [deadline, escalation, reminder].into_iter().flatten().min_by_key(|due| due.at())
    }

    /// What is owed at `now`: past a deadline nothing but the end, and of several reminders the last.
    pub(super) fn owed_by_clock(&self, now: Instant) -> Option<Due> {
        let next = self.next().filter(|due| due.at() <= now)?;
        if let Some(deadline) = self.ahead.deadline.filter(|deadline| *deadline <= now) {
            return Some(Due::Deadline(deadline));
        }
        let reminder = self.ahead.reminders.iter().copied().rfind(|due| *due <= now);
        let escalation = self.escalations().filter(|(_, due)| *due <= now).min_by_key(|(step, due)| (*due, *step));
        match (reminder, escalation) {
            (Some(due), Some((_, first))) if due < first => Some(Due::Reminder(due)),
            (_, Some((step, due))) => Some(Due::Escalation(step, due)),
            (Some(due), None) => Some(Due::Reminder(due)),
            (None, None) => Some(next),
        }
    }

    /// Escalations to come as it stands: some only while nobody has it in hand.
    fn escalations(&self) -> impl Iterator<Item = (u32, Instant)> + '_ {
        let waits = |step: u32| self.terms.steps.get(step as usize).is_some_and(|step| step.unclaimed);
        self.ahead.escalations.iter().copied().filter(move |(step, _)| !(self.hand.is_some() && waits(*step)))
    }

    /// The seats: those who were named and those who came, without who asked.
    pub(super) fn seats(&self) -> BTreeSet<Uuid> {
        let asker = self.asked.as_ref().map(|asked| asked.by);
        self.terms.seats.iter().chain(&self.added).copied().filter(|seat| Some(*seat) != asker).collect()
    }

    /// Who answers for somebody by now.
    pub(super) fn answers_for(&self, who: Uuid) -> Uuid {
        let mut who = who;
        for _ in 0..self.delegated.len() {
            who = self.delegated.get(&who).copied().unwrap_or(who);
        }
        who
    }

    /// Whether somebody may answer: every person of the campaign who commands this has a role that may.
    pub(super) fn may_answer(&self, who: Uuid) -> bool {
        let Some(asked) = &self.asked else { return false };
        if who == asked.by || self.delegated.contains_key(&who) {
            return false;
        }
        if self.terms.agree.is_some() {
            return self.seats().into_iter().any(|seat| self.answers_for(seat) == who);
        }
        let came = self.added.contains(&who) || self.delegated.values().any(|to| *to == who);
        asked.named.is_empty() || asked.named.contains(&who) || came
    }

    /// Who agrees, seat by seat, when `by` decides so; none: that is not enough.
    fn completes(&self, by: Uuid, decision: Option<Decision>) -> Option<Vec<Uuid>> {
        let Some(agree) = self.terms.agree else { return Some(Vec::new()) };
        let seats = self.seats();
        let holders = seats.iter().map(|seat| self.answers_for(*seat));
        let agreed: Vec<Uuid> =
            holders.filter(|who| *who == by || self.votes.get(who).is_some_and(|vote| *vote == decision)).collect();
        let is_enough = match decision {
            Some(Decision::Reject) => !agreed.is_empty() && seats.len() - agreed.len() < agree,
            _ => agreed.len() >= agree,
        };
        is_enough.then_some(agreed)
    }

    /// Takes in an event, whether it should be there or not.
    pub(super) fn take(&mut self, event: &ConsultationEvent, at: Instant, version: u64) {
        self.owed = None;
        match event {
            ConsultationEvent::Requested(event) => self.ask(event, at, version),
            ConsultationEvent::TermsSet(event) => self.set_terms(event, version),
            ConsultationEvent::Commented(_) => {}
            ConsultationEvent::Claimed(event) => self.hand = Some(event.by.id),
            ConsultationEvent::Released(_) => self.hand = None,
            ConsultationEvent::Assigned(event) => self.hand = Some(event.to.id),
            ConsultationEvent::Delegated(event) => {
                self.votes.remove(&event.by.id);
                self.delegated.insert(event.by.id, event.to.id);
                self.hand = self.hand.filter(|who| *who != event.by.id);
            }
            ConsultationEvent::InformationRequested(event) => {
                self.questions.insert(event.question_id);
                if event.stops_clock {
                    self.ahead.stopped = self.ahead.stopped.or(Some(at));
                }
            }
            ConsultationEvent::InformationProvided(event) => self.provide(event),
            ConsultationEvent::Reminded(event) => self.ahead.reminders.retain(|due| *due > event.due),
            ConsultationEvent::Escalated(event) => self.escalate(event),
            ConsultationEvent::VoteCast(event) => self.vote(event, at),
            ConsultationEvent::Responded(_) => self.end(Ended::Responded),
            ConsultationEvent::TimedOut(_) => self.end(Ended::TimedOut),
            ConsultationEvent::Withdrawn(_) => self.end(Ended::Withdrawn),
            ConsultationEvent::ReceiptRedeemed(_) | ConsultationEvent::ReceiptRevoked(_) => {}
            ConsultationEvent::LateResponseRecorded(LateResponseRecorded { by, decision, .. }) => {
                self.late.0 += 1;
                self.late.1.insert(by.id, *decision);
            }
        }
    }

    fn end(&mut self, how: Ended) {
        self.ended = self.ended.or(Some(how));
    }

    fn ask(&mut self, event: &Requested, at: Instant, version: u64) {
        self.asked = Some(Asked { by: event.requested_by.id, at, named: event.reviewers.clone(), version });
        self.ahead.deadline = event.deadline;
        self.priority = event.priority;
    }

    fn set_terms(&mut self, event: &TermsSet, version: u64) {
        if let Some(asked) = &mut self.asked {
            asked.version = version;
        }
        let agree = match event.rule {
            DecisionRule::MOfN { m } => Some(m as usize),
            _ => None,
        };
        self.ahead.reminders = event.reminders.iter().copied().collect();
        self.ahead.escalations = (0..).zip(event.escalations.iter().map(|step| step.due)).collect();
        self.terms = Terms {
            agree,
            seats: event.seats.iter().copied().collect(),
            on_timeout: event.on_timeout.clone(),
            steps: event.escalations.clone(),
            stops_clock: event.questions_stop_clock,
        };
    }

    fn provide(&mut self, event: &InformationProvided) {
        self.questions.remove(&event.question_id);
        let Some(clock) = &event.clock else { return };
        let steps = self.ahead.escalations.iter().map(|(step, _)| *step);
        self.ahead = Ahead {
            deadline: clock.deadline,
            reminders: clock.reminders.iter().copied().collect(),
            escalations: steps.zip(clock.escalations.iter().copied()).collect(),
            stopped: None,
        };
    }

    fn escalate(&mut self, event: &Escalated) {
        self.ahead.escalations.retain(|(step, _)| *step != event.step);
        self.added.extend(&event.reviewers);
        self.priority = event.priority.unwrap_or(self.priority);
    }

    fn vote(&mut self, event: &VoteCast, at: Instant) {
        let VoteCast { by, decision, comment, .. } = event;
        self.votes.insert(by.id, *decision);
        let owed = |agreed| Owed { by: by.id, decision: *decision, comment: comment.clone(), agreed, at };
        self.owed = self.completes(by.id, *decision).map(owed);
    }
}
