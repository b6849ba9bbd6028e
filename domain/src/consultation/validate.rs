//! What a command may hold. Owns the limits of every field; each refusal names the field that it is about.

use chrono::{DateTime, Datelike, SubsecRound, TimeDelta, Utc};
use docket_events::{calendar::BusinessCalendar, consultation::AnswerKind, envelope::MAX_EVENT_BYTES};
use serde::Serialize;
use serde_json::Value;

use super::{Due, Refusal, Request, Terms, receipt};
use crate::calendar;

const MAX_TITLE_CHARS: usize = 200;
const MAX_BODY_BYTES: usize = 64 * 1024;
const MAX_CONTEXT_BYTES: usize = 200 * 1024;
/// Deeper data would not be read back where it stands inside other JSON: a parser gives up at 128 levels.
const MAX_DEPTH: usize = 64;
const MAX_LABELS: usize = 20;
const MAX_LABEL_CHARS: usize = 50;
const MAX_URL_BYTES: usize = 2_000;
const MAX_EXTERNAL_ID_CHARS: usize = 200;
const MAX_CITED: usize = 50;
const MAX_REVIEWERS: usize = 100;
const MAX_COMMENT_CHARS: usize = 10_000;
pub(super) const MAX_TIMEOUT_MINUTES: u32 = 5_256_000;
/// Kept free in an event for the requester's sealed name, the deadline and the names of fields.
const EVENT_RESERVE_BYTES: usize = 6 * 1024;
/// PostgreSQL's text cannot hold it.
const NUL: char = '\0';

/// The parts of a request that are not recorded just as they came.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) title: String,
    pub(super) context: Option<Value>,
    pub(super) deadline: Option<DateTime<Utc>>,
}

/// The refusal of a field.
pub(super) fn refusal(field: &'static str, reason: impl Into<String>) -> Refusal {
    Refusal::Invalid { field, reason: reason.into() }
}

pub(super) fn invalid<T>(field: &'static str, reason: impl Into<String>) -> Result<T, Refusal> {
    Err(refusal(field, reason))
}

/// Checks that nothing is named twice, and not more than `most`.
pub(super) fn unique<T: Ord>(field: &'static str, named: &[T], most: usize) -> Result<(), Refusal> {
    if named.len() > most {
        return invalid(field, format!("must not be more than {most}"));
    }
    let mut sorted: Vec<&T> = named.iter().collect();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return invalid(field, "must not name anything twice");
    }
    Ok(())
}

/// Checks a request whole, and gives what is to be recorded in place of what was given.
pub(super) fn request(request: &Request, now: DateTime<Utc>) -> Result<Checked, Refusal> {
    let title = title(&request.title)?;
    body(request.body.as_deref())?;
    // JSON's null is the same as no context, and reads back so.
    let context = request.context.clone().filter(|value| !value.is_null());
    if let Some(context) = &context {
        json("context", context, MAX_CONTEXT_BYTES)?;
    }
    external_id(request.external_id.as_deref())?;
    reviewers(request)?;
    labels(&request.labels)?;
    if request.callback_url.as_ref().is_some_and(|url| url.len() > MAX_URL_BYTES) {
        return invalid("callback_url", format!("must not be longer than {MAX_URL_BYTES} bytes"));
    }
    if request.receipt_minutes.is_some_and(|minutes| !(1..=receipt::MAX_MINUTES).contains(&minutes)) {
        return invalid("receipt_minutes", format!("must be from 1 to {}", receipt::MAX_MINUTES));
    }
    unique("cites", &request.cites, MAX_CITED)?;
    whole(request)?;
    let calendar = request.terms.calendar.as_ref();
    Ok(Checked { title, context, deadline: deadline(request.deadline.as_ref(), calendar, now)? })
}

fn title(title: &str) -> Result<String, Refusal> {
    let title = title.trim();
    if !(1..=MAX_TITLE_CHARS).contains(&title.chars().count()) {
        return invalid("title", format!("must have 1 to {MAX_TITLE_CHARS} characters"));
    }
    if title.chars().any(char::is_control) {
        return invalid("title", "must not hold control characters or line breaks");
    }
    Ok(title.to_owned())
}

fn body(body: Option<&str>) -> Result<(), Refusal> {
    let Some(body) = body else { return Ok(()) };
    if body.len() > MAX_BODY_BYTES {
        return invalid("body", format!("must not be longer than {MAX_BODY_BYTES} bytes"));
    }
    no_nul("body", body)
}

/// Checks JSON that somebody sends: how deep it is, how long, and that PostgreSQL can hold it.
pub(crate) fn json(field: &'static str, value: &Value, max_bytes: usize) -> Result<(), Refusal> {
    // An explicit stack: what is given may be deep.
    let mut rest = vec![(value, 0)];
    while let Some((value, depth)) = rest.pop() {
        if depth > MAX_DEPTH {
            return invalid(field, format!("must not be nested deeper than {MAX_DEPTH} levels"));
        }
        match value {
            Value::String(text) => no_nul(field, text)?,
            Value::Array(items) => rest.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(members) => {
                for (key, member) in members {
                    no_nul(field, key)?;
                    rest.push((member, depth + 1));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    if json_bytes(value) > max_bytes {
        return invalid(field, format!("must not be longer than {max_bytes} bytes of JSON"));
    }
    Ok(())
}

fn labels(labels: &[String]) -> Result<(), Refusal> {
    unique("labels", labels, MAX_LABELS)?;
    let fits = |label: &String| {
        (1..=MAX_LABEL_CHARS).contains(&label.trim().chars().count()) && !label.chars().any(char::is_control)
    };
    if labels.iter().all(fits) {
        return Ok(());
    }
    invalid("labels", format!("must have 1 to {MAX_LABEL_CHARS} characters each, none of them control characters"))
}

fn external_id(external_id: Option<&str>) -> Result<(), Refusal> {
    let Some(external_id) = external_id else { return Ok(()) };
    if !(1..=MAX_EXTERNAL_ID_CHARS).contains(&external_id.chars().count()) {
        return invalid("external_id", format!("must have 1 to {MAX_EXTERNAL_ID_CHARS} characters"));
    }
    if external_id.chars().any(char::is_control) {
        return invalid("external_id", "must not hold control characters or line breaks");
    }
    Ok(())
}

fn reviewers(request: &Request) -> Result<(), Refusal> {
    let reviewers = &request.reviewers;
    unique("reviewers", reviewers, MAX_REVIEWERS)?;
    let Terms { asker_may_answer, groups, roles, .. } = &request.terms;
    let alone = *reviewers == [request.requested_by.id] && groups.is_empty() && roles.is_empty();
    if alone && !asker_may_answer {
        return invalid("reviewers", "must name somebody besides the requester, who cannot answer");
    }
    Ok(())
}

/// Each field may be as long as allowed and the event still be too large. What is sealed is a third longer.
fn whole(request: &Request) -> Result<(), Refusal> {
    let (mut body, mut context) = (json_bytes(&request.body), json_bytes(&request.context));
    if request.terms.subject.is_some() {
        let proposed = match &request.terms.answer {
            AnswerKind::Edit { proposed, .. } => json_bytes(proposed),
            AnswerKind::Approval | AnswerKind::Choice { .. } | AnswerKind::Form { .. } => 0,
        };
        (body, context) = (body / 3 * 4, (context + proposed) / 3 * 4);
    }
    let others = json_bytes(&request.title)
        + json_bytes(&request.external_id)
        + json_bytes(&request.reviewers)
        + json_bytes(&request.labels)
        + json_bytes(&request.cites)
        + json_bytes(&request.callback_url);
    if body + context + others <= MAX_EVENT_BYTES - EVENT_RESERVE_BYTES {
        return Ok(());
    }
    let field = if body > context { "body" } else { "context" };
    invalid(field, format!("makes the request longer than {MAX_EVENT_BYTES} bytes of JSON"))
}

/// So many minutes after `now`, of business time where there is a calendar.
pub(super) fn after(now: DateTime<Utc>, minutes: u32, calendar: Option<&BusinessCalendar>) -> Option<DateTime<Utc>> {
    let time = TimeDelta::minutes(i64::from(minutes));
    match calendar {
        Some(calendar) => calendar::after(calendar, now, time).ok(),
        None => now.checked_add_signed(time),
    }
}

fn deadline(
    due: Option<&Due>,
    calendar: Option<&BusinessCalendar>,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, Refusal> {
    let (field, deadline) = match due {
        None => return Ok(None),
        Some(Due::At(instant)) => ("deadline", Some(*instant)),
        Some(Due::Local { at, time_zone }) => {
            let zone = calendar::zone(time_zone).map_err(|error| refusal("time_zone", error.to_string()))?;
            let instant = calendar::instant(zone, *at).map_err(|error| refusal("deadline", error.to_string()))?;
            ("deadline", Some(instant))
        }
        Some(Due::After { minutes }) if !(1..=MAX_TIMEOUT_MINUTES).contains(minutes) => {
            return invalid("timeout_minutes", format!("must be from 1 to {MAX_TIMEOUT_MINUTES}"));
        }
        Some(Due::After { minutes }) => ("timeout_minutes", after(now, *minutes, calendar)),
    };
    // Events and the database keep microseconds.
    match deadline.map(|instant| instant.trunc_subsecs(6)) {
        Some(deadline) if deadline <= now => invalid(field, "must be in the future"),
        Some(deadline) if deadline.year() < 10_000 => Ok(Some(deadline)),
        Some(_) | None => invalid(field, "must be before the year 10000"),
    }
}

/// Checks what somebody says.
pub(super) fn comment(field: &'static str, text: &str) -> Result<(), Refusal> {
    if text.trim().is_empty() || text.chars().count() > MAX_COMMENT_CHARS {
        return invalid(field, format!("must have 1 to {MAX_COMMENT_CHARS} characters, not all of them blank"));
    }
    no_nul(field, text)
}

/// Checks what somebody may say or leave.
pub(super) fn optional_comment(field: &'static str, text: Option<&str>) -> Result<(), Refusal> {
    text.map_or(Ok(()), |text| comment(field, text))
}

fn no_nul(field: &'static str, text: &str) -> Result<(), Refusal> {
    if text.contains(NUL) {
        return invalid(field, "must not hold the character U+0000");
    }
    Ok(())
}

/// How long a value is as JSON; what has no JSON form is longer than any limit.
fn json_bytes<T: Serialize>(value: &T) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX / 8, |bytes| bytes.len())
}
