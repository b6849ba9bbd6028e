//! What is known of a consultation, and how each event changes it.
//!
//! Holds what a decision needs and what the resource shows after a command, and is bounded: comments are counted, not kept.

use std::{collections::BTreeMap, fmt};

use chrono::{DateTime, Utc};
use docket_events::{
    HasPersonal,
    consultation::{ConsultationEvent, Decision, Person, Requested, Rule, WithdrawalReason},
    personal::PersonalField,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

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
    /// How it ended; none: it has not.
    pub outcome: Option<Outcome>,
    /// How many comments were made.
    pub comment_count: u32,
    /// What came after the deadline.
    pub late_responses: LateResponses,
    /// The version of the stream: how many events it has.
    pub version: u64,
    /// The time of the last event.
    pub updated_at: Option<DateTime<Utc>>,
}

/// The request, as it was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// One line that says what is to be decided.
    pub title: String,
    /// The request in full, Markdown.
    pub body: Option<String>,
    /// What the asker's software handed along.
    pub context: Option<Value>,
    /// The asker's own name for this request.
    pub external_id: Option<String>,
    /// Who asked.
    pub requested_by: Person,
    /// When it was asked.
    pub requested_at: DateTime<Utc>,
    /// Who may answer; empty: every reviewer of the organisation.
    pub reviewers: Vec<Uuid>,
    /// From this instant on it has timed out.
    pub deadline: Option<DateTime<Utc>>,
    /// The version of the stream at which it was asked.
    pub request_version: u64,
}

/// How a consultation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Decided by votes.
    Responded {
        /// The decision.
        decision: Decision,
        /// Whose vote completed the rule.
        by: Person,
        /// The rule that was applied.
        rule: Rule,
        /// On which version of the request.
        request_version: u64,
        /// What the reviewer said.
        comment: Option<String>,
        /// When.
        at: DateTime<Utc>,
    },
    /// The deadline passed first.
    TimedOut {
        /// The deadline that passed.
        deadline: DateTime<Utc>,
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
    pub last: BTreeMap<Uuid, Decision>,
}

impl Consultation {
    /// Where it stands; none while it does not exist.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        self.asked.as_ref()?;
        Some(self.outcome.as_ref().map_or(State::Pending, Outcome::state))
    }

    /// The deadline, when it is pending still and the deadline has come at `now`.
    #[must_use]
    pub fn overdue(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.deadline().filter(|deadline| now >= *deadline)
    }

    /// An outcome is final: the first stands, whatever follows.
    fn end(&mut self, outcome: Outcome) {
        self.outcome.get_or_insert(outcome);
    }
}

impl Asked {
    fn new(event: &Requested, at: At) -> Self {
        Self {
            title: event.title.clone(),
            body: event.body.clone(),
            context: event.context.clone(),
            external_id: event.external_id.clone(),
            requested_by: event.requested_by.clone(),
            requested_at: at.time,
            reviewers: event.reviewers.clone(),
            deadline: event.deadline,
            request_version: at.version,
        }
    }
}

impl Aggregate for Consultation {
    type Event = ConsultationEvent;

    const SCHEMA: i32 = 1;

    fn evolve(&mut self, event: &ConsultationEvent, at: At) {
        self.version = at.version;
        self.updated_at = Some(at.time);
        match event {
            ConsultationEvent::Requested(event) => self.asked = Some(Asked::new(event, at)),
            ConsultationEvent::Commented(_) => self.comment_count += 1,
            // A vote counts only through the outcome that it leads to, as long as the first vote decides.
            ConsultationEvent::VoteCast(_) => {}
            ConsultationEvent::Responded(event) => self.end(Outcome::Responded {
                decision: event.decision,
                by: event.by.clone(),
                rule: event.rule,
                request_version: event.request_version,
                comment: event.comment.clone(),
                at: at.time,
            }),
            ConsultationEvent::Withdrawn(event) => self.end(Outcome::Withdrawn {
                by: event.by.clone(),
                reason: event.reason,
                comment: event.comment.clone(),
                at: at.time,
            }),
            ConsultationEvent::TimedOut(event) => {
                self.end(Outcome::TimedOut { deadline: event.deadline, at: at.time });
            }
            ConsultationEvent::LateResponseRecorded(event) => {
                self.late_responses.count = event.ordinal;
                self.late_responses.last.insert(event.by.id, event.decision);
            }
        }
    }

    fn deadline(&self) -> Option<DateTime<Utc>> {
        if self.outcome.is_some() {
            return None;
        }
        self.asked.as_ref()?.deadline
    }
}

impl HasPersonal for Consultation {
    fn visit_personal(&mut self, visit: &mut dyn FnMut(&mut dyn PersonalField)) {
        if let Some(asked) = &mut self.asked {
            visit(&mut asked.requested_by.name);
        }
        match &mut self.outcome {
            Some(Outcome::Responded { by, .. } | Outcome::Withdrawn { by, .. }) => visit(&mut by.name),
            Some(Outcome::TimedOut { .. }) | None => {}
        }
    }
}
