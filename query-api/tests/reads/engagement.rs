//! What a reader keeps and did, and the counters of items.

use chrono::TimeDelta;
use docket_events::engagement::Action;
use docket_platform::clock;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    feed::{Shelf, TENANT, Text, id},
    support::person,
};

#[tokio::test]
async fn a_reader_finds_what_they_saved_with_their_notes_and_what_was_retracted_since() {
    let shelf = Shelf::new().await;
    for n in 1..=3 {
        shelf.article(n, Text { title: &format!("Number {n}"), ..Text::default() }).await;
    }
    for (user, n, note) in [(1, 1, "'Read again.'"), (1, 2, "null"), (1, 9, "null"), (2, 3, "'Mine.'")] {
        let key = docket_domain::feed::saved_id(TENANT, person(user), id(n));
        shelf
            .world
            .run(&format!(
                "insert into read.saved_v1 values ('{key}', '{TENANT}', 0, 1, '{}', '{}', {note}, timestamptz '2026-01-01' + make_interval(days => {n}))",
                person(user),
                id(n)
            ))
            .await;
    }
    shelf.retract(1).await;
    let first = shelf.get(&shelf.token, "/api/v1/user/saved?limit=2").await;
    let of = |saved: &Value| (saved["article_id"].clone(), saved["article"]["title"].clone(), saved["note"].clone());
    assert_eq!(of(&first["saved"][0]), (json!(id(9)), Value::Null, Value::Null), "an article that is still to come");
    assert_eq!(of(&first["saved"][1]), (json!(id(2)), json!("Number 2"), Value::Null));
    let next = first["next"].as_str().unwrap();
    let rest = shelf.get(&shelf.token, &format!("/api/v1/user/saved?after={next}")).await;
    assert_eq!(
        (of(&rest["saved"][0]), &rest["next"]),
        ((json!(id(1)), json!("Number 1"), json!("Read again.")), &Value::Null)
    );
    assert_eq!(rest["saved"][0]["article"]["retracted"], "Wrong.");
    assert_eq!(rest["saved"].as_array().unwrap().len(), 1, "and nothing of another reader's");

    let page = shelf.ask("{ mySaved { nodes { articleId note savedAt article { title retracted } } } }").await;
    assert_eq!(page["mySaved"]["nodes"][2]["article"], json!({"title": "Number 1", "retracted": "Wrong."}));
}

#[tokio::test]
async fn a_reader_finds_what_they_said_of_topics() {
    let shelf = Shelf::new().await;
    let path = "/api/v1/user/topics/preferences";
    assert_eq!(shelf.get(&shelf.token, path).await, json!({"version": 0, "topics": {}, "set_at": null}));
    shelf.prefer(person(1), &json!({"art": 0.25, "science": 1.0})).await;
    let response = shelf.world.http.get(shelf.world.url(path)).bearer_auth(&shelf.token).send().await.unwrap();
    assert_eq!(response.headers()["etag"], "\"2\"");
    assert_eq!(response.json::<Value>().await.unwrap()["topics"], json!({"art": 0.25, "science": 1.0}));
    let known = shelf.world.http.get(shelf.world.url(path)).bearer_auth(&shelf.token).header("if-none-match", "\"2\"");
    assert_eq!(known.send().await.unwrap().status(), 304);
    let answer = shelf.ask("{ myTopicPreferences { version topics { topic weight } } }").await;
    let topics = json!([{"topic": "art", "weight": 0.25}, {"topic": "science", "weight": 1.0}]);
    assert_eq!(answer["myTopicPreferences"], json!({"version": 2, "topics": topics}));
    let other = shelf.get(&shelf.other().await, path).await;
    assert_eq!(other["topics"], json!({}));
}

#[tokio::test]
async fn a_history_is_the_readers_own_the_last_first() {
    let shelf = Shelf::new().await;
    let now = clock::now();
    for (user, hours, action) in [
        (1, 3, Action::View),
        (1, 1, Action::Dwell),
        (2, 2, Action::Share),
        (1, 2, Action::Click),
        (1, 4, Action::Save),
    ] {
        shelf.engage(person(user), action, "article", id(hours), now - TimeDelta::hours(hours as i64)).await;
    }
    let first = shelf.get(&shelf.token, "/api/v1/user/engagement?limit=3").await;
    let of = |list: &Value| -> Vec<(Value, Value)> {
        let of = |one: &Value| (one["action"].clone(), one["item_id"].clone());
        list["engagement"].as_array().unwrap().iter().map(of).collect()
    };
    assert_eq!(
        of(&first),
        [(json!("dwell"), json!(id(1))), (json!("click"), json!(id(2))), (json!("view"), json!(id(3)))]
    );
    assert_eq!(
        (&first["engagement"][0]["dwell_ms"], &first["engagement"][0]["kind"]),
        (&json!(1500), &json!("article"))
    );
    let next = first["next"].as_str().unwrap();
    let rest = shelf.get(&shelf.token, &format!("/api/v1/user/engagement?after={next}")).await;
    assert_eq!((of(&rest), &rest["next"]), (vec![(json!("save"), json!(id(4)))], &Value::Null));
    let answer =
        shelf.ask("{ myEngagement(first: 1) { nodes { action kind itemId dwellMs } pageInfo { hasNextPage } } }").await;
    let node = json!({"action": "DWELL", "kind": "ARTICLE", "itemId": id(1), "dwellMs": 1500});
    assert_eq!(answer["myEngagement"], json!({"nodes": [node], "pageInfo": {"hasNextPage": true}}));
}

#[tokio::test]
async fn an_item_is_counted_ever_and_by_day() {
    let shelf = Shelf::new().await;
    let now = clock::now();
    for (user, days, action) in [
        (1, 0, Action::View),
        (2, 0, Action::View),
        (1, 0, Action::Dwell),
        (1, 1, Action::Click),
        (2, 40, Action::Share),
        (2, 40, Action::Save),
    ] {
        // Both shards of a day count.
        let at = now - TimeDelta::days(days) + TimeDelta::seconds(user as i64 - 2);
        shelf.engage(person(user), action, "article", id(1), at).await;
    }
    shelf.view(person(1), 2).await;
    let path = format!("/api/v1/engagement/{}", id(1));
    let counts = |views: u8, clicks: u8, saves: u8, shares: u8, dwells: u8| json!({"views": views, "clicks": clicks, "saves": saves, "shares": shares, "dwells": dwells, "dwell_ms": u32::from(dwells) * 1500});
    let told = shelf.get(&shelf.token, &path).await;
    assert_eq!((&told["item_id"], &told["total"]), (&json!(id(1)), &counts(2, 1, 1, 1, 1)));
    let day = |days: i64| (now - TimeDelta::days(days)).date_naive().to_string();
    // Whoever begins a second before midnight has two days more.
    if told["days"].as_array().unwrap().len() == 2 {
        let days =
            json!([{"day": day(0), "counts": counts(2, 0, 0, 0, 1)}, {"day": day(1), "counts": counts(0, 1, 0, 0, 0)}]);
        assert_eq!(told["days"], days);
    }
    let whole = shelf.get(&shelf.token, &format!("{path}?days=60")).await;
    assert!(whole["days"].as_array().unwrap().len() >= 3, "{whole}");
    let nothing = shelf.get(&shelf.token, &format!("/api/v1/engagement/{}", id(99))).await;
    assert_eq!((&nothing["total"], &nothing["days"]), (&counts(0, 0, 0, 0, 0), &json!([])));
    let answer = shelf
        .ask(&format!(
            "{{ engagement(itemId: \"{}\", days: 60) {{ total {{ views dwellMs }} days {{ day }} }} }}",
            id(1)
        ))
        .await;
    assert_eq!(answer["engagement"]["total"], json!({"views": 2, "dwellMs": 1500}));
}

#[tokio::test]
async fn another_organisation_sees_nothing_of_all_this() {
    let shelf = Shelf::new().await;
    shelf.topic("art", None).await;
    shelf.article(1, Text { title: "A secret", topics: &["art"], ..Text::default() }).await;
    shelf.view(person(1), 1).await;
    shelf.prefer(person(1), &json!({"art": 1.0})).await;
    // The same person, elsewhere.
    let token = shelf.world.token(Uuid::from_u128(0xb)).await;
    for path in [
        "/api/v1/feed",
        "/api/v1/feed?topic=art",
        "/api/v1/feed/trending",
        "/api/v1/articles",
        "/api/v1/articles?text=secret",
        "/api/v1/topics",
        "/api/v1/user/saved",
        "/api/v1/user/topics/preferences",
        "/api/v1/user/engagement",
    ] {
        let answer = shelf.get(&token, path).await;
        let lists = answer.as_object().unwrap().values().filter(|value| value.is_array() || value.is_object());
        let empty = |list: &Value| *list == json!([]) || *list == json!({});
        assert!(lists.clone().count() > 0 && lists.clone().all(empty), "{path}: {answer}");
    }
    let counters = shelf.get(&token, &format!("/api/v1/engagement/{}", id(1))).await;
    assert_eq!((&counters["total"]["views"], &counters["days"]), (&json!(0), &json!([])));
    let url = shelf.world.url(&format!("/api/v1/articles/{}", id(1)));
    assert_eq!(shelf.world.http.get(url).bearer_auth(&token).send().await.unwrap().status(), 404);
}
