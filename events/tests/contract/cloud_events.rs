//! The CloudEvents line: required attributes, and the data as it was journalled.

use docket_events::{Metadata, Recorded};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::fixtures;

const STREAM: &str = "consultation-01990000-0000-7000-8000-00000000abcd";

fn recorded(event_type: &str, data: String, meta: &Metadata) -> Recorded {
    Recorded {
        stream: STREAM.parse().unwrap(),
        shard: 3,
        sequence: 9_007_199_254_740_993,
        version: 4,
        id: Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0e0e),
        event_type: event_type.to_owned(),
        tenant: Uuid::from_u128(5),
        time: "2026-01-02T03:04:05.000006Z".parse().unwrap(),
        recorded_at: "2026-01-02T03:04:06Z".parse().unwrap(),
        data,
        meta: serde_json::to_string(meta).unwrap(),
    }
}

#[test]
fn a_line_keeps_the_data_byte_for_byte() {
    // As no encoder of this build would write it: blanks, order, escapes, numbers.
    let odd = r#"{ "z":1.50, "a" : [1e3,100000000000000000000] ,"text":"\u00e9 \/ é"}"#.to_owned();
    for data in fixtures::types().into_iter().map(fixtures::data).chain([odd]) {
        let line =
            recorded("docket.consultation.requested.v1", data.clone(), &Metadata::default()).cloud_event().unwrap();
        assert!(line.ends_with(&format!(",\"data\":{data}}}")), "{line}");
        assert!(!line.contains('\n'));
    }
}

#[test]
fn a_line_has_the_attributes_of_cloud_events_and_the_extensions_of_docket() {
    let meta = Metadata {
        principal: Some(Uuid::from_u128(6)),
        session: None,
        correlation_id: Some("order-7".to_owned()),
        causation_id: Some("request-8".to_owned()),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        imported: false,
    };
    let event_type = "docket.consultation.timed_out.v1";
    let line = recorded(event_type, fixtures::data(event_type), &meta).cloud_event().unwrap();
    let expected = json!({
        "specversion": "1.0",
        "id": "01990000-0000-7000-8000-000000000e0e",
        "source": "/docket",
        "type": event_type,
        "subject": STREAM,
        "time": "2026-01-02T03:04:05.000006Z",
        "datacontenttype": "application/json",
        "dataschema": "/schemas/events/docket.consultation.timed_out.v1.json",
        "shard": 3,
        "sequence": "9007199254740993",
        "streamversion": "4",
        "tenant": "00000000-0000-0000-0000-000000000005",
        "recordedtime": "2026-01-02T03:04:06.000000Z",
        "principal": "00000000-0000-0000-0000-000000000006",
        "correlationid": "order-7",
        "causationid": "request-8",
        "traceparent": meta.traceparent,
        "data": {"deadline": "2026-03-01T12:00:00.000001Z"},
    });
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
}

#[test]
fn attribute_names_are_lower_case_letters_and_digits_and_unknown_causes_are_left_out() {
    let event_type = "docket.consultation.timed_out.v1";
    let line = recorded(event_type, fixtures::data(event_type), &Metadata::default()).cloud_event().unwrap();
    let attributes: serde_json::Map<String, Value> = serde_json::from_str(&line).unwrap();
    for required in ["specversion", "id", "source", "type"] {
        assert!(attributes[required].as_str().is_some_and(|value| !value.is_empty()), "{required}");
    }
    for (name, value) in &attributes {
        assert!(name.len() <= 20 && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{name}");
        assert!(!value.is_null(), "{name}");
    }
}

#[test]
fn metadata_that_cannot_be_read_costs_no_event() {
    let event_type = "docket.consultation.timed_out.v1";
    let damaged =
        Recorded { meta: "{".to_owned(), ..recorded(event_type, fixtures::data(event_type), &Metadata::default()) };
    assert_eq!(damaged.metadata(), Metadata::default());
    assert!(damaged.cloud_event().is_ok());
}

#[test]
fn data_that_is_no_json_makes_no_line() {
    assert!(recorded("docket.consultation.timed_out.v1", "{".to_owned(), &Metadata::default()).cloud_event().is_err());
}
