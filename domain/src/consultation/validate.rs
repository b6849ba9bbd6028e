//! What a command may hold. Owns the limits of every field; each refusal names the field that it is about.

use chrono::{DateTime, Datelike, SubsecRound, TimeDelta, Utc};
use docket_events::envelope::MAX_EVENT_BYTES;
use serde::Serialize;
use serde_json::Value;

use super::{Due, Refusal, Request};

const MAX_TITLE_CHARS: usize = 200;
const MAX_BODY_BYTES: usize = 64 * 1024;
const MAX_CONTEXT_BYTES: usize = 200 * 1024;
/// Deeper data would not be read back where it stands inside other JSON: a parser gives up at 128 levels.
const MAX_CONTEXT_DEPTH: usize = 64;
const MAX_EXTERNAL_ID_CHARS: usize = 200;
const MAX_REVIEWERS: usize = 100;
const MAX_COMMENT_CHARS: usize = 10_000;
const MAX_TIMEOUT_MINUTES: u32 = 5_256_000;
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

fn invalid<T>(field: &'static str, reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Invalid { field, reason: reason.into() })
}

/// Checks a request whole, and gives what is to be recorded in place of what was given.
pub(super) fn request(request: &Request, now: DateTime<Utc>) -> Result<Checked, Refusal> {
    let title = title(&request.title)?;
    body(request.body.as_deref())?;
    // JSON's null is the same as no context, and reads back so.
    let context = request.context.clone().filter(|value| !value.is_null());
    if let Some(context) = &context {
        check_context(context)?;
    }
    external_id(request.external_id.as_deref())?;
    reviewers(request)?;
    whole(request)?;
    Ok(Checked { title, context, deadline: deadline(request.deadline, now)? })
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

fn check_context(context: &Value) -> Result<(), Refusal> {
    // An explicit stack: what is given may be deep.
    let mut rest = vec![(context, 0)];
    while let Some((value, depth)) = rest.pop() {
        if depth > MAX_CONTEXT_DEPTH {
            return invalid("context", format!("must not be nested deeper than {MAX_CONTEXT_DEPTH} levels"));
        }
        match value {
            Value::String(text) => no_nul("context", text)?,
            Value::Array(items) => rest.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(members) => {
                for (key, member) in members {
                    no_nul("context", key)?;
                    rest.push((member, depth + 1));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    if json_bytes(context) > MAX_CONTEXT_BYTES {
        return invalid("context", format!("must not be longer than {MAX_CONTEXT_BYTES} bytes of JSON"));
    }
    Ok(())
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
    if reviewers.len() > MAX_REVIEWERS {
        return invalid("reviewers", format!("must not name more than {MAX_REVIEWERS} people"));
    }
    let mut sorted = reviewers.clone();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return invalid("reviewers", "must not name anybody twice");
    }
    if *reviewers == [request.requested_by.id] {
        return invalid("reviewers", "must name somebody besides the requester, who cannot answer");
    }
    Ok(())
}

/// Each field may be as long as allowed and the event still be too large.
fn whole(request: &Request) -> Result<(), Refusal> {
    let (body, context) = (json_bytes(&request.body), json_bytes(&request.context));
    let others = json_bytes(&request.title) + json_bytes(&request.external_id) + json_bytes(&request.reviewers);
    if body + context + others <= MAX_EVENT_BYTES - EVENT_RESERVE_BYTES {
        return Ok(());
    }
    let field = if body > context { "body" } else { "context" };
    invalid(field, format!("makes the request longer than {MAX_EVENT_BYTES} bytes of JSON"))
}

fn deadline(due: Option<Due>, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Refusal> {
    let (field, deadline) = match due {
        None => return Ok(None),
        Some(Due::At(instant)) => ("deadline", Some(instant)),
        Some(Due::After { minutes }) if !(1..=MAX_TIMEOUT_MINUTES).contains(&minutes) => {
            return invalid("timeout_minutes", format!("must be from 1 to {MAX_TIMEOUT_MINUTES}"));
        }
        Some(Due::After { minutes }) => {
            ("timeout_minutes", now.checked_add_signed(TimeDelta::minutes(i64::from(minutes))))
        }
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
