//! Every door of the command API, with who may not come through it: without a token, in a role that is not allowed, from another tenant.
//! A route that is not listed here fails the test.

use std::collections::BTreeSet;

use axum::{body::Body, http::Request};
use docket_platform::auth::permissions::{Action, allows};
use docket_platform::{
    auth::{Principal, Role},
    ids,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, App, CONSULTATIONS, Member};

/// Who may come in.
#[derive(Clone, Copy)]
enum Open {
    /// Whoever has the address.
    All,
    /// Whoever has a token of a role that may do this.
    To(Action),
}

struct Door {
    method: &'static str,
    path: &'static str,
    open: Open,
    body: &'static str,
}

const fn door(method: &'static str, path: &'static str, open: Open, body: &'static str) -> Door {
    Door { method, path, open, body }
}

const DOORS: &[Door] = &[
    door("post", "/api/v1/auth/register", Open::All, ""),
    door("post", "/api/v1/auth/verify", Open::All, ""),
    door("post", "/api/v1/auth/login", Open::All, ""),
    door("post", "/api/v1/auth/forgot-password", Open::All, ""),
    door("post", "/api/v1/auth/reset-password", Open::All, ""),
    door(
        "post",
        "/api/v1/auth/change-password",
        Open::To(Action::ManageSelf),
        r#"{"current_password":"not the one","new_password":"orbit lantern mustard"}"#,
    ),
    door("post", "/api/v1/auth/refresh", Open::All, r#"{"refresh_token":"none of ours"}"#),
    door(
        "post",
        "/api/v1/auth/switch",
        Open::To(Action::ManageSelf),
        r#"{"organisation_id":"01990000-0000-7000-8000-000000000001"}"#,
    ),
    door("post", "/api/v1/auth/logout", Open::To(Action::ManageSelf), ""),
    door("get", "/api/v1/auth/me", Open::To(Action::ManageSelf), ""),
    door(
        "put",
        "/api/v1/auth/me/notifications",
        Open::To(Action::ManageSelf),
        r#"{"asked":"digest","outcome":"none"}"#,
    ),
    door("get", "/api/v1/notifications/unsubscribe", Open::All, ""),
    door("post", "/api/v1/notifications/unsubscribe", Open::All, ""),
    door("get", "/api/v1/auth/sessions", Open::To(Action::ManageSelf), ""),
    door("delete", "/api/v1/auth/sessions", Open::To(Action::ManageSelf), ""),
    door("delete", "/api/v1/auth/sessions/{id}", Open::To(Action::ManageSelf), ""),
    door("post", "/api/v1/auth/mfa", Open::To(Action::ManageSelf), r#"{"password":"not the one"}"#),
    door("delete", "/api/v1/auth/mfa", Open::To(Action::ManageSelf), r#"{"password":"not the one","code":"123456"}"#),
    door("post", "/api/v1/auth/mfa/confirm", Open::To(Action::ManageSelf), r#"{"code":"123456"}"#),
    door("post", "/api/v1/auth/mfa/recovery-codes", Open::To(Action::ManageSelf), r#"{"code":"123456"}"#),
    door("get", "/api/v1/auth/cache-stats", Open::To(Action::Inspect), ""),
    door("post", "/api/v1/api-keys", Open::To(Action::ManageKeys), r#"{"name":"n","scopes":["consultation:ask"]}"#),
    door("post", "/api/v1/api-keys/{id}/rotate", Open::To(Action::ManageKeys), "{}"),
    door("delete", "/api/v1/api-keys/{id}", Open::To(Action::ManageKeys), ""),
    door("post", "/api/v1/consultations", Open::To(Action::Ask), r#"{"title":"t"}"#),
    door("post", "/api/v1/consultations/{id}/responses", Open::To(Action::Respond), r#"{"decision":"approve"}"#),
    door("post", "/api/v1/consultations/{id}/comments", Open::To(Action::Comment), r#"{"text":"x"}"#),
    door("post", "/api/v1/consultations/{id}/withdrawal", Open::To(Action::Withdraw), "{}"),
    door("post", "/api/v1/consultations/{id}/receipt/revoke", Open::To(Action::Direct), "{}"),
    door("post", "/api/v1/receipts/redeem", Open::To(Action::Redeem), r#"{"receipt":"none of ours"}"#),
    door("post", "/api/v1/consultations/bulk", Open::To(Action::Ask), r#"{"items":[{"title":"t"}]}"#),
    door("post", "/api/v1/consultations/bulk-responses", Open::To(Action::Respond), r#"{"items":[]}"#),
    door("post", "/api/v1/consultations/{id}/claim", Open::To(Action::Respond), ""),
    door("post", "/api/v1/consultations/{id}/release", Open::To(Action::Direct), ""),
    door("post", "/api/v1/consultations/{id}/assignment", Open::To(Action::Direct), r#"{"to":"{user_id}"}"#),
    door("post", "/api/v1/consultations/{id}/delegation", Open::To(Action::Respond), r#"{"to":"{user_id}"}"#),
    door("post", "/api/v1/consultations/{id}/questions", Open::To(Action::Respond), r#"{"text":"x"}"#),
    door(
        "post",
        "/api/v1/consultations/{id}/questions/{question_id}/answer",
        Open::To(Action::Direct),
        r#"{"text":"x"}"#,
    ),
    door(
        "post",
        "/api/v1/invitations",
        Open::To(Action::ManageMembers),
        r#"{"email":"grace@example.org","role":"reviewer"}"#,
    ),
    door("delete", "/api/v1/invitations/{id}", Open::To(Action::ManageMembers), ""),
    door("post", "/api/v1/invitations/accept", Open::To(Action::ManageSelf), r#"{"token":"nonsense"}"#),
    door("patch", "/api/v1/members/{user_id}", Open::To(Action::ManageMembers), r#"{"role":"analyst"}"#),
    door("delete", "/api/v1/members/{user_id}", Open::To(Action::ManageMembers), ""),
    door("post", "/api/v1/groups", Open::To(Action::ManageMembers), r#"{"name":"Night"}"#),
    door("patch", "/api/v1/groups/{id}", Open::To(Action::ManageMembers), r#"{"name":"Day"}"#),
    door("delete", "/api/v1/groups/{id}", Open::To(Action::ManageMembers), ""),
    door("put", "/api/v1/groups/{id}/members/{user_id}", Open::To(Action::ManageMembers), ""),
    door("delete", "/api/v1/groups/{id}/members/{user_id}", Open::To(Action::ManageMembers), ""),
    door(
        "put",
        "/api/v1/organisation/calendar",
        Open::To(Action::ManageMembers),
        r#"{"time_zone":"UTC","week":[["09:00-17:00"],[],[],[],[],[],[]]}"#,
    ),
    door("put", "/api/v1/organisation/reading", Open::To(Action::ManageMembers), r#"{"shown":true}"#),
    // Ended before it is made, so that nothing of one's own bears the name of what is another's.
    door("delete", "/api/v1/templates/{name}", Open::To(Action::ManageMembers), ""),
    door("put", "/api/v1/templates/{name}", Open::To(Action::ManageMembers), r#"{"request":{"title":"{{what}}?"}}"#),
    door(
        "post",
        "/api/v1/webhook-endpoints",
        Open::To(Action::ManageWebhooks),
        r#"{"url":"https://hooks.example.org","event_types":["consultation.*"]}"#,
    ),
    door(
        "put",
        "/api/v1/webhook-endpoints/{id}",
        Open::To(Action::ManageWebhooks),
        r#"{"url":"https://hooks.example.org","event_types":["consultation.*"]}"#,
    ),
    door("post", "/api/v1/webhook-endpoints/{id}/enable", Open::To(Action::ManageWebhooks), ""),
    door("post", "/api/v1/webhook-endpoints/{id}/disable", Open::To(Action::ManageWebhooks), ""),
    door("post", "/api/v1/webhook-endpoints/{id}/test", Open::To(Action::ManageWebhooks), ""),
    door("post", "/api/v1/webhook-endpoints/{id}/rotate-secret", Open::To(Action::ManageWebhooks), "{}"),
    door("post", "/api/v1/webhook-endpoints/{id}/redeliveries", Open::To(Action::ManageWebhooks), r#"{"failed":true}"#),
    door("delete", "/api/v1/webhook-endpoints/{id}", Open::To(Action::ManageWebhooks), ""),
    door("post", "/api/v1/callbacks/rotate-secret", Open::To(Action::ManageWebhooks), "{}"),
    door("post", "/api/v1/callbacks/redeliveries", Open::To(Action::ManageWebhooks), r#"{"failed":true}"#),
    door("put", "/api/v1/organisation/second-factor", Open::To(Action::ManageMembers), r#"{"roles":["admin"]}"#),
    door("post", "/api/v1/entities", Open::To(Action::WriteKnowledge), r#"{"type":"t","name":"n"}"#),
    door("put", "/api/v1/entities/{id}", Open::To(Action::WriteKnowledge), r#"{"type":"t","name":"n"}"#),
    door("post", "/api/v1/entities/{id}/merge", Open::To(Action::WriteKnowledge), r#"{"into":"{user_id}"}"#),
    door("post", "/api/v1/entities/{id}/retract", Open::To(Action::WriteKnowledge), r#"{"reason":"x"}"#),
    door("post", "/api/v1/entities/bulk", Open::To(Action::WriteKnowledge), r#"{"items":[{"type":"t","name":"n"}]}"#),
    door(
        "post",
        "/api/v1/relationships",
        Open::To(Action::WriteKnowledge),
        r#"{"source_external_id":"a","type":"t","target_external_id":"b"}"#,
    ),
    door("put", "/api/v1/relationships/{id}", Open::To(Action::WriteKnowledge), "{}"),
    door("post", "/api/v1/relationships/{id}/retract", Open::To(Action::WriteKnowledge), r#"{"reason":"x"}"#),
    door("post", "/api/v1/relationships/bulk", Open::To(Action::WriteKnowledge), r#"{"items":[]}"#),
    door("post", "/api/v1/articles", Open::To(Action::WriteKnowledge), r#"{"title":"t"}"#),
    door("put", "/api/v1/articles/{id}", Open::To(Action::WriteKnowledge), r#"{"title":"t"}"#),
    door("post", "/api/v1/articles/{id}/retract", Open::To(Action::WriteKnowledge), r#"{"reason":"x"}"#),
    // Before a topic of this name is made.
    door("delete", "/api/v1/topics/{topic}", Open::To(Action::WriteKnowledge), ""),
    door("put", "/api/v1/topics/{topic}", Open::To(Action::WriteKnowledge), r#"{"name":"T"}"#),
    door("put", "/api/v1/user/topics/preferences", Open::To(Action::Engage), r#"{"topics":{}}"#),
    door("put", "/api/v1/user/saved/{article_id}", Open::To(Action::Engage), "{}"),
    door("delete", "/api/v1/user/saved/{article_id}", Open::To(Action::Engage), ""),
    door("post", "/api/v1/engagement", Open::To(Action::Engage), r#"{"items":[]}"#),
    // Last, since it works.
    door("post", "/api/v1/members/leave", Open::To(Action::ManageSelf), ""),
];

/// What another organisation has, by what names it in a path.
struct Theirs {
    consultation: Uuid,
    invitation: Uuid,
    group: Uuid,
    member: Uuid,
    endpoint: Uuid,
    entity: Uuid,
    relationship: Uuid,
    article: Uuid,
}

impl Theirs {
    async fn made(app: &App, by: &Member) -> Self {
        let invite = json!({ "email": "ben@example.org", "role": "analyst" });
        let invitation = app.post(by, "/api/v1/invitations", &invite).await.expect(201).id();
        let group = app.post(by, "/api/v1/groups", &json!({ "name": "Theirs" })).await.expect(201).id();
        let member = format!("/api/v1/groups/{group}/members/{}", by.id);
        app.call(Some(by), "PUT", &member, &Value::Null, &[]).await.expect(200);
        let consultation = app.post(by, CONSULTATIONS, &json!({ "title": "theirs" })).await.expect(201).id();
        let template = format!("/api/v1/templates/{consultation}");
        app.call(Some(by), "PUT", &template, &json!({ "request": { "title": "theirs" } }), &[]).await.expect(200);
        let endpoint = json!({ "url": "https://hooks.example.org", "event_types": ["consultation.*"] });
        let endpoint = app.post(by, "/api/v1/webhook-endpoints", &endpoint).await.expect(201).id();
        let entity = |name: &str| json!({ "type": "thing", "name": name, "external_id": name });
        let entity_a = app.post(by, "/api/v1/entities", &entity("a")).await.expect(201).id();
        app.post(by, "/api/v1/entities", &entity("b")).await.expect(201);
        let related = json!({ "source_external_id": "a", "type": "knows", "target_external_id": "b" });
        let relationship = app.post(by, "/api/v1/relationships", &related).await.expect(201).id();
        let article = app.post(by, "/api/v1/articles", &json!({ "title": "theirs" })).await.expect(201).id();
        let save = format!("/api/v1/user/saved/{article}");
        app.call(Some(by), "PUT", &save, &json!({}), &[]).await.expect(200);
        Self { consultation, invitation, group, member: by.id, endpoint, entity: entity_a, relationship, article }
    }

    fn of(&self, path: &str) -> (Uuid, Uuid) {
        let id = match path.split('/').nth(3) {
            Some("invitations") => self.invitation,
            Some("groups") => self.group,
            Some("webhook-endpoints") => self.endpoint,
            Some("entities") => self.entity,
            Some("relationships") => self.relationship,
            Some("articles" | "user") => self.article,
            _ => self.consultation,
        };
        (id, self.member)
    }
}

impl Door {
    async fn knock(&self, app: &App, by: Option<&Member>, (id, user_id): (Uuid, Uuid)) -> Answer {
        let path = self
            .path
            .replace("{id}", &id.to_string())
            .replace("{name}", &id.to_string())
            .replace("{topic}", &format!("t-{id}"))
            .replace("{article_id}", &id.to_string())
            .replace("{user_id}", &user_id.to_string())
            .replace("{question_id}", &Uuid::nil().to_string());
        let mut request = Request::builder().method(self.method.to_uppercase().as_str()).uri(path);
        request =
            request.header("content-type", "application/json").header("idempotency-key", ids::new_id().to_string());
        if let Some(by) = by {
            request = request.header("authorization", format!("Bearer {}", by.token));
        }
        app.send(request.body(Body::from(self.body.replace("{user_id}", &user_id.to_string()))).unwrap()).await
    }
}

#[test]
fn every_route_is_listed_here() {
    let document = serde_json::to_value(docket_command_api::openapi()).unwrap();
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        described.extend(item.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())));
    }
    let listed: BTreeSet<_> = DOORS.iter().map(|door| (door.method.to_owned(), door.path.to_owned())).collect();
    assert_eq!(listed, described);
}

#[tokio::test]
async fn no_route_lets_in_whom_it_must_not() {
    let app = App::new().await;
    let mut members = Vec::new();
    for role in Role::ALL {
        members.push((role, app.member(role.as_str(), role).await));
    }
    let elsewhere = ids::new_id();
    docket_command_api::setup::create_organisation(&app.store, elsewhere, "Elsewhere").await.unwrap();
    let stranger = app.member_of(elsewhere, "stranger", Role::Admin).await;
    let made = Theirs::made(&app, &stranger).await;
    let before = app.events_of(elsewhere).await;
    for door in DOORS {
        let theirs = made.of(door.path);
        let place = format!("{} {}", door.method, door.path);
        if matches!(door.open, Open::All) {
            let answer = door.knock(&app, None, theirs).await;
            assert_ne!(answer.body["code"], "unauthorized", "{place}");
            continue;
        }
        let answer = door.knock(&app, None, theirs).await.problem(401, "unauthorized");
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{place}");
        for (role, member) in &members {
            let allowed = match door.open {
                Open::To(action) => allows(&Principal::member(Uuid::nil(), Uuid::nil(), *role), action),
                Open::All => true,
            };
            let foreign = door.knock(&app, Some(member), theirs).await;
            assert_eq!(foreign.body["code"] == "forbidden", !allowed, "{place} as {role}: {}", foreign.body);
            let makes = door.method == "put" && (door.path.ends_with("{name}") || door.path.ends_with("{topic}"));
            if allowed && door.path.contains('{') && !makes {
                // Another's and nobody's are one and the same.
                let nobodys =
                    door.knock(&app, Some(member), (ids::new_id(), ids::new_id())).await.problem(404, "not_found");
                let bodies: [Value; 2] = [foreign.anonymous().1, nobodys.anonymous().1];
                assert_eq!(bodies[0], bodies[1], "{place} as {role}");
            }
        }
    }
    assert_eq!(app.events_of(made.entity).await, ["entity_added"]);
    assert_eq!(app.events_of(made.relationship).await, ["relationship_added"]);
    assert_eq!(app.events_of(made.article).await, ["article_published"]);
    assert_eq!(app.events_of(made.consultation).await, ["requested"], "and nothing happened behind any of them");
    assert_eq!(app.events_of(elsewhere).await, before);
}
