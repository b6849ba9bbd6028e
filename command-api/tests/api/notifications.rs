//! How somebody is told by mail: what they set, and the link that ends it.

use std::time::Duration;

use axum::{body::Body, http::Request};
use docket_platform::{
    auth::{
        Role,
        mailed::{self, Unsubscribed},
    },
    db::{self, DbRole},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, App, Member};

const PREFERENCES: &str = "/api/v1/auth/me/notifications";

async fn set(app: &App, by: &Member, wanted: &Value) -> Answer {
    app.call(Some(by), "PUT", PREFERENCES, wanted, &[]).await
}

async fn shown(app: &App, by: &Member) -> Value {
    app.call(Some(by), "GET", "/api/v1/auth/me", &Value::Null, &[]).await.expect(200).body["notifications"].clone()
}

/// How often it was set.
async fn count(app: &App) -> i64 {
    app.number("select count(*) from write.journal where event_type like '%notification_preferences_set%'").await
}

/// What a mail would bear.
async fn link(app: &App, which: Unsubscribed, user: Uuid) -> SecretString {
    let pool = app.database.pool(DbRole::Projector, 1, Duration::from_secs(5));
    let mut door = db::door(&pool).await.unwrap();
    let token = mailed::issue_unsubscribe(&mut door, which, user).await.unwrap();
    door.commit().await.unwrap();
    token
}

/// Status, media type, and the text.
async fn follow(app: &App, method: &str, token: &str, form: &str, accept: &str) -> (u16, String, String) {
    let request = Request::builder()
        .method(method)
        .uri(format!("/api/v1/notifications/unsubscribe?token={token}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("accept", accept)
        .body(Body::from(form.to_owned()))
        .unwrap();
    let response = tower::ServiceExt::oneshot(app.router.clone(), request).await.unwrap();
    let status = response.status().as_u16();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    let bytes = axum::body::to_bytes(response.into_body(), 100_000).await.unwrap();
    (status, kind, String::from_utf8(bytes.to_vec()).unwrap())
}

const FORM: &str = "List-Unsubscribe=One-Click";

#[tokio::test]
async fn somebody_says_how_to_be_told_and_sees_it() {
    let app = App::new().await;
    let ada = app.member("ada", Role::Reviewer).await;
    let default =
        json!({ "asked": "at_once", "outcome": "at_once", "time_zone": "UTC", "digest_hour": 8, "quiet_hours": null });
    assert_eq!(shown(&app, &ada).await, default);
    let wanted = json!({
        "asked": "digest", "outcome": "none", "time_zone": "Europe/Berlin", "digest_hour": 7,
        "quiet_hours": { "from": "22:00", "to": "06:30" },
    });
    for _ in 0..2 {
        assert_eq!(set(&app, &ada, &wanted).await.expect(200).body, wanted);
    }
    assert_eq!((shown(&app, &ada).await, count(&app).await), (wanted, 1), "again it changes nothing");
    // What is left out is not what it was.
    set(&app, &ada, &json!({ "asked": "digest", "outcome": "none" })).await.expect(200);
    let bare =
        json!({ "asked": "digest", "outcome": "none", "time_zone": "UTC", "digest_hour": 8, "quiet_hours": null });
    assert_eq!(shown(&app, &ada).await, bare);
}

#[tokio::test]
async fn what_does_not_do_is_named_and_changes_nothing() {
    let app = App::new().await;
    let ada = app.member("ada", Role::Reviewer).await;
    let with = |field: &str, value: Value| {
        let mut wanted = json!({ "asked": "at_once", "outcome": "digest" });
        wanted[field] = value;
        wanted
    };
    let quiet = |from: &str, to: &str| with("quiet_hours", json!({ "from": from, "to": to }));
    for (wanted, field) in [
        (with("time_zone", json!("Mars/Olympus")), "time_zone"),
        (with("digest_hour", json!(24)), "digest_hour"),
        (quiet("25:00", "07:00"), "quiet_hours.from"),
        (quiet("22:00", "7"), "quiet_hours.to"),
        (quiet("22:00", "22:00"), "quiet_hours"),
        (quiet("00:00", "24:00"), "quiet_hours"),
        (with("asked", json!("sometimes")), "asked"),
    ] {
        let answer = set(&app, &ada, &wanted).await.problem(422, "validation_failed");
        assert_eq!(answer.body["errors"][0]["field"], field, "{wanted}");
    }
    assert_eq!(count(&app).await, 0);
}

#[tokio::test]
async fn one_click_ends_mails_of_its_kind_as_often_as_it_comes_and_looking_ends_none() {
    let app = App::new().await;
    let ada = app.member("ada", Role::Reviewer).await;
    let token = link(&app, Unsubscribed::Asked, ada.id).await;
    let token = token.expose_secret();
    let (status, kind, page) = follow(&app, "GET", token, "", "text/html").await;
    assert_eq!((status, kind.as_str()), (200, "text/html; charset=utf-8"));
    assert!(page.contains("<form method=\"post\">") && page.contains("wanted of you"), "{page}");
    assert!(!page.contains("<script") && !page.contains("ada"), "{page}");
    let (status, _, said) = follow(&app, "POST", token, "x=1", "*/*").await;
    assert!(status == 400 && said.contains("invalid_form"), "{said}");
    assert_eq!(count(&app).await, 0, "neither looks nor other forms say anything");

    for _ in 0..2 {
        let (status, _, said) = follow(&app, "POST", token, FORM, "*/*").await;
        assert!(status == 200 && said.contains("no more mails"), "{said}");
    }
    assert_eq!(count(&app).await, 1);
    let now = shown(&app, &ada).await;
    assert_eq!((&now["asked"], &now["outcome"]), (&json!("none"), &json!("at_once")));

    let both = link(&app, Unsubscribed::Both, ada.id).await;
    assert_eq!(follow(&app, "POST", both.expose_secret(), FORM, "*/*").await.0, 200);
    assert_eq!(shown(&app, &ada).await["outcome"], "none");
    let kept = app.number(&format!("select count(*) from write.journal where data like '%{token}%'")).await;
    assert_eq!(kept, 0, "the token is on no log");
}

#[tokio::test]
async fn a_link_that_is_cut_expired_or_of_another_kind_ends_nothing() {
    let app = App::new().await;
    let ada = app.member("ada", Role::Reviewer).await;
    let reset = app.mailed(mailed::Purpose::ResetPassword, ada.id).await;
    let old = link(&app, Unsubscribed::Outcome, ada.id).await;
    let mut soon = db::door(&app.owner).await.unwrap();
    assert!(mailed::unsubscriber(&mut soon, &old).await.unwrap().is_some());
    drop(soon);
    let months =
        "update auth.mailed_token set expires_at = expires_at - interval '179 days' where purpose like 'unsub%'";
    app.sql(months).await;
    assert_eq!(follow(&app, "GET", old.expose_secret(), "", "*/*").await.0, 200, "half a year it is good");
    app.sql("update auth.mailed_token set expires_at = now() - interval '1 second' where purpose like 'unsub%'").await;
    for token in [old.expose_secret(), reset.expose_secret(), "", "nonsense"] {
        let (status, kind, said) = follow(&app, "POST", token, FORM, "*/*").await;
        assert_eq!((status, kind.as_str()), (400, "application/problem+json"), "{said}");
        assert!(said.contains("invalid_token"), "{said}");
        let (status, kind, _) = follow(&app, "GET", token, "", "text/html,*/*").await;
        assert!(status == 400 && kind.starts_with("text/html"), "a person reads a page");
    }
    assert_eq!(follow(&app, "POST", old.expose_secret(), FORM, "*/*").await.0, 400);
    assert_eq!(count(&app).await, 0);
}
