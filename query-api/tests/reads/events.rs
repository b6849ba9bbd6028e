//! `GET /api/v1/events`: an organisation's own events, each once, and who sees which.

use std::collections::BTreeSet;

use docket_domain::consultation::Request;
use docket_events::{Category, consultation::Person};
use docket_log::Position;
use docket_platform::{
    auth::{Principal, Role},
    ids,
};
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    events_log::{Log, OURS, SOON, THEIRS, assert_ordered, get, ids_of, journalled, kinds, page, refused},
    support::{World, person},
};

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
             select (select count(*) from read.journalled_events($1, {places}, 1000000)),
                    (select count(*) from read.journalled_keys($1, $2, $3, $4, $5)), (select count(*) from read.event)"
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
            "insert into read.event_v1 select '{THEIRS}', 2, n % 2, 1000 + n, case when n % 1000 = 0 then 'withdrawn' else 'commented' end, now()
                 from generate_series(1, 1000000) n"
        ))
        .await;
    log.ask(OURS, "small").await;
    log.settle().await;
    world.run("update read.checkpoint set sequence = 2000000 where projection = 'events' and category = 2; analyze read.event_v1").await;
    let counts = async || -> (i64, i64, i64) {
        sqlx::query_as(
            "select t.seq_scan, i.idx_scan, i.idx_tup_read from pg_stat_user_tables t join pg_stat_user_indexes i using (relid)
             where t.relname = 'event_v1'",
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

    // Whoever wants what hardly is goes over the others once, and not again. What is told of those stands in no journal here.
    let theirs = world.token(THEIRS).await;
    let (nothing, behind) = page(&world, &theirs, "?types=consultation.responded").await;
    assert_eq!(nothing.len(), 0);
    let position: Position = behind.parse().unwrap();
    assert_eq!(position.get(world.installation.shards_of(Category::Consultation).next().unwrap()), 2_000_000);
    let (_, _, once) = counts().await;
    for _ in 0..20 {
        page(&world, &theirs, &format!("?types=consultation.responded&since={behind}")).await;
    }
    let end = tokio::time::Instant::now() + SOON;
    let indexed = counts().await.1;
    while counts().await.1 == indexed {
        assert!(tokio::time::Instant::now() < end, "what was read is counted");
        page(&world, &token, "").await;
    }
    let (scanned, _, read) = counts().await;
    assert_eq!(scanned, scans, "nothing goes through the table");
    assert!(read - once < 1_200_000, "{} entries were read to pass over a million once", read - once);
}
