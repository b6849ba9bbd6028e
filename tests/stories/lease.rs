//! Leases: shards are shared evenly, and pass on when their holder is gone.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Result;
use docket_events::{Category, ShardId};
use docket_log::lease::Leases;
use docket_platform::{db::DbRole, ids};
use docket_tests::{SHARDS, TestDatabase, eventually};

#[tokio::test]
async fn shards_are_shared_evenly_and_pass_on_when_their_holder_is_gone() -> Result<()> {
    let db = TestDatabase::create().await?;
    let all: Vec<_> = Category::ALL.into_iter().flat_map(|category| db.installation.shards_of(category)).collect();
    let ttl = Duration::from_millis(300);
    let join = || Leases::join(db.pool(DbRole::Projector), "team", ids::new_id(), ttl, all.clone());
    let (mut first, mut second) = (join(), join());
    assert_eq!(first.tick().await?.len(), all.len());
    // Of each category: one of them may be busy and the other idle.
    let is_half = |held: &BTreeSet<ShardId>| {
        Category::ALL
            .into_iter()
            .all(|category| held.iter().filter(|shard| shard.category == category).count() == usize::from(SHARDS) / 2)
    };
    eventually("an even share", async || {
        let one = first.tick().await?;
        let two = second.tick().await?;
        assert!(one.is_disjoint(&two), "nobody works a shard twice: {one:?} {two:?}");
        Ok((is_half(&one) && is_half(&two)).then_some(()))
    })
    .await?;
    // The first one dies without a word.
    drop(first);
    eventually("everything passed on", async || {
        let held = second.tick().await?.len();
        Ok((held == all.len()).then_some(()))
    })
    .await?;
    second.leave().await?;
    let mut third = join();
    assert_eq!(third.tick().await?.len(), usize::from(SHARDS) * Category::ALL.len());
    Ok(())
}

#[tokio::test]
async fn a_shard_that_one_process_declines_goes_to_another() -> Result<()> {
    let db = TestDatabase::create().await?;
    let all: Vec<_> = Category::ALL.into_iter().flat_map(|category| db.installation.shards_of(category)).collect();
    let join = || Leases::join(db.pool(DbRole::Projector), "team", ids::new_id(), Duration::from_secs(60), all.clone());
    let (mut old, mut new) = (join(), join());
    assert_eq!(old.tick().await?.len(), all.len());
    // The older release meets an event that it does not know: it need not wait for its lease to run out.
    let unknown = all[0];
    old.decline(unknown, Duration::from_secs(60));
    assert!(!old.tick().await?.contains(&unknown));
    assert!(new.tick().await?.contains(&unknown));
    assert!(!old.tick().await?.contains(&unknown), "it is left to the newer one");
    Ok(())
}

#[tokio::test]
async fn what_one_process_declines_another_works_beyond_its_share() -> Result<()> {
    let db = TestDatabase::create().await?;
    let all: Vec<_> = Category::ALL.into_iter().flat_map(|category| db.installation.shards_of(category)).collect();
    let join = || Leases::join(db.pool(DbRole::Projector), "team", ids::new_id(), Duration::from_secs(60), all.clone());
    let (mut old, mut new) = (join(), join());
    let half = all.len() / 2;
    eventually("an even share", async || {
        let (one, two) = (old.tick().await?.len(), new.tick().await?.len());
        Ok((one == half && two == half).then_some(()))
    })
    .await?;
    let declined: Vec<ShardId> = old.tick().await?.into_iter().take(2).collect();
    declined.iter().for_each(|shard| old.decline(*shard, Duration::from_secs(60)));
    eventually("nothing is left alone", async || {
        let (one, two) = (old.tick().await?, new.tick().await?);
        assert!(one.is_disjoint(&two), "nobody works a shard twice: {one:?} {two:?}");
        assert!(declined.iter().all(|shard| two.contains(shard)), "{two:?} must hold {declined:?}");
        Ok((one.len() + two.len() == all.len()).then_some(()))
    })
    .await?;
    old.leave().await?;
    eventually("everything", async || Ok((new.tick().await?.len() == all.len()).then_some(()))).await
}
