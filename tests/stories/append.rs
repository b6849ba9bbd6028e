//! The append: order, verdicts, and what a held shard costs.

use std::time::{Duration, Instant};

use anyhow::Result;
use docket_events::{Category, NewEvent, ShardId, consultation::Decision};
use docket_log::{
    Append, AppendError, Claim, Outcome, Store, StoreOptions, Verdict,
    append::DeadlineChange,
    journal::{self, JournalReader},
    reader::Reader,
};
use docket_platform::{clock, db::DbRole, ids};
use docket_tests::{
    SHARDS, TENANT, TestDatabase, accept, comment, context, execute, new_stream, new_stream_in, request, respond,
};
use futures_util::{StreamExt, TryStreamExt, future::join_all};
use sqlx::{Connection, Executor, PgPool};

fn event(data: &str) -> NewEvent {
    NewEvent {
        id: ids::new_id(),
        event_type: "docket.consultation.commented.v1",
        time: clock::now(),
        data: data.to_owned(),
    }
}

fn append(stream: docket_events::StreamId, expected_version: u64, events: usize) -> Append {
    Append {
        tenant: TENANT,
        stream,
        expected_version,
        events: (0..events).map(|_| event("{}")).collect(),
        meta: "{}".to_owned(),
        idempotency: None,
        claims: Vec::new(),
        deadline: DeadlineChange::Keep,
        snapshot: None,
    }
}

async fn sequences(pool: &PgPool, shard: u16) -> Result<Vec<u64>> {
    let shard = ShardId { category: Category::Consultation, shard };
    Ok(journal::shard_events(pool, shard, 0).map_ok(|event| event.sequence).try_collect().await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sequences_are_gap_free_under_concurrent_writers() -> Result<()> {
    let db = TestDatabase::create().await?;
    let stores: Vec<Store> = (0..2).map(|_| db.store()).collect();
    let stream = new_stream();
    accept(&stores[0], &context(), stream, request("contended", None)).await?;

    // Two processes, 32 writers, one common stream and one of each writer's own.
    let writers = (0..32_u128).map(|n| {
        let (store, db) = (stores[n as usize % 2].clone(), &db);
        async move {
            let own = new_stream();
            accept(&store, &context(), own, request("own", None)).await?;
            for round in 0..10 {
                accept(&store, &context(), stream, comment(n + 10, &format!("{n} {round}"))).await?;
                accept(&store, &context(), own, comment(n + 10, "own")).await?;
            }
            let _ = db;
            anyhow::Ok(())
        }
    });
    for outcome in join_all(writers).await {
        outcome?;
    }

    let pool = db.pool(DbRole::Owner);
    let mut total = 0;
    for shard in 0..SHARDS {
        let found = sequences(&pool, shard).await?;
        assert_eq!(found, (1..=found.len() as u64).collect::<Vec<_>>(), "shard {shard}");
        total += found.len();
    }
    assert_eq!(total, 1 + 320 + 32 * 11);
    let versions: Vec<u64> = journal::stream_events(&pool, stream).map_ok(|e| e.version).try_collect().await?;
    assert_eq!(versions, (1..=321).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_append_lets_no_reader_skip() -> Result<()> {
    let db = TestDatabase::create().await?;
    let store = db.store();
    let owner = db.pool(DbRole::Owner);

    // An append of another process in shard 0, held open right before its commit.
    let held = new_stream_in(0);
    let mut other = db.database.connect(DbRole::Owner).await?;
    let mut open = other.begin().await?;
    open.execute(
        sqlx::query("select write.append_one($1, 2::smallint, 0::smallint, $2, 0, 1, '{}', null, null, 0::smallint, 0::smallint, null,
             array[1], array[$3::uuid], array['docket.consultation.commented.v1'], array[now()], array['{}'],
             array[]::text[], array[]::bytea[], array[]::int[], array[]::bigint[], array[]::timestamptz[], array[]::text[])")
            .bind(TENANT)
            .bind(held.id)
            .bind(ids::new_id()),
    )
    .await?;

    let mut reader = JournalReader::new(owner.clone(), store.bell());
    let shards: Vec<ShardId> = db.installation.shards_of(Category::Consultation).collect();
    let mut behind: Vec<(ShardId, u64)> = shards.iter().map(|shard| (*shard, 0)).collect();
    let mut seen = vec![Vec::new(), Vec::new()];
    let follow = async |reader: &mut JournalReader, behind: &mut Vec<(ShardId, u64)>, seen: &mut Vec<Vec<u64>>| {
        for event in reader.read(behind, 10_000).await? {
            behind[usize::from(event.shard)].1 = event.sequence;
            seen[usize::from(event.shard)].push(event.sequence);
        }
        anyhow::Ok(())
    };

    // Meanwhile a thousand commits on the other shard, and one that has to wait behind the open one.
    let late = tokio::spawn({
        let store = store.clone();
        async move { store.append(append(new_stream_in(0), 0, 1)).await }
    });
    for _ in 0..1_000 / 50 {
        let batch = (0..50).map(|_| store.append(append(new_stream_in(1), 0, 1)));
        for verdict in join_all(batch).await {
            assert!(matches!(verdict?, Verdict::Appended { .. }));
        }
        follow(&mut reader, &mut behind, &mut seen).await?;
    }
    assert_eq!(seen[0], Vec::<u64>::new(), "nothing of the open shard is visible");
    open.commit().await?;
    assert!(matches!(late.await??, Verdict::Appended { sequence: 2, .. }));
    follow(&mut reader, &mut behind, &mut seen).await?;
    assert_eq!(seen[0], [1, 2]);
    assert_eq!(seen[1], (1..=1_000).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn a_conflict_fails_alone_and_its_batch_mates_succeed() -> Result<()> {
    let db = TestDatabase::create().await?;
    // One lane: what is queued together travels together.
    let store = db.store_with(StoreOptions { lanes: 1, queue: 64 });
    let taken = new_stream();
    store.append(append(taken, 0, 2)).await?;

    let good: Vec<_> = (0..20).map(|_| new_stream()).collect();
    let appends = good.iter().map(|stream| store.append(append(*stream, 0, 1)));
    let bad = store.append(append(taken, 1, 1));
    let (verdicts, conflict) = tokio::join!(join_all(appends), bad);
    assert_eq!(conflict?, Verdict::Conflict { actual: 2 });
    for verdict in verdicts {
        assert!(matches!(verdict?, Verdict::Appended { version: 1, .. }));
    }
    Ok(())
}

#[tokio::test]
async fn data_that_the_database_refuses_fails_alone() -> Result<()> {
    let db = TestDatabase::create().await?;
    let store = db.store_with(StoreOptions { lanes: 1, queue: 64 });
    let mut poison = append(new_stream(), 0, 1);
    poison.events[0].data = "\u{0}".to_owned();
    let good = (0..10).map(|_| store.append(append(new_stream(), 0, 1)));
    let (refused, verdicts) = tokio::join!(store.append(poison), join_all(good));
    assert!(matches!(refused, Err(AppendError::Refused(_))), "{refused:?}");
    for verdict in verdicts {
        assert!(matches!(verdict?, Verdict::Appended { version: 1, .. }));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overlapping_streams_of_two_processes_never_deadlock() -> Result<()> {
    let db = TestDatabase::create().await?;
    let stores = [db.store(), db.store()];
    let streams: Vec<_> = (0..8).map(|_| new_stream()).collect();
    for stream in &streams {
        accept(&stores[0], &context(), *stream, request("shared", None)).await?;
    }
    let writers = (0..32_usize).map(|n| {
        let (store, streams) = (&stores[n % 2], &streams);
        async move {
            for round in 0..10 {
                accept(store, &context(), streams[(n + round) % streams.len()], comment(n as u128 + 10, "x")).await?;
            }
            anyhow::Ok(())
        }
    });
    for outcome in join_all(writers).await {
        outcome?;
    }
    let deadlocks: i64 =
        sqlx::query_scalar("select deadlocks from pg_stat_database where datname = current_database()")
            .fetch_one(&db.pool(DbRole::Owner))
            .await?;
    assert_eq!(deadlocks, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_shard_delays_only_itself() -> Result<()> {
    let db = TestDatabase::create().await?;
    let store = db.store_with(StoreOptions { lanes: 1, queue: 1024 });
    accept(&store, &context(), new_stream_in(1), request("warm", None)).await?;

    // A client of the writer's role locks shard 0 and then freezes.
    let mut frozen = db.database.connect(DbRole::Writer).await?;
    frozen.execute("begin").await?;
    frozen.execute("select 1 from write.shard where category = 2 and shard = 0 for update").await?;

    let started = Instant::now();
    let held = {
        let store = store.clone();
        tokio::spawn(async move { store.append(append(new_stream_in(0), 0, 1)).await })
    };
    let mut others = 0;
    while !held.is_finished() {
        let verdict = store.append(append(new_stream_in(1), 0, 1)).await?;
        assert!(matches!(verdict, Verdict::Appended { .. }));
        others += 1;
    }
    assert!(matches!(held.await??, Verdict::Appended { version: 1, sequence: 1 }));
    assert!(others > 100, "the other shard went on: {others} appends meanwhile");
    // The liveness bound of the design: the server ends the frozen client's transaction.
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(frozen.execute("commit").await.is_err(), "the frozen client lost its transaction");
    Ok(())
}

#[tokio::test]
async fn a_claimed_value_belongs_to_one_stream() -> Result<()> {
    let db = TestDatabase::create().await?;
    let store = db.store();
    let claim = || vec![Claim { kind: "email", value: vec![7; 32] }];
    let (first, second) = (new_stream(), new_stream());
    let claiming = |stream| Append { claims: claim(), ..append(stream, 0, 1) };
    assert!(matches!(store.append(claiming(first)).await?, Verdict::Appended { .. }));
    assert_eq!(store.append(claiming(second)).await?, Verdict::ClaimTaken);
    // In a batch too, and a claim of a command that fails otherwise is not kept.
    let other = Append { claims: vec![Claim { kind: "email", value: vec![8; 32] }], ..append(first, 0, 1) };
    let batch =
        tokio::join!(store.append(claiming(second)), store.append(other), store.append(append(new_stream(), 0, 1)));
    assert_eq!(batch.0?, Verdict::ClaimTaken);
    assert_eq!(batch.1?, Verdict::Conflict { actual: 1 });
    assert!(matches!(batch.2?, Verdict::Appended { .. }));
    let free = Append { claims: vec![Claim { kind: "email", value: vec![8; 32] }], ..append(second, 0, 1) };
    assert!(matches!(store.append(free).await?, Verdict::Appended { .. }));
    Ok(())
}

#[tokio::test]
async fn deadlines_are_kept_with_the_events_and_go_with_the_outcome() -> Result<()> {
    let db = TestDatabase::create().await?;
    let store = db.store();
    let stream = new_stream();
    let due = clock::now() + chrono::TimeDelta::hours(1);
    accept(&store, &context(), stream, request("due", Some(due))).await?;
    let kept: Vec<(uuid::Uuid, chrono::DateTime<chrono::Utc>)> =
        sqlx::query_as("select stream_id, due_at from write.deadline").fetch_all(&db.pool(DbRole::Owner)).await?;
    assert_eq!(kept, [(stream.id, due)]);
    accept(&store, &context(), stream, respond(2, Decision::Approve)).await?;
    let left: i64 =
        sqlx::query_scalar("select count(*) from write.deadline").fetch_one(&db.pool(DbRole::Owner)).await?;
    assert_eq!(left, 0);
    Ok(())
}

#[tokio::test]
async fn a_refused_command_after_the_deadline_still_records_the_time_out() -> Result<()> {
    let db = TestDatabase::create().await?;
    let store = db.store();
    let stream = new_stream();
    let due = clock::now() + chrono::TimeDelta::seconds(1);
    accept(&store, &context(), stream, request("due", Some(due))).await?;
    docket_tests::eventually("the deadline", async || Ok((clock::now() > due).then_some(()))).await?;
    // The requester may not respond (four eyes): refused, and the time-out is recorded all the same.
    let outcome = execute(&store, &context(), stream, respond(1, Decision::Approve)).await?;
    assert!(matches!(outcome, Outcome::Refused(_)));
    let types: Vec<String> = journal::stream_events(&db.pool(DbRole::Owner), stream)
        .map(|event| event.map(|e| e.event_type))
        .try_collect()
        .await?;
    assert_eq!(types, ["docket.consultation.requested.v1", "docket.consultation.timed_out.v1"]);
    Ok(())
}
