//! What may be asked of a consultation. A command carries everything that had to be looked up or invented: people, ids, roles.

use chrono::{DateTime, NaiveDateTime, Utc};
use docket_events::{
    calendar::BusinessCalendar,
    consultation::{AnswerKind, DecisionRule, Person, Priority, TemplateUsed, WithdrawalReason},
    engagement::Item,
    identity::Role,
};
use serde_json::Value;
use uuid::Uuid;

use super::{Given, Receipt};

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
    /// Who made the API key that asks.
    pub key_made_by: Option<Uuid>,
    /// Who may answer; empty: every reviewer of the organisation, unless the terms name groups, roles or seats.
    pub reviewers: Vec<Uuid>,
    /// When it times out; none: never.
    pub deadline: Option<Due>,
    /// How soon it is wanted.
    pub priority: Priority,
    /// Words to find it by.
    pub labels: Vec<String>,
    /// Where the asker wants to be told of the outcome; checked as a URL before.
    pub callback_url: Option<String>,
    /// The consultation in whose place this one stands.
    pub supersedes: Option<Uuid>,
    /// The template that it was made from.
    pub template: Option<TemplateUsed>,
    /// How many minutes the receipt of the outcome holds; none: as long as usual.
    pub receipt_minutes: Option<u32>,
    /// What it rests on; articles and entities that the organisation has.
    pub cites: Vec<Item>,
    /// How it is to be decided.
    pub terms: Terms,
}

impl Request {
    /// A request that the first yes or no decides, and that never times out.
    #[must_use]
    pub fn new(title: impl Into<String>, requested_by: Person) -> Self {
        Self {
            title: title.into(),
            requested_by,
            body: None,
            context: None,
            external_id: None,
            key_made_by: None,
            reviewers: Vec::new(),
            deadline: None,
            priority: Priority::Normal,
            labels: Vec::new(),
            callback_url: None,
            supersedes: None,
            template: None,
            receipt_minutes: None,
            cites: Vec::new(),
            terms: Terms::default(),
        }
    }
}

/// How it is to be decided. The default: by the first yes or no of any reviewer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Terms {
    /// What is asked for.
    pub answer: AnswerKind,
    /// When votes become the outcome.
    pub rule: DecisionRule,
    /// Whether who asked, and who made the key that asked, may answer too.
    pub asker_may_answer: bool,
    /// The groups whose members may answer.
    pub groups: Vec<Uuid>,
    /// The roles that may answer.
    pub roles: Vec<Role>,
    /// The seats of a rule that counts them: reviewers, and the members of groups and roles as they are now.
    pub seats: Vec<Uuid>,
    /// Whom it is about.
    pub subject: Option<Person>,
    /// What counts when the deadline passes.
    pub on_timeout: Option<Given>,
    /// When reviewers are reminded: minutes before the deadline.
    pub reminders: Vec<u32>,
    /// What happens when there is no decision after a while.
    pub escalations: Vec<EscalationStep>,
    /// Whether the clock stands still while the asker is asked for information.
    pub questions_stop_clock: bool,
    /// The calendar whose time counts, for the time-out and for escalations.
    pub calendar: Option<BusinessCalendar>,
}

/// Something that is to happen when there is no decision after a while.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EscalationStep {
    /// After so many minutes.
    pub after_minutes: u32,
    /// Only when nobody has claimed it by then.
    pub unclaimed: bool,
    /// Who may answer besides.
    pub reviewers: Vec<Uuid>,
    /// The priority from then on.
    pub priority: Option<Priority>,
    /// Who is told.
    pub notify: Vec<Uuid>,
}

/// When a consultation times out, as the asker says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// At this instant.
    At(DateTime<Utc>),
    /// When the clock on the wall of a time zone shows this.
    Local {
        /// Date and time.
        at: NaiveDateTime,
        /// The zone, by its name in the IANA database.
        time_zone: String,
    },
    /// So long after the request is accepted.
    After {
        /// From 1 to 5,256,000: ten years.
        minutes: u32,
    },
}

/// What somebody is in the organisation when they act.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The groups that they belong to.
    pub groups: Vec<Uuid>,
    /// Their role.
    pub role: Option<Role>,
    /// Whether they act with the rights of an administrator.
    pub is_admin: bool,
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

/// Answer as a reviewer; again before the outcome: the later answer counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Respond {
    /// Who answers.
    pub by: Person,
    /// What they are in the organisation.
    pub standing: Standing,
    /// The answer.
    pub given: Given,
}

/// Take it upon oneself: under a rule of one vote nobody else answers then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who.
    pub by: Person,
    /// What they are in the organisation.
    pub standing: Standing,
}

/// Let others have it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Who: whoever has it, the requester, or an administrator.
    pub by: Person,
    /// What they are in the organisation.
    pub standing: Standing,
}

/// Give it into the hands of somebody who may answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assign {
    /// Who gives it: the requester, or an administrator.
    pub by: Person,
    /// What they are in the organisation.
    pub standing: Standing,
    /// Who gets it.
    pub to: Person,
    /// What that person is in the organisation.
    pub of_whom: Standing,
}

/// Have somebody else answer in one's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegate {
    /// Who delegates.
    pub by: Person,
    /// What they are in the organisation.
    pub standing: Standing,
    /// Who answers from then on; somebody who may answer consultations.
    pub to: Person,
}

/// Ask the asker something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestInformation {
    /// The question's id.
    pub question_id: Uuid,
    /// Who asks.
    pub by: Person,
    /// What they are in the organisation.
    pub standing: Standing,
    /// What.
    pub text: String,
}

/// Answer a question of a reviewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvideInformation {
    /// Which.
    pub question_id: Uuid,
    /// Who answers: the requester, or who made the key that asked.
    pub by: Person,
    /// What.
    pub text: String,
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

/// Redeem the receipt of the outcome, before what was decided is performed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedeemReceipt {
    /// What the receipt says; its signature was verified before.
    pub receipt: Receipt,
    /// Who redeems it.
    pub by: Person,
    /// What is to be performed, where that is to be compared.
    pub payload: Option<Value>,
}

/// Have the receipt of the outcome accepted no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokeReceipt {
    /// The consultation that it belongs to.
    pub consultation: Uuid,
    /// Who revokes it: the requester, or an administrator.
    pub by: Person,
    /// Whether `by` acts with the rights of an administrator.
    pub as_admin: bool,
    /// In the words of who revokes it.
    pub reason: Option<String>,
}

/// Look at the clock: does what is due, and changes nothing before that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expire;

/// Any command to a consultation.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// See [`Request`].
    Request(Box<Request>),
    /// See [`Comment`].
    Comment(Comment),
    /// See [`Respond`].
    Respond(Respond),
    /// See [`Claim`].
    Claim(Claim),
    /// See [`Release`].
    Release(Release),
    /// See [`Assign`].
    Assign(Assign),
    /// See [`Delegate`].
    Delegate(Delegate),
    /// See [`RequestInformation`].
    RequestInformation(RequestInformation),
    /// See [`ProvideInformation`].
    ProvideInformation(ProvideInformation),
    /// See [`Withdraw`].
    Withdraw(Withdraw),
    /// See [`RedeemReceipt`].
    RedeemReceipt(Box<RedeemReceipt>),
    /// See [`RevokeReceipt`].
    RevokeReceipt(RevokeReceipt),
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

into_command!(
    Comment,
    Respond,
    Claim,
    Release,
    Assign,
    Delegate,
    RequestInformation,
    ProvideInformation,
    Withdraw,
    RevokeReceipt,
    Expire
);

impl From<Request> for Command {
    fn from(request: Request) -> Self {
        Self::Request(Box::new(request))
    }
}

impl From<RedeemReceipt> for Command {
    fn from(command: RedeemReceipt) -> Self {
        Self::RedeemReceipt(Box::new(command))
    }
}
