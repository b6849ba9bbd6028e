//! What a consultation rests on, and what voters had opened before they voted. Rows are written as the projections write them.

use chrono::{DateTime, TimeDelta, Utc};
use docket_events::engagement::Action;
use docket_platform::{
    auth::{Principal, Scope},
    clock,
};
use futures_util::StreamExt;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    feed::{Shelf, TENANT, Text, id},
    support::{Asked, instant, person},
};

/// A consultation that cites the first article and an entity that was merged into another.
struct Case {
    shelf: Shelf,
    id: Uuid,
    now: DateTime<Utc>,
}

const MERGED: Uuid = Uuid::from_u128(0x51);
const STANDS: Uuid = Uuid::from_u128(0x52);

impl Case {
    async fn new() -> Self {
        let shelf = Shelf::new().await;
        shelf.article(1, Text { title: "Cited", ..Text::default() }).await;
        let id = shelf.world.asked(TENANT, &Asked::titled("Deploy?")).await.0;
        for (entity, name, merged) in [(MERGED, "Old", format!("'{STANDS}'")), (STANDS, "New", "null".to_owned())] {
            shelf
                .world
                .run(&format!(
                    "insert into read.entity_v1 (id, tenant, shard, version, type, name, aliases, properties, confidence, added_at, updated_at,
                                                 words, letters, merged_into)
                     values ('{entity}', '{TENANT}', 0, 1, 'thing', '{name}', '{{}}', '{{}}', 1, now(), now(),
                             read.entity_words('{TENANT}', '{name}', '{{}}', null), '{name}', {merged})"
                ))
                .await;
        }
        let cites = format!(r#"[{{"article":"{}"}},{{"entity":"{MERGED}"}}]"#, self::id(1));
        shelf.world.run(&format!("update read.consultation_v1 set cites = '{cites}'")).await;
        Self { shelf, id, now: clock::now() }
    }

    fn ago(&self, minutes: i64) -> DateTime<Utc> {
        self.now - TimeDelta::minutes(minutes)
    }

    /// It is shown from one time to another, told in minutes ago.
    async fn shown(&self, version: i64, from: i64, until: Option<i64>) {
        let until = until.map_or("null".to_owned(), |until| format!("'{}'", self.ago(until).to_rfc3339()));
        let from = self.ago(from).to_rfc3339();
        let row = format!("insert into read.reading_period_v1 values ('{TENANT}', {version}, 0, '{from}', {until})");
        self.shelf.world.run(&row).await;
    }

    async fn vote(&self, version: i64, voter: u128, minutes: i64) {
        let (event, at) = (Uuid::new_v4(), self.ago(minutes).to_rfc3339());
        self.shelf
            .world
            .run(&format!(
                "insert into read.consultation_history_v1 (consultation_id, version, tenant, shard, event_id, kind, at, by_id, by_name)
                 values ('{}', {version}, '{TENANT}', 0, '{event}', 'vote_cast', '{at}', '{}', 'Voter {voter}')",
                self.id,
                person(voter)
            ))
            .await;
    }

    async fn opened(&self, voter: u128, action: Action, kind: &str, item: Uuid, minutes: i64) {
        self.shelf.engage(person(voter), action, kind, item, self.ago(minutes)).await;
    }

    async fn reading(&self) -> Value {
        self.shelf.get(&self.shelf.token, &format!("/api/v1/consultations/{}/reading", self.id)).await
    }
}

/// Item and actions of each vote, by version; null: nothing is shown with it.
fn brief(reading: &Value) -> Vec<(Value, Value)> {
    let item = |opened: &Value| json!([opened["item_id"], opened["actions"]]);
    let vote = |vote: &Value| {
        let opened = vote["opened"].as_array().map(|opened| opened.iter().map(item).collect::<Value>());
        (vote["version"].clone(), opened.unwrap_or_default())
    };
    reading["votes"].as_array().unwrap().iter().map(vote).collect()
}

#[tokio::test]
async fn what_a_voter_had_opened_of_what_is_cited_is_told_with_the_vote() {
    let case = Case::new().await;
    case.shown(1, 60, None).await;
    case.vote(2, 1, 10).await;
    case.vote(3, 2, 5).await;
    let article = id(1);
    case.opened(1, Action::Click, "article", article, 30).await;
    case.opened(1, Action::Dwell, "article", article, 20).await;
    // The page of what was merged away shows the other.
    case.opened(1, Action::View, "entity", STANDS, 25).await;
    // After the vote, before it was shown, not cited, by another.
    case.opened(1, Action::Share, "article", article, 9).await;
    case.opened(2, Action::View, "article", article, 61).await;
    case.opened(2, Action::View, "article", id(7), 8).await;
    // But this was opened while considering it.
    case.opened(2, Action::View, "article", id(8), 7).await;
    let considering = format!("update read.engagement_v1 set consultation_id = '{}' where item = '{}'", case.id, id(8));
    case.shelf.world.run(&considering).await;

    let told = case.reading().await;
    assert_eq!(
        brief(&told),
        [
            (json!(2), json!([[article, ["click", "dwell"]], [STANDS, ["view"]]])),
            (json!(3), json!([[id(8), ["view"]]])),
        ]
    );
    let (first, second) = (&told["votes"][0], &told["votes"][1]);
    assert_eq!(first["by"], json!({"id": person(1), "name": "Voter 1"}));
    assert_eq!((&first["opened"][0]["cited"], &first["opened"][0]["dwell_ms"]), (&json!(true), &json!(1500)));
    assert_eq!((&first["opened"][1]["cited"], &first["opened"][1]["kind"]), (&json!(true), &json!("entity")));
    assert_eq!((&second["opened"][0]["cited"], &second["more"]), (&json!(false), &json!(false)));
    assert!(told["shown_since"].is_string());

    let query = format!(
        r#"{{ consultation(id: "{}") {{ readingShownSince cites {{ kind itemId article {{ title }} entity {{ id name }} }}
              reading {{ version by {{ name }} more opened {{ kind itemId cited actions firstAt lastAt toldAt dwellMs }} }} }} }}"#,
        case.id
    );
    let answer = case.shelf.ask(&query).await["consultation"].take();
    assert_eq!(
        answer["cites"],
        json!([
            {"kind": "ARTICLE", "itemId": article, "article": {"title": "Cited"}, "entity": null},
            {"kind": "ENTITY", "itemId": MERGED, "article": null, "entity": {"id": STANDS, "name": "New"}},
        ])
    );
    assert_eq!(answer["readingShownSince"], told["shown_since"]);
    let one = &answer["reading"][0];
    assert_eq!((&one["version"], &one["by"]["name"]), (&json!(2), &json!("Voter 1")));
    assert_eq!(one["opened"][0]["actions"], json!(["CLICK", "DWELL"]));
    assert_eq!(one["opened"][0]["firstAt"], told["votes"][0]["opened"][0]["first_at"]);
    let consultation = case.shelf.get(&case.shelf.token, &format!("/api/v1/consultations/{}", case.id)).await;
    assert_eq!(consultation["cites"], json!([{"article_id": article}, {"entity_id": MERGED}]));
}

#[tokio::test]
async fn nothing_is_told_of_when_it_was_not_shown_and_what_was_shown_stays() {
    let case = Case::new().await;
    for (version, minutes) in [(2, 50), (3, 30), (4, 10)] {
        case.opened(1, Action::View, "article", id(1), minutes + 1).await;
        case.vote(version, 1, minutes).await;
    }
    assert_eq!(brief(&case.reading().await), [2, 3, 4].map(|version| (json!(version), Value::Null)));
    case.shown(1, 40, Some(20)).await;
    let told = case.reading().await;
    let shown = json!([[id(1), ["view"]]]);
    assert_eq!(brief(&told), [(json!(2), Value::Null), (json!(3), shown), (json!(4), Value::Null)]);
    assert_eq!(
        (&told["votes"][1]["opened"][0]["first_at"], &told["shown_since"]),
        (&json!(case.ago(31)), &Value::Null)
    );
}

#[tokio::test]
async fn of_more_than_a_hundred_things_it_is_said_that_there_are_more() {
    let case = Case::new().await;
    case.shown(1, 300, None).await;
    case.vote(2, 1, 1).await;
    for n in 0..101 {
        case.opened(1, Action::View, "article", id(100 + n), 200 - i64::try_from(n).unwrap()).await;
    }
    case.shelf.world.run(&format!("update read.engagement_v1 set consultation_id = '{}'", case.id)).await;
    let told = case.reading().await;
    let opened = told["votes"][0]["opened"].as_array().unwrap();
    assert_eq!((opened.len(), &told["votes"][0]["more"]), (100, &json!(true)));
    assert_eq!((&opened[0]["item_id"], &opened[99]["item_id"]), (&json!(id(100)), &json!(id(199))));
}

#[tokio::test]
async fn a_key_that_reads_no_knowledge_learns_of_what_is_cited_no_more_than_its_ids() {
    let case = Case::new().await;
    let cites = async |scopes: &[Scope], fields: &str| {
        let principal = Principal::key(person(9), TENANT, scopes.iter().copied().collect());
        let query = format!("{{ consultation(id: \"{}\") {{ cites {{ itemId {fields} }} }} }}", case.id);
        let answer = case.shelf.world.engine().answer(principal, &query).next().await.expect("an answer");
        (serde_json::to_value(&answer.data).unwrap(), serde_json::to_value(&answer.errors).unwrap())
    };
    let both = [Scope::ConsultationRead, Scope::KnowledgeRead];
    assert_eq!(cites(&both, "article { title }").await.0["consultation"]["cites"][0]["article"]["title"], "Cited");
    assert_eq!(cites(&both[..1], "kind").await.0["consultation"]["cites"][1]["itemId"], json!(MERGED));
    for fields in ["article { title }", "entity { name }"] {
        let (_, errors) = cites(&both[..1], fields).await;
        assert_eq!(errors[0]["extensions"]["code"], "FORBIDDEN", "{fields}: {errors}");
    }
}

#[tokio::test]
async fn what_cites_an_article_or_an_entity_is_found_the_last_asked_first() {
    let case = Case::new().await;
    let world = &case.shelf.world;
    let mut asked = Vec::new();
    for n in 0..3 {
        asked.push(world.asked(TENANT, &Asked { at: instant(n), ..Asked::titled(format!("Case {n}")) }).await.0);
    }
    let [first, second, third] = asked[..] else { panic!("three") };
    // The second cites both of what is one entity now.
    for (consultation, item, at) in
        [(first, id(1), 0), (first, MERGED, 0), (second, MERGED, 1), (second, STANDS, 1), (third, STANDS, 2)]
    {
        let at = instant(at).to_rfc3339();
        let row = format!(
            "insert into read.consultation_cited_v1 values ('{consultation}', '{item}', '{TENANT}', 0, '{at}')"
        );
        world.run(&row).await;
    }
    let citing = async |item: Uuid, page: &str| {
        let query = format!(
            "{{ consultationsCiting(itemId: \"{item}\" {page}) {{ nodes {{ id }} pageInfo {{ endCursor hasNextPage }} }} }}"
        );
        case.shelf.ask(&query).await["consultationsCiting"].take()
    };
    let ids = |ids: &[Uuid]| ids.iter().map(|id| json!({"id": id})).collect::<Value>();
    assert_eq!(citing(id(1), "").await["nodes"], ids(&[first]));
    assert_eq!(citing(id(2), "").await["nodes"], ids(&[]));
    for item in [MERGED, STANDS] {
        assert_eq!(citing(item, "").await["nodes"], ids(&[third, second, first]));
    }
    let page = citing(STANDS, "first: 2").await;
    assert_eq!((&page["nodes"], &page["pageInfo"]["hasNextPage"]), (&ids(&[third, second]), &json!(true)));
    let rest = citing(STANDS, &format!("after: {}", page["pageInfo"]["endCursor"])).await;
    assert_eq!((&rest["nodes"], &rest["pageInfo"]["hasNextPage"]), (&ids(&[first]), &json!(false)));
}
