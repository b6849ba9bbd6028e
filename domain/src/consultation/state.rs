//! What is known of a consultation, and how each event changes it.
//!
//! Holds what a decision needs and what the resource shows after a command, and is bounded: comments are counted, not kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use chrono::{DateTime, Utc};
use docket_events::{
    HasPersonal,
    consultation::{
        Answer, AnswerKind, ConsultationEvent, DecisionRule, Escalated, InformationProvided, LateResponseRecorded,
        Person, Priority, Requested, Responded, TermsSet, VoteCast, WithdrawalReason,
    },
    personal::PersonalField,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{ReceiptEnd, Refusal, Standing, clock};
use crate::{Aggregate, At};

/// Where a consultation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Asked, and not ended yet.
    Pending,
    /// Decided by votes.
    Responded,
    /// The deadline passed first.
    TimedOut,
    /// Taken back.
    Withdrawn,
}

impl State {
    /// The stable name, as JSON shows it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Responded => "responded",
            Self::TimedOut => "timed_out",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A consultation as its events tell it. The default does not exist yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Consultation {
    /// The request; none: the consultation does not exist.
    pub asked: Option<Asked>,
    /// How it is decided; none: by the first yes or no.
    pub terms: Option<Box<TermsSet>>,
    /// How far the work on it is.
    pub work: Work,
    /// What the clock has still to do.
    pub clock: ClockState,
    /// The vote of each who voted; the last one.
    pub votes: BTreeMap<Uuid, VoteCast>,
    /// How it ended; none: it has not.
    pub outcome: Option<Outcome>,
    /// How many comments were made.
    pub comment_count: u32,
    /// What came after the deadline.
    pub late_responses: LateResponses,
    /// What became of the receipt of the outcome; none: it can still be redeemed, or there is none.
    pub receipt_end: Option<ReceiptEnd>,
    /// The version of the stream: how many events it has.
    pub version: u64,
    /// The time of the last event.
    pub updated_at: Option<DateTime<Utc>>,
}

/// The request, as it was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// What was asked, in full.
    pub request: Requested,
    /// When it was asked.
    pub requested_at: DateTime<Utc>,
    /// The version of the stream at which it was asked.
    pub request_version: u64,
}

/// How far the work on a consultation is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Who has it in hand.
    pub claimed_by: Option<Person>,
    /// Who delegated to whom.
    pub delegated: BTreeMap<Uuid, Uuid>,
    /// The questions that wait for an answer, and who asked.
    pub questions: BTreeMap<Uuid, Uuid>,
    /// Who may answer besides, since an escalation.
    pub added: Vec<Uuid>,
    /// How soon it is wanted by now.
    pub priority: Priority,
}

/// What the clock has still to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockState {
    /// The deadline.
    pub deadline: Option<DateTime<Utc>>,
    /// Reminders that are still to come.
    pub reminders: Vec<DateTime<Utc>>,
    /// Escalations that are still to come: which, and when.
    pub escalations: Vec<(u32, DateTime<Utc>)>,
    /// Since when it stands still.
    pub stopped_at: Option<DateTime<Utc>>,
}

/// How a consultation ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Decided by votes.
    Responded {
        /// What was decided, by whom and by which rule.
        event: Box<Responded>,
        /// When.
        at: DateTime<Utc>,
    },
    /// The deadline passed first.
    TimedOut {
        /// The deadline that passed.
        deadline: DateTime<Utc>,
        /// What counts now, as the request had it; none: nothing was decided.
        default: Option<Box<Answer>>,
        /// When that was recorded; never before the deadline.
        at: DateTime<Utc>,
    },
    /// Taken back.
    Withdrawn {
        /// Who took it back.
        by: Person,
        /// Why.
        reason: WithdrawalReason,
        /// In that person's words.
        comment: Option<String>,
        /// When.
        at: DateTime<Utc>,
    },
}

impl Outcome {
    /// The state that this outcome leaves the consultation in.
    #[must_use]
    pub const fn state(&self) -> State {
        match self {
            Self::Responded { .. } => State::Responded,
            Self::TimedOut { .. } => State::TimedOut,
            Self::Withdrawn { .. } => State::Withdrawn,
        }
    }
}

/// Answers that came after the deadline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateResponses {
    /// How many were recorded.
    pub count: u32,
    /// The last one of each reviewer.
    pub last: BTreeMap<Uuid, LateResponseRecorded>,
}

impl Asked {
    /// Whether four-eyes keep `id` from answering, where they are asked for: who asked, and who made the key that asked.
    #[must_use]
    pub fn is_asker(&self, id: Uuid) -> bool {
        self.request.requested_by.id == id || self.request.key_made_by == Some(id)
    }
}

impl Consultation {
    /// Where it stands; none while it does not exist.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        self.asked.as_ref()?;
        Some(self.outcome.as_ref().map_or(State::Pending, Outcome::state))
    }

    /// What is asked for.
    #[must_use]
    pub fn answer_kind(&self) -> &AnswerKind {
        static APPROVAL: AnswerKind = AnswerKind::Approval;
        self.terms.as_ref().map_or(&APPROVAL, |terms| &terms.answer)
    }

    /// When votes become the outcome.
    #[must_use]
    pub fn rule(&self) -> &DecisionRule {
        static ANY_ONE: DecisionRule = DecisionRule::AnyOne;
        self.terms.as_ref().map_or(&ANY_ONE, |terms| &terms.rule)
    }

    /// The proposal of an edit, where it is not sealed or erased.
    #[must_use]
    pub fn proposed(&self) -> Option<&Value> {
        let private = || self.asked.as_ref()?.request.private.as_ref()?.value()?.proposed.as_ref();
        match self.answer_kind() {
            AnswerKind::Edit { proposed: Some(proposed), .. } => Some(proposed),
            _ => private(),
        }
    }

    /// The id of the person whom it is about.
    #[must_use]
    pub fn subject(&self) -> Option<Uuid> {
        Some(self.terms.as_ref()?.subject.as_ref()?.id)
    }

    /// Whether the person whom it is about was erased, as far as names were opened.
    #[must_use]
    pub fn is_subject_erased(&self) -> bool {
        self.terms.as_ref().and_then(|terms| terms.subject.as_ref()).is_some_and(|subject| subject.name.is_erased())
    }

    /// Whether the rule counts seats.
    #[must_use]
    pub fn counts_seats(&self) -> bool {
        *self.rule() != DecisionRule::AnyOne
    }

    /// The seats that count: without those whom four-eyes bar.
    #[must_use]
    pub fn seats(&self) -> BTreeSet<Uuid> {
        let Some(terms) = &self.terms else { return BTreeSet::new() };
        let seats = terms.seats.iter().chain(&self.work.added).copied();
        seats.filter(|seat| !self.is_barred(*seat)).collect()
    }

    /// Who answers for `seat` by now.
    #[must_use]
    pub fn holder(&self, seat: Uuid) -> Uuid {
        let mut holder = seat;
        // No chain is longer than the number of its links, whatever was journalled.
        for _ in 0..=self.work.delegated.len() {
            match self.work.delegated.get(&holder) {
                Some(next) => holder = *next,
                None => break,
            }
        }
        holder
    }

    /// Whether four-eyes keep somebody from answering.
    #[must_use]
    pub fn is_barred(&self, id: Uuid) -> bool {
        let four_eyes = !self.terms.as_ref().is_some_and(|terms| terms.asker_may_answer);
        four_eyes && self.asked.as_ref().is_some_and(|asked| asked.is_asker(id))
    }

    /// Whether somebody may answer.
    ///
    /// # Errors
    /// [`Refusal::FourEyes`], [`Refusal::NotAReviewer`].
    pub fn may_answer(&self, id: Uuid, standing: &Standing) -> Result<(), Refusal> {
        if self.is_barred(id) {
            return Err(Refusal::FourEyes);
        }
        if !self.work.delegated.contains_key(&id) && self.is_reviewer(id, standing) {
            return Ok(());
        }
        Err(Refusal::NotAReviewer)
    }

    /// Whether every reviewer of the organisation may answer, because nobody was named.
    #[must_use]
    pub fn is_for_everybody(&self) -> bool {
        let is_unnamed = self.asked.as_ref().is_none_or(|asked| asked.request.reviewers.is_empty());
        let terms = self.terms.as_ref();
        let is_unaddressed = terms.is_none_or(|terms| terms.groups.is_empty() && terms.roles.is_empty());
        !self.counts_seats() && is_unnamed && is_unaddressed
    }

    fn is_reviewer(&self, id: Uuid, standing: &Standing) -> bool {
        if self.counts_seats() {
            return self.seats().into_iter().any(|seat| self.holder(seat) == id);
        }
        let reviewers = self.asked.as_ref().map_or(&[][..], |asked| &asked.request.reviewers);
        let (groups, roles) =
            self.terms.as_ref().map_or((&[][..], &[][..]), |terms| (&terms.groups[..], &terms.roles[..]));
        self.is_for_everybody()
            || reviewers.contains(&id)
            || self.work.added.contains(&id)
            || standing.groups.iter().any(|group| groups.contains(group))
            || standing.role.is_some_and(|role| roles.contains(&role))
            || self.work.delegated.values().any(|to| *to == id)
    }

    /// The deadline, when it is pending still and the deadline has come at `now`.
    #[must_use]
    pub fn overdue(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.outcome.is_some() || self.clock.stopped_at.is_some() {
            return None;
        }
        self.clock.deadline.filter(|deadline| now >= *deadline)
    }

    /// An outcome is final: the first stands, whatever follows.
    fn end(&mut self, outcome: Outcome) {
        self.outcome.get_or_insert(outcome);
    }

    fn ask(&mut self, event: &Requested, at: At) {
        self.work.priority = event.priority;
        self.clock.deadline = event.deadline;
        self.asked = Some(Asked { request: event.clone(), requested_at: at.time, request_version: at.version });
    }

    fn set_terms(&mut self, event: &TermsSet, at: At) {
        self.clock.reminders.clone_from(&event.reminders);
        self.clock.escalations = (0..).zip(event.escalations.iter().map(|step| step.due)).collect();
        if let Some(asked) = &mut self.asked {
            asked.request_version = at.version;
        }
        self.terms = Some(Box::new(event.clone()));
    }

    fn provide(&mut self, event: &InformationProvided) {
        self.work.questions.remove(&event.question_id);
        let Some(clock) = &event.clock else { return };
        self.clock.stopped_at = None;
        self.clock.deadline = clock.deadline;
        self.clock.reminders.clone_from(&clock.reminders);
        for ((_, due), moved) in self.clock.escalations.iter_mut().zip(&clock.escalations) {
            *due = *moved;
        }
    }

    fn escalate(&mut self, event: &Escalated) {
        self.clock.escalations.retain(|(step, _)| *step != event.step);
        for reviewer in &event.reviewers {
            if !self.work.added.contains(reviewer) {
                self.work.added.push(*reviewer);
            }
        }
        if let Some(priority) = event.priority {
            self.work.priority = priority;
        }
    }
}

impl Aggregate for Consultation {
    type Event = ConsultationEvent;

    const SCHEMA: i32 = 3;

    fn evolve(&mut self, event: &ConsultationEvent, at: At) {
        self.version = at.version;
        self.updated_at = Some(at.time);
        match event {
            ConsultationEvent::Requested(event) => self.ask(event, at),
            ConsultationEvent::TermsSet(event) => self.set_terms(event, at),
            ConsultationEvent::Commented(_) => self.comment_count += 1,
            ConsultationEvent::Claimed(event) => self.work.claimed_by = Some(event.by.clone()),
            ConsultationEvent::Released(_) => self.work.claimed_by = None,
            ConsultationEvent::Assigned(event) => self.work.claimed_by = Some(event.to.clone()),
            ConsultationEvent::Delegated(event) => {
                self.votes.remove(&event.by.id);
                self.work.delegated.insert(event.by.id, event.to.id);
                self.work.claimed_by.take_if(|claimed| claimed.id == event.by.id);
            }
            ConsultationEvent::InformationRequested(event) => {
                self.work.questions.insert(event.question_id, event.by.id);
                if event.stops_clock {
                    self.clock.stopped_at.get_or_insert(at.time);
                }
            }
            ConsultationEvent::InformationProvided(event) => self.provide(event),
            ConsultationEvent::Reminded(event) => self.clock.reminders.retain(|due| *due > event.due),
            ConsultationEvent::Escalated(event) => self.escalate(event),
            ConsultationEvent::VoteCast(event) => {
                self.votes.insert(event.by.id, event.clone());
            }
            ConsultationEvent::Responded(event) => {
                self.end(Outcome::Responded { event: Box::new(event.clone()), at: at.time });
            }
            ConsultationEvent::Withdrawn(event) => self.end(Outcome::Withdrawn {
                by: event.by.clone(),
                reason: event.reason,
                comment: event.comment.clone(),
                at: at.time,
            }),
            ConsultationEvent::TimedOut(event) => self.end(Outcome::TimedOut {
                deadline: event.deadline,
                default: event.default.clone().map(Box::new),
                at: at.time,
            }),
            ConsultationEvent::LateResponseRecorded(event) => {
                self.late_responses.count = event.ordinal;
                self.late_responses.last.insert(event.by.id, event.clone());
            }
            ConsultationEvent::ReceiptRedeemed(event) => {
                self.receipt_end.get_or_insert(ReceiptEnd::Redeemed { by: event.by.clone(), at: at.time });
            }
            ConsultationEvent::ReceiptRevoked(event) => {
                self.receipt_end.get_or_insert(ReceiptEnd::Revoked { by: event.by.clone(), at: at.time });
            }
        }
    }

    fn deadline(&self) -> Option<DateTime<Utc>> {
        clock::next(self)
    }

    /// What a reviewer is asked, and what others answered, is sealed where it is about a person.
    fn decides_in_clear(&self) -> bool {
        self.subject().is_some()
    }
}

impl HasPersonal for Consultation {
    fn visit_personal(&mut self, visit: &mut dyn FnMut(&mut dyn PersonalField)) {
        if let Some(Asked { request, .. }) = &mut self.asked {
            visit(&mut request.requested_by.name);
            request.private.iter_mut().for_each(|private| visit(private));
        }
        if let Some(subject) = self.terms.as_mut().and_then(|terms| terms.subject.as_mut()) {
            visit(&mut subject.name);
        }
        self.work.claimed_by.iter_mut().for_each(|person| visit(&mut person.name));
        for vote in self.votes.values_mut() {
            visit(&mut vote.by.name);
            vote.private.iter_mut().for_each(|private| visit(private));
        }
        for late in self.late_responses.last.values_mut() {
            visit(&mut late.by.name);
            late.private.iter_mut().for_each(|private| visit(private));
        }
        match &mut self.outcome {
            Some(Outcome::Responded { event, .. }) => {
                visit(&mut event.by.name);
                event.private.iter_mut().for_each(|private| visit(private));
            }
            Some(Outcome::Withdrawn { by, .. }) => visit(&mut by.name),
            Some(Outcome::TimedOut { .. }) | None => {}
        }
        self.receipt_end.iter_mut().for_each(|end| end.visit_personal(visit));
    }
}
