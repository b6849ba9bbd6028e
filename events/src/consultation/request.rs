//! The request: what is to be decided, by whom, by which rule, and by when.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{Answer, Person};
use crate::{Personal, calendar::BusinessCalendar, engagement::Item, identity::Role};

/// How soon a decision is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// When there is nothing else.
    Low,
    /// As usual.
    #[default]
    Normal,
    /// Before the others.
    High,
    /// At once.
    Urgent,
}

impl Priority {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [Self::Low, Self::Normal, Self::High, Self::Urgent];

    /// The place in that order, from 0: the number by which it is kept and compared.
    #[must_use]
    pub const fn rank(self) -> i16 {
        self as i16
    }

    /// Whether this is the usual one, of which events say nothing.
    #[must_use]
    pub fn is_normal(&self) -> bool {
        *self == Self::Normal
    }
}

/// What of a request belongs to the person whom it is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateRequest {
    /// See [`Requested::body`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// See [`Requested::context`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Value>,
    /// See [`AnswerKind::Edit`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed: Option<Value>,
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
    pub context: Option<Value>,
    /// The asker's own name for this request; unique in the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Who asks.
    pub requested_by: Person,
    /// Who may answer; empty, and no `terms_set` names others: every reviewer of the organisation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviewers: Vec<Uuid>,
    /// From this instant on the consultation has timed out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<DateTime<Utc>>,
    /// How soon it is wanted.
    #[serde(default, skip_serializing_if = "Priority::is_normal")]
    pub priority: Priority,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Body, context and proposal in place of those in clear, where it is about a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<Personal<PrivateRequest>>,
    /// Who made the API key that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_made_by: Option<Uuid>,
    /// Where the asker wants to be told of the outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
    /// The consultation in whose place this one stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<Uuid>,
    /// The template that it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateUsed>,
    /// How many minutes the receipt of the outcome holds; absent: 1440, a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt_minutes: Option<u32>,
    /// What it rests on: articles and entities of the organisation.
    #[serde(default, skip_serializing_if = "<[Item]>::is_empty")]
    pub cites: Box<[Item]>,
}

/// A template that a request was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TemplateUsed {
    /// What it is called.
    pub name: String,
    /// In which version it was used.
    pub version: u64,
}

impl Requested {
    /// A request that says no more than it must.
    #[must_use]
    pub fn new(title: impl Into<String>, requested_by: Person) -> Self {
        Self {
            title: title.into(),
            body: None,
            context: None,
            external_id: None,
            requested_by,
            reviewers: Vec::new(),
            deadline: None,
            priority: Priority::Normal,
            labels: Vec::new(),
            private: None,
            key_made_by: None,
            callback_url: None,
            supersedes: None,
            template: None,
            receipt_minutes: None,
            cites: Box::default(),
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AnswerKind {
    /// Yes or no.
    #[default]
    Approval,
    /// Some of several options.
    Choice {
        /// What there is to choose from.
        options: Vec<String>,
        /// How many must be chosen at least.
        min: u32,
        /// How many may be chosen at most.
        max: u32,
    },
    /// Data.
    Form {
        /// The JSON Schema (2020-12) that it must satisfy.
        schema: Value,
    },
    /// A proposal that is approved, approved with changes, or rejected.
    Edit {
        /// The proposal; none: it is private.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        proposed: Option<Value>,
        /// What may be changed: JSON Pointers (RFC 6901), each with all below it.
        paths: Vec<String>,
        /// The JSON Schema (2020-12) that the changed proposal must satisfy.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        schema: Option<Value>,
    },
}

/// When votes become the outcome. Of all but the first kind the reviewers are counted when it is asked: the seats.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum DecisionRule {
    /// The first vote decides.
    #[default]
    AnyOne,
    /// All seats agree.
    All,
    /// So many of the seats agree.
    MOfN {
        /// How many.
        m: u32,
    },
    /// More than half of the seats agree.
    Majority,
    /// So many of the seats agree, and one rejection by a seat that has a veto rejects.
    Veto {
        /// How many must agree.
        m: u32,
        /// Who has a veto; empty: every seat.
        holders: Vec<Uuid>,
    },
    /// Two groups agree, by different people.
    TwoGroups {
        /// The seats of the first group.
        first: Vec<Uuid>,
        /// The seats of the second group.
        second: Vec<Uuid>,
        /// How many of each must agree.
        m: u32,
    },
    /// Seats that weigh so much together agree.
    Weights {
        /// What each seat weighs.
        weights: BTreeMap<Uuid, u32>,
        /// How much decides.
        threshold: u32,
    },
}

/// Something that happens when there is no decision after a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Escalation {
    /// When.
    pub due: DateTime<Utc>,
    /// Only when nobody has claimed it by then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unclaimed: bool,
    /// Who may answer besides, or takes a seat besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviewers: Vec<Uuid>,
    /// The priority from then on, unless it is higher already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Who is told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Uuid>,
}

/// `docket.consultation.terms_set.v1`: how it is to be decided, where that is not by the first yes or no. Comes with the request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TermsSet {
    /// What is asked for.
    pub answer: AnswerKind,
    /// When votes become the outcome.
    pub rule: DecisionRule,
    /// Whether who asked, and who made the key that asked, may answer too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asker_may_answer: bool,
    /// The groups whose members may answer, besides the reviewers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Uuid>,
    /// The roles that may answer, besides the reviewers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
    /// The seats, where they are counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seats: Vec<Uuid>,
    /// Whom it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Person>,
    /// What counts when the deadline passes; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_timeout: Option<Answer>,
    /// When reviewers are reminded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reminders: Vec<DateTime<Utc>>,
    /// What happens when there is no decision after a while.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escalations: Vec<Escalation>,
    /// Whether the clock stands still while the asker is asked for information.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub questions_stop_clock: bool,
    /// The calendar whose time counts; absent: all time does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<BusinessCalendar>,
}
