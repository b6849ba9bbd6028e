//! How consultations are decided, in GraphQL: terms, answers, votes, outcomes.
//!
//! Owns names and nullability. They follow the view that REST shows, in camelCase.

use async_graphql::{Enum, Json, SimpleObject};
use docket_domain::consultation::{
    rule,
    view::{AnswerView, EscalationView, OutcomeView, TermsView, VoteView},
};
use docket_events::{
    consultation::{AnswerKind, Decision, Priority, Rule},
    identity::Role,
};
use serde_json::Value;
use uuid::Uuid;

use super::graphql::Person;
use crate::{graphql::Instant, identity};

/// What a reviewer decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "Decision", name = "Decision")]
pub enum DecisionWord {
    /// The request is granted.
    Approve,
    /// The request is refused.
    Reject,
}

/// By which rule the votes became the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "Rule", name = "Rule")]
pub enum RuleWord {
    /// The first vote decides.
    AnyOne,
    /// All agree; one rejection rejects.
    All,
    /// So many agree.
    MOfN,
    /// More than half agree.
    Majority,
    /// So many agree, and nobody with a veto rejects.
    Veto,
    /// Two groups agree.
    TwoGroups,
    /// Those who agree weigh enough.
    Weights,
}

/// How soon a decision is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "Priority", name = "Priority")]
pub enum PriorityWord {
    /// When there is nothing else.
    Low,
    /// As usual.
    Normal,
    /// Before the others.
    High,
    /// At once.
    Urgent,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "AnswerKind")]
pub enum KindWord {
    /// Yes or no.
    Approval,
    /// Some of several options.
    Choice,
    /// Data.
    Form,
    /// A proposal that is approved, approved with changes, or rejected.
    Edit,
}

/// An answer.
#[derive(Debug, Clone, SimpleObject)]
pub struct Answer {
    /// Yes or no; null where that is not asked, or when it was erased.
    decision: Option<DecisionWord>,
    /// The options that were chosen, of a choice.
    choices: Option<Vec<String>>,
    /// The data that was given, of a form.
    form: Option<Json<Value>>,
    /// What was changed of a proposal: a JSON Patch (RFC 6902).
    patch: Option<Json<Value>>,
    /// The same in words.
    changes: Option<String>,
    /// The proposal as it was approved, with its changes.
    payload: Option<Json<Value>>,
    /// What was said of it.
    comment: Option<String>,
}

impl From<AnswerView> for Answer {
    fn from(answer: AnswerView) -> Self {
        let (patch, changes) = answer.changes.map(|changes| (changes.patch, changes.words)).unzip();
        Self {
            decision: answer.decision.map(Into::into),
            choices: answer.choices,
            form: answer.form.map(Json),
            patch: patch.map(Json),
            changes,
            payload: answer.payload.map(Json),
            comment: answer.comment,
        }
    }
}

/// How votes decided.
#[derive(Debug, Clone, SimpleObject)]
pub struct Outcome {
    /// The decision; null where yes or no was not asked, or when it was erased.
    decision: Option<DecisionWord>,
    /// All that was answered.
    answer: Answer,
    /// The rule that was applied.
    rule: RuleWord,
    /// On which version of the request.
    request_version: u64,
    /// Whose vote completed the rule.
    by: Person,
    /// Whose votes agree with the outcome, where it took several.
    agreed: Vec<Uuid>,
    /// What the reviewer said.
    comment: Option<String>,
    /// When.
    at: Instant,
}

impl From<OutcomeView> for Outcome {
    fn from(outcome: OutcomeView) -> Self {
        let answer: Answer = outcome.answer.into();
        Self {
            decision: answer.decision,
            comment: answer.comment.clone(),
            answer,
            rule: outcome.rule.into(),
            request_version: outcome.request_version,
            by: outcome.by.into(),
            agreed: outcome.agreed,
            at: Instant(outcome.at),
        }
    }
}

/// The last vote of somebody.
#[derive(Debug, Clone, SimpleObject)]
pub struct Vote {
    /// Who voted.
    by: Person,
    /// How.
    answer: Answer,
    /// When.
    at: Instant,
    /// The version that the vote led to.
    version: u64,
}

impl From<VoteView> for Vote {
    fn from(vote: VoteView) -> Self {
        Self { by: vote.by.into(), answer: vote.answer.into(), at: Instant(vote.at), version: vote.version }
    }
}

/// How a consultation is decided.
#[derive(Debug, Clone, SimpleObject)]
pub struct Terms {
    /// What is asked for.
    kind: KindWord,
    /// The options of a choice.
    options: Option<Vec<String>>,
    /// How many options must be chosen at least.
    min: Option<u32>,
    /// How many options may be chosen at most.
    max: Option<u32>,
    /// The JSON Schema of a form, or of a proposal.
    schema: Option<Json<Value>>,
    /// The proposal of an edit; null also when it was erased.
    proposed: Option<Json<Value>>,
    /// What of the proposal may be changed: JSON Pointers.
    paths: Option<Vec<String>>,
    /// When votes are an outcome.
    rule: RuleWord,
    /// The same with its numbers, as REST shows it.
    rule_details: Json<Value>,
    /// Whether neither who asked nor who made the key that asked may answer.
    four_eyes: bool,
    /// The groups whose members may answer.
    groups: Vec<Uuid>,
    /// The roles that may answer.
    roles: Vec<identity::Role>,
    /// Whose votes are counted, by a rule that counts.
    seats: Vec<Uuid>,
    /// What counts when the deadline passes; null: nothing.
    on_timeout: Option<Answer>,
    /// When reviewers are reminded.
    reminders: Vec<Instant>,
    /// What happens when there is no decision after a while.
    escalations: Vec<Escalation>,
    /// Whether the clock stands still while the asker is asked for information.
    questions_stop_clock: bool,
    /// The time zone of the calendar whose business time counts; null: all time does.
    business_time_zone: Option<String>,
}

/// What happens when there is no decision after a while.
#[derive(Debug, Clone, SimpleObject)]
pub struct Escalation {
    /// When.
    due: Instant,
    /// Only when nobody has claimed it by then.
    unclaimed: bool,
    /// Who may answer besides.
    reviewers: Vec<Uuid>,
    /// The priority from then on.
    priority: Option<PriorityWord>,
    /// Who is told.
    notify: Vec<Uuid>,
}

impl From<EscalationView> for Escalation {
    fn from(step: EscalationView) -> Self {
        Self {
            due: Instant(step.due),
            unclaimed: step.unclaimed,
            reviewers: step.reviewers,
            priority: step.priority.map(Into::into),
            notify: step.notify,
        }
    }
}

const fn role(role: Role) -> identity::Role {
    match role {
        Role::Admin => identity::Role::Admin,
        Role::Reviewer => identity::Role::Reviewer,
        Role::Requester => identity::Role::Requester,
        Role::Analyst => identity::Role::Analyst,
    }
}

impl From<TermsView> for Terms {
    fn from(terms: TermsView) -> Self {
        let blank = Self {
            kind: KindWord::Approval,
            options: None,
            min: None,
            max: None,
            schema: None,
            proposed: None,
            paths: None,
            rule: rule::name(&terms.rule).into(),
            rule_details: Json(serde_json::to_value(&terms.rule).unwrap_or_default()),
            four_eyes: terms.four_eyes,
            groups: terms.groups,
            roles: terms.roles.into_iter().map(role).collect(),
            seats: terms.seats,
            on_timeout: terms.on_timeout.map(Into::into),
            reminders: terms.reminders.into_iter().map(Instant).collect(),
            escalations: terms.escalations.into_iter().map(Into::into).collect(),
            questions_stop_clock: terms.questions_stop_clock,
            business_time_zone: terms.business_time_zone,
        };
        match terms.answer {
            AnswerKind::Approval => blank,
            AnswerKind::Choice { options, min, max } => {
                Self { kind: KindWord::Choice, options: Some(options), min: Some(min), max: Some(max), ..blank }
            }
            AnswerKind::Form { schema } => Self { kind: KindWord::Form, schema: Some(Json(schema)), ..blank },
            AnswerKind::Edit { proposed, paths, schema } => Self {
                kind: KindWord::Edit,
                proposed: proposed.map(Json),
                paths: Some(paths),
                schema: schema.map(Json),
                ..blank
            },
        }
    }
}
