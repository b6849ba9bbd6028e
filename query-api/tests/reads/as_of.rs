//! `consultation(id:, asOf:)`: what a consultation was, told from its stream.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use docket_domain::consultation::{Command, Comment, Consultation, Given, Request, Respond, Standing, Terms, decide};
use docket_events::{
    Category, StreamId,
    consultation::{Decision, DecisionRule, Person},
};
use docket_log::{Bell, CommandContext, Outcome, Store, StoreOptions, bell::Topic};
use docket_platform::{db::DbRole, ids};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{World, person};

const OURS: Uuid = Uuid::from_u128(0xa);
const THEIRS: Uuid = Uuid::from_u128(0xb);

/// A consultation in the journal.
pub struct Stream {
    pub id: Uuid,
    store: Store,
}

impl Stream {
    pub fn new(world: &World) -> Self {
        let pool = world.database.pool(DbRole::Writer, 2, Duration::from_secs(5));
        let (bell, options) = (Bell::new(Topic::Journal), StoreOptions::default());
        Self { id: ids::new_id(), store: Store::open(&world.database, pool, world.installation, bell, options) }
    }

    /// Does it, and tells when that was.
    pub async fn command(&self, command: impl Into<Command>) -> DateTime<Utc> {
        let command = command.into();
        let context = CommandContext { tenant: OURS, ..CommandContext::default() };
        let stream = StreamId::new(Category::Consultation, self.id);
        let done =
            self.store.execute(&context, stream, |state: &Consultation, now| decide(state, command.clone(), now));
        match done.await.unwrap() {
            Outcome::Accepted(accepted) => accepted.state.updated_at.unwrap(),
            Outcome::Refused(refusal) => panic!("{refusal}"),
        }
    }

    async fn vote(&self, n: u128, decision: Decision) -> DateTime<Utc> {
        let by = Person::named(person(n), format!("Reviewer {n}"));
        let given = Given::decision(decision);
        self.command(Respond { by, standing: Standing::default(), given }).await
    }
}

async fn then(world: &World, token: &str, id: Uuid, at: DateTime<Utc>) -> Value {
    let at = at.to_rfc3339_opts(SecondsFormat::Micros, true);
    let query = format!(
        r#"{{ consultation(id: "{id}", asOf: "{at}") {{ state title version voteCount commentCount requestedBy {{ name erased }}
               outcome {{ decision by {{ name }} }} votes {{ by {{ name erased }} answer {{ decision }} version }} history {{ version kind }} }} }}"#
    );
    world.query(token, &query).await.0["consultation"].clone()
}

#[tokio::test]
async fn what_it_was_is_told_from_its_stream() {
    let world = World::new().await;
    let stream = Stream::new(&world);
    let seats = vec![person(2), person(3), person(4)];
    let terms = Terms { rule: DecisionRule::MOfN { m: 2 }, seats: seats.clone(), ..Terms::default() };
    let request = Request::new("Deploy?", Person::named(person(1), "Ada"));
    let asked = stream.command(Request { reviewers: seats, terms, ..request }).await;
    let approved = stream.vote(2, Decision::Approve).await;
    let rejected = stream.vote(2, Decision::Reject).await;
    let by = Person::named(person(4), "Reviewer 4");
    let said = stream.command(Comment { comment_id: ids::new_id(), by, text: "Wait.".to_owned() }).await;
    let ended = stream.vote(3, Decision::Reject).await;
    let times = [asked, approved, rejected, said, ended];
    assert!(times.is_sorted_by(|one, next| one < next));
    // The history is the read model's.
    world
        .run(
            "insert into read.consultation_history_v1 (consultation_id, version, tenant, shard, event_id, kind, at)
             select stream_id, stream_version, tenant, shard, event_id, event_type, time from write.journal",
        )
        .await;
    let token = world.token(OURS).await;
    let [at_asked, at_approved, at_rejected, at_said, at_ended] = {
        let mut found = Vec::new();
        for at in times {
            found.push(then(&world, &token, stream.id, at).await);
        }
        <[Value; 5]>::try_from(found).unwrap()
    };
    assert_eq!(
        (&at_asked["state"], &at_asked["version"], &at_asked["votes"]),
        (&json!("PENDING"), &json!(2), &json!([]))
    );
    assert_eq!(at_asked["requestedBy"], json!({ "name": "Ada", "erased": false }));
    let vote = |decision: &str, version| json!([{ "by": { "name": "Reviewer 2", "erased": false }, "answer": { "decision": decision }, "version": version }]);
    assert_eq!(at_approved["votes"], vote("APPROVE", 3));
    assert_eq!(at_rejected["votes"], vote("REJECT", 4));
    assert_eq!((&at_rejected["commentCount"], &at_said["commentCount"]), (&json!(0), &json!(1)));
    assert_eq!(at_said["history"].as_array().unwrap().len(), 5);
    assert_eq!((&at_ended["state"], &at_ended["voteCount"]), (&json!("RESPONDED"), &json!(2)));
    assert_eq!(at_ended["outcome"], json!({ "decision": "REJECT", "by": { "name": "Reviewer 3" } }));
    assert_eq!(at_ended["history"].as_array().unwrap().len(), 7);
    // Between two events it is what the first left, and before it was asked it is not there.
    assert_eq!(then(&world, &token, stream.id, ended - TimeDelta::microseconds(1)).await, at_said);
    assert_eq!(then(&world, &token, stream.id, asked - TimeDelta::microseconds(1)).await, Value::Null);
    assert_eq!(then(&world, &token, stream.id, ended + TimeDelta::days(9)).await, at_ended);
    // Another organisation has no such consultation; and whoever was erased is so in the past too.
    assert_eq!(then(&world, &world.token(THEIRS).await, stream.id, ended).await, Value::Null);
    world.run(&format!("delete from vault.data_key where subject = '{}'", person(2))).await;
    let erased = then(&world, &token, stream.id, approved).await;
    assert_eq!(erased["votes"][0]["by"], json!({ "name": null, "erased": true }));
    assert_eq!(erased["votes"][0]["answer"]["decision"], "APPROVE");
}

#[tokio::test]
async fn the_readers_reach_one_stream_of_their_tenant_and_its_keys_alone() {
    let world = World::new().await;
    let [one, other] = [Stream::new(&world), Stream::new(&world)];
    one.command(Request::new("One?", Person::named(person(1), "Ada"))).await;
    other.command(Request::new("Other?", Person::named(person(2), "Ben"))).await;
    let keys: Vec<Uuid> = sqlx::query_scalar("select id from vault.data_key").fetch_all(&world.owner).await.unwrap();
    assert_eq!(keys.len(), 2);
    let found = async |of: Uuid, tenant: Uuid, setting: Uuid| {
        let mut tx = docket_platform::db::tenant_read(&world.reader, setting).await.unwrap();
        let sql = "select (select count(*) from read.consultation_events($1, $2, 'infinity')),
                          (select count(*) from read.consultation_keys($1, $2, $3))";
        let counts: (i64, i64) =
            sqlx::query_as(sql).bind(tenant).bind(of).bind(&keys).fetch_one(&mut *tx).await.unwrap();
        counts
    };
    assert_eq!(found(one.id, OURS, OURS).await, (1, 1), "the keys of its own stream");
    assert_eq!(found(one.id, THEIRS, THEIRS).await, (0, 0));
    assert_eq!(found(one.id, OURS, THEIRS).await, (0, 0));
    for table in ["write.journal", "vault.data_key"] {
        let mut tx = docket_platform::db::tenant_read(&world.reader, OURS).await.unwrap();
        let refused =
            sqlx::query(sqlx::AssertSqlSafe(format!("select 1 from {table}"))).execute(&mut *tx).await.unwrap_err();
        assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "42501", "{table}");
    }
}
