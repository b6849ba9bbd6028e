//! A forgotten password, and a changed one: what it takes, what it tells, and what stays when something goes wrong.

use std::time::Duration;

use docket_platform::{
    auth::{
        Role,
        mailed::{self, Purpose},
    },
    db::DbRole,
};
use futures_util::future::join_all;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use crate::support::{Answer, App, Member, request};

const NEW: &str = "orbit lantern mustard";

async fn post(app: &App, path: &str, body: &Value) -> Answer {
    app.send(request(None, &format!("/api/v1/auth/{path}"), body.to_string().into(), &[])).await
}

async fn forgot(app: &App, email: &str) -> Answer {
    post(app, "forgot-password", &json!({ "email": email })).await
}

async fn reset(app: &App, token: &str, password: &str) -> Answer {
    post(app, "reset-password", &json!({ "token": token, "password": password })).await
}

async fn login(app: &App, password: &str) -> u16 {
    post(app, "login", &json!({ "email": "ada@example.org", "password": password })).await.status.as_u16()
}

/// What a mail would bring.
async fn mailed(app: &App, user: Uuid) -> SecretString {
    let pool = app.database.pool(DbRole::Projector, 1, Duration::from_secs(5));
    let mut door = docket_platform::db::door(&pool).await.unwrap();
    let token = mailed::issue(&mut door, Purpose::ResetPassword, user).await.unwrap();
    door.commit().await.unwrap();
    token
}

/// The types of a user's events, the registration aside.
async fn events(app: &App, user: Uuid) -> Vec<String> {
    sqlx::query_scalar("select event_type || data from write.journal where stream_id = $1 and stream_version > 1 order by stream_version")
        .bind(user)
        .fetch_all(&app.owner)
        .await
        .unwrap()
}

const ASKED: &str = "docket.identity.password_reset_requested.v1{\"channel\":\"mail\"}";
const RESET: &str = "docket.identity.password_changed.v1{\"proof\":\"mailed_link\"}";
const VERIFIED: &str = "docket.identity.address_verified.v1{\"channel\":\"mail\"}";
const CHANGED: &str = "docket.identity.password_changed.v1{\"proof\":\"old_password\"}";

#[tokio::test]
async fn a_forgotten_password_is_answered_alike_whoever_asks() {
    let app = App::new().await;
    let ada = app.member("ada", Role::Requester).await;
    let before = app.state.hasher().runs();
    let journalled = || async {
        let count: i64 = sqlx::query_scalar("select count(*) from write.journal").fetch_one(&app.owner).await.unwrap();
        count
    };
    let at_first = journalled().await;
    let mut answers = Vec::new();
    for email in
        ["ada@example.org", " ADA@example.org", "nobody@example.org", "no address", "", "a\u{202e}b@example.org"]
    {
        let answer = forgot(&app, email).await.expect(202);
        let headers: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
        answers.push((headers, answer.anonymous()));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    assert_eq!(app.state.hasher().runs(), before, "no password is looked at");
    // One mail a minute, however often somebody asks, and none to strangers.
    assert_eq!(events(&app, ada.id).await, [ASKED]);
    assert_eq!(journalled().await, at_first + 1);
    sqlx::query(
        "update write.journal set time = time - interval '2 minutes' where event_type like '%reset_requested%'",
    )
    .execute(&app.owner)
    .await
    .unwrap();
    forgot(&app, "ada@example.org").await.expect(202);
    assert_eq!(events(&app, ada.id).await, [ASKED, ASKED]);
}

#[tokio::test]
async fn a_mailed_link_sets_a_new_password_once() {
    let app = App::new().await;
    let ada = app.member("ada", Role::Requester).await;
    let (first, second) = (mailed(&app, ada.id).await, mailed(&app, ada.id).await);
    let expired = mailed(&app, ada.id).await;
    let owner = "update auth.mailed_token set expires_at = now() - interval '1 second'
                 where created_at = (select max(created_at) from auth.mailed_token)";
    sqlx::query(owner).execute(&app.owner).await.unwrap();

    // What will not do leaves the link as good as it was.
    for (password, code) in
        [("short", "invalid_length"), ("password1", "guessable"), (&"x".repeat(900_000), "invalid_length")]
    {
        let answer = reset(&app, first.expose_secret(), password).await.problem(422, "validation_failed");
        assert_eq!(
            (&answer.body["errors"][0]["field"], &answer.body["errors"][0]["code"]),
            (&json!("password"), &json!(code))
        );
    }
    let cut = &first.expose_secret()[..42];
    let doubled = first.expose_secret().repeat(2);
    let mut refusals = Vec::new();
    for token in ["", "nonsense", cut, &doubled, expired.expose_secret(), &"a".repeat(43)] {
        refusals.push(reset(&app, token, NEW).await.problem(400, "invalid_token").anonymous());
    }
    assert_eq!((login(&app, "ada's password").await, events(&app, ada.id).await.len()), (200, 0));

    reset(&app, first.expose_secret(), NEW).await.expect(200);
    assert_eq!((login(&app, "ada's password").await, login(&app, NEW).await), (401, 200));
    // Used, and with it every other one that was mailed.
    for token in [&first, &second] {
        refusals.push(
            reset(&app, token.expose_secret(), "another orbit lantern").await.problem(400, "invalid_token").anonymous(),
        );
    }
    assert!(refusals.windows(2).all(|pair| pair[0] == pair[1]), "{refusals:?}");
    assert_eq!(
        (login(&app, NEW).await, events(&app, ada.id).await),
        (200, vec![RESET.to_owned(), VERIFIED.to_owned()])
    );

    let (kept, old) = (mailed(&app, ada.id).await, mailed(&app, ada.id).await);
    sqlx::query(owner).execute(&app.owner).await.unwrap();
    let mut connection = docket_platform::db::door(app.store.pool()).await.unwrap();
    assert_eq!(mailed::forget_expired(&mut connection).await.unwrap(), 1);
    let holder = async |token: &SecretString, connection: &mut PgConnection| {
        mailed::holder(connection, Purpose::ResetPassword, token).await.unwrap()
    };
    assert_eq!(holder(&kept, &mut connection).await, Some(ada.id));
    assert_eq!(holder(&old, &mut connection).await, None);
}

#[tokio::test]
async fn of_fifty_with_one_link_one_sets_its_password() {
    let app = App::new().await;
    let ada = app.member("ada", Role::Requester).await;
    let token = mailed(&app, ada.id).await;
    let racers = (0..50).map(|n| {
        let (app, token) = (&app, &token);
        async move {
            let password = format!("{NEW} {n}");
            // The queue is full at times, which is said honestly.
            loop {
                match reset(app, token.expose_secret(), &password).await.status.as_u16() {
                    503 => tokio::task::yield_now().await,
                    status => return (status, password),
                }
            }
        }
    });
    let answers = join_all(racers).await;
    let winners: Vec<&String> =
        answers.iter().filter(|(status, _)| *status == 200).map(|(_, password)| password).collect();
    assert_eq!(winners.len(), 1);
    assert!(answers.iter().all(|(status, _)| [200, 400].contains(status)));
    assert_eq!(
        (login(&app, winners[0]).await, events(&app, ada.id).await),
        (200, vec![RESET.to_owned(), VERIFIED.to_owned()])
    );
}

#[tokio::test]
async fn a_reset_that_was_cut_off_is_done_by_the_same_link() {
    let app = App::new().await;
    let ada = app.member("ada", Role::Requester).await;
    let token = mailed(&app, ada.id).await;
    // As after a kill between the event and the row: the row cannot be written.
    sqlx::raw_sql(
        "create function refuse() returns trigger language plpgsql as $$ begin raise 'not now'; end $$;
         create trigger refuse before update on auth.account for each row execute function refuse();",
    )
    .execute(&app.owner)
    .await
    .unwrap();
    reset(&app, token.expose_secret(), NEW).await.problem(500, "internal");
    assert_eq!(login(&app, "ada's password").await, 200);
    sqlx::raw_sql("drop trigger refuse on auth.account").execute(&app.owner).await.unwrap();
    reset(&app, token.expose_secret(), NEW).await.expect(200);
    assert_eq!(
        (login(&app, NEW).await, events(&app, ada.id).await),
        (200, vec![RESET.to_owned(), VERIFIED.to_owned()]),
        "noted once"
    );
}

#[tokio::test]
async fn a_password_is_changed_by_who_knows_it() {
    let app = App::new().await;
    let ada = app.member("ada", Role::Requester).await;
    let change = async |member: Option<&Member>, current: &str, new: &str| {
        let body = json!({ "current_password": current, "new_password": new }).to_string();
        app.send(request(member, "/api/v1/auth/change-password", body.into(), &[])).await
    };
    change(None, "ada's password", NEW).await.expect(401);
    change(Some(&ada), "a wrong password", NEW).await.problem(403, "wrong_password");
    let guessable = change(Some(&ada), "ada's password", "12345678").await.problem(422, "validation_failed");
    assert_eq!(guessable.body["errors"][0]["field"], "new_password");
    assert_eq!((login(&app, "ada's password").await, events(&app, ada.id).await.len()), (200, 0));
    change(Some(&ada), "ada's password", NEW).await.expect(200);
    assert_eq!((login(&app, "ada's password").await, login(&app, NEW).await), (401, 200));
    assert_eq!(events(&app, ada.id).await, [CHANGED]);
}

#[tokio::test]
async fn neither_token_nor_password_stands_anywhere() {
    let app = App::new().await;
    let ada = app.member("ada", Role::Requester).await;
    let token = mailed(&app, ada.id).await;
    forgot(&app, "ada@example.org").await.expect(202);
    let unused = mailed(&app, ada.id).await;
    let found = async |text: &str| {
        let tables: Vec<(String, String)> = sqlx::query_as(
            "select table_schema::text, table_name::text from information_schema.tables
             where table_schema in ('write', 'auth', 'react', 'read', 'vault') and table_type = 'BASE TABLE'",
        )
        .fetch_all(&app.owner)
        .await
        .unwrap();
        let mut found = Vec::new();
        for (schema, table) in tables {
            let sql = format!("select exists (select from \"{schema}\".\"{table}\" t where strpos(t::text, $1) > 0)");
            if sqlx::query_scalar(AssertSqlSafe(sql)).bind(text).fetch_one(&app.owner).await.unwrap() {
                found.push(format!("{schema}.{table}"));
            }
        }
        found
    };
    assert_eq!(found("password_reset_requested").await, ["write.journal"], "the search finds what is there");
    assert_eq!(found(unused.expose_secret()).await, Vec::<String>::new());
    reset(&app, token.expose_secret(), NEW).await.expect(200);
    for secret in [token.expose_secret(), unused.expose_secret(), NEW] {
        assert_eq!(found(secret).await, Vec::<String>::new());
    }
}
