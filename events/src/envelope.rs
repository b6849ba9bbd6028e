//! What stands around an event's data: identity, order, time and cause.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{ShardId, StreamId};

/// The largest event that may be appended, in bytes of its JSON data.
pub const MAX_EVENT_BYTES: usize = 256 * 1024;

/// Why an event happened, as far as the command knew. Journalled as JSON text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The principal that commanded it; none for the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Uuid>,
    /// The session that the principal commanded it from; the session's first event says where that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Uuid>,
    /// Ties everything together that one outer request set off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The request or event that directly caused this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// W3C trace context of the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Whether this is history from elsewhere, of which nobody is told: no webhook, no mail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub imported: bool,
}

/// An event that was decided and encoded, and is not journalled yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// UUIDv7, or UUIDv5 where a repetition must give the same.
    pub id: Uuid,
    /// The CloudEvents type, `docket.consultation.requested.v1`.
    pub event_type: &'static str,
    /// The decided `now`, in whole microseconds.
    pub time: DateTime<Utc>,
    /// The data's JSON text, byte for byte as it will stand on the log.
    pub data: String,
}

/// An event as the journal holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The stream.
    pub stream: StreamId,
    /// The shard of the stream.
    pub shard: u16,
    /// Gap-free within the shard, from 1.
    pub sequence: u64,
    /// Gap-free within the stream, from 1.
    pub version: u64,
    /// The event's id.
    pub id: Uuid,
    /// The CloudEvents type.
    pub event_type: String,
    /// Whose it is; nil for users.
    pub tenant: Uuid,
    /// When it was decided (`ce_time`).
    pub time: DateTime<Utc>,
    /// When it was journalled.
    pub recorded_at: DateTime<Utc>,
    /// The data's JSON text.
    pub data: String,
    /// [`Metadata`] as JSON text.
    pub meta: String,
}

/// Where `ce_source` points: the platform itself; the tenant is an extension.
const SOURCE: &str = "/docket";

/// The CloudEvents JSON form of a recorded event; extension names as CloudEvents asks: lower case, no underscores.
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: Uuid,
    source: &'static str,
    #[serde(rename = "type")]
    event_type: &'a str,
    subject: String,
    time: String,
    datacontenttype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dataschema: Option<String>,
    shard: u16,
    sequence: String,
    streamversion: String,
    tenant: Uuid,
    recordedtime: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlationid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    causationid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    imported: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<&'a str>,
    data: &'a RawValue,
}

/// An event as it is told to its own organisation, in place of what stands on the log.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// The newest version of its type.
    pub event_type: &'a str,
    /// The data of that version, as JSON text; names and addresses of people are in clear, so that no schema of the log fits it.
    pub data: &'a str,
    /// The place behind the event in the feed that tells it.
    pub position: &'a str,
    /// Whether the session that it was commanded from is told.
    pub with_session: bool,
    /// The signed receipt of the outcome that it is, if it is one.
    pub receipt: Option<&'a str>,
}

impl Recorded {
    /// The shard that the event stands in.
    #[must_use]
    pub const fn shard_id(&self) -> ShardId {
        ShardId { category: self.stream.category, shard: self.shard }
    }

    /// The metadata; what cannot be read is empty, since nothing depends on it.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        serde_json::from_str(&self.meta).unwrap_or_default()
    }

    /// The event as one line of CloudEvents 1.0 JSON (JSON event format 1.0.2), the data byte for byte as journalled.
    ///
    /// # Errors
    /// When the data is no JSON, which only a damaged journal holds.
    pub fn cloud_event(&self) -> Result<String, serde_json::Error> {
        let mut event = self.members(&self.event_type, serde_json::from_str(&self.data)?);
        event.dataschema = Some(schema_path(&self.event_type));
        serde_json::to_string(&event)
    }

    /// The event as one line of CloudEvents 1.0 JSON, as it is told to its own organisation.
    ///
    /// # Errors
    /// When what is told of its data is no JSON.
    pub fn cloud_event_as(&self, told: &Told<'_>) -> Result<String, serde_json::Error> {
        let mut event = self.members(told.event_type, serde_json::from_str(told.data)?);
        event.position = Some(told.position);
        event.receipt = told.receipt;
        event.session = event.session.filter(|_| told.with_session);
        serde_json::to_string(&event)
    }

    fn members<'a>(&self, event_type: &'a str, data: &'a RawValue) -> CloudEvent<'a> {
        let meta = self.metadata();
        CloudEvent {
            specversion: "1.0",
            id: self.id,
            source: SOURCE,
            event_type,
            subject: self.stream.to_string(),
            time: self.time.to_rfc3339_opts(SecondsFormat::Micros, true),
            datacontenttype: "application/json",
            dataschema: None,
            shard: self.shard,
            sequence: self.sequence.to_string(),
            streamversion: self.version.to_string(),
            tenant: self.tenant,
            recordedtime: self.recorded_at.to_rfc3339_opts(SecondsFormat::Micros, true),
            principal: meta.principal,
            session: meta.session,
            correlationid: meta.correlation_id,
            causationid: meta.causation_id,
            traceparent: meta.traceparent,
            imported: meta.imported,
            position: None,
            receipt: None,
            data,
        }
    }
}

/// Where the JSON Schema of an event type is found, relative to the installation.
#[must_use]
pub fn schema_path(event_type: &str) -> String {
    format!("/schemas/events/{event_type}.json")
}
