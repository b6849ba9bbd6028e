//! The feed of a reader, and what is talked of. Rows are written as the projections write them.

use chrono::{DateTime, TimeDelta, Utc};
use docket_domain::engagement::trend;
use docket_events::engagement::Action;
use docket_platform::{
    auth::{Principal, Role},
    clock,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{World, person};

pub const TENANT: Uuid = Uuid::from_u128(0xa);

pub fn id(n: u128) -> Uuid {
    Uuid::from_u128(0x2000 + n)
}

/// What a test says of an article.
pub struct Text<'a> {
    pub title: &'a str,
    pub body: &'a str,
    pub topics: &'a [&'a str],
    pub quality: f64,
    pub age: TimeDelta,
    pub entities: &'a [Uuid],
}

impl Default for Text<'_> {
    fn default() -> Self {
        Self { title: "A title", body: "", topics: &[], quality: 0.5, age: TimeDelta::days(7), entities: &[] }
    }
}

/// An organisation with articles, and somebody who reads them.
pub struct Shelf {
    pub world: World,
    pub token: String,
}

impl Shelf {
    pub async fn new() -> Self {
        let world = World::new().await;
        let token = world.token(TENANT).await;
        Self { world, token }
    }

    /// The token of another reader of the organisation.
    pub async fn other(&self) -> String {
        self.world.token_of(Principal::member(person(2), TENANT, Role::Reviewer)).await
    }

    pub async fn article(&self, n: u128, text: Text<'_>) {
        let Text { title, body, topics, quality, age, entities } = text;
        let (title, body) = (title.replace('\'', "''"), body.replace('\'', "''"));
        let entities: Vec<String> = entities.iter().map(Uuid::to_string).collect();
        let published_at = (clock::now() - age).to_rfc3339();
        self.world
            .run(&format!(
                "insert into read.article_v1 values ('{}', '{TENANT}', 0, 3, '{title}', 'In short.', '{body}', 'text', {quality}, 0.5, '{{{}}}', '{{{}}}',
                     null, null, '{published_at}', now(), now(), null, read.article_words('{TENANT}', '{title}', 'In short.', '{body}'))",
                id(n),
                topics.join(","),
                entities.join(","),
            ))
            .await;
    }

    pub async fn retract(&self, n: u128) {
        let id = id(n);
        self.world
            .run(&format!("update read.article_v1 set retracted = 'Wrong.', version = 4 where id = '{id}'"))
            .await;
    }

    pub async fn topic(&self, topic: &str, parent: Option<&str>) {
        let parent = parent.map_or("null".to_owned(), |parent| format!("'{parent}'"));
        let name = topic.to_uppercase();
        self.world
            .run(&format!("insert into read.topic_v1 values ('{TENANT}', '{topic}', 0, '{name}', {parent})"))
            .await;
    }

    pub async fn prefer(&self, user: Uuid, topics: &Value) {
        let id = docket_domain::feed::preferences_id(TENANT, user);
        self.world
            .run(&format!(
                "insert into read.preference_v1 values ('{id}', '{TENANT}', 0, 2, '{user}', '{topics}', now())
                 on conflict (id) do update set topics = excluded.topics"
            ))
            .await;
    }

    /// Somebody does something: the row, the sums and the checkpoint, all of one shard.
    pub async fn engage(&self, user: Uuid, action: Action, kind: &str, item: Uuid, at: DateTime<Utc>) {
        let (key, shard) = (Uuid::new_v5(&item, format!("{user} {action:?} {at}").as_bytes()), at.timestamp() % 2);
        let (name, time, day) = (action.name(), at.to_rfc3339(), at.date_naive());
        let (block, weight) = (trend::block(at), trend::weight(action, at));
        let count = |counted| i64::from(action == counted);
        let [views, clicks, saves, shares, dwells] = Action::ALL.map(count);
        self.world
            .run(&format!(
                "with told as (update read.checkpoint set sequence = sequence + 1 where projection = 'engagement' and shard = {shard}
                               returning sequence)
                 insert into read.engagement_v1
                     select '{TENANT}', '{user}', '{key}', {shard}, sequence, now(), '{name}', '{kind}', '{item}', '{time}',
                            nullif({dwells} * 1500, 0), null from told;
                 insert into read.engagement_item_day_v1 as s values
                     ('{TENANT}', '{item}', '{day}', {shard}, '{kind}', {views}, {clicks}, {saves}, {shares}, {dwells}, {dwells} * 1500)
                     on conflict (tenant, item, day, shard) do update set views = s.views + {views}, clicks = s.clicks + {clicks},
                         saves = s.saves + {saves}, shares = s.shares + {shares}, dwells = s.dwells + {dwells},
                         dwell_ms = s.dwell_ms + {dwells} * 1500;
                 insert into read.engagement_trend_v1 as s values ('{TENANT}', {block}, '{item}', {shard}, '{kind}', {weight})
                     on conflict (tenant, block, item, shard) do update set weight = s.weight + {weight}"
            ))
            .await;
    }

    pub async fn view(&self, user: Uuid, n: u128) {
        self.engage(user, Action::View, "article", id(n), clock::now()).await;
    }

    /// Gets a REST read that must succeed.
    pub async fn get(&self, token: &str, path: &str) -> Value {
        let response = self.world.http.get(self.world.url(path)).bearer_auth(token).send().await.unwrap();
        let (status, answer) = (response.status(), response.json::<Value>().await.unwrap());
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// Gets a REST read that must fail, and gives its status, code and the field that is named.
    pub async fn wrong(&self, path: &str) -> (u16, String, String) {
        let response = self.world.http.get(self.world.url(path)).bearer_auth(&self.token).send().await.unwrap();
        let (status, answer) = (response.status().as_u16(), response.json::<Value>().await.unwrap());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (status, text(&answer["code"]), text(&answer["errors"][0]["field"]))
    }

    pub async fn ask(&self, query: &str) -> Value {
        self.world.query(&self.token, query).await.0
    }

    /// The whole feed, by ids, in pages of `limit`; `between` comes between two pages.
    async fn pages(&self, limit: usize, between: impl AsyncFn(usize)) -> Vec<Value> {
        let (mut ids, mut after, mut page) = (Vec::new(), String::new(), 0);
        loop {
            let feed = self.get(&self.token, &format!("/api/v1/feed?limit={limit}{after}")).await;
            ids.extend(feed["items"].as_array().unwrap().iter().map(|item| item["article"]["id"].clone()));
            let Some(next) = feed["next"].as_str() else { return ids };
            after = format!("&after={next}");
            between(page).await;
            page += 1;
        }
    }
}

fn ids(items: &Value) -> Vec<u128> {
    let id = |item: &Value| item["article"]["id"].as_str().unwrap().parse::<Uuid>().unwrap().as_u128() - 0x2000;
    items.as_array().unwrap().iter().map(id).collect()
}

#[tokio::test]
async fn a_reader_is_shown_first_what_they_care_for_and_have_not_seen() {
    let shelf = Shelf::new().await;
    for (topic, parent) in [("science", None), ("physics", Some("science")), ("optics", Some("physics")), ("art", None)]
    {
        shelf.topic(topic, parent).await;
    }
    shelf.article(1, Text { topics: &["optics"], ..Text::default() }).await;
    shelf.article(2, Text { topics: &["art"], ..Text::default() }).await;
    shelf.article(3, Text { topics: &["optics", "art"], quality: 1.0, ..Text::default() }).await;
    shelf.article(4, Text { age: TimeDelta::zero(), ..Text::default() }).await;
    shelf.article(5, Text { topics: &["optics"], quality: 1.0, ..Text::default() }).await;
    shelf.article(6, Text { quality: 1.0, ..Text::default() }).await;
    shelf.retract(6).await;
    let me = person(1);
    // An ancestor's counts: 0.4 more for everything within science, 0.4 less for art.
    shelf.prefer(me, &json!({"science": 1.0, "art": 0.0})).await;
    shelf.prefer(person(2), &json!({"art": 1.0})).await;
    shelf.engage(me, Action::Dwell, "article", id(5), clock::now() - TimeDelta::hours(1)).await;
    // To keep something is not to have read it, and what another reads is not read by me.
    shelf.engage(me, Action::Save, "article", id(3), clock::now()).await;
    shelf.view(person(2), 3).await;

    let feed = shelf.get(&shelf.token, "/api/v1/feed").await;
    assert_eq!(ids(&feed["items"]), [3, 1, 4, 2, 5], "{feed}");
    assert_eq!((&feed["next"], &feed["cut"]), (&Value::Null, &json!(false)));
    let (first, last) = (&feed["items"][0], &feed["items"][4]);
    let parts = &first["parts"];
    assert_eq!([&parts["preference"], &parts["quality"], &parts["relevance"]], [&json!(1.0), &json!(1.0), &json!(0.5)]);
    assert!((parts["freshness"].as_f64().unwrap() - 0.5).abs() < 1e-3, "a week old: {parts}");
    assert!((first["score"].as_f64().unwrap() - (0.4 + 0.25 + 0.1 + 0.075)).abs() < 1e-3, "{first}");
    assert_eq!((&parts["seen"], &last["parts"]["seen"]), (&json!(false), &json!(true)));
    assert!((last["score"].as_f64().unwrap() - 0.3 * (0.4 + 0.25 + 0.1 + 0.075)).abs() < 1e-3, "{last}");
    assert_eq!((&first["article"]["version"], &first["article"]["body"]), (&json!(3), &Value::Null));

    let of_topic = shelf.get(&shelf.token, "/api/v1/feed?topic=physics").await;
    assert_eq!(ids(&of_topic["items"]), [3, 1, 5], "what is a part of a topic is of it");
    let others = shelf.get(&shelf.other().await, "/api/v1/feed").await;
    assert_eq!(ids(&others["items"])[..2], [2, 5], "{others}");

    let query = "{ feed(first: 2) { edges { cursor node { score article { id } parts { preference seen } } } pageInfo { hasNextPage endCursor } } }";
    let page = shelf.ask(query).await["feed"].clone();
    assert_eq!(page["edges"][0]["node"]["parts"], json!({"preference": 1.0, "seen": false}));
    assert_eq!(page["pageInfo"]["hasNextPage"], true);
    let rest = format!(
        "{{ feed(after: {}) {{ nodes {{ article {{ id }} }} pageInfo {{ hasPreviousPage }} }} }}",
        page["pageInfo"]["endCursor"]
    );
    let rest = shelf.ask(&rest).await["feed"].clone();
    assert_eq!((ids(&rest["nodes"]), &rest["pageInfo"]["hasPreviousPage"]), (vec![4, 2, 5], &json!(true)));
}

#[tokio::test]
async fn pages_of_a_feed_fit_together_while_articles_arrive_and_are_read() {
    let shelf = Shelf::new().await;
    for n in 0..23 {
        let quality = (n % 7) as f64 / 7.0;
        shelf.article(n, Text { quality, age: TimeDelta::hours(n as i64), ..Text::default() }).await;
    }
    shelf.view(person(1), 3).await;
    let expected = shelf.pages(100, async |_| ()).await;
    assert_eq!(expected.len(), 23);
    let between = async |page: usize| {
        // New ones that would come first, last and in the middle, and the page that was shown is read.
        for (place, quality) in [1.0, 0.5, 0.0].into_iter().enumerate() {
            let n = 100 + 10 * page as u128 + place as u128;
            shelf.article(n, Text { quality, age: TimeDelta::hours(place as i64 * 10), ..Text::default() }).await;
        }
        for n in 0..23 {
            shelf.view(person(1), n).await;
        }
    };
    assert_eq!(shelf.pages(4, between).await, expected);
    let again = shelf.pages(100, async |_| ()).await;
    assert_eq!(again.len(), 23 + 3 * 5, "whoever begins anew sees what has come");
    assert_ne!(again[..23], expected[..]);
}

#[tokio::test]
async fn a_feed_says_when_there_are_more_articles_than_it_ranks() {
    let shelf = Shelf::new().await;
    let more = "insert into read.article_v1
         select gen_random_uuid(), '00000000-0000-0000-0000-00000000000a', 0, 1, 'One of many', '', '', 'text', 0.5, 0.5, '{}', '{}', null, null,
                now() - make_interval(secs => n), now(), now(), null, ''
         from generate_series(1, 5000) n";
    shelf.world.run(more).await;
    assert_eq!(shelf.get(&shelf.token, "/api/v1/feed?limit=1").await["cut"], false);
    shelf.article(1, Text { quality: 1.0, age: TimeDelta::days(300), ..Text::default() }).await;
    let feed = shelf.get(&shelf.token, "/api/v1/feed?limit=1").await;
    assert_eq!((&feed["cut"], &feed["items"][0]["article"]["title"]), (&json!(true), &json!("One of many")));
    let (_, answer) = shelf.world.post(&shelf.token, &json!({"query": "{ feed(first: 1) { nodes { score } } }"})).await;
    assert_eq!(answer["extensions"]["cut"], true, "{answer}");
}

/// What readers did, as it decays by the exact power of two.
fn exact(deeds: &[(Action, u128, TimeDelta)], n: u128) -> f64 {
    let of = deeds.iter().filter(|(_, item, _)| *item == n);
    of.map(|(action, _, age)| action.weight() as f64 * (-age.as_seconds_f64() / 86_400.0).exp2()).sum()
}

#[tokio::test]
async fn what_is_talked_of_is_the_exact_decay_within_the_bound() {
    let shelf = Shelf::new().await;
    let entity = |n: u128| {
        format!(
            "insert into read.entity_v1 (id, tenant, shard, version, type, name, aliases, properties, confidence, added_at, updated_at, words, letters)
             values ('{}', '{TENANT}', 0, 1, 'thing', 'Thing {n}', '{{}}', '{{}}', 1, now(), now(), '', '')",
            id(n)
        )
    };
    for n in 1..=6 {
        shelf.article(n, Text::default()).await;
    }
    for n in 11..=14 {
        shelf.world.run(&entity(n)).await;
    }
    let mut deeds = Vec::new();
    for n in [1, 2, 3, 4, 5, 6, 11, 12, 13, 14] {
        for (place, action) in Action::ALL.into_iter().enumerate() {
            for ago in 0..(n * 7 + place as u128) % 9 {
                let age = TimeDelta::hours((n as i64 * 5 + ago as i64 * 29 + place as i64 * 3) % 300);
                deeds.push((action, n, age));
            }
        }
    }
    let now = clock::now();
    for (number, (action, n, age)) in deeds.iter().enumerate() {
        let kind = if *n > 10 { "entity" } else { "article" };
        shelf.engage(person(number as u128 % 3), *action, kind, id(*n), now - *age).await;
    }
    shelf.retract(6).await;
    shelf.world.run(&format!("update read.entity_v1 set retracted = 'Wrong.' where id = '{}'", id(13))).await;
    shelf.world.run(&format!("update read.entity_v1 set merged_into = '{}' where id = '{}'", id(11), id(14))).await;

    let trending = shelf.get(&shelf.token, "/api/v1/feed/trending").await["items"].clone();
    let told: Vec<(u128, f64)> = trending
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            let kind = item["kind"].as_str().unwrap();
            let id: Uuid = item[kind]["id"].as_str().unwrap().parse().unwrap();
            (id.as_u128() - 0x2000, item["score"].as_f64().unwrap())
        })
        .collect();
    let mut expected: Vec<(u128, f64)> = [1, 2, 3, 4, 5, 11, 12].map(|n| (n, exact(&deeds, n))).to_vec();
    expected.retain(|(_, score)| *score > 0.0);
    expected.sort_by(|one, other| other.1.total_cmp(&one.1));
    assert_eq!(told.iter().map(|(n, _)| n).collect::<Vec<_>>(), expected.iter().map(|(n, _)| n).collect::<Vec<_>>());
    let since = (clock::now() - now).as_seconds_f64() + 1.0;
    for ((n, told), (_, exact)) in told.iter().zip(&expected) {
        let bound = 1.0 / 50_000.0 + since / 86_400.0;
        assert!((told / exact - 1.0).abs() < bound, "{n}: {told} for {exact}");
    }
    let of = async |kind: &str| {
        shelf.get(&shelf.token, &format!("/api/v1/feed/trending?kind={kind}&limit=1")).await["items"].clone()
    };
    let (articles, entities) = (of("article").await, of("entity").await);
    assert_eq!((articles.as_array().unwrap().len(), &articles[0]["kind"]), (1, &json!("article")));
    assert_eq!(entities[0]["entity"].as_object().unwrap().keys().collect::<Vec<_>>(), ["id", "name", "type"]);
    let answer = shelf.ask("{ trending(kind: ENTITY) { score kind article { id } entity { name } } }").await;
    assert_eq!(answer["trending"].as_array().unwrap().len(), 2, "{answer}");
    assert_eq!((&answer["trending"][0]["kind"], &answer["trending"][0]["article"]), (&json!("ENTITY"), &Value::Null));
}
