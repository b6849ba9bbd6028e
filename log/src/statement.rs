//! The two statements of the append: a batch, and the single command that takes a shorter way.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::{
    append::{Append, DeadlineChange, Job, Verdict},
    faults::{self, Bug},
};

const APPEND: &str = "select * from write.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,
     $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26)";
const APPEND_ONE: &str = "select * from write.append_one($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,
     $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)";

// Sequences, versions and counts stay far below 2^63 and 2^31; the casts between the wire's signed and our unsigned are exact.

fn deadline(append: &Append) -> (i16, Option<DateTime<Utc>>) {
    if faults::has(Bug::LoseDeadline) {
        return (0, None);
    }
    match append.deadline {
        DeadlineChange::Keep => (0, None),
        DeadlineChange::Set(at) => (1, Some(at)),
        DeadlineChange::Clear => (2, None),
    }
}

fn key(append: &Append) -> (Option<Uuid>, Option<Vec<u8>>, i16) {
    match &append.idempotency {
        Some(row) if !faults::has(Bug::ForgetIdempotency) => {
            (Some(row.id), Some(row.request_hash.to_vec()), row.status as i16)
        }
        _ => (None, None, 0),
    }
}

fn verdict(code: i16, version: i64, sequence: i64) -> Result<Verdict, sqlx::Error> {
    Ok(match code {
        0 => Verdict::Appended { version: version as u64, sequence: sequence as u64 },
        1 => Verdict::Answered,
        2 => Verdict::Conflict { actual: version as u64 },
        3 => Verdict::ClaimTaken,
        other => return Err(sqlx::Error::Protocol(format!("append gave the unknown verdict {other}"))),
    })
}

/// Journals one command in one autocommitted round trip.
pub(crate) async fn append_one(connection: &mut PgConnection, job: &Job) -> Result<Verdict, sqlx::Error> {
    let append = &job.append;
    let (deadline_change, due) = deadline(append);
    let (key, hash, status) = key(append);
    let events = &append.events;
    let row = sqlx::query(APPEND_ONE)
        .bind(append.tenant)
        .bind(append.stream.category.code())
        .bind(job.shard.shard as i16)
        .bind(append.stream.id)
        .bind(append.expected_version as i64)
        .bind(events.len() as i32)
        .bind(&append.meta)
        .bind(key)
        .bind(hash)
        .bind(status)
        .bind(deadline_change)
        .bind(due)
        .bind((1..=events.len() as i32).collect::<Vec<_>>())
        .bind(events.iter().map(|e| e.id).collect::<Vec<_>>())
        .bind(events.iter().map(|e| e.event_type).collect::<Vec<_>>())
        .bind(events.iter().map(|e| e.time).collect::<Vec<_>>())
        .bind(events.iter().map(|e| e.data.as_str()).collect::<Vec<_>>())
        .bind(append.claims.iter().map(|c| c.kind).collect::<Vec<_>>())
        .bind(append.claims.iter().map(|c| c.value.as_slice()).collect::<Vec<_>>())
        .bind(append.snapshot.iter().map(|s| s.schema).collect::<Vec<_>>())
        .bind(append.snapshot.iter().map(|s| s.version as i64).collect::<Vec<_>>())
        .bind(append.snapshot.iter().map(|s| s.time).collect::<Vec<_>>())
        .bind(append.snapshot.iter().map(|s| s.state.as_str()).collect::<Vec<_>>())
        .fetch_one(connection)
        .await?;
    verdict(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)
}

#[derive(Default)]
struct Events<'a> {
    command: Vec<i32>,
    index: Vec<i32>,
    id: Vec<Uuid>,
    event_type: Vec<&'static str>,
    time: Vec<DateTime<Utc>>,
    data: Vec<&'a str>,
}

/// Journals a batch in one autocommitted round trip; one verdict per job, in their order.
///
/// A stream, a key and a claim may each stand in the batch once at most.
pub(crate) async fn append_batch(connection: &mut PgConnection, jobs: &[Job]) -> Result<Vec<Verdict>, sqlx::Error> {
    let mut events = Events::default();
    let (mut claim_command, mut claim_kind, mut claim_value) = (Vec::new(), Vec::new(), Vec::new());
    let (mut snap_command, mut snap_rows) = (Vec::new(), Vec::new());
    for (job, command) in jobs.iter().zip(1_i32..) {
        for (event, index) in job.append.events.iter().zip(1_i32..) {
            events.command.push(command);
            events.index.push(index);
            events.id.push(event.id);
            events.event_type.push(event.event_type);
            events.time.push(event.time);
            events.data.push(&event.data);
        }
        for claim in &job.append.claims {
            claim_command.push(command);
            claim_kind.push(claim.kind);
            claim_value.push(claim.value.as_slice());
        }
        if let Some(snapshot) = &job.append.snapshot {
            snap_command.push(command);
            snap_rows.push(snapshot);
        }
    }
    let keys: Vec<_> = jobs.iter().map(|job| key(&job.append)).collect();
    let deadlines: Vec<_> = jobs.iter().map(|job| deadline(&job.append)).collect();
    let row = sqlx::query(APPEND)
        .bind(jobs.iter().map(|job| job.append.tenant).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.append.stream.category.code()).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.shard.shard as i16).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.append.stream.id).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.append.expected_version as i64).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.append.events.len() as i32).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.append.meta.as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.0).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.1.as_deref()).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.2).collect::<Vec<_>>())
        .bind(deadlines.iter().map(|deadline| deadline.0).collect::<Vec<_>>())
        .bind(deadlines.iter().map(|deadline| deadline.1).collect::<Vec<_>>())
        .bind(events.command)
        .bind(events.index)
        .bind(events.id)
        .bind(events.event_type)
        .bind(events.time)
        .bind(events.data)
        .bind(claim_command)
        .bind(claim_kind)
        .bind(claim_value)
        .bind(snap_command)
        .bind(snap_rows.iter().map(|s| s.schema).collect::<Vec<_>>())
        .bind(snap_rows.iter().map(|s| s.version as i64).collect::<Vec<_>>())
        .bind(snap_rows.iter().map(|s| s.time).collect::<Vec<_>>())
        .bind(snap_rows.iter().map(|s| s.state.as_str()).collect::<Vec<_>>())
        .fetch_one(connection)
        .await?;
    let verdicts: Vec<i16> = row.try_get(0)?;
    let versions: Vec<i64> = row.try_get(1)?;
    let sequences: Vec<i64> = row.try_get(2)?;
    if verdicts.len() != jobs.len() {
        return Err(sqlx::Error::Protocol("append gave another number of verdicts".into()));
    }
    verdicts
        .into_iter()
        .zip(versions)
        .zip(sequences)
        .map(|((code, version), seq)| verdict(code, version, seq))
        .collect()
}
