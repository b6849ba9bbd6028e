//! PostgreSQL was restored to an older state: the topics have more than the journal, and give it back.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context, Result};
use chrono::TimeDelta;
use docket_command_api::{
    auth::accounts::Accounts,
    recover::Rules,
    setup::{FirstStartOptions, first_start},
};
use docket_events::{Category, Metadata, Recorded, ShardId, StreamId, consultation::Decision};
use docket_log::{
    Bell, CommandContext, Kafka, KafkaArgs, MacKey, Mode, Topic, compare,
    kafka::Probe,
    recover::{Price, RecoverError, Recovered, SetAside, recover},
    relay::{self, marks},
};
use docket_platform::{Shutdown, clock, db::DbRole, ids, scratch_kafka::ScratchKafka};
use docket_tests::{TestDatabase, accept, comment, context, eventually, new_stream_in, request, respond};
use sqlx::PgPool;
use tokio::sync::watch;
use uuid::Uuid;

/// An installation whose log is in Kafka.
struct Place {
    db: TestDatabase,
    owner: PgPool,
    kafka: Kafka,
}

impl Place {
    async fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let brokers = tokio::task::spawn_blocking(|| ScratchKafka::shared().bootstrap()).await?;
        let prefix = format!("recover-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let kafka = Kafka::new(&KafkaArgs::plaintext(brokers, prefix))?.context("brokers")?;
        let db = TestDatabase::create().await?;
        Ok(Self { owner: db.pool(DbRole::Owner), db, kafka })
    }

    /// The database as it is now, to be used in its stead later. Nobody may be connected.
    async fn backup(&self) -> Result<Self> {
        self.owner.close().await;
        let db = self.db.copy().await?;
        Ok(Self { owner: db.pool(DbRole::Owner), db, kafka: self.kafka.clone() })
    }

    async fn probe(&self) -> Result<Probe> {
        Ok(Probe::new(&self.kafka, MacKey::load(&self.owner).await?)?)
    }

    /// Publishes everything there is.
    async fn publish(&self) -> Result<()> {
        let (shutdown, (_mode, mode)) = (Shutdown::new(), watch::channel(Mode::Kafka));
        let (database, installation, kafka) = (self.db.database.clone(), self.db.installation, self.kafka.clone());
        let stop = shutdown.clone();
        let relay = tokio::spawn(async move {
            let bell = Bell::new(Topic::Journal);
            relay::run(relay::Config::default(), kafka, &database, installation, &bell, mode, &stop).await
        });
        let owner = self.db.pool(DbRole::Owner);
        let published = eventually("all is published", async || Ok((marks::backlog(&owner).await? == 0).then_some(())));
        published.await?;
        shutdown.begin();
        shutdown.drain(Duration::from_secs(10)).await?;
        relay.await??;
        owner.close().await;
        Ok(())
    }

    async fn recover(&self, aside: Option<&mut Kept>) -> Result<Vec<Recovered>, RecoverError> {
        let probe = Probe::new(&self.kafka, MacKey::load(&self.owner).await?)?;
        let price = Price { aside, without_keys: false };
        recover(&self.owner, &probe, self.db.installation, &Rules::new(&self.owner), price, |_| ()).await
    }

    /// Restores the other's vault from the newest backup, which is kept apart.
    async fn lend_keys(&self, to: &Self) -> Result<()> {
        let keys: Vec<(Uuid, Uuid, Vec<u8>)> =
            sqlx::query_as("select id, subject, secret from vault.data_key").fetch_all(&self.owner).await?;
        for (id, subject, secret) in keys {
            sqlx::query("insert into vault.data_key (id, subject, secret) values ($1, $2, $3) on conflict do nothing")
                .bind(id)
                .bind(subject)
                .bind(secret)
                .execute(&to.owner)
                .await?;
        }
        Ok(())
    }

    /// Everything that a recovery has to bring back, as text.
    async fn written(&self) -> Result<Vec<String>> {
        let rows = sqlx::query_scalar(
            "select to_jsonb(j)::text from write.journal j
             union all select to_jsonb(s)::text from write.shard s
             union all select to_jsonb(d)::text from (select stream_id, category, tenant, due_at from write.deadline) d
             union all select to_jsonb(c)::text from write.claim c order by 1",
        );
        Ok(rows.fetch_all(&self.owner).await?)
    }

    /// No message contradicts the journal, and nothing is halted.
    async fn assert_agrees(&self) -> Result<()> {
        let probe = self.probe().await?;
        for category in Category::ALL {
            for shard in self.db.installation.shards_of(category) {
                assert_eq!(compare::events(&self.owner, &probe, shard).await?.flaws, [], "in {shard}");
            }
        }
        assert!(marks::all(&self.owner).await?.values().all(|mark| mark.halted.is_none()));
        Ok(())
    }
}

/// What was set aside.
#[derive(Default)]
struct Kept(Vec<Recorded>);

impl SetAside for Kept {
    fn keep(&mut self, events: &[Recorded]) -> std::io::Result<()> {
        self.0.extend_from_slice(events);
        Ok(())
    }
}

fn in_an_hour() -> Option<chrono::DateTime<chrono::Utc>> {
    Some(clock::now() + TimeDelta::hours(1))
}

/// A context of somebody, unlike the clock's.
fn somebody() -> CommandContext {
    let metadata = Metadata { principal: Some(Uuid::from_u128(7)), ..Metadata::default() };
    CommandContext { metadata, ..context() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_topics_have_more_comes_back_with_its_deadlines_and_claims() -> Result<()> {
    let place = Place::new().await?;
    let store = place.db.store();
    // The key under which addresses are claimed is as old as the installation.
    Accounts::new(store.pool().clone()).email_hmac("somebody@example.org").await?;
    let old: Vec<StreamId> = (0..4).map(|n| new_stream_in(n % 2)).collect();
    for stream in &old {
        accept(&store, &somebody(), *stream, request("before", in_an_hour())).await?;
    }
    store.pool().close().await;
    place.publish().await?;
    let restored = place.backup().await?;

    let store = place.db.store();
    first_start(
        &store,
        FirstStartOptions { organisation: None, admin_email: None, admin_password: None, reviewer: true },
    )
    .await?;
    accept(&store, &somebody(), old[0], respond(2, Decision::Approve)).await?;
    accept(&store, &somebody(), old[1], comment(2, "Why?")).await?;
    for n in 0..20 {
        accept(&store, &somebody(), new_stream_in(n % 2), request("after", in_an_hour())).await?;
    }
    store.pool().close().await;
    place.publish().await?;

    // The relay of the restored database halts, and publishes nothing.
    let place = Place { owner: place.db.pool(DbRole::Owner), ..place };
    assert_ne!(restored.written().await?, place.written().await?);
    let before = restored.written().await?;
    let without = restored.recover(None).await;
    assert!(
        matches!(without, Err(RecoverError::KeysMissing { .. })),
        "the vault was restored with the rest: {without:?}"
    );
    assert_eq!(restored.written().await?, before, "what is refused changes nothing");
    place.lend_keys(&restored).await?;
    let recovered = restored.recover(None).await?;
    assert_eq!(recovered.iter().map(|done| done.restored).sum::<usize>(), 20 + 3 + 5);
    assert!(recovered.iter().all(|done| (done.moved, done.void, done.set_aside) == (0, 0, 0)), "{recovered:?}");
    assert!(recovered.iter().all(|done| done.unreadable == 0), "{recovered:?}");
    assert_eq!(restored.written().await?, place.written().await?, "journal, shards, deadlines, claims");
    assert_eq!(restored.recover(None).await?, [], "once is enough");
    restored.assert_agrees().await?;

    // And it goes on from there.
    let store = restored.db.store();
    accept(&store, &somebody(), old[2], comment(3, "Onwards.")).await?;
    store.pool().close().await;
    restored.publish().await?;
    restored.assert_agrees().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_journalled_since_goes_behind_the_tail_or_aside() -> Result<()> {
    let place = Place::new().await?;
    let store = place.db.store();
    let [answered, expired] = [new_stream_in(0), new_stream_in(0)];
    let soon = Some(clock::now() + TimeDelta::milliseconds(300));
    accept(&store, &somebody(), answered, request("answered", in_an_hour())).await?;
    accept(&store, &somebody(), expired, request("expired", soon)).await?;
    store.pool().close().await;
    place.publish().await?;
    let restored = place.backup().await?;
    let store = place.db.store();
    accept(&store, &somebody(), answered, respond(2, Decision::Approve)).await?;
    accept(&store, &somebody(), expired, respond(2, Decision::Approve)).await?;
    store.pool().close().await;
    place.publish().await?;

    // Meanwhile somebody answers otherwise, the clock ends the other one, and somebody asks anew.
    let store = restored.db.store();
    let new = new_stream_in(0);
    accept(&store, &somebody(), answered, respond(3, Decision::Reject)).await?;
    accept(&store, &somebody(), new, request("new", None)).await?;
    let ended = async || {
        let command = docket_domain::consultation::Expire.into();
        let outcome = docket_tests::execute(&store, &context(), expired, command).await?;
        let docket_log::Outcome::Accepted(accepted) = outcome else { return Ok(None) };
        Ok((accepted.version == 2).then_some(()))
    };
    eventually("the deadline passes", ended).await?;
    store.pool().close().await;

    let refused = restored.recover(None).await;
    let shard = ShardId { category: Category::Consultation, shard: 0 };
    assert!(
        matches!(refused, Err(RecoverError::Conflict { shard: of, events: 2, streams: 1 }) if of == shard),
        "{refused:?}"
    );
    let place = Place { owner: place.db.pool(DbRole::Owner), ..place };
    place.lend_keys(&restored).await?;
    let mut kept = Kept::default();
    let recovered = restored.recover(Some(&mut kept)).await?;
    let [done] = recovered.as_slice() else { panic!("one shard: {recovered:?}") };
    assert_eq!((done.restored, done.moved, done.void, done.set_aside), (4, 1, 1, 2));
    assert_eq!(kept.0.iter().map(|event| event.stream).collect::<Vec<_>>(), [answered, answered]);
    let rows: Vec<(Uuid, i64, i64)> = sqlx::query_as(
        "select stream_id, stream_version, sequence from write.journal where category = 2 and shard = 0 order by sequence",
    )
    .fetch_all(&restored.owner)
    .await?;
    let expected = [(answered, 1), (expired, 1), (answered, 2), (answered, 3), (expired, 2), (expired, 3), (new, 1)];
    let expected: Vec<_> = expected.iter().zip(1..).map(|((stream, version), at)| (stream.id, *version, at)).collect();
    assert_eq!(rows, expected);
    restored.publish().await?;
    restored.assert_agrees().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_that_was_cut_off_is_finished_by_the_next_one() -> Result<()> {
    let place = Place::new().await?;
    place.publish().await?;
    let restored = place.backup().await?;
    let store = place.db.store();
    for n in 0..6 {
        let stream = StreamId::new(Category::Consultation, ids::new_id());
        accept(&store, &somebody(), stream, request(&format!("case {n}"), in_an_hour())).await?;
        accept(&store, &somebody(), new_stream_in(n % 2), request("another", None)).await?;
    }
    store.pool().close().await;
    place.publish().await?;
    let place = Place { owner: place.db.pool(DbRole::Owner), ..place };
    place.lend_keys(&restored).await?;
    let (probe, rules) = (restored.probe().await?, Rules::new(&restored.owner));
    let price = || Price::<Kept> { aside: None, without_keys: false };
    let cut = tokio::sync::Notify::new();
    tokio::select! {
        biased;
        () = cut.notified() => {}
        _ = recover(&restored.owner, &probe, restored.db.installation, &rules, price(), |_| cut.notify_one()) => {}
    }
    restored.recover(None).await?;
    assert_eq!(restored.written().await?, place.written().await?);
    restored.assert_agrees().await
}
