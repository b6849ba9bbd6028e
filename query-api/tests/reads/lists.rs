//! `GET /api/v1/consultations`, what a client has already, and waiting for a change.

use std::time::{Duration, Instant};

use docket_platform::{
    auth::{Principal, Role},
    db::DbRole,
};
use reqwest::{Response, StatusCode, Url};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor};
use uuid::Uuid;

use crate::support::{Asked, World, instant, person};

const OURS: Uuid = Uuid::from_u128(0xa);
const THEIRS: Uuid = Uuid::from_u128(0xb);

async fn get(world: &World, token: &str, query: &str) -> Response {
    world.http.get(world.url(&format!("/api/v1/consultations{query}"))).bearer_auth(token).send().await.unwrap()
}

/// The titles of a page, and what the next one is behind.
async fn page(world: &World, token: &str, query: &str) -> (Vec<String>, Option<String>) {
    let response = get(world, token, query).await;
    assert_eq!(response.status(), StatusCode::OK, "{query}");
    let body: Value = response.json().await.unwrap();
    let titles = body["consultations"].as_array().unwrap().iter().map(|one| one["title"].as_str().unwrap().to_owned());
    (titles.collect(), body["next"].as_str().map(str::to_owned))
}

async fn five(world: &World) -> Vec<Uuid> {
    let mut ids = Vec::new();
    for n in 0..5 {
        let state = if n == 4 { "withdrawn" } else { "pending" };
        ids.push(world.asked(OURS, &Asked { state, at: instant(n), ..Asked::titled(format!("case {n}")) }).await.0);
    }
    world.asked(THEIRS, &Asked::titled("theirs")).await;
    world
        .run(&format!(
            "update read.consultation_v1 set withdrawal_reason = 'withdrawn', ended_by = requested_by, ended_at = updated_at
                 where state = 'withdrawn';
             update read.consultation_v1 set labels = '{{release,eu}}', priority = 2, deadline = '2031-01-01Z' where id = '{}';
             update read.consultation_v1 set labels = '{{release}}', priority = 3, deadline = '2030-01-01Z',
                 updated_at = '2026-02-01Z' where id = '{}';
             update read.consultation_v1 set claimed_by = '{}', claimed_by_name = 'Grace' where id = '{}';
             insert into read.consultation_reviewer_v1 (consultation_id, user_id, tenant, shard, answers)
                 select id, '{}', tenant, shard, true from read.consultation_v1 where id = '{}';
             update read.consultation_words_v1 w set words = read.consultation_words(c.tenant, c.title, c.body, c.external_id, c.labels)
                 from read.consultation_v1 c where c.id = w.consultation_id",
            ids[0], ids[1], person(2), ids[2], person(2), ids[3]
        ))
        .await;
    ids
}

#[tokio::test]
async fn a_list_holds_what_is_asked_for_in_the_order_that_is_asked_for() {
    let world = World::new().await;
    five(&world).await;
    let token = world.token(OURS).await;
    let grace = person(2);
    for (query, titles) in [
        ("", &["case 4", "case 3", "case 2", "case 1", "case 0"][..]),
        ("?state=withdrawn", &["case 4"]),
        ("?state=pending,withdrawn&sort=updated", &["case 1", "case 4", "case 3", "case 2", "case 0"]),
        ("?label=release", &["case 1", "case 0"]),
        ("?label=release,eu", &["case 0"]),
        ("?sort=due", &["case 1", "case 0"]),
        ("?due_before=2030-06-01T00:00:00Z", &["case 1"]),
        ("?priority=high", &["case 1", "case 0"]),
        (&format!("?reviewer={grace}"), &["case 3", "case 2"]),
        (&format!("?reviewer={grace}&unclaimed=true"), &["case 3"]),
        ("?updated_after=2026-01-01T00:00:00Z", &["case 1"]),
        ("?external_id=none", &[]),
        ("?q=case", &["case 4", "case 3", "case 2", "case 1", "case 0"]),
        ("?q=CAS%203", &["case 3"]),
        ("?q=case&state=withdrawn", &["case 4"]),
        ("?q=case%20-3&label=release&sort=updated", &["case 1", "case 0"]),
        ("?q=%221%22%20or%20%222%22", &["case 2", "case 1"]),
        ("?q=%22case%201%22", &["case 1"]),
        ("?q=ca", &[]),
        ("?q=label:release", &[]),
        ("?q=theirs", &[]),
    ] {
        assert_eq!(page(&world, &token, query).await.0, titles, "{query}");
    }
    let strangers = world.token(THEIRS).await;
    assert_eq!(page(&world, &strangers, "").await.0, ["theirs"]);
    assert_eq!(page(&world, &strangers, &format!("?reviewer={grace}")).await.0, [""; 0]);
}

#[tokio::test]
async fn an_inbox_holds_what_waits_for_whoever_asks() {
    let world = World::new().await;
    let ids = five(&world).await;
    let grace = person(2);
    let group = person(70);
    let token = world.token_of(Principal::member(grace, OURS, Role::Reviewer)).await;
    let inbox = async || page(&world, &token, "?inbox=true").await.0;
    assert_eq!(inbox().await, ["case 3", "case 2", "case 1", "case 0"], "any reviewer may, and one is in her hands");
    let of = |n: usize, what: &str| format!("update read.consultation_v1 set {what} where id = '{}'", ids[n]);
    let asks = |n: usize, who: &str| {
        format!("update read.consultation_asked_v1 set who = '{who}' where consultation_id = '{}'", ids[n])
    };
    // Others are named: by role, by a group that is not hers, by name; the last one names her.
    world.run(&asks(0, "role:admin")).await;
    world.run(&asks(1, &format!("group:{group}"))).await;
    world.run(&of(2, &format!("claimed_by = '{}'", person(9)))).await;
    world.run(&asks(3, &format!("user:{grace}"))).await;
    assert_eq!(inbox().await, ["case 3"]);
    world.run(&asks(0, "role:reviewer")).await;
    world
        .run(&format!(
            "insert into read.group_member_v1 (tenant, group_id, user_id, shard, since) values ('{OURS}', '{group}', '{grace}', 0, now())"
        ))
        .await;
    assert_eq!(inbox().await, ["case 3", "case 1", "case 0"]);
    // What somebody else has in hand waits for nobody else, unless each has a vote.
    let other = person(9);
    world.run(&of(3, &format!("claimed_by = '{other}'"))).await;
    assert_eq!(inbox().await, ["case 1", "case 0"]);
    world.run(&of(3, "counts_seats = true")).await;
    assert_eq!(inbox().await, ["case 3", "case 1", "case 0"]);
    // Whoever delegated it answers no more, though the role may.
    let delegated = format!(
        "insert into read.consultation_reviewer_v1 (consultation_id, user_id, tenant, shard, answers)
             values ('{}', '{grace}', '{OURS}', 0, false)",
        ids[0]
    );
    world.run(&delegated).await;
    assert_eq!(inbox().await, ["case 3", "case 1"]);
    world.run(&format!("delete from read.consultation_reviewer_v1 where consultation_id = '{}'", ids[0])).await;
    world.run(&asks(1, "group:of others")).await;
    world.run(&of(0, &format!("requested_by = '{grace}'"))).await;
    assert_eq!(inbox().await, ["case 3"]);
    world.run(&of(0, "four_eyes = false")).await;
    world
        .run(&format!(
            "insert into read.consultation_vote_v1 (consultation_id, voter, tenant, shard, version, at)
                 values ('{}', '{grace}', '{OURS}', 0, 2, now())",
            ids[3]
        ))
        .await;
    assert_eq!(inbox().await, ["case 0"], "on the other she has voted");
    let query = "{ consultations(filter: {inbox: true}) { edges { node { title } } } }";
    let shown = world.query(&token, query).await.0;
    assert_eq!(shown["consultations"]["edges"][0]["node"]["title"], "case 0");
}

#[tokio::test]
async fn whatever_is_searched_for_is_taken_as_words() {
    let world = World::new().await;
    five(&world).await;
    let token = world.token(OURS).await;
    for text in
        ["'; drop table x; --", "a' & b", "\\' \\", "((((", "!a | b", "case:*", "x:", "\"case", "é'è", "<-> <2>"]
    {
        let url = Url::parse_with_params(&world.url("/api/v1/consultations"), [("q", text), ("label", text)]).unwrap();
        let request = world.http.get(url).bearer_auth(&token);
        assert!([200, 400].contains(&request.send().await.unwrap().status().as_u16()), "{text}");
        let query = "query($text: String, $labels: [String!]) { consultations(filter: {text: $text, labels: $labels}) { edges { cursor } } }";
        let (status, answer) = world
            .post(&token, &serde_json::json!({"query": query, "variables": {"text": text, "labels": [text]}}))
            .await;
        let code = &answer["errors"][0]["extensions"]["code"];
        assert!(status < 500 && (code.is_null() || code == "INVALID_ARGUMENT"), "{text}: {answer}");
    }
    let query = "{ consultations(filter: {text: \"case 2\"}) { edges { node { title } } } }";
    assert_eq!(world.query(&token, query).await.0["consultations"]["edges"][0]["node"]["title"], "case 2");
}

#[tokio::test]
async fn a_tenant_finds_its_own_alone() {
    let world = World::new().await;
    five(&world).await;
    let mut connection = world.database.connect(DbRole::Reader).await.unwrap();
    let find = format!(
        "select count(*) from read.find_consultations('{THEIRS}', null, '{{}}', '{{}}', null, null, null, null, null, null, null, null, null,
             null, false, 'newest', null, null, 10)"
    );
    let others = [
        format!("select count(*) from read.find_entities('{THEIRS}', 'any', null, 10)"),
        format!("select count(*) from read.find_articles('{THEIRS}', 'any', null, 10, 0)"),
        format!("select count(*) from read.articles_about('{THEIRS}', '{{}}', 10)"),
    ];
    for settings in ["reset all".to_owned(), format!("set docket.tenant = '{OURS}'")] {
        connection.execute(AssertSqlSafe(settings)).await.unwrap();
        for find in others.iter().chain([&find]) {
            let refused = connection.execute(AssertSqlSafe(find.clone())).await.unwrap_err();
            assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "42501", "{refused}");
        }
    }
    connection.execute(AssertSqlSafe(format!("set docket.tenant = '{THEIRS}'"))).await.unwrap();
    let found: i64 = sqlx::query_scalar(AssertSqlSafe(find)).fetch_one(&mut connection).await.unwrap();
    assert_eq!(found, 1);
    // What runs with more rights than its caller's, and who may call it.
    let definers: Vec<String> = sqlx::query_scalar(
        "select p.oid::regproc::text || ': ' || coalesce((select string_agg(acl.grantee::regrole::text, ' ' order by acl.grantee::regrole::text)
                                                          from aclexplode(p.proacl) acl where acl.grantee <> p.proowner), 'everybody')
         from pg_proc p join pg_namespace n on n.oid = p.pronamespace
         where p.prosecdef and n.nspname not in ('pg_catalog', 'information_schema') order by 1",
    )
    .fetch_all(&world.owner)
    .await
    .unwrap();
    let expected = [
        "articles_about",
        "consultation_events",
        "consultation_keys",
        "find_articles",
        "find_consultations",
        "find_entities",
        "journalled_events",
        "journalled_keys",
        "lacking",
    ];
    assert_eq!(definers, expected.map(|name| format!("read.{name}: docket_reader")));
}

#[tokio::test]
async fn pages_follow_each_other_in_every_order() {
    let world = World::new().await;
    five(&world).await;
    let token = world.token(OURS).await;
    for (sort, all) in [("newest", 5), ("updated", 5), ("due", 2)] {
        let (whole, none) = page(&world, &token, &format!("?sort={sort}")).await;
        assert_eq!((whole.len(), none), (all, None));
        let (mut walked, mut after) = (Vec::new(), String::new());
        loop {
            let (titles, next) = page(&world, &token, &format!("?sort={sort}&first=1{after}")).await;
            walked.extend(titles);
            let Some(next) = next else { break };
            after = format!("&after={next}");
        }
        assert_eq!(walked, whole, "{sort}");
    }
}

#[tokio::test]
async fn what_a_list_cannot_be_asked_is_named() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    for (query, field) in [
        ("?state=gone", "state"),
        ("?sort=size", "sort"),
        ("?priority=9", "priority"),
        ("?reviewer=grace", "reviewer"),
        ("?updated_after=yesterday", "updated_after"),
        ("?label=%00", "label"),
        ("?label=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21", "label"),
        ("?q=%00", "q"),
        ("?q=", "q"),
        ("?q=%20!-%22%20", "q"),
        (&format!("?q={}", "w".repeat(201)), "q"),
        ("?nonsense=1", "nonsense"),
    ] {
        let answer = get(&world, &token, query).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{query}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!((&body["code"], &body["errors"][0]["field"]), (&"invalid_query".into(), &field.into()), "{body}");
    }
    for query in ["?first=0", "?first=101", "?after=x"] {
        assert_eq!(get(&world, &token, query).await.status(), StatusCode::BAD_REQUEST, "{query}");
    }
    assert_eq!(world.http.get(world.url("/api/v1/consultations")).send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_page_that_is_known_is_not_sent_again() {
    let world = World::new().await;
    let ids = five(&world).await;
    let token = world.token(OURS).await;
    let first = get(&world, &token, "").await;
    let (tag, modified) = (first.headers()["etag"].clone(), first.headers()["last-modified"].clone());
    let again = async |name: &str, value: &str| {
        let request = world.http.get(world.url("/api/v1/consultations")).bearer_auth(&token).header(name, value);
        request.send().await.unwrap().status()
    };
    let (tag, modified) = (tag.to_str().unwrap(), modified.to_str().unwrap());
    assert_eq!(again("if-none-match", tag).await, StatusCode::NOT_MODIFIED);
    assert_eq!(again("if-modified-since", modified).await, StatusCode::NOT_MODIFIED);
    world.write(OURS, ids[0], &Asked { at: instant(0), ..Asked::titled("case 0") }, "commented").await;
    world.run(&format!("update read.consultation_v1 set updated_at = '2026-02-02Z' where id = '{}'", ids[0])).await;
    assert_eq!(again("if-none-match", tag).await, StatusCode::OK);
    assert_eq!(again("if-modified-since", modified).await, StatusCode::OK);
}

#[tokio::test]
async fn a_read_that_waits_is_answered_when_the_consultation_changes() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    let (id, _) = world.asked(OURS, &Asked::titled("slow")).await;
    let started = Instant::now();
    let known = async |tag: &'static str| {
        let url = world.url(&format!("/api/v1/consultations/{id}?wait=60"));
        world.http.get(url).bearer_auth(&token).header("if-none-match", tag).send().await.unwrap()
    };
    assert_eq!(known("\"9\"").await.status(), StatusCode::OK, "another version is told at once");
    let outcome = async || get(&world, &token, &format!("/{id}?wait=60")).await.json::<Value>().await.unwrap();
    let comment = async || {
        world.heard_by(OURS, 2).await;
        world.write(OURS, id, &Asked::titled("slow"), "commented").await;
    };
    let changes = async || {
        let (changed, ()) = tokio::join!(known("\"1\""), comment());
        world.run(&format!("update read.consultation_v1 set ended_at = updated_at where id = '{id}'")).await;
        world.write(OURS, id, &Asked { state: "timed_out", ..Asked::titled("slow") }, "timed_out").await;
        changed
    };
    let (ended, changed) = tokio::join!(outcome(), changes());
    assert_eq!(changed.headers()["etag"], "\"2\"");
    assert_eq!((&ended["state"], &ended["version"]), (&"timed_out".into(), &3.into()), "a comment is no outcome");
    assert!(started.elapsed() < Duration::from_secs(50), "a bound of liveness");
}

#[tokio::test]
async fn a_wait_ends_with_what_there_is_and_thousands_wait_without_the_database() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    let (id, _) = world.asked(OURS, &Asked::titled("slow")).await;
    let patient = get(&world, &token, &format!("/{id}?wait=1")).await;
    assert_eq!(patient.json::<Value>().await.unwrap()["state"], "pending");
    let url = world.url(&format!("/api/v1/consultations/{id}?wait=1"));
    let same = world.http.get(url).bearer_auth(&token).header("if-none-match", "\"1\"").send().await.unwrap();
    assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
    let many = (0..300).map(|_| get(&world, &token, "/00000000-0000-0000-0000-000000000001?wait=60"));
    for missing in futures_util::future::join_all(many).await {
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    }
    let path = format!("/{id}?wait=60");
    let waiting = futures_util::future::join_all((0..1_000).map(|_| get(&world, &token, &path)));
    let others = async {
        world.heard_by(OURS, 1_000).await;
        // The pool has a handful of connections: whoever held one while waiting would keep this from being read.
        let read = get(&world, &token, &format!("/{id}")).await.status();
        world.run(&format!("update read.consultation_v1 set ended_at = updated_at where id = '{id}'")).await;
        world.write(OURS, id, &Asked { state: "timed_out", ..Asked::titled("slow") }, "timed_out").await;
        read
    };
    let (answers, read) = tokio::join!(waiting, others);
    assert_eq!(read, StatusCode::OK);
    for answer in answers {
        let answer = answer.json::<Value>().await.unwrap();
        assert_eq!(answer["state"], "timed_out", "{answer}");
    }
    for wrong in ["0", "61", "soon"] {
        assert_eq!(get(&world, &token, &format!("/{id}?wait={wrong}")).await.status(), StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn how_long_decisions_took_is_told_by_label_reviewer_and_day() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    for (n, (state, minutes, reviewer)) in
        [("responded", 10, 2), ("responded", 20, 2), ("responded", 60, 3), ("timed_out", 90, 2)].into_iter().enumerate()
    {
        let (id, _) = world.asked(OURS, &Asked::titled(format!("case {n}"))).await;
        let ended_by = if state == "responded" { format!("'{}'", person(reviewer)) } else { "null".to_owned() };
        world
            .run(&format!(
                "update read.consultation_v1 set state = '{state}', requested_at = '2026-03-0{day}T12:00:00Z',
                     ended_at = '2026-03-0{day}T12:00:00Z'::timestamptz + interval '{minutes} minutes', ended_by = {ended_by},
                     ended_by_name = 'Reviewer {reviewer}', decision = 'approve', rule = 'any_one', request_version = 1,
                     labels = '{{release}}', late_response_count = {late} where id = '{id}'",
                day = 1 + n / 2,
                late = u8::from(state == "timed_out"),
            ))
            .await;
    }
    let told = async |by: &str| {
        let query = format!(
            r#"{{ decisionTimes(by: {by}, since: "2026-03-01T00:00:00Z", until: "2026-04-01T00:00:00Z") {{
                 key name decided p50Seconds p90Seconds timedOut lateAnswered }} }}"#
        );
        world.query(&token, &query).await.0["decisionTimes"].clone()
    };
    let all = serde_json::json!([{
        "key": "release", "name": null, "decided": 3, "p50Seconds": 1200.0, "p90Seconds": 3120.0, "timedOut": 1, "lateAnswered": 1,
    }]);
    assert_eq!(told("LABEL").await, all);
    let by_reviewer = told("REVIEWER").await;
    let names: Vec<_> =
        by_reviewer.as_array().unwrap().iter().map(|one| (one["name"].clone(), one["p50Seconds"].clone())).collect();
    assert_eq!(names, [("Reviewer 2".into(), 900.0.into()), ("Reviewer 3".into(), 3600.0.into())]);
    let days = told("DAY").await;
    assert_eq!(
        (&days[0]["key"], &days[1]["key"], &days[0]["timedOut"]),
        (&"2026-03-02".into(), &"2026-03-01".into(), &1.into())
    );
    // By themselves: the last thirty days, in which nothing ended.
    let none = world.query(&token, "{ decisionTimes(by: LABEL) { key } }").await.0;
    assert_eq!(none["decisionTimes"], serde_json::json!([]));
    assert_eq!(world.refused(&token, "{ decisionTimes(by: DAY, limit: 101) { key } }").await.1, "INVALID_ARGUMENT");
}
