//! The frozen files: every release reads them to the same values and writes the same bytes.

use std::{collections::BTreeSet, fs, path::PathBuf, sync::Once};

use docket_events::{
    Category, DecodeError, Event, EventData, HasPersonal, consultation::ConsultationEvent, engagement::EngagementEvent,
    feed::FeedEvent, identity::IdentityEvent, knowledge::KnowledgeEvent,
};
use sha2::{Digest, Sha256};

use crate::examples;

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// Whether missing files are to be written; nothing frozen is ever overwritten.
pub(crate) fn blessing() -> bool {
    std::env::var_os("DOCKET_BLESS").is_some()
}

/// Every type of every family.
pub(crate) fn types() -> Vec<&'static str> {
    [ConsultationEvent::TYPES, IdentityEvent::TYPES, KnowledgeEvent::TYPES, FeedEvent::TYPES, EngagementEvent::TYPES]
        .concat()
}

/// Writes the files that are missing, before any test reads one.
fn bless() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for example in examples::all() {
            let path = folder().join(format!("{}.json", example.event_type()));
            if blessing() && !path.exists() {
                fs::write(&path, encode(&seal(example)) + "\n").unwrap();
            }
        }
    });
}

/// The data of a frozen event, as it stands on the log.
pub(crate) fn data(event_type: &str) -> String {
    bless();
    let path = folder().join(format!("{event_type}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.strip_suffix('\n').expect("a frozen file ends with a line end").to_owned()
}

fn encode(event: &Event) -> String {
    match event {
        Event::Consultation(event) => event.encode(),
        Event::Identity(event) => event.encode(),
        Event::Knowledge(event) => event.encode(),
        Event::Feed(event) => event.encode(),
        Event::Engagement(event) => event.encode(),
    }
    .unwrap()
}

fn category(event: &Event) -> Category {
    match event {
        Event::Consultation(_) => Category::Consultation,
        Event::Identity(_) => Category::Identity,
        Event::Knowledge(_) => Category::Knowledge,
        Event::Feed(_) => Category::Feed,
        Event::Engagement(_) => Category::Engagement,
    }
}

/// Seals an example under the published key; each field with a nonce of its own.
fn seal(mut event: Event) -> Event {
    let event_type = event.event_type();
    let mut field = 0;
    let mut nonce = || {
        field += 1;
        let digest = Sha256::digest(format!("{event_type}/{field}"));
        std::array::from_fn(|n| digest[n])
    };
    event.seal_all(&|_| Some(examples::key()), &mut nonce).unwrap();
    event
}

/// The frozen data of each example, read; with the example.
fn read() -> Vec<(Event, Event)> {
    let read = |example: Event| {
        let event_type = example.event_type();
        (Event::decode(category(&example), event_type, &data(event_type)).unwrap(), example)
    };
    examples::all().into_iter().map(read).collect()
}

#[test]
fn every_frozen_event_opens_to_its_value() {
    for (mut event, example) in read() {
        event.open_all(&|id| (id == examples::key().id).then(examples::key)).unwrap();
        assert_eq!(event, example);
    }
}

#[test]
fn every_frozen_event_is_written_again_byte_for_byte() {
    for (event, _) in read() {
        assert_eq!(encode(&event), data(event.event_type()));
    }
}

#[test]
fn a_frozen_event_of_an_erased_person_is_read_without_the_person() {
    for (mut event, _) in read() {
        let (fields, text) = (event.sealed_under().len(), data(event.event_type()));
        event.open_all(&|_| None).unwrap();
        assert!(event.sealed_under().is_empty() && event.unsealed_subjects().is_empty());
        assert_eq!(encode(&event).matches("\"erased\":true").count(), fields);
        assert!(!text.contains("Ada") && !text.contains("Grace"), "a name in clear: {text}");
    }
}

#[test]
fn every_type_has_an_example_and_a_frozen_file_and_there_is_no_other() {
    let types: BTreeSet<_> = types().into_iter().map(str::to_owned).collect();
    let examples: BTreeSet<_> = read().iter().map(|(event, _)| event.event_type().to_owned()).collect();
    assert_eq!(examples, types);
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let frozen: BTreeSet<_> = files
        .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
        .filter(|name| name.starts_with("docket."))
        .collect();
    // Retired types stay frozen, so there may be more files than types; each must still be readable.
    assert!(frozen.is_superset(&types), "missing: {:?}", types.difference(&frozen));
    for name in &frozen {
        let known = Category::ALL.map(|c| Event::decode(c, name, &data(name)).is_ok());
        assert_eq!(known.iter().filter(|readable| **readable).count(), 1, "{name} is read as one category's event");
    }
}

#[test]
fn fields_that_were_left_out_are_read_as_absent_and_left_out_again() {
    let full = data("docket.consultation.requested.v1");
    let by = &full[full.find("\"requested_by\"").unwrap()..full.find(",\"reviewers\"").unwrap()];
    let least = format!("{{\"title\":\"Least\",{by}}}");
    let event = ConsultationEvent::decode("docket.consultation.requested.v1", &least).unwrap();
    let ConsultationEvent::Requested(requested) = &event else { panic!("{event:?}") };
    assert!(requested.body.is_none() && requested.reviewers.is_empty() && requested.deadline.is_none());
    assert_eq!(event.encode().unwrap(), least);
}

#[test]
fn fields_of_a_later_release_are_passed_over() {
    let later = data("docket.consultation.timed_out.v1").replacen('{', "{\"added_later\":[1],", 1);
    let event = ConsultationEvent::decode("docket.consultation.timed_out.v1", &later).unwrap();
    assert_eq!(event.encode().unwrap(), data("docket.consultation.timed_out.v1"));
}

#[test]
fn an_unknown_type_or_version_is_unknown_and_no_fault_of_the_event() {
    for unknown in ["docket.consultation.requested.v2", "docket.consultation.reopened.v1", ""] {
        assert_eq!(ConsultationEvent::decode(unknown, "{}"), Err(DecodeError::Unknown(unknown.to_owned())));
    }
    let foreign = "docket.identity.user_registered.v1";
    assert_eq!(ConsultationEvent::decode(foreign, &data(foreign)), Err(DecodeError::Unknown(foreign.to_owned())));
}

#[test]
fn data_that_does_not_fit_its_type_is_malformed() {
    let event_type = "docket.consultation.timed_out.v1";
    for bad in ["", "{", "null", "{}", "{\"deadline\":\"tomorrow\"}", "{\"deadline\":7}"] {
        let error = ConsultationEvent::decode(event_type, bad).unwrap_err();
        assert!(matches!(&error, DecodeError::Malformed { event_type: of, .. } if of == event_type), "{bad}: {error}");
    }
    let clear = r#"{"by":{"id":"01990000-0000-7000-8000-000000000001","name":"Ada"},"decision":"approve"}"#;
    let error = ConsultationEvent::decode("docket.consultation.vote_cast.v1", clear).unwrap_err();
    assert!(matches!(error, DecodeError::Malformed { .. }), "{error}");
}
