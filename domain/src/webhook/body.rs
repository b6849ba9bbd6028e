//! What an endpoint is told of an event.
//!
//! Pure: the same event and consultation give the same body. They are opened before, so that what was erased is told nobody.

use chrono::{DateTime, SecondsFormat, Utc};
use docket_events::{
    Recorded,
    consultation::{Decision, WithdrawalReason},
    identity::EndpointFormat,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::name_of;
use crate::{
    consultation::{State, view::ConsultationView},
    template,
};

/// The values that a template has.
pub(super) const VALUES: [&str; 15] = [
    "type",
    "time",
    "words",
    "id",
    "title",
    "state",
    "decision",
    "comment",
    "by",
    "asked_by",
    "priority",
    "deadline",
    "external_id",
    "receipt",
    "url",
];
/// What a chat is told where the organisation gave no text.
const CHAT: &str = "{{words}}\n{{url}}";

/// What there is to tell.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// Of which event.
    pub event: &'a Recorded,
    /// What it says, in clear, where the consultation does not say all of it.
    pub data: Option<&'a Value>,
    /// As it is to be called.
    pub name: &'a str,
    /// The consultation as it was after the event; none: it is a test.
    pub consultation: Option<&'a ConsultationView>,
    /// Where people see it.
    pub url: &'a str,
}

/// A template does not come to a body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the template comes to no body: {0}")]
pub struct Unwritable(String);

/// The JSON that is sent.
///
/// # Errors
/// [`Unwritable`] when the template cannot be filled: what it comes to is too long.
pub fn body(told: &Told<'_>, format: EndpointFormat, template: Option<&Value>) -> Result<Value, Unwritable> {
    match format {
        EndpointFormat::Standard => Ok(standard(told)),
        EndpointFormat::Slack => {
            let chat = Value::from(CHAT);
            let text = fill(template.unwrap_or(&chat), &values(told, escaped))?;
            Ok(json!({ "text": text }))
        }
        EndpointFormat::Json => fill(template.unwrap_or(&Value::Null), &values(told, str::to_owned)),
    }
}

fn fill(template: &Value, values: &Map<String, Value>) -> Result<Value, Unwritable> {
    template::fill(template, values).map_err(|refusal| Unwritable(refusal.to_string()))
}

/// As Standard Webhooks recommends: `type`, `timestamp`, `data`.
fn standard(told: &Told<'_>) -> Value {
    let event = told.event;
    json!({
        "type": told.name,
        "timestamp": time(event.time),
        "data": {
            "event_id": event.id,
            "organisation_id": event.tenant,
            "stream": event.stream.to_string(),
            "stream_version": event.version,
            "url": told.url,
            "event": told.data,
            "consultation": told.consultation,
        },
    })
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// The characters that Slack reads as its own.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn values(told: &Told<'_>, escape: fn(&str) -> String) -> Map<String, Value> {
    let text = |text: Option<&str>| text.map_or(Value::Null, |text| escape(text).into());
    let view = told.consultation;
    let outcome = view.and_then(|view| view.outcome.as_ref());
    let by = outcome.map(|outcome| outcome.by.name.as_deref().unwrap_or("somebody who was erased"));
    let decision = outcome.and_then(|outcome| outcome.answer.decision).map(word);
    let all: [(&str, Value); VALUES.len()] = [
        ("type", told.name.into()),
        ("time", time(told.event.time).into()),
        ("words", escape(&words(told)).into()),
        ("id", view.map_or(Value::Null, |view| view.id.to_string().into())),
        ("title", text(view.map(|view| view.title.as_str()))),
        ("state", text(view.map(|view| view.state.as_str()))),
        ("decision", text(decision)),
        ("comment", text(outcome.and_then(|outcome| outcome.answer.comment.as_deref()))),
        ("by", text(by)),
        ("asked_by", text(view.and_then(|view| view.requested_by.name.as_deref()))),
        ("priority", view.map_or(Value::Null, |view| json!(view.priority))),
        ("deadline", view.and_then(|view| view.deadline).map_or(Value::Null, |deadline| time(deadline).into())),
        ("external_id", text(view.and_then(|view| view.external_id.as_deref()))),
        ("receipt", text(view.and_then(|view| view.receipt.as_deref()))),
        ("url", told.url.into()),
    ];
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

const fn word(decision: Decision) -> &'static str {
    match decision {
        Decision::Approve => "approve",
        Decision::Reject => "reject",
    }
}

/// The event in a sentence.
fn words(told: &Told<'_>) -> String {
    let Some(view) = told.consultation else { return "This is a test.".to_owned() };
    let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "Somebody".to_owned());
    let title = &view.title;
    let outcome = view.outcome.as_ref();
    match (name_of(&told.event.event_type), view.state) {
        ("consultation.requested" | "consultation.terms_set", _) => {
            format!("{} asks: {title}", name(&view.requested_by.name))
        }
        ("consultation.responded", _) => match outcome {
            None => format!("Answered: {title}"),
            Some(outcome) => {
                let did = match outcome.answer.decision {
                    Some(Decision::Approve) => "approved",
                    Some(Decision::Reject) => "rejected",
                    None => "answered",
                };
                format!("{} {did}: {title}", name(&outcome.by.name))
            }
        },
        ("consultation.timed_out", _) => format!("Timed out: {title}"),
        ("consultation.withdrawn", _) => match view.withdrawal.as_ref().map(|withdrawal| withdrawal.reason) {
            Some(WithdrawalReason::Superseded) => format!("Superseded: {title}"),
            Some(WithdrawalReason::Cancelled) => format!("Cancelled: {title}"),
            Some(WithdrawalReason::Withdrawn) | None => format!("Withdrawn: {title}"),
        },
        (name, State::Pending | State::Responded | State::TimedOut | State::Withdrawn) => {
            let what = name.split_once('.').map_or(name, |(_, kind)| kind).replace('_', " ");
            format!("{title}: {what}")
        }
    }
}

/// The id that an endpoint knows a delivery by: the same in every attempt, and when it is made again.
#[must_use]
pub fn delivery_id(event: Uuid, endpoint: Uuid) -> Uuid {
    Uuid::new_v5(&event, format!("webhook\n{endpoint}").as_bytes())
}
