//! A consultation as HTTP shows it: one shape for the answer to a command and for a read.
//!
//! Owns the names and the order of the fields. The command API fills it from the folded state, the query API from the rows of the
//! projection; neither may add a field of its own.

use chrono::{DateTime, Utc};
use docket_events::consultation::{Decision, Rule, WithdrawalReason};
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
    /// Who may answer; empty: every reviewer of the organisation.
    pub reviewers: Vec<Uuid>,
    /// From this instant on it has timed out.
    pub deadline: Option<DateTime<Utc>>,
    /// When it ended; null while it is pending.
    pub ended_at: Option<DateTime<Utc>>,
    /// The decision; null unless it was responded to.
    pub outcome: Option<OutcomeView>,
    /// Why it was taken back; null unless it was.
    pub withdrawal: Option<WithdrawalView>,
    /// How many comments were made.
    pub comment_count: u32,
    /// How many answers came after the deadline.
    pub late_response_count: u32,
    /// The time of its last event.
    pub updated_at: DateTime<Utc>,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Outcome)]
pub struct OutcomeView {
    /// The decision.
    #[schema(schema_with = decision_schema)]
    pub decision: Decision,
    /// The rule that was applied.
    #[schema(schema_with = rule_schema)]
    pub rule: Rule,
    /// On which version of the request.
    pub request_version: u64,
    /// Whose vote completed the rule.
    pub by: PersonView,
    /// What the reviewer said.
    pub comment: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
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
    /// What happened: `requested`, `commented`, `vote_cast`, `responded`, `withdrawn`, `timed_out` or `late_response_recorded`.
    /// Later releases may add to these.
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
    /// What happened, in order.
    pub history: Vec<HistoryView>,
}

// The types of the facts know nothing of OpenAPI; what is said of them here is checked against them in the tests below.

const STATES: [&str; 4] = ["pending", "responded", "timed_out", "withdrawn"];
const DECISIONS: [&str; 2] = ["approve", "reject"];
const RULES: [&str; 1] = ["any_one"];
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

fn decision_schema() -> Object {
    one_of(&DECISIONS)
}

fn nullable_decision_schema() -> Object {
    one_of_or_null(&DECISIONS)
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
        );
    }

    #[test]
    fn an_erased_person_says_so_and_another_does_not() {
        let json = |name| serde_json::to_value(PersonView::new(Uuid::nil(), name)).unwrap();
        assert_eq!(json(None), serde_json::json!({"id": Uuid::nil(), "name": null, "erased": true}));
        assert_eq!(json(Some("Ada".into())), serde_json::json!({"id": Uuid::nil(), "name": "Ada"}));
    }
}
