//! No tenant sees another's data through any door.

use std::time::Duration;

use docket_platform::{
    auth::{Principal, Role},
    clock,
    db::DbRole,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor};
use uuid::Uuid;

use crate::{
    support::{Asked, World, person},
    websocket::Client,
};

const OURS: Uuid = Uuid::from_u128(0xa);
const THEIRS: Uuid = Uuid::from_u128(0xb);

#[tokio::test]
async fn a_foreign_consultation_is_told_apart_from_none_by_no_query() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    let (foreign, _) = world.asked(THEIRS, &Asked::titled("theirs")).await;
    let answer = async |id: Uuid| {
        let query = format!("{{ consultation(id: \"{id}\") {{ title }} node(id: \"{id}\") {{ id __typename }} }}");
        world.post(&token, &json!({ "query": query })).await
    };
    let nothing = answer(Uuid::from_u128(404)).await;
    assert_eq!(nothing.1["data"], json!({"consultation": null, "node": null}));
    assert_eq!(answer(foreign).await, nothing);
    // Another organisation is no node either.
    world.run(&format!(
        "insert into read.organisation_v1 values ('{OURS}', '{OURS}', 0, 'Ours', now()), ('{THEIRS}', '{THEIRS}', 0, 'Theirs', now())"
    )).await;
    assert_eq!(answer(THEIRS).await, nothing);
    assert_eq!(answer(OURS).await.1["data"]["node"], json!({"id": OURS, "__typename": "Organisation"}));
    let (list, _) = world.query(&token, "{ consultations { edges { node { id } } } }").await;
    assert_eq!(list["consultations"]["edges"], json!([]));
}

#[tokio::test]
async fn a_foreign_consultation_is_told_apart_from_none_by_no_rest_answer() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    let (foreign, _) = world.asked(THEIRS, &Asked::titled("theirs")).await;
    let answer = async |id: Uuid| {
        let url = world.url(&format!("/api/v1/consultations/{id}"));
        let response = world.http.get(url).bearer_auth(&token).header("x-request-id", "same").send().await.unwrap();
        let headers = response.headers().len();
        (response.status().as_u16(), headers, response.json::<Value>().await.unwrap())
    };
    let nothing = answer(Uuid::from_u128(404)).await;
    assert_eq!((nothing.0, &nothing.2["code"]), (404, &json!("not_found")));
    assert_eq!(answer(foreign).await, nothing);
}

#[tokio::test]
async fn a_subscription_tells_nothing_of_other_tenants() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    let (foreign, _) = world.asked(THEIRS, &Asked::titled("theirs")).await;
    let (_, since) = world.query(&token, "{ consultations { edges { cursor } } }").await;
    let mut client = Client::ready(&world, &token).await;
    for (name, arguments) in [("all", String::new()), ("one", format!(", id: \"{foreign}\""))] {
        let query = format!(
            "subscription {{ consultationChanged(since: \"{since}\"{arguments}) {{ consultation {{ title }} }} }}"
        );
        client.subscribe(name, &query).await;
    }
    world.write(THEIRS, foreign, &Asked::titled(""), "commented").await;
    world.asked(THEIRS, &Asked::titled("theirs too")).await;
    world.asked(OURS, &Asked::titled("ours")).await;
    // The first and only thing that is heard is our own.
    let (id, heard) = client.next().await;
    assert_eq!((id.as_str(), &heard["data"]["consultationChanged"]["consultation"]["title"]), ("all", &json!("ours")));
    client.send(json!({"type": "ping"})).await;
    assert_eq!(client.receive().await["type"], "pong");
}

#[tokio::test]
async fn me_is_who_the_token_says_and_nobody_else() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    let me = "{ me { id name email role organisation { id name } } }";
    let (unknown, _) = world.query(&token, me).await;
    let organisation = json!({"id": OURS, "name": null});
    assert_eq!(
        unknown["me"],
        json!({"id": person(1), "name": null, "email": null, "role": "ANALYST", "organisation": organisation})
    );
    world
        .run(&format!(
            "insert into read.user_v1 values ('{0}', 0, 'Ada', 'ada@docket.example', now());
         insert into read.member_v1 values ('{THEIRS}', '{0}', 0, 'admin', now());
         insert into read.organisation_v1 values ('{OURS}', '{OURS}', 0, 'Ours', now())",
            person(1)
        ))
        .await;
    // A member of another organisation only: not visible in ours.
    assert_eq!(world.query(&token, me).await.0["me"]["name"], Value::Null);
    world.run(&format!("insert into read.member_v1 values ('{OURS}', '{}', 0, 'analyst', now())", person(1))).await;
    let (known, _) = world.query(&token, me).await;
    assert_eq!((&known["me"]["name"], &known["me"]["organisation"]["name"]), (&json!("Ada"), &json!("Ours")));
}

#[tokio::test]
async fn members_are_those_of_the_organisation_and_addresses_are_for_administrators() {
    let world = World::new().await;
    for n in 1..=7 {
        let role = ["admin", "reviewer", "requester", "analyst"][n % 4];
        // Many at the same instant: the id decides then.
        world
            .run(&format!(
                "insert into read.user_v1 values ('{0}', 0, 'Person {n}', 'p{n}@docket.example', now());
                 insert into read.member_v1 values ('{OURS}', '{0}', 0, '{role}', '2026-01-0{1}T00:00:00Z')",
                person(n as u128),
                1 + n / 4
            ))
            .await;
    }
    world
        .run(&format!(
            "insert into read.user_v1 values ('{0}', 0, 'Stranger', 'stranger@docket.example', now());
             insert into read.member_v1 values ('{THEIRS}', '{0}', 0, 'admin', now()), ('{THEIRS}', '{1}', 0, 'admin', now())",
            person(99),
            person(2)
        ))
        .await;
    let fields = "edges { cursor node { id name email role since } } pageInfo { hasNextPage endCursor }";
    let token = world.token(OURS).await;
    let (mut names, mut after) = (Vec::new(), String::new());
    loop {
        let (page, position) = world.query(&token, &format!("{{ members(first: 3{after}) {{ {fields} }} }}")).await;
        assert!(!position.is_empty());
        for edge in page["members"]["edges"].as_array().unwrap() {
            let node = &edge["node"];
            names.push(node["name"].as_str().unwrap().to_owned());
            // The asker is an analyst, and person 1.
            let own = node["id"] == json!(person(1));
            assert_eq!(node["email"] == json!("p1@docket.example"), own, "{node}");
            assert_eq!(node["email"].is_null(), !own, "{node}");
        }
        if page["members"]["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = format!(", after: {}", page["members"]["pageInfo"]["endCursor"]);
    }
    assert_eq!(names, (1..=7).map(|n| format!("Person {n}")).collect::<Vec<_>>());
    let (reviewers, _) = world.query(&token, "{ members(role: REVIEWER) { edges { node { name role } } } }").await;
    let reviewer = |n| json!({"node": {"name": format!("Person {n}"), "role": "REVIEWER"}});
    assert_eq!(reviewers["members"]["edges"], json!([reviewer(1), reviewer(5)]));

    let admin = Principal::member(person(4), OURS, Role::Admin);
    let (admin, _) = world.keys.issue(admin, clock::now(), Duration::from_secs(600)).await.unwrap();
    let (all, _) = world.query(&admin, &format!("{{ members {{ {fields} }} }}")).await;
    let edges = all["members"]["edges"].as_array().unwrap();
    assert!(edges.len() == 7 && edges.iter().all(|edge| edge["node"]["email"].is_string()), "{all}");
    let elsewhere = world.token(THEIRS).await;
    let (theirs, _) = world.query(&elsewhere, "{ members { edges { node { name } } } }").await;
    let name = |name: &str| json!({"node": {"name": name}});
    assert_eq!(theirs["members"]["edges"], json!([name("Person 2"), name("Stranger")]));
    for (arguments, code) in
        [("first: 0", "INVALID_ARGUMENT"), ("first: 101", "INVALID_ARGUMENT"), ("after: \"!\"", "INVALID_ARGUMENT")]
    {
        let query = format!("{{ members({arguments}) {{ edges {{ cursor }} }} }}");
        assert_eq!(world.refused(&token, &query).await.1, code, "{arguments}");
    }
}

#[tokio::test]
async fn an_unset_tenant_sees_nothing_and_the_follower_sees_changes_only() {
    let world = World::new().await;
    world.asked(OURS, &Asked::titled("ours")).await;
    world
        .run(&format!(
            "insert into read.consultation_stats_v1 (tenant, shard) values ('{OURS}', 0);
         insert into read.user_v1 values ('{0}', 0, 'Ada', 'ada@docket.example', now());
         insert into read.member_v1 values ('{OURS}', '{0}', 0, 'admin', now());
         insert into read.organisation_v1 values ('{OURS}', '{OURS}', 0, 'Ours', now());
         insert into read.dead_letter values ('consultation', 2, 0, 1, '{OURS}', '{0}', '{0}', 'x', null, now())",
            person(1)
        ))
        .await;
    let tables =
        ["consultation", "consultation_history", "consultation_stats", "user", "member", "organisation", "dead_letter"];
    let mut connection = world.database.connect(DbRole::Reader).await.unwrap();
    let mut count = async |settings: &str, table: &str| {
        connection.execute(AssertSqlSafe(format!("reset all; {settings}"))).await.unwrap();
        let count = AssertSqlSafe(format!("select count(*) from read.{table}"));
        sqlx::query_scalar::<_, i64>(count).fetch_one(&mut connection).await.unwrap()
    };
    for table in tables {
        for settings in
            ["", "set docket.tenant = ''", "set docket.follower = 'on'", &format!("set docket.tenant = '{THEIRS}'")]
        {
            assert_eq!(count(settings, table).await, 0, "{table}, {settings}");
        }
        assert_eq!(count(&format!("set docket.tenant = '{OURS}'"), table).await, 1, "{table}");
    }
    assert_eq!(count("", "change").await, 0);
    assert_eq!(count(&format!("set docket.tenant = '{THEIRS}'"), "change").await, 0);
    assert_eq!(count("set docket.follower = 'on'", "change").await, 1);
}
