//! What an append costs, by number of writers, beside the plain ways to write the same rows.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use docket_domain::consultation::Consultation;
use docket_events::{Category, NewEvent, StreamId};
use docket_log::{
    Append, Bell, IdempotencyKey, Installation, Mode, Store, StoreOptions, Topic, Verdict,
    append::{DeadlineChange, IdempotencyRow},
    migrate,
};
use docket_platform::{
    clock,
    db::{Database, DbRole},
    embedded::{OWNER, ScratchCluster},
    ids,
};
use docket_tests::{TENANT, accept, comment, context, new_stream, request};
use futures_util::future::try_join_all;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, postgres::PgConnectOptions};

use crate::{
    Size,
    report::{Latencies, Report, Target},
    yardstick,
};

/// Streams that the writers spread over.
const STREAMS: usize = 10_000;

/// A migrated database of sixteen shards on the cluster that `options` (user, database) lead to.
pub async fn database(options: impl Fn(&str, &str) -> PgConnectOptions, name: &str) -> Result<(Database, Store)> {
    let mut owner = PgConnection::connect_with(&options(OWNER, "postgres")).await?;
    owner.execute(AssertSqlSafe(format!("create database {name}"))).await?;
    let database = Database::embedded(options(OWNER, name));
    let store = install(&database).await?;
    Ok((database, store))
}

/// Brings an empty database to sixteen shards and a journal.
pub async fn install(database: &Database) -> Result<Store> {
    let mut owner = database.connect(DbRole::Owner).await?;
    migrate::migrate(&mut owner).await?;
    let installation = Installation::set_up(&mut owner, ids::new_id(), 16, Mode::Journal).await?;
    owner.close().await?;
    let pool = database.pool(DbRole::Writer, 16, Duration::from_secs(5));
    Ok(Store::open(database, pool, installation, Bell::new(Topic::Journal), StoreOptions::default()))
}

fn one_event(stream: StreamId, version: u64, key: bool) -> Append {
    Append {
        tenant: TENANT,
        stream,
        expected_version: version,
        events: vec![NewEvent {
            id: ids::new_id(),
            event_type: "docket.consultation.commented.v1",
            time: clock::now(),
            data: yardstick::data(),
        }],
        meta: "{}".to_owned(),
        idempotency: key.then(|| {
            let id = ids::new_id();
            let key = IdempotencyKey::scoped(TENANT, id, "bench", &id.to_string(), [7; 32]);
            IdempotencyRow { id: key.id, request_hash: key.request_hash, status: 200 }
        }),
        claims: Vec::new(),
        deadline: DeadlineChange::Keep,
        snapshot: None,
    }
}

/// Appends with `writers` at once, each over streams of its own; events a second, and the latencies.
pub async fn writers(store: &Store, writers: usize, key: bool, seconds: f64) -> Result<(f64, Latencies)> {
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let started = Instant::now();
    let work = (0..writers).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let share = (STREAMS / writers).max(1);
            let mut streams: Vec<(StreamId, u64)> =
                (0..share).map(|_| (StreamId::new(Category::Consultation, ids::new_id()), 0)).collect();
            let mut latencies = Vec::new();
            while Instant::now() < until {
                let place = latencies.len() % share;
                let (stream, version) = &mut streams[place];
                let started = Instant::now();
                let verdict = store.append(one_event(*stream, *version, key)).await?;
                ensure!(matches!(verdict, Verdict::Appended { .. }), "{verdict:?}");
                *version += 1;
                latencies.push(started.elapsed());
            }
            Ok(latencies)
        })
    });
    let all: Vec<Duration> =
        try_join_all(work).await?.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    let rate = all.len() as f64 / started.elapsed().as_secs_f64();
    Ok((rate, Latencies::new(all)))
}

/// Seconds per whole command (load, decide, append) on one stream.
async fn command_cost(store: &Store, stream: StreamId, seconds: f64) -> Result<Latencies> {
    let begun = Instant::now();
    let mut latencies = Vec::new();
    while begun.elapsed().as_secs_f64() < seconds {
        let started = Instant::now();
        accept(store, &context(), stream, comment(3, "one more")).await?;
        latencies.push(started.elapsed());
    }
    Ok(Latencies::new(latencies))
}

/// A consultation with `events` events, written in big appends.
async fn long_stream(store: &Store, events: usize) -> Result<StreamId> {
    let stream = new_stream();
    accept(store, &context(), stream, request("long", None)).await?;
    while store.load::<Consultation>(stream, None).await?.0.version < events as u64 {
        let (loaded, _) = store.load::<Consultation>(stream, None).await?;
        let left = (events as u64 - loaded.version).min(1_000);
        let timed = (0..left)
            .map(|n| docket_log::Timed {
                time: loaded.now,
                id: ids::new_id(),
                event: docket_events::consultation::ConsultationEvent::Commented(
                    docket_events::consultation::Commented::new(
                        ids::new_id(),
                        docket_tests::person(3),
                        format!("comment {n}"),
                        None,
                    ),
                ),
            })
            .collect();
        let (_, append) = store.prepare(&context(), stream, loaded, timed).await?;
        let verdict = store.append(append).await?;
        ensure!(matches!(verdict, Verdict::Appended { .. }), "{verdict:?}");
    }
    Ok(stream)
}

/// Appends at one, 32 and 128 writers, in events a second.
async fn rates(store: &Store, seconds: f64) -> Result<Vec<f64>> {
    let mut rates = Vec::new();
    for count in [1, 32, 128] {
        rates.push(writers(store, count, true, seconds).await?.0);
    }
    Ok(rates)
}

/// Whether a million events in the journal make the next ones dearer.
async fn a_million(store: &Store, size: Size, report: &mut Report) -> Result<()> {
    let seconds = size.seconds();
    let empty = rates(store, seconds).await?;
    let wanted = size.pick(50_000.0, 1_000_000.0);
    let mut written = 0.0;
    while written < wanted {
        written += writers(store, 1_024, false, seconds).await?.0 * seconds;
    }
    let full = rates(store, seconds).await?;
    for ((count, empty), full) in [1, 32, 128].into_iter().zip(empty).zip(full) {
        report.row(
            &format!("append with key, {count} writers, {} events in the journal", size.pick("50,000", "a million")),
            format!("{full:.0}/s"),
            format!("before {empty:.0}/s"),
            empty / full,
            Target::AtMost(1.3),
        );
    }
    Ok(())
}

/// The section.
pub async fn run(cluster: &ScratchCluster, size: Size, report: &mut Report) -> Result<()> {
    let options = |user: &str, name: &str| cluster.connect_options(user, name);
    let (database, store) = database(options, "bench_append").await.context("setting the database up")?;
    writers(&store, 32, true, 0.5).await?;
    few_writers(&database, &store, size, report).await?;
    many_writers(&database, &store, size, report).await?;
    long_streams(&store, size, report).await?;
    let (_, fresh) = self::database(options, "bench_million").await?;
    writers(&fresh, 32, true, 0.5).await?;
    a_million(&fresh, size, report).await
}

async fn few_writers(database: &Database, store: &Store, size: Size, report: &mut Report) -> Result<()> {
    let seconds = size.seconds();
    // Before and after: the machine drifts within a run too.
    let before = yardstick::single_row_insert(database, seconds / 2.0).await?;
    let (rate, one) = writers(store, 1, true, seconds).await?;
    let after = yardstick::single_row_insert(database, seconds / 2.0).await?;
    let insert = f64::midpoint(before.ms(0.5), after.ms(0.5));
    report.row(
        "append with key, 1 writer, p50",
        format!("{:.3} ms ({rate:.0}/s)", one.ms(0.5)),
        format!("single-row INSERT {insert:.3} ms"),
        one.ms(0.5) / insert,
        Target::AtMost(1.5),
    );

    let before = yardstick::transaction_per_command(database, 32, seconds / 2.0).await?;
    let (rate, latencies) = writers(store, 32, true, seconds).await?;
    let after = yardstick::transaction_per_command(database, 32, seconds / 2.0).await?;
    let plain = f64::midpoint(before, after);
    report.row(
        "append with key, 32 writers",
        format!("{rate:.0}/s (p50 {:.2} ms, p99 {:.2} ms)", latencies.ms(0.5), latencies.ms(0.99)),
        format!("transaction per command {plain:.0}/s"),
        rate / plain,
        Target::AtLeast(5.0),
    );
    Ok(())
}

async fn many_writers(database: &Database, store: &Store, size: Size, report: &mut Report) -> Result<()> {
    let seconds = size.seconds();
    for (count, target) in [(128, 0.15), (1_024, 0.25)] {
        for key in [false, true] {
            let before = yardstick::copy_times_two(database, seconds / 2.0).await?;
            let (rate, latencies) = writers(store, count, key, seconds).await?;
            let after = yardstick::copy_times_two(database, seconds / 2.0).await?;
            let copy = f64::midpoint(before, after);
            report.row(
                &format!("append {} key, {count} writers", if key { "with" } else { "without" }),
                format!("{rate:.0}/s (p50 {:.2} ms, p99 {:.2} ms)", latencies.ms(0.5), latencies.ms(0.99)),
                format!("COPY x 2 {copy:.0}/s"),
                rate / copy,
                Target::AtLeast(target),
            );
        }
    }
    Ok(())
}

async fn long_streams(store: &Store, size: Size, report: &mut Report) -> Result<()> {
    let seconds = size.seconds();
    let long = long_stream(store, size.pick(10_000, 100_000)).await?;
    let short = long_stream(store, 10).await?;
    let short_cost = command_cost(store, short, seconds / 2.0).await?;
    let long_cost = command_cost(store, long, seconds).await?;
    report.row(
        &format!("command on a stream of {} events, p50", size.pick("10,000", "100,000")),
        format!("{:.3} ms", long_cost.ms(0.5)),
        format!("on a stream of 10: {:.3} ms", short_cost.ms(0.5)),
        long_cost.ms(0.5) / short_cost.ms(0.5),
        Target::AtMost(1.2),
    );
    Ok(())
}
