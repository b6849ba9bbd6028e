//! API keys: what they may do, and how they end.

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use docket_command_api::{Config, State, setup};
use docket_log::{Installation, Mode, revocations};
use docket_platform::{
    auth::{
        Authenticator, Keys, Principal, Role, Scope, Scopes, SigningKey,
        api_keys::{self, ApiKeySecret},
        permissions::{Action, allows},
    },
    db::{self, Database},
    ids,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor, postgres::PgConnectOptions};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{Answer, App, CONSULTATIONS, Member, hardened, path, request, send, store, until};

pub const KEYS: &str = "/api/v1/api-keys";

pub fn rotation(key: &Member) -> String {
    format!("{KEYS}/{}/rotate", key.id)
}

pub fn with_secret(answer: &Answer) -> Member {
    Member { id: answer.id(), token: answer.body["secret"].as_str().expect("a secret").to_owned() }
}

/// The same key with another last character.
pub fn mistyped(key: &Member) -> Member {
    let (text, last) = key.token.split_at(key.token.len() - 1);
    Member { id: key.id, token: format!("{text}{}", if last == "x" { "y" } else { "x" }) }
}

pub async fn make(app: &App, admin: &Member, scopes: &[Scope]) -> Member {
    let scopes: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
    with_secret(&app.post(admin, KEYS, &json!({"name": "Pipeline", "scopes": scopes})).await.expect(201))
}

pub async fn rotate(app: &App, admin: &Member, key: &Member, body: &Value) -> Member {
    with_secret(&app.post(admin, &rotation(key), body).await.expect(200))
}

pub async fn delete_with(router: &Router, by: &Member, id: Uuid, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::delete(format!("{KEYS}/{id}")).header("authorization", format!("Bearer {}", by.token));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(router, request.body(Body::empty()).unwrap()).await
}

pub async fn ask_at(router: &Router, key: &Member) -> Answer {
    send(router, request(Some(key), CONSULTATIONS, json!({"title": "t"}).to_string().into(), &[])).await
}

pub async fn ask(app: &App, key: &Member) -> Answer {
    ask_at(&app.router, key).await
}

/// A process that has looked nothing up yet.
pub fn replica(app: &App) -> (Router, Arc<Authenticator>) {
    let keys = Authenticator::fixed(Keys::new(vec![SigningKey::generate().unwrap()]));
    let authenticator = Arc::new(keys.with_api_keys(app.store.pool().clone()));
    (hardened(State::new(app.other_store(), authenticator.clone(), Config::default())), authenticator)
}

pub async fn run(app: &App, statement: &str) {
    app.owner.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
}

#[tokio::test]
async fn a_key_asks_under_its_own_name() {
    let app = App::new().await;
    let admin = app.member("admin", Role::Admin).await;
    let body =
        json!({"name": " Pipeline ", "scopes": ["consultation:ask", "consultation:withdraw", "consultation:ask"]});
    let made = app.post(&admin, KEYS, &body).await.expect(201);
    let key = with_secret(&made);
    assert_eq!((made.header("etag"), made.header("location")), ("\"1\"", format!("{KEYS}/{}", key.id).as_str()));
    assert!(made.headers.contains_key("docket-position") && made.body.get("notice").is_none());
    assert_eq!(made.header("cache-control"), "no-store");
    assert_eq!(
        (&made.body["name"], &made.body["scopes"], &made.body["created_by"], &made.body["revoked"]),
        (&json!("Pipeline"), &json!(["consultation:ask", "consultation:withdraw"]), &json!(admin.id), &json!(false))
    );
    let asked = ask(&app, &key).await.expect(201);
    assert_eq!(asked.body["requested_by"], json!({"id": key.id, "name": "Pipeline"}));
    let meta: String = sqlx::query_scalar("select meta from write.journal where stream_id = $1")
        .bind(asked.id())
        .fetch_one(&app.owner)
        .await
        .unwrap();
    assert_eq!(serde_json::from_str::<Value>(&meta).unwrap()["principal"], json!(key.id));
    // It takes back what it asked, and nobody else's.
    let theirs = ask(&app, &admin).await.expect(201).id();
    app.post(&key, &path(theirs, "withdrawal"), &json!({})).await.problem(403, "not_the_requester");
    app.post(&key, &path(theirs, "withdrawal"), &json!({"reason": "cancelled"}))
        .await
        .problem(403, "not_the_requester");
    let back = app.post(&key, &path(asked.id(), "withdrawal"), &json!({})).await.expect(200);
    assert_eq!(back.body["withdrawal"]["by"], json!({"id": key.id, "name": "Pipeline"}));
}

#[tokio::test]
async fn a_key_does_what_its_scopes_name_and_nothing_else() {
    let app = App::new().await;
    let admin = app.member("admin", Role::Admin).await;
    let id = ask(&app, &admin).await.expect(201).id();
    let other = make(&app, &admin, &[Scope::ConsultationAsk]).await;
    let mut keys = Vec::new();
    for scope in Scope::ALL {
        keys.push((vec![scope], make(&app, &admin, &[scope]).await));
    }
    keys.push((Scope::ALL.to_vec(), make(&app, &admin, &Scope::ALL).await));
    let passwords = json!({"current_password": "admin's password", "new_password": "orbit lantern mustard"});
    for (scopes, key) in keys {
        let principal = Principal::key(key.id, app.organisation, scopes.iter().copied().collect::<Scopes>());
        let check = |action, answer: Answer| {
            let forbidden = answer.status == 403 && answer.body["code"] == "forbidden";
            assert_eq!(!forbidden, allows(&principal, action), "{action:?} with {scopes:?}: {}", answer.body);
        };
        check(Action::Ask, ask(&app, &key).await);
        for (action, what, body) in [
            (Action::Respond, "responses", json!({"decision": "approve"})),
            (Action::Comment, "comments", json!({"text": "x"})),
            (Action::Withdraw, "withdrawal", json!({})),
        ] {
            check(action, app.post(&key, &path(id, what), &body).await);
        }
        check(Action::ManageSelf, app.post(&key, "/api/v1/auth/change-password", &passwords).await);
        let more = json!({"name": "More", "scopes": ["consultation:ask"]});
        check(Action::ManageKeys, app.post(&key, KEYS, &more).await);
        check(Action::ManageKeys, app.post(&key, &rotation(&other), &json!({})).await);
        check(Action::ManageKeys, delete_with(&app.router, &key, other.id, &[]).await);
        let stats = Request::get("/api/v1/auth/cache-stats").header("authorization", format!("Bearer {}", key.token));
        check(Action::Inspect, app.send(stats.body(Body::empty()).unwrap()).await);
    }
    ask(&app, &other).await.expect(201);
}

#[tokio::test]
async fn a_revoked_key_ends_in_every_process_while_kafka_is_away() {
    let app = App::new().await;
    let admin = app.member("admin", Role::Admin).await;
    // The log is in Kafka, and there is no broker and no relay.
    Installation::set_mode(&app.owner, Mode::Kafka).await.unwrap();
    let (key, other) = (
        make(&app, &admin, &[Scope::ConsultationAsk]).await,
        make(&app, &admin, &[Scope::ConsultationAsk, Scope::ConsultationRead]).await,
    );
    let stop = CancellationToken::new();
    let replicas = [replica(&app), replica(&app)];
    for (router, authenticator) in &replicas {
        let (pool, known, stop) = (app.store.pool().clone(), authenticator.revocations().clone(), stop.clone());
        tokio::spawn(async move { revocations::follow(pool, &known, stop).await });
        until("it lets the key in", async || ask_at(router, &key).await.status == 201).await;
    }
    // The rows cannot be touched: the event alone ends it.
    run(
        &app,
        "create function auth.refuse() returns trigger language plpgsql as $$ begin raise exception 'refused'; end $$;
         create trigger refuse before delete on auth.api_key_secret for each row execute function auth.refuse();",
    )
    .await;
    let headers = [("idempotency-key", "end")];
    let ended = delete_with(&app.router, &admin, key.id, &headers).await.expect(200);
    assert_eq!((&ended.body["revoked"], ended.header("etag")), (&json!(true), "\"2\""));
    assert!(ended.body.get("secret").is_none());
    let refused = ask_at(&replica(&app).0, &key).await.problem(401, "unauthorized").anonymous();
    for (router, _) in &replicas {
        until("it is refused", async || ask_at(router, &key).await.status == 401).await;
        assert_eq!(ask_at(router, &key).await.anonymous(), refused);
        ask_at(router, &other).await.expect(201);
    }
    // What never was reads the same.
    let never = Member { id: key.id, token: ApiKeySecret::generate().expose().to_owned() };
    assert_eq!(ask_at(&replicas[0].0, &never).await.anonymous(), refused);
    let typo = mistyped(&key);
    assert_eq!(ask_at(&replicas[0].0, &typo).await.anonymous(), refused);

    let again = delete_with(&app.router, &admin, key.id, &headers).await.expect(200);
    assert_eq!(again.body, ended.body);
    delete_with(&app.router, &admin, key.id, &[("if-match", "\"1\"")]).await.problem(412, "version_mismatch");
    assert_eq!(delete_with(&app.router, &admin, key.id, &[]).await.expect(200).header("etag"), "\"2\"");
    app.post(&admin, &rotation(&key), &json!({})).await.problem(409, "ended");
    assert_eq!(app.events_of(key.id).await, ["api_key_created", "api_key_revoked"]);
    stop.cancel();
}

#[tokio::test]
async fn a_key_ends_in_the_second_that_it_names() {
    let app = App::new().await;
    let admin = app.member("admin", Role::Admin).await;
    let end = app.in_millis(1_500).await;
    let body = json!({"name": "Short", "scopes": ["consultation:ask"], "expires_at": end});
    let made = app.post(&admin, KEYS, &body).await.expect(201);
    let key = with_secret(&made);
    assert_eq!(made.body["expires_at"], json!(end));
    ask(&app, &key).await.expect(201);
    app.reach(end).await;
    // Known to this process, and new to that one.
    ask(&app, &key).await.problem(401, "key_expired");
    ask_at(&replica(&app).0, &key).await.problem(401, "key_expired");
    app.post(&admin, &rotation(&key), &json!({})).await.problem(409, "ended");
    // After a while it is forgotten.
    let forget = async || {
        let mut door = db::door(app.store.pool()).await.unwrap();
        let forgotten = api_keys::forget_expired(&mut door).await.unwrap();
        door.commit().await.unwrap();
        forgotten
    };
    assert_eq!(forget().await, 0);
    run(&app, "update auth.api_key_secret set expires_at = expires_at - interval '31 days'").await;
    assert_eq!(forget().await, 1);
    ask_at(&replica(&app).0, &key).await.problem(401, "unauthorized");
}

#[tokio::test]
async fn what_cannot_be_a_key_names_the_field_and_changes_nothing() {
    let app = App::new().await;
    let admin = app.member("admin", Role::Admin).await;
    let key = make(&app, &admin, &[Scope::ConsultationAsk]).await;
    let past = app.in_millis(-1).await;
    let before = app.written().await;
    for (body, field) in [
        (json!({"scopes": ["consultation:ask"]}), "name"),
        (json!({"name": " ", "scopes": ["consultation:ask"]}), "name"),
        (json!({"name": "a\u{202e}b", "scopes": ["consultation:ask"]}), "name"),
        (json!({"name": "x".repeat(201), "scopes": ["consultation:ask"]}), "name"),
        (json!({"name": "n", "scopes": []}), "scopes"),
        (json!({"name": "n", "scopes": ["consultation:ask", "consultation:respond"]}), "scopes[1]"),
        (json!({"name": "n", "scopes": ["consultation:ask"], "expires_at": past}), "expires_at"),
        (json!({"name": "n", "scopes": ["consultation:ask"], "expires_at": "tomorrow"}), "expires_at"),
        (json!({"name": "n", "scopes": ["consultation:ask"], "role": "admin"}), "role"),
    ] {
        let answer = app.post(&admin, KEYS, &body).await.problem(422, "validation_failed");
        assert_eq!(answer.body["errors"][0]["field"], field, "{}", answer.body);
    }
    for overlap in [json!(-1), json!(2_592_001), json!(u64::MAX), json!("1h"), json!(1.5)] {
        let body = json!({"overlap_seconds": overlap});
        let answer = app.post(&admin, &rotation(&key), &body).await.problem(422, "validation_failed");
        assert_eq!(answer.body["errors"][0]["field"], "overlap_seconds");
    }
    app.post_with(&admin, &rotation(&key), &json!({}), &[("if-match", "\"9\"")]).await.problem(412, "version_mismatch");
    // Streams of another kind are no keys: a person, the organisation, a consultation.
    let consultation = ask(&app, &key).await.expect(201).id();
    for id in [admin.id, app.organisation, consultation] {
        delete_with(&app.router, &admin, id, &[]).await.problem(404, "not_found");
    }
    assert_eq!((app.written().await, app.events_of(key.id).await.len()), ((before.0 + 1, before.1), 1));
    ask(&app, &key).await.expect(201);
}

#[tokio::test]
async fn another_organisations_key_reads_like_none() {
    let app = App::new().await;
    let admin = app.member("admin", Role::Admin).await;
    let key = make(&app, &admin, &Scope::ALL).await;
    let elsewhere = ids::new_id();
    setup::create_organisation(&app.store, elsewhere, "Elsewhere").await.unwrap();
    let stranger = app.member_of(elsewhere, "stranger", Role::Admin).await;
    for headers in [vec![], vec![("if-match", "\"1\"")], vec![("if-match", "\"9\"")], vec![("idempotency-key", "k")]] {
        let nobody = Member { id: ids::new_id(), token: String::new() };
        let foreign = app.post_with(&stranger, &rotation(&key), &json!({}), &headers).await.problem(404, "not_found");
        let missing = app.post_with(&stranger, &rotation(&nobody), &json!({}), &headers).await;
        assert_eq!(foreign.anonymous(), missing.anonymous(), "{headers:?}");
        let foreign = delete_with(&app.router, &stranger, key.id, &headers).await.problem(404, "not_found");
        let missing = delete_with(&app.router, &stranger, nobody.id, &headers).await;
        assert_eq!(foreign.anonymous(), missing.anonymous(), "{headers:?}");
    }
    ask_at(&replica(&app).0, &key).await.expect(201);
    // And the key sees nothing of theirs.
    let theirs = ask(&app, &stranger).await.expect(201).id();
    app.post(&key, &path(theirs, "comments"), &json!({"text": "x"})).await.problem(404, "not_found");
    // Of the rows only the door and the tenant see any.
    let mut connection = db::acquire(app.store.pool()).await.unwrap();
    for (setting, seen) in [("", 0), ("docket.tenant", 1), ("docket.door", 1)] {
        let value = if setting == "docket.tenant" { app.organisation.to_string() } else { "identity".to_owned() };
        let mut transaction = sqlx::Connection::begin(&mut *connection).await.unwrap();
        if !setting.is_empty() {
            sqlx::query("select set_config($1, $2, true)")
                .bind(setting)
                .bind(value)
                .execute(&mut *transaction)
                .await
                .unwrap();
        }
        let rows: i64 =
            sqlx::query_scalar("select count(*) from auth.api_key_secret").fetch_one(&mut *transaction).await.unwrap();
        assert_eq!(rows, seen, "{setting}");
    }
}

#[tokio::test]
async fn last_uses_are_written_in_one_go_and_to_the_minute() {
    let app = App::new().await;
    let admin = app.member("admin", Role::Admin).await;
    let used =
        [make(&app, &admin, &[Scope::ConsultationAsk]).await, make(&app, &admin, &[Scope::ConsultationRead]).await];
    let unused = make(&app, &admin, &[Scope::ConsultationAsk]).await;
    let before = app.now().await;
    for _ in 0..3 {
        ask(&app, &used[0]).await.expect(201);
        // Refused for its scopes, which is a use too.
        ask(&app, &used[1]).await.problem(403, "forbidden");
    }
    let rows = async || {
        let rows: Vec<(Uuid, Uuid, chrono::DateTime<chrono::Utc>)> =
            sqlx::query_as("select key_id, tenant, last_used_at from auth.api_key_use order by key_id")
                .fetch_all(&app.owner)
                .await
                .unwrap();
        rows
    };
    assert_eq!(rows().await, [], "no request waits for it");
    // The process ends.
    let stop = CancellationToken::new();
    stop.cancel();
    app.authenticator.keep_key_uses(stop.clone()).await;
    let written = rows().await;
    assert_eq!(
        written.iter().map(|row| (row.0, row.1)).collect::<Vec<_>>(),
        used.each_ref().map(|key| (key.id, app.organisation))
    );
    for (_, _, at) in &written {
        assert!(at.timestamp() % 60 == 0 && *at > before - Duration::from_secs(61) && *at <= app.now().await, "{at}");
    }
    assert!(!written.iter().any(|row| row.0 == unused.id));
    // Whoever comes later with an older minute changes nothing.
    run(&app, "update auth.api_key_use set last_used_at = last_used_at + interval '1 hour'").await;
    let (router, authenticator) = replica(&app);
    ask_at(&router, &used[0]).await.expect(201);
    authenticator.keep_key_uses(stop).await;
    assert_eq!(rows().await[0].2, written[0].2 + Duration::from_secs(3600));
}

#[tokio::test]
async fn a_key_that_cannot_be_looked_up_is_not_the_clients_fault() {
    let database = Database::embedded(PgConnectOptions::new().socket("/nonexistent/folder").database("docket"));
    let store = store(&database, Installation { id: ids::new_id(), shards: 2, mode: Mode::Journal });
    let authenticator = Arc::new(Authenticator::from_pool(store.pool().clone()));
    let router = hardened(State::new(store, authenticator, Config::default()));
    let key = Member { id: ids::new_id(), token: ApiKeySecret::generate().expose().to_owned() };
    ask_at(&router, &key).await.problem(503, "database_unavailable");
    // What cannot be a key is refused without asking.
    let typo = mistyped(&key);
    ask_at(&router, &typo).await.problem(401, "unauthorized");
}
