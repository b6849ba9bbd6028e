//! Events to messages and back: CloudEvents 1.0 in Kafka's binary content mode (Kafka protocol binding 1.0.2, section 3.2).
//!
//! The value is the event's data byte for byte, the key the stream id, everything else a header. One header is ours alone,
//! [`MAC`]: a keyed hash over the partition, all other headers and the value. A topic is open to whoever may write to the broker;
//! readers apply only what a relay of this installation wrote.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, SecondsFormat, Utc};
use docket_events::{Metadata, Recorded, ShardId, StreamId, envelope::schema_path};
use docket_platform::Shutdown;
use hmac::{Hmac, KeyInit, Mac};
use rdkafka::{
    Message,
    message::{Header, Headers, OwnedHeaders},
};
use sha2::Sha256;
use sqlx::PgPool;
use uuid::Uuid;

/// The header that tells the installation's own messages.
pub const MAC: &str = "docket_mac";
/// Bytes of the hash that are kept: 128 bits.
const MAC_BYTES: usize = 16;
/// Where `ce_source` points: the platform itself; the tenant is an extension.
const SOURCE: &str = "/docket";

/// The installation's key for [`MAC`].
#[derive(Clone)]
pub struct MacKey(Hmac<Sha256>);

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MacKey(********)")
    }
}

impl MacKey {
    /// The key with these bytes.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        // HMAC (RFC 2104) takes a key of any length.
        Self(Hmac::new_from_slice(secret).unwrap_or_else(|_| unreachable!("a key of any length will do")))
    }

    /// Reads the installation's key; `pool` belongs to the writer's or the projector's role.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn load(pool: &PgPool) -> Result<Self, sqlx::Error> {
        let secret: Vec<u8> = sqlx::query_scalar("select secret from write.log_key").fetch_one(pool).await?;
        Ok(Self::new(&secret))
    }
}

impl MacKey {
    /// The same, as soon as the database answers; none when the shutdown came first.
    pub async fn wait(pool: &PgPool, shutdown: &Shutdown) -> Option<Self> {
        loop {
            match Self::load(pool).await {
                Ok(key) => return Some(key),
                Err(error) => tracing::warn!(%error, "waiting for PostgreSQL"),
            }
            tokio::select! {
                () = shutdown.cancelled() => return None,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    }
}

/// The hash over one message, fed field by field.
struct Seal(Hmac<Sha256>);

impl Seal {
    fn begin(key: &MacKey, shard: ShardId) -> Self {
        let mut mac = key.0.clone();
        mac.update(&shard.category.code().to_be_bytes());
        mac.update(&shard.shard.to_be_bytes());
        Self(mac)
    }

    /// Lengths go first, so that no two messages feed the same bytes.
    fn feed(&mut self, part: &[u8]) {
        self.0.update(&(part.len() as u32).to_be_bytes());
        self.0.update(part);
    }

    fn end(mut self, data: &[u8]) -> [u8; MAC_BYTES] {
        self.feed(data);
        let full = self.0.finalize().into_bytes();
        let mut kept = [0; MAC_BYTES];
        kept.copy_from_slice(&full[..MAC_BYTES]);
        kept
    }
}

struct Writer {
    headers: OwnedHeaders,
    seal: Seal,
}

impl Writer {
    fn put(mut self, name: &str, value: &str) -> Self {
        self.seal.feed(name.as_bytes());
        self.seal.feed(value.as_bytes());
        self.headers = self.headers.insert(Header { key: name, value: Some(value) });
        self
    }

    fn put_some(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.put(name, value),
            None => self,
        }
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// The headers of an event's message.
#[must_use]
pub fn headers(event: &Recorded, key: &MacKey) -> OwnedHeaders {
    let meta = event.metadata();
    let mut uuid = Uuid::encode_buffer();
    let writer = Writer { headers: OwnedHeaders::new_with_capacity(19), seal: Seal::begin(key, event.shard_id()) }
        .put("ce_specversion", "1.0")
        .put("ce_id", event.id.hyphenated().encode_lower(&mut uuid))
        .put("ce_source", SOURCE)
        .put("ce_type", &event.event_type)
        .put("ce_subject", &event.stream.to_string())
        .put("ce_time", &time(event.time))
        .put("ce_dataschema", &schema_path(&event.event_type))
        .put("content-type", "application/json")
        .put("ce_sequence", &event.sequence.to_string())
        .put("ce_streamversion", &event.version.to_string())
        .put("ce_tenant", &event.tenant.to_string())
        .put("ce_recordedtime", &time(event.recorded_at))
        .put_some("ce_principal", meta.principal.map(|id| id.to_string()).as_deref())
        .put_some("ce_session", meta.session.map(|id| id.to_string()).as_deref())
        .put_some("ce_correlationid", meta.correlation_id.as_deref())
        .put_some("ce_causationid", meta.causation_id.as_deref())
        .put_some("traceparent", meta.traceparent.as_deref())
        .put_some("ce_imported", meta.imported.then_some("true"));
    let Writer { headers, seal } = writer;
    let mac = URL_SAFE_NO_PAD.encode(seal.end(event.data.as_bytes()));
    headers.insert(Header { key: MAC, value: Some(&mac) })
}

/// Why a message is not one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    /// It carries no mark at all.
    #[error("no relay wrote it: the header {MAC} is missing")]
    Unmarked,
    /// The mark does not fit: altered, moved, forged, or of another installation.
    #[error("it is forged, altered or from another installation: the header {MAC} does not fit")]
    Forged,
    /// Marked by us, and yet not to be read: a header is not what it must be.
    #[error("its header {0} cannot be read")]
    Malformed(&'static str),
}

/// The headers of a message as they come.
#[derive(Default)]
struct Parts<'a> {
    id: Option<Uuid>,
    event_type: Option<&'a str>,
    stream: Option<StreamId>,
    time: Option<DateTime<Utc>>,
    sequence: Option<u64>,
    version: Option<u64>,
    tenant: Option<Uuid>,
    recorded_at: Option<DateTime<Utc>>,
    meta: Metadata,
    mac: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    fn take(&mut self, name: &str, value: &'a [u8]) {
        if name == MAC {
            self.mac = Some(value);
            return;
        }
        let Ok(text) = std::str::from_utf8(value) else { return };
        match name {
            "ce_id" => self.id = text.parse().ok(),
            "ce_type" => self.event_type = Some(text),
            "ce_subject" => self.stream = text.parse().ok(),
            "ce_time" => self.time = text.parse().ok(),
            "ce_sequence" => self.sequence = text.parse().ok(),
            "ce_streamversion" => self.version = text.parse().ok(),
            "ce_tenant" => self.tenant = text.parse().ok(),
            "ce_recordedtime" => self.recorded_at = text.parse().ok(),
            "ce_principal" => self.meta.principal = text.parse().ok(),
            "ce_session" => self.meta.session = text.parse().ok(),
            "ce_correlationid" => self.meta.correlation_id = Some(text.to_owned()),
            "ce_causationid" => self.meta.causation_id = Some(text.to_owned()),
            "traceparent" => self.meta.traceparent = Some(text.to_owned()),
            "ce_imported" => self.meta.imported = text == "true",
            _ => {}
        }
    }
}

/// The event in a message of `shard`'s partition.
///
/// # Errors
/// See [`Foreign`].
pub fn event(message: &impl Message, shard: ShardId, key: &MacKey) -> Result<Recorded, Foreign> {
    let mut parts = Parts::default();
    let mut seal = Seal::begin(key, shard);
    let headers = message.headers().ok_or(Foreign::Unmarked)?;
    for header in headers.iter() {
        let value = header.value.unwrap_or_default();
        if header.key != MAC {
            seal.feed(header.key.as_bytes());
            seal.feed(value);
        }
        parts.take(header.key, value);
    }
    let data = message.payload().unwrap_or_default();
    let given = URL_SAFE_NO_PAD.decode(parts.mac.ok_or(Foreign::Unmarked)?).map_err(|_| Foreign::Forged)?;
    let wanted = seal.end(data);
    // In constant time: whoever can write to the topic must not learn the mark byte by byte.
    let differs = given.iter().zip(wanted).fold(0, |differs, (a, b)| differs | (a ^ b));
    if given.len() != MAC_BYTES || differs != 0 {
        return Err(Foreign::Forged);
    }
    recorded(parts, data, shard)
}

fn recorded(parts: Parts<'_>, data: &[u8], shard: ShardId) -> Result<Recorded, Foreign> {
    let stream = parts.stream.filter(|stream| stream.category == shard.category);
    Ok(Recorded {
        stream: stream.ok_or(Foreign::Malformed("ce_subject"))?,
        shard: shard.shard,
        sequence: parts.sequence.ok_or(Foreign::Malformed("ce_sequence"))?,
        version: parts.version.ok_or(Foreign::Malformed("ce_streamversion"))?,
        id: parts.id.ok_or(Foreign::Malformed("ce_id"))?,
        event_type: parts.event_type.ok_or(Foreign::Malformed("ce_type"))?.to_owned(),
        tenant: parts.tenant.ok_or(Foreign::Malformed("ce_tenant"))?,
        time: parts.time.ok_or(Foreign::Malformed("ce_time"))?,
        recorded_at: parts.recorded_at.ok_or(Foreign::Malformed("ce_recordedtime"))?,
        data: std::str::from_utf8(data).map_err(|_| Foreign::Malformed("content-type"))?.to_owned(),
        meta: serde_json::to_string(&parts.meta).map_err(|_| Foreign::Malformed("traceparent"))?,
    })
}

#[cfg(test)]
mod tests {
    use docket_events::Category;
    use rdkafka::message::{OwnedMessage, Timestamp};

    use super::*;

    const SHARD: ShardId = ShardId { category: Category::Consultation, shard: 3 };

    fn an_event() -> Recorded {
        let meta = Metadata {
            principal: Some(Uuid::from_u128(9)),
            session: Some(Uuid::from_u128(10)),
            correlation_id: Some("a \"quoted\" one".to_owned()),
            causation_id: None,
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
            imported: true,
        };
        Recorded {
            stream: StreamId::new(Category::Consultation, Uuid::from_u128(1)),
            shard: 3,
            sequence: 7,
            version: 2,
            id: Uuid::from_u128(5),
            event_type: "docket.consultation.commented.v1".to_owned(),
            tenant: Uuid::from_u128(8),
            time: DateTime::from_timestamp_micros(1_700_000_000_123_456).expect("a time"),
            recorded_at: DateTime::from_timestamp_micros(1_700_000_000_223_456).expect("a time"),
            data: r#"{"text":"ä"}"#.to_owned(),
            meta: serde_json::to_string(&meta).expect("JSON"),
        }
    }

    fn message(headers: Option<OwnedHeaders>, data: &str) -> OwnedMessage {
        let payload = Some(data.as_bytes().to_vec());
        OwnedMessage::new(payload, None, "docket.consultation".to_owned(), Timestamp::NotAvailable, 3, 0, headers)
    }

    #[test]
    fn a_message_gives_the_event_back_byte_for_byte() {
        let (key, before) = (MacKey::new(b"secret"), an_event());
        let after = event(&message(Some(headers(&before, &key)), &before.data), SHARD, &key);
        assert_eq!(after, Ok(before));
    }

    #[test]
    fn what_no_relay_wrote_is_foreign() {
        let (key, genuine) = (MacKey::new(b"secret"), an_event());
        let read = |message: &OwnedMessage| event(message, SHARD, &key);
        assert_eq!(read(&message(None, "hello")), Err(Foreign::Unmarked));
        let bare = OwnedHeaders::new().insert(Header { key: "ce_id", value: Some("1") });
        assert_eq!(read(&message(Some(bare), "{}")), Err(Foreign::Unmarked));
        let other = headers(&genuine, &MacKey::new(b"another installation"));
        assert_eq!(read(&message(Some(other), &genuine.data)), Err(Foreign::Forged));
        assert_eq!(read(&message(Some(headers(&genuine, &key)), "{}")), Err(Foreign::Forged), "other data");
        let moved = message(Some(headers(&genuine, &key)), &genuine.data);
        let elsewhere = ShardId { shard: 4, ..SHARD };
        assert_eq!(event(&moved, elsewhere, &key), Err(Foreign::Forged), "another partition");
        let added = headers(&genuine, &key).insert(Header { key: "ce_tenant", value: Some(&Uuid::nil().to_string()) });
        assert_eq!(read(&message(Some(added), &genuine.data)), Err(Foreign::Forged), "another tenant");
    }
}
