//! What may be asked of a consultation. A command carries everything that had to be looked up or invented: people, ids, roles.

use chrono::{DateTime, Utc};
use docket_events::consultation::{Decision, Person, WithdrawalReason};
use serde_json::Value;
use uuid::Uuid;

/// Ask for a decision. Asking again on the same stream changes nothing: the first request stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// One line that says what is to be decided.
    pub title: String,
    /// The request in full, Markdown.
    pub body: Option<String>,
    /// What the asker's software wants to hand along.
    pub context: Option<Value>,
    /// The asker's own name for this request.
    pub external_id: Option<String>,
    /// Who asks.
    pub requested_by: Person,
    /// Who may answer; empty: every reviewer of the organisation.
    pub reviewers: Vec<Uuid>,
    /// When it times out; none: never.
    pub deadline: Option<Due>,
}

/// When a consultation times out, as the asker says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// At this instant.
    At(DateTime<Utc>),
    /// So long after the request is accepted.
    After {
        /// From 1 to 5,256,000: ten years.
        minutes: u32,
    },
}

/// Say something; allowed in any state, after the outcome too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// The comment's id.
    pub comment_id: Uuid,
    /// Who says it.
    pub by: Person,
    /// What is said.
    pub text: String,
}

/// Answer as a reviewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Respond {
    /// Who answers.
    pub by: Person,
    /// The answer.
    pub decision: Decision,
    /// Why.
    pub comment: Option<String>,
}

/// Take the request back before an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdraw {
    /// Who takes it back.
    pub by: Person,
    /// The requester withdraws or supersedes; an administrator cancels.
    pub reason: WithdrawalReason,
    /// In the words of who takes it back.
    pub comment: Option<String>,
    /// Whether `by` acts with the rights of an administrator.
    pub as_admin: bool,
}

/// Look at the clock: times out what is due, and changes nothing before that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expire;

/// Any command to a consultation.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// See [`Request`].
    Request(Request),
    /// See [`Comment`].
    Comment(Comment),
    /// See [`Respond`].
    Respond(Respond),
    /// See [`Withdraw`].
    Withdraw(Withdraw),
    /// See [`Expire`].
    Expire(Expire),
}

macro_rules! into_command {
    ($($name:ident),+) => {$(
        impl From<$name> for Command {
            fn from(command: $name) -> Self {
                Self::$name(command)
            }
        }
    )+};
}

into_command!(Request, Comment, Respond, Withdraw, Expire);
