//! Templates: what may be set, and what comes of them with values.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::*;

const ADA: Uuid = Uuid::from_u128(1);

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("no object: {other}"),
    }
}

fn command(request: Value, values: Option<Value>) -> SetTemplate {
    SetTemplate { name: "release".to_owned(), request: map(request), values, set_by: ADA }
}

fn folded(events: &[IdentityEvent]) -> Template {
    let mut state = Template::default();
    for (version, event) in (1..).zip(events) {
        state.evolve(event, At { version, time: DateTime::UNIX_EPOCH });
    }
    state
}

fn set(request: Value, values: Option<Value>) -> Template {
    let decided = set_template(&Template::default(), &command(request, values));
    assert_eq!(decided.refusal, None);
    folded(&decided.events)
}

#[track_caller]
fn refused(template: &Template, values: Value, reason: &str) {
    match render(template, &map(values)).unwrap_err() {
        Refusal::Invalid { field: "template.values", reason: given } => assert!(given.contains(reason), "{given}"),
        other => panic!("{other}"),
    }
}

#[test]
fn values_take_their_places() {
    let template = set(
        json!({
            "title": "Release {{version}} of {{ service }}?",
            "body": "Write `\\{{version}}` yourself: {{notes}}{{notes}}",
            "labels": ["release", "{{service}}"],
            "timeout_minutes": "{{minutes}}",
            "context": {"build": {"checks": "{{checks}}", "all": "all: {{checks}}"}},
        }),
        None,
    );
    let values = json!({"version": 4.2, "service": "billing", "notes": null, "minutes": 30, "checks": {"unit": true}});
    let filled = Value::from(render(&template, &map(values)).unwrap());
    assert_eq!(
        filled,
        json!({
            "title": "Release 4.2 of billing?",
            "body": "Write `{{version}}` yourself: ",
            "labels": ["release", "billing"],
            "timeout_minutes": 30,
            "context": {"build": {"checks": {"unit": true}, "all": "all: {\"unit\":true}"}},
        })
    );
    // What a value holds is no template.
    let plain = set(json!({"title": "{{text}}!"}), None);
    let filled = render(&plain, &map(json!({"text": "{{text}} \\{{"}))).unwrap();
    assert_eq!(filled["title"], "{{text}} \\{{!");
}

#[test]
fn values_are_those_of_the_template_and_satisfy_its_schema() {
    let schema = json!({
        "properties": {"version": {"type": "string", "pattern": "^[0-9]"}, "minutes": {"type": "integer", "default": 60}},
    });
    let request = json!({"title": "Release {{version}}?", "timeout_minutes": "{{minutes}}"});
    let template = set(request.clone(), Some(schema));
    let filled = render(&template, &map(json!({"version": "4"}))).unwrap();
    assert_eq!(filled["timeout_minutes"], 60, "its default");
    refused(&template, json!({}), "must hold `version`");
    refused(&template, json!({"version": "4", "x": 1}), "must not hold `x`");
    refused(&template, json!({"version": "x"}), "at /version");
    refused(&template, json!({"version": "4", "minutes": "soon"}), "at /minutes");
    refused(&set(request, None), json!({"version": "4"}), "must hold `minutes`");
}

#[test]
fn what_comes_of_it_is_bounded() {
    let template = set(json!({"title": "t", "context": vec!["{{text}}{{text}}"; 3_000]}), None);
    refused(&template, json!({"text": "x".repeat(100_000)}), "longer than");
    assert!(render(&template, &map(json!({"text": "x"}))).is_ok());
}

#[test]
fn a_template_that_cannot_be_is_refused() {
    let deep = (0..100).fold(json!("x"), |inner, _| json!([inner]));
    for (request, values, field) in [
        (json!({"title": "{{"}), None, "request"),
        (json!({"title": "{{a b}}"}), None, "request"),
        (json!({"title": "{{1a}}"}), None, "request"),
        (json!({"context": {"a": ["{{}}"]}}), None, "request"),
        (json!({"context": deep}), None, "request"),
        (json!({"context": "x".repeat(140_000)}), None, "request"),
        (json!({"supersedes": ADA}), None, "request"),
        (json!({"template": {"name": "other"}}), None, "request"),
        (json!({"title": "t"}), Some(json!({"$ref": "https://example.org/schema"})), "values"),
        (json!({"title": "t"}), Some(json!([])), "values"),
    ] {
        match set_template(&Template::default(), &command(request, values)).refusal {
            Some(Refusal::Invalid { field: given, .. }) => assert_eq!(given, field),
            other => panic!("{field}: {other:?}"),
        }
    }
    for name in ["", "Release", "-a", "a b", "ä", &"a".repeat(65)] {
        let named = SetTemplate { name: name.to_owned(), ..command(json!({}), None) };
        assert!(set_template(&Template::default(), &named).refusal.is_some(), "{name}");
    }
}

#[test]
fn setting_what_stands_and_retiring_what_is_retired_changes_nothing() {
    let first = set_template(&Template::default(), &command(json!({"title": "t"}), None)).events;
    let state = folded(&first);
    assert_eq!(set_template(&state, &command(json!({"title": "t"}), None)).events, []);
    assert_eq!(set_template(&state, &command(json!({"title": "u"}), None)).events.len(), 1);
    let retired = [first, retire_template(&state, ADA).events].concat();
    let state = folded(&retired);
    assert!(state.retired && state.version == 2);
    assert_eq!(retire_template(&state, ADA).events, []);
    assert_eq!(set_template(&state, &command(json!({"title": "t"}), None)).events.len(), 1, "it is there again");
    assert_eq!(retire_template(&Template::default(), ADA).refusal, Some(Refusal::NotFound));
}
