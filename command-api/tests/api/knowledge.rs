//! The knowledge graph: what is added, changed, merged and retracted, alone and many at once.

use docket_platform::{auth::Role, ids};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, App, Member};

const ENTITIES: &str = "/api/v1/entities";
const RELATIONSHIPS: &str = "/api/v1/relationships";

async fn put(app: &App, by: &Member, path: &str, body: &Value) -> Answer {
    app.call(Some(by), "PUT", path, body, &[]).await
}

async fn added(app: &App, by: &Member, name: &str) -> Uuid {
    app.post(by, ENTITIES, &json!({"type": "location", "name": name, "external_id": name})).await.expect(201).id()
}

#[tokio::test]
async fn an_entity_is_added_changed_and_retracted() {
    let app = App::new().await;
    let analyst = app.member("analyst", Role::Analyst).await;
    let asked = json!({
        "type": "location", "name": "El Paso", "aliases": ["Paso del Norte"], "properties": {"population": 678_815},
        "confidence": 0.9, "source": "the census", "external_id": "/m/0100mt",
    });
    let first = app.post(&analyst, ENTITIES, &asked).await.expect(201);
    assert_eq!(
        (first.body["type"].as_str(), &first.body["properties"]["population"]),
        (Some("location"), &json!(678_815))
    );
    assert_eq!((first.header("etag"), first.body["confidence"].as_f64()), ("\"1\"", Some(0.9)));
    assert!(!first.header("docket-position").is_empty());

    // The same name, other words: it is there, and stays as it is.
    let again =
        app.post(&analyst, ENTITIES, &json!({"type": "city", "name": "Another", "external_id": "/m/0100mt"})).await;
    assert_eq!(again.expect(200).body, first.body);

    let id = first.id();
    let path = format!("{ENTITIES}/{id}");
    let changed = put(&app, &analyst, &path, &json!({"type": "city", "name": "El Paso"})).await.expect(200);
    assert_eq!((&changed.body["aliases"], changed.body["confidence"].as_f64()), (&json!([]), Some(1.0)));
    put(&app, &analyst, &path, &json!({"type": "city", "name": "El Paso"})).await.expect(200);
    assert_eq!(app.events_of(id).await, ["entity_added", "entity_changed"], "the same again is no change");
    let (late, old) = (json!({"type": "city", "name": "x"}), [("if-match", "\"1\"")]);
    app.call(Some(&analyst), "PUT", &path, &late, &old).await.problem(412, "version_mismatch");

    let retract = format!("{path}/retract");
    app.post(&analyst, &retract, &json!({"reason": " "})).await.problem(422, "validation_failed");
    let retracted = app.post(&analyst, &retract, &json!({"reason": "It never was."})).await.expect(200);
    assert_eq!(retracted.body["retracted"], "It never was.");
    app.post(&analyst, &retract, &json!({"reason": "Twice."})).await.expect(200);
    put(&app, &analyst, &path, &json!({"type": "city", "name": "x"})).await.problem(409, "retracted");
    assert_eq!(app.events_of(id).await, ["entity_added", "entity_changed", "entity_retracted"]);
}

#[tokio::test]
async fn what_cannot_be_said_is_refused_and_nothing_is_written() {
    let app = App::new().await;
    let analyst = app.member("analyst", Role::Analyst).await;
    let (a, _) = (added(&app, &analyst, "a").await, added(&app, &analyst, "b").await);
    let before = app.number("select count(*) from write.journal").await;
    let many: serde_json::Map<String, Value> = (0..100_000).map(|n| (n.to_string(), json!(0))).collect();
    for (body, field) in [
        (json!({"type": "t", "name": "n", "confidence": 1.1}), "confidence"),
        (json!({"type": "t", "name": "n", "confidence": -1}), "confidence"),
        (json!({"type": "t", "name": "a\u{7}"}), "name"),
        (json!({"type": "t", "name": ""}), "name"),
        (json!({"type": "t", "name": "x".repeat(1_000_000)}), "name"),
        (json!({"type": "A Type", "name": "n"}), "type"),
        (json!({"type": "t", "name": "n", "properties": {"long": "x".repeat(20_000)}}), "properties"),
        (json!({"type": "t", "name": "n", "properties": 7}), "properties"),
        (json!({"type": "t", "name": "n", "colour": "red"}), "colour"),
    ] {
        let answer = app.post(&analyst, ENTITIES, &body).await.problem(422, "validation_failed");
        assert_eq!(answer.body["errors"][0]["field"], field, "{}", answer.body);
    }
    let large = app.post(&analyst, ENTITIES, &json!({"type": "t", "name": "n", "properties": many})).await;
    assert!([413, 422].contains(&large.status.as_u16()), "{}", large.body);
    let nan = br#"{"type":"t","name":"n","confidence":NaN}"#.to_vec();
    app.send(crate::support::request(Some(&analyst), ENTITIES, nan, &[])).await.problem(400, "invalid_json");

    let relate = |source: &str, kind: &str, target: &str| json!({"source_external_id": source, "type": kind, "target_external_id": target});
    for (body, field) in [
        (relate("a", "near", "a"), "target_id"),
        (relate("a", "near", "nobody"), "target_id"),
        (relate("nobody", "near", "a"), "source_id"),
        (relate("a", "Near", "b"), "type"),
        (json!({"type": "near", "target_external_id": "b"}), "source_id"),
        (json!({"source_id": a, "source_external_id": "a", "type": "near", "target_external_id": "b"}), "source_id"),
    ] {
        let answer = app.post(&analyst, RELATIONSHIPS, &body).await.problem(422, "validation_failed");
        assert_eq!(answer.body["errors"][0]["field"], field, "{}", answer.body);
    }
    assert_eq!(app.number("select count(*) from write.journal").await, before);
}

#[tokio::test]
async fn a_relationship_is_there_once_and_comes_back_when_it_is_added_again() {
    let app = App::new().await;
    let analyst = app.member("analyst", Role::Analyst).await;
    let (a, b) = (added(&app, &analyst, "a").await, added(&app, &analyst, "b").await);
    let asked = json!({"source_id": a, "type": "near", "target_external_id": "b", "confidence": 0.5});
    let first = app.post(&analyst, RELATIONSHIPS, &asked).await.expect(201);
    assert_eq!((&first.body["source_id"], &first.body["target_id"]), (&json!(a), &json!(b)));
    let id = first.id();
    assert_eq!(app.post(&analyst, RELATIONSHIPS, &asked).await.expect(200).id(), id);
    let path = format!("{RELATIONSHIPS}/{id}");
    let changed = put(&app, &analyst, &path, &json!({"confidence": 0.75})).await.expect(200);
    assert_eq!((changed.body["confidence"].as_f64(), &changed.body["type"]), (Some(0.75), &json!("near")));
    app.post(&analyst, &format!("{path}/retract"), &json!({"reason": "Far."})).await.expect(200);
    put(&app, &analyst, &path, &json!({"confidence": 0.7})).await.problem(409, "retracted");
    let back = app.post(&analyst, RELATIONSHIPS, &asked).await.expect(201);
    assert_eq!((back.id(), &back.body["retracted"], back.body["confidence"].as_f64()), (id, &Value::Null, Some(0.5)));
    // What is an entity is no relationship, and the other way round.
    put(&app, &analyst, &format!("{RELATIONSHIPS}/{a}"), &json!({})).await.problem(404, "not_found");
    put(&app, &analyst, &format!("{ENTITIES}/{id}"), &json!({"type": "t", "name": "n"}))
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn an_entity_is_merged_into_one_that_stands() {
    let app = App::new().await;
    let analyst = app.member("analyst", Role::Analyst).await;
    let (a, b, c) =
        (added(&app, &analyst, "a").await, added(&app, &analyst, "b").await, added(&app, &analyst, "c").await);
    let merge = async |from: Uuid, into: Uuid| {
        app.post(&analyst, &format!("{ENTITIES}/{from}/merge"), &json!({"into": into})).await
    };
    assert_eq!(merge(a, a).await.problem(422, "validation_failed").body["errors"][0]["field"], "into");
    merge(a, ids::new_id()).await.problem(422, "validation_failed");
    assert_eq!(merge(a, b).await.expect(200).body["merged_into"], json!(b));
    merge(a, b).await.expect(200);
    assert_eq!(merge(a, c).await.problem(409, "merged_away").body["merged_into"], json!(b));
    assert_eq!(merge(c, a).await.problem(409, "target_merged_away").body["merged_into"], json!(b));
    merge(b, a).await.problem(409, "target_merged_away");
    put(&app, &analyst, &format!("{ENTITIES}/{a}"), &json!({"type": "t", "name": "n"}))
        .await
        .problem(409, "merged_away");
    app.post(&analyst, &format!("{ENTITIES}/{c}/retract"), &json!({"reason": "Wrong."})).await.expect(200);
    merge(b, c).await.problem(409, "target_retracted");
    assert_eq!(app.events_of(a).await, ["entity_added", "entity_merged"]);
    assert_eq!(app.events_of(b).await, ["entity_added"]);
}

#[tokio::test]
async fn of_merges_that_would_go_in_a_circle_one_is_refused() {
    let app = App::new().await;
    let analyst = app.member("analyst", Role::Analyst).await;
    for round in 0..5 {
        let name = |which: &str| format!("{which}{round}");
        let (a, b, c) = (
            added(&app, &analyst, &name("a")).await,
            added(&app, &analyst, &name("b")).await,
            added(&app, &analyst, &name("c")).await,
        );
        let merge = async |from: Uuid, into: Uuid| {
            let answer = app.post(&analyst, &format!("{ENTITIES}/{from}/merge"), &json!({"into": into})).await;
            answer.status.as_u16()
        };
        let (one, two, three) = tokio::join!(merge(a, b), merge(b, c), merge(c, a));
        let statuses = [one, two, three];
        assert!(statuses.contains(&409) && statuses.contains(&200), "{statuses:?}");
    }
}

#[tokio::test]
async fn many_at_once_have_a_verdict_each_and_repeat_under_their_key() {
    let app = App::new().await;
    let analyst = app.member("analyst", Role::Analyst).await;
    let entity = |n: usize| json!({"type": "thing", "name": format!("Thing {n}"), "external_id": n.to_string()});
    let mut items: Vec<Value> = (0..1_000).map(entity).collect();
    items[7] = json!({"type": "thing", "name": "x", "confidence": 2});
    let key = [("idempotency-key", "k")];
    let bulk = async |path: &str, items: &[Value], key: &[(&str, &str)]| {
        app.post_with(&analyst, &format!("{path}/bulk"), &json!({"items": items}), key).await
    };
    let first = bulk(ENTITIES, &items, &key).await.expect(200);
    assert_eq!((&first.body["done"], &first.body["failed"]), (&json!(999), &json!(1)));
    let refused = &first.body["items"][7];
    assert_eq!((&refused["status"], &refused["problem"]["errors"][0]["field"]), (&json!(422), &json!("confidence")));
    assert_eq!(first.body["items"][8]["entity"]["name"], "Thing 8");
    let again = bulk(ENTITIES, &items, &key).await.expect(200);
    for (item, before) in again.body["items"].as_array().unwrap().iter().zip(first.body["items"].as_array().unwrap()) {
        assert_eq!((&item["entity"], &item["status"]), (&before["entity"], &before["status"]));
    }
    items.push(entity(1_000));
    bulk(ENTITIES, &items, &[]).await.problem(422, "validation_failed");

    let related = |a: usize, b: usize| json!({"source_external_id": a.to_string(), "type": "next", "target_external_id": b.to_string()});
    let items = [related(1, 2), related(3, 3), related(1, 7), related(1, 2), json!({"type": "next"}), related(2, 3)];
    let answer = bulk(RELATIONSHIPS, &items, &[]).await.expect(200);
    let verdicts = answer.body["items"].as_array().unwrap();
    let statuses: Vec<_> = verdicts.iter().map(|item| item["status"].as_u64().unwrap()).collect();
    assert_eq!([statuses[1], statuses[2], statuses[4], statuses[5]], [422, 422, 422, 201], "{statuses:?}");
    let mut same = [statuses[0], statuses[3]];
    same.sort_unstable();
    assert_eq!(same, [200, 201], "the same twice is added once");
    assert_eq!(verdicts[0]["relationship"]["id"], verdicts[3]["relationship"]["id"]);
}
