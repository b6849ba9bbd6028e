//! How an account begins: alike for known and unknown addresses, usable once the mailed link was followed, whole after any kill.

use docket_command_api::{Config, config::Registration};
use docket_domain::identity::Organisation;
use docket_events::{Category, StreamId, identity};
use docket_platform::{
    auth::{Role, mailed::Purpose},
    ids,
};
use futures_util::future::join_all;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, App};

pub const PASSWORD: &str = "orbit lantern mustard";
const BOB: &str = "bob@example.org";

pub async fn post(app: &App, path: &str, body: &Value) -> Answer {
    app.call(None, "POST", &format!("/api/v1/auth/{path}"), body, &[]).await
}

fn wish(email: &str) -> Value {
    json!({ "email": email, "name": "Bob Example", "password": PASSWORD, "organisation": "Bob's Works" })
}

async fn login(app: &App, email: &str, password: &str) -> Answer {
    post(app, "login", &json!({ "email": email, "password": password })).await
}

async fn verify(app: &App, token: &str) -> Answer {
    post(app, "verify", &json!({ "token": token })).await
}

/// The one user who is not verified, or was the last to be registered.
async fn newest_user(app: &App) -> Uuid {
    sqlx::query_scalar(
        "select stream_id from write.journal where event_type like '%user_registered%' order by recorded_at desc limit 1",
    )
    .fetch_one(&app.owner)
    .await
    .unwrap()
}

async fn count(app: &App, event: &str) -> i64 {
    app.number(&format!("select count(*) from write.journal where event_type = 'docket.identity.{event}.v1'")).await
}

/// Mails that events ask for.
async fn mails(app: &App) -> i64 {
    count(app, "verification_requested").await + count(app, "password_reset_requested").await
}

async fn a_minute_later(app: &App) {
    app.sql("update write.journal set time = time - interval '2 minutes'").await;
}

async fn organisation(app: &App, id: Uuid) -> Organisation {
    app.store.load(StreamId::new(Category::Identity, id), None).await.unwrap().0.state
}

/// Asks again while too many passwords wait to be hashed, which is said honestly.
async fn patiently<F: Future<Output = Answer>>(mut ask: impl FnMut() -> F) -> Answer {
    loop {
        let answer = ask().await;
        if answer.status != 503 {
            return answer;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_registration_is_answered_alike_whoever_has_the_address() {
    let app = App::new().await;
    app.member("ada", Role::Requester).await;
    let mut answers = Vec::new();
    for round in 0..2 {
        for email in ["ada@example.org", BOB, " ADA@example.org ", " Bob@Example.org"] {
            let (runs, mailed) = (app.state.hasher().runs(), mails(&app).await);
            let answer = post(&app, "register", &wish(email)).await.expect(202);
            let headers: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
            answers.push((headers, answer.anonymous()));
            assert_eq!(app.state.hasher().runs(), runs + 1, "{round} {email}: one password is hashed");
            // The second of a pair comes within the minute.
            let first = !email.starts_with(' ');
            assert_eq!(mails(&app).await, mailed + i64::from(first), "{round} {email}: one mail a minute");
        }
        a_minute_later(&app).await;
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    assert_eq!((count(&app, "user_registered").await, count(&app, "verification_requested").await), (2, 1));
    assert_eq!(count(&app, "organisation_created").await, 1, "none is made before the link was followed");
    let everywhere = "select count(*) from write.journal where data like '%Works%' or data like '%bob@%'";
    assert_eq!(app.number(everywhere).await, 0, "a wish and an address are on no log");
    let statuses = [
        login(&app, "ada@example.org", "ada's password").await.status.as_u16(),
        login(&app, "ada@example.org", PASSWORD).await.status.as_u16(),
    ];
    assert_eq!(statuses, [200, 401], "nobody's password was changed");
}

#[tokio::test]
async fn whoever_registered_with_an_address_learns_nothing_of_it_by_logging_in() {
    let app = App::new().await;
    app.member("ada", Role::Requester).await;
    let mut told = Vec::new();
    for address in ["ada@example.org", BOB] {
        post(&app, "register", &wish(address)).await.expect(202);
        let mut answers = Vec::new();
        for _ in 0..7 {
            let answer = login(&app, address, PASSWORD).await;
            answers.push((answer.status, answer.body["code"].clone(), answer.body["detail"].clone()));
        }
        told.push(answers);
    }
    assert_eq!(told[0], told[1]);
    assert_eq!((told[0][0].0.as_u16(), told[0][6].0.as_u16()), (401, 429));
}

#[tokio::test]
async fn an_account_can_be_used_once_the_mailed_link_was_followed() {
    let app = App::new().await;
    post(&app, "register", &wish(BOB)).await.expect(202);
    let bob = newest_user(&app).await;
    login(&app, BOB, "a wrong password").await.problem(401, "invalid_credentials");
    login(&app, BOB, PASSWORD).await.problem(401, "invalid_credentials");
    assert_eq!(count(&app, "verification_requested").await, 1, "a mail is on its way");
    a_minute_later(&app).await;
    for _ in 0..2 {
        login(&app, BOB, PASSWORD).await.problem(401, "invalid_credentials");
    }
    assert_eq!(count(&app, "verification_requested").await, 2, "a new one, one a minute");

    let (token, other) = (app.mailed(Purpose::VerifyAddress, bob).await, app.mailed(Purpose::VerifyAddress, bob).await);
    let reset = app.mailed(Purpose::ResetPassword, bob).await;
    let (whole, cut) = (token.expose_secret(), &token.expose_secret()[..42]);
    let mut refusals = Vec::new();
    for wrong in ["", "nonsense", cut, &whole.repeat(2), &"a".repeat(43), reset.expose_secret()] {
        refusals.push(verify(&app, wrong).await.problem(400, "invalid_token").anonymous());
    }
    assert_eq!((count(&app, "address_verified").await, count(&app, "organisation_created").await), (0, 1));

    verify(&app, whole).await.expect(200);
    for used in [whole, other.expose_secret()] {
        refusals.push(verify(&app, used).await.problem(400, "invalid_token").anonymous());
    }
    assert!(refusals.windows(2).all(|pair| pair[0] == pair[1]), "{refusals:?}");
    let inside = login(&app, BOB, PASSWORD).await.expect(200).body;
    assert_eq!((&inside["role"], &inside["user"]["name"]), (&json!("admin"), &json!("Bob Example")));
    let id: Uuid = inside["organisation"]["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(app.events_of(id).await, ["organisation_created", "member_added"]);
    let made = organisation(&app, id).await;
    assert_eq!((made.name.as_deref(), made.role_of(bob)), (Some("Bob's Works"), Some(identity::Role::Admin)));
    assert_eq!(app.events_of(bob).await.last().map(String::as_str), Some("address_verified"));
    assert_eq!(app.number("select count(*) from auth.wanted_organisation").await, 0, "what was wanted is there");
}

#[tokio::test]
async fn of_fifty_with_one_link_one_verifies_and_everything_is_made_once() {
    let app = App::new().await;
    post(&app, "register", &wish(BOB)).await.expect(202);
    let token = app.mailed(Purpose::VerifyAddress, newest_user(&app).await).await;
    let answers = join_all((0..50).map(|_| patiently(|| verify(&app, token.expose_secret())))).await;
    let (done, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((done.len(), refused.len()), (1, 49));
    assert!(refused.iter().all(|answer| answer.body["code"] == "invalid_token"));
    assert_eq!((count(&app, "address_verified").await, count(&app, "organisation_created").await), (1, 2));
    login(&app, BOB, PASSWORD).await.expect(200);
}

#[tokio::test]
async fn many_who_register_one_address_at_once_are_one_user_and_get_one_mail() {
    let app = App::new().await;
    let wish = wish(BOB);
    let racers = (0..30).map(|_| patiently(|| post(&app, "register", &wish)));
    assert!(join_all(racers).await.iter().all(|answer| answer.status == 202));
    assert_eq!((count(&app, "user_registered").await, mails(&app).await), (1, 1));
    assert_eq!(app.number("select count(*) from auth.account").await, 1);
}

#[tokio::test]
async fn a_registration_that_was_cut_off_is_taken_up_by_the_next_one() {
    let app = App::new().await;
    app.refuse("insert", "write.journal", "new.event_type like '%user_registered%'").await;
    let mut first = wish(BOB);
    first["password"] = "another orbit lantern".into();
    first["organisation"] = "Never".into();
    post(&app, "register", &first).await.problem(500, "internal");
    login(&app, BOB, "another orbit lantern").await.problem(401, "invalid_credentials");
    app.let_again("write.journal").await;
    post(&app, "register", &wish(BOB)).await.expect(202);
    assert_eq!((count(&app, "user_registered").await, mails(&app).await), (1, 1));
    let token = app.mailed(Purpose::VerifyAddress, newest_user(&app).await).await;
    verify(&app, token.expose_secret()).await.expect(200);
    let inside = login(&app, BOB, PASSWORD).await.expect(200).body;
    let id = inside["organisation"]["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(organisation(&app, id).await.name.as_deref(), Some("Bob's Works"), "the one that was answered");
}

#[tokio::test]
async fn a_verification_that_was_cut_off_anywhere_is_done_by_the_same_link() {
    // Each cut is followed by a login that is refused.
    let app = App::with(Config { login_attempts: 0, ..Config::default() }).await;
    post(&app, "register", &wish(BOB)).await.expect(202);
    let bob = newest_user(&app).await;
    let token = app.mailed(Purpose::VerifyAddress, bob).await;
    for (event, table, condition) in [
        ("insert", "write.journal", "new.event_type like '%address_verified%'"),
        ("insert", "auth.membership", "true"),
        ("insert", "write.journal", "new.event_type like '%organisation_created%'"),
        ("update", "auth.account", "true"),
        ("delete", "auth.mailed_token", "true"),
    ] {
        app.refuse(event, table, condition).await;
        verify(&app, token.expose_secret()).await.problem(500, "internal");
        login(&app, BOB, PASSWORD).await.problem(401, "invalid_credentials");
        app.let_again(table).await;
    }
    verify(&app, token.expose_secret()).await.expect(200);
    login(&app, BOB, PASSWORD).await.expect(200);
    let events = ["user_registered", "verification_requested", "address_verified"];
    assert_eq!(app.events_of(bob).await, events, "each noted once");
    assert_eq!(count(&app, "organisation_created").await, 2, "the test's own, and Bob's");
}

#[tokio::test]
async fn whoever_sets_a_password_by_a_mailed_link_has_verified_the_address_too() {
    let app = App::new().await;
    // Somebody else was first, with the address and a password of their choice.
    post(&app, "register", &wish(BOB)).await.expect(202);
    a_minute_later(&app).await;
    let mut own = wish(BOB);
    own["password"] = "bob's own choice of words".into();
    post(&app, "register", &own).await.expect(202);
    let bob = newest_user(&app).await;
    assert_eq!(app.events_of(bob).await.last().map(String::as_str), Some("password_reset_requested"));
    let token = app.mailed(Purpose::ResetPassword, bob).await;
    let body = json!({ "token": token.expose_secret(), "password": "bob's own choice of words" });
    post(&app, "reset-password", &body).await.expect(200);
    login(&app, BOB, PASSWORD).await.problem(401, "invalid_credentials");
    let inside = login(&app, BOB, "bob's own choice of words").await.expect(200).body;
    assert_eq!(inside["role"], "admin");
}

#[tokio::test]
async fn an_account_that_an_operator_is_about_to_make_is_not_taken() {
    let app = App::new().await;
    // As after a kill between the event and the account's row.
    app.refuse("insert", "auth.account", "true").await;
    let add = || {
        let (email, role) = ("root@example.org", identity::Role::Analyst);
        docket_command_api::setup::create_user(&app.store, email, "Root", role, "root's password".into())
    };
    assert!(add().await.is_err());
    app.let_again("auth.account").await;
    post(&app, "register", &wish("root@example.org")).await.expect(202);
    assert_eq!(app.number("select count(*) from auth.account").await, 0);
    assert!(add().await.unwrap().created);
    login(&app, "root@example.org", "root's password").await.expect(200);
    login(&app, "root@example.org", PASSWORD).await.problem(401, "invalid_credentials");
}

#[tokio::test]
async fn what_will_not_do_is_named_and_leaves_nothing_behind() {
    let app = App::new().await;
    let everything = "select (select count(*) from write.journal) + (select count(*) from auth.account)
                      + (select count(*) from auth.wanted_organisation)";
    let before = app.number(everything).await;
    let runs = app.state.hasher().runs();
    for (field, value, code) in [
        ("email", json!("no address"), "invalid_value"),
        ("email", json!("bo\u{202e}b@example.org"), "invalid_value"),
        ("email", Value::Null, "missing_field"),
        ("name", json!("Bob\u{202e}"), "invalid_value"),
        ("name", json!("B\u{200b}ob"), "invalid_value"),
        ("name", json!(" "), "invalid_value"),
        ("organisation", json!("Works\u{2066}"), "invalid_value"),
        ("organisation", json!("W\u{feff}orks"), "invalid_value"),
        ("organisation", json!("x".repeat(201)), "invalid_value"),
        ("organisation", Value::Null, "missing_field"),
        ("password", json!("short"), "invalid_length"),
        ("password", json!("password1"), "guessable"),
        ("password", json!("x".repeat(900_000)), "invalid_length"),
    ] {
        let mut body = wish(BOB);
        body[field] = value;
        let answer = post(&app, "register", &body).await.problem(422, "validation_failed");
        let error = &answer.body["errors"][0];
        assert_eq!((&error["field"], &error["code"]), (&json!(field), &json!(code)));
    }
    let mut both = wish(BOB);
    both["invitation"] = "token".into();
    let answer = post(&app, "register", &both).await.problem(422, "validation_failed");
    assert_eq!(answer.body["errors"][0]["field"], "email");
    assert_eq!((app.number(everything).await, app.state.hasher().runs()), (before, runs));
}

#[tokio::test]
async fn where_registration_is_closed_one_needs_an_invitation() {
    let app = App::with(Config { registration: Registration::Invited, ..Config::default() }).await;
    post(&app, "register", &wish(BOB)).await.problem(403, "registration_closed");
    let nonsense = json!({ "invitation": ids::new_id().to_string(), "name": "Bob", "password": PASSWORD });
    post(&app, "register", &nonsense).await.problem(400, "invalid_token");
    let admin = app.member("root", Role::Admin).await;
    let invite = json!({ "email": BOB, "role": "analyst" });
    let invitation = app.post(&admin, "/api/v1/invitations", &invite).await.expect(201).id();
    let token = app.mailed_invitation(app.organisation, invitation).await;
    let body = json!({ "invitation": token.expose_secret(), "name": "Bob", "password": PASSWORD });
    let joined = post(&app, "register", &body).await.expect(201).body;
    assert_eq!((&joined["role"], &joined["organisation"]["name"]), (&json!("analyst"), &json!("Test")));
    assert_eq!(login(&app, BOB, PASSWORD).await.expect(200).body["user"]["id"], joined["user_id"]);
}
