//! Receipts: told with an outcome, redeemed once, and refused with a code of their own otherwise.

use docket_platform::{
    auth::{ReceiptKeys, Role, Scope, load_receipt_keys, new_receipt_key},
    ids,
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, App, CONSULTATIONS, Member, path};

const REDEEM: &str = "/api/v1/receipts/redeem";

struct Story {
    app: App,
    ada: Member,
    grace: Member,
}

impl Story {
    async fn new() -> Self {
        let app = App::new().await;
        let ada = app.member("ada", Role::Requester).await;
        let grace = app.member("grace", Role::Reviewer).await;
        Self { app, ada, grace }
    }

    /// Asks, approves, and gives the consultation with its receipt.
    async fn approved(&self, request: Value) -> (Uuid, String) {
        let asked = self.app.post(&self.ada, CONSULTATIONS, &request).await.expect(201);
        assert_eq!(asked.body["receipt"], Value::Null);
        let id = asked.id();
        let answer = json!({"decision": "approve"});
        let answered = self.app.post(&self.grace, &path(id, "responses"), &answer).await.expect(200);
        (id, answered.body["receipt"].as_str().expect("a receipt").to_owned())
    }

    async fn deploy(&self) -> (Uuid, String) {
        self.approved(json!({"title": "Deploy?", "context": {"commit": "3f2a91c"}, "external_id": "pipeline-1"})).await
    }

    async fn redeem(&self, body: &Value) -> Answer {
        self.app.post(&self.ada, REDEEM, body).await
    }

    async fn keys(&self) -> ReceiptKeys {
        load_receipt_keys(self.app.store.pool()).await.unwrap()
    }

    /// The same claims but for these, signed by the installation's own key.
    async fn resigned(&self, receipt: &str, tenant: Uuid, change: impl FnOnce(&mut Value)) -> String {
        let keys = self.keys().await;
        let (_, mut claims): (Uuid, Value) = keys.verify(receipt).unwrap();
        change(&mut claims);
        keys.sign(tenant, claims["iat"].as_i64().unwrap(), &claims).unwrap()
    }
}

#[tokio::test]
async fn an_outcome_comes_with_a_receipt_that_is_redeemed_with_its_payload() {
    let story = Story::new().await;
    let (id, receipt) = story.deploy().await;
    let (tenant, claims): (Uuid, Value) = story.keys().await.verify(&receipt).unwrap();
    assert_eq!((tenant, &claims["sub"]), (story.app.organisation, &json!(id)));
    let redeemed = story.redeem(&json!({"receipt": receipt, "payload": {"commit": "3f2a91c"}})).await.expect(200);
    assert_eq!(redeemed.body["claims"], claims);
    assert_eq!(redeemed.body["redeemed_by"], json!({"id": story.ada.id, "name": "ada"}));
    assert!(redeemed.body["redeemed_at"].is_string());
    assert_eq!(story.app.events_of(id).await, ["requested", "vote_cast", "responded", "receipt_redeemed"]);
    // The consultation is as it was, and so is its receipt.
    let comment = story.app.post(&story.ada, &path(id, "comments"), &json!({"text": "Done."})).await.expect(200);
    assert_eq!((&comment.body["receipt"], &comment.body["state"]), (&json!(receipt), &json!("responded")));
}

#[tokio::test]
async fn of_ten_who_redeem_a_receipt_at_once_one_does_and_the_others_learn_who_and_when() {
    let story = Story::new().await;
    let (id, receipt) = story.deploy().await;
    let body = json!({"receipt": receipt});
    let answers = join_all((0..10).map(|_| story.redeem(&body))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!((won.len(), lost.len()), (1, 9));
    for answer in lost {
        let answer = answer.problem(409, "receipt_redeemed");
        assert_eq!(answer.body["redeemed_by"], json!(story.ada.id));
        assert_eq!(answer.body["redeemed_at"], won[0].body["redeemed_at"]);
    }
    assert_eq!(story.app.events_of(id).await.iter().filter(|kind| *kind == "receipt_redeemed").count(), 1);
}

#[tokio::test]
async fn a_repetition_under_the_same_key_gets_the_first_answer() {
    let story = Story::new().await;
    let (_, receipt) = story.deploy().await;
    let body = json!({"receipt": receipt});
    let headers = [("idempotency-key", "redeem-1")];
    let first = story.app.post_with(&story.ada, REDEEM, &body, &headers).await.expect(200);
    let again = story.app.post_with(&story.ada, REDEEM, &body, &headers).await.expect(200);
    assert_eq!(first.body, again.body);
    story.redeem(&body).await.problem(409, "receipt_redeemed");
}

#[tokio::test]
async fn what_is_no_good_is_refused_with_its_code_and_changes_nothing() {
    let story = Story::new().await;
    let (id, receipt) = story.deploy().await;
    let own = story.app.organisation;
    let elsewhere = ReceiptKeys::new(vec![new_receipt_key().unwrap()]);
    let (_, claims): (Uuid, Value) = story.keys().await.verify(&receipt).unwrap();
    let (head, rest) = receipt.split_once('.').unwrap();
    let flipped = format!("{head}.{}{}", if rest.starts_with('A') { 'B' } else { 'A' }, &rest[1..]);
    for (receipt, code) in [
        ("none of ours".to_owned(), "receipt_malformed"),
        (story.ada.token.clone(), "receipt_malformed"),
        (flipped, "receipt_altered"),
        (format!("{receipt}A"), "receipt_altered"),
        (elsewhere.sign(own, 0, &claims).unwrap(), "receipt_foreign"),
        (story.resigned(&receipt, ids::new_id(), |_| {}).await, "receipt_foreign"),
        (story.resigned(&receipt, own, |claims| claims["sub"] = json!(ids::new_id())).await, "receipt_foreign"),
        (story.resigned(&receipt, own, |claims| claims["decision"] = json!("reject")).await, "receipt_altered"),
        (story.resigned(&receipt, own, |claims| claims["exp"] = json!(9_999_999_999_i64)).await, "receipt_altered"),
    ] {
        story.redeem(&json!({"receipt": receipt})).await.problem(422, code);
    }
    for payload in [json!({"commit": "0000000"}), Value::Null] {
        let body = json!({"receipt": receipt, "payload": payload});
        story.redeem(&body).await.problem(422, "receipt_payload_mismatch");
    }
    // A receipt is no token either.
    let bearer = Member { id: story.ada.id, token: receipt.clone() };
    story.app.post(&bearer, REDEEM, &json!({"receipt": receipt})).await.problem(401, "unauthorized");
    assert_eq!(story.app.events_of(id).await, ["requested", "vote_cast", "responded"]);
}

#[tokio::test]
async fn another_organisation_s_receipt_is_foreign() {
    let story = Story::new().await;
    let (_, receipt) = story.deploy().await;
    let elsewhere = ids::new_id();
    docket_command_api::setup::create_organisation(&story.app.store, elsewhere, "Elsewhere").await.unwrap();
    let stranger = story.app.member_of(elsewhere, "stranger", Role::Admin).await;
    story.app.post(&stranger, REDEEM, &json!({"receipt": receipt})).await.problem(422, "receipt_foreign");
    story.redeem(&json!({"receipt": receipt})).await.expect(200);
}

#[tokio::test]
async fn an_expired_receipt_is_refused_by_the_clock_of_the_database() {
    let story = Story::new().await;
    let (id, _) = story.approved(json!({"title": "Deploy?", "receipt_minutes": 1})).await;
    // As if it had all been an hour ago: the clock is not ours to wait for.
    story
        .app
        .sql(&format!(
            "update write.journal set time = time - interval '1 hour' where stream_id = '{id}'; delete from write.snapshot;"
        ))
        .await;
    let told = story.app.post(&story.ada, &path(id, "comments"), &json!({"text": "Late."})).await.expect(200);
    story.redeem(&json!({"receipt": told.body["receipt"]})).await.problem(409, "receipt_expired");
    for minutes in [0, 525_601] {
        let request = json!({"title": "Deploy?", "receipt_minutes": minutes});
        story.app.post(&story.ada, CONSULTATIONS, &request).await.problem(422, "validation_failed");
    }
}

#[tokio::test]
async fn a_revoked_receipt_is_not_redeemed_and_a_redeemed_one_not_revoked() {
    let story = Story::new().await;
    let (id, receipt) = story.deploy().await;
    let (revoke, reason) = (path(id, "receipt/revoke"), json!({"reason": "It was performed by hand."}));
    story.app.post(&story.grace, &revoke, &reason).await.problem(403, "not_the_requester");
    story.app.post(&story.ada, &revoke, &reason).await.expect(200);
    story.app.post(&story.ada, &revoke, &json!({})).await.expect(200);
    let refused = story.redeem(&json!({"receipt": receipt})).await.problem(409, "receipt_revoked");
    assert!(refused.body["revoked_at"].is_string());
    assert_eq!(story.app.events_of(id).await.last().map(String::as_str), Some("receipt_revoked"));

    let (other, receipt) = story.approved(json!({"title": "And this?"})).await;
    story.redeem(&json!({"receipt": receipt})).await.expect(200);
    let admin = story.app.member("root", Role::Admin).await;
    story.app.post(&admin, &path(other, "receipt/revoke"), &json!({})).await.problem(409, "receipt_redeemed");
    let pending = story.app.post(&story.ada, CONSULTATIONS, &json!({"title": "Later?"})).await.expect(201).id();
    story.app.post(&admin, &path(pending, "receipt/revoke"), &json!({})).await.problem(409, "no_receipt");
}

#[tokio::test]
async fn a_key_redeems_with_the_scope_of_those_that_ask() {
    let story = Story::new().await;
    let admin = story.app.member("root", Role::Admin).await;
    let key = async |name: &str, scope: Scope| {
        let body = json!({"name": name, "scopes": [scope.as_str()]});
        let made = story.app.post(&admin, "/api/v1/api-keys", &body).await.expect(201);
        Member { id: made.id(), token: made.body["secret"].as_str().unwrap().to_owned() }
    };
    let (reads, asks) = (key("reads", Scope::ConsultationRead).await, key("asks", Scope::ConsultationAsk).await);
    let (_, receipt) = story.deploy().await;
    let body = json!({"receipt": receipt});
    story.app.post(&reads, REDEEM, &body).await.problem(403, "forbidden");
    let redeemed = story.app.post(&asks, REDEEM, &body).await.expect(200);
    assert_eq!(redeemed.body["redeemed_by"]["id"], json!(asks.id));
}
