//! What tests of the feed share: a hand that writes the journal and projects it, and readers.

use std::{collections::BTreeMap, time::Duration};

use docket_domain::consultation::{Command, Comment, Consultation, Given, Request, Respond, Standing, decide};
use docket_events::{
    Category, Metadata, StreamId,
    consultation::{Decision, Person},
};
use docket_log::{Bell, CommandContext, Outcome, Store, StoreOptions, bell::Topic};
use docket_platform::{db::DbRole, ids};
use reqwest::Response;
use serde_json::Value;
use uuid::Uuid;

use crate::support::{World, person};

pub const OURS: Uuid = Uuid::from_u128(0xa);
pub const THEIRS: Uuid = Uuid::from_u128(0xb);
/// A bound of liveness.
pub const SOON: Duration = Duration::from_secs(50);

/// Who writes the journal, and projects it as a projector would.
pub struct Log<'a> {
    world: &'a World,
    store: Store,
}

impl<'a> Log<'a> {
    pub fn new(world: &'a World) -> Self {
        let pool = world.database.pool(DbRole::Writer, 4, Duration::from_secs(10));
        let (bell, options) = (Bell::new(Topic::Journal), StoreOptions::default());
        Self { world, store: Store::open(&world.database, pool, world.installation, bell, options) }
    }

    pub async fn command(&self, tenant: Uuid, id: Uuid, command: impl Into<Command>) {
        let command = command.into();
        let metadata = Metadata {
            principal: Some(person(1)),
            session: Some(person(0x5e55)),
            correlation_id: Some("order-7".to_owned()),
            ..Metadata::default()
        };
        let context = CommandContext { tenant, metadata, ..CommandContext::default() };
        let stream = StreamId::new(Category::Consultation, id);
        let done =
            self.store.execute(&context, stream, |state: &Consultation, now| decide(state, command.clone(), now));
        match done.await.unwrap() {
            Outcome::Accepted(_) => {}
            Outcome::Refused(refusal) => panic!("{refusal}"),
        }
    }

    pub async fn ask(&self, tenant: Uuid, title: &str) -> Uuid {
        let id = ids::new_id();
        self.command(tenant, id, Request::new(title, Person::named(person(1), "Ada"))).await;
        id
    }

    pub async fn comment(&self, tenant: Uuid, id: Uuid) {
        let by = Person::named(person(2), "Grace");
        self.command(tenant, id, Comment { comment_id: ids::new_id(), by, text: "Well.".to_owned() }).await;
    }

    pub async fn approve(&self, tenant: Uuid, id: Uuid) {
        let (by, given) = (Person::named(person(2), "Grace"), Given::decision(Decision::Approve));
        self.command(tenant, id, Respond { by, standing: Standing::default(), given }).await;
    }

    /// An event of identity, as it is given.
    pub async fn identity(&self, tenant: Uuid, event_type: &str, data: &Value) {
        self.event(Category::Identity, tenant, event_type, data).await;
    }

    /// An event of any category, as it is given.
    pub async fn event(&self, category: Category, tenant: Uuid, event_type: &str, data: &Value) {
        let shard = self.world.installation.shard_of(StreamId::new(category, tenant));
        sqlx::query(
            "with given as (update write.shard set sequence = sequence + 1 where category = $7 and shard = $1 returning sequence)
             insert into write.journal (category, shard, sequence, stream_id, stream_version, event_id, tenant, time, event_type, data, meta)
             select $7, $1, sequence, $2, sequence, $3, $4, now(), $5, $6, '{}' from given",
        )
        .bind(i16::try_from(shard.shard).unwrap())
        .bind(Uuid::new_v5(&tenant, b"stream"))
        .bind(ids::new_id())
        .bind(tenant)
        .bind(event_type)
        .bind(data.to_string())
        .bind(category.code())
        .execute(&self.world.owner)
        .await
        .unwrap();
    }

    /// Projects at most so many events of each shard; whether there were any.
    pub async fn project(&self, most: i64) -> bool {
        let mut moved = false;
        for shard in Category::ALL.into_iter().flat_map(|category| self.world.installation.shards_of(category)) {
            let done = sqlx::query(
                "with stood as (
                     select sequence from read.checkpoint where projection = 'events' and category = $1 and shard = $2 for update
                 ), batch as (
                     select j.* from write.journal j, stood where j.category = $1 and j.shard = $2 and j.sequence > stood.sequence
                     order by j.sequence limit $3
                 ), placed as (
                     insert into read.event_v1 select tenant, category, shard, sequence, split_part(event_type, '.', 3), time
                     from batch where tenant <> '00000000-0000-0000-0000-000000000000'
                 )
                 update read.checkpoint set sequence = (select max(sequence) from batch)
                 where projection = 'events' and category = $1 and shard = $2 and exists (select from batch)",
            )
            .bind(shard.category.code())
            .bind(i16::try_from(shard.shard).unwrap())
            .bind(most)
            .execute(&self.world.owner)
            .await
            .unwrap();
            moved |= done.rows_affected() > 0;
        }
        self.world.bell.ring();
        moved
    }

    pub async fn settle(&self) {
        while self.project(1_000).await {}
    }
}

pub async fn get(world: &World, token: &str, query: &str) -> Response {
    world.http.get(world.url(&format!("/api/v1/events{query}"))).bearer_auth(token).send().await.unwrap()
}

pub fn position(response: &Response) -> String {
    response.headers()["docket-position"].to_str().unwrap().to_owned()
}

/// A page, and the position behind it.
pub async fn page(world: &World, token: &str, query: &str) -> (Vec<Value>, String) {
    let response = get(world, token, query).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"application/x-ndjson".parse().unwrap())
    );
    let position = position(&response);
    let text = response.text().await.unwrap();
    (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), position)
}

/// What refuses a request.
pub async fn refused(world: &World, token: &str, query: &str) -> (u16, String, String) {
    let response = get(world, token, query).await;
    let status = response.status().as_u16();
    let problem: Value = response.json().await.unwrap();
    let field = problem["errors"][0]["field"].as_str().unwrap_or_default().to_owned();
    (status, problem["code"].as_str().unwrap().to_owned(), field)
}

pub fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap().split('.').nth(2).unwrap()).collect()
}

pub fn ids_of(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

/// Every event of the tenant in the journal, in the order of its shards.
pub async fn journalled(world: &World, tenant: Uuid) -> Vec<String> {
    let sql = "select event_id::text from write.journal where tenant = $1 order by category, shard, sequence";
    sqlx::query_scalar(sql).bind(tenant).fetch_all(&world.owner).await.unwrap()
}

/// The order within each shard, and within each stream, is that of the log.
pub fn assert_ordered(events: &[Value]) {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for event in events {
        let (category, _) = event["subject"].as_str().unwrap().split_once('-').unwrap();
        let places =
            [(format!("{category}/{}", event["shard"]), "sequence"), (event["subject"].to_string(), "streamversion")];
        for (place, number) in places {
            let number: u64 = event[number].as_str().unwrap().parse().unwrap();
            let before = last.insert(place.clone(), number).unwrap_or(0);
            assert!(before < number, "{place}: {number} behind {before}");
        }
    }
}
