//! Answers: whether what a reviewer gives is what was asked for.
//!
//! Owns the checks of each kind of answer, and how a changed proposal becomes a difference and words for it.

use docket_events::consultation::{Answer, AnswerKind, Content, Decision};
use json_patch::PatchOperation;
use serde_json::Value;

use super::{
    Refusal, schema,
    validate::{self, invalid},
};

/// How large the data of a form, or a changed proposal, may be.
pub(super) const MAX_DATA_BYTES: usize = 64 * 1024;
/// Differences that are told in words.
const TOLD_CHANGES: usize = 20;
const MAX_VALUE_CHARS: usize = 60;

/// What a reviewer gives, as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// Yes or no, for approvals and edits.
    pub decision: Option<Decision>,
    /// The options that are chosen.
    pub choices: Option<Vec<String>>,
    /// The data of a form.
    pub form: Option<Value>,
    /// The whole proposal as it is approved, where it is changed.
    pub payload: Option<Value>,
    /// Why.
    pub comment: Option<String>,
}

impl Given {
    /// Yes or no.
    #[must_use]
    pub fn decision(decision: Decision) -> Self {
        Self { decision: Some(decision), ..Self::default() }
    }
}

/// The answer that `given` is to what was asked, `proposed` being the proposal of an edit.
pub(super) fn check(kind: &AnswerKind, proposed: Option<&Value>, given: Given) -> Result<Answer, Refusal> {
    validate::optional_comment("comment", given.comment.as_deref())?;
    let Given { decision, choices, form, payload, comment } = given;
    let wants_decision = matches!(kind, AnswerKind::Approval | AnswerKind::Edit { .. });
    for (field, is_given, is_wanted) in [
        ("decision", decision.is_some(), wants_decision),
        ("choices", choices.is_some(), matches!(kind, AnswerKind::Choice { .. })),
        ("form", form.is_some(), matches!(kind, AnswerKind::Form { .. })),
        ("payload", payload.is_some(), matches!(kind, AnswerKind::Edit { .. })),
    ] {
        if is_given && !is_wanted {
            return invalid(field, "is not what this consultation asks for");
        }
        if is_wanted && !is_given && field != "payload" {
            return invalid(field, "must be given: it is what this consultation asks for");
        }
    }
    let content = match kind {
        AnswerKind::Approval => None,
        AnswerKind::Choice { options, min, max } => {
            Some(Content::Choices(choose(options, *min, *max, &choices.unwrap_or_default())?))
        }
        AnswerKind::Form { schema } => {
            let data = form.unwrap_or_default();
            validate::json("form", &data, MAX_DATA_BYTES)?;
            schema::satisfies("form", schema, &data)?;
            Some(Content::Form(data))
        }
        AnswerKind::Edit { paths, schema, .. } => match payload {
            Some(_) if decision == Some(Decision::Reject) => {
                return invalid("payload", "must not be given with a rejection");
            }
            Some(payload) => edit(proposed.ok_or(Refusal::Erased)?, &payload, paths, schema.as_ref())?,
            None => None,
        },
    };
    Ok(Answer { decision, content, comment })
}

/// The chosen options in the order of the request.
fn choose(options: &[String], min: u32, max: u32, chosen: &[String]) -> Result<Vec<String>, Refusal> {
    if let Some(unknown) = chosen.iter().find(|choice| !options.contains(choice)) {
        return invalid(
            "choices",
            format!("must be among the options; {} is not", short(&Value::from(unknown.as_str()))),
        );
    }
    let kept: Vec<String> = options.iter().filter(|option| chosen.contains(option)).cloned().collect();
    if kept.len() != chosen.len() {
        return invalid("choices", "must not name an option twice");
    }
    let count = u32::try_from(kept.len()).unwrap_or(u32::MAX);
    if !(min..=max).contains(&count) {
        let wanted = if min == max { format!("{min}") } else { format!("{min} to {max}") };
        return invalid("choices", format!("must name {wanted} of the options"));
    }
    Ok(kept)
}

/// What was changed of a proposal; none: nothing was.
fn edit(
    proposed: &Value,
    payload: &Value,
    paths: &[String],
    schema: Option<&Value>,
) -> Result<Option<Content>, Refusal> {
    validate::json("payload", payload, MAX_DATA_BYTES)?;
    let patch = json_patch::diff(proposed, payload);
    if patch.is_empty() {
        return Ok(None);
    }
    for operation in patch.iter() {
        let at = operation.path().to_string();
        if !paths.iter().any(|path| covers(path, &at)) {
            return invalid(
                "payload",
                format!("must not be changed at {}", if at.is_empty() { "its root" } else { &at }),
            );
        }
    }
    if let Some(schema) = schema {
        schema::satisfies("payload", schema, payload)?;
    }
    let words = words(proposed, &patch.0);
    // Its own form always has a JSON value.
    let patch = serde_json::to_value(patch).unwrap_or_default();
    Ok(Some(Content::Changes { patch, words }))
}

/// Whether what lies at the pointer `at` is at or below `path`.
fn covers(path: &str, at: &str) -> bool {
    at.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The payload that an answer stands for: the proposal, with its changes.
///
/// None when the changes do not fit the proposal, which no event of ours can have.
#[must_use]
pub fn payload(proposed: &Value, content: Option<&Content>) -> Option<Value> {
    let mut payload = proposed.clone();
    if let Some(Content::Changes { patch, .. }) = content {
        let patch: json_patch::Patch = serde_json::from_value(patch.clone()).ok()?;
        json_patch::patch(&mut payload, &patch).ok()?;
    }
    Some(payload)
}

/// The differences in words, such as `/amount changed from 100 to 80; /note removed`.
fn words(proposed: &Value, operations: &[PatchOperation]) -> String {
    // Each place is read as it is when its turn comes: what was removed before it moves what is behind it in a list.
    let mut current = proposed.clone();
    let mut told = Vec::new();
    for operation in operations.iter().take(TOLD_CHANGES) {
        let at = operation.path().to_string();
        let before = current.pointer(&at).map_or_else(String::new, short);
        let at = if at.is_empty() { "everything" } else { &at };
        told.push(match operation {
            PatchOperation::Add(add) => format!("{at} added: {}", short(&add.value)),
            PatchOperation::Remove(_) => format!("{at} removed: {before}"),
            PatchOperation::Replace(replace) => format!("{at} changed from {before} to {}", short(&replace.value)),
            PatchOperation::Move(_) | PatchOperation::Copy(_) | PatchOperation::Test(_) => format!("{at} changed"),
        });
        if json_patch::patch(&mut current, std::slice::from_ref(operation)).is_err() {
            break;
        }
    }
    if operations.len() > told.len() {
        told.push(format!("and {} more changes", operations.len() - told.len()));
    }
    told.join("; ")
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_VALUE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
