//! Logging in: what it gives, and what it does not tell.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, phc::PasswordHash},
};
use docket_command_api::{Config, State};
use docket_platform::auth::{Authenticator, Role};
use serde_json::{Value, json};

use crate::support::{Answer, App, CONSULTATIONS, Member, hardened, request, send};

const LOGIN: &str = "/api/v1/auth/login";

async fn login(app: &App, email: &str, password: &str) -> Answer {
    let body = json!({"email": email, "password": password}).to_string();
    app.send(request(None, LOGIN, body.into(), &[])).await
}

#[tokio::test]
async fn a_login_gives_a_token_that_works() {
    let app = App::new().await;
    let member = app.member("ada", Role::Requester).await;
    let answer = login(&app, " ADA@example.org ", "ada's password").await.expect(200);
    assert_eq!((&answer.body["token_type"], &answer.body["expires_in"]), (&json!("Bearer"), &json!(900)));
    assert_eq!(answer.body["user"], json!({"id": member.id, "name": "ada"}));
    assert_eq!(
        (&answer.body["organisation"]["id"], &answer.body["role"]),
        (&json!(app.organisation), &json!("requester"))
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    let token = answer.body["access_token"].as_str().unwrap().to_owned();
    app.post(&Member { id: member.id, token }, CONSULTATIONS, &json!({"title": "t"})).await.expect(201);
}

#[tokio::test]
async fn an_unknown_account_and_a_wrong_password_are_the_same() {
    let app = App::new().await;
    app.member("ada", Role::Requester).await;
    let mut answers: Vec<(u16, Value)> = Vec::new();
    let (long, endless) = ("x".repeat(5_000), "x".repeat(1_000_000));
    for (email, password) in [
        ("ada@example.org", "a wrong password"),
        ("bob@example.org", "a wrong password"),
        ("bob@example.org", "ada's password"),
        ("no address at all", "x"),
        ("ada@example.org", ""),
        ("ada@example.org", &long),
        ("ada@example.org", &endless),
    ] {
        let before = app.state.hasher().runs();
        let answer = login(&app, email, password).await.problem(401, "invalid_credentials");
        assert_eq!(app.state.hasher().runs() - before, 1, "the same work for {email}");
        let (status, body) = answer.anonymous();
        answers.push((status.as_u16(), body));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    let before = app.state.hasher().runs();
    login(&app, "ada@example.org", "ada's password").await.expect(200);
    assert_eq!(app.state.hasher().runs() - before, 1);
}

#[tokio::test]
async fn a_hash_of_older_parameters_is_replaced_at_login() {
    let app = App::new().await;
    let ada = app.member("ada", Role::Requester).await;
    let old = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
    let old: PasswordHash = old.hash_password_with_salt(b"ada's password", b"0123456789abcdef").unwrap();
    sqlx::query("update auth.account set password_hash = $2 where user_id = $1")
        .bind(ada.id)
        .bind(old.to_string())
        .execute(&app.owner)
        .await
        .unwrap();
    login(&app, "ada@example.org", "a wrong password").await.expect(401);
    login(&app, "ada@example.org", "ada's password").await.expect(200);
    let hash: String = sqlx::query_scalar("select password_hash from auth.account where user_id = $1")
        .bind(ada.id)
        .fetch_one(&app.owner)
        .await
        .unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    login(&app, "ada@example.org", "ada's password").await.expect(200);
}

#[tokio::test]
async fn the_first_login_of_an_installation_makes_the_signing_key() {
    let app = App::new().await;
    app.member("ada", Role::Requester).await;
    let authenticator = Arc::new(Authenticator::from_pool(app.store.pool().clone()));
    let router = hardened(State::new(app.store.clone(), authenticator, Config::default()));
    let body = json!({"email": "ada@example.org", "password": "ada's password"}).to_string();
    for _ in 0..2 {
        send(&router, request(None, LOGIN, body.clone().into(), &[])).await.expect(200);
    }
    let keys: i64 = sqlx::query_scalar("select count(*) from auth.signing_key").fetch_one(&app.owner).await.unwrap();
    assert_eq!(keys, 1);
}

#[tokio::test]
async fn no_address_stands_in_clear() {
    let app = App::new().await;
    app.member("ada", Role::Requester).await;
    login(&app, "ada@example.org", "ada's password").await.expect(200);
    for table in ["write.journal", "auth.account", "write.claim", "write.idempotency", "write.snapshot"] {
        let sql =
            format!("select count(*) from {table} t where t::text ilike '%ada@example%' or t::text like '%\"ada\"%'");
        let found: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&app.owner).await.unwrap();
        assert_eq!(found, 0, "{table}");
    }
}

#[tokio::test]
async fn a_malformed_login_names_the_field() {
    let app = App::new().await;
    for (body, field) in [
        (json!({"email": "a@example.org"}), "password"),
        (json!({"password": "x"}), "email"),
        (json!({"email": 5, "password": "x"}), "email"),
        (json!({"email": "a@example.org", "password": "x", "remember": true}), "remember"),
    ] {
        let answer =
            app.send(request(None, LOGIN, body.to_string().into(), &[])).await.problem(422, "validation_failed");
        assert_eq!(answer.body["errors"][0]["field"], field);
    }
    assert_eq!(app.state.hasher().runs(), 0);
}
