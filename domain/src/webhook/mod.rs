//! Webhooks: where an organisation wants to be told, of which events, and how that reads.
//!
//! All endpoints of an organisation are one stream, so that whoever notes a delivery sees all of them with one look at the journal.
//! Owns what an endpoint may be ([`decide`](self)), which events it is told of, and what it is told ([`body()`]). It must not know
//! of secrets and signatures, nor of how a delivery is made.

mod body;
mod decide;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use docket_events::{
    EventData, HasPersonal, Personal,
    consultation::ConsultationEvent,
    identity::{EndpointEnd, EndpointFormat, IdentityEvent, WebhookEndpointSet},
    personal::PersonalField,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{Aggregate, At};
pub use body::{Told, Unwritable, body, delivery_id};
pub use decide::{
    Redeliver, SetEndpoint, disable_endpoint, enable_endpoint, redeliver, remove_endpoint, rotate_secret, set_endpoint,
    test_endpoint,
};

/// What a test is called in requests.
pub const TEST: &str = "webhook.test";
/// The outcomes of a consultation, of which the `callback_url` of its request is told.
pub const OUTCOMES: [&str; 3] = ["consultation.responded", "consultation.timed_out", "consultation.withdrawn"];

/// An endpoint as its events tell it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Where it is.
    pub url: Personal<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Of which events it is told.
    pub event_types: Vec<String>,
    /// What a request looks like.
    pub format: EndpointFormat,
    /// The text or JSON of a format that wants one.
    pub template: Option<Value>,
    /// Why it is told nothing; none: it is told.
    pub disabled: Option<EndpointEnd>,
    /// Who set it last.
    pub set_by: Uuid,
    /// When it was set first: it is told of nothing that was before.
    pub created_at: DateTime<Utc>,
    /// When it was set last.
    pub set_at: DateTime<Utc>,
    /// Until when the secret before the present one signs too, if there was one.
    pub old_secret_until: Option<DateTime<Utc>>,
}

/// The webhooks of an organisation. The default has none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Webhooks {
    /// By id; what was removed is not among them.
    pub endpoints: BTreeMap<Uuid, Endpoint>,
    /// Until when the secret of the callbacks before the present one signs too.
    pub old_callback_secret_until: Option<DateTime<Utc>>,
    /// The version of the stream.
    pub version: u64,
}

impl Webhooks {
    fn set(&mut self, event: &WebhookEndpointSet, at: At) {
        let before = self.endpoints.remove(&event.endpoint_id);
        let endpoint = Endpoint {
            url: event.url.clone(),
            description: event.description.clone(),
            event_types: event.event_types.clone(),
            format: event.format,
            template: event.template.clone(),
            disabled: before.as_ref().and_then(|before| before.disabled),
            set_by: event.set_by,
            created_at: before.as_ref().map_or(at.time, |before| before.created_at),
            set_at: at.time,
            old_secret_until: before.and_then(|before| before.old_secret_until),
        };
        self.endpoints.insert(event.endpoint_id, endpoint);
    }

    fn stand(&mut self, endpoint: Uuid, disabled: Option<EndpointEnd>) {
        if let Some(endpoint) = self.endpoints.get_mut(&endpoint) {
            endpoint.disabled = disabled;
        }
    }
}

impl Endpoint {
    /// Whether it is told of an event of this name that happened then.
    #[must_use]
    pub fn hears(&self, name: &str, time: DateTime<Utc>) -> bool {
        self.disabled.is_none()
            && time >= self.created_at
            && self.event_types.iter().any(|wanted| match wanted.strip_suffix('*') {
                Some(category) => name.starts_with(category),
                None => wanted == name,
            })
    }
}

impl Aggregate for Webhooks {
    type Event = IdentityEvent;

    const SCHEMA: i32 = 1;

    fn evolve(&mut self, event: &IdentityEvent, at: At) {
        self.version = at.version;
        match event {
            IdentityEvent::WebhookEndpointSet(event) => self.set(event, at),
            IdentityEvent::WebhookEndpointEnabled(event) => self.stand(event.endpoint_id, None),
            IdentityEvent::WebhookEndpointDisabled(event) => self.stand(event.endpoint_id, Some(event.reason)),
            IdentityEvent::WebhookEndpointRemoved(event) => drop(self.endpoints.remove(&event.endpoint_id)),
            IdentityEvent::WebhookSecretRotated(event) => match event.endpoint_id {
                None => self.old_callback_secret_until = Some(event.old_until),
                Some(id) => {
                    if let Some(endpoint) = self.endpoints.get_mut(&id) {
                        endpoint.old_secret_until = Some(event.old_until);
                    }
                }
            },
            // Of other aggregates' streams, or about deliveries alone.
            _ => {}
        }
    }

    /// Whether something is set as it stands already hangs on the URL.
    fn decides_in_clear(&self) -> bool {
        !self.endpoints.is_empty()
    }
}

impl HasPersonal for Webhooks {
    fn visit_personal(&mut self, visit: &mut dyn FnMut(&mut dyn PersonalField)) {
        self.endpoints.values_mut().for_each(|endpoint| visit(&mut endpoint.url));
    }
}

/// The stream of an organisation's webhooks.
#[must_use]
pub fn stream_of(tenant: Uuid) -> Uuid {
    Uuid::new_v5(&tenant, b"webhooks")
}

/// What stands for the callbacks of an organisation's requests where an endpoint is named: their secret is kept under it.
#[must_use]
pub fn callbacks_of(tenant: Uuid) -> Uuid {
    Uuid::new_v5(&tenant, b"callbacks")
}

/// An event's name for whoever is told of it: `consultation.responded` of `docket.consultation.responded.v1`.
#[must_use]
pub fn name_of(event_type: &str) -> &str {
    let name = event_type.strip_prefix("docket.").unwrap_or(event_type);
    match name.rsplit_once(".v") {
        Some((name, version)) if version.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => name,
    }
}

/// The names of all events that an endpoint can be told of.
pub fn names() -> impl Iterator<Item = &'static str> {
    ConsultationEvent::TYPES.iter().map(|event_type| name_of(event_type))
}
