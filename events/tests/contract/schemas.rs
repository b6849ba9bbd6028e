//! The published schemas: as generated from the types, and true of what stands on the log.

use std::{collections::BTreeSet, fs, path::PathBuf, sync::Once};

use docket_events::schema;
use serde_json::{Value, json};

use crate::fixtures;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../schemas/events")
}

fn text(schema: &Value) -> String {
    serde_json::to_string_pretty(schema).unwrap() + "\n"
}

/// Writes all schemas anew when asked to, before any test reads one.
fn bless() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for (event_type, schema) in schema::all().into_iter().filter(|_| fixtures::blessing()) {
            fs::create_dir_all(folder()).unwrap();
            fs::write(folder().join(format!("{event_type}.json")), text(&schema)).unwrap();
        }
    });
}

/// The published text; empty when there is none.
fn published_text(event_type: &str) -> String {
    bless();
    fs::read_to_string(folder().join(format!("{event_type}.json"))).unwrap_or_default()
}

fn published(event_type: &str) -> Value {
    serde_json::from_str(&published_text(event_type)).unwrap()
}

fn validator(schema: &Value) -> jsonschema::Validator {
    jsonschema::options().should_validate_formats(true).build(schema).unwrap()
}

fn frozen(event_type: &str) -> Value {
    serde_json::from_str(&fixtures::data(event_type)).unwrap()
}

#[test]
fn published_schemas_are_those_of_the_types() {
    for (event_type, schema) in schema::all() {
        let same = published_text(&event_type) == text(&schema);
        assert!(same, "schemas/events/{event_type}.json drifted: DOCKET_BLESS=1 cargo test -p docket-events");
    }
}

#[test]
fn every_type_has_a_published_schema() {
    bless();
    let types: BTreeSet<_> = fixtures::types().into_iter().map(str::to_owned).collect();
    let generated: BTreeSet<_> = schema::all().into_iter().map(|(event_type, _)| event_type).collect();
    assert_eq!(generated, types);
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let published: BTreeSet<_> = files.map(|name| name.trim_end_matches(".json").to_owned()).collect();
    // A retired version's schema may stay for those who read old data from the log itself.
    assert!(published.is_superset(&types), "missing: {:?}", types.difference(&published));
}

#[test]
fn every_frozen_event_is_valid_by_its_schema() {
    for (event_type, schema) in schema::all() {
        assert_eq!(schema["$schema"], json!("https://json-schema.org/draft/2020-12/schema"));
        let (validator, data) = (validator(&schema), frozen(&event_type));
        let errors: Vec<_> = validator.iter_errors(&data).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{event_type}: {errors:?}");
    }
}

#[test]
fn a_schema_names_its_own_address_and_type() {
    for event_type in fixtures::types() {
        let schema = published(event_type);
        assert_eq!(schema["$id"], json!(format!("/schemas/events/{event_type}.json")));
        assert_eq!(schema["title"], json!(event_type));
    }
}

#[test]
fn a_schema_refuses_what_lacks_a_field_or_bears_a_name_in_clear() {
    let event_type = "docket.consultation.vote_cast.v1";
    let validator = validator(&published(event_type));
    let mut clear = frozen(event_type);
    clear["by"]["name"] = json!("Ada Example");
    assert!(!validator.is_valid(&clear));
    let mut lacking = frozen(event_type);
    lacking.as_object_mut().unwrap().remove("by");
    assert!(!validator.is_valid(&lacking));
    let mut unknown = frozen(event_type);
    unknown["decision"] = json!("abstain");
    assert!(!validator.is_valid(&unknown));
    let mut nobody = frozen(event_type);
    nobody["by"]["id"] = json!("nobody");
    assert!(!validator.is_valid(&nobody));
}
