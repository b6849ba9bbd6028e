//! Projecting all events from the first one on, out of either log, beside the plain ways to read the same events.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use docket_events::{Category, Recorded, ShardId};
use docket_log::{
    Bell, Kafka, LogReader, MacKey, Topic, Vault,
    journal::JournalReader,
    reader::{ReadError, Reader},
};
use docket_platform::{db::DbRole, ids};
use docket_projector::{
    projection::{Registry, Schema},
    registry,
    runtime::Engine,
};
use sqlx::{AssertSqlSafe, Connection, Executor, PgPool, Row};
use uuid::Uuid;

use crate::{
    full::Full,
    kafka,
    report::{Report, Target},
};

/// How long a reader may give nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// A reader that answers when it has something: Kafka's gives what has arrived, which may be nothing yet.
struct Waiting<R>(R);

impl<R: Reader> Reader for Waiting<R> {
    async fn read(&mut self, behind: &[(ShardId, u64)], limit: usize) -> Result<Vec<Recorded>, ReadError> {
        let patient = Instant::now() + PATIENCE;
        loop {
            let events = self.0.read(behind, limit).await?;
            if !events.is_empty() || Instant::now() > patient {
                return Ok(events);
            }
            self.0.news(Duration::from_millis(100)).await;
        }
    }

    async fn news(&mut self, at_most: Duration) {
        self.0.news(at_most).await;
    }
}

/// The projector's own connections.
fn projector(full: &Full) -> PgPool {
    full.database.pool(DbRole::Projector, 4, Duration::from_secs(5))
}

/// Projects everything into fresh tables; events a second.
async fn project(full: &Full, reader: impl Reader, registry: Registry) -> Result<f64> {
    let schema = Schema::scratch(ids::new_id());
    let mut owner = full.database.connect(DbRole::Owner).await?;
    owner.execute(AssertSqlSafe(format!("create schema {schema} authorization docket_projector"))).await?;
    let pool = projector(full);
    let tables = registry.iter().flat_map(|projection| projection.info().tables).map(|table| table.name);
    for table in tables.chain(["checkpoint", "change", "change_trimmed", "dead_letter"]) {
        pool.execute(AssertSqlSafe(format!("create table {schema}.{table} (like read.{table} including all)"))).await?;
    }
    let vault = Vault::new(pool.clone());
    let mut engine = Engine::new(pool.clone(), vault, Waiting(reader), registry, schema.clone(), None);
    engine.hold(&full.store.installation().shards_of(Category::Consultation).collect()).await?;
    let started = Instant::now();
    let mut applied = 0;
    while applied < full.events {
        let turn = engine.turn().await?;
        ensure!(turn.applied > 0, "only {applied} of {} events came", full.events);
        applied += turn.applied as u64;
    }
    let rate = applied as f64 / started.elapsed().as_secs_f64();
    pool.close().await;
    owner.execute(AssertSqlSafe(format!("drop schema {schema} cascade"))).await?;
    owner.close().await?;
    Ok(rate)
}

async fn from_journal(full: &Full, registry: Registry) -> Result<f64> {
    project(full, JournalReader::new(projector(full), &Bell::new(Topic::Journal)), registry).await
}

async fn from_kafka(full: &Full, kafka: &Kafka, registry: Registry) -> Result<f64> {
    let pool = projector(full);
    let key = MacKey::load(&pool).await?;
    project(full, LogReader::kafka_alone(pool, kafka, key)?, registry).await
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

/// The section's first half: from the journal.
pub async fn run(full: &Full, report: &mut Report) -> Result<()> {
    let before = set_based(&full.owner).await?;
    let counter = from_journal(full, only("consultation_stats")?).await?;
    let after = set_based(&full.owner).await?;
    let reference = f64::midpoint(before, after);
    report.row(
        "rebuild, counter projection",
        format!("{counter:.0} events/s"),
        format!("set-based reference {reference:.0} events/s"),
        counter / reference,
        Target::AtLeast(0.6),
    );
    let consultation = from_journal(full, only("consultation")?).await?;
    report.row(
        "rebuild, consultation projection",
        format!("{consultation:.0} events/s"),
        "target 20,000 events/s".to_owned(),
        consultation / 20_000.0,
        Target::AtLeast(1.0),
    );
    let all = from_journal(full, registry()).await?;
    report.row(
        "rebuild, all projections together",
        format!("{all:.0} events/s"),
        format!("consultation alone {consultation:.0} events/s"),
        all / consultation,
        Target::None,
    );
    Ok(())
}

/// Its second half: from the topics alone, which hold all of `full`.
pub async fn run_kafka(full: &Full, kafka: &Kafka, report: &mut Report) -> Result<()> {
    // The first reading of a topic brings the broker's own code up to speed.
    kafka::consume(kafka, full).await?;
    let before = kafka::consume(kafka, full).await?;
    let counter = from_kafka(full, kafka, only("consultation_stats")?).await?;
    let after = kafka::consume(kafka, full).await?;
    let consumer = f64::midpoint(before, after);
    report.row(
        "rebuild from Kafka, counter projection",
        format!("{counter:.0} events/s"),
        format!("bare consumer {consumer:.0} events/s"),
        counter / consumer,
        Target::None,
    );
    let consultation = from_kafka(full, kafka, only("consultation")?).await?;
    report.row(
        "rebuild from Kafka, consultation projection",
        format!("{consultation:.0} events/s"),
        format!("target 20,000 events/s (bare consumer {consumer:.0})"),
        consultation / 20_000.0,
        Target::AtLeast(1.0),
    );
    Ok(())
}
