//! Endpoints as the answers to commands. Owns their shape.

use chrono::{DateTime, Utc};
use docket_domain::webhook::Endpoint;
use docket_events::identity::{EndpointEnd, EndpointFormat};
use docket_platform::webhook::Secret;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// What a request to an endpoint looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WebhookFormat)]
pub(super) enum Format {
    /// The event and the consultation, as Standard Webhooks has it.
    #[default]
    Standard,
    /// `{"text": …}`, as the incoming webhooks of Slack, Mattermost and others take it.
    Slack,
    /// The JSON of `template`.
    Json,
}

impl From<Format> for EndpointFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Standard => Self::Standard,
            Format::Slack => Self::Slack,
            Format::Json => Self::Json,
        }
    }
}

impl From<EndpointFormat> for Format {
    fn from(format: EndpointFormat) -> Self {
        match format {
            EndpointFormat::Standard => Self::Standard,
            EndpointFormat::Slack => Self::Slack,
            EndpointFormat::Json => Self::Json,
        }
    }
}

/// Why an endpoint is told nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WebhookDisabled)]
pub(super) enum Disabled {
    /// Somebody turned it off.
    Off,
    /// It answered 410.
    Gone,
    /// Nothing had reached it for days.
    Failing,
}

/// An endpoint. Its secret is no part of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
pub(super) struct EndpointView {
    /// Its id.
    pub(super) id: Uuid,
    /// The version, as in `ETag`; that of all the organisation's endpoints together.
    #[schema(example = 3)]
    version: u64,
    /// Where it is.
    #[schema(example = "https://hooks.example.org/docket")]
    url: Option<String>,
    /// What it is for.
    description: Option<String>,
    /// Of which events it is told.
    #[schema(example = json!(["consultation.responded", "consultation.timed_out"]))]
    event_types: Vec<String>,
    /// What a request looks like.
    format: Format,
    /// The text or JSON of a format that wants one.
    template: Option<Value>,
    /// Why it is told nothing; null: it is told.
    disabled: Option<Disabled>,
    /// Who set it last.
    set_by: Uuid,
    /// When it was set first; it is told of nothing that was before.
    created_at: DateTime<Utc>,
    /// Until when the secret before the present one signs too, if there was one.
    old_secret_until: Option<DateTime<Utc>>,
}

impl EndpointView {
    /// An endpoint whose URL was opened.
    pub(super) fn new(id: Uuid, version: u64, endpoint: Endpoint) -> Self {
        let disabled = endpoint.disabled.map(|end| match end {
            EndpointEnd::Off => Disabled::Off,
            EndpointEnd::Gone => Disabled::Gone,
            EndpointEnd::Failing => Disabled::Failing,
        });
        Self {
            id,
            version,
            url: endpoint.url.value().cloned(),
            description: endpoint.description,
            event_types: endpoint.event_types,
            format: endpoint.format.into(),
            template: endpoint.template,
            disabled,
            set_by: endpoint.set_by,
            created_at: endpoint.created_at,
            old_secret_until: endpoint.old_secret_until,
        }
    }
}

/// A secret that signs from now on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookSecret)]
pub(super) struct SecretView {
    /// The secret, as libraries for Standard Webhooks take it. It is shown here once; null in the answer to a repetition.
    #[schema(value_type = Option<String>, pattern = "^whsec_[0-9A-Za-z+/=]{32,88}$")]
    #[serde(serialize_with = "shown")]
    pub(super) secret: Option<Secret>,
    /// Says why there is no secret, where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) notice: Option<&'static str>,
}

impl SecretView {
    pub(super) fn of(secret: Option<Secret>) -> Self {
        let notice = secret.is_none().then_some(SHOWN_BEFORE);
        Self { secret, notice }
    }
}

/// An endpoint that has a new secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookEndpointWithSecret)]
pub(super) struct WithSecret {
    #[serde(flatten)]
    pub(super) endpoint: EndpointView,
    #[serde(flatten)]
    pub(super) secret: SecretView,
}

/// The secret of callbacks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookCallbacks)]
pub(super) struct CallbacksView {
    /// The version, as in `ETag`; that of all the organisation's endpoints together.
    pub(super) version: u64,
    /// Until when the secret before the present one signs too.
    pub(super) old_secret_until: Option<DateTime<Utc>>,
    #[serde(flatten)]
    pub(super) secret: SecretView,
}

/// That something is under way.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookAccepted)]
pub(super) struct AcceptedView {
    /// The version, as in `ETag`; that of all the organisation's endpoints together.
    pub(super) version: u64,
}

/// What a repetition is told.
const SHOWN_BEFORE: &str =
    "This was done before under this Idempotency-Key, and the secret is shown once only. Rotate it for a new one.";

fn shown<S: serde::Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(Secret::expose).serialize(serializer)
}
