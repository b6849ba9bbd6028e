//! The rows of consultations, as the tenant of the transaction sees them.
//!
//! Owns the SQL and how a row becomes a view. It must not decide who may see what: row security does.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use docket_domain::consultation::{
    State,
    view::{ConsultationView, HistoryView, OutcomeView, PersonView, WithdrawalView},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::filter::Filter;
use crate::page::Cursor;

const COLUMNS: &str =
    "id, version, state, title, body, context, external_id, requested_by, requested_by_name, requested_at,
    reviewers, deadline, ended_at, decision, rule, request_version, ended_by, ended_by_name, outcome_comment,
    withdrawal_reason, comment_count, late_response_count, updated_at";

#[derive(sqlx::FromRow)]
struct ConsultationRow {
    id: Uuid,
    version: i64,
    state: String,
    title: String,
    body: Option<String>,
    context: Option<String>,
    external_id: Option<String>,
    requested_by: Uuid,
    requested_by_name: Option<String>,
    requested_at: DateTime<Utc>,
    reviewers: Vec<Uuid>,
    deadline: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    decision: Option<String>,
    rule: Option<String>,
    request_version: Option<i64>,
    ended_by: Option<Uuid>,
    ended_by_name: Option<String>,
    outcome_comment: Option<String>,
    withdrawal_reason: Option<String>,
    comment_count: i32,
    late_response_count: i32,
    updated_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct HistoryRow {
    consultation_id: Uuid,
    version: i64,
    event_id: Uuid,
    kind: String,
    at: DateTime<Utc>,
    by_id: Option<Uuid>,
    by_name: Option<String>,
    decision: Option<String>,
    comment: Option<String>,
    reason: Option<String>,
}

/// A row that no projector of this release could have written.
#[derive(Debug, thiserror::Error)]
#[error("the column {0} holds what this release cannot read")]
struct Unreadable(&'static str);

fn unreadable(column: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(Unreadable(column)))
}

/// A word of a fact, such as `approve`.
fn word<T: DeserializeOwned>(column: &'static str, text: &str) -> Result<T, sqlx::Error> {
    serde_json::from_value(Value::from(text)).map_err(|_| unreadable(column))
}

fn optional_word<T: DeserializeOwned>(column: &'static str, text: Option<&str>) -> Result<Option<T>, sqlx::Error> {
    text.map(|text| word(column, text)).transpose()
}

fn needed<T>(column: &'static str, value: Option<T>) -> Result<T, sqlx::Error> {
    value.ok_or_else(|| unreadable(column))
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

impl ConsultationRow {
    fn outcome(&self, state: State) -> Result<Option<OutcomeView>, sqlx::Error> {
        if state != State::Responded {
            return Ok(None);
        }
        Ok(Some(OutcomeView {
            decision: word("decision", needed("decision", self.decision.as_deref())?)?,
            rule: word("rule", needed("rule", self.rule.as_deref())?)?,
            request_version: unsigned(needed("request_version", self.request_version)?),
            by: PersonView::new(needed("ended_by", self.ended_by)?, self.ended_by_name.clone()),
            comment: self.outcome_comment.clone(),
            at: needed("ended_at", self.ended_at)?,
        }))
    }

    fn withdrawal(&self, state: State) -> Result<Option<WithdrawalView>, sqlx::Error> {
        if state != State::Withdrawn {
            return Ok(None);
        }
        Ok(Some(WithdrawalView {
            reason: word("withdrawal_reason", needed("withdrawal_reason", self.withdrawal_reason.as_deref())?)?,
            by: PersonView::new(needed("ended_by", self.ended_by)?, self.ended_by_name.clone()),
            comment: self.outcome_comment.clone(),
            at: needed("ended_at", self.ended_at)?,
        }))
    }

    fn view(self) -> Result<ConsultationView, sqlx::Error> {
        let state = word("state", &self.state)?;
        let context = self.context.as_deref().map(serde_json::from_str).transpose();
        Ok(ConsultationView {
            outcome: self.outcome(state)?,
            withdrawal: self.withdrawal(state)?,
            id: self.id,
            version: unsigned(self.version),
            state,
            title: self.title,
            body: self.body,
            context: context.map_err(|_| unreadable("context"))?,
            external_id: self.external_id,
            requested_by: PersonView::new(self.requested_by, self.requested_by_name),
            requested_at: self.requested_at,
            reviewers: self.reviewers,
            deadline: self.deadline,
            ended_at: self.ended_at,
            comment_count: count(self.comment_count),
            late_response_count: count(self.late_response_count),
            updated_at: self.updated_at,
        })
    }
}

impl HistoryRow {
    fn view(self) -> Result<HistoryView, sqlx::Error> {
        Ok(HistoryView {
            version: unsigned(self.version),
            kind: self.kind,
            at: self.at,
            by: self.by_id.map(|id| PersonView::new(id, self.by_name)),
            decision: optional_word("decision", self.decision.as_deref())?,
            comment: self.comment,
            reason: optional_word("reason", self.reason.as_deref())?,
            event_id: self.event_id,
        })
    }
}

/// The consultations with these ids, as far as the tenant has them.
///
/// # Errors
/// When they cannot be read.
pub async fn by_ids(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, ConsultationView>, sqlx::Error> {
    let mut query = QueryBuilder::<Postgres>::new("select ");
    query.push(COLUMNS).push(" from read.consultation where id = any(").push_bind(ids).push(")");
    let rows: Vec<ConsultationRow> = query.build_query_as().fetch_all(connection).await?;
    rows.into_iter().map(|row| row.view().map(|view| (view.id, view))).collect()
}

/// The consultation with this id, if the tenant has it.
///
/// # Errors
/// When it cannot be read.
pub async fn by_id(connection: &mut PgConnection, id: Uuid) -> Result<Option<ConsultationView>, sqlx::Error> {
    Ok(by_ids(connection, &[id]).await?.remove(&id))
}

/// At most `limit` consultations behind `after`, newest first.
///
/// # Errors
/// When they cannot be read.
pub async fn page(
    connection: &mut PgConnection,
    filter: &Filter,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<ConsultationView>, sqlx::Error> {
    let mut query = QueryBuilder::<Postgres>::new("select ");
    query.push(COLUMNS).push(" from read.consultation where true");
    match filter.states.as_slice() {
        [] => {}
        // Equality, where it can be: the index then gives the order too.
        [state] => {
            query.push(" and state = ").push_bind(state.as_str());
        }
        states => {
            let states: Vec<&'static str> = states.iter().map(|state| state.as_str()).collect();
            query.push(" and state = any(").push_bind(states).push(")");
        }
    }
    if let Some(external_id) = &filter.external_id {
        query.push(" and external_id = ").push_bind(external_id);
    }
    if let Some(requested_by) = filter.requested_by {
        query.push(" and requested_by = ").push_bind(requested_by);
    }
    if let Some(from) = filter.requested_after {
        query.push(" and requested_at > ").push_bind(from);
    }
    if let Some(to) = filter.requested_before {
        query.push(" and requested_at < ").push_bind(to);
    }
    if let Some(cursor) = after {
        query.push(" and (requested_at, id) < (").push_bind(cursor.at);
        query.push(", ").push_bind(cursor.id).push(")");
    }
    query.push(" order by requested_at desc, id desc limit ").push_bind(limit);
    let rows: Vec<ConsultationRow> = query.build_query_as().fetch_all(connection).await?;
    rows.into_iter().map(ConsultationRow::view).collect()
}

/// What happened to each of these consultations, in order.
///
/// # Errors
/// When it cannot be read.
pub async fn histories(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Vec<HistoryView>>, sqlx::Error> {
    let rows: Vec<HistoryRow> = sqlx::query_as(
        "select consultation_id, version, event_id, kind, at, by_id, by_name, decision, comment, reason
         from read.consultation_history where consultation_id = any($1) order by consultation_id, version",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    let mut histories: HashMap<Uuid, Vec<HistoryView>> = HashMap::new();
    for row in rows {
        histories.entry(row.consultation_id).or_default().push(row.view()?);
    }
    Ok(histories)
}

/// Counts over all consultations of the tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Stats {
    /// Pending now.
    pub pending: i64,
    /// Decided by votes.
    pub responded: i64,
    /// Decided so: granted.
    pub approved: i64,
    /// Decided so: refused.
    pub rejected: i64,
    /// The deadline passed first.
    pub timed_out: i64,
    /// Taken back.
    pub withdrawn: i64,
    /// Consultations with at least one answer after the deadline.
    pub late_answered: i64,
    /// Answers after the deadline.
    pub late_responses: i64,
    /// Comments.
    pub comments: i64,
}

/// The counts of the tenant: the sums of the shards' partial counts.
///
/// # Errors
/// When they cannot be read.
pub async fn stats(connection: &mut PgConnection) -> Result<Stats, sqlx::Error> {
    // A sum of bigints is numeric; without a row it is null.
    sqlx::query_as(
        "select coalesce(sum(pending), 0)::bigint as pending, coalesce(sum(responded), 0)::bigint as responded,
                coalesce(sum(approved), 0)::bigint as approved, coalesce(sum(rejected), 0)::bigint as rejected,
                coalesce(sum(timed_out), 0)::bigint as timed_out, coalesce(sum(withdrawn), 0)::bigint as withdrawn,
                coalesce(sum(late_answered), 0)::bigint as late_answered,
                coalesce(sum(late_responses), 0)::bigint as late_responses, coalesce(sum(comments), 0)::bigint as comments
         from read.consultation_stats",
    )
    .fetch_one(connection)
    .await
}
