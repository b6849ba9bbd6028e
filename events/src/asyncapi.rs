//! The AsyncAPI 3.0 document of the log in Kafka, as published in `schemas/asyncapi.json`.
//!
//! Owns how topics and messages are described to those who read Kafka without Docket's code. What stands in a message is written by
//! the relay; the data's schemas are those of [`schema`](crate::schema), in the older dialect that AsyncAPI is built on.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::{Category, envelope::schema_path, schema::TYPES};

/// The Kafka binding that the document is written against.
const BINDING: &str = "0.5.0";
/// Partitions of a topic, unless the installation was set up with another number of shards.
const PARTITIONS: u16 = 16;
/// What a topic that Docket makes takes at most at once: Kafka's own default.
const MESSAGE_BYTES: u32 = 1_048_588;

/// Lower case.
const UUID: &str = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
const INSTANT: &str = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$";
const NUMBER: &str = "^[1-9][0-9]*$";
/// 128 bits in base64url without padding.
const MAC: &str = "^[A-Za-z0-9_-]{22}$";

const ABOUT: &str = "\
What happened, as Docket keeps it in Kafka: one topic per category, one message per event, for ever.

Each message is a CloudEvent 1.0 in binary content mode. The value is the event's data, the key its stream, the headers everything \
else. A stream is always in the same partition, and equals a shard of the journal: the first eight bytes of the key's SHA-256, big \
endian, modulo the number of partitions.

- **Order.** `ce_sequence` counts the events of a partition from 1 without a gap, `ce_streamversion` those of a stream.
- **Repeats.** A message may come twice, never out of order the first time: pass over a `ce_sequence` that the partition has had.
- **Later releases.** Pass over types, headers and fields that you do not know. What a type of one version means never changes.
- **Names of people** are sealed under a key per person; the log does not hold the keys.
- **Tenants** share the topics: raw Kafka is for operators. `ce_tenant` says whose an event is.
- **Foreign messages.** Whoever may write to the brokers may write to a topic. Docket's own readers apply only messages whose \
`docket_mac` fits; others should at least pass over what has none.";

/// The document of this release.
#[must_use]
pub fn document() -> Value {
    let schemas = Schemas::new();
    let channels = Category::ALL.map(|category| (category.name().to_owned(), channel(category)));
    let operations = Category::ALL.map(|category| (format!("publish_{category}"), operation(category)));
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Docket",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
        },
        "defaultContentType": "application/json",
        "servers": { "kafka": server() },
        "channels": Map::from_iter(channels),
        "operations": Map::from_iter(operations),
        "components": { "messages": schemas.messages, "schemas": schemas.schemas },
    })
}

fn server() -> Value {
    json!({
        "host": "{brokers}",
        "protocol": "kafka",
        "description": "The brokers of the installation: what `KAFKA_BROKERS` names. With TLS or a password where they ask for it.",
        "variables": { "brokers": {
            "description": "One or more brokers to begin with, separated by commas.",
            "default": "localhost:9092",
            "examples": ["kafka-1.example:9092,kafka-2.example:9092"],
        } },
    })
}

/// The types of a category, in the order of the registry.
fn types(category: Category) -> impl Iterator<Item = &'static str> {
    let of = move |event_type: &&str| category_of(event_type) == Some(category);
    TYPES.iter().map(|(event_type, _)| *event_type).filter(of)
}

/// The category of `docket.consultation.requested.v1` is its second part.
fn category_of(event_type: &str) -> Option<Category> {
    Category::from_name(event_type.split('.').nth(1)?)
}

fn channel(category: Category) -> Value {
    let message =
        |event_type| (str::to_owned(event_type), json!({ "$ref": format!("#/components/messages/{event_type}") }));
    json!({
        "address": category.topic(),
        "title": format!("The topic of the category {category}"),
        "description": "The part before the category is the installation's own, `docket` unless `DOCKET_KAFKA_TOPIC_PREFIX` is set. \
                        The number of partitions is fixed when the installation is first set up (`DOCKET_SHARDS`).",
        "servers": [{ "$ref": "#/servers/kafka" }],
        "messages": types(category).map(message).collect::<Map<_, _>>(),
        "bindings": { "kafka": {
            "topic": category.topic(),
            "partitions": PARTITIONS,
            "topicConfiguration": {
                "cleanup.policy": ["delete"],
                "retention.ms": -1,
                "retention.bytes": -1,
                "max.message.bytes": MESSAGE_BYTES,
            },
            "bindingVersion": BINDING,
        } },
    })
}

fn operation(category: Category) -> Value {
    json!({
        "action": "send",
        "channel": { "$ref": format!("#/channels/{category}") },
        "title": format!("Publish what happened in the category {category}"),
        "summary": "The relay sends each journalled event, in the order of its shard, and goes on when the brokers have it.",
    })
}

/// The reusable parts: messages, and the schemas that they share.
struct Schemas {
    messages: Map<String, Value>,
    schemas: Map<String, Value>,
}

impl Schemas {
    fn new() -> Self {
        // AsyncAPI's own dialect is a superset of draft 07, which knows neither `$defs` nor words beside a `$ref`.
        let settings = SchemaSettings::draft07().with(|settings| {
            settings.meta_schema = None;
            settings.definitions_path = "/components/schemas".into();
        });
        let mut generator = settings.into_generator();
        let mut made = Self { messages: Map::new(), schemas: Map::new() };
        for (event_type, make) in TYPES {
            let Some(category) = category_of(event_type) else { continue };
            let mut payload = make(&mut generator);
            // Shared ones come once, below.
            payload.remove("components");
            payload.insert("title".to_owned(), event_type.into());
            let payload = payload.to_value();
            made.messages.insert(event_type.to_owned(), message(category, event_type, &payload));
            made.schemas.insert(event_type.to_owned(), payload);
        }
        made.schemas.extend(shared(&mut generator));
        made
    }
}

/// What several messages have in common.
fn shared(generator: &mut SchemaGenerator) -> Map<String, Value> {
    let mut schemas = generator.take_definitions(true);
    schemas.insert("Headers".to_owned(), headers());
    schemas
}

fn message(category: Category, event_type: &str, payload: &Value) -> Value {
    json!({
        "name": event_type,
        "title": title(event_type),
        "summary": summary(event_type, payload),
        "contentType": "application/json",
        "correlationId": { "location": "$message.header#/ce_correlationid" },
        "headers": {
            "type": "object",
            "allOf": [{ "$ref": "#/components/schemas/Headers" }],
            "properties": {
                "ce_type": { "const": event_type },
                "ce_subject": { "pattern": stream_pattern(category) },
                "ce_dataschema": { "const": schema_path(event_type) },
            },
        },
        "payload": { "$ref": format!("#/components/schemas/{event_type}") },
        "bindings": { "kafka": {
            "key": {
                "type": "string",
                "description": "The stream, as in `ce_subject`.",
                "pattern": stream_pattern(category),
            },
            "bindingVersion": BINDING,
        } },
    })
}

fn stream_pattern(category: Category) -> String {
    format!("^{category}-{UUID}$")
}

/// `docket.identity.user_registered.v1` as people say it: "Identity: user registered (v1)".
fn title(event_type: &str) -> String {
    let mut parts = event_type.split('.').skip(1);
    let mut next = || parts.next().unwrap_or_default().replace('_', " ");
    let (category, what, version) = (next(), next(), next());
    let (first, rest) = category.split_at(category.len().min(1));
    format!("{}{rest}: {what} ({version})", first.to_uppercase())
}

/// The type's own description, which repeats its name first.
fn summary(event_type: &str, payload: &Value) -> String {
    let description = payload["description"].as_str().unwrap_or_default();
    let rest = description.strip_prefix(&format!("`{event_type}`: ")).unwrap_or(description);
    rest.lines().next().unwrap_or_default().to_owned()
}

/// What a header's text must be.
enum Rule {
    Text,
    Exactly(&'static str),
    Uuid,
    Instant,
    Number,
    Mac,
}

/// A header that messages of every type have: name, whether it is always there, what it holds, an example.
type Header = (&'static str, bool, Rule, &'static str, &'static str);

/// CloudEvents' own attributes first, then Docket's extensions of them, then what is no part of CloudEvents.
const HEADERS: [Header; 19] = [
    ("ce_specversion", true, Rule::Exactly("1.0"), "The version of CloudEvents.", "1.0"),
    (
        "ce_id",
        true,
        Rule::Uuid,
        "The event's id; a repeated message has the same.",
        "01990000-0000-7000-8000-000000000e0e",
    ),
    (
        "ce_source",
        true,
        Rule::Exactly("/docket"),
        "The platform itself; whose an event is, `ce_tenant` says.",
        "/docket",
    ),
    ("ce_type", true, Rule::Text, "What happened, with the version of its data.", "docket.consultation.requested.v1"),
    ("ce_subject", true, Rule::Text, "The stream.", "consultation-01990000-0000-7000-8000-00000000abcd"),
    (
        "ce_time",
        true,
        Rule::Instant,
        "When it was decided; in a stream it never runs back.",
        "2026-01-02T03:04:05.000006Z",
    ),
    (
        "ce_dataschema",
        true,
        Rule::Text,
        "Where the data's JSON Schema is, relative to the installation.",
        "/schemas/events/docket.consultation.requested.v1.json",
    ),
    ("content-type", true, Rule::Exactly("application/json"), "The form of the value.", "application/json"),
    ("ce_sequence", true, Rule::Number, "The event's number in its partition, from 1 without a gap.", "1434"),
    ("ce_streamversion", true, Rule::Number, "The event's number in its stream, from 1 without a gap.", "2"),
    ("ce_tenant", true, Rule::Uuid, "The organisation; nil for users.", "01990000-0000-7000-8000-000000000005"),
    ("ce_recordedtime", true, Rule::Instant, "When it was journalled.", "2026-01-02T03:04:05.000789Z"),
    (
        "ce_principal",
        false,
        Rule::Uuid,
        "Who commanded it; absent for the clock.",
        "01990000-0000-7000-8000-000000000001",
    ),
    (
        "ce_session",
        false,
        Rule::Uuid,
        "The session it was commanded from; absent for keys and the clock.",
        "01990000-0000-7000-8000-000000000002",
    ),
    ("ce_correlationid", false, Rule::Text, "Shared by everything that one outer request set off.", "order-7"),
    ("ce_causationid", false, Rule::Text, "The request or event that directly caused it.", "request-8"),
    (
        "traceparent",
        false,
        Rule::Text,
        "The command's W3C trace context.",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ),
    ("ce_imported", false, Rule::Text, "`true`: history from elsewhere, of which nobody is told.", "true"),
    (
        "docket_mac",
        true,
        Rule::Mac,
        "A keyed hash over partition, headers and value, in base64url: the installation's readers apply nothing without it.",
        "AAECAwQFBgcICQoLDA0ODw",
    ),
];

/// The headers of every message. All values are text in UTF-8.
fn headers() -> Value {
    let required: Vec<_> = HEADERS.iter().filter(|(_, required, ..)| *required).map(|(name, ..)| *name).collect();
    json!({
        "type": "object",
        "description": "The headers of every message. Pass over others.",
        "properties": HEADERS.iter().map(property).collect::<Map<_, _>>(),
        "required": required,
    })
}

fn property((name, _, rule, about, example): &Header) -> (String, Value) {
    let mut schema = json!({ "type": "string", "description": about, "examples": [example] });
    match rule {
        Rule::Text => {}
        Rule::Exactly(value) => schema["const"] = json!(value),
        Rule::Uuid => schema["pattern"] = json!(format!("^{UUID}$")),
        Rule::Instant => {
            schema["format"] = json!("date-time");
            schema["pattern"] = json!(INSTANT);
        }
        Rule::Number => schema["pattern"] = json!(NUMBER),
        Rule::Mac => schema["pattern"] = json!(MAC),
    }
    ((*name).to_owned(), schema)
}
