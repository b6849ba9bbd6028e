//! Asking and deciding together, over HTTP: who is meant, which rule, who has it in hand, and many at once.

use docket_platform::auth::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, App, CONSULTATIONS, Member, path};

/// An organisation with some people and a group of two of them.
struct Office {
    app: App,
    asker: Member,
    admin: Member,
    reviewers: Vec<Member>,
    group: Uuid,
}

impl Office {
    async fn new() -> Self {
        let app = App::new().await;
        let asker = app.member("ada", Role::Requester).await;
        let admin = app.member("chair", Role::Admin).await;
        let mut reviewers = Vec::new();
        for name in ["grace", "edsger", "alan"] {
            reviewers.push(app.member(name, Role::Reviewer).await);
        }
        let group = app.post(&admin, "/api/v1/groups", &json!({ "name": "Night" })).await.expect(201).id();
        for member in &reviewers[..2] {
            let place = format!("/api/v1/groups/{group}/members/{}", member.id);
            app.call(Some(&admin), "PUT", &place, &Value::Null, &[]).await.expect(200);
        }
        Self { app, asker, admin, reviewers, group }
    }

    async fn ask(&self, more: Value) -> Answer {
        let mut body = json!({ "title": "Deploy?" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.app.post(&self.asker, CONSULTATIONS, &body).await
    }

    async fn to(&self, by: &Member, id: Uuid, what: &str, body: Value) -> Answer {
        self.app.post(by, &path(id, what), &body).await
    }

    async fn approve(&self, by: usize, id: Uuid) -> Answer {
        self.to(&self.reviewers[by], id, "responses", json!({ "decision": "approve" })).await
    }

    fn refused_field(answer: Answer, field: &str) {
        let answer = answer.problem(422, "validation_failed");
        assert_eq!(answer.body["errors"][0]["field"], field, "{}", answer.body);
    }
}

#[tokio::test]
async fn two_of_three_of_a_group_and_a_user_decide() {
    let office = Office::new().await;
    let alan = office.reviewers[2].id;
    let asked =
        office.ask(json!({ "reviewers": [{ "group": office.group }, alan], "rule": { "type": "m_of_n", "m": 2 } }));
    let asked = asked.await.expect(201);
    assert_eq!(asked.body["version"], 2);
    assert_eq!(asked.body["rule"], json!({ "type": "m_of_n", "m": 2 }));
    assert_eq!((asked.body["seats"].as_array().unwrap().len(), &asked.body["four_eyes"]), (3, &json!(true)));
    let id = asked.id();
    office.to(&office.admin, id, "responses", json!({ "decision": "approve" })).await.problem(403, "not_a_reviewer");
    let pending = office.approve(0, id).await.expect(200);
    assert_eq!((&pending.body["state"], &pending.body["vote_count"]), (&json!("pending"), &json!(1)));
    let done = office.approve(2, id).await.expect(200);
    assert_eq!(done.body["state"], "responded");
    let outcome = &done.body["outcome"];
    assert_eq!((&outcome["rule"], &outcome["decision"]), (&json!("m_of_n"), &json!("approve")));
    assert_eq!(outcome["agreed"].as_array().unwrap().len(), 2);
    office.approve(1, id).await.problem(409, "already_ended");
}

#[tokio::test]
async fn ten_votes_at_once_all_land_once_each() {
    let app = App::new().await;
    let asker = app.member("ada", Role::Requester).await;
    let mut voters = Vec::new();
    for n in 0..10 {
        voters.push(app.member(&format!("voter{n}"), Role::Reviewer).await);
    }
    let seats: Vec<Uuid> = voters.iter().map(|voter| voter.id).collect();
    let body = json!({ "title": "t", "reviewers": seats, "rule": { "type": "all" } });
    let id = app.post(&asker, CONSULTATIONS, &body).await.expect(201).id();
    // Each from two tabs.
    let votes = voters.iter().flat_map(|voter| [voter, voter]).map(async |voter| {
        app.post(voter, &path(id, "responses"), &json!({ "decision": "approve" })).await.expect(200)
    });
    futures_util::future::join_all(votes).await;
    let events = app.events_of(id).await;
    assert_eq!(events.iter().filter(|event| *event == "vote_cast").count(), 10);
    assert_eq!(events.iter().filter(|event| *event == "responded").count(), 1);
    assert!(events.last().unwrap() == "responded", "the vote that completes the rule decides");
}

#[tokio::test]
async fn members_of_a_named_group_answer_and_others_do_not() {
    let office = Office::new().await;
    let id = office.ask(json!({ "reviewers": [{ "group": office.group }] })).await.expect(201).id();
    office.approve(2, id).await.problem(403, "not_a_reviewer");
    office.approve(1, id).await.expect(200);
    let id = office.ask(json!({ "reviewers": [{ "role": "admin" }] })).await.expect(201).id();
    office.approve(0, id).await.problem(403, "not_a_reviewer");
    office.to(&office.admin, id, "responses", json!({ "decision": "reject" })).await.expect(200);
}

#[tokio::test]
async fn each_kind_of_answer_is_taken_and_shown() {
    let office = Office::new().await;
    let grace = &office.reviewers[0];
    let choice =
        json!({ "answer": { "type": "choice", "options": ["eu", "us"] }, "on_timeout": "eu", "timeout_minutes": 60 });
    let asked = office.ask(choice).await.expect(201);
    assert_eq!(asked.body["on_timeout"]["choices"], json!(["eu"]));
    let done = office.to(grace, asked.id(), "responses", json!({ "choices": ["us"] })).await.expect(200);
    assert_eq!(done.body["outcome"]["choices"], json!(["us"]));

    let schema = json!({ "type": "object", "required": ["budget"], "properties": { "budget": { "type": "integer" } } });
    let id = office.ask(json!({ "answer": { "type": "form", "schema": schema } })).await.expect(201).id();
    Office::refused_field(office.to(grace, id, "responses", json!({ "form": { "budget": "much" } })).await, "form");
    Office::refused_field(office.to(grace, id, "responses", json!({ "decision": "approve" })).await, "decision");
    let done = office.to(grace, id, "responses", json!({ "form": { "budget": 7 } })).await.expect(200);
    assert_eq!(done.body["outcome"]["form"], json!({ "budget": 7 }));

    let edit = json!({ "type": "edit", "proposed": { "amount": 100, "to": "Acme" }, "paths": ["/amount"] });
    let id = office.ask(json!({ "answer": edit })).await.expect(201).id();
    let with = |payload: Value| json!({ "decision": "approve", "payload": payload });
    let elsewhere = with(json!({ "amount": 100, "to": "me" }));
    Office::refused_field(office.to(grace, id, "responses", elsewhere).await, "payload");
    let done = office.to(grace, id, "responses", with(json!({ "amount": 80, "to": "Acme" }))).await.expect(200);
    let outcome = &done.body["outcome"];
    assert_eq!(outcome["changes"]["patch"], json!([{ "op": "replace", "path": "/amount", "value": 80 }]));
    assert_eq!(outcome["changes"]["words"], "/amount changed from 100 to 80");
    assert_eq!(outcome["payload"], json!({ "amount": 80, "to": "Acme" }));
}

#[tokio::test]
async fn who_has_it_in_hand_is_said_and_handed_on() {
    let office = Office::new().await;
    let [grace, edsger, alan] = &office.reviewers[..] else { panic!("three") };
    let id = office.ask(json!({})).await.expect(201).id();
    let claimed = office.to(grace, id, "claim", json!({})).await.expect(200);
    assert_eq!(claimed.body["claimed_by"]["id"], json!(grace.id));
    let refused = office.approve(1, id).await.problem(409, "claimed");
    assert_eq!(refused.body["claimed_by"], json!(grace.id));
    office.to(edsger, id, "release", json!({})).await.problem(409, "claimed");
    office.to(&office.asker, id, "assignment", json!({ "to": edsger.id })).await.expect(200);
    Office::refused_field(office.to(&office.admin, id, "assignment", json!({ "to": office.asker.id })).await, "to");
    Office::refused_field(office.to(&office.admin, id, "assignment", json!({ "to": Uuid::nil() })).await, "to");
    office.to(edsger, id, "delegation", json!({ "to": alan.id })).await.expect(200);
    office.to(alan, id, "delegation", json!({ "to": edsger.id })).await.problem(409, "delegation_loop");
    office.approve(1, id).await.problem(403, "not_a_reviewer");
    let done = office.approve(2, id).await.expect(200);
    assert_eq!(done.body["outcome"]["by"]["id"], json!(alan.id));
}

#[tokio::test]
async fn a_question_stops_the_clock_and_its_answer_lets_it_go_on() {
    let office = Office::new().await;
    let id = office.ask(json!({ "timeout_minutes": 5, "questions_stop_clock": true })).await.expect(201).id();
    let number = "select count(*) from write.deadline";
    assert_eq!(office.app.number(number).await, 1);
    let body = json!({ "text": "Which index?" });
    let asked = office.to(&office.reviewers[0], id, "questions", body).await.expect(200);
    assert_eq!((&asked.body["open_question_count"], &asked.body["deadline"]), (&json!(1), &Value::Null));
    assert!(asked.body["clock_stopped_at"].is_string());
    assert_eq!(office.app.number(number).await, 0, "nothing is due");
    let question = format!(
        "select data::jsonb ->> 'question_id' from write.journal where event_type like '%information_requested.v1' and stream_id = '{id}'"
    );
    let question: String =
        sqlx::query_scalar(sqlx::AssertSqlSafe(question)).fetch_one(&office.app.owner).await.unwrap();
    let place = format!("questions/{question}/answer");
    office.to(&office.reviewers[1], id, &place, json!({ "text": "None." })).await.problem(403, "not_the_requester");
    let told = office.to(&office.asker, id, &place, json!({ "text": "The one on names." })).await.expect(200);
    assert!(told.body["deadline"].is_string() && told.body["clock_stopped_at"].is_null());
    assert_eq!(office.app.number(number).await, 1);
    office.to(&office.asker, id, &place, json!({ "text": "Again." })).await.problem(404, "not_found");
}

#[tokio::test]
async fn what_is_asked_in_the_place_of_another_withdraws_it() {
    let office = Office::new().await;
    let older = office.ask(json!({})).await.expect(201).id();
    let other = office.app.post(&office.admin, CONSULTATIONS, &json!({ "title": "t", "supersedes": older })).await;
    Office::refused_field(other, "supersedes");
    Office::refused_field(office.ask(json!({ "supersedes": Uuid::nil() })).await, "supersedes");
    let body = json!({ "title": "Deploy 2?", "supersedes": older });
    let asked =
        office.app.post_with(&office.asker, CONSULTATIONS, &body, &[("idempotency-key", "k")]).await.expect(201);
    assert_eq!(asked.body["supersedes"], json!(older));
    assert_eq!(office.app.events_of(older).await.len(), 2);
    let repeated = office.app.post_with(&office.asker, CONSULTATIONS, &body, &[("idempotency-key", "k")]).await;
    assert_eq!(repeated.expect(201).id(), asked.id());
    assert_eq!(office.app.events_of(older).await.len(), 2, "withdrawn once");
    office.approve(0, older).await.problem(409, "already_ended");
}

#[tokio::test]
async fn who_made_the_key_that_asked_does_not_answer() {
    let office = Office::new().await;
    let body = json!({ "name": "pipeline", "scopes": ["consultation:ask"] });
    let key = office.app.post(&office.admin, "/api/v1/api-keys", &body).await.expect(201);
    let software = Member { id: key.id(), token: key.body["secret"].as_str().unwrap().to_owned() };
    let id = office.app.post(&software, CONSULTATIONS, &json!({ "title": "t" })).await.expect(201).id();
    office.to(&office.admin, id, "responses", json!({ "decision": "approve" })).await.problem(403, "four_eyes");
    let id =
        office.app.post(&software, CONSULTATIONS, &json!({ "title": "t", "four_eyes": false })).await.expect(201).id();
    office.to(&office.admin, id, "responses", json!({ "decision": "approve" })).await.expect(200);
}

#[tokio::test]
async fn business_time_counts_where_the_organisation_has_a_calendar() {
    let office = Office::new().await;
    let hours = json!({ "timeout_minutes": 60, "business_time": true });
    Office::refused_field(office.ask(hours.clone()).await, "business_time");
    let set = async |body: Value| {
        office.app.call(Some(&office.admin), "PUT", "/api/v1/organisation/calendar", &body, &[]).await
    };
    Office::refused_field(set(json!({ "time_zone": "Mars", "week": [[], [], [], [], [], [], []] })).await, "time_zone");
    Office::refused_field(set(json!({ "time_zone": "UTC", "week": [["9-17"]] })).await, "week");
    let never_and_then = json!({ "time_zone": "Europe/Berlin", "week": [["00:00-24:00"], [], [], [], [], [], []] });
    set(never_and_then).await.expect(200);
    let asked = office.ask(hours).await.expect(201);
    assert_eq!(asked.body["business_time_zone"], "Europe/Berlin");
    let deadline: chrono::DateTime<chrono::Utc> = asked.body["deadline"].as_str().unwrap().parse().unwrap();
    use chrono::Datelike;
    let day = deadline.with_timezone(&chrono::FixedOffset::east_opt(3_600).unwrap()).weekday();
    assert!([chrono::Weekday::Mon, chrono::Weekday::Tue].contains(&day), "{deadline}");
}

#[tokio::test]
async fn who_left_or_belongs_to_another_tenant_cannot_be_asked() {
    let office = Office::new().await;
    let other = docket_platform::ids::new_id();
    docket_command_api::setup::create_organisation(&office.app.store, other, "Other").await.unwrap();
    let stranger = office.app.member_of(other, "stranger", Role::Reviewer).await;
    let gone = &office.reviewers[2];
    let place = format!("/api/v1/members/{}", gone.id);
    office.app.call(Some(&office.admin), "DELETE", &place, &Value::Null, &[]).await.expect(200);
    for reviewer in [stranger.id, gone.id, office.asker.id, Uuid::nil()] {
        Office::refused_field(office.ask(json!({ "reviewers": [reviewer] })).await, "reviewers");
    }
    Office::refused_field(office.ask(json!({ "reviewers": [{ "group": other }] })).await, "reviewers");
    Office::refused_field(office.ask(json!({ "reviewers": [{ "role": "analyst" }] })).await, "reviewers");
    let rule = json!({ "type": "two_groups", "groups": [office.group, other] });
    Office::refused_field(office.ask(json!({ "rule": rule })).await, "rule.groups");
    Office::refused_field(office.ask(json!({ "rule": { "type": "m_of_n", "m": 9 } })).await, "rule");
    let escalation = json!({ "after_minutes": 5, "reviewers": [stranger.id] });
    Office::refused_field(office.ask(json!({ "escalations": [escalation] })).await, "escalations.reviewers");
    assert_eq!(
        office.app.number("select count(*) from write.journal where category = 2").await,
        0,
        "nothing is half done"
    );
}

#[tokio::test]
async fn what_was_done_is_answered_as_it_was_whoever_has_left_since() {
    let office = Office::new().await;
    let [grace, edsger, _] = &office.reviewers[..] else { panic!("three") };
    let key = [("idempotency-key", "k")];
    let body = json!({ "title": "t", "reviewers": [grace.id, edsger.id], "external_id": "pr-7" });
    let ask = async |key: &[(&str, &str)]| office.app.post_with(&office.asker, CONSULTATIONS, &body, key).await;
    let id = ask(&key).await.expect(201).id();
    let to = json!({ "to": grace.id });
    let assign =
        async |key: &[(&str, &str)]| office.app.post_with(&office.asker, &path(id, "assignment"), &to, key).await;
    assign(&key).await.expect(200);
    let place = format!("/api/v1/members/{}", grace.id);
    office.app.call(Some(&office.admin), "DELETE", &place, &Value::Null, &[]).await.expect(200);
    assert_eq!(ask(&key).await.expect(201).id(), id, "by its key");
    assert_eq!(ask(&[]).await.expect(200).id(), id, "by the asker's own name for it");
    assert_eq!(assign(&key).await.expect(200).body["claimed_by"]["id"], json!(grace.id));
    Office::refused_field(assign(&[]).await, "to");
    Office::refused_field(office.ask(json!({ "reviewers": [grace.id] })).await, "reviewers");
    assert_eq!(office.app.events_of(id).await, ["requested", "assigned"]);
}

#[tokio::test]
async fn times_that_do_not_exist_and_urls_that_are_none_are_named() {
    let office = Office::new().await;
    for (field, more) in [
        ("deadline", json!({ "deadline": "2027-03-28T02:30:00", "time_zone": "Europe/Berlin" })),
        ("deadline", json!({ "deadline": "2027-03-28T02:30:00" })),
        ("deadline", json!({ "deadline": "tomorrow" })),
        ("deadline", json!({ "deadline": "2020-01-01T00:00:00Z" })),
        ("time_zone", json!({ "deadline": "2027-03-28T02:30:00Z", "time_zone": "Europe/Berlin" })),
        ("time_zone", json!({ "deadline": "2027-03-28T12:30:00", "time_zone": "Mars" })),
        ("callback_url", json!({ "callback_url": "ftp://example.org" })),
        ("callback_url", json!({ "callback_url": "https://ada:secret@example.org" })),
        ("on_timeout", json!({ "on_timeout": "approve" })),
        ("on_timeout", json!({ "on_timeout": "perhaps", "timeout_minutes": 5 })),
        ("answer.schema", json!({ "answer": { "type": "form", "schema": { "$ref": "https://example.org/s" } } })),
    ] {
        Office::refused_field(office.ask(more).await, field);
    }
    let fine = json!({ "deadline": "2027-03-28T12:30:00", "time_zone": "Europe/Berlin" });
    assert_eq!(office.ask(fine).await.expect(201).body["deadline"], "2027-03-28T10:30:00Z");
}

#[tokio::test]
async fn of_many_each_stands_for_itself_and_is_done_once() {
    let office = Office::new().await;
    let items = json!([{ "title": "one" }, { "title": "" }, { "nonsense": 1 }, { "title": "four", "labels": ["x"] }]);
    let many = async || {
        let body = json!({ "items": items });
        let key = [("idempotency-key", "bulk")];
        office.app.post_with(&office.asker, "/api/v1/consultations/bulk", &body, &key).await.expect(200)
    };
    let asked = many().await;
    assert_eq!((&asked.body["done"], &asked.body["failed"]), (&json!(2), &json!(2)));
    let statuses: Vec<_> = asked.body["items"].as_array().unwrap().iter().map(|item| item["status"].clone()).collect();
    assert_eq!(statuses, [json!(201), json!(422), json!(422), json!(201)]);
    assert_eq!(asked.body["items"][1]["problem"]["errors"][0]["field"], "title");
    let ids = |answer: &Answer| [0, 3].map(|n| answer.body["items"][n]["consultation"]["id"].clone());
    assert_eq!(ids(&many().await), ids(&asked));
    assert_eq!(office.app.number("select count(*) from write.journal where category = 2").await, 2);

    let [one, four] = ids(&asked);
    let answers = json!({ "items": [
        { "consultation_id": one, "decision": "approve" },
        { "consultation_id": Uuid::nil(), "decision": "approve" },
        { "consultation_id": four, "decision": "reject", "comment": "No." },
        { "consultation_id": four, "decision": "perhaps" },
        { "decision": "approve" },
    ] });
    let answered =
        office.app.post(&office.reviewers[0], "/api/v1/consultations/bulk-responses", &answers).await.expect(200);
    let statuses: Vec<_> =
        answered.body["items"].as_array().unwrap().iter().map(|item| item["status"].clone()).collect();
    assert_eq!(statuses, [json!(200), json!(404), json!(200), json!(422), json!(422)]);
    let none = office.app.post(&office.asker, "/api/v1/consultations/bulk", &json!({ "items": [] })).await;
    Office::refused_field(none, "items");
    let too_many = json!({ "items": vec![json!({ "title": "t" }); 501] });
    Office::refused_field(office.app.post(&office.asker, "/api/v1/consultations/bulk", &too_many).await, "items");
}

#[tokio::test]
async fn what_is_told_of_a_person_is_sealed_and_still_decided_upon() {
    let office = Office::new().await;
    let edit = json!({ "type": "edit", "proposed": { "salary": 70_001 }, "paths": ["/salary"] });
    let more = json!({ "subject": "employee 4711", "body": "A raise for Benedict.", "answer": edit, "context": { "level": "Grade seven" } });
    let asked = office.ask(more).await.expect(201);
    assert_eq!(
        (&asked.body["subject"]["name"], &asked.body["body"]),
        (&json!("employee 4711"), &json!("A raise for Benedict."))
    );
    assert_eq!(asked.body["answer"]["proposed"], json!({ "salary": 70_001 }));
    let raised = json!({ "decision": "approve", "payload": { "salary": 80_002 }, "comment": "Benedict earned it." });
    let done = office.to(&office.reviewers[0], asked.id(), "responses", raised).await.expect(200);
    assert_eq!(done.body["outcome"]["payload"], json!({ "salary": 80_002 }));
    office.to(&office.asker, asked.id(), "comments", json!({ "text": "Benedict knows." })).await.expect(200);
    let clear = "select count(*) from write.journal where category = 2 and (data like '%Benedict%' or data like '%7000%' or data like '%8000%' \
                 or data like '%4711%' or data like '%Grade seven%')";
    assert_eq!(office.app.number(clear).await, 0);
    // A consultation about a member is that member's.
    let about = office.ask(json!({ "subject": office.reviewers[1].id })).await.expect(201);
    assert_eq!(about.body["subject"]["id"], json!(office.reviewers[1].id));
}

#[tokio::test]
async fn an_escalation_and_a_reminder_come_by_themselves() {
    let office = Office::new().await;
    let alan = office.reviewers[2].id;
    let more = json!({
        "reviewers": [office.reviewers[0].id], "timeout_minutes": 60, "reminders": [30],
        "escalations": [{ "after_minutes": 10, "reviewers": [alan], "priority": "urgent", "notify": [alan] }],
    });
    let id = office.ask(more).await.expect(201).id();
    let due: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar("select due_at from write.deadline").fetch_one(&office.app.owner).await.unwrap();
    let asked_at: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar("select time from write.journal where category = 2 limit 1")
            .fetch_one(&office.app.owner)
            .await
            .unwrap();
    assert_eq!(due, asked_at + chrono::TimeDelta::minutes(10), "the escalation is what the clock waits for");
    office.approve(2, id).await.problem(403, "not_a_reviewer");
}
