//! Invitations: who comes in by a mailed link, once, and what is left of one that was cut off.

use docket_platform::auth::{Role, mailed::Purpose};
use futures_util::future::join_all;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    register::{PASSWORD, post},
    support::{Answer, App, Member},
};

const GRACE: &str = "grace@example.org";
const INVITATIONS: &str = "/api/v1/invitations";

async fn invite(app: &App, by: &Member, email: &str) -> Uuid {
    app.post(by, INVITATIONS, &json!({ "email": email, "role": "reviewer" })).await.expect(201).id()
}

async fn register(app: &App, token: &SecretString, password: &str) -> Answer {
    let body = json!({ "invitation": token.expose_secret(), "name": "Grace Example", "password": password });
    post(app, "register", &body).await
}

async fn accept(app: &App, by: &Member, token: &SecretString) -> Answer {
    app.post(by, &format!("{INVITATIONS}/accept"), &json!({ "token": token.expose_secret() })).await
}

async fn login(app: &App, email: &str, password: &str) -> u16 {
    post(app, "login", &json!({ "email": email, "password": password })).await.status.as_u16()
}

async fn count(app: &App, event: &str) -> i64 {
    app.number(&format!("select count(*) from write.journal where event_type = 'docket.identity.{event}.v1'")).await
}

#[tokio::test]
async fn an_invited_person_registers_with_the_link_and_belongs() {
    let app = App::new().await;
    let admin = app.member("root", Role::Admin).await;
    let token = app.mailed_invitation(app.organisation, invite(&app, &admin, GRACE).await).await;
    for (name, password, field) in [("Gr\u{202e}ace", PASSWORD, "name"), ("Grace", "12345678", "password")] {
        let body = json!({ "invitation": token.expose_secret(), "name": name, "password": password });
        let answer = post(&app, "register", &body).await.problem(422, "validation_failed");
        assert_eq!(answer.body["errors"][0]["field"], field, "the link stays good");
    }
    let joined = register(&app, &token, PASSWORD).await.expect(201).body;
    assert_eq!((&joined["role"], &joined["organisation"]["id"]), (&json!("reviewer"), &json!(app.organisation)));
    let grace: Uuid = joined["user_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(app.events_of(grace).await, ["user_registered", "address_verified"]);
    let events = app.events_of(app.organisation).await;
    assert_eq!(events[events.len() - 2..], ["invitation_accepted", "member_added"]);
    assert_eq!(login(&app, GRACE, PASSWORD).await, 200);
    let hints =
        format!("select count(*) from auth.membership where user_id = '{grace}' and tenant = '{}'", app.organisation);
    assert_eq!(app.number(&hints).await, 1);
    register(&app, &token, "another orbit lantern").await.problem(400, "invalid_token");
    assert_eq!((login(&app, GRACE, PASSWORD).await, login(&app, GRACE, "another orbit lantern").await), (200, 401));
}

#[tokio::test]
async fn whoever_has_an_account_accepts_with_it_and_keeps_the_role() {
    let app = App::new().await;
    let admin = app.member("root", Role::Admin).await;
    let elsewhere = Uuid::from_u128(0xe15e);
    docket_command_api::setup::create_organisation(&app.store, elsewhere, "Elsewhere").await.unwrap();
    let grace = app.member_of(elsewhere, "grace", Role::Admin).await;
    let token = app.mailed_invitation(app.organisation, invite(&app, &admin, GRACE).await).await;
    register(&app, &token, PASSWORD).await.problem(409, "account_exists");
    assert_eq!(login(&app, GRACE, "grace's password").await, 200, "and nothing of it was changed");

    let joined = accept(&app, &grace, &token).await.expect(200).body;
    assert_eq!((&joined["user_id"], &joined["role"]), (&json!(grace.id), &json!("reviewer")));
    assert_eq!(joined["organisation"], json!({ "id": app.organisation, "name": "Test" }));
    accept(&app, &grace, &token).await.problem(400, "invalid_token");
    // One who belongs to it already stays what they are.
    let token = app.mailed_invitation(app.organisation, invite(&app, &admin, "root@example.org").await).await;
    assert_eq!(accept(&app, &admin, &token).await.expect(200).body["role"], "admin");
    // What is no invitation's token is none here.
    let reset = app.mailed(Purpose::ResetPassword, grace.id).await;
    accept(&app, &grace, &reset).await.problem(400, "invalid_token");
}

#[tokio::test]
async fn an_invitation_that_was_taken_back_or_has_expired_lets_nobody_in() {
    let app = App::new().await;
    let admin = app.member("root", Role::Admin).await;
    let requester = app.member("ada", Role::Requester).await;
    let mut refusals = Vec::new();
    for end in ["revoked", "expired invitation", "expired token"] {
        let id = invite(&app, &admin, GRACE).await;
        let token = app.mailed_invitation(app.organisation, id).await;
        match end {
            "revoked" => {
                app.call(Some(&admin), "DELETE", &format!("{INVITATIONS}/{id}"), &Value::Null, &[]).await.expect(200);
            }
            "expired invitation" => {
                app.sql(&format!(
                    "update write.journal set data = regexp_replace(data, '\"expires_at\":\"[^\"]*\"', '\"expires_at\":\"2020-01-01T00:00:00Z\"')
                     where event_type like '%member_invited%' and data like '%{id}%'"
                ))
                .await;
            }
            _ => app.sql("update auth.mailed_token set expires_at = now() - interval '1 second'").await,
        }
        refusals.push(register(&app, &token, PASSWORD).await.problem(400, "invalid_token").anonymous());
        refusals.push(accept(&app, &requester, &token).await.problem(400, "invalid_token").anonymous());
    }
    assert!(refusals.windows(2).all(|pair| pair[0] == pair[1]), "{refusals:?}");
    assert_eq!((count(&app, "invitation_accepted").await, count(&app, "user_registered").await), (0, 2));
    assert_eq!(login(&app, GRACE, PASSWORD).await, 401);
}

#[tokio::test]
async fn of_fifty_with_one_invitation_one_registers_and_joins() {
    let app = App::new().await;
    let admin = app.member("root", Role::Admin).await;
    let token = app.mailed_invitation(app.organisation, invite(&app, &admin, GRACE).await).await;
    let racers = (0..50).map(|n| {
        let (app, token) = (&app, &token);
        async move {
            let password = format!("{PASSWORD} {n}");
            // The queue is full at times, which is said honestly.
            loop {
                match register(app, token, &password).await.status.as_u16() {
                    503 => tokio::task::yield_now().await,
                    status => return (status, password),
                }
            }
        }
    });
    let answers = join_all(racers).await;
    let winners: Vec<&String> = answers.iter().filter(|(status, _)| *status == 201).map(|(_, own)| own).collect();
    assert_eq!(winners.len(), 1);
    assert!(answers.iter().all(|(status, _)| [201, 400].contains(status)), "{answers:?}");
    assert_eq!(login(&app, GRACE, winners[0]).await, 200);
    assert_eq!((count(&app, "invitation_accepted").await, count(&app, "user_registered").await), (1, 2));
}

#[tokio::test]
async fn of_many_with_one_invitation_and_accounts_one_joins() {
    let app = App::new().await;
    let admin = app.member("root", Role::Admin).await;
    let elsewhere = Uuid::from_u128(0xe15e);
    docket_command_api::setup::create_organisation(&app.store, elsewhere, "Elsewhere").await.unwrap();
    let mut others = Vec::new();
    for n in 0..10 {
        others.push(app.member_of(elsewhere, &format!("other{n}"), Role::Analyst).await);
    }
    let token = app.mailed_invitation(app.organisation, invite(&app, &admin, GRACE).await).await;
    let answers = join_all(others.iter().map(|other| accept(&app, other, &token))).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 400].contains(status)), "{statuses:?}");
    assert_eq!(count(&app, "invitation_accepted").await, 1);
}

#[tokio::test]
async fn a_registration_by_invitation_that_was_cut_off_anywhere_is_done_by_the_same_link() {
    // Each cut is followed by a login that is refused.
    let app = App::with(docket_command_api::Config { login_attempts: 0, ..Default::default() }).await;
    let admin = app.member("root", Role::Admin).await;
    let token = app.mailed_invitation(app.organisation, invite(&app, &admin, GRACE).await).await;
    for (event, table, condition) in [
        ("insert", "auth.account", "true"),
        ("insert", "write.journal", "new.event_type like '%user_registered%'"),
        ("insert", "auth.membership", "true"),
        ("insert", "write.journal", "new.event_type like '%invitation_accepted%'"),
        ("delete", "auth.mailed_token", "true"),
        ("update", "auth.account", "true"),
    ] {
        app.refuse(event, table, condition).await;
        register(&app, &token, PASSWORD).await.problem(500, "internal");
        app.let_again(table).await;
        let status = login(&app, GRACE, PASSWORD).await;
        assert!([401, 403].contains(&status), "{table} {condition}: {status}");
    }
    register(&app, &token, PASSWORD).await.expect(201);
    assert_eq!(login(&app, GRACE, PASSWORD).await, 200);
    assert_eq!((count(&app, "invitation_accepted").await, count(&app, "user_registered").await), (1, 2));

    let other = app.member_of(app.organisation, "ada", Role::Analyst).await;
    let token = app.mailed_invitation(app.organisation, invite(&app, &admin, "more@example.org").await).await;
    app.refuse("delete", "auth.mailed_token", "true").await;
    accept(&app, &other, &token).await.problem(500, "internal");
    app.let_again("auth.mailed_token").await;
    accept(&app, &other, &token).await.expect(200);
    assert_eq!(count(&app, "invitation_accepted").await, 2, "noted once each");
}
