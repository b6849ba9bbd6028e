//! The AsyncAPI document: as generated from the types, and true of what stands in Kafka.

use std::{fs, path::PathBuf, sync::LazyLock};

use docket_events::{asyncapi, envelope::schema_path};
use serde_json::{Map, Value, json};

use crate::fixtures;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The published document, written anew first when asked to.
fn published() -> &'static Value {
    static PUBLISHED: LazyLock<Value> = LazyLock::new(|| {
        let path = folder().join("schemas/asyncapi.json");
        let generated = format!("{:#}\n", asyncapi::document());
        if fixtures::blessing() {
            fs::write(&path, &generated).unwrap();
        }
        let same = fs::read_to_string(path).unwrap_or_default() == generated;
        assert!(same, "schemas/asyncapi.json drifted: DOCKET_BLESS=1 cargo test -p docket-events");
        asyncapi::document()
    });
    &PUBLISHED
}

/// Schemas of the document, with everything that they refer to.
fn validator(schema: &Value) -> jsonschema::Validator {
    let mut schema = schema.clone();
    if let Some(reference) = schema.get("$ref").cloned() {
        // In this dialect nothing counts beside a reference.
        schema = json!({ "allOf": [{ "$ref": reference }] });
    }
    schema["components"] = published()["components"].clone();
    jsonschema::options().with_draft(jsonschema::Draft::Draft7).should_validate_formats(true).build(&schema).unwrap()
}

fn errors(validator: &jsonschema::Validator, value: &Value) -> Vec<String> {
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn message(event_type: &str) -> &'static Value {
    &published()["components"]["messages"][event_type]
}

/// Messages as a reader of Kafka gets them: headers, key and value.
fn examples() -> Vec<(Map<String, Value>, String, String)> {
    let text = fs::read_to_string(folder().join("tests/contracts/messages.jsonl")).unwrap();
    let read = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        (line["headers"].as_object().unwrap().clone(), text("key"), text("value"))
    };
    text.lines().map(read).collect()
}

#[test]
fn the_published_document_is_that_of_the_types() {
    assert_eq!(published()["asyncapi"], "3.0.0");
}

#[test]
fn every_published_schema_has_its_message_in_the_topic_of_its_category() {
    for entry in fs::read_dir(folder().join("schemas/events")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let event_type = file.trim_end_matches(".json");
        let category = event_type.split('.').nth(1).unwrap();
        let channel = &published()["channels"][category];
        assert_eq!(channel["address"], json!(format!("docket.{category}")));
        let reference = &channel["messages"][event_type]["$ref"];
        assert_eq!(*reference, json!(format!("#/components/messages/{event_type}")), "{event_type}");
        let message = message(event_type);
        assert_eq!(message["name"], json!(event_type));
        assert!(message["title"].as_str().unwrap().ends_with("(v1)"), "{message}");
        assert!(message["summary"].as_str().unwrap().ends_with('.'), "{message}");
        assert_eq!(message["headers"]["properties"]["ce_dataschema"]["const"], json!(schema_path(event_type)));
    }
}

#[test]
fn every_frozen_event_is_a_valid_payload_and_nothing_is_none() {
    for event_type in fixtures::types() {
        let data: Value = serde_json::from_str(&fixtures::data(event_type)).unwrap();
        let found = errors(&validator(&message(event_type)["payload"]), &data);
        assert!(found.is_empty(), "{event_type}: {found:?}");
        let empty = validator(&message(event_type)["payload"]).is_valid(&json!({}));
        assert!(!empty, "{event_type} asks for nothing");
    }
}

#[test]
fn a_payload_that_bears_a_name_in_clear_is_not_valid() {
    let event_type = "docket.consultation.vote_cast.v1";
    let validator = validator(&message(event_type)["payload"]);
    let mut clear: Value = serde_json::from_str(&fixtures::data(event_type)).unwrap();
    clear["by"]["name"] = json!("Ada Example");
    assert!(!validator.is_valid(&clear));
}

#[test]
fn example_messages_are_valid_with_all_headers_and_with_the_least() {
    let examples = examples();
    let lengths: Vec<_> = examples.iter().map(|(headers, ..)| headers.len()).collect();
    assert_eq!((lengths.iter().max(), lengths.iter().min()), (Some(&17), Some(&13)));
    for (headers, key, value) in examples {
        let message = message(headers["ce_type"].as_str().unwrap());
        let found = errors(&validator(&message["headers"]), &json!(headers));
        assert!(found.is_empty(), "{headers:?}: {found:?}");
        assert!(validator(&message["bindings"]["kafka"]["key"]).is_valid(&json!(key)), "{key}");
        let value = serde_json::from_str(&value).unwrap();
        let found = errors(&validator(&message["payload"]), &value);
        assert!(found.is_empty(), "{value}: {found:?}");
    }
}

#[test]
fn headers_that_are_missing_or_wrong_are_not_valid() {
    let (least, ..) = examples().into_iter().min_by_key(|(headers, ..)| headers.len()).unwrap();
    let validator = validator(&message(least["ce_type"].as_str().unwrap())["headers"]);
    assert!(validator.is_valid(&json!(least)));
    for name in least.keys() {
        let mut without = least.clone();
        without.remove(name);
        assert!(!validator.is_valid(&json!(without)), "without {name}");
        let mut wrong = least.clone();
        wrong.insert(name.clone(), json!("?"));
        assert!(!validator.is_valid(&json!(wrong)), "{name} is anything");
    }
    let mut more = least.clone();
    more.insert("ce_addedlater".to_owned(), json!("x"));
    assert!(validator.is_valid(&json!(more)), "a later release may add a header");
}

#[test]
fn every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    references(published(), &mut found);
    assert!(found.len() > 20);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(published().pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}
