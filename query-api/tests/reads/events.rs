//! `GET /api/v1/events`: an organisation's own events, each once, however they are read.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use docket_domain::consultation::{Command, Comment, Consultation, Given, Request, Respond, Standing, decide};
use docket_events::{
    Category, Metadata, StreamId,
    consultation::{Decision, Person},
};
use docket_log::{Bell, CommandContext, Outcome, Position, Store, StoreOptions, bell::Topic};
use docket_platform::{
    auth::{Principal, Role},
    db::DbRole,
    ids,
};
use futures_util::StreamExt;
use reqwest::Response;
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::{World, person};

const OURS: Uuid = Uuid::from_u128(0xa);
const THEIRS: Uuid = Uuid::from_u128(0xb);
/// A bound of liveness.
const SOON: Duration = Duration::from_secs(30);

/// Who writes the journal, and projects it as a projector would.
struct Log<'a> {
    world: &'a World,
    store: Store,
}

impl<'a> Log<'a> {
    fn new(world: &'a World) -> Self {
        let pool = world.database.pool(DbRole::Writer, 4, Duration::from_secs(10));
        let (bell, options) = (Bell::new(Topic::Journal), StoreOptions::default());
        Self { world, store: Store::open(&world.database, pool, world.installation, bell, options) }
    }

    async fn command(&self, tenant: Uuid, id: Uuid, command: impl Into<Command>) {
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

    async fn ask(&self, tenant: Uuid, title: &str) -> Uuid {
        let id = ids::new_id();
        self.command(tenant, id, Request::new(title, Person::named(person(1), "Ada"))).await;
        id
    }

    async fn comment(&self, tenant: Uuid, id: Uuid) {
        let by = Person::named(person(2), "Grace");
        self.command(tenant, id, Comment { comment_id: ids::new_id(), by, text: "Well.".to_owned() }).await;
    }

    async fn approve(&self, tenant: Uuid, id: Uuid) {
        let (by, given) = (Person::named(person(2), "Grace"), Given::decision(Decision::Approve));
        self.command(tenant, id, Respond { by, standing: Standing::default(), given }).await;
    }

    /// An event of identity, as it is given.
    async fn identity(&self, tenant: Uuid, event_type: &str, data: &Value) {
        let shard = self.world.installation.shard_of(StreamId::new(Category::Identity, tenant));
        sqlx::query(
            "with given as (update write.shard set sequence = sequence + 1 where category = 1 and shard = $1 returning sequence)
             insert into write.journal (category, shard, sequence, stream_id, stream_version, event_id, tenant, time, event_type, data, meta)
             select 1, $1, sequence, $2, sequence, $3, $4, now(), $5, $6, '{}' from given",
        )
        .bind(i16::try_from(shard.shard).unwrap())
        .bind(Uuid::new_v5(&tenant, b"stream"))
        .bind(ids::new_id())
        .bind(tenant)
        .bind(event_type)
        .bind(data.to_string())
        .execute(&self.world.owner)
        .await
        .unwrap();
    }

    /// Projects at most so many events of each shard; whether there were any.
    async fn project(&self, most: i64) -> bool {
        let mut moved = false;
        for shard in Category::ALL.into_iter().flat_map(|category| self.world.installation.shards_of(category)) {
            let done = sqlx::query(
                "with stood as (
                     select sequence from read.checkpoint where projection = 'feed' and category = $1 and shard = $2 for update
                 ), batch as (
                     select j.* from write.journal j, stood where j.category = $1 and j.shard = $2 and j.sequence > stood.sequence
                     order by j.sequence limit $3
                 ), placed as (
                     insert into read.feed_v1 select tenant, category, shard, sequence, split_part(event_type, '.', 3), time
                     from batch where tenant <> '00000000-0000-0000-0000-000000000000'
                 )
                 update read.checkpoint set sequence = (select max(sequence) from batch)
                 where projection = 'feed' and category = $1 and shard = $2 and exists (select from batch)",
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

    async fn settle(&self) {
        while self.project(1_000).await {}
    }
}

async fn get(world: &World, token: &str, query: &str) -> Response {
    world.http.get(world.url(&format!("/api/v1/events{query}"))).bearer_auth(token).send().await.unwrap()
}

fn position(response: &Response) -> String {
    response.headers()["docket-position"].to_str().unwrap().to_owned()
}

/// A page, and the position behind it.
async fn page(world: &World, token: &str, query: &str) -> (Vec<Value>, String) {
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
async fn refused(world: &World, token: &str, query: &str) -> (u16, String, String) {
    let response = get(world, token, query).await;
    let status = response.status().as_u16();
    let problem: Value = response.json().await.unwrap();
    let field = problem["errors"][0]["field"].as_str().unwrap_or_default().to_owned();
    (status, problem["code"].as_str().unwrap().to_owned(), field)
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap().split('.').nth(2).unwrap()).collect()
}

fn ids_of(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

/// Every event of the tenant in the journal, in the order of its shards.
async fn journalled(world: &World, tenant: Uuid) -> Vec<String> {
    let sql = "select event_id::text from write.journal where tenant = $1 order by category, shard, sequence";
    sqlx::query_scalar(sql).bind(tenant).fetch_all(&world.owner).await.unwrap()
}

/// The order within each shard, and within each stream, is that of the log.
fn assert_ordered(events: &[Value]) {
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

#[tokio::test]
async fn pages_are_all_events_once_while_others_write() {
    let world = World::new().await;
    let log = Log::new(&world);
    let token = world.token(OURS).await;
    let writing = futures_util::future::join_all((0..6_u128).map(async |writer| {
        let tenant = if writer % 3 == 2 { THEIRS } else { OURS };
        for n in 0..8 {
            let id = log.ask(tenant, &format!("case {writer}.{n}")).await;
            log.comment(tenant, id).await;
            log.approve(tenant, id).await;
        }
    }));
    let (done, is_done) = tokio::sync::watch::channel(false);
    let projecting = async {
        // One at a time, so that pages end in the middle of everything.
        while log.project(1).await || !*is_done.borrow() {
            tokio::task::yield_now().await;
        }
    };
    let total = 4 * 8 * 4;
    let read = async |query: &str, total: usize| {
        let (mut events, mut since) = (Vec::new(), String::new());
        while events.len() < total {
            let (found, position) = page(&world, &token, &format!("?wait=20{query}{since}")).await;
            assert!(!found.is_empty(), "{} of {total} came with {query}", events.len());
            events.extend(found);
            since = format!("&since={position}");
        }
        // From what each event says of its place as from the header.
        let (rest, _) =
            page(&world, &token, &format!("?since={}", events.last().unwrap()["position"].as_str().unwrap())).await;
        assert_eq!(
            kinds(&rest).iter().filter(|kind| query.contains(**kind) || !query.contains("types")).count(),
            0,
            "{query}"
        );
        events
    };
    let of_each =
        [("&limit=1", total), ("&limit=7", total), ("", total), ("&limit=2&types=consultation.responded", 32)];
    let reading = futures_util::future::join_all(of_each.map(|(query, total)| read(query, total)));
    let finish = async {
        writing.await;
        done.send_replace(true);
    };
    let (read, (), ()) = timeout(SOON * 3, async { tokio::join!(reading, finish, projecting) }).await.expect("an end");
    let all: BTreeSet<String> = journalled(&world, OURS).await.into_iter().collect();
    assert_eq!(all.len(), total);
    for events in &read[..3] {
        assert_eq!(ids_of(events).into_iter().collect::<BTreeSet<_>>(), all);
        assert_eq!(events.len(), total);
    }
    for events in &read {
        assert_ordered(events);
        assert!(events.iter().all(|event| event["tenant"] == OURS.to_string()));
    }
    assert_eq!(kinds(&read[3]), ["responded"; 32]);
    let distinct: BTreeSet<String> = ids_of(&read[3]).into_iter().collect();
    assert_eq!(distinct.len(), 32);
}

#[tokio::test]
async fn an_event_is_told_as_cloud_events_have_it_with_names_in_clear() {
    let world = World::new().await;
    let log = Log::new(&world);
    let id = log.ask(OURS, "Deploy?").await;
    log.approve(OURS, id).await;
    log.settle().await;
    let token = world.token(OURS).await;
    let (events, _) = page(&world, &token, "").await;
    let asked = &events[0];
    assert_eq!((&asked["specversion"], &asked["source"]), (&json!("1.0"), &json!("/docket")));
    assert_eq!(asked["type"], "docket.consultation.requested.v1");
    assert_eq!(asked["subject"], format!("consultation-{id}"));
    assert_eq!((&asked["streamversion"], &asked["tenant"]), (&json!("1"), &json!(OURS)));
    assert_eq!((&asked["principal"], &asked["correlationid"]), (&json!(person(1)), &json!("order-7")));
    assert_eq!(asked["data"]["requested_by"], json!({ "id": person(1), "name": "Ada" }));
    // Where somebody was logged in is the trail's to tell, and the schema of the log is not this one.
    assert_eq!((&asked["session"], &asked["dataschema"]), (&Value::Null, &Value::Null));
    let responded = events.last().unwrap();
    assert_eq!(
        (&responded["data"]["decision"], &responded["data"]["by"]["name"]),
        (&json!("approve"), &json!("Grace"))
    );
    let admin = world.token_of(Principal::member(person(3), OURS, Role::Admin)).await;
    assert_eq!(page(&world, &admin, "").await.0[0]["session"], json!(person(0x5e55)));

    world.run(&format!("delete from vault.data_key where subject = '{}'", person(1))).await;
    let text = get(&world, &token, "").await.text().await.unwrap();
    assert!(!text.contains("Ada") && text.contains("Grace"), "{text}");
    for sealed in ["$personal", "XC20P", "nonce"] {
        assert!(!text.contains(sealed), "{sealed} in {text}");
    }
    let keys: Vec<String> =
        sqlx::query_scalar("select id::text from vault.data_key").fetch_all(&world.owner).await.unwrap();
    assert!(!keys.is_empty() && keys.iter().all(|key| !text.contains(key.as_str())));
    let asked: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(asked["data"]["requested_by"], json!({ "id": person(1), "name": null, "erased": true }));
}

#[tokio::test]
async fn the_form_is_the_readers_choice() {
    let world = World::new().await;
    let log = Log::new(&world);
    log.ask(OURS, "one").await;
    log.ask(OURS, "two").await;
    log.settle().await;
    let token = world.token(OURS).await;
    let lines = page(&world, &token, "").await.0;
    for kind in ["application/cloudevents-batch+json", "application/json"] {
        let request = world.http.get(world.url("/api/v1/events")).bearer_auth(&token).header("accept", kind);
        let response = request.send().await.unwrap();
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with(kind));
        assert_eq!(response.json::<Vec<Value>>().await.unwrap(), lines);
    }
    let request = world.http.get(world.url("/api/v1/events")).bearer_auth(&token).header("accept", "text/html");
    assert_eq!(request.send().await.unwrap().status(), 406);
}

#[tokio::test]
async fn who_sees_what_hangs_on_tenant_role_and_scope() {
    let world = World::new().await;
    let log = Log::new(&world);
    log.ask(OURS, "ours").await;
    log.ask(THEIRS, "theirs").await;
    let created = json!({ "name": "Ours" });
    log.identity(OURS, "docket.identity.organisation_created.v1", &created).await;
    log.identity(THEIRS, "docket.identity.organisation_created.v1", &created).await;
    log.identity(Uuid::nil(), "docket.identity.all_sessions_revoked.v1", &json!({})).await;
    log.settle().await;
    let seen = async |principal: Principal, query: &str| {
        let token = world.token_of(principal).await;
        let (events, _) = page(&world, &token, query).await;
        assert!(events.iter().all(|event| event["tenant"] == principal.tenant.to_string()), "{events:?}");
        kinds(&events).into_iter().map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    for role in [Role::Reviewer, Role::Requester, Role::Analyst] {
        let member = Principal::member(person(1), OURS, role);
        assert_eq!(seen(member, "").await, ["requested"]);
        let token = world.token_of(member).await;
        for types in ["identity.*", "consultation.*,identity.role_changed"] {
            assert_eq!(refused(&world, &token, &format!("?types={types}")).await.0, 403, "{types}");
        }
    }
    let admin = Principal::member(person(1), OURS, Role::Admin);
    assert_eq!(seen(admin, "").await, ["organisation_created", "requested"]);
    assert_eq!(seen(admin, "?types=identity.*").await, ["organisation_created"]);
    assert_eq!(
        seen(Principal::member(person(1), THEIRS, Role::Admin), "").await,
        ["organisation_created", "requested"]
    );
    assert_eq!(seen(Principal::member(person(1), person(0xc), Role::Admin), "").await, [""; 0]);
    let nil = world.token_of(Principal::member(person(1), Uuid::nil(), Role::Admin)).await;
    assert_eq!(get(&world, &nil, "").await.text().await.unwrap_or_default(), "", "what is of users is nobody's");
    assert_eq!(world.http.get(world.url("/api/v1/events")).send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn readers_reach_events_and_keys_of_their_tenant_alone() {
    let world = World::new().await;
    let log = Log::new(&world);
    log.ask(OURS, "ours").await;
    log.ask(THEIRS, "theirs").await;
    log.settle().await;
    let places =
        "(select array_agg(category) from p), (select array_agg(shard) from p), (select array_agg(sequence) from p)";
    let all: Vec<(i16, i16, i64, Uuid)> =
        sqlx::query_as("select j.category, j.shard, j.sequence, k.id from write.journal j, vault.data_key k")
            .fetch_all(&world.owner)
            .await
            .unwrap();
    let (categories, shards): (Vec<i16>, Vec<i16>) = all.iter().map(|row| (row.0, row.1)).unzip();
    let (sequences, keys): (Vec<i64>, Vec<Uuid>) = all.iter().map(|row| (row.2, row.3)).unzip();
    let found = async |tenant: Uuid, setting: Uuid| {
        let mut tx = docket_platform::db::tenant_read(&world.reader, setting).await.unwrap();
        let sql = format!(
            "with p as (select distinct * from unnest($2::smallint[], $3::smallint[], $4::bigint[]) as p (category, shard, sequence))
             select (select count(*) from read.feed_events($1, {places}, 1000000)),
                    (select count(*) from read.feed_keys($1, $2, $3, $4, $5)), (select count(*) from read.feed)"
        );
        let counts: (i64, i64, i64) = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(tenant)
            .bind(&categories)
            .bind(&shards)
            .bind(&sequences)
            .bind(&keys)
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        counts
    };
    assert_eq!(found(OURS, OURS).await, (1, 1, 1));
    assert_eq!(found(THEIRS, OURS).await, (0, 0, 1));
    assert_eq!(found(person(0xc), person(0xc)).await, (0, 0, 0));
}

#[tokio::test]
async fn what_is_filtered_out_is_passed_over_and_now_is_behind_all() {
    let world = World::new().await;
    let log = Log::new(&world);
    let token = world.token(OURS).await;
    let mut streams = Vec::new();
    for n in 0..6 {
        let id = log.ask(OURS, &format!("case {n}")).await;
        log.comment(OURS, id).await;
        streams.push(id);
    }
    log.settle().await;
    let (none, idle) = page(&world, &token, "?types=consultation.responded").await;
    assert_eq!(none, [] as [Value; 0]);
    assert_eq!(page(&world, &token, &format!("?since={idle}")).await.0.len(), 0, "what was passed over is behind");
    let (nothing, now) = page(&world, &token, "?since=now").await;
    assert_eq!((nothing.len(), &now), (0, &idle));
    assert_eq!(page(&world, &token, "?since=latest").await.1, now);
    log.approve(OURS, streams[0]).await;
    log.settle().await;
    let (responded, _) = page(&world, &token, &format!("?types=consultation.responded&since={now}")).await;
    assert_eq!(kinds(&responded), ["responded"]);
    assert_eq!(
        kinds(&page(&world, &token, &format!("?since={now}&types=consultation.*")).await.0),
        ["vote_cast", "responded"]
    );
    // A read of the same installation may insist on what the feed has told.
    let url = world.url("/api/v1/consultations");
    let read = world.http.get(url).bearer_auth(&token).header("docket-position", &idle).send();
    assert_ne!(timeout(SOON, read).await.unwrap().unwrap().status(), 400);
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_with_what_can() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    for (query, field) in [
        ("?types=consultation.nonsense", "types"),
        ("?types=", "types"),
        ("?types=responded", "types"),
        ("?limit=0", "limit"),
        ("?limit=1001", "limit"),
        ("?limit=many", "limit"),
        ("?wait=61", "wait"),
        ("?nonsense=1", "nonsense"),
    ] {
        assert_eq!(refused(&world, &token, query).await, (400, "invalid_query".into(), field.into()), "{query}");
    }
    let all: Value = get(&world, &token, "?types=x").await.json().await.unwrap();
    assert!(all["errors"][0]["detail"].as_str().unwrap().contains("consultation.timed_out"), "{all}");
    let here = world.beginning();
    for since in ["x", "", &here.to_string(), &here.marked(person(9)), "AgAAAA"] {
        let expected = (400, "invalid_position".to_owned(), "since".to_owned());
        assert_eq!(refused(&world, &token, &format!("?since={since}")).await, expected, "{since}");
    }
    assert_eq!(get(&world, &token, &format!("?since={}", here.marked(world.installation.id))).await.status(), 200);
}

#[tokio::test]
async fn whoever_waits_is_told_when_it_happens_and_when_nothing_does() {
    let world = World::new().await;
    let log = Log::new(&world);
    let token = world.token(OURS).await;
    let (_, now) = page(&world, &token, "?since=now").await;
    let (nothing, still) = page(&world, &token, &format!("?since={now}&wait=1")).await;
    assert_eq!((nothing.len(), &still), (0, &now));
    let waiting = page(&world, &token, "?since=now&wait=60&types=consultation.commented");
    let others = futures_util::future::join_all((0..200).map(|_| page(&world, &token, "?since=now&wait=60")));
    let happening = async {
        while world.state.waker().listeners(OURS) < 201 {
            tokio::task::yield_now().await;
        }
        // Of somebody else, and then not what one of them waits for.
        log.ask(THEIRS, "theirs").await;
        log.settle().await;
        let id = log.ask(OURS, "ours").await;
        log.settle().await;
        log.comment(OURS, id).await;
        log.settle().await;
    };
    let ((commented, _), others, ()) =
        timeout(SOON, async { tokio::join!(waiting, others, happening) }).await.expect("they are woken");
    assert_eq!(kinds(&commented), ["commented"]);
    assert!(others.iter().all(|(events, _)| kinds(events)[0] == "requested"));
}

/// Reads events of a stream until there are so many, or it ends.
async fn streamed(response: Response, count: usize) -> Vec<(String, Value)> {
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (mut text, mut chunks) = (String::new(), response.bytes_stream());
    let parsed = |text: &str| {
        let blocks = text.split_inclusive("\n\n").filter(|block| block.ends_with("\n\n"));
        let field = |block: &str, name: &str| {
            block.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
        };
        let events = blocks.filter(|block| block.contains("data:"));
        events
            .map(|block| (field(block, "id:"), serde_json::from_str(&field(block, "data:")).unwrap()))
            .collect::<Vec<_>>()
    };
    while parsed(&text).len() < count {
        let Some(chunk) = timeout(SOON, chunks.next()).await.expect("news") else { break };
        text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
    }
    parsed(&text)
}

async fn stream(world: &World, token: &str, query: &str, last: Option<&str>) -> Response {
    let request = world.http.get(world.url(&format!("/api/v1/events{query}"))).bearer_auth(token);
    let request = request.header("accept", "text/event-stream");
    let request = last.into_iter().fold(request, |request, last| request.header("last-event-id", last));
    request.send().await.unwrap()
}

#[tokio::test]
async fn a_stream_goes_on_and_is_taken_up_where_it_was_left() {
    let world = World::new().await;
    let log = Log::new(&world);
    let token = world.token(OURS).await;
    let id = log.ask(OURS, "first").await;
    log.settle().await;
    let open = stream(&world, &token, "?limit=2", None).await;
    let happening = async {
        while world.state.waker().listeners(OURS) < 1 {
            tokio::task::yield_now().await;
        }
        for _ in 0..3 {
            log.comment(OURS, id).await;
            log.settle().await;
        }
    };
    let (first, ()) = tokio::join!(streamed(open, 4), happening);
    assert_eq!(
        kinds(&first.iter().map(|(_, event)| event.clone()).collect::<Vec<_>>()),
        ["requested", "commented", "commented", "commented"]
    );
    assert!(first.iter().all(|(position, event)| event["position"] == position.as_str()));
    for left in 0..first.len() {
        // The browser sends what it has seen last, whatever the address says.
        let again = stream(&world, &token, "?since=now", Some(&first[left].0)).await;
        log.comment(OURS, id).await;
        log.settle().await;
        let rest = streamed(again, first.len() - left).await;
        let expected: Vec<_> = first[left + 1..].iter().map(|(_, event)| event["id"].clone()).collect();
        assert_eq!(
            rest.iter().map(|(_, event)| event["id"].clone()).take(expected.len()).collect::<Vec<_>>(),
            expected
        );
    }
    let wrong = stream(&world, &token, "", Some("x")).await;
    assert_eq!(
        (wrong.status().as_u16(), wrong.json::<Value>().await.unwrap()["code"].clone()),
        (400, json!("invalid_position"))
    );
}

#[tokio::test]
async fn streams_and_waits_end_with_what_they_stand_on() {
    let world = World::new().await;
    let short = world.token_for(OURS, Duration::from_secs(1)).await;
    let ended = streamed(stream(&world, &short, "", None).await, usize::MAX).await;
    assert_eq!(ended.last().unwrap().1["code"], "token_expired");

    let session = Some(person(7));
    let token = world.token_of(Principal { session, ..Principal::member(person(1), OURS, Role::Analyst) }).await;
    let open = stream(&world, &token, "", None).await;
    let waiting = get(&world, &token, "?wait=60");
    let end = async {
        while world.state.waker().listeners(OURS) < 2 {
            tokio::task::yield_now().await;
        }
        let now = tokio::time::Instant::now();
        let revocation = docket_platform::auth::Revocation::Session(person(7));
        world.keys.revocations().add([(revocation, now + Duration::from_secs(60))], now);
    };
    let (ended, refused, ()) =
        timeout(SOON, async { tokio::join!(streamed(open, usize::MAX), waiting, end) }).await.expect("an end");
    assert_eq!(ended.last().unwrap().1["code"], "token_revoked");
    assert_eq!(
        (refused.status().as_u16(), refused.json::<Value>().await.unwrap()["code"].clone()),
        (401, json!("token_revoked"))
    );
}

#[tokio::test]
async fn nothing_is_told_past_a_parked_event_and_everything_once_it_is_healed() {
    let world = World::new().await;
    let log = Log::new(&world);
    let token = world.token(OURS).await;
    let id = log.ask(OURS, "first").await;
    log.comment(OURS, id).await;
    log.approve(OURS, id).await;
    log.settle().await;
    let shard = world.shard_of(id).shard;
    // As a projector leaves it that cannot apply the second event.
    world
        .run(
            "delete from read.feed_v1 where sequence >= 2;
             insert into read.dead_letter select 'feed', category, shard, sequence, tenant, stream_id, event_id, event_type, 'secret',
                 now() - interval '1 minute' from write.journal where sequence >= 2 and category = 2"
        )
        .await;
    let before = get(&world, &token, "").await;
    let (age, at): (i64, String) =
        (before.headers()["docket-age"].to_str().unwrap().parse().unwrap(), position(&before));
    assert!(age >= 60, "{age}");
    assert_eq!(before.text().await.unwrap().lines().count(), 1);
    assert_eq!(at.parse::<Position>().unwrap().get(world.shard_of(id)), 1);
    assert_eq!(page(&world, &token, "?since=now").await.1, at);
    let others = world.token(THEIRS).await;
    assert!(get(&world, &others, "").await.headers().get("docket-age").is_none());
    let waiting = page(&world, &token, "?wait=60&since=now");
    let healing = async {
        while world.state.waker().listeners(OURS) < 1 {
            tokio::task::yield_now().await;
        }
        world
            .run(&format!(
                "begin;
                 insert into read.feed_v1 select tenant, category, shard, sequence, split_part(event_type, '.', 3), time
                     from write.journal where sequence >= 2 and category = 2;
                 delete from read.dead_letter;
                 update read.checkpoint set parked = parked + 1 where projection = 'feed' and category = 2 and shard = {shard};
                 commit"
            ))
            .await;
        world.bell.ring();
    };
    let ((healed, _), ()) = timeout(SOON, async { tokio::join!(waiting, healing) }).await.expect("they are woken");
    assert_eq!(kinds(&healed), ["commented", "vote_cast", "responded"]);
}

#[tokio::test]
async fn a_position_ahead_of_the_feed_is_waited_for_and_then_refused() {
    let world = World::with(docket_query_api::Config {
        position_wait: Duration::from_millis(100),
        loopback: true,
        ..docket_query_api::Config::default()
    })
    .await;
    let token = world.token(OURS).await;
    let ahead: Position = world.beginning().iter().map(|(shard, _)| (shard, 9)).collect();
    let (status, code, _) = refused(&world, &token, &format!("?since={}", ahead.marked(world.installation.id))).await;
    assert_eq!((status, code.as_str()), (503, "position_not_reached"));
}

#[tokio::test]
async fn an_event_of_a_newer_release_is_waited_for() {
    let world = World::new().await;
    let log = Log::new(&world);
    let admin = world.token_of(Principal::member(person(1), OURS, Role::Admin)).await;
    log.identity(OURS, "docket.identity.invented_later.v1", &json!({})).await;
    log.settle().await;
    assert_eq!(refused(&world, &admin, "").await.1, "newer_release");
}

#[tokio::test]
async fn a_page_is_cut_where_it_grows_too_large_and_goes_on_behind() {
    let world = World::new().await;
    let log = Log::new(&world);
    for n in 0..14 {
        let by = Person::named(person(1), "Ada");
        let body = Some("x".repeat(60_000));
        log.command(OURS, ids::new_id(), Request { body, ..Request::new(format!("case {n}"), by) }).await;
    }
    // Grown in place: what may be asked is smaller than what may stand in an event.
    world.run("update write.journal set data = replace(data, repeat('x', 60000), repeat('x', 1000000))").await;
    log.settle().await;
    let token = world.token(OURS).await;
    let (first, position) = page(&world, &token, "").await;
    assert!((1..14).contains(&first.len()), "{}", first.len());
    let (second, _) = page(&world, &token, &format!("?since={position}")).await;
    let all: BTreeSet<String> = ids_of(&first).into_iter().chain(ids_of(&second)).collect();
    assert_eq!((first.len() + second.len(), all.len()), (14, 14));
}

#[tokio::test]
async fn beside_a_tenant_with_a_million_events_an_index_is_used() {
    let world = World::new().await;
    let log = Log::new(&world);
    world
        .run(&format!(
            "insert into read.feed_v1 select '{THEIRS}', 2, n % 2, 1000 + n, case when n % 1000 = 0 then 'withdrawn' else 'commented' end, now()
                 from generate_series(1, 1000000) n"
        ))
        .await;
    log.ask(OURS, "small").await;
    log.settle().await;
    world.run("update read.checkpoint set sequence = 2000000 where projection = 'feed' and category = 2; analyze read.feed_v1").await;
    let counts = async || -> (i64, i64, i64) {
        sqlx::query_as(
            "select t.seq_scan, i.idx_scan, i.idx_tup_read from pg_stat_user_tables t join pg_stat_user_indexes i using (relid)
             where t.relname = 'feed_v1'",
        )
        .fetch_one(&world.owner)
        .await
        .unwrap()
    };
    let (scans, _, _) = counts().await;
    let token = world.token(OURS).await;
    let (_, before, read_before) = counts().await;
    for query in ["", "?types=consultation.withdrawn", "?since=now", "?limit=1000"] {
        page(&world, &token, query).await;
    }
    // What a session did is counted when it has been idle for a while.
    let end = tokio::time::Instant::now() + SOON;
    while counts().await.1 < before + 6 {
        assert!(tokio::time::Instant::now() < end, "the index was used: {:?}", counts().await);
        page(&world, &token, "").await;
    }
    let (scanned, _, read) = counts().await;
    assert_eq!(scanned, scans, "nothing goes through the table");
    assert!(read - read_before < 10_000, "{} entries were read for some pages of one event", read - read_before);
}
