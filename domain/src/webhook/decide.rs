//! What may be done with endpoints.

use chrono::{DateTime, Utc};
use docket_events::{
    Personal,
    identity::{
        EndpointEnd, EndpointFormat, IdentityEvent, Redelivered, WebhookEndpointDisabled, WebhookEndpointEnabled,
        WebhookEndpointRemoved, WebhookEndpointSet, WebhookRedeliveryRequested, WebhookSecretRotated,
        WebhookTestRequested,
    },
};
use serde_json::Value;
use uuid::Uuid;

use super::{Endpoint, Webhooks, body, names};
use crate::{Decided, identity::Refusal, template};

/// The most endpoints of an organisation.
pub const MAX_ENDPOINTS: usize = 100;
const MAX_URL_BYTES: usize = 2_000;
const MAX_DESCRIPTION_CHARACTERS: usize = 200;
const MAX_EVENT_TYPES: usize = 50;
const MAX_TEMPLATE_BYTES: usize = 16 * 1024;

type Decision = Decided<IdentityEvent, Refusal>;

/// Set an endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct SetEndpoint {
    /// Which.
    pub id: Uuid,
    /// Whether it must be there already.
    pub changes: bool,
    /// Where it is; that this is a URL is checked before.
    pub url: String,
    /// What it is for.
    pub description: Option<String>,
    /// Of which events it is told.
    pub event_types: Vec<String>,
    /// What a request looks like.
    pub format: EndpointFormat,
    /// The text or JSON of a format that wants one.
    pub template: Option<Value>,
    /// Who sets it.
    pub set_by: Uuid,
}

fn invalid<T>(field: &'static str, reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Invalid { field, reason: reason.into() })
}

/// Decides that an endpoint is set. As it stands already: nothing happens.
#[must_use]
pub fn set_endpoint(state: &Webhooks, command: &SetEndpoint) -> Decision {
    let before = state.endpoints.get(&command.id);
    if before.is_none() && command.changes {
        return Decided::refused(Refusal::NotFound);
    }
    if before.is_none() && state.endpoints.len() >= MAX_ENDPOINTS {
        return Decided::refused(Refusal::TooMany("endpoints"));
    }
    if let Err(refusal) = check(command) {
        return Decided::refused(refusal);
    }
    if before.is_some_and(|before| is_same(before, command)) {
        return Decided::accepted(Vec::new());
    }
    let SetEndpoint { id, url, description, event_types, format, template, set_by, .. } = command.clone();
    let url = Personal::known(id, url);
    let event = WebhookEndpointSet { endpoint_id: id, url, description, event_types, format, template, set_by };
    Decided::accepted(vec![IdentityEvent::WebhookEndpointSet(event)])
}

fn is_same(before: &Endpoint, command: &SetEndpoint) -> bool {
    before.url.value() == Some(&command.url)
        && before.description == command.description
        && before.event_types == command.event_types
        && before.format == command.format
        && before.template == command.template
}

fn check(command: &SetEndpoint) -> Result<(), Refusal> {
    if command.url.len() > MAX_URL_BYTES {
        return invalid("url", format!("must not be longer than {MAX_URL_BYTES} bytes"));
    }
    if let Some(text) = &command.description
        && (text.chars().count() > MAX_DESCRIPTION_CHARACTERS || text.chars().any(char::is_control))
    {
        let reason = format!("must be one line of at most {MAX_DESCRIPTION_CHARACTERS} characters");
        return invalid("description", reason);
    }
    check_event_types(&command.event_types)?;
    check_template(command.format, command.template.as_ref())
}

fn check_event_types(wanted: &[String]) -> Result<(), Refusal> {
    if wanted.is_empty() || wanted.len() > MAX_EVENT_TYPES {
        return invalid("event_types", format!("must name 1 to {MAX_EVENT_TYPES} types"));
    }
    let is_known = |wanted: &String| match wanted.strip_suffix(".*") {
        Some(category) => names().any(|name| name.split_once('.').is_some_and(|(of, _)| of == category)),
        None => names().any(|name| name == wanted),
    };
    match wanted.iter().find(|wanted| !is_known(wanted)) {
        None => Ok(()),
        Some(_) => {
            let all = names().collect::<Vec<_>>().join("`, `");
            invalid("event_types", format!("must be among `consultation.*`, `{all}`"))
        }
    }
}

fn check_template(format: EndpointFormat, template: Option<&Value>) -> Result<(), Refusal> {
    match (format, template) {
        (EndpointFormat::Standard, Some(_)) => return invalid("template", "must not be given with this format"),
        (EndpointFormat::Json, None) => return invalid("template", "must be given with this format"),
        (EndpointFormat::Slack, Some(template)) if !template.is_string() => {
            return invalid("template", "must be a text with this format");
        }
        (_, None) => return Ok(()),
        (_, Some(_)) => {}
    }
    let Some(template) = template else { return Ok(()) };
    if template.to_string().len() > MAX_TEMPLATE_BYTES {
        return invalid("template", format!("must not be longer than {MAX_TEMPLATE_BYTES} bytes"));
    }
    let wanted = template::names(template).or_else(|reason| invalid("template", reason))?;
    match wanted.into_iter().find(|name| !body::VALUES.contains(name)) {
        None => Ok(()),
        Some(name) => invalid(
            "template",
            format!("must not hold `{{{{{name}}}}}`: the values are `{}`", body::VALUES.join("`, `")),
        ),
    }
}

/// What is there may be acted upon by `act`.
fn known(state: &Webhooks, id: Uuid, act: impl FnOnce(&Endpoint) -> Vec<IdentityEvent>) -> Decision {
    match state.endpoints.get(&id) {
        None => Decided::refused(Refusal::NotFound),
        Some(endpoint) => Decided::accepted(act(endpoint)),
    }
}

/// Decides that an endpoint is told again. What is on stays so.
#[must_use]
pub fn enable_endpoint(state: &Webhooks, id: Uuid, enabled_by: Uuid) -> Decision {
    known(state, id, |endpoint| {
        let event = WebhookEndpointEnabled { endpoint_id: id, enabled_by };
        endpoint.disabled.map(|_| IdentityEvent::WebhookEndpointEnabled(event)).into_iter().collect()
    })
}

/// Decides that an endpoint is told no more. What is off stays so, for the first reason.
#[must_use]
pub fn disable_endpoint(
    state: &Webhooks,
    id: Uuid,
    reason: EndpointEnd,
    failing_since: Option<DateTime<Utc>>,
    disabled_by: Option<Uuid>,
) -> Decision {
    known(state, id, |endpoint| match endpoint.disabled {
        Some(_) => Vec::new(),
        None => {
            let event = WebhookEndpointDisabled { endpoint_id: id, reason, failing_since, disabled_by };
            vec![IdentityEvent::WebhookEndpointDisabled(event)]
        }
    })
}

/// Decides that there is no such endpoint any more.
#[must_use]
pub fn remove_endpoint(state: &Webhooks, id: Uuid, removed_by: Uuid) -> Decision {
    let event = WebhookEndpointRemoved { endpoint_id: id, removed_by };
    known(state, id, |_| vec![IdentityEvent::WebhookEndpointRemoved(event)])
}

/// Decides that requests are signed with a new secret: those to an endpoint, or callbacks.
#[must_use]
pub fn rotate_secret(state: &Webhooks, id: Option<Uuid>, old_until: DateTime<Utc>, rotated_by: Uuid) -> Decision {
    let events =
        vec![IdentityEvent::WebhookSecretRotated(WebhookSecretRotated { endpoint_id: id, old_until, rotated_by })];
    match id {
        None => Decided::accepted(events),
        Some(id) => known(state, id, |_| events),
    }
}

/// Decides that an endpoint is sent a test.
#[must_use]
pub fn test_endpoint(state: &Webhooks, id: Uuid, requested_by: Uuid) -> Decision {
    match state.endpoints.get(&id) {
        None => Decided::refused(Refusal::NotFound),
        Some(Endpoint { disabled: Some(_), .. }) => Decided::refused(Refusal::Ended),
        Some(_) => {
            let event = WebhookTestRequested { endpoint_id: id, requested_by };
            Decided::accepted(vec![IdentityEvent::WebhookTestRequested(event)])
        }
    }
}

/// Make deliveries again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redeliver {
    /// To which endpoint; none: callbacks.
    pub endpoint: Option<Uuid>,
    /// Which.
    pub deliveries: Redelivered,
    /// Who wants it.
    pub requested_by: Uuid,
}

/// Decides that deliveries are made again.
#[must_use]
pub fn redeliver(state: &Webhooks, command: Redeliver) -> Decision {
    if let Redelivered::Between { since, until, .. } = command.deliveries
        && since >= until
    {
        return Decided::refused(Refusal::Invalid { field: "until", reason: "must be later than `since`".to_owned() });
    }
    match command.endpoint.map(|id| state.endpoints.get(&id)) {
        Some(None) => Decided::refused(Refusal::NotFound),
        Some(Some(Endpoint { disabled: Some(_), .. })) => Decided::refused(Refusal::Ended),
        Some(Some(_)) | None => {
            let Redeliver { endpoint, deliveries, requested_by } = command;
            let event = WebhookRedeliveryRequested { endpoint_id: endpoint, deliveries, requested_by };
            Decided::accepted(vec![IdentityEvent::WebhookRedeliveryRequested(event)])
        }
    }
}
