//! Snapshots: a cache that changes the cost and nothing else.

use anyhow::Result;
use docket_domain::consultation::Consultation;
use docket_platform::db::DbRole;
use docket_tests::{TestDatabase, accept, comment, context, new_stream, request};

#[tokio::test]
async fn a_long_stream_folds_the_same_with_and_without_snapshots() -> Result<()> {
    let db = TestDatabase::create().await?;
    let store = db.store();
    let owner = db.pool(DbRole::Owner);
    let stream = new_stream();
    accept(&store, &context(), stream, request("long", None)).await?;
    for n in 0..200 {
        accept(&store, &context(), stream, comment(3, &format!("comment {n}"))).await?;
    }
    let versions: Vec<i64> = sqlx::query_scalar("select version from write.snapshot").fetch_all(&owner).await?;
    assert_eq!(versions, [192]);
    let (with, _) = store.load::<Consultation>(stream, None).await?;
    sqlx::query("update write.snapshot set schema = schema + 1").execute(&owner).await?;
    let (without, _) = store.load::<Consultation>(stream, None).await?;
    assert_eq!((&with.state, with.version, with.sequence), (&without.state, without.version, without.sequence));
    assert_eq!(with.version, 201);
    Ok(())
}

#[tokio::test]
async fn a_damaged_snapshot_is_passed_over() -> Result<()> {
    let db = TestDatabase::create().await?;
    let store = db.store();
    let stream = new_stream();
    accept(&store, &context(), stream, request("long", None)).await?;
    for _ in 0..70 {
        accept(&store, &context(), stream, comment(3, "x")).await?;
    }
    let (before, _) = store.load::<Consultation>(stream, None).await?;
    sqlx::query("update write.snapshot set state = '{\"half'").execute(&db.pool(DbRole::Owner)).await?;
    let (after, _) = store.load::<Consultation>(stream, None).await?;
    assert_eq!(before.state, after.state);
    Ok(())
}

#[tokio::test]
async fn a_snapshot_holds_no_name_in_clear() -> Result<()> {
    let db = TestDatabase::create().await?;
    let store = db.store();
    let stream = new_stream();
    accept(&store, &context(), stream, request("long", None)).await?;
    for _ in 0..70 {
        accept(&store, &context(), stream, comment(3, "x")).await?;
    }
    let states: Vec<String> =
        sqlx::query_scalar("select state from write.snapshot").fetch_all(&db.pool(DbRole::Owner)).await?;
    assert_eq!(states.len(), 1);
    assert!(states[0].contains("$personal") && !states[0].contains("Person "), "{}", states[0]);
    let journal: Vec<String> =
        sqlx::query_scalar("select data from write.journal").fetch_all(&db.pool(DbRole::Owner)).await?;
    assert!(journal.iter().all(|data| !data.contains("Person ")));
    Ok(())
}
