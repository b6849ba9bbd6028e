//! The yardsticks: the same database, asked in the plain ways that one would otherwise use.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};

use anyhow::Result;
use docket_platform::{clock, db::Database, db::DbRole, ids};
use futures_util::future::try_join_all;
use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::report::Latencies;

/// The size of an event's data in every append measurement.
pub const DATA_BYTES: usize = 256;

/// Data of [`DATA_BYTES`] bytes.
pub fn data() -> String {
    format!("{{\"text\":\"{}\"}}", "x".repeat(DATA_BYTES - 11))
}

const PLAIN: &str = "create unlogged table if not exists yardstick_dummy (x int);
    drop table if exists yardstick; create table yardstick (
        category smallint not null, shard smallint not null, sequence bigint not null, stream_id uuid not null,
        stream_version bigint not null, event_id uuid not null, tenant uuid not null, time timestamptz not null,
        recorded_at timestamptz not null default clock_timestamp(), event_type text not null, data text not null,
        meta text not null, primary key (category, shard, sequence))";

const INSERT: &str =
    "insert into yardstick (category, shard, sequence, stream_id, stream_version, event_id, tenant, time,
    event_type, data, meta) values (2, 0, $1, $2, 1, $3, $4, $5, 'docket.consultation.commented.v1', $6, '{}')";

async fn connect(database: &Database) -> Result<PgConnection> {
    Ok(database.connect(DbRole::Owner).await?)
}

/// Prepared single-row INSERTs, autocommitted, one writer, into a table of the journal's columns and primary key.
pub async fn single_row_insert(database: &Database, seconds: f64) -> Result<Latencies> {
    let mut connection = connect(database).await?;
    connection.execute(sqlx::raw_sql(PLAIN)).await?;
    let data = data();
    let mut latencies = Vec::new();
    let begun = Instant::now();
    while begun.elapsed().as_secs_f64() < seconds {
        let started = Instant::now();
        sqlx::query(INSERT)
            .bind(latencies.len() as i64 + 1)
            .bind(ids::new_id())
            .bind(ids::new_id())
            .bind(Uuid::nil())
            .bind(clock::now())
            .bind(&data)
            .execute(&mut connection)
            .await?;
        latencies.push(started.elapsed());
    }
    connection.close().await?;
    Ok(Latencies::new(latencies))
}

/// BEGIN; UPDATE the shard's next sequence RETURNING; INSERT the event; COMMIT: each its own round trip. Events a second.
pub async fn transaction_per_command(database: &Database, writers: usize, seconds: f64) -> Result<f64> {
    let mut connection = connect(database).await?;
    connection
        .execute(sqlx::raw_sql(
            "drop table if exists yardstick_shard; create table yardstick_shard (shard smallint primary key, sequence bigint);
             insert into yardstick_shard select n, 0 from generate_series(0, 15) n",
        ))
        .await?;
    connection.execute(sqlx::raw_sql(PLAIN)).await?;
    connection.close().await?;
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let work = (0..writers).map(|n| async move {
        let mut connection = connect(database).await?;
        let data = data();
        let mut done = 0_u64;
        while Instant::now() < until {
            let shard = ((n as u64 + done) % 16) as i16;
            let mut transaction = connection.begin().await?;
            let sequence: i64 = sqlx::query_scalar(
                "update yardstick_shard set sequence = sequence + 1 where shard = $1 returning sequence",
            )
            .bind(shard)
            .fetch_one(&mut *transaction)
            .await?;
            sqlx::query(
                "insert into yardstick (category, shard, sequence, stream_id, stream_version, event_id, tenant, time, event_type,
                 data, meta) values (2, $1, $2, $3, 1, $4, $5, $6, 'docket.consultation.commented.v1', $7, '{}')",
            )
            .bind(shard)
            .bind(sequence)
            .bind(ids::new_id())
            .bind(ids::new_id())
            .bind(Uuid::nil())
            .bind(clock::now())
            .bind(&data)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            done += 1;
        }
        anyhow::Ok(done)
    });
    let started = Instant::now();
    let done: u64 = try_join_all(work).await?.into_iter().sum();
    Ok(done as f64 / started.elapsed().as_secs_f64())
}

fn field(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as i32).to_be_bytes());
    out.extend(bytes);
}

/// One row in PostgreSQL's binary COPY format.
fn copy_row(out: &mut Vec<u8>, shard: i16, sequence: i64, micros: i64, data: &str) {
    out.extend(11_i16.to_be_bytes());
    field(out, &2_i16.to_be_bytes());
    field(out, &shard.to_be_bytes());
    field(out, &sequence.to_be_bytes());
    field(out, ids::new_id().as_bytes());
    field(out, &1_i64.to_be_bytes());
    field(out, ids::new_id().as_bytes());
    field(out, Uuid::nil().as_bytes());
    field(out, &micros.to_be_bytes());
    field(out, b"docket.consultation.commented.v1");
    field(out, data.as_bytes());
    field(out, b"{}");
}

/// Two connections, binary COPY into the journal itself with its indexes, 1,000 rows a commit. Events a second.
pub async fn copy_times_two(database: &Database, seconds: f64) -> Result<f64> {
    static SHARD: AtomicI64 = AtomicI64::new(1_000);
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let work = (0..2).map(|_| async move {
        // Shards of its own, far from those in use.
        let shard = SHARD.fetch_add(1, Ordering::Relaxed) as i16;
        let mut connection = connect(database).await?;
        let data = data();
        let mut done = 0_i64;
        while Instant::now() < until {
            let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
            // Microseconds since 2000-01-01, as the wire wants them.
            let micros = clock::now().timestamp_micros() - 946_684_800_000_000;
            for _ in 0..1_000 {
                done += 1;
                copy_row(&mut bytes, shard, done, micros, &data);
            }
            bytes.extend((-1_i16).to_be_bytes());
            let mut copy = connection
                .copy_in_raw(
                    "copy write.journal (category, shard, sequence, stream_id, stream_version, event_id, tenant, time,
                     event_type, data, meta) from stdin (format binary)",
                )
                .await?;
            copy.send(bytes).await?;
            copy.finish().await?;
        }
        sqlx::query("delete from write.journal where category = 2 and shard = $1")
            .bind(shard)
            .execute(&mut connection)
            .await?;
        anyhow::Ok(done)
    });
    let started = Instant::now();
    let done: i64 = try_join_all(work).await?.into_iter().sum();
    // The clean-up is not part of the figure: everything was committed by `until`, give or take one batch.
    Ok(done as f64 / (until.duration_since(started).as_secs_f64()))
}
