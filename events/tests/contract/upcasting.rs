//! Retired versions: lifted step by step to the newest, with what is sealed in them still sealed.

use docket_events::{
    DecodeError, Event, EventData, HasPersonal,
    consultation::{Commented, ConsultationEvent, Person},
    upcast::Upcasters,
};
use serde_json::{Map, Value};

use crate::{examples, fixtures};

const REMARKED: &str = "docket.consultation.remarked.v1";
const COMMENTED_0: &str = "docket.consultation.commented.v0";
const COMMENTED_1: &str = "docket.consultation.commented.v1";

/// Gives members their new names; a missing one is an error, one that is not named is an error too.
fn rename(data: Value, names: &[(&str, &str)]) -> Result<Value, String> {
    let Value::Object(mut old) = data else { return Err("not an object".to_owned()) };
    let mut new = Map::new();
    for (from, to) in names {
        new.insert((*to).to_owned(), old.remove(*from).ok_or_else(|| format!("no `{from}`"))?);
    }
    old.keys().next().map_or(Ok(Value::Object(new)), |left| Err(format!("what is `{left}`?")))
}

/// A comment was once a remark with a `remark_id` …
fn remarked_to_commented_0(data: Value) -> Result<Value, String> {
    rename(data, &[("remark_id", "comment_id"), ("author", "author"), ("message", "message")])
}

/// … and had an author and a message.
fn commented_0_to_1(data: Value) -> Result<Value, String> {
    rename(data, &[("comment_id", "comment_id"), ("author", "by"), ("message", "text")])
}

fn upcasters() -> Upcasters {
    Upcasters::new().with(REMARKED, COMMENTED_0, remarked_to_commented_0).with(
        COMMENTED_0,
        COMMENTED_1,
        commented_0_to_1,
    )
}

fn decode(event_type: &str, data: &str) -> Result<ConsultationEvent, DecodeError> {
    ConsultationEvent::decode_with(&upcasters(), event_type, data)
}

/// The author as frozen in the newest form, sealed.
fn author() -> String {
    let newest: Value = serde_json::from_str(&fixtures::data(COMMENTED_1)).unwrap();
    newest["by"].to_string()
}

fn retired(id: &str) -> String {
    format!(r#"{{"{id}":"{}","author":{},"message":"Which?"}}"#, examples::COMMENT, author())
}

#[track_caller]
fn is_the_comment(mut event: ConsultationEvent) {
    assert_eq!(event.sealed_under(), [examples::key().id]);
    event.open_all(&|_| Some(examples::key())).unwrap();
    let Event::Consultation(ConsultationEvent::Commented(newest)) = &examples::all()[1] else { panic!("a comment") };
    let by = Person { ..newest.by.clone() };
    let text = "Which?".to_owned();
    assert_eq!(event, ConsultationEvent::Commented(Commented::new(examples::COMMENT, by, text, None)));
}

#[test]
fn a_retired_version_is_lifted_to_the_newest() {
    is_the_comment(decode(COMMENTED_0, &retired("comment_id")).unwrap());
}

#[test]
fn a_version_retired_twice_is_lifted_in_two_steps() {
    is_the_comment(decode(REMARKED, &retired("remark_id")).unwrap());
}

#[test]
fn the_newest_version_is_not_lifted() {
    let event = decode(COMMENTED_1, &fixtures::data(COMMENTED_1)).unwrap();
    assert_eq!(event.encode().unwrap(), fixtures::data(COMMENTED_1));
}

#[test]
fn a_lifted_event_is_written_in_the_newest_form() {
    let event = decode(COMMENTED_0, &retired("comment_id")).unwrap();
    assert_eq!(event.event_type(), COMMENTED_1);
    assert_eq!(decode(COMMENTED_1, &event.encode().unwrap()).unwrap(), event);
}

#[test]
fn a_retired_version_without_its_upcaster_is_unknown() {
    let data = retired("comment_id");
    assert_eq!(ConsultationEvent::decode(COMMENTED_0, &data), Err(DecodeError::Unknown(COMMENTED_0.to_owned())));
}

#[test]
fn a_chain_that_ends_at_no_known_type_is_unknown() {
    let astray = Upcasters::new().with(REMARKED, COMMENTED_0, remarked_to_commented_0);
    let error = ConsultationEvent::decode_with(&astray, REMARKED, &retired("remark_id")).unwrap_err();
    assert_eq!(error, DecodeError::Unknown(COMMENTED_0.to_owned()));
}

#[test]
fn retired_data_that_no_step_can_lift_is_malformed() {
    for bad in ["{", "[]", "{}", &retired("id"), &retired("comment_id").replacen('{', "{\"extra\":1,", 1)] {
        let error = decode(COMMENTED_0, bad).unwrap_err();
        assert!(
            matches!(&error, DecodeError::Malformed { event_type, .. } if event_type == COMMENTED_0),
            "{bad}: {error}"
        );
    }
    // The second step of a chain fails like the first, under the name of what was written.
    let error = decode(REMARKED, r#"{"remark_id":1,"author":2}"#).unwrap_err();
    assert!(matches!(&error, DecodeError::Malformed { event_type, .. } if event_type == REMARKED), "{error}");
}
