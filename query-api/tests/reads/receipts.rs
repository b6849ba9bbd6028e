//! Receipts: the same one wherever an outcome is read, and good for whoever has the key set.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use docket_domain::consultation::{Given, Receipt, Request, Respond, Standing, Terms, receipt::payload_sha256};
use docket_events::consultation::{Decision, Person};
use docket_platform::{
    auth::{Authenticator, RECEIPT_KID_PREFIX, Receipts},
    ids,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    as_of::Stream,
    events_log::{Log, THEIRS, page},
    support::{Asked, World, instant, person},
};

const OURS: Uuid = Uuid::from_u128(0xa);

async fn get(world: &World, token: &str, path: &str) -> Value {
    let response = world.http.get(world.url(path)).bearer_auth(token).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

/// What the read model has of the outcome that came then.
async fn ended(world: &World, id: Uuid, state: &str, at: &str) {
    world
        .run(&format!(
            "update read.consultation_v1 set state = '{state}', ended_at = '{at}', decision = 'approve', rule = 'any_one',
                 request_version = 1, ended_by = '{}', ended_by_name = 'Grace', external_id = 'case-1' where id = '{id}'",
            person(2)
        ))
        .await;
}

#[tokio::test]
async fn every_read_shows_the_same_receipt_and_the_key_set_has_its_key() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    let (id, _) = world.asked(OURS, &Asked::titled("Deploy?")).await;
    let query = format!("{{ consultation(id: \"{id}\") {{ receipt receiptMinutes requestVersion }} }}");
    let pending = world.query(&token, &query).await.0;
    assert_eq!(pending["consultation"], json!({"receipt": null, "receiptMinutes": 1440, "requestVersion": 1}));
    let path = format!("/api/v1/consultations/{id}");
    let waits = tokio::spawn({
        let (http, url, token) = (world.http.clone(), world.url(&format!("{path}?wait=30")), token.clone());
        async move { http.get(url).bearer_auth(token).send().await.unwrap().json::<Value>().await.unwrap() }
    });
    world.heard_by(OURS, 1).await;
    let mut decided = Asked::titled("Deploy?");
    decided.state = "responded";
    ended(&world, id, "pending", "2025-07-01T00:00:00.5Z").await;
    world.write(OURS, id, &decided, "responded").await;

    let told = waits.await.unwrap()["receipt"].as_str().expect("a receipt").to_owned();
    assert_eq!(get(&world, &token, &path).await["receipt"], json!(told));
    assert_eq!(get(&world, &token, "/api/v1/consultations").await["consultations"][0]["receipt"], json!(told));
    assert_eq!(world.query(&token, &query).await.0["consultation"]["receipt"], json!(told));

    // As another process, which may do no more than read.
    let reader = world.database.pool(docket_platform::db::DbRole::Reader, 2, Duration::from_secs(5));
    let (tenant, says): (Uuid, Receipt) = Receipts::from_pool(reader.clone()).verify(&told).await.unwrap();
    assert_eq!((tenant, says.sub, says.decision), (OURS, id, Some(Decision::Approve)));
    assert_eq!(says.exp - says.iat, 86_400);
    assert_eq!(Some(says.payload_sha256), payload_sha256(&json!({"a": [1.5], "b": 1})));
    let set = Authenticator::public_from_pool(reader).jwks().await.unwrap();
    let published = set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap());
    assert_eq!(published.filter(|kid| kid.starts_with(RECEIPT_KID_PREFIX)).count(), 1);
}

#[tokio::test]
async fn a_receipt_is_the_same_from_the_stream_and_from_the_read_model() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    let stream = Stream::new(&world);
    let context = Some(json!({"b": 1, "a": [1.5]}));
    let request = Request { context, external_id: Some("case-1".into()), ..Request::new("Deploy?", named(1)) };
    stream.command(Request { receipt_minutes: Some(7), ..request }).await;
    let given = Given::decision(Decision::Approve);
    let at = stream.command(Respond { by: named(2), standing: Standing::default(), given }).await;
    let at = at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    world.write(OURS, stream.id, &Asked { at: instant(0), ..Asked::titled("Deploy?") }, "requested").await;
    ended(&world, stream.id, "responded", &at).await;
    world.run("update read.consultation_v1 set receipt_minutes = 7").await;
    let query = format!(
        r#"{{ now: consultation(id: "{0}") {{ receipt }} then: consultation(id: "{0}", asOf: "{at}") {{ receipt }} }}"#,
        stream.id
    );
    let told = world.query(&token, &query).await.0;
    assert!(told["now"]["receipt"].is_string());
    assert_eq!(told["now"], told["then"]);
}

#[tokio::test]
async fn the_feed_tells_outcomes_with_their_receipts_and_nothing_else() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    let log = Log::new(&world);
    // More than are read at once.
    let mut outcomes = Vec::new();
    for n in 0..40 {
        let id = log.ask(OURS, &format!("Case {n}")).await;
        log.comment(OURS, id).await;
        log.approve(OURS, id).await;
        outcomes.push(id);
    }
    let theirs = log.ask(THEIRS, "Elsewhere").await;
    log.approve(THEIRS, theirs).await;
    let about = ids::new_id();
    let terms = Terms { subject: Some(named(9)), ..Terms::default() };
    let private = Request { terms, ..Request::new("About somebody", named(1)) };
    log.command(OURS, about, private).await;
    log.approve(OURS, about).await;
    log.settle().await;
    let receipts = Receipts::from_pool(world.reader.clone());
    let told = async |query: &str| {
        let (events, _) = page(&world, &token, query).await;
        let mut told = BTreeMap::new();
        for event in &events {
            let is_outcome = event["type"] == "docket.consultation.responded.v1";
            assert!(is_outcome || event.get("receipt").is_none(), "{event}");
            if let Some(receipt) = event["receipt"].as_str() {
                let (tenant, says): (Uuid, Receipt) = receipts.verify(receipt).await.unwrap();
                assert_eq!((tenant, event["subject"].as_str()), (OURS, Some(&*format!("consultation-{}", says.sub))));
                told.insert(says.sub, receipt.to_owned());
            }
        }
        told
    };
    let all = told("?limit=1000").await;
    assert_eq!(all.keys().copied().collect::<BTreeSet<_>>(), outcomes.iter().copied().chain([about]).collect());
    assert_eq!(told("?limit=1000&types=consultation.responded").await, all, "the same text again");
    // As every other read shows it.
    let query = format!(
        r#"{{ consultation(id: "{}", asOf: "{}") {{ receipt }} }}"#,
        outcomes[7],
        docket_platform::clock::now().to_rfc3339()
    );
    let elsewhere = world.query(&token, &query).await.0["consultation"]["receipt"].clone();
    assert_eq!(elsewhere.as_str(), all.get(&outcomes[7]).map(String::as_str));
    world.run(&format!("delete from vault.data_key where subject = '{}'", person(9))).await;
    let left = told("?limit=1000").await;
    assert_eq!(left.len(), 40, "nothing proves what was decided about whom was erased");
}

#[tokio::test]
async fn after_a_time_out_there_is_a_receipt_and_after_a_withdrawal_or_an_erasure_none() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    let receipt = async |id: Uuid| get(&world, &token, &format!("/api/v1/consultations/{id}")).await["receipt"].clone();
    let (id, _) = world.asked(OURS, &Asked::titled("Deploy?")).await;
    ended(&world, id, "timed_out", "2025-07-01T00:00:00Z").await;
    let told = receipt(id).await;
    let receipts = Receipts::from_pool(world.reader.clone());
    let (_, says): (Uuid, Receipt) = receipts.verify(told.as_str().unwrap()).await.unwrap();
    assert_eq!((says.decision, says.decided_by), (None, None));
    world.run(&format!("update read.consultation_v1 set subject = '{}'", person(9))).await;
    assert_eq!(receipt(id).await, Value::Null, "whom it was about has no name any more");
    let (id, _) = world.asked(OURS, &Asked::titled("Deploy?")).await;
    ended(&world, id, "withdrawn", "2025-07-01T00:00:00Z").await;
    world.run("update read.consultation_v1 set withdrawal_reason = 'withdrawn'").await;
    assert_eq!(receipt(id).await, Value::Null);
}

fn named(n: u128) -> Person {
    Person::named(person(n), format!("Person {n}"))
}
