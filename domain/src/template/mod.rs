//! The template: a request that an organisation has prepared under a name, into which an asker puts values.
//!
//! Each time it is set it has a new version, the stream's, and older ones can be used still; a template that was retired can be used in
//! none. Owns what a template may be and what it comes to with values ([`render()`]). It must not judge the request that comes of it: that
//! is a request like any other.

mod render;

#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use docket_events::{
    HasPersonal,
    identity::{IdentityEvent, TemplateRetired, TemplateSet},
    personal::PersonalField,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    Aggregate, At, Decided,
    consultation::{self, schema, validate},
    identity::Refusal,
};
pub(crate) use render::{fill, names};
pub use render::{has_places, render};

const MAX_NAME_BYTES: usize = 64;
const MAX_REQUEST_BYTES: usize = 128 * 1024;
/// What belongs to one request and to no other, or would refer to a template again.
const OF_ONE_REQUEST: [&str; 2] = ["supersedes", "template"];

/// A template as its events tell it. The default does not exist yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Template {
    /// What askers call it; none: it does not exist.
    pub name: Option<String>,
    /// The request, with `{{value}}` where values go.
    pub request: Map<String, Value>,
    /// The JSON Schema that the values satisfy.
    pub values: Option<Value>,
    /// Who set it.
    pub set_by: Option<Uuid>,
    /// When.
    pub set_at: Option<DateTime<Utc>>,
    /// Whether it was retired since.
    pub retired: bool,
    /// The version of the stream.
    pub version: u64,
}

impl Aggregate for Template {
    type Event = IdentityEvent;

    const SCHEMA: i32 = 1;

    fn evolve(&mut self, event: &IdentityEvent, at: At) {
        self.version = at.version;
        match event {
            IdentityEvent::TemplateSet(event) => {
                self.name = Some(event.name.clone());
                self.request = event.request.as_object().cloned().unwrap_or_default();
                self.values.clone_from(&event.values);
                self.set_by = Some(event.set_by);
                self.set_at = Some(at.time);
                self.retired = false;
            }
            IdentityEvent::TemplateRetired(_) => self.retired = true,
            // Of other aggregates' streams.
            _ => {}
        }
    }
}

impl HasPersonal for Template {
    fn visit_personal(&mut self, _: &mut dyn FnMut(&mut dyn PersonalField)) {}
}

/// The stream of the template that a tenant calls `name`.
#[must_use]
pub fn stream_of(tenant: Uuid, name: &str) -> Uuid {
    Uuid::new_v5(&tenant, format!("template:{name}").as_bytes())
}

/// Set a template.
#[derive(Debug, Clone, PartialEq)]
pub struct SetTemplate {
    /// What askers are to call it.
    pub name: String,
    /// The request; that its fields are those of a request is checked before.
    pub request: Map<String, Value>,
    /// The JSON Schema that the values are to satisfy, if any.
    pub values: Option<Value>,
    /// Who sets it.
    pub set_by: Uuid,
}

fn invalid<T>(field: &'static str, reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Invalid { field, reason: reason.into() })
}

/// What is checked as parts of a consultation are is refused as those are.
fn checked<T>(result: Result<T, consultation::Refusal>) -> Result<T, Refusal> {
    result.or_else(|refusal| match refusal {
        consultation::Refusal::Invalid { field, reason } => invalid(field, reason),
        other => invalid("request", other.to_string()),
    })
}

/// The name without a fault: it stands in paths.
///
/// # Errors
/// [`Refusal::Invalid`] on `name`.
pub fn check_name(name: &str) -> Result<(), Refusal> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if begins && name.len() <= MAX_NAME_BYTES && name.bytes().all(allowed) {
        return Ok(());
    }
    invalid(
        "name",
        format!(
            "must have 1 to {MAX_NAME_BYTES} lower-case letters, digits, dots, hyphens and underscores, and begin with a letter or a digit"
        ),
    )
}

/// Decides that a template is set. As it stands already: nothing happens.
#[must_use]
pub fn set_template(state: &Template, command: &SetTemplate) -> Decided<IdentityEvent, Refusal> {
    if let Err(refusal) = check(command) {
        return Decided::refused(refusal);
    }
    if state.name.is_some() && !state.retired && state.request == command.request && state.values == command.values {
        return Decided::accepted(Vec::new());
    }
    let SetTemplate { name, request, values, set_by } = command.clone();
    Decided::accepted(vec![IdentityEvent::TemplateSet(TemplateSet { name, request: request.into(), values, set_by })])
}

fn check(command: &SetTemplate) -> Result<(), Refusal> {
    check_name(&command.name)?;
    if let Some(field) = OF_ONE_REQUEST.into_iter().find(|field| command.request.contains_key(*field)) {
        return invalid("request", format!("must not hold `{field}`: it belongs to one request"));
    }
    let request = Value::from(command.request.clone());
    checked(validate::json("request", &request, MAX_REQUEST_BYTES))?;
    render::names(&request).or_else(|reason| invalid("request", reason))?;
    command.values.as_ref().map_or(Ok(()), |values| checked(schema::check("values", values)))
}

/// Decides that a template is used no more. What is retired stays so.
#[must_use]
pub fn retire_template(state: &Template, retired_by: Uuid) -> Decided<IdentityEvent, Refusal> {
    match &state.name {
        None => Decided::refused(Refusal::NotFound),
        Some(_) if state.retired => Decided::accepted(Vec::new()),
        Some(name) => {
            let event = TemplateRetired { name: name.clone(), retired_by };
            Decided::accepted(vec![IdentityEvent::TemplateRetired(event)])
        }
    }
}
