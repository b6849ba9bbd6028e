//! The history: an event as a row that tells it.

use docket_events::{
    Personal, Recorded,
    consultation::{Answer, ConsultationEvent, Person},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{HistoryRow, decision, name, reason};

/// What was said: in clear, or as far as it can be read.
fn said(text: &str, private: Option<&Personal<String>>) -> Option<String> {
    private.map_or_else(|| Some(text.to_owned()), |private| private.value().cloned())
}

fn details(members: Value) -> Option<String> {
    let Value::Object(members) = members else { return None };
    let told: Map<String, Value> =
        members.into_iter().filter(|(_, value)| !value.is_null() && *value != json!([])).collect();
    (!told.is_empty()).then(|| Value::Object(told).to_string())
}

/// The row of an event.
pub(super) fn row(event: &Recorded, data: &ConsultationEvent) -> HistoryRow {
    use ConsultationEvent as E;
    let row = HistoryRow {
        id: event.stream.id,
        version: event.version,
        tenant: event.tenant,
        shard: event.shard,
        event_id: event.id,
        kind: "",
        at: event.time,
        by: None,
        by_name: None,
        to: None,
        to_name: None,
        decision: None,
        comment: None,
        reason: None,
        details: None,
    };
    match data {
        E::Requested(data) => row.by("requested", &data.requested_by),
        E::TermsSet(_) => HistoryRow { kind: "terms_set", ..row },
        E::Commented(data) => {
            HistoryRow { comment: said(&data.text, data.private.as_ref()), ..row.by("commented", &data.by) }
        }
        E::Claimed(data) => row.by("claimed", &data.by),
        E::Released(data) => row.by("released", &data.by),
        E::Assigned(data) => row.by("assigned", &data.by).to(&data.to),
        E::Delegated(data) => row.by("delegated", &data.by).to(&data.to),
        E::InformationRequested(data) => HistoryRow {
            comment: said(&data.text, data.private.as_ref()),
            ..row.by("information_requested", &data.by).about(data.question_id)
        },
        E::InformationProvided(data) => HistoryRow {
            comment: said(&data.text, data.private.as_ref()),
            ..row.by("information_provided", &data.by).about(data.question_id)
        },
        E::Reminded(data) => HistoryRow { kind: "reminded", details: details(json!({"due": data.due})), ..row },
        E::Escalated(data) => {
            let told = json!({
                "step": data.step, "due": data.due, "reviewers": data.reviewers, "priority": data.priority,
                "notify": data.notify,
            });
            HistoryRow { kind: "escalated", details: details(told), ..row }
        }
        E::VoteCast(data) => row.by("vote_cast", &data.by).answered(data.answer()),
        E::Responded(data) => row.by("responded", &data.by).answered(data.answer()),
        E::LateResponseRecorded(data) => row.by("late_response_recorded", &data.by).answered(data.answer()),
        E::Withdrawn(data) => HistoryRow {
            reason: Some(reason(data.reason)),
            comment: data.comment.clone(),
            ..row.by("withdrawn", &data.by)
        },
        E::ReceiptRedeemed(data) => row.by("receipt_redeemed", &data.by).of_receipt(data.receipt),
        E::ReceiptRevoked(data) => {
            HistoryRow { comment: data.reason.clone(), ..row.by("receipt_revoked", &data.by).of_receipt(data.receipt) }
        }
        E::TimedOut(data) => HistoryRow { kind: "timed_out", ..row.answered(data.default.clone()) },
    }
}

impl HistoryRow {
    fn by(self, kind: &'static str, person: &Person) -> Self {
        Self { kind, by: Some(person.id), by_name: name(person), ..self }
    }

    fn to(self, person: &Person) -> Self {
        Self { to: Some(person.id), to_name: name(person), ..self }
    }

    fn about(self, question: Uuid) -> Self {
        Self { details: details(json!({"question_id": question})), ..self }
    }

    fn of_receipt(self, receipt: Uuid) -> Self {
        Self { details: details(json!({"receipt": receipt})), ..self }
    }

    fn answered(self, answer: Option<Answer>) -> Self {
        let Some(Answer { decision: yes_or_no, content, comment }) = answer else { return self };
        let details = content.and_then(|content| details(json!(content)));
        Self { decision: yes_or_no.map(decision), comment, details, ..self }
    }
}
