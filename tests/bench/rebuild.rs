//! Projecting a full journal from its beginning, beside the set-based way to count the same events.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use docket_events::{
    Category,
    consultation::{Commented, ConsultationEvent, Decision, Requested, Responded, Rule, VoteCast},
};
use docket_log::{Bell, CommandContext, Store, Timed, Topic, Vault, Verdict, journal::JournalReader};
use docket_platform::{
    clock,
    db::{Database, DbRole},
    embedded::ScratchCluster,
    ids,
};
use docket_projector::{
    projection::{Registry, Schema},
    registry,
    runtime::{Engine, EngineOptions},
};
use docket_tests::{TENANT, new_stream, person};
use futures_util::future::try_join_all;
use sqlx::{AssertSqlSafe, Connection, Executor, PgPool, Row};
use uuid::Uuid;

use crate::{
    Size, append,
    report::{Report, Target},
};

/// Events of one consultation in the filled journal.
const PER_STREAM: usize = 8;

fn story() -> Vec<ConsultationEvent> {
    let mut events = vec![ConsultationEvent::Requested(Requested {
        title: "Deploy release 42?".to_owned(),
        body: Some("All checks are green, staging ran for a day.".to_owned()),
        context: None,
        external_id: None,
        requested_by: person(1),
        reviewers: Vec::new(),
        deadline: None,
    })];
    events.extend((0..PER_STREAM - 3).map(|n| {
        ConsultationEvent::Commented(Commented {
            comment_id: ids::new_id(),
            by: person(3 + n as u128),
            text: "Looked at it, nothing to add.".to_owned(),
        })
    }));
    events.push(ConsultationEvent::VoteCast(VoteCast { by: person(2), decision: Decision::Approve, comment: None }));
    events.push(ConsultationEvent::Responded(Responded {
        decision: Decision::Approve,
        by: person(2),
        rule: Rule::AnyOne,
        request_version: 1,
        comment: None,
    }));
    events
}

/// Fills the journal with `streams` decided consultations.
async fn fill(store: &Store, streams: usize) -> Result<()> {
    let context = CommandContext { tenant: TENANT, ..CommandContext::default() };
    let context = &context;
    for _ in 0..streams.div_ceil(500) {
        try_join_all((0..500).map(|_| async move {
            let stream = new_stream();
            let (loaded, _) = store.load(stream, None).await?;
            let events =
                story().into_iter().map(|event| Timed { time: clock::now(), id: ids::new_id(), event }).collect();
            let (_, append) =
                store.prepare::<docket_domain::consultation::Consultation>(context, stream, loaded, events).await?;
            let verdict = store.append(append).await?;
            ensure!(matches!(verdict, Verdict::Appended { .. }), "{verdict:?}");
            Ok(())
        }))
        .await?;
    }
    Ok(())
}

/// Projects everything into fresh tables; events a second.
async fn project(database: &Database, store: &Store, registry: Registry) -> Result<f64> {
    let schema = Schema::scratch(ids::new_id());
    let mut owner = database.connect(DbRole::Owner).await?;
    owner.execute(AssertSqlSafe(format!("create schema {schema} authorization docket_projector"))).await?;
    let pool = database.pool(DbRole::Projector, 4, Duration::from_secs(5));
    let tables = registry.iter().flat_map(|projection| projection.info().tables).map(|table| table.name);
    for table in tables.chain(["checkpoint", "change", "change_trimmed", "dead_letter"]) {
        pool.execute(AssertSqlSafe(format!("create table {schema}.{table} (like read.{table} including all)"))).await?;
    }
    let reader = JournalReader::new(pool.clone(), &Bell::new(Topic::Journal));
    let mut engine = Engine::new(pool.clone(), Vault::new(pool.clone()), reader, registry, schema.clone(), None)
        .with_options(EngineOptions::default());
    let shards = store.installation().shards_of(Category::Consultation).collect();
    engine.hold(&shards).await?;
    let started = Instant::now();
    let mut applied = 0;
    loop {
        let turn = engine.turn().await?;
        applied += turn.applied;
        if turn.applied == 0 {
            break;
        }
    }
    let rate = applied as f64 / started.elapsed().as_secs_f64();
    pool.close().await;
    owner.execute(AssertSqlSafe(format!("drop schema {schema} cascade"))).await?;
    owner.close().await?;
    Ok(rate)
}

/// The yardstick: read by shard and sequence in batches of 5,000, count in memory, one bulk upsert with the checkpoint.
async fn set_based(pool: &PgPool) -> Result<f64> {
    pool.execute(sqlx::raw_sql(
        "drop table if exists counter, counter_checkpoint;
         create table counter (tenant uuid, kind text, events bigint, primary key (tenant, kind));
         create table counter_checkpoint (shard smallint primary key, sequence bigint)",
    ))
    .await?;
    let mut connection = pool.acquire().await?;
    let started = Instant::now();
    let mut total = 0_u64;
    for shard in 0..16_i16 {
        let mut behind = 0_i64;
        loop {
            let rows = sqlx::query(
                "select sequence, tenant, event_type, data from write.journal
                 where category = 2 and shard = $1 and sequence > $2 order by sequence limit 5000",
            )
            .bind(shard)
            .bind(behind)
            .fetch_all(&mut *connection)
            .await?;
            let Some(last) = rows.last() else { break };
            behind = last.try_get(0)?;
            total += rows.len() as u64;
            let mut counts: HashMap<(Uuid, &str), i64> = HashMap::new();
            for row in &rows {
                *counts.entry((row.try_get(1)?, row.try_get(2)?)).or_default() += 1;
            }
            let mut transaction = connection.begin().await?;
            sqlx::query(
                "insert into counter_checkpoint values ($1, $2) on conflict (shard) do update set sequence = $2",
            )
            .bind(shard)
            .bind(behind)
            .execute(&mut *transaction)
            .await?;
            sqlx::query(
                "insert into counter select * from unnest($1::uuid[], $2::text[], $3::bigint[])
                 on conflict (tenant, kind) do update set events = counter.events + excluded.events",
            )
            .bind(counts.keys().map(|key| key.0).collect::<Vec<_>>())
            .bind(counts.keys().map(|key| key.1).collect::<Vec<_>>())
            .bind(counts.values().copied().collect::<Vec<_>>())
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
        }
    }
    Ok(total as f64 / started.elapsed().as_secs_f64())
}

/// The registry reduced to one projection.
fn only(name: &str) -> Result<Registry> {
    let found: Vec<_> = registry().iter().copied().filter(|projection| projection.info().name == name).collect();
    ensure!(found.len() == 1, "no projection {name}");
    // A benchmark's registry lives as long as the process.
    Ok(Vec::leak(found))
}

/// The section.
pub async fn run(cluster: &ScratchCluster, size: Size, report: &mut Report) -> Result<()> {
    let (database, store) = append::database(|user, name| cluster.connect_options(user, name), "bench_rebuild").await?;
    fill(&store, size.pick(5_000, 50_000)).await?;
    let owner = database.pool(DbRole::Owner, 2, Duration::from_secs(5));
    owner.execute("vacuum analyze write.journal").await?;

    let before = set_based(&owner).await?;
    let counter = project(&database, &store, only("consultation_stats")?).await?;
    let after = set_based(&owner).await?;
    let reference = f64::midpoint(before, after);
    report.row(
        "rebuild, counter projection",
        format!("{counter:.0} events/s"),
        format!("set-based reference {reference:.0} events/s"),
        counter / reference,
        Target::AtLeast(0.6),
    );
    let consultation = project(&database, &store, only("consultation")?).await?;
    report.row(
        "rebuild, consultation projection",
        format!("{consultation:.0} events/s"),
        "target 20,000 events/s".to_owned(),
        consultation / 20_000.0,
        Target::AtLeast(1.0),
    );
    let all = project(&database, &store, registry()).await?;
    report.row(
        "rebuild, all projections together",
        format!("{all:.0} events/s"),
        format!("consultation alone {consultation:.0} events/s"),
        all / consultation,
        Target::None,
    );
    Ok(())
}
