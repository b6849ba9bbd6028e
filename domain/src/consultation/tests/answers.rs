//! Each kind of answer: what fits, what does not, and what is recorded.

use super::*;
use crate::consultation::payload;

fn asks(answer: AnswerKind) -> Request {
    Request { terms: Terms { answer, ..Terms::default() }, ..request() }
}

fn story(answer: AnswerKind) -> Story {
    Story::nothing().and(0, asks(answer))
}

fn regions() -> AnswerKind {
    AnswerKind::Choice { options: ["eu", "us", "asia"].map(str::to_owned).into(), min: 1, max: 2 }
}

fn choose(options: &[&str]) -> Given {
    Given { choices: Some(options.iter().copied().map(str::to_owned).collect()), ..Given::default() }
}

fn invoice() -> Value {
    json!({"amount": 100, "payee": "Acme", "lines": [{"text": "bolts", "price": 60}, {"text": "nuts", "price": 40}]})
}

fn edit(paths: &[&str], schema: Option<Value>) -> AnswerKind {
    let paths = paths.iter().copied().map(str::to_owned).collect();
    AnswerKind::Edit { proposed: Some(invoice()), paths, schema }
}

fn changed(payload: Value) -> Given {
    Given { payload: Some(payload), ..Given::decision(Decision::Approve) }
}

/// What an answer is recorded as.
#[track_caller]
fn recorded(story: &Story, given: Given) -> Answer {
    let decided = story.when(1, answer(GRACE, given)).0;
    let [Event::VoteCast(vote), Event::Responded(outcome)] = &decided.events[..] else { panic!("{decided:?}") };
    assert_eq!(vote.answer(), outcome.answer());
    vote.answer().unwrap()
}

#[test]
fn a_choice_is_among_the_options_as_many_as_are_wanted_and_in_their_order() {
    let story = story(regions());
    let content = Some(Content::Choices(vec!["eu".to_owned(), "asia".to_owned()]));
    assert_eq!(recorded(&story, choose(&["asia", "eu"])).content, content);
    for wrong in [&[][..], &["eu", "us", "asia"], &["moon"], &["eu", "eu"]] {
        story.when(1, answer(GRACE, choose(wrong))).invalid("choices");
    }
    story.when(1, answer(GRACE, Given::default())).invalid("choices");
    story.when(1, respond(GRACE, Decision::Approve)).invalid("decision");
}

#[test]
fn a_form_is_checked_against_its_schema() {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"budget": {"$ref": "#/$defs/money"}, "until": {"type": "string", "format": "date"}},
        "required": ["budget"],
        "$defs": {"money": {"type": "integer", "minimum": 0}}
    });
    let story = story(AnswerKind::Form { schema });
    let form = |data: Value| Given { form: Some(data), ..Given::default() };
    let data = json!({"budget": 7, "until": "2026-12-31"});
    assert_eq!(recorded(&story, form(data.clone())).content, Some(Content::Form(data)));
    for wrong in [json!({}), json!({"budget": -1}), json!({"budget": 1, "until": "tomorrow"}), json!(null)] {
        story.when(1, answer(GRACE, form(wrong))).invalid("form");
    }
    let deep = (0..1_000).fold(json!(1), |inner, _| json!([inner]));
    story.when(1, answer(GRACE, form(deep))).invalid("form");
    story.when(1, answer(GRACE, form(json!({"budget": 1, "note": "x".repeat(70_000)})))).invalid("form");
}

#[test]
fn a_proposal_is_approved_as_it_stands_with_changes_or_rejected() {
    let story = story(edit(&["/amount", "/lines"], None));
    assert_eq!(recorded(&story, Given::decision(Decision::Reject)), Answer::of(Decision::Reject));
    assert_eq!(recorded(&story, Given::decision(Decision::Approve)), Answer::of(Decision::Approve));
    assert_eq!(recorded(&story, changed(invoice())), Answer::of(Decision::Approve), "nothing was changed");
    let mut other = invoice();
    other["amount"] = json!(60);
    other["lines"] = json!([{"text": "bolts", "price": 60, "vat": 7}]);
    let content = recorded(&story, changed(other.clone())).content.unwrap();
    assert_eq!(payload(&invoice(), Some(&content)), Some(other));
    let Content::Changes { words, .. } = content else { panic!("{content:?}") };
    assert_eq!(
        words,
        r#"/amount changed from 100 to 60; /lines/0/vat added: 7; /lines/1 removed: {"price":40,"text":"nuts"}"#
    );
}

#[test]
fn only_what_may_be_changed_is_changed_and_as_the_schema_has_it() {
    let schema = json!({"properties": {"amount": {"type": "integer", "maximum": 100}}});
    let story = story(edit(&["/amount"], Some(schema)));
    let with = |key: &str, value: Value| {
        let mut payload = invoice();
        payload[key] = value;
        changed(payload)
    };
    for (key, value) in [("payee", json!("Me")), ("amounts", json!(1)), ("amount", json!(101)), ("amount", json!("x"))]
    {
        story.when(1, answer(GRACE, with(key, value))).invalid("payload");
    }
    story.when(1, answer(GRACE, changed(json!(7)))).invalid("payload");
    let given = Given { payload: Some(invoice()), ..Given::decision(Decision::Reject) };
    story.when(1, answer(GRACE, given)).invalid("payload");
    assert!(recorded(&story, with("amount", json!(99))).content.is_some());
}

#[test]
fn those_who_change_differently_do_not_agree() {
    let mut asked = asks(edit(&["/amount"], None));
    asked.terms.rule = DecisionRule::MOfN { m: 2 };
    asked.terms.seats = vec![id(2), id(3), id(4)];
    let with = |amount: i64| {
        let mut payload = invoice();
        payload["amount"] = json!(amount);
        changed(payload)
    };
    let story = Story::nothing().and(0, asked).and(1, answer(2, with(50))).and(2, answer(3, with(60)));
    assert_eq!(story.0.state(), Some(State::Pending));
    let story = story.and(3, answer(2, with(60)));
    assert_eq!(story.0.state(), Some(State::Responded));
}

#[test]
fn what_is_asked_for_is_checked_when_it_is_asked() {
    let refuses = |field: &str, answer: AnswerKind| Story::nothing().when(0, asks(answer)).invalid(field);
    let choice = |options: &[&str], min, max| AnswerKind::Choice {
        options: options.iter().copied().map(str::to_owned).collect(),
        min,
        max,
    };
    refuses("answer.options", choice(&["one"], 1, 1));
    refuses("answer.options", choice(&["one", "one"], 1, 1));
    refuses("answer.options", choice(&["one", " "], 1, 1));
    refuses("answer.options", choice(&["one", "t\0"], 1, 1));
    refuses("answer.max", choice(&["one", "two"], 2, 1));
    refuses("answer.max", choice(&["one", "two"], 0, 1));
    refuses("answer.max", choice(&["one", "two"], 1, 3));
    refuses("answer.paths", edit(&[], None));
    refuses("answer.paths", edit(&["amount"], None));
    refuses("answer.paths", edit(&["/a~2"], None));
    refuses("answer.proposed", edit(&["/amount"], Some(json!({"type": "string"}))));
    refuses("answer.proposed", AnswerKind::Edit { proposed: None, paths: vec!["/a".to_owned()], schema: None });
}

#[test]
fn a_schema_refers_to_itself_only_ends_and_is_read_in_bounded_time() {
    let refuses = |schema: Value| {
        let started = std::time::Instant::now();
        Story::nothing().when(0, asks(AnswerKind::Form { schema: schema.clone() })).invalid("answer.schema");
        assert!(started.elapsed() < std::time::Duration::from_secs(10), "a bound of liveness: {schema}");
    };
    for reference in ["https://example.com/schema.json", "other.json", "file:///etc/passwd", "#name", "#/$defs/none"] {
        refuses(json!({"$ref": reference}));
    }
    refuses(json!({"$schema": "http://json-schema.org/draft-07/schema#"}));
    refuses(json!({"$id": "https://example.com/a", "$defs": {"b": {"$id": "https://example.com/b"}}}));
    refuses(json!({"$dynamicRef": "#meta"}));
    refuses(json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}));
    refuses(json!({"properties": {"child": {"$ref": "#"}}}));
    refuses(json!(7));
    refuses(json!({"type": "nonsense"}));
    refuses(json!({"pattern": "("}));
    refuses(json!({"description": "x".repeat(40_000)}));
    refuses((0..1_000).fold(json!({}), |inner, _| json!({"not": inner})));
    // Each level refers to the one below it twice.
    let mut defs = serde_json::Map::from_iter([("d0".to_owned(), json!({"type": "integer"}))]);
    for n in 1..40 {
        let below = json!({"$ref": format!("#/$defs/d{}", n - 1)});
        defs.insert(format!("d{n}"), json!({"allOf": [below, below]}));
    }
    refuses(json!({"$defs": defs, "$ref": "#/$defs/d39"}));
    // The same where names look like keywords that hold data.
    let mut defs = serde_json::Map::from_iter([("d0".to_owned(), json!({"type": "integer"}))]);
    for n in 1..40 {
        let below = json!({"$ref": format!("#/$defs/d{}", n - 1)});
        defs.insert(format!("d{n}"), json!({"properties": {"default": {"allOf": [below, below]}}}));
    }
    refuses(json!({"$defs": defs, "$ref": "#/$defs/d39"}));
    refuses(json!({"properties": {"const": {"$ref": "#"}}}));
    refuses(json!({"$defs": {"enum": {"$ref": "https://example.com"}}}));
    // A property may have any name.
    story(AnswerKind::Form {
        schema: json!({"properties": {"$anchor": {"type": "string"}, "$id": {"type": "string"}}}),
    });
    // What looks like a reference and is data, is data.
    story(AnswerKind::Form { schema: json!({"const": {"$ref": "https://example.com"}}) });
    story(AnswerKind::Form {
        schema: json!({"enum": [{"$ref": "#"}], "$ref": "#/$defs/a%20b", "$defs": {"a b": true}}),
    });
}

#[test]
fn patterns_are_matched_without_going_back() {
    let story = story(AnswerKind::Form { schema: json!({"type": "string", "pattern": "^(a+)+$"}) });
    let given = Given { form: Some(json!(format!("{}!", "a".repeat(50_000)))), ..Given::default() };
    story.when(1, answer(GRACE, given)).invalid("form");
}
