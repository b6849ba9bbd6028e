//! Votes, and the outcomes that they and the clock lead to.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::Person;
use crate::Personal;

/// What a reviewer decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The request is granted.
    Approve,
    /// The request is refused.
    Reject,
}

/// What a reviewer answered where yes or no is not all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// The options that were chosen, in the order of the request.
    Choices(Vec<String>),
    /// The data that was given.
    Form(Value),
    /// The proposal was changed.
    Changes {
        /// The difference: a JSON Patch (RFC 6902).
        patch: Value,
        /// The same in words.
        words: String,
    },
}

/// An answer: a decision, a content, or both. A comment is no part of what is agreed upon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// Yes or no, where that is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// What else was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

impl Answer {
    /// Yes or no.
    #[must_use]
    pub fn of(decision: Decision) -> Self {
        Self { decision: Some(decision), ..Self::default() }
    }

    /// Whether both answer the same, whatever they say of it.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        self.decision == other.decision && self.content == other.content
    }

    /// Whether this refuses what was asked for.
    #[must_use]
    pub fn rejects(&self) -> bool {
        self.decision == Some(Decision::Reject)
    }
}

/// An event's answer: in clear, or as the property of the person whom the consultation is about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parts {
    /// See [`Answer::decision`].
    pub decision: Option<Decision>,
    /// See [`Answer::content`].
    pub content: Option<Content>,
    /// See [`Answer::comment`].
    pub comment: Option<String>,
    /// All of it, where it is private.
    pub private: Option<Personal<Answer>>,
}

impl Parts {
    /// The parts of `answer`, which belongs to `subject` if there is one.
    #[must_use]
    pub fn of(answer: Answer, subject: Option<Uuid>) -> Self {
        match subject {
            Some(subject) => Self { private: Some(Personal::known(subject, answer)), ..Self::default() },
            None => Self { decision: answer.decision, content: answer.content, comment: answer.comment, private: None },
        }
    }
}

/// Who voted how: the fields that events of answers have in common.
macro_rules! answered {
    ($name:ident) => {
        impl $name {
            /// The answer; none: it is sealed, or was erased.
            #[must_use]
            pub fn answer(&self) -> Option<Answer> {
                match &self.private {
                    Some(private) => private.value().cloned(),
                    None => Some(Answer {
                        decision: self.decision,
                        content: self.content.clone(),
                        comment: self.comment.clone(),
                    }),
                }
            }
        }
    };
}

/// `docket.consultation.vote_cast.v1`: a reviewer voted; a later vote of the same reviewer takes the place of an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VoteCast {
    /// Who voted.
    pub by: Person,
    /// The vote, where yes or no is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// What else was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// All of the answer, where the consultation is about a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<Personal<Answer>>,
}

impl VoteCast {
    /// A vote in a consultation about `subject`, if it is about a person.
    #[must_use]
    pub fn new(by: Person, answer: Answer, subject: Option<Uuid>) -> Self {
        let Parts { decision, content, comment, private } = Parts::of(answer, subject);
        Self { by, decision, comment, content, private }
    }
}

/// By which rule the votes became the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The first vote decided.
    AnyOne,
    /// All had to agree.
    All,
    /// So many of so many had to agree.
    MOfN,
    /// More than half had to agree.
    Majority,
    /// So many had to agree, and nobody with a veto to reject.
    Veto,
    /// Two groups had to agree.
    TwoGroups,
    /// Those who agreed had to weigh enough.
    Weights,
}

/// `docket.consultation.responded.v1`: the outcome, reached by votes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Responded {
    /// The outcome, where yes or no is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// Whose vote completed the rule.
    pub by: Person,
    /// The rule that was applied.
    pub rule: Rule,
    /// The version of the stream at which the request stood as it was decided upon.
    pub request_version: u64,
    /// What the reviewer said with the deciding vote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// What else was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// All of the answer, where the consultation is about a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<Personal<Answer>>,
    /// Whose votes agree with the outcome, where they are more than the one that completed the rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agreed: Vec<Uuid>,
}

/// `docket.consultation.timed_out.v1`: the outcome, when the deadline passed first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimedOut {
    /// The deadline that passed.
    pub deadline: DateTime<Utc>,
    /// What counts now, as the request had it; absent: nothing was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Answer>,
}

/// `docket.consultation.late_response_recorded.v1`: an answer that came after the deadline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LateResponseRecorded {
    /// Who answered.
    pub by: Person,
    /// What the answer would have been, where yes or no is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// How many late answers this consultation has with this one, from 1.
    pub ordinal: u32,
    /// What else was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// All of the answer, where the consultation is about a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<Personal<Answer>>,
}

impl LateResponseRecorded {
    /// A late answer to a consultation about `subject`, if it is about a person.
    #[must_use]
    pub fn new(by: Person, answer: Answer, subject: Option<Uuid>, ordinal: u32) -> Self {
        let Parts { decision, content, comment, private } = Parts::of(answer, subject);
        Self { by, decision, comment, ordinal, content, private }
    }
}

answered!(VoteCast);
answered!(Responded);
answered!(LateResponseRecorded);
