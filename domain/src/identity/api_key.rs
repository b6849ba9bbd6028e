//! The API key: software that acts in an organisation.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use docket_events::{
    HasPersonal,
    identity::{ApiKeyCreated, ApiKeyRevoked, ApiKeyRotated, IdentityEvent, KeyEnd, Scope},
    personal::PersonalField,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Refusal, check_name};
use crate::{Aggregate, At, Decided};

/// A key as its events tell it. The default does not exist yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// What it is for; none: it does not exist.
    pub name: Option<String>,
    /// What may be done with it.
    pub scopes: BTreeSet<Scope>,
    /// Who made it.
    pub created_by: Option<Uuid>,
    /// When it was made.
    pub created_at: Option<DateTime<Utc>>,
    /// When it ends, if ever.
    pub expires_at: Option<DateTime<Utc>>,
    /// Until when the secret before the present one works, if there was one.
    pub old_until: Option<DateTime<Utc>>,
    /// Why it is over, if it is.
    pub ended: Option<KeyEnd>,
    /// The version of the stream.
    pub version: u64,
}

impl Aggregate for ApiKey {
    type Event = IdentityEvent;

    const SCHEMA: i32 = 1;

    fn evolve(&mut self, event: &IdentityEvent, at: At) {
        self.version = at.version;
        match event {
            IdentityEvent::ApiKeyCreated(event) => {
                self.name = Some(event.name.clone());
                self.scopes = event.scopes.iter().copied().collect();
                self.created_by = Some(event.created_by);
                self.created_at = Some(at.time);
                self.expires_at = event.expires_at;
            }
            IdentityEvent::ApiKeyRotated(event) => self.old_until = Some(event.old_until),
            IdentityEvent::ApiKeyRevoked(event) => self.ended = Some(event.reason),
            // Of other aggregates' streams.
            _ => {}
        }
    }
}

impl HasPersonal for ApiKey {
    fn visit_personal(&mut self, _: &mut dyn FnMut(&mut dyn PersonalField)) {}
}

/// Make a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateApiKey {
    /// What it is for, in words.
    pub name: String,
    /// What may be done with it: something.
    pub scopes: BTreeSet<Scope>,
    /// Who makes it.
    pub created_by: Uuid,
    /// When it ends, if ever.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Decides a creation at `now`. Again: nothing happens.
#[must_use]
pub fn create_api_key(state: &ApiKey, command: &CreateApiKey, now: DateTime<Utc>) -> Decided<IdentityEvent, Refusal> {
    if state.name.is_some() {
        return Decided::accepted(Vec::new());
    }
    let invalid = |field, reason: &str| Decided::refused(Refusal::Invalid { field, reason: reason.to_owned() });
    if command.scopes.is_empty() {
        return invalid("scopes", "must name at least one scope");
    }
    if command.expires_at.is_some_and(|end| end <= now) {
        return invalid("expires_at", "must be in the future");
    }
    match check_name(&command.name) {
        Ok(name) => Decided::accepted(vec![IdentityEvent::ApiKeyCreated(ApiKeyCreated {
            name,
            scopes: command.scopes.iter().copied().collect(),
            created_by: command.created_by,
            expires_at: command.expires_at,
        })]),
        Err(refusal) => Decided::refused(refusal),
    }
}

/// Decides that the key has a new secret at `now`, and that the old one works until `old_until`.
#[must_use]
pub fn rotate_api_key(state: &ApiKey, old_until: DateTime<Utc>, now: DateTime<Utc>) -> Decided<IdentityEvent, Refusal> {
    match state {
        ApiKey { name: None, .. } => Decided::refused(Refusal::NotFound),
        ApiKey { ended: Some(_), .. } => Decided::refused(Refusal::Ended),
        ApiKey { expires_at: Some(end), .. } if *end <= now => Decided::refused(Refusal::Ended),
        _ => Decided::accepted(vec![IdentityEvent::ApiKeyRotated(ApiKeyRotated { old_until })]),
    }
}

/// Decides the end of a key. What is over stays over.
#[must_use]
pub fn revoke_api_key(state: &ApiKey) -> Decided<IdentityEvent, Refusal> {
    match state {
        ApiKey { name: None, .. } => Decided::refused(Refusal::NotFound),
        ApiKey { ended: Some(_), .. } => Decided::accepted(Vec::new()),
        _ => Decided::accepted(vec![IdentityEvent::ApiKeyRevoked(ApiKeyRevoked { reason: KeyEnd::Revoked })]),
    }
}
