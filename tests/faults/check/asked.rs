//! What was asked, against what is journalled of it: deadline, reviewers, rule, and what the clock is to do.

use std::collections::BTreeSet;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use docket_domain::consultation::plain_terms;
use docket_events::consultation::{
    AnswerKind, ConsultationEvent, DecisionRule, Escalation, Priority, Requested, TermsSet,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::journal::Stream;

/// What differs between a request as it was sent and as the first events of `stream` tell it.
pub(super) fn differences(body: &str, stream: &Stream) -> Vec<String> {
    let sent: Value = serde_json::from_str(body).unwrap_or_default();
    let Some((at, ConsultationEvent::Requested(requested))) = stream.events.first() else { return Vec::new() };
    let terms = match stream.events.get(1) {
        Some((_, ConsultationEvent::TermsSet(terms))) => (**terms).clone(),
        _ => plain_terms(),
    };
    let mut wrong = Vec::new();
    let (wanted, found) = (request(&sent, requested, *at), requested);
    if wanted != *found {
        wrong.push(format!("{wanted:?} was asked for, and journalled is {found:?}"));
    }
    let wanted = terms_of(&sent, wanted.deadline, *at);
    if wanted != terms {
        wrong.push(format!("{wanted:?} was asked for, and journalled is {terms:?}"));
    }
    wrong
}

/// The request that `sent` must have become; what clients do not choose is as it is in `found`.
fn request(sent: &Value, found: &Requested, at: DateTime<Utc>) -> Requested {
    let minutes = sent["timeout_minutes"].as_i64().map(|minutes| at + TimeDelta::minutes(minutes));
    let text = |name: &str| sent[name].as_str().map(str::to_owned);
    Requested {
        title: text("title").unwrap_or_default(),
        body: text("body"),
        external_id: text("external_id"),
        callback_url: text("callback_url"),
        reviewers: ids(&sent["reviewers"]),
        deadline: read::<DateTime<Utc>>(&sent["deadline"]).map(|deadline| deadline.trunc_subsecs(6)).or(minutes),
        priority: read(&sent["priority"]).unwrap_or_default(),
        labels: read(&sent["labels"]).unwrap_or_default(),
        ..Requested::new("", found.requested_by.clone())
    }
}

fn terms_of(sent: &Value, deadline: Option<DateTime<Utc>>, at: DateTime<Utc>) -> TermsSet {
    let seats: BTreeSet<Uuid> = ids(&sent["reviewers"]).into_iter().collect();
    let (rule, seats) = match sent["rule"]["m"].as_u64() {
        Some(m) => (DecisionRule::MOfN { m: m as u32 }, seats.into_iter().collect()),
        None => (DecisionRule::AnyOne, Vec::new()),
    };
    let word = sent["on_timeout"].as_str().filter(|word| *word != "nothing");
    let minutes: Vec<i64> = read(&sent["reminders"]).unwrap_or_default();
    let before = |minutes: i64| deadline.map(|deadline| deadline - TimeDelta::minutes(minutes));
    TermsSet {
        answer: AnswerKind::Approval,
        rule,
        seats,
        on_timeout: word.and_then(|word| read(&json!({ "decision": word }))),
        reminders: minutes.into_iter().filter_map(before).collect(),
        escalations: sent["escalations"].as_array().into_iter().flatten().map(|step| escalation(step, at)).collect(),
        questions_stop_clock: sent["questions_stop_clock"] == true,
        ..plain_terms()
    }
}

fn escalation(step: &Value, at: DateTime<Utc>) -> Escalation {
    Escalation {
        due: at + TimeDelta::minutes(step["after_minutes"].as_i64().unwrap_or_default()),
        unclaimed: step["unclaimed"] == true,
        reviewers: ids(&step["reviewers"]),
        priority: read::<Priority>(&step["priority"]),
        notify: ids(&step["notify"]),
    }
}

fn ids(value: &Value) -> Vec<Uuid> {
    read(value).unwrap_or_default()
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> Option<T> {
    serde_json::from_value(value.clone()).ok()
}
