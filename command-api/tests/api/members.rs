//! An organisation's members, invitations and groups over HTTP, and rights that end in every replica.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::Router;
use docket_command_api::{Config, State};
use docket_domain::identity::Organisation;
use docket_events::{Category, StreamId, identity};
use docket_log::revocations;
use docket_platform::{
    auth::{Access, Authenticator, Principal, Role, STALE_AFTER, ensure_key},
    clock, ids,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{Answer, App, Member, hardened, path, request, send, until};

const INVITATIONS: &str = "/api/v1/invitations";
const GROUPS: &str = "/api/v1/groups";

fn member_path(id: Uuid) -> String {
    format!("/api/v1/members/{id}")
}

async fn delete(app: &App, by: &Member, path: &str) -> Answer {
    app.call(Some(by), "DELETE", path, &Value::Null, &[]).await
}

async fn put(app: &App, by: &Member, path: &str, body: &Value) -> Answer {
    app.call(Some(by), "PUT", path, body, &[]).await
}

async fn patch(app: &App, by: &Member, path: &str, body: &Value) -> Answer {
    app.call(Some(by), "PATCH", path, body, &[]).await
}

async fn leave(app: &App, by: &Member) -> Answer {
    app.call(Some(by), "POST", "/api/v1/members/leave", &Value::Null, &[]).await
}

#[tokio::test]
async fn an_invitation_is_answered_once_for_one_key_and_can_be_taken_back() {
    let app = App::new().await;
    let admin = app.member("root", Role::Admin).await;
    let body = json!({ "email": " Grace@example.org ", "role": "reviewer" });
    let key = [("idempotency-key", "invite-grace")];
    let first = app.post_with(&admin, INVITATIONS, &body, &key).await.expect(201);
    assert_eq!((&first.body["email"], &first.body["role"]), (&json!("Grace@example.org"), &json!("reviewer")));
    assert!(first.body["expires_at"].is_string() && !first.header("docket-position").is_empty());
    let version = first.header("etag").to_owned();
    let again = app.post_with(&admin, INVITATIONS, &body, &key).await.expect(201);
    assert_eq!((&again.body, again.header("etag")), (&first.body, version.as_str()));
    let other = json!({ "email": "ben@example.org", "role": "reviewer" });
    app.post_with(&admin, INVITATIONS, &other, &key).await.problem(422, "idempotency_key_reused");
    app.post_with(&admin, INVITATIONS, &other, &[("if-match", "\"1\"")]).await.problem(412, "version_mismatch");
    app.post_with(&admin, INVITATIONS, &other, &[("if-match", &version)]).await.expect(201);
    for (body, field) in [
        (json!({ "email": "nobody", "role": "reviewer" }), "email"),
        (json!({ "email": "a\u{200b}@example.org", "role": "reviewer" }), "email"),
        (json!({ "email": "ben@example.org", "role": "owner" }), "role"),
    ] {
        let refused = app.post(&admin, INVITATIONS, &body).await.problem(422, "validation_failed");
        assert_eq!(refused.body["errors"][0]["field"], field);
    }
    let place = format!("{INVITATIONS}/{}", first.id());
    let left = delete(&app, &admin, &place).await.expect(200).body;
    assert_eq!((&left["id"], &left["invitation_count"]), (&json!(app.organisation), &json!(1)));
    delete(&app, &admin, &place).await.problem(404, "not_found");
    assert_eq!(
        app.number("select count(*) from write.journal where data like '%race@%' or meta like '%race@%'").await,
        0
    );
}

#[tokio::test]
async fn the_last_administrator_stays_one() {
    let app = App::new().await;
    let admin = app.member("root", Role::Admin).await;
    let other = app.member("ada", Role::Reviewer).await;
    let me = member_path(admin.id);
    let attempts = async || {
        patch(&app, &admin, &me, &json!({ "role": "reviewer" })).await.problem(409, "last_admin");
        delete(&app, &admin, &me).await.problem(409, "last_admin");
        leave(&app, &admin).await.problem(409, "last_admin");
    };
    attempts().await;
    assert_eq!(leave(&app, &other).await.expect(200).body["member_count"], 1);
    leave(&app, &other).await.problem(404, "not_found");
    attempts().await;
    let second = app.member("second", Role::Admin).await;
    assert_eq!(leave(&app, &admin).await.expect(200).body["member_count"], 1);
    delete(&app, &second, &member_path(second.id)).await.problem(409, "last_admin");
    // Two who go at once: one of them stays.
    let third = app.member("third", Role::Admin).await;
    let (one, two) = tokio::join!(leave(&app, &second), leave(&app, &third));
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
}

#[tokio::test]
async fn a_member_gets_another_role_and_goes() {
    let app = App::new().await;
    let admin = app.member("root", Role::Admin).await;
    let ada = app.member("ada", Role::Requester).await;
    let place = member_path(ada.id);
    let changed = patch(&app, &admin, &place, &json!({ "role": "reviewer" })).await.expect(200);
    assert_eq!(changed.body, json!({ "user_id": ada.id, "role": "reviewer", "groups": [] }));
    let same = patch(&app, &admin, &place, &json!({ "role": "reviewer" })).await.expect(200);
    assert_eq!(same.header("etag"), changed.header("etag"), "nothing changed");
    patch(&app, &admin, &place, &json!({ "role": "king" })).await.problem(422, "validation_failed");
    let gone = delete(&app, &admin, &place).await.expect(200).body;
    assert_eq!((&gone["name"], &gone["member_count"]), (&json!("Test"), &json!(1)));
    delete(&app, &admin, &place).await.problem(404, "not_found");
    patch(&app, &admin, &place, &json!({ "role": "analyst" })).await.problem(404, "not_found");
    let end = ["member_added", "role_changed", "member_removed"];
    let events = app.events_of(app.organisation).await;
    assert_eq!(events[events.len() - 3..], end);
    let by = format!(
        "select count(*) from write.journal where event_type like '%member_removed%' and meta like '%{}%'",
        admin.id
    );
    assert_eq!(app.number(&by).await, 1, "who did it stands with it");
}

#[tokio::test]
async fn groups_have_names_of_their_own_and_members() {
    let app = App::new().await;
    let admin = app.member("root", Role::Admin).await;
    let ada = app.member("ada", Role::Reviewer).await;
    let key = [("idempotency-key", "night")];
    let night = app.post_with(&admin, GROUPS, &json!({ "name": " Night " }), &key).await.expect(201);
    assert_eq!(night.body, json!({ "id": night.id(), "name": "Night", "members": [] }));
    let place = format!("{GROUPS}/{}", night.id());
    app.post(&admin, GROUPS, &json!({ "name": "Night" })).await.problem(409, "name_taken");
    for hidden in ["Ni\u{202e}ght", "Ni\u{200b}ght", "\u{2067}Night", ""] {
        let body = json!({ "name": hidden });
        for answer in [app.post(&admin, GROUPS, &body).await, patch(&app, &admin, &place, &body).await] {
            let answer = answer.problem(422, "validation_failed");
            assert_eq!(answer.body["errors"][0]["field"], "name", "{hidden:?}");
        }
    }
    assert_eq!(patch(&app, &admin, &place, &json!({ "name": "Late" })).await.expect(200).body["name"], "Late");
    let again = app.post_with(&admin, GROUPS, &json!({ "name": " Night " }), &key).await.expect(201);
    assert_eq!(again.body, night.body, "the first answer");

    let seat = format!("{place}/members/{}", ada.id);
    let with = put(&app, &admin, &seat, &Value::Null).await.expect(200);
    assert_eq!(with.body["members"], json!([ada.id]));
    assert_eq!(put(&app, &admin, &seat, &Value::Null).await.expect(200).body, with.body);
    put(&app, &admin, &format!("{place}/members/{}", ids::new_id()), &Value::Null).await.problem(404, "not_found");
    assert_eq!(delete(&app, &admin, &seat).await.expect(200).body["members"], json!([]));
    delete(&app, &admin, &seat).await.problem(404, "not_found");
    put(&app, &admin, &seat, &Value::Null).await.expect(200);
    let member = patch(&app, &admin, &member_path(ada.id), &json!({ "role": "analyst" })).await.expect(200);
    assert_eq!(member.body["groups"], json!([night.id()]));
    assert_eq!(delete(&app, &admin, &place).await.expect(200).body["group_count"], 0);
    delete(&app, &admin, &place).await.problem(404, "not_found");
    let malformed = delete(&app, &admin, &format!("{GROUPS}/night")).await;
    assert_eq!(malformed.problem(400, "invalid_path").body["errors"][0]["field"], "id");
}

#[tokio::test]
async fn a_second_factor_is_demanded_of_roles_or_of_nobody() {
    let app = App::new().await;
    let admin = app.member("root", Role::Admin).await;
    let place = "/api/v1/organisation/second-factor";
    let demanded = put(&app, &admin, place, &json!({ "roles": ["reviewer", "admin", "admin"] })).await.expect(200);
    assert_eq!(demanded.body["second_factor"], json!(["admin", "reviewer"]));
    assert_eq!(put(&app, &admin, place, &json!({ "roles": [] })).await.expect(200).body["second_factor"], json!([]));
    put(&app, &admin, place, &json!({ "roles": ["owner"] })).await.problem(422, "validation_failed");
    put(&app, &admin, place, &json!({})).await.problem(422, "validation_failed");
}

/// A process on the database, which follows what is taken away.
struct Replica {
    router: Router,
    authenticator: Arc<Authenticator>,
}

impl Replica {
    fn start(app: &App, stop: &CancellationToken) -> Self {
        let store = app.other_store();
        let authenticator = Arc::new(Authenticator::from_pool(store.pool().clone()));
        let pool = store.pool().clone();
        let (known, stop) = (authenticator.revocations().clone(), stop.clone());
        tokio::spawn(async move { revocations::follow(pool, &known, stop).await });
        Self { router: hardened(State::new(store, authenticator.clone(), Config::default())), authenticator }
    }

    async fn login(&self, name: &str) -> Member {
        let body = json!({ "email": format!("{name}@example.org"), "password": format!("{name}'s password") });
        let answer = send(&self.router, request(None, "/api/v1/auth/login", body.to_string().into(), &[])).await;
        let answer = answer.expect(200);
        let id = answer.body["user"]["id"].as_str().unwrap().parse().unwrap();
        Member { id, token: answer.body["access_token"].as_str().unwrap().to_owned() }
    }

    /// What the token is good for: 404 where it is, for there is no such consultation.
    async fn knock(&self, by: &Member) -> Answer {
        let place = path(ids::new_id(), "comments");
        send(&self.router, request(Some(by), &place, br#"{"text":"x"}"#.to_vec(), &[])).await
    }

    /// Waits until the token is refused, and says when a request began that it was still good for.
    async fn refuses(&self, by: &Member) -> Option<Instant> {
        let mut last_good = None;
        let refused = async {
            loop {
                let began = Instant::now();
                let answer = self.knock(by).await;
                match answer.status.as_u16() {
                    401 => return answer.problem(401, "token_revoked"),
                    404 => last_good = Some(began),
                    status => assert_eq!(status, 503, "{}", answer.body),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(30), refused).await.is_ok(), "the token is still good");
        last_good
    }
}

#[tokio::test]
async fn what_is_taken_away_ends_in_every_replica_within_five_seconds() {
    let app = App::new().await;
    for (name, role) in [("root", Role::Admin), ("ada", Role::Reviewer), ("ben", Role::Reviewer), ("cy", Role::Analyst)]
    {
        app.member(name, role).await;
    }
    ensure_key(app.store.pool()).await.unwrap();
    let stop = CancellationToken::new();
    let replicas = [Replica::start(&app, &stop), Replica::start(&app, &stop)];
    for replica in &replicas {
        until("the replica knows", || async { !replica.authenticator.revocations().is_stale() }).await;
    }
    let [root, ada, ben, cy] = ["root", "ada", "ben", "cy"].map(|name| replicas[0].login(name));
    let (root, ada, ben, cy) = (root.await, ada.await, ben.await, cy.await);
    for replica in &replicas {
        for member in [&ada, &ben, &cy] {
            replica.knock(member).await.problem(404, "not_found");
        }
    }
    let taken = Instant::now();
    let calls = [
        ("DELETE", member_path(ada.id), Value::Null, &root),
        ("PATCH", member_path(ben.id), json!({ "role": "analyst" }), &root),
        ("POST", "/api/v1/members/leave".to_owned(), Value::Null, &cy),
    ];
    for (method, place, body, by) in calls {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into() };
        let mut call = request(Some(by), &place, bytes, &[]);
        *call.method_mut() = method.parse().unwrap();
        send(&replicas[0].router, call).await.expect(200);
    }
    for replica in &replicas {
        for member in [&ada, &ben, &cy] {
            // Whoever does not hear of it in time lets nobody in at all.
            let last_good = replica.refuses(member).await;
            let late = last_good.map(|at| at.saturating_duration_since(taken));
            assert!(late.is_none_or(|late| late < STALE_AFTER + Duration::from_secs(1)), "{late:?}");
        }
        replica.knock(&root).await.problem(404, "not_found");
    }
    // A token that stands on the new role is good.
    let stream = StreamId::new(Category::Identity, app.organisation);
    let organisation = app.store.load::<Organisation>(stream, None).await.unwrap().0.state;
    let access = Access {
        member_since: Some(organisation.members[&ben.id].since),
        ..Access::of(Principal::member(ben.id, app.organisation, Role::Analyst))
    };
    for replica in &replicas {
        let (token, _) =
            replica.authenticator.issue(access.clone(), clock::now(), Duration::from_secs(60)).await.unwrap();
        replica.knock(&Member { id: ben.id, token }).await.problem(404, "not_found");
    }
    stop.cancel();
}

#[tokio::test]
async fn where_somebody_may_belong_is_noted_before_they_do() {
    let app = App::new().await;
    app.refuse("insert", "write.journal", "new.event_type like '%member_added%'").await;
    let add = || {
        let role = identity::Role::Analyst;
        docket_command_api::setup::create_user(&app.store, "ada@example.org", "Ada", role, "ada's password".into())
    };
    assert!(add().await.is_err());
    assert_eq!(app.number("select count(*) from auth.membership").await, 1);
    app.let_again("write.journal").await;
    add().await.unwrap();
    assert_eq!(app.number("select count(*) from auth.membership").await, 1);
}

#[test]
fn the_description_names_the_routes_of_organisations_and_their_problems() {
    let document = serde_json::to_value(docket_command_api::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let ours = ["/api/v1/invitations", "/api/v1/members", "/api/v1/groups", "/api/v1/organisation"];
    let mut found = 0;
    for (path, item) in paths.iter().filter(|(path, _)| ours.iter().any(|our| path.starts_with(our))) {
        for (method, operation) in item.as_object().unwrap() {
            found += 1;
            let responses = operation["responses"].as_object().unwrap();
            let body: &[&str] = if operation["requestBody"].is_null() { &[] } else { &["413", "415"] };
            let more: &[&str] = if path.ends_with("/accept") { &[] } else { &["404", "409", "412"] };
            for status in ["400", "401", "403", "422", "503"].iter().chain(body).chain(more) {
                assert!(responses.contains_key(*status), "{method} {path} {status}");
            }
        }
    }
    assert_eq!(found, 14);
    for (path, statuses) in [
        ("register", &["201", "202", "400", "403", "409", "413", "415", "422", "503"][..]),
        ("verify", &["200", "400", "413", "415", "422", "503"][..]),
    ] {
        let responses = &paths[&format!("/api/v1/auth/{path}")]["post"]["responses"];
        for status in statuses {
            assert!(responses[*status].is_object(), "{path} {status}");
        }
    }
}
