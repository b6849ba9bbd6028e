//! The deadline scheduler and the housekeeping.

use std::time::Duration;

use chrono::{DateTime, Utc};
use docket_command_api::{housekeeping, scheduler};
use docket_platform::{Shutdown, auth::Role};
use serde_json::json;
use sqlx::Connection;
use uuid::Uuid;

use crate::support::{App, CONSULTATIONS, Member, path, until};

async fn ask_until(app: &App, asker: &Member, deadline: DateTime<Utc>) -> Uuid {
    app.post(asker, CONSULTATIONS, &json!({"title": "t", "deadline": deadline})).await.expect(201).id()
}

async fn deadlines(app: &App) -> i64 {
    sqlx::query_scalar("select count(*) from write.deadline").fetch_one(&app.owner).await.unwrap()
}

/// The time-outs of each stream with the seconds that they were late.
async fn time_outs(app: &App) -> Vec<(Uuid, f64)> {
    sqlx::query_as(
        "select stream_id, extract(epoch from time - (data::json ->> 'deadline')::timestamptz)::float8
         from write.journal where event_type = 'docket.consultation.timed_out.v1'",
    )
    .fetch_all(&app.owner)
    .await
    .unwrap()
}

#[tokio::test]
async fn what_is_due_is_ended_on_time() {
    let app = App::new().await;
    let asker = app.member("asker", Role::Requester).await;
    let shutdown = Shutdown::new();
    docket_command_api::spawn_scheduler(&app.state, &shutdown);
    // Written while the scheduler sleeps: the bell wakes it.
    let id = ask_until(&app, &asker, app.in_millis(300).await).await;
    ask_until(&app, &asker, app.in_millis(3_600_000).await).await;
    until("the time-out", || async { time_outs(&app).await.len() == 1 }).await;
    let (stream, late) = time_outs(&app).await[0];
    assert_eq!(stream, id);
    assert!((0.0..1.0).contains(&late), "late by {late} s");
    assert_eq!(deadlines(&app).await, 1);
    let meta: String = sqlx::query_scalar("select meta from write.journal where stream_id = $1 and stream_version = 2")
        .bind(id)
        .fetch_one(&app.owner)
        .await
        .unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&meta).unwrap(), json!({"causation_id": "deadline"}));
    for metric in ["docket_deadlines_expired_total", "docket_deadline_lateness_seconds_count"] {
        assert!(docket_platform::metrics::render().contains(metric), "{metric}");
    }
    shutdown.drain(Duration::from_secs(10)).await.expect("it ends when told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_schedulers_expire_each_once() {
    const STREAMS: usize = 300;
    let app = App::new().await;
    let asker = app.member("asker", Role::Requester).await;
    let deadline = app.in_millis(60_000).await;
    for _ in 0..STREAMS {
        ask_until(&app, &asker, deadline).await;
    }
    // Late by a minute, as seen by the rows; the consultations' own rule decides, so both have to move.
    sqlx::query(
        "update write.journal set data = jsonb_set(data::jsonb, '{deadline}', to_jsonb(now() - interval '1 minute'))::text
         where event_type = 'docket.consultation.requested.v1'",
    )
    .execute(&app.owner)
    .await
    .unwrap();
    sqlx::query("update write.deadline set due_at = now() - interval '1 minute'").execute(&app.owner).await.unwrap();
    let shutdown = Shutdown::new();
    for _ in 0..3 {
        shutdown.spawn(scheduler::run(app.other_store(), shutdown.token()));
    }
    until("every time-out", || async { deadlines(&app).await == 0 }).await;
    shutdown.drain(Duration::from_secs(10)).await.expect("they end when told");
    let mut streams: Vec<Uuid> = time_outs(&app).await.into_iter().map(|(stream, _)| stream).collect();
    assert_eq!(streams.len(), STREAMS);
    streams.sort_unstable();
    streams.dedup();
    assert_eq!(streams.len(), STREAMS);
}

#[tokio::test]
async fn a_row_that_says_another_thing_than_its_stream_is_corrected() {
    let app = App::new().await;
    let asker = app.member("asker", Role::Requester).await;
    let ended = app.post(&asker, CONSULTATIONS, &json!({"title": "t"})).await.expect(201).id();
    app.post(&asker, &path(ended, "withdrawal"), &json!({})).await.expect(200);
    let later = app.in_millis(3_600_000).await;
    let pending = ask_until(&app, &asker, later).await;
    sqlx::query("update write.deadline set due_at = now() - interval '1 second'").execute(&app.owner).await.unwrap();
    for stray in [ended, Uuid::from_u128(404)] {
        sqlx::query(
            "insert into write.deadline (stream_id, category, tenant, due_at)
             select $1, category, $2, now() - interval '1 second' from write.deadline where stream_id = $3",
        )
        .bind(stray)
        .bind(app.organisation)
        .bind(pending)
        .execute(&app.owner)
        .await
        .unwrap();
    }
    let shutdown = Shutdown::new();
    shutdown.spawn(scheduler::run(app.other_store(), shutdown.token()));
    until("the rows to be right", || async {
        let rows: Vec<(Uuid, DateTime<Utc>)> =
            sqlx::query_as("select stream_id, due_at from write.deadline").fetch_all(&app.owner).await.unwrap();
        rows == [(pending, later)]
    })
    .await;
    shutdown.drain(Duration::from_secs(10)).await.expect("it ends when told");
    assert_eq!(app.events_of(ended).await, ["requested", "withdrawn"]);
    assert_eq!(app.events_of(pending).await, ["requested"]);
}

#[tokio::test]
async fn answers_beyond_their_time_are_forgotten_by_one_replica_at_a_time() {
    let app = App::new().await;
    sqlx::query(
        "insert into write.idempotency (id, tenant, request_hash, status, category, stream_id, version, created_at)
         select gen_random_uuid(), gen_random_uuid(), '', 200, 1, gen_random_uuid(), 1,
                now() - case when n <= 4500 then interval '8 days' else interval '6 days' end
         from generate_series(1, 4600) n",
    )
    .execute(&app.owner)
    .await
    .unwrap();
    let stop = Shutdown::new().token();
    let delete = || housekeeping::delete_old_answers(app.store.pool(), housekeeping::KEEP_ANSWERS, &stop);
    let mut other = app.owner.acquire().await.unwrap();
    let mut held = other.begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock($1)").bind(0x646f_636b_6574_686b_i64).execute(&mut *held).await.unwrap();
    assert_eq!(delete().await.unwrap(), 0, "another replica is at it");
    held.commit().await.unwrap();
    assert_eq!(delete().await.unwrap(), 4500);
    assert_eq!(app.written().await.1, 100);
}
