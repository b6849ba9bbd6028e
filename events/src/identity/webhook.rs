//! Of the stream of an organisation's webhooks: where it wants to be told, of what, and what was asked of the deliveries.
//!
//! An endpoint's URL is sealed under a key of its own, as a person's name is: chat systems put credentials into theirs. Secrets that sign
//! are never events.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::Personal;

/// What a request to an endpoint looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndpointFormat {
    /// The event, as Standard Webhooks has it.
    #[default]
    Standard,
    /// A text, as the incoming webhooks of Slack take it.
    Slack,
    /// JSON of the organisation's own making.
    Json,
}

/// `docket.identity.webhook_endpoint_set.v1`: an endpoint is to be told of events from now on, as this says.
///
/// In place of what was said of it before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookEndpointSet {
    /// The endpoint.
    pub endpoint_id: Uuid,
    /// Where it is; it belongs to the endpoint.
    pub url: Personal<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Of which events it is told: `consultation.responded`, or `consultation.*` for all of a category.
    pub event_types: Vec<String>,
    /// What a request looks like.
    pub format: EndpointFormat,
    /// The text or the JSON of a format that wants one, with `{{value}}` where values go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Value>,
    /// Who set it.
    pub set_by: Uuid,
}

/// Why an endpoint is told no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndpointEnd {
    /// Somebody turned it off.
    Off,
    /// It answered that it is gone.
    Gone,
    /// Nothing had reached it for days.
    Failing,
}

/// `docket.identity.webhook_endpoint_disabled.v1`: an endpoint is told of nothing until it is enabled again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookEndpointDisabled {
    /// The endpoint.
    pub endpoint_id: Uuid,
    /// Why.
    pub reason: EndpointEnd,
    /// Since when nothing had reached it, where that is why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<DateTime<Utc>>,
    /// Who turned it off; absent: nobody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_by: Option<Uuid>,
}

/// `docket.identity.webhook_endpoint_enabled.v1`: an endpoint is told of events again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookEndpointEnabled {
    /// The endpoint.
    pub endpoint_id: Uuid,
    /// Who turned it on.
    pub enabled_by: Uuid,
}

/// `docket.identity.webhook_endpoint_removed.v1`: there is no such endpoint any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookEndpointRemoved {
    /// The endpoint.
    pub endpoint_id: Uuid,
    /// Who removed it.
    pub removed_by: Uuid,
}

/// `docket.identity.webhook_secret_rotated.v1`: requests are signed with a new secret, and for some time with the old one too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookSecretRotated {
    /// The endpoint; absent: the callbacks of requests, which share one secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_id: Option<Uuid>,
    /// Until when the old one signs too.
    pub old_until: DateTime<Utc>,
    /// Who rotated it.
    pub rotated_by: Uuid,
}

/// `docket.identity.webhook_test_requested.v1`: an endpoint is to be sent a request that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookTestRequested {
    /// The endpoint.
    pub endpoint_id: Uuid,
    /// Who wants to see it.
    pub requested_by: Uuid,
}

/// Which deliveries are made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Redelivered {
    /// This one.
    One(Uuid),
    /// Those of events from one time to before another.
    Between {
        /// The first.
        since: DateTime<Utc>,
        /// The end.
        until: DateTime<Utc>,
        /// Only those that were given up.
        failed_only: bool,
    },
    /// All that were given up.
    Failed,
}

/// `docket.identity.webhook_redelivery_requested.v1`: deliveries to an endpoint are made again, under the ids that they had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookRedeliveryRequested {
    /// The endpoint; absent: the callbacks of requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_id: Option<Uuid>,
    /// Which.
    pub deliveries: Redelivered,
    /// Who wants it.
    pub requested_by: Uuid,
}
