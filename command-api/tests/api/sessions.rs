//! Sessions: from the login to their end, in every process.

use axum::{Router, body::Body, http::Request};
use docket_platform::{auth::Role, ids};
use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, App, Member, request, send, until};

const AUTH: &str = "/api/v1/auth";

pub struct Login {
    pub access: Member,
    pub refresh: String,
    pub session: Uuid,
}

impl Login {
    pub fn of(answer: &Answer) -> Self {
        let text = |name: &str| answer.body[name].as_str().unwrap().to_owned();
        let id = answer.body["user"]["id"].as_str().unwrap().parse().unwrap();
        let access = Member { id, token: text("access_token") };
        Self { access, refresh: text("refresh_token"), session: text("session_id").parse().unwrap() }
    }
}

async fn post(router: &Router, by: Option<&Member>, path: &str, body: Value) -> Answer {
    send(router, request(by, &format!("{AUTH}/{path}"), body.to_string().into(), &[])).await
}

async fn call(router: &Router, by: &Member, method: &str, path: &str) -> Answer {
    let request = Request::builder().method(method).uri(format!("{AUTH}/{path}"));
    send(router, request.header("authorization", format!("Bearer {}", by.token)).body(Body::empty()).unwrap()).await
}

async fn log_in_from(app: &App, name: &str, agent: &str) -> Login {
    let body = json!({"email": format!("{name}@example.org"), "password": format!("{name}'s password")});
    let request = request(None, &format!("{AUTH}/login"), body.to_string().into(), &[("user-agent", agent)]);
    Login::of(&app.send(request).await.expect(200))
}

async fn log_in(app: &App, name: &str) -> Login {
    log_in_from(app, name, "test").await
}

async fn refresh(router: &Router, token: &str) -> Answer {
    post(router, None, "refresh", json!({"refresh_token": token})).await
}

/// The one event that says why the session is over.
async fn ends(app: &App, session: Uuid) -> Vec<String> {
    sqlx::query_scalar(
        "select data::json->>'reason' from write.journal
         where stream_id = $1 and event_type = 'docket.identity.session_revoked.v1'",
    )
    .bind(session)
    .fetch_all(&app.owner)
    .await
    .unwrap()
}

/// Waits until this access token is good for nothing there.
async fn is_shut_out(router: &Router, by: &Member) {
    until("the token to be refused", || async {
        let answer = call(router, by, "GET", "me").await;
        answer.status == 401 && answer.body["code"] == "token_revoked"
    })
    .await;
}

#[tokio::test]
async fn a_refresh_token_is_good_for_the_next_two_tokens_once() {
    let app = App::new().await;
    app.member("ada", Role::Requester).await;
    let first = log_in(&app, "ada").await;
    let second = Login::of(&refresh(&app.router, &first.refresh).await.expect(200));
    assert_eq!(first.session, second.session);
    assert_ne!(first.refresh, second.refresh);
    call(&app.router, &second.access, "GET", "me").await.expect(200);
    let third = Login::of(&refresh(&app.router, &second.refresh).await.expect(200));
    assert_eq!(ends(&app, first.session).await, Vec::<String>::new());

    // An old one: whoever has it may have stolen it, so nobody goes on.
    refresh(&app.router, &first.refresh).await.problem(401, "invalid_refresh_token");
    refresh(&app.router, &third.refresh).await.problem(401, "invalid_refresh_token");
    assert_eq!(ends(&app, first.session).await, ["refresh_token_reused"]);
    for strange in ["", "docket_refresh_x", &third.refresh[1..], &format!("{}{}", third.refresh, third.refresh)] {
        refresh(&app.router, strange).await.problem(401, "invalid_refresh_token");
    }
}

#[tokio::test]
async fn of_fifty_racers_on_one_refresh_token_at_most_one_wins() {
    let app = App::new().await;
    let replica = app.replica().await;
    app.member("ada", Role::Requester).await;
    let login = log_in(&app, "ada").await;
    let racers = (0..50).map(|n| {
        let router = if n % 2 == 0 { &app.router } else { &replica.router };
        refresh(router, &login.refresh)
    });
    let answers = join_all(racers).await;
    let won = answers.iter().filter(|answer| answer.status == 200).count();
    assert!(won <= 1, "{won}");
    assert!(answers.iter().all(|answer| [200, 401].contains(&answer.status.as_u16())));
    assert_eq!(ends(&app, login.session).await, ["refresh_token_reused"], "noted once");
}

#[tokio::test]
async fn a_refresh_token_stands_nowhere_in_clear_and_ends_with_its_session() {
    let app = App::new().await;
    app.member("ada", Role::Requester).await;
    let login = log_in(&app, "ada").await;
    let rows: Vec<String> = sqlx::query_scalar("select t::text from auth.refresh_token t union all select s::text from auth.session s union all select j::text from write.journal j")
        .fetch_all(&app.owner)
        .await
        .unwrap();
    assert!(rows.iter().all(|row| !row.contains(&login.refresh)));
    // The session's own time, not the token's.
    sqlx::query("delete from auth.session where id = $1").bind(login.session).execute(&app.owner).await.unwrap();
    refresh(&app.router, &login.refresh).await.problem(401, "invalid_refresh_token");
}

#[tokio::test]
async fn a_session_ends_at_its_time_however_often_it_was_renewed() {
    let config =
        docket_command_api::Config { session_lifetime: std::time::Duration::from_secs(1), ..Default::default() };
    let app = App::with(config).await;
    app.member("ada", Role::Requester).await;
    let login = log_in(&app, "ada").await;
    let end = app.in_millis(1_100).await;
    let mut token = login.refresh;
    let renewed = refresh(&app.router, &token).await;
    if renewed.status == 200 {
        token = Login::of(&renewed).refresh;
    }
    app.reach(end).await;
    refresh(&app.router, &token).await.problem(401, "invalid_refresh_token");
}

#[tokio::test]
async fn logging_out_ends_the_session_in_every_process() {
    let app = App::new().await;
    let (one, two) = (app.replica().await, app.replica().await);
    app.member("ada", Role::Requester).await;
    let (gone, stays) = (log_in(&app, "ada").await, log_in(&app, "ada").await);
    for replica in [&one, &two] {
        call(&replica.router, &gone.access, "GET", "me").await.expect(200);
    }
    post(&one.router, Some(&gone.access), "logout", json!({})).await.expect(200);
    for replica in [&one, &two] {
        is_shut_out(&replica.router, &gone.access).await;
        call(&replica.router, &stays.access, "GET", "me").await.expect(200);
    }
    refresh(&two.router, &gone.refresh).await.problem(401, "invalid_refresh_token");
    refresh(&two.router, &stays.refresh).await.expect(200);
    assert_eq!(ends(&app, gone.session).await, ["logged_out"]);
}

#[tokio::test]
async fn sessions_are_listed_and_ended_by_their_owner_alone() {
    let app = App::new().await;
    let replica = app.replica().await;
    app.member("ada", Role::Requester).await;
    app.member("eve", Role::Admin).await;
    let (here, there) = (log_in_from(&app, "ada", "here/1").await, log_in_from(&app, "ada", "there/2").await);
    let eve = log_in(&app, "eve").await;
    let listed = call(&app.router, &here.access, "GET", "sessions").await.expect(200);
    let sessions = listed.body["sessions"].as_array().unwrap();
    let shown: Vec<_> = sessions.iter().map(|session| (&session["agent"], &session["current"])).collect();
    assert_eq!(shown.len(), 2);
    assert!(shown.contains(&(&json!("here/1"), &json!(true))) && shown.contains(&(&json!("there/2"), &json!(false))));

    let foreign = call(&app.router, &eve.access, "DELETE", &format!("sessions/{}", there.session)).await;
    let nobodys = call(&app.router, &eve.access, "DELETE", &format!("sessions/{}", ids::new_id())).await;
    assert_eq!(foreign.problem(404, "not_found").anonymous(), nobodys.problem(404, "not_found").anonymous());
    call(&replica.router, &there.access, "GET", "me").await.expect(200);

    call(&app.router, &here.access, "DELETE", &format!("sessions/{}", there.session)).await.expect(200);
    is_shut_out(&replica.router, &there.access).await;
    assert_eq!(ends(&app, there.session).await, ["revoked"]);
    let left = call(&app.router, &here.access, "GET", "sessions").await.expect(200);
    assert_eq!(left.body["sessions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn all_others_end_at_once_and_the_one_that_asked_goes_on() {
    let app = App::new().await;
    let replica = app.replica().await;
    app.member("ada", Role::Requester).await;
    let (kept, other) = (log_in(&app, "ada").await, log_in(&app, "ada").await);
    call(&app.router, &kept.access, "DELETE", "sessions").await.expect(200);
    is_shut_out(&replica.router, &other.access).await;
    refresh(&app.router, &other.refresh).await.problem(401, "invalid_refresh_token");
    call(&replica.router, &kept.access, "GET", "me").await.expect(200);
    let kept = Login::of(&refresh(&app.router, &kept.refresh).await.expect(200));
    call(&replica.router, &kept.access, "GET", "me").await.expect(200);
    let later = log_in(&app, "ada").await;
    call(&replica.router, &later.access, "GET", "me").await.expect(200);
    refresh(&app.router, &later.refresh).await.expect(200);
}

#[tokio::test]
async fn a_new_password_ends_every_other_session() {
    let app = App::new().await;
    let replica = app.replica().await;
    app.member("ada", Role::Requester).await;
    let (kept, other) = (log_in(&app, "ada").await, log_in(&app, "ada").await);
    let change = json!({"current_password": "ada's password", "new_password": "lantern mustard orbit"});
    post(&app.router, Some(&kept.access), "change-password", change).await.expect(200);
    is_shut_out(&replica.router, &other.access).await;
    refresh(&app.router, &other.refresh).await.problem(401, "invalid_refresh_token");
    call(&replica.router, &kept.access, "GET", "me").await.expect(200);
    refresh(&app.router, &kept.refresh).await.expect(200);
}

#[tokio::test]
async fn somebody_who_belongs_to_several_organisations_switches() {
    let app = App::new().await;
    let ada = app.member("ada", Role::Requester).await;
    let elsewhere = ids::new_id();
    docket_command_api::setup::create_organisation(&app.store, elsewhere, "Elsewhere").await.unwrap();
    let login = log_in(&app, "ada").await;
    let switch = |to: Uuid| post(&app.router, Some(&login.access), "switch", json!({"organisation_id": to}));
    let foreign = switch(elsewhere).await.problem(403, "no_organisation");
    let nobodys = switch(ids::new_id()).await.problem(403, "no_organisation");
    assert_eq!(foreign.anonymous(), nobodys.anonymous());

    app.join(elsewhere, ada.id, Role::Admin).await;
    let switched = switch(elsewhere).await.expect(200);
    assert_eq!((&switched.body["organisation"]["id"], &switched.body["role"]), (&json!(elsewhere), &json!("admin")));
    let there = Login::of(&switched);
    let me = call(&app.router, &there.access, "GET", "me").await.expect(200);
    assert_eq!((&me.body["organisation_id"], &me.body["session_id"]), (&json!(elsewhere), &json!(there.session)));
    let known: Vec<_> = me.body["organisations"].as_array().unwrap().iter().map(|one| &one["role"]).collect();
    assert_eq!(known, [&json!("admin"), &json!("requester")]);
    // The first one goes on, and the next login is where one was last.
    call(&app.router, &login.access, "GET", "me").await.expect(200);
    assert_eq!(
        call(&app.router, &log_in(&app, "ada").await.access, "GET", "me").await.body["organisation_id"],
        json!(elsewhere)
    );
}

#[tokio::test]
async fn a_login_from_somewhere_new_is_told_apart() {
    let app = App::new().await;
    app.member("ada", Role::Requester).await;
    let mut told = Vec::new();
    for agent in ["a", "a", "b", "a", "b"] {
        let session = log_in_from(&app, "ada", agent).await.session;
        let new: bool =
            sqlx::query_scalar("select (data::json->>'new_place')::bool from write.journal where stream_id = $1")
                .bind(session)
                .fetch_one(&app.owner)
                .await
                .unwrap();
        told.push(new);
    }
    assert_eq!(told, [false, false, true, false, false], "the first login of all is no news");
}
