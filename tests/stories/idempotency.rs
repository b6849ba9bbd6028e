//! Idempotency: a repeated command gets the first answer, whatever happened meanwhile.

use anyhow::Result;
use docket_events::{StreamId, consultation::Decision};
use docket_log::{CommandContext, ExecuteError, IdempotencyKey, Outcome, Statuses};
use docket_platform::db::DbRole;
use docket_tests::{
    TENANT, TestDatabase, accept, comment, context, execute, new_stream, new_stream_in, request, respond,
};
use futures_util::future::join_all;
use uuid::Uuid;

fn keyed(key: &str, payload: u8) -> CommandContext {
    CommandContext {
        idempotency: Some(IdempotencyKey::scoped(TENANT, Uuid::from_u128(1), "ask", key, [payload; 32])),
        status: Statuses { changed: 201, unchanged: 200 },
        ..context()
    }
}

async fn events_of(db: &TestDatabase) -> Result<i64> {
    Ok(sqlx::query_scalar("select count(*) from write.journal").fetch_one(&db.pool(DbRole::Owner)).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_racers_on_one_key_get_one_answer() -> Result<()> {
    let db = TestDatabase::create().await?;
    let stores = [db.store(), db.store()];
    // Each racer is a request of its own and invents a stream of its own, as command-api does.
    let racers = (0..20_usize).map(|n| {
        let store = stores[n % 2].clone();
        tokio::spawn(async move { accept(&store, &keyed("race", 1), new_stream(), request("race", None)).await })
    });
    let mut answers = Vec::new();
    for racer in join_all(racers).await {
        answers.push(racer??);
    }
    assert!(answers.iter().all(|a| a.status == 201 && a.version == 1 && a.position == answers[0].position));
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert_eq!(events_of(&db).await?, 1);
    Ok(())
}

#[tokio::test]
async fn another_payload_under_a_used_key_is_refused() -> Result<()> {
    let db = TestDatabase::create().await?;
    let store = db.store();
    accept(&store, &keyed("k", 1), new_stream(), request("one", None)).await?;
    let again = execute(&store, &keyed("k", 2), new_stream(), request("two", None)).await;
    assert!(matches!(again, Err(ExecuteError::KeyReused)), "{again:?}");
    assert_eq!(events_of(&db).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_repetition_shows_the_version_of_the_first_answer() -> Result<()> {
    let db = TestDatabase::create().await?;
    let store = db.store();
    let stream = new_stream();
    let first = accept(&store, &keyed("ask", 1), stream, request("asked", None)).await?;
    accept(&store, &context(), stream, comment(3, "meanwhile")).await?;
    accept(&store, &context(), stream, respond(2, Decision::Approve)).await?;
    let again = accept(&store, &keyed("ask", 1), new_stream(), request("asked", None)).await?;
    assert!(again.replayed);
    assert_eq!((again.version, again.status, again.position), (first.version, first.status, first.position));
    assert_eq!(again.state, first.state);
    Ok(())
}

#[tokio::test]
async fn a_command_that_changed_nothing_keeps_its_answer_too() -> Result<()> {
    let db = TestDatabase::create().await?;
    let store = db.store();
    let (stream, neighbour) = (new_stream_in(0), new_stream_in(0));
    accept(&store, &context(), stream, request("asked", None)).await?;
    let voted = accept(&store, &context(), stream, respond(2, Decision::Approve)).await?;
    accept(&store, &context(), neighbour, request("another of its shard", None)).await?;
    let nothing = accept(&store, &keyed("again", 1), stream, respond(2, Decision::Approve)).await?;
    assert_eq!((nothing.status, nothing.version, nothing.replayed), (200, 3, false));
    accept(&store, &context(), stream, comment(3, "later")).await?;
    let again = accept(&store, &keyed("again", 1), stream, respond(2, Decision::Approve)).await?;
    assert_eq!((again.status, again.version, again.replayed), (200, 3, true));
    // Who reads with either sees the vote, and both are told the same.
    assert_eq!((&nothing.position, &again.position), (&voted.position, &voted.position));
    Ok(())
}

#[tokio::test]
async fn a_refusal_is_not_kept() -> Result<()> {
    let db = TestDatabase::create().await?;
    let store = db.store();
    let stream = new_stream();
    let early = execute(&store, &keyed("early", 1), stream, respond(2, Decision::Reject)).await?;
    assert!(matches!(early, Outcome::Refused(_)));
    accept(&store, &context(), stream, request("asked", None)).await?;
    let accepted = accept(&store, &keyed("early", 1), stream, respond(2, Decision::Reject)).await?;
    assert!(!accepted.replayed);
    Ok(())
}

#[tokio::test]
async fn the_key_is_looked_at_before_if_match() -> Result<()> {
    let db = TestDatabase::create().await?;
    let store = db.store();
    let stream = new_stream();
    accept(&store, &context(), stream, request("asked", None)).await?;
    let guarded = |key: &str| CommandContext { if_match: Some(1), ..keyed(key, 1) };
    accept(&store, &guarded("vote"), stream, respond(2, Decision::Approve)).await?;
    let again = accept(&store, &guarded("vote"), stream, respond(2, Decision::Approve)).await?;
    assert!(again.replayed);
    let other = execute(&store, &guarded("other"), stream, comment(3, "x")).await;
    assert!(matches!(other, Err(ExecuteError::VersionMismatch { actual: 3 })), "{other:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racers_with_if_match_change_the_stream_once() -> Result<()> {
    let db = TestDatabase::create().await?;
    let stores = [db.store(), db.store()];
    let stream: StreamId = new_stream();
    accept(&stores[0], &context(), stream, request("asked", None)).await?;
    let racers = (0..16_usize).map(|n| {
        let store = stores[n % 2].clone();
        let context = CommandContext { if_match: Some(1), ..context() };
        tokio::spawn(async move { execute(&store, &context, stream, comment(n as u128 + 5, "mine")).await })
    });
    let mut accepted = 0;
    for racer in join_all(racers).await {
        match racer? {
            Ok(Outcome::Accepted(_)) => accepted += 1,
            Err(ExecuteError::VersionMismatch { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(accepted, 1);
    Ok(())
}
