//! What happens to a consultation.
//!
//! A consultation is asked (`requested`), talked about (`commented`), voted on (`vote_cast`), and ends in exactly one outcome:
//! `responded`, `timed_out` or `withdrawn`. An answer that comes after the deadline is kept as `late_response_recorded` and
//! changes no outcome.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{HasPersonal, Personal, personal::PersonalField};

/// Who did it: the principal, and the name it bore then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Person {
    /// The principal's id.
    pub id: Uuid,
    /// The name at the time of the act.
    pub name: Personal<String>,
}

impl Person {
    /// A person by name; the name belongs to the person itself.
    #[must_use]
    pub fn named(id: Uuid, name: impl Into<String>) -> Self {
        Self { id, name: Personal::known(id, name.into()) }
    }
}

/// What a reviewer decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The request is granted.
    Approve,
    /// The request is refused.
    Reject,
}

/// Why a consultation was taken back before an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawalReason {
    /// The asker took it back.
    Withdrawn,
    /// An administrator cancelled it.
    Cancelled,
    /// A newer consultation stands in its place.
    Superseded,
}

/// By which rule the votes became the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The first vote decides.
    AnyOne,
}

/// `docket.consultation.requested.v1`: a decision was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Requested {
    /// One line that says what is to be decided.
    pub title: String,
    /// The request in full, Markdown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// What the asker's software wants to hand along, as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<serde_json::Value>,
    /// The asker's own name for this request; unique in the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Who asks.
    pub requested_by: Person,
    /// Who may answer; empty: every reviewer of the organisation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviewers: Vec<Uuid>,
    /// From this instant on the consultation has timed out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<DateTime<Utc>>,
}

/// `docket.consultation.commented.v1`: somebody said something; allowed after the outcome too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Commented {
    /// The comment's id.
    pub comment_id: Uuid,
    /// Who said it.
    pub by: Person,
    /// What was said.
    pub text: String,
}

/// `docket.consultation.vote_cast.v1`: a reviewer voted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VoteCast {
    /// Who voted.
    pub by: Person,
    /// The vote.
    pub decision: Decision,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// `docket.consultation.responded.v1`: the outcome, reached by votes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Responded {
    /// The outcome.
    pub decision: Decision,
    /// Whose vote completed the rule.
    pub by: Person,
    /// The rule that was applied.
    pub rule: Rule,
    /// The version of the stream at which the request stood as it was decided upon.
    pub request_version: u64,
    /// What the reviewer said with the deciding vote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// `docket.consultation.withdrawn.v1`: the outcome, when it was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Withdrawn {
    /// Who took it back.
    pub by: Person,
    /// Why it was taken back.
    pub reason: WithdrawalReason,
    /// In the words of who took it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// `docket.consultation.timed_out.v1`: the outcome, when the deadline passed first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimedOut {
    /// The deadline that passed.
    pub deadline: DateTime<Utc>,
}

/// `docket.consultation.late_response_recorded.v1`: an answer that came after the deadline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LateResponseRecorded {
    /// Who answered.
    pub by: Person,
    /// What the answer would have been.
    pub decision: Decision,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// How many late answers this consultation has with this one, from 1.
    pub ordinal: u32,
}

/// Any event of a consultation.
#[derive(Debug, Clone, PartialEq)]
pub enum ConsultationEvent {
    /// See [`Requested`].
    Requested(Requested),
    /// See [`Commented`].
    Commented(Commented),
    /// See [`VoteCast`].
    VoteCast(VoteCast),
    /// See [`Responded`].
    Responded(Responded),
    /// See [`Withdrawn`].
    Withdrawn(Withdrawn),
    /// See [`TimedOut`].
    TimedOut(TimedOut),
    /// See [`LateResponseRecorded`].
    LateResponseRecorded(LateResponseRecorded),
}

impl HasPersonal for ConsultationEvent {
    fn visit_personal(&mut self, visit: &mut dyn FnMut(&mut dyn PersonalField)) {
        match self {
            Self::Requested(event) => visit(&mut event.requested_by.name),
            Self::Commented(event) => visit(&mut event.by.name),
            Self::VoteCast(event) => visit(&mut event.by.name),
            Self::Responded(event) => visit(&mut event.by.name),
            Self::Withdrawn(event) => visit(&mut event.by.name),
            Self::LateResponseRecorded(event) => visit(&mut event.by.name),
            Self::TimedOut(_) => {}
        }
    }
}
