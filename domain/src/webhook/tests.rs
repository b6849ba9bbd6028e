//! Webhooks: what may be set, what an endpoint hears, and what it is told.

use chrono::TimeDelta;
use docket_events::{
    Category, StreamId,
    consultation::{Answer, Decision, Person, Requested, Responded, Rule},
    identity::{Redelivered, WebhookEndpointDisabled},
};
use serde_json::json;

use super::*;
use crate::{
    Decided,
    consultation::{Consultation, view::ConsultationView},
    identity::Refusal,
};
use docket_events::Recorded;

const ADA: Uuid = Uuid::from_u128(1);
const ID: Uuid = Uuid::from_u128(2);

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn command() -> SetEndpoint {
    SetEndpoint {
        id: ID,
        changes: false,
        url: "https://hooks.example.org".to_owned(),
        description: None,
        event_types: vec!["consultation.responded".to_owned()],
        format: EndpointFormat::Standard,
        template: None,
        set_by: ADA,
    }
}

type Command<'a> = &'a dyn Fn(&Webhooks) -> Decided<IdentityEvent, Refusal>;

/// What comes of commands, each decided on what was before.
fn after(commands: &[Command<'_>]) -> (Webhooks, usize) {
    let mut state = Webhooks::default();
    for command in commands {
        let decided = command(&state);
        assert_eq!(decided.refusal, None);
        for event in decided.events {
            let version = state.version + 1;
            state.evolve(&event, At { version, time: at(version as i64) });
        }
    }
    let version = state.version as usize;
    (state, version)
}

#[track_caller]
fn refused(command: &SetEndpoint, wrong: &str, why: &str) {
    match set_endpoint(&Webhooks::default(), command).refusal {
        Some(Refusal::Invalid { field, reason }) => assert!(field == wrong && reason.contains(why), "{field} {reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_endpoint_is_named() {
    refused(&SetEndpoint { url: format!("https://x/{}", "y".repeat(10_000)), ..command() }, "url", "2000 bytes");
    refused(&SetEndpoint { event_types: Vec::new(), ..command() }, "event_types", "1 to 50");
    for unknown in ["consultation", "consultation.exploded", "identity.*", "*", "consultation.responded.v1"] {
        refused(&SetEndpoint { event_types: vec![unknown.to_owned()], ..command() }, "event_types", "consultation.*");
    }
    refused(&SetEndpoint { description: Some("a\nb".to_owned()), ..command() }, "description", "one line");
    let with = |format, template| SetEndpoint { format, template, ..command() };
    refused(&with(EndpointFormat::Standard, Some(json!("x"))), "template", "must not be given");
    refused(&with(EndpointFormat::Json, None), "template", "must be given");
    refused(&with(EndpointFormat::Slack, Some(json!({"text": "x"}))), "template", "text");
    refused(&with(EndpointFormat::Json, Some(json!({"a": "{{titel}}"}))), "template", "`title`");
    refused(&with(EndpointFormat::Json, Some(json!("{{title"))), "template", "between");
}

#[test]
fn setting_again_changes_nothing_and_there_are_only_so_many() {
    let (state, versions) =
        after(&[&|state| set_endpoint(state, &command()), &|state| set_endpoint(state, &command())]);
    assert_eq!((state.endpoints.len(), versions), (1, 1));
    let missing = SetEndpoint { id: ADA, changes: true, ..command() };
    assert_eq!(set_endpoint(&state, &missing).refusal, Some(Refusal::NotFound));
    let mut full = Webhooks::default();
    for n in 0..100 {
        full.endpoints.insert(Uuid::from_u128(1000 + n), state.endpoints[&ID].clone());
    }
    assert_eq!(set_endpoint(&full, &command()).refusal, Some(Refusal::TooMany("endpoints")));
}

#[test]
fn an_endpoint_hears_what_it_asked_for_from_its_beginning_while_it_is_on() {
    let all = SetEndpoint { event_types: vec!["consultation.*".to_owned()], ..command() };
    let (state, _) = after(&[&|state| set_endpoint(state, &all)]);
    let endpoint = &state.endpoints[&ID];
    assert!(endpoint.hears("consultation.commented", at(1)) && !endpoint.hears("consultation.commented", at(0)));
    let (state, _) = after(&[&|state| set_endpoint(state, &command())]);
    let endpoint = &state.endpoints[&ID];
    assert!(endpoint.hears("consultation.responded", at(9)) && !endpoint.hears("consultation.timed_out", at(9)));
    let off = |state: &Webhooks| disable_endpoint(state, ID, EndpointEnd::Gone, None, None);
    let (state, versions) = after(&[&|state| set_endpoint(state, &command()), &off, &off]);
    assert_eq!(versions, 2);
    assert!(!state.endpoints[&ID].hears("consultation.responded", at(9)));
    assert_eq!(test_endpoint(&state, ID, ADA).refusal, Some(Refusal::Ended));
    let all = Redeliver { endpoint: Some(ID), deliveries: Redelivered::Failed, requested_by: ADA };
    assert_eq!(redeliver(&state, all.clone()).refusal, Some(Refusal::Ended));
    let on = |state: &Webhooks| enable_endpoint(state, ID, ADA);
    let (state, _) = after(&[&|state| set_endpoint(state, &command()), &off, &on]);
    assert!(state.endpoints[&ID].hears("consultation.responded", at(9)));
    assert_eq!(redeliver(&state, all).events.len(), 1);
    let (state, _) = after(&[&|state| set_endpoint(state, &command()), &|state| remove_endpoint(state, ID, ADA)]);
    assert_eq!(enable_endpoint(&state, ID, ADA).refusal, Some(Refusal::NotFound));
}

#[test]
fn a_range_has_a_beginning_before_its_end() {
    let deliveries = Redelivered::Between { since: at(5), until: at(5), failed_only: true };
    let refusal = redeliver(&Webhooks::default(), Redeliver { endpoint: None, deliveries, requested_by: ADA }).refusal;
    assert!(matches!(refusal, Some(Refusal::Invalid { field: "until", .. })), "{refusal:?}");
}

#[test]
fn names_are_without_prefix_and_version() {
    assert_eq!(name_of("docket.consultation.responded.v12"), "consultation.responded");
    assert!(OUTCOMES.iter().all(|outcome| names().any(|name| name == *outcome)));
    let end =
        WebhookEndpointDisabled { endpoint_id: ID, reason: EndpointEnd::Off, failing_since: None, disabled_by: None };
    assert_eq!(name_of(IdentityEvent::WebhookEndpointDisabled(end).event_type()), "identity.webhook_endpoint_disabled");
}

fn answered() -> (Recorded, ConsultationView) {
    let mut state = Consultation::default();
    let grace = || Person::named(ID, "Grace <Hopper>");
    let requested = Requested::new("Pay & go?", Person::named(ADA, "Ada"));
    state.evolve(&ConsultationEvent::Requested(requested), At { version: 1, time: at(1) });
    let parts = Answer::of(Decision::Approve);
    let responded = Responded {
        decision: parts.decision,
        by: grace(),
        rule: Rule::AnyOne,
        request_version: 1,
        comment: None,
        content: None,
        private: None,
        agreed: Vec::new(),
    };
    state.evolve(&ConsultationEvent::Responded(responded), At { version: 2, time: at(2) });
    let event = Recorded {
        stream: StreamId::new(Category::Consultation, ID),
        shard: 0,
        sequence: 7,
        version: 2,
        id: Uuid::from_u128(9),
        event_type: "docket.consultation.responded.v1".to_owned(),
        tenant: ADA,
        time: at(2),
        recorded_at: at(3),
        data: "{}".to_owned(),
        meta: "{}".to_owned(),
    };
    (event, ConsultationView::of(ID, state).expect("it was asked"))
}

#[test]
fn each_format_tells_the_same_event_in_its_own_way() {
    let (event, mut view) = answered();
    view.sign(|receipt| Ok::<_, ()>(format!("signed {}", receipt.sub))).unwrap();
    let data = json!({"decision": "approve"});
    let told = Told {
        event: &event,
        data: Some(&data),
        name: name_of(&event.event_type),
        consultation: Some(&view),
        url: "https://docket.example.org/consultations/2",
    };
    let standard = body(&told, EndpointFormat::Standard, None).unwrap();
    assert_eq!(standard["type"], "consultation.responded");
    assert_eq!(standard["timestamp"], "1970-01-01T00:00:02.000000Z");
    assert_eq!((&standard["data"]["stream_version"], &standard["data"]["event"]), (&json!(2), &data));
    assert_eq!(standard["data"]["consultation"]["receipt"], format!("signed {ID}"));
    assert_eq!(standard["data"]["consultation"]["outcome"]["decision"], "approve");
    let slack = body(&told, EndpointFormat::Slack, None).unwrap();
    let text = "Grace &lt;Hopper&gt; approved: Pay &amp; go?\nhttps://docket.example.org/consultations/2";
    assert_eq!(slack, json!({ "text": text }));
    let template =
        json!({"blocks": [{"said": "{{decision}} by {{by}}", "until": "{{deadline}}"}], "proof": "{{receipt}}"});
    let custom = body(&told, EndpointFormat::Json, Some(&template)).unwrap();
    let blocks = json!([{"said": "approve by Grace <Hopper>", "until": null}]);
    assert_eq!(custom, json!({"blocks": blocks, "proof": format!("signed {ID}")}));
    let bomb = json!(vec!["{{words}}"; 40_000]);
    assert!(body(&told, EndpointFormat::Json, Some(&bomb)).is_err());
}
