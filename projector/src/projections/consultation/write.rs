//! The statements of the projection `consultation`: one for new rows, one for changed ones, and one for each of the tables beside it.
//!
//! A new row is written as it was asked and then, like any other, patched with what happened since; a row is patched only when it stands at
//! the version that the batch builds upon. Any other number of rows than asked for is an error, so that nothing is ever built upon the wrong
//! ground in silence.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use uuid::Uuid;

use super::super::column;
use super::{Asked, Batch, Ended, HistoryRow, Row, Terms, Vote};
use crate::projection::{Schema, WriteError};

const NEW: &str = "insert into {schema}.consultation_v1
         (id, tenant, shard, version, state, title, body, context, proposed, external_id, requested_by, requested_by_name, key_made_by,
          requested_at, reviewers, deadline, priority, labels, callback_url, supersedes, template_name, template_version,
          receipt_minutes, cites, updated_at)
     select id, tenant, shard, 1, 'pending', title, body, context, proposed, external_id, requested_by, requested_by_name, key_made_by,
          requested_at, reviewers::uuid[], deadline, priority, labels::text[], callback_url, supersedes, template_name, template_version,
          receipt_minutes, cites, requested_at
     from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::uuid[],
                 $10::text[], $11::uuid[], $12::timestamptz[], $13::text[], $14::timestamptz[], $15::smallint[], $16::text[],
                 $17::text[], $18::uuid[], $19::text[], $20::bigint[], $21::integer[], $22::text[])
         as n (id, tenant, shard, title, body, context, proposed, external_id, requested_by, requested_by_name, key_made_by,
               requested_at, reviewers, deadline, priority, labels, callback_url, supersedes, template_name, template_version,
               receipt_minutes, cites)
     on conflict (id) do update set
         tenant = excluded.tenant, shard = excluded.shard, version = 1, state = 'pending', title = excluded.title,
         body = excluded.body, context = excluded.context, proposed = excluded.proposed, external_id = excluded.external_id,
         requested_by = excluded.requested_by, requested_by_name = excluded.requested_by_name, key_made_by = excluded.key_made_by,
         requested_at = excluded.requested_at, reviewers = excluded.reviewers,
         deadline = excluded.deadline, priority = excluded.priority, labels = excluded.labels,
         callback_url = excluded.callback_url, supersedes = excluded.supersedes, template_name = excluded.template_name,
         template_version = excluded.template_version, receipt_minutes = excluded.receipt_minutes, cites = excluded.cites,
         updated_at = excluded.updated_at,
         terms = null, answer_kind = 'approval', four_eyes = true, counts_seats = false, subject = null, subject_name = null,
         request_terms_version = 1, added_reviewers = '{}', claimed_by = null, claimed_by_name = null, open_question_count = 0,
         clock_stopped_at = null, ended_at = null, decision = null, content = null, rule = null, request_version = null,
         ended_by = null, ended_by_name = null, agreed = '{}', outcome_comment = null, withdrawal_reason = null, comment_count = 0,
         late_response_count = 0";

const CHANGED: &str = "update {schema}.consultation_v1 c set
         version = p.version,
         updated_at = p.updated_at,
         comment_count = c.comment_count + p.comments,
         late_response_count = coalesce(p.late_responses, c.late_response_count),
         state = coalesce(p.state, c.state),
         ended_at = coalesce(p.ended_at, c.ended_at),
         decision = coalesce(p.decision, c.decision),
         content = coalesce(p.content, c.content),
         rule = coalesce(p.rule, c.rule),
         request_version = coalesce(p.request_version, c.request_version),
         ended_by = coalesce(p.ended_by, c.ended_by),
         ended_by_name = coalesce(p.ended_by_name, c.ended_by_name),
         agreed = coalesce(p.agreed::uuid[], c.agreed),
         outcome_comment = coalesce(p.outcome_comment, c.outcome_comment),
         withdrawal_reason = coalesce(p.withdrawal_reason, c.withdrawal_reason),
         terms = coalesce(p.terms, c.terms),
         answer_kind = coalesce(p.answer_kind, c.answer_kind),
         four_eyes = coalesce(p.four_eyes, c.four_eyes),
         counts_seats = coalesce(p.counts_seats, c.counts_seats),
         subject = coalesce(p.subject, c.subject),
         subject_name = coalesce(p.subject_name, c.subject_name),
         request_terms_version = coalesce(p.terms_version, c.request_terms_version),
         open_question_count = c.open_question_count + p.questions,
         claimed_by = case when p.claims then p.claimed_by when c.claimed_by = any(p.unclaimed::uuid[]) then null else c.claimed_by end,
         claimed_by_name = case when p.claims then p.claimed_by_name when c.claimed_by = any(p.unclaimed::uuid[]) then null
                                else c.claimed_by_name end,
         priority = coalesce(p.priority, c.priority),
         added_reviewers = c.added_reviewers || array(select a.id from unnest(p.added::uuid[]) with ordinality as a (id, n)
                                                           where not a.id = any(c.added_reviewers) order by a.n),
         deadline = case when p.resumed then p.deadline else c.deadline end,
         clock_stopped_at = case when p.resumed then p.stopped else coalesce(c.clock_stopped_at, p.stopped) end
     from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::timestamptz[], $5::integer[], $6::integer[], $7::text[],
                 $8::timestamptz[], $9::text[], $10::text[], $11::text[], $12::bigint[], $13::uuid[], $14::text[], $15::text[],
                 $16::text[], $17::text[], $18::text[], $19::text[], $20::boolean[], $21::uuid[], $22::text[], $23::bigint[],
                 $24::integer[], $25::boolean[], $26::uuid[], $27::text[], $28::text[], $29::smallint[], $30::text[],
                 $31::boolean[], $32::timestamptz[], $33::timestamptz[], $34::boolean[])
         as p (id, before, version, updated_at, comments, late_responses, state, ended_at, decision, content, rule,
               request_version, ended_by, ended_by_name, agreed, outcome_comment, withdrawal_reason, terms, answer_kind,
               four_eyes, subject, subject_name, terms_version, questions, claims, claimed_by, claimed_by_name, unclaimed,
               priority, added, resumed, deadline, stopped, counts_seats)
     where c.id = p.id and c.version = p.before and (p.state is null or c.state = 'pending')";

const HISTORY: &str = "insert into {schema}.consultation_history_v1
         (consultation_id, version, tenant, shard, event_id, kind, at, by_id, by_name, to_id, to_name, decision, comment, reason, details)
     select * from unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::smallint[], $5::uuid[], $6::text[], $7::timestamptz[],
                          $8::uuid[], $9::text[], $10::uuid[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[])
     on conflict (consultation_id, version) do update set
         tenant = excluded.tenant, shard = excluded.shard, event_id = excluded.event_id, kind = excluded.kind, at = excluded.at,
         by_id = excluded.by_id, by_name = excluded.by_name, to_id = excluded.to_id, to_name = excluded.to_name,
         decision = excluded.decision, comment = excluded.comment, reason = excluded.reason, details = excluded.details";

const VOTES: &str = "insert into {schema}.consultation_vote_v1
         (consultation_id, voter, tenant, shard, version, by_name, at, decision, content, comment)
     select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::smallint[], $5::bigint[], $6::text[], $7::timestamptz[], $8::text[],
                          $9::text[], $10::text[])
     on conflict (consultation_id, voter) do update set
         tenant = excluded.tenant, shard = excluded.shard, version = excluded.version, by_name = excluded.by_name, at = excluded.at,
         decision = excluded.decision, content = excluded.content, comment = excluded.comment";

const VOID_VOTES: &str =
    "delete from {schema}.consultation_vote_v1 v using unnest($1::uuid[], $2::uuid[]) as g (id, voter)
     where v.consultation_id = g.id and v.voter = g.voter";

const REVIEWERS: &str =
    "insert into {schema}.consultation_reviewer_v1 (consultation_id, user_id, tenant, shard, answers)
     select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::smallint[], $5::boolean[])
     on conflict (consultation_id, user_id) do update set
         tenant = excluded.tenant, shard = excluded.shard, answers = excluded.answers";

const WORDS: &str = "insert into {schema}.consultation_words_v1 (consultation_id, tenant, shard, words)
     select id, tenant, shard, read.consultation_words(tenant, title, body, external_id, labels::text[])
     from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[], $5::text[], $6::text[], $7::text[])
         as n (id, tenant, shard, title, body, external_id, labels)
     on conflict (consultation_id) do update set tenant = excluded.tenant, shard = excluded.shard, words = excluded.words";

const CITED: &str = "insert into {schema}.consultation_cited_v1 (consultation_id, item, tenant, shard, requested_at)
     select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::smallint[], $5::timestamptz[])
     on conflict (consultation_id, item) do update set
         tenant = excluded.tenant, shard = excluded.shard, requested_at = excluded.requested_at";

const ASKED: &str = "insert into {schema}.consultation_asked_v1 (consultation_id, who, tenant, shard)
     select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::smallint[])
     on conflict (consultation_id, who) do update set tenant = excluded.tenant, shard = excluded.shard";

const ASKED_NO_MORE: &str =
    "delete from {schema}.consultation_asked_v1 a using unnest($1::uuid[], $2::text[]) as g (id, who)
     where a.consultation_id = g.id and a.who = g.who";

/// Of what has ended nobody is asked.
const ASKED_NOBODY: &str = "delete from {schema}.consultation_asked_v1 where consultation_id = any($1)";

pub(super) async fn write(schema: &Schema, connection: &mut PgConnection, batch: &Batch) -> Result<(), WriteError> {
    let mut rows: Vec<(Uuid, &Row)> = batch.rows.iter().map(|(id, row)| (*id, row)).collect();
    rows.sort_unstable_by_key(|(id, _)| *id);
    let new: Vec<_> = rows.iter().filter_map(|(id, row)| Some((*id, *row, row.asked.as_deref()?))).collect();
    // Of a request alone there is nothing more to say.
    rows.retain(|(_, row)| row.asked.is_none() || row.version > 1);
    if !new.is_empty() {
        insert(schema, connection, &new).await?;
        words(schema, connection, &new).await?;
        cited(schema, connection, &new).await?;
    }
    if !rows.is_empty() {
        patch(schema, connection, &rows).await?;
    }
    if !batch.history.is_empty() {
        let mut history: Vec<&HistoryRow> = batch.history.iter().collect();
        history.sort_unstable_by_key(|row| (row.id, row.version));
        record(schema, connection, &history).await?;
    }
    votes(schema, connection, batch).await?;
    reviewers(schema, connection, batch).await?;
    asked(schema, connection, batch).await
}

fn ended<'a, T>(row: &'a Row, of: impl FnOnce(&'a Ended) -> Option<T>) -> Option<T> {
    row.ended.as_deref().and_then(of)
}

fn terms<'a, T>(row: &'a Row, of: impl FnOnce(&'a Terms) -> Option<T>) -> Option<T> {
    row.terms.as_deref().and_then(of)
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

/// The same of texts: each between quotes, with what means something there escaped.
fn texts<T: AsRef<str>>(values: &[T]) -> String {
    let quoted: Vec<String> = values
        .iter()
        .map(|value| format!("\"{}\"", value.as_ref().replace('\\', "\\\\").replace('"', "\\\"")))
        .collect();
    format!("{{{}}}", quoted.join(","))
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
        .bind(column(rows, |(_, _, asked)| asked.title.as_str()))
        .bind(column(rows, |(_, _, asked)| asked.body.as_deref()))
        .bind(column(rows, |(_, _, asked)| asked.context.as_deref()))
        .bind(column(rows, |(_, _, asked)| asked.proposed.as_deref()))
        .bind(column(rows, |(_, _, asked)| asked.external_id.as_deref()))
        .bind(column(rows, |(_, _, asked)| asked.by))
        .bind(column(rows, |(_, _, asked)| asked.by_name.as_deref()))
        .bind(column(rows, |(_, _, asked)| asked.key_made_by))
        .bind(column(rows, |(_, _, asked)| asked.at))
        .bind(column(rows, |(_, _, asked)| array(&asked.reviewers)))
        .bind(column(rows, |(_, _, asked)| asked.deadline))
        .bind(column(rows, |(_, _, asked)| asked.priority))
        .bind(column(rows, |(_, _, asked)| texts(&asked.labels)))
        .bind(column(rows, |(_, _, asked)| asked.callback_url.as_deref()))
        .bind(column(rows, |(_, _, asked)| asked.supersedes))
        .bind(column(rows, |(_, _, asked)| asked.template.as_ref().map(|template| template.name.as_str())))
        .bind(column(rows, |(_, _, asked)| asked.template.as_ref().map(|template| template.version as i64)))
        .bind(column(rows, |(_, _, asked)| asked.receipt_minutes))
        .bind(column(rows, |(_, _, asked)| super::json(&asked.cites).filter(|_| !asked.cites.is_empty())))
        .execute(connection)
        .await?;
    Ok(())
}

async fn words(
    schema: &Schema,
    connection: &mut PgConnection,
    rows: &[(Uuid, &Row, &Asked)],
) -> Result<(), WriteError> {
    sqlx::query(schema.sql(WORDS))
        .bind(column(rows, |(id, _, _)| *id))
        .bind(column(rows, |(_, row, _)| row.tenant))
        .bind(column(rows, |(_, row, _)| row.shard as i16))
        .bind(column(rows, |(_, _, asked)| asked.title.as_str()))
        .bind(column(rows, |(_, _, asked)| asked.body.as_deref()))
        .bind(column(rows, |(_, _, asked)| asked.external_id.as_deref()))
        .bind(column(rows, |(_, _, asked)| texts(&asked.labels)))
        .execute(connection)
        .await?;
    Ok(())
}

async fn cited(
    schema: &Schema,
    connection: &mut PgConnection,
    rows: &[(Uuid, &Row, &Asked)],
) -> Result<(), WriteError> {
    let mut cited = Vec::new();
    for (id, row, asked) in rows {
        // An article and an entity never have the same id; should they, the item is one all the same.
        let items: BTreeSet<Uuid> = asked.cites.iter().map(|item| item.id()).collect();
        cited.extend(items.into_iter().map(|item| (*id, item, *row, asked.at)));
    }
    if cited.is_empty() {
        return Ok(());
    }
    sqlx::query(schema.sql(CITED))
        .bind(column(&cited, |(id, ..)| *id))
        .bind(column(&cited, |(_, item, ..)| *item))
        .bind(column(&cited, |(_, _, row, _)| row.tenant))
        .bind(column(&cited, |(_, _, row, _)| row.shard as i16))
        .bind(column(&cited, |(.., at)| *at))
        .execute(connection)
        .await?;
    Ok(())
}

async fn patch(schema: &Schema, connection: &mut PgConnection, rows: &[(Uuid, &Row)]) -> Result<(), WriteError> {
    let claimed = |row: &Row| row.claimed.clone().flatten();
    let done = sqlx::query(schema.sql(CHANGED))
        .bind(column(rows, |(id, _)| *id))
        .bind(column(rows, |(_, row)| if row.asked.is_some() { 1 } else { row.before as i64 }))
        .bind(column(rows, |(_, row)| row.version as i64))
        .bind(column(rows, |(_, row)| row.updated_at))
        .bind(column(rows, |(_, row)| row.comments))
        .bind(column(rows, |(_, row)| row.late_responses))
        .bind(column(rows, |(_, row)| ended(row, |ended| Some(ended.state))))
        .bind(column(rows, |(_, row)| ended(row, |ended| Some(ended.at))))
        .bind(column(rows, |(_, row)| ended(row, |ended| ended.decision)))
        .bind(column(rows, |(_, row)| ended(row, |ended| ended.content.as_deref())))
        .bind(column(rows, |(_, row)| ended(row, |ended| ended.rule)))
        .bind(column(rows, |(_, row)| ended(row, |ended| ended.request_version)))
        .bind(column(rows, |(_, row)| ended(row, |ended| ended.by)))
        .bind(column(rows, |(_, row)| ended(row, |ended| ended.by_name.as_deref())))
        .bind(column(rows, |(_, row)| ended(row, |ended| Some(array(&ended.agreed)))))
        .bind(column(rows, |(_, row)| ended(row, |ended| ended.comment.as_deref())))
        .bind(column(rows, |(_, row)| ended(row, |ended| ended.reason)))
        .bind(column(rows, |(_, row)| terms(row, |terms| Some(terms.text.as_str()))))
        .bind(column(rows, |(_, row)| terms(row, |terms| Some(terms.kind))))
        .bind(column(rows, |(_, row)| terms(row, |terms| Some(terms.four_eyes))))
        .bind(column(rows, |(_, row)| terms(row, |terms| terms.subject)))
        .bind(column(rows, |(_, row)| terms(row, |terms| terms.subject_name.as_deref())))
        .bind(column(rows, |(_, row)| terms(row, |terms| Some(terms.version as i64))))
        .bind(column(rows, |(_, row)| row.questions))
        .bind(column(rows, |(_, row)| row.claimed.is_some()))
        .bind(column(rows, |(_, row)| claimed(row).map(|(id, _)| id)))
        .bind(column(rows, |(_, row)| claimed(row).and_then(|(_, name)| name)))
        .bind(column(rows, |(_, row)| array(&row.unclaimed)))
        .bind(column(rows, |(_, row)| row.priority))
        .bind(column(rows, |(_, row)| array(&row.added)))
        .bind(column(rows, |(_, row)| row.resumed.is_some()))
        .bind(column(rows, |(_, row)| row.resumed.flatten()))
        .bind(column(rows, |(_, row)| row.stopped))
        .bind(column(rows, |(_, row)| terms(row, |terms| Some(terms.counts_seats))))
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
        .bind(column(rows, |row| row.to))
        .bind(column(rows, |row| row.to_name.as_deref()))
        .bind(column(rows, |row| row.decision))
        .bind(column(rows, |row| row.comment.as_deref()))
        .bind(column(rows, |row| row.reason))
        .bind(column(rows, |row| row.details.as_deref()))
        .execute(connection)
        .await?;
    Ok(())
}

async fn votes(schema: &Schema, connection: &mut PgConnection, batch: &Batch) -> Result<(), WriteError> {
    let mut cast: Vec<(Uuid, Uuid, Uuid, u16, &Vote)> = Vec::new();
    let mut void: Vec<(Uuid, Uuid)> = Vec::new();
    for ((id, voter), (tenant, shard, vote)) in &batch.votes {
        match vote {
            Some(vote) => cast.push((*id, *voter, *tenant, *shard, vote)),
            None => void.push((*id, *voter)),
        }
    }
    if !cast.is_empty() {
        sqlx::query(schema.sql(VOTES))
            .bind(column(&cast, |(id, ..)| *id))
            .bind(column(&cast, |(_, voter, ..)| *voter))
            .bind(column(&cast, |(_, _, tenant, ..)| *tenant))
            .bind(column(&cast, |(_, _, _, shard, _)| *shard as i16))
            .bind(column(&cast, |(.., vote)| vote.version as i64))
            .bind(column(&cast, |(.., vote)| vote.by_name.as_deref()))
            .bind(column(&cast, |(.., vote)| vote.at))
            .bind(column(&cast, |(.., vote)| vote.decision))
            .bind(column(&cast, |(.., vote)| vote.content.as_deref()))
            .bind(column(&cast, |(.., vote)| vote.comment.as_deref()))
            .execute(&mut *connection)
            .await?;
    }
    if !void.is_empty() {
        sqlx::query(schema.sql(VOID_VOTES))
            .bind(column(&void, |(id, _)| *id))
            .bind(column(&void, |(_, voter)| *voter))
            .execute(connection)
            .await?;
    }
    Ok(())
}

async fn reviewers(schema: &Schema, connection: &mut PgConnection, batch: &Batch) -> Result<(), WriteError> {
    if batch.reviewers.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = batch.reviewers.iter().collect();
    sqlx::query(schema.sql(REVIEWERS))
        .bind(column(&rows, |((id, _), _)| *id))
        .bind(column(&rows, |((_, user), _)| *user))
        .bind(column(&rows, |(_, (tenant, ..))| *tenant))
        .bind(column(&rows, |(_, (_, shard, _))| *shard as i16))
        .bind(column(&rows, |(_, (.., answers))| *answers))
        .execute(connection)
        .await?;
    Ok(())
}

async fn asked(schema: &Schema, connection: &mut PgConnection, batch: &Batch) -> Result<(), WriteError> {
    let mut ended: Vec<Uuid> = batch.rows.iter().filter(|(_, row)| row.ended.is_some()).map(|(id, _)| *id).collect();
    ended.sort_unstable();
    let open = batch.asked.iter().filter(|((id, _), _)| ended.binary_search(id).is_err());
    let (asked, no_more): (Vec<_>, Vec<_>) = open.partition(|(_, (.., is_asked))| *is_asked);
    if !asked.is_empty() {
        sqlx::query(schema.sql(ASKED))
            .bind(column(&asked, |((id, _), _)| *id))
            .bind(column(&asked, |((_, who), _)| who.to_string()))
            .bind(column(&asked, |(_, (tenant, ..))| *tenant))
            .bind(column(&asked, |(_, (_, shard, _))| *shard as i16))
            .execute(&mut *connection)
            .await?;
    }
    if !no_more.is_empty() {
        sqlx::query(schema.sql(ASKED_NO_MORE))
            .bind(column(&no_more, |((id, _), _)| *id))
            .bind(column(&no_more, |((_, who), _)| who.to_string()))
            .execute(&mut *connection)
            .await?;
    }
    if !ended.is_empty() {
        sqlx::query(schema.sql(ASKED_NOBODY)).bind(ended).execute(connection).await?;
    }
    Ok(())
}
