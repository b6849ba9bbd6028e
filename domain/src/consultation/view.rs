//! A consultation as HTTP shows it: one shape for the answer to a command and for a read.
//!
//! Owns the names and the order of the fields. The command API fills it from the folded state, the query API from the rows of the
//! projection; neither may add a field of its own.

use chrono::{DateTime, Utc};
use docket_events::{
    consultation::{
        Answer, AnswerKind, Content, Decision, DecisionRule, Priority, Rule, TemplateUsed, TermsSet, WithdrawalReason,
    },
    engagement::Item,
    identity::Role,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::{
    ToSchema,
    openapi::schema::{Object, ObjectBuilder, Type},
};
use uuid::Uuid;

use super::State;

/// A consultation as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Consultation)]
pub struct ConsultationView {
    /// The consultation's id.
    pub id: Uuid,
    /// The version of its stream: how many events it has. Also its `ETag`.
    #[schema(example = 3)]
    pub version: u64,
    /// Where it stands.
    #[schema(schema_with = state_schema)]
    pub state: State,
    /// One line that says what is to be decided.
    pub title: String,
    /// The request in full, Markdown.
    pub body: Option<String>,
    /// What the asker's software handed along.
    pub context: Option<Value>,
    /// The asker's own name for this request.
    pub external_id: Option<String>,
    /// Who asked.
    pub requested_by: PersonView,
    /// When it was asked.
    pub requested_at: DateTime<Utc>,
    /// Who may answer by name; empty, and neither groups nor roles nor seats: every reviewer of the organisation.
    pub reviewers: Vec<Uuid>,
    /// Who may answer besides, since an escalation.
    pub added_reviewers: Vec<Uuid>,
    /// How it is decided.
    #[serde(flatten)]
    pub terms: TermsView,
    /// From this instant on it has timed out; null also while the clock stands still.
    pub deadline: Option<DateTime<Utc>>,
    /// Since when the clock stands still, because the asker is asked for information; null: it does not.
    pub clock_stopped_at: Option<DateTime<Utc>>,
    /// How soon it is wanted by now.
    #[schema(schema_with = priority_schema)]
    pub priority: Priority,
    /// Words to find it by.
    pub labels: Vec<String>,
    /// Whom it is about; null: nobody. Body, context, proposal and answers belong to this person, and go with them.
    pub subject: Option<PersonView>,
    /// Where the asker wants to be told of the outcome.
    pub callback_url: Option<String>,
    /// The consultation in whose place this one stands.
    pub supersedes: Option<Uuid>,
    /// The template that it was made from.
    pub template: Option<TemplateView>,
    /// How many minutes the receipt of the outcome holds.
    #[schema(example = 1_440)]
    pub receipt_minutes: u32,
    /// What it rests on.
    pub cites: Vec<CitedView>,
    /// The version at which the request stood, with how it is decided.
    #[schema(example = 1)]
    pub request_version: u64,
    /// Who has it in hand.
    pub claimed_by: Option<PersonView>,
    /// How many questions wait for the asker's answer.
    pub open_question_count: u32,
    /// How many have voted.
    pub vote_count: u32,
    /// When it ended; null while it is pending.
    pub ended_at: Option<DateTime<Utc>>,
    /// What was decided; null unless it was responded to. After a time-out `on_timeout` says what counts.
    pub outcome: Option<OutcomeView>,
    /// The signed receipt of the outcome, a JWS (RFC 7515): see `docs/receipts.md`. Null while it is pending, when it was withdrawn, and when
    /// the person whom it is about was erased.
    pub receipt: Option<String>,
    /// Why it was taken back; null unless it was.
    pub withdrawal: Option<WithdrawalView>,
    /// How many comments were made.
    pub comment_count: u32,
    /// How many answers came after the deadline.
    pub late_response_count: u32,
    /// The time of its last event.
    pub updated_at: DateTime<Utc>,
}

/// A template, in the version that was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = TemplateUsed)]
pub struct TemplateView {
    /// What it is called.
    #[schema(example = "release")]
    pub name: String,
    /// Which version of it.
    pub version: u64,
}

impl From<TemplateUsed> for TemplateView {
    fn from(TemplateUsed { name, version }: TemplateUsed) -> Self {
        Self { name, version }
    }
}

/// An article or an entity that a request cites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Cited)]
pub enum CitedView {
    /// An article.
    Article {
        /// Its id.
        article_id: Uuid,
    },
    /// An entity of the knowledge graph.
    Entity {
        /// Its id.
        entity_id: Uuid,
    },
}

impl From<Item> for CitedView {
    fn from(item: Item) -> Self {
        match item {
            Item::Article(article_id) => Self::Article { article_id },
            Item::Entity(entity_id) => Self::Entity { entity_id },
        }
    }
}

/// A person, by the name it bore at the time of the act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Person)]
pub struct PersonView {
    /// The person's id.
    pub id: Uuid,
    /// The name; null when it was erased.
    pub name: Option<String>,
    /// Present, and true, when the person was erased.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub erased: bool,
}

impl PersonView {
    /// A person whose name is known, or was erased.
    #[must_use]
    pub const fn new(id: Uuid, name: Option<String>) -> Self {
        let erased = name.is_none();
        Self { id, name, erased }
    }
}

/// How votes decided.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Outcome)]
pub struct OutcomeView {
    /// What was answered.
    #[serde(flatten)]
    pub answer: AnswerView,
    /// The rule that was applied.
    #[schema(schema_with = rule_schema)]
    pub rule: Rule,
    /// On which version of the request.
    pub request_version: u64,
    /// Whose vote completed the rule.
    pub by: PersonView,
    /// Whose votes agree with the outcome, where it took several.
    pub agreed: Vec<Uuid>,
    /// When.
    pub at: DateTime<Utc>,
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
#[schema(as = Answer)]
pub struct AnswerView {
    /// Yes or no; null where that is not asked, or when it was erased.
    #[schema(schema_with = nullable_decision_schema)]
    pub decision: Option<Decision>,
    /// The options that were chosen, of a choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choices: Option<Vec<String>>,
    /// The data that was given, of a form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<Value>,
    /// What was changed, of a proposal that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<ChangesView>,
    /// The proposal as it was approved, with its changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// What was said of it.
    pub comment: Option<String>,
}

/// The changes of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Changes)]
pub struct ChangesView {
    /// The difference: a JSON Patch (RFC 6902).
    pub patch: Value,
    /// The same in words.
    #[schema(example = "/amount changed from 100 to 80")]
    pub words: String,
}

impl AnswerView {
    /// What `answer` shows; none: it was erased. `proposed` is the proposal of an edit.
    #[must_use]
    pub fn new(answer: Option<Answer>, proposed: Option<&Value>) -> Self {
        let Some(Answer { decision, content, comment }) = answer else { return Self::default() };
        let approved = proposed.filter(|_| decision == Some(Decision::Approve));
        let payload = approved.and_then(|proposed| super::payload(proposed, content.as_ref()));
        let view = Self { decision, comment, payload, ..Self::default() };
        match content {
            None => view,
            Some(Content::Choices(choices)) => Self { choices: Some(choices), ..view },
            Some(Content::Form(form)) => Self { form: Some(form), ..view },
            Some(Content::Changes { patch, words }) => Self { changes: Some(ChangesView { patch, words }), ..view },
        }
    }
}

/// The last vote of somebody.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Vote)]
pub struct VoteView {
    /// Who voted.
    pub by: PersonView,
    /// How.
    #[serde(flatten)]
    pub answer: AnswerView,
    /// When.
    pub at: DateTime<Utc>,
    /// The version that the vote led to.
    pub version: u64,
}

/// How a consultation is decided.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Terms)]
pub struct TermsView {
    /// What is asked for: `approval`, `choice`, `form` or `edit`, by `type`, with what belongs to it.
    #[schema(schema_with = object_schema)]
    pub answer: AnswerKind,
    /// When votes are an outcome: `any_one`, `all`, `m_of_n`, `majority`, `veto`, `two_groups` or `weights`, by `type`.
    #[schema(schema_with = object_schema)]
    pub rule: DecisionRule,
    /// Whether neither who asked nor who made the key that asked may answer.
    pub four_eyes: bool,
    /// The groups whose members may answer.
    pub groups: Vec<Uuid>,
    /// The roles that may answer.
    #[schema(value_type = Vec<String>)]
    pub roles: Vec<Role>,
    /// Whose votes are counted, by a rule that counts; with those of groups and roles as they were when it was asked.
    pub seats: Vec<Uuid>,
    /// What counts when the deadline passes; null: nothing.
    pub on_timeout: Option<AnswerView>,
    /// When reviewers are reminded.
    pub reminders: Vec<DateTime<Utc>>,
    /// What happens when there is no decision after a while.
    pub escalations: Vec<EscalationView>,
    /// Whether the clock stands still while the asker is asked for information.
    pub questions_stop_clock: bool,
    /// The time zone of the calendar whose business time counts; null: all time does.
    pub business_time_zone: Option<String>,
}

/// What happens when there is no decision after a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Escalation)]
pub struct EscalationView {
    /// When.
    pub due: DateTime<Utc>,
    /// Only when nobody has claimed it by then.
    pub unclaimed: bool,
    /// Who may answer besides.
    pub reviewers: Vec<Uuid>,
    /// The priority from then on.
    #[schema(schema_with = nullable_priority_schema)]
    pub priority: Option<Priority>,
    /// Who is told.
    pub notify: Vec<Uuid>,
}

impl TermsView {
    /// The terms of a request, the usual ones where there are none; `proposed` is the proposal of an edit, where it is private.
    #[must_use]
    pub fn new(terms: Option<TermsSet>, private: Option<&Value>) -> Self {
        let terms = terms.unwrap_or_else(super::plain_terms);
        let TermsSet { mut answer, rule, asker_may_answer, groups, roles, seats, on_timeout, reminders, .. } = terms;
        if let AnswerKind::Edit { proposed, .. } = &mut answer
            && proposed.is_none()
        {
            *proposed = private.cloned();
        }
        let escalations = terms.escalations.into_iter().map(|step| EscalationView {
            due: step.due,
            unclaimed: step.unclaimed,
            reviewers: step.reviewers,
            priority: step.priority,
            notify: step.notify,
        });
        Self {
            answer,
            rule,
            four_eyes: !asker_may_answer,
            groups,
            roles,
            seats,
            on_timeout: on_timeout.map(|answer| AnswerView::new(Some(answer), None)),
            reminders,
            escalations: escalations.collect(),
            questions_stop_clock: terms.questions_stop_clock,
            business_time_zone: terms.calendar.map(|calendar| calendar.time_zone),
        }
    }
}

/// How it was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Withdrawal)]
pub struct WithdrawalView {
    /// Why.
    #[schema(schema_with = reason_schema)]
    pub reason: WithdrawalReason,
    /// Who took it back.
    pub by: PersonView,
    /// In that person's words.
    pub comment: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// One event of a consultation, in the order of its stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = HistoryEntry)]
pub struct HistoryView {
    /// The version that the event led to.
    pub version: u64,
    /// What happened: `requested`, `terms_set`, `commented`, `claimed`, `released`, `assigned`, `delegated`, `information_requested`,
    /// `information_provided`, `reminded`, `escalated`, `vote_cast`, `responded`, `withdrawn`, `timed_out`,
    /// `late_response_recorded`, `receipt_redeemed` or `receipt_revoked`. Later releases may add to these.
    #[schema(example = "commented")]
    pub kind: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Who did it; null when it was the clock.
    pub by: Option<PersonView>,
    /// The decision of a vote, an outcome or a late response.
    #[schema(schema_with = nullable_decision_schema)]
    pub decision: Option<Decision>,
    /// What was said.
    pub comment: Option<String>,
    /// Why it was withdrawn.
    #[schema(schema_with = nullable_reason_schema)]
    pub reason: Option<WithdrawalReason>,
    /// To whom it was assigned or delegated.
    pub to: Option<PersonView>,
    /// What else the event tells: what was chosen, given or changed, which question, what was due.
    pub details: Option<Value>,
    /// The event's id.
    pub event_id: Uuid,
}

/// A consultation with all that happened to it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = ConsultationDetail)]
pub struct ConsultationDetail {
    /// The consultation as it stands.
    #[serde(flatten)]
    pub consultation: ConsultationView,
    /// The last vote of each who voted, in the order of the stream.
    pub votes: Vec<VoteView>,
    /// What happened, in order.
    pub history: Vec<HistoryView>,
}

// The types of the facts know nothing of OpenAPI; what is said of them here is checked against them in the tests below.

const STATES: [&str; 4] = ["pending", "responded", "timed_out", "withdrawn"];
const DECISIONS: [&str; 2] = ["approve", "reject"];
const RULES: [&str; 7] = ["any_one", "all", "m_of_n", "majority", "veto", "two_groups", "weights"];
const PRIORITIES: [&str; 4] = ["low", "normal", "high", "urgent"];
const REASONS: [&str; 3] = ["withdrawn", "cancelled", "superseded"];

fn one_of(values: &[&str]) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(values.iter().copied())).build()
}

fn one_of_or_null(values: &[&str]) -> Object {
    let values = values.iter().map(|value| Value::from(*value)).chain([Value::Null]);
    ObjectBuilder::new()
        .schema_type([Type::String, Type::Null].into_iter().collect::<utoipa::openapi::schema::SchemaType>())
        .enum_values(Some(values))
        .build()
}

fn state_schema() -> Object {
    one_of(&STATES)
}

fn nullable_decision_schema() -> Object {
    one_of_or_null(&DECISIONS)
}

fn priority_schema() -> Object {
    one_of(&PRIORITIES)
}

fn nullable_priority_schema() -> Object {
    one_of_or_null(&PRIORITIES)
}

fn object_schema() -> Object {
    ObjectBuilder::new().schema_type(Type::Object).build()
}

fn rule_schema() -> Object {
    one_of(&RULES)
}

fn reason_schema() -> Object {
    one_of(&REASONS)
}

fn nullable_reason_schema() -> Object {
    one_of_or_null(&REASONS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;

    fn all<T: DeserializeOwned + Serialize>(values: &[&str]) -> bool {
        values.iter().all(|value| {
            serde_json::from_value::<T>(Value::from(*value))
                .is_ok_and(|parsed| serde_json::to_value(parsed).is_ok_and(|back| back == *value))
        })
    }

    #[test]
    fn the_documented_values_are_those_of_the_types() {
        assert!(
            all::<State>(&STATES)
                && all::<Decision>(&DECISIONS)
                && all::<Rule>(&RULES)
                && all::<WithdrawalReason>(&REASONS)
                && all::<Priority>(&PRIORITIES)
        );
    }

    #[test]
    fn an_erased_person_says_so_and_another_does_not() {
        let json = |name| serde_json::to_value(PersonView::new(Uuid::nil(), name)).unwrap();
        assert_eq!(json(None), serde_json::json!({"id": Uuid::nil(), "name": null, "erased": true}));
        assert_eq!(json(Some("Ada".into())), serde_json::json!({"id": Uuid::nil(), "name": "Ada"}));
    }
}
