//! The secrets of API keys: shown once, rotated with an overlap, and what is left when something fails in between.

use std::sync::{Arc, Mutex};

use docket_platform::auth::{Role, Scope, api_keys::ApiKeySecret};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::{
    api_keys::{KEYS, ask, ask_at, delete_with, make, mistyped, replica, rotate, rotation, run, with_secret},
    support::{App, Member, until},
};

#[tokio::test]
async fn a_secret_is_shown_once_and_stands_nowhere() {
    let app = App::new().await;
    let admin = app.member("admin", Role::Admin).await;
    let body = json!({"name": "Pipeline", "scopes": ["consultation:ask"]});
    let headers = [("idempotency-key", "once")];
    let made = app.post_with(&admin, KEYS, &body, &headers).await.expect(201);
    let first = with_secret(&made);
    let again = app.post_with(&admin, KEYS, &body, &headers).await.expect(201);
    assert_eq!((again.id(), &again.body["secret"], again.header("etag")), (first.id, &Value::Null, "\"1\""));
    assert!(again.body["notice"].as_str().unwrap().contains("once"), "{}", again.body);
    let other = json!({"name": "Another", "scopes": ["consultation:ask"]});
    app.post_with(&admin, KEYS, &other, &headers).await.problem(422, "idempotency_key_reused");

    let rotated = app.post_with(&admin, &rotation(&first), &json!({}), &headers).await.expect(200);
    let second = with_secret(&rotated);
    let again = app.post_with(&admin, &rotation(&first), &json!({}), &headers).await.expect(200);
    assert_eq!((&again.body["secret"], again.header("etag")), (&Value::Null, "\"2\""));
    for key in [&first, &second] {
        ask(&app, key).await.expect(201);
    }

    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', table_schema, table_name) from information_schema.tables
         where table_type = 'BASE TABLE' and table_schema in ('write', 'auth', 'vault', 'read')",
    )
    .fetch_all(&app.owner)
    .await
    .unwrap();
    assert!(tables.contains(&"auth.api_key_secret".to_owned()) && tables.len() > 15, "{tables:?}");
    for table in tables {
        for key in [&first, &second] {
            // Without the prefix, which is no secret.
            let random = &key.token[11..51];
            let bytes: String = random.bytes().map(|byte| format!("{byte:02x}")).collect();
            let count =
                format!("select count(*) from {table} t where t::text like '%{random}%' or t::text like '%{bytes}%'");
            let found: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&app.owner).await.unwrap();
            assert_eq!(found, 0, "{table}");
        }
    }
    let mut kept: Vec<Vec<u8>> =
        sqlx::query_scalar("select hash from auth.api_key_secret").fetch_all(&app.owner).await.unwrap();
    kept.sort();
    let mut hashes = [&first, &second].map(|key| ApiKeySecret::parse(&key.token).unwrap().hash().to_vec());
    hashes.sort();
    assert_eq!(kept, hashes);
}

/// Everything that is logged on this thread, at any level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_secret_stands_in_no_log() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    let _logs = tracing::subscriber::set_default(subscriber.finish());
    let app = App::new().await;
    let admin = app.member("admin", Role::Admin).await;
    let first = make(&app, &admin, &[Scope::ConsultationAsk]).await;
    let second = rotate(&app, &admin, &first, &json!({"overlap_seconds": 0})).await;
    let never = Member { id: first.id, token: ApiKeySecret::generate().expose().to_owned() };
    let typo = mistyped(&second);
    ask(&app, &first).await.expect(401);
    ask(&app, &second).await.expect(201);
    for refused in [&never, &typo] {
        ask(&app, refused).await.expect(401);
    }
    delete_with(&app.router, &admin, first.id, &[]).await.expect(200);
    ask_at(&replica(&app).0, &second).await.expect(401);
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(logged.matches("API key refused").count(), 4, "{logged}");
    for key in [first, second, never, typo] {
        assert!(!logged.contains(&key.token[11..51]) && !logged.contains(&format!("{:?}", key.token.as_bytes())));
    }
}

#[tokio::test]
async fn an_old_secret_works_through_the_overlap_and_never_more_than_two_do() {
    let app = App::new().await;
    let admin = app.member("admin", Role::Admin).await;
    let first = make(&app, &admin, &[Scope::ConsultationAsk]).await;
    ask(&app, &first).await.expect(201);
    let second = rotate(&app, &admin, &first, &json!({"overlap_seconds": 3600})).await;
    for key in [&first, &second] {
        ask(&app, key).await.expect(201);
        ask_at(&replica(&app).0, key).await.expect(201);
    }
    // Rotated again: the oldest ends, whatever it had left.
    let third = rotate(&app, &admin, &first, &json!({})).await;
    ask_at(&replica(&app).0, &first).await.problem(401, "unauthorized");
    until("a process that knew it refuses it too", async || ask(&app, &first).await.status == 401).await;
    for key in [&second, &third] {
        ask(&app, key).await.expect(201);
    }
    // A day later, and not before.
    for (shift, status) in [("23 hours 59 minutes", 201), ("1 minute", 401)] {
        run(
            &app,
            &format!(
                "update write.journal set data = jsonb_build_object('old_until', (data::jsonb ->> 'old_until')::timestamptz - interval '{shift}')::text
                 where event_type = 'docket.identity.api_key_rotated.v1' and stream_version = 3"
            ),
        )
        .await;
        assert_eq!(ask_at(&replica(&app).0, &second).await.status, status, "{shift}");
        ask_at(&replica(&app).0, &third).await.expect(201);
    }
    // Without an overlap the old one ends at once.
    let fourth = rotate(&app, &admin, &first, &json!({"overlap_seconds": 0})).await;
    ask_at(&replica(&app).0, &third).await.problem(401, "unauthorized");
    ask_at(&replica(&app).0, &fourth).await.expect(201);
    assert_eq!(
        app.events_of(first.id).await,
        ["api_key_created", "api_key_rotated", "api_key_rotated", "api_key_rotated"]
    );
}

/// Keeps secrets from being kept.
const TRIGGER: &str =
    "create trigger refuse before insert on auth.api_key_secret for each row execute function auth.refuse()";

#[tokio::test]
async fn what_stops_between_event_and_secret_leaves_nothing_alive() {
    let app = App::new().await;
    let admin = app.member("admin", Role::Admin).await;
    let key = make(&app, &admin, &[Scope::ConsultationAsk]).await;
    run(
        &app,
        "create function auth.refuse() returns trigger language plpgsql as $$ begin raise exception 'refused'; end $$",
    )
    .await;
    run(&app, TRIGGER).await;
    let body = json!({"name": "Cut off", "scopes": ["consultation:ask"]});
    let headers = [("idempotency-key", "once")];
    let failed = app.post_with(&admin, KEYS, &body, &headers).await.problem(500, "internal");
    assert!(!failed.body.to_string().contains("docket_key_"));
    app.post_with(&admin, &rotation(&key), &json!({}), &headers).await.problem(500, "internal");
    run(&app, "drop trigger refuse on auth.api_key_secret").await;

    // The key is there, as the history says, and nothing opens with it; the repetition says how to go on.
    let again = app.post_with(&admin, KEYS, &body, &headers).await.expect(201);
    assert_eq!((again.id() == key.id, &again.body["secret"]), (false, &Value::Null));
    let secrets: Vec<Uuid> =
        sqlx::query_scalar("select key_id from auth.api_key_secret").fetch_all(&app.owner).await.unwrap();
    assert_eq!(secrets, [key.id]);
    let cut_off = Member { id: again.id(), token: String::new() };
    let cut_off = rotate(&app, &admin, &cut_off, &json!({})).await;
    ask(&app, &cut_off).await.expect(201);

    // A key with two secrets whose next rotation stops there: the older one ends with the event, the newer one after the overlap.
    let older = make(&app, &admin, &[Scope::ConsultationAsk]).await;
    let newer = rotate(&app, &admin, &older, &json!({})).await;
    run(&app, TRIGGER).await;
    app.post(&admin, &rotation(&older), &json!({})).await.problem(500, "internal");
    run(&app, "drop trigger refuse on auth.api_key_secret").await;
    ask_at(&replica(&app).0, &older).await.problem(401, "unauthorized");
    ask_at(&replica(&app).0, &newer).await.expect(201);

    // The rotation was journalled: the old secret works as long as that says, also when the rotation is done again.
    ask(&app, &key).await.expect(201);
    let next = rotate(&app, &admin, &key, &json!({})).await;
    for secret in [&key, &next] {
        ask_at(&replica(&app).0, secret).await.expect(201);
    }
    run(
        &app,
        "update write.journal set data = '{\"old_until\":\"2026-01-01T00:00:00Z\"}'
         where event_type = 'docket.identity.api_key_rotated.v1' and stream_version = 2",
    )
    .await;
    ask_at(&replica(&app).0, &key).await.problem(401, "unauthorized");
    ask_at(&replica(&app).0, &next).await.expect(201);
}
