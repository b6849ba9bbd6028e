//! The statements of the projection `consultation`: one for new rows, one for changed ones, one for the history.
//!
//! A changed row is patched only when it stands at the version that the batch builds upon; any other number of rows than asked for
//! is an error, so that nothing is ever built upon the wrong ground in silence.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Asked, Batch, Ended, HistoryRow, Row};
use crate::projection::{Schema, WriteError};

const NEW: &str = "insert into {schema}.consultation_v1
         (id, tenant, shard, version, state, title, body, context, external_id, requested_by, requested_by_name, requested_at,
          reviewers, deadline, ended_at, decision, rule, request_version, ended_by, ended_by_name, outcome_comment,
          withdrawal_reason, comment_count, late_response_count, updated_at)
     select id, tenant, shard, version, state, title, body, context, external_id, requested_by, requested_by_name, requested_at,
          reviewers::uuid[], deadline, ended_at, decision, rule, request_version, ended_by, ended_by_name, outcome_comment,
          withdrawal_reason, comment_count, late_response_count, updated_at
     from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
                 $9::text[], $10::uuid[], $11::text[], $12::timestamptz[], $13::text[], $14::timestamptz[], $15::timestamptz[],
                 $16::text[], $17::text[], $18::bigint[], $19::uuid[], $20::text[], $21::text[], $22::text[], $23::integer[],
                 $24::integer[], $25::timestamptz[])
         as n (id, tenant, shard, version, state, title, body, context, external_id, requested_by, requested_by_name,
               requested_at, reviewers, deadline, ended_at, decision, rule, request_version, ended_by, ended_by_name,
               outcome_comment, withdrawal_reason, comment_count, late_response_count, updated_at)
     on conflict (id) do update set
         tenant = excluded.tenant, shard = excluded.shard, version = excluded.version, state = excluded.state,
         title = excluded.title, body = excluded.body, context = excluded.context, external_id = excluded.external_id,
         requested_by = excluded.requested_by, requested_by_name = excluded.requested_by_name,
         requested_at = excluded.requested_at, reviewers = excluded.reviewers, deadline = excluded.deadline,
         ended_at = excluded.ended_at, decision = excluded.decision, rule = excluded.rule,
         request_version = excluded.request_version, ended_by = excluded.ended_by, ended_by_name = excluded.ended_by_name,
         outcome_comment = excluded.outcome_comment, withdrawal_reason = excluded.withdrawal_reason,
         comment_count = excluded.comment_count, late_response_count = excluded.late_response_count,
         updated_at = excluded.updated_at";

const CHANGED: &str = "update {schema}.consultation_v1 c set
         version = p.version,
         updated_at = p.updated_at,
         comment_count = c.comment_count + p.comments,
         late_response_count = coalesce(p.late_responses, c.late_response_count),
         state = coalesce(p.state, c.state),
         ended_at = coalesce(p.ended_at, c.ended_at),
         decision = coalesce(p.decision, c.decision),
         rule = coalesce(p.rule, c.rule),
         request_version = coalesce(p.request_version, c.request_version),
         ended_by = coalesce(p.ended_by, c.ended_by),
         ended_by_name = coalesce(p.ended_by_name, c.ended_by_name),
         outcome_comment = coalesce(p.outcome_comment, c.outcome_comment),
         withdrawal_reason = coalesce(p.withdrawal_reason, c.withdrawal_reason)
     from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::timestamptz[], $5::integer[], $6::integer[], $7::text[],
                 $8::timestamptz[], $9::text[], $10::text[], $11::bigint[], $12::uuid[], $13::text[], $14::text[], $15::text[])
         as p (id, before, version, updated_at, comments, late_responses, state, ended_at, decision, rule, request_version,
               ended_by, ended_by_name, outcome_comment, withdrawal_reason)
     where c.id = p.id and c.version = p.before and (p.state is null or c.state = 'pending')";

const HISTORY: &str = "insert into {schema}.consultation_history_v1
         (consultation_id, version, tenant, shard, event_id, kind, at, by_id, by_name, decision, comment, reason)
     select * from unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::smallint[], $5::uuid[], $6::text[], $7::timestamptz[],
                          $8::uuid[], $9::text[], $10::text[], $11::text[], $12::text[])
     on conflict (consultation_id, version) do update set
         tenant = excluded.tenant, shard = excluded.shard, event_id = excluded.event_id, kind = excluded.kind, at = excluded.at,
         by_id = excluded.by_id, by_name = excluded.by_name, decision = excluded.decision, comment = excluded.comment,
         reason = excluded.reason";

/// One column of an array parameter.
fn column<T, C>(rows: &[T], of: impl FnMut(&T) -> C) -> Vec<C> {
    rows.iter().map(of).collect()
}

pub(super) async fn write(schema: &Schema, connection: &mut PgConnection, batch: &Batch) -> Result<(), WriteError> {
    let mut rows: Vec<(Uuid, &Row)> = batch.rows.iter().map(|(id, row)| (*id, row)).collect();
    rows.sort_unstable_by_key(|(id, _)| *id);
    let mut new = Vec::new();
    let mut changed = Vec::new();
    for (id, row) in rows {
        match &row.asked {
            Some(asked) => new.push((id, row, asked.as_ref())),
            None => changed.push((id, row)),
        }
    }
    if !new.is_empty() {
        insert(schema, connection, &new).await?;
    }
    if !changed.is_empty() {
        patch(schema, connection, &changed).await?;
    }
    if !batch.history.is_empty() {
        let mut history: Vec<&HistoryRow> = batch.history.iter().collect();
        history.sort_unstable_by_key(|row| (row.id, row.version));
        record(schema, connection, &history).await?;
    }
    Ok(())
}

fn ended<'a, T>(row: &'a Row, of: impl FnOnce(&'a Ended) -> Option<T>) -> Option<T> {
    row.ended.as_deref().and_then(of)
}

/// An array within a column: `unnest` would flatten a true one.
fn array(ids: &[Uuid]) -> String {
    let mut text = String::with_capacity(2 + ids.len() * 37);
    text.push('{');
    for id in ids {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
    }
    text.push('}');
    text
}

async fn insert(
    schema: &Schema,
    connection: &mut PgConnection,
    rows: &[(Uuid, &Row, &Asked)],
) -> Result<(), WriteError> {
    sqlx::query(schema.sql(NEW))
        .bind(column(rows, |(id, _, _)| *id))
        .bind(column(rows, |(_, row, _)| row.tenant))
        .bind(column(rows, |(_, row, _)| row.shard as i16))
        .bind(column(rows, |(_, row, _)| row.version as i64))
        .bind(column(rows, |(_, row, _)| row.ended.as_ref().map_or("pending", |ended| ended.state)))
        .bind(column(rows, |(_, _, asked)| asked.title.as_str()))
        .bind(column(rows, |(_, _, asked)| asked.body.as_deref()))
        .bind(column(rows, |(_, _, asked)| asked.context.as_deref()))
        .bind(column(rows, |(_, _, asked)| asked.external_id.as_deref()))
        .bind(column(rows, |(_, _, asked)| asked.by))
        .bind(column(rows, |(_, _, asked)| asked.by_name.as_deref()))
        .bind(column(rows, |(_, _, asked)| asked.at))
        .bind(column(rows, |(_, _, asked)| array(&asked.reviewers)))
        .bind(column(rows, |(_, _, asked)| asked.deadline))
        .bind(column(rows, |(_, row, _)| ended(row, |ended| Some(ended.at))))
        .bind(column(rows, |(_, row, _)| ended(row, |ended| ended.decision)))
        .bind(column(rows, |(_, row, _)| ended(row, |ended| ended.rule)))
        .bind(column(rows, |(_, row, _)| ended(row, |ended| ended.request_version)))
        .bind(column(rows, |(_, row, _)| ended(row, |ended| ended.by)))
        .bind(column(rows, |(_, row, _)| ended(row, |ended| ended.by_name.as_deref())))
        .bind(column(rows, |(_, row, _)| ended(row, |ended| ended.comment.as_deref())))
        .bind(column(rows, |(_, row, _)| ended(row, |ended| ended.reason)))
        .bind(column(rows, |(_, row, _)| row.comments))
        .bind(column(rows, |(_, row, _)| row.late_responses.unwrap_or(0)))
        .bind(column(rows, |(_, row, _)| row.updated_at))
        .execute(connection)
        .await?;
    Ok(())
}

async fn patch(schema: &Schema, connection: &mut PgConnection, rows: &[(Uuid, &Row)]) -> Result<(), WriteError> {
    let done = sqlx::query(schema.sql(CHANGED))
        .bind(column(rows, |(id, _)| *id))
        .bind(column(rows, |(_, row)| row.before as i64))
        .bind(column(rows, |(_, row)| row.version as i64))
        .bind(column(rows, |(_, row)| row.updated_at))
        .bind(column(rows, |(_, row)| row.comments))
        .bind(column(rows, |(_, row)| row.late_responses))
        .bind(column(rows, |(_, row)| ended(row, |ended| Some(ended.state))))
        .bind(column(rows, |(_, row)| ended(row, |ended| Some(ended.at))))
        .bind(column(rows, |(_, row)| ended(row, |ended| ended.decision)))
        .bind(column(rows, |(_, row)| ended(row, |ended| ended.rule)))
        .bind(column(rows, |(_, row)| ended(row, |ended| ended.request_version)))
        .bind(column(rows, |(_, row)| ended(row, |ended| ended.by)))
        .bind(column(rows, |(_, row)| ended(row, |ended| ended.by_name.as_deref())))
        .bind(column(rows, |(_, row)| ended(row, |ended| ended.comment.as_deref())))
        .bind(column(rows, |(_, row)| ended(row, |ended| ended.reason)))
        .execute(connection)
        .await?
        .rows_affected();
    if done == rows.len() as u64 {
        return Ok(());
    }
    let missing = rows.len() as u64 - done;
    Err(WriteError::Inconsistent(format!(
        "{missing} of {} consultations do not stand where the events begin",
        rows.len()
    )))
}

async fn record(schema: &Schema, connection: &mut PgConnection, rows: &[&HistoryRow]) -> Result<(), WriteError> {
    sqlx::query(schema.sql(HISTORY))
        .bind(column(rows, |row| row.id))
        .bind(column(rows, |row| row.version as i64))
        .bind(column(rows, |row| row.tenant))
        .bind(column(rows, |row| row.shard as i16))
        .bind(column(rows, |row| row.event_id))
        .bind(column(rows, |row| row.kind))
        .bind(column(rows, |row| row.at))
        .bind(column(rows, |row| row.by))
        .bind(column(rows, |row| row.by_name.as_deref()))
        .bind(column(rows, |row| row.decision))
        .bind(column(rows, |row| row.comment.as_deref()))
        .bind(column(rows, |row| row.reason))
        .execute(connection)
        .await?;
    Ok(())
}
