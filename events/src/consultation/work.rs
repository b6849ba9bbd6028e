//! What reviewers do on the way to a decision, and what the clock does.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Person, Priority};
use crate::Personal;

/// What was said: in clear, or as the property of the person whom the consultation is about.
pub(super) fn said(text: String, subject: Option<Uuid>) -> (String, Option<Personal<String>>) {
    match subject {
        Some(subject) => (String::new(), Some(Personal::known(subject, text))),
        None => (text, None),
    }
}

/// `docket.consultation.commented.v1`: somebody said something; allowed after the outcome too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Commented {
    /// The comment's id.
    pub comment_id: Uuid,
    /// Who said it.
    pub by: Person,
    /// What was said; empty where it is private.
    pub text: String,
    /// The same, where the consultation is about a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<Personal<String>>,
}

impl Commented {
    /// A comment in a consultation about `subject`, if it is about a person.
    #[must_use]
    pub fn new(comment_id: Uuid, by: Person, text: String, subject: Option<Uuid>) -> Self {
        let (text, private) = said(text, subject);
        Self { comment_id, by, text, private }
    }
}

/// `docket.consultation.claimed.v1`: a reviewer takes it upon themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Claimed {
    /// Who claims it.
    pub by: Person,
}

/// `docket.consultation.released.v1`: nobody has it in hand any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Released {
    /// Who released it.
    pub by: Person,
}

/// `docket.consultation.assigned.v1`: it is given into the hands of a reviewer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Assigned {
    /// Who gives it.
    pub by: Person,
    /// Who has it in hand now.
    pub to: Person,
}

/// `docket.consultation.delegated.v1`: a reviewer has somebody else answer in their place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Delegated {
    /// Who delegates.
    pub by: Person,
    /// Who answers from now on.
    pub to: Person,
}

/// `docket.consultation.information_requested.v1`: a reviewer asks the asker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InformationRequested {
    /// The question's id.
    pub question_id: Uuid,
    /// Who asks.
    pub by: Person,
    /// What is asked; empty where it is private.
    pub text: String,
    /// The same, where the consultation is about a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<Personal<String>>,
    /// Whether the clock stands still from now on, until all questions are answered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stops_clock: bool,
}

impl InformationRequested {
    /// A question in a consultation about `subject`, if it is about a person.
    #[must_use]
    pub fn new(question_id: Uuid, by: Person, text: String, subject: Option<Uuid>, stops_clock: bool) -> Self {
        let (text, private) = said(text, subject);
        Self { question_id, by, text, private, stops_clock }
    }
}

/// `docket.consultation.information_provided.v1`: the asker answers a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InformationProvided {
    /// Which question.
    pub question_id: Uuid,
    /// Who answers.
    pub by: Person,
    /// What is answered; empty where it is private.
    pub text: String,
    /// The same, where the consultation is about a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<Personal<String>>,
    /// What the clock, which stood still until now, has ahead; absent: it stands still further, or never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
}

impl InformationProvided {
    /// An answer in a consultation about `subject`, if it is about a person.
    #[must_use]
    pub fn new(question_id: Uuid, by: Person, text: String, subject: Option<Uuid>, clock: Option<Clock>) -> Self {
        let (text, private) = said(text, subject);
        Self { question_id, by, text, private, clock }
    }
}

/// The instants that lie ahead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Clock {
    /// The deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<DateTime<Utc>>,
    /// The reminders that are still to come, in the order of the terms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reminders: Vec<DateTime<Utc>>,
    /// The escalations that are still to come, in the order of the terms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escalations: Vec<DateTime<Utc>>,
}

/// `docket.consultation.reminded.v1`: the deadline is near.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reminded {
    /// When that was due.
    pub due: DateTime<Utc>,
}

/// `docket.consultation.escalated.v1`: there was no decision after a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Escalated {
    /// Which of the escalations, in the order of the terms, from 0.
    pub step: u32,
    /// When that was due.
    pub due: DateTime<Utc>,
    /// Who may answer besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviewers: Vec<Uuid>,
    /// The priority from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Who is told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Uuid>,
}
