//! The rows of consultations, as the tenant of the transaction sees them.
//!
//! Owns the SQL; how a row becomes a view is [`super::row`]'s. It must not decide who may see what: row security does.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use docket_domain::consultation::view::{ConsultationView, HistoryView, VoteView};
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::{
    filter::{Filter, Reviewer, Sort},
    row::{COLUMNS, ConsultationRow, HistoryRow, VoteRow},
};
use crate::page::Cursor;

/// The consultations with these ids, as far as the tenant has them.
///
/// # Errors
/// When they cannot be read.
pub async fn by_ids(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, ConsultationView>, sqlx::Error> {
    let mut query = QueryBuilder::<Postgres>::new("select ");
    query.push(COLUMNS).push(" from read.consultation c where c.id = any(").push_bind(ids).push(")");
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

/// At most `limit` consultations behind `after`, in an order.
///
/// # Errors
/// When they cannot be read.
pub async fn page(
    connection: &mut PgConnection,
    filter: &Filter,
    sort: Sort,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<ConsultationView>, sqlx::Error> {
    let mut query = QueryBuilder::<Postgres>::new("select ");
    query.push(COLUMNS).push(" from read.consultation c where true");
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
    narrow(&mut query, filter);
    let (column, behind, direction) = match sort {
        Sort::Newest => ("requested_at", "<", "desc"),
        Sort::Updated => ("updated_at", "<", "desc"),
        Sort::Due => ("deadline", ">", "asc"),
    };
    if sort == Sort::Due {
        query.push(" and deadline is not null and clock_stopped_at is null");
    }
    if let Some(cursor) = after {
        query.push(format!(" and ({column}, id) {behind} (")).push_bind(cursor.at);
        query.push(", ").push_bind(cursor.id).push(")");
    }
    query.push(format!(" order by {column} {direction}, id {direction} limit ")).push_bind(limit);
    let rows: Vec<ConsultationRow> = query.build_query_as().fetch_all(connection).await?;
    rows.into_iter().map(ConsultationRow::view).collect()
}

/// The conditions on how far the work is.
fn narrow(query: &mut QueryBuilder<Postgres>, filter: &Filter) {
    if let Some(from) = filter.updated_after {
        query.push(" and updated_at > ").push_bind(from);
    }
    if !filter.labels.is_empty() {
        query.push(" and labels @> ").push_bind(filter.labels.clone());
    }
    if let Some(reviewer) = filter.reviewer {
        query.push(" and (claimed_by = ").push_bind(reviewer);
        query
            .push(" or id in (select consultation_id from read.consultation_reviewer where answers and user_id = ")
            .push_bind(reviewer);
        query.push("))");
    }
    if let Some(reviewer) = filter.inbox {
        waiting_for(query, reviewer);
    }
    if let Some(priority) = filter.priority {
        query.push(" and priority >= ").push_bind(priority.rank());
    }
    if filter.unclaimed {
        query.push(" and claimed_by is null");
    }
    if let Some(due) = filter.due_before {
        query.push(" and deadline < ").push_bind(due).push(" and clock_stopped_at is null");
    }
}

/// Those that are pending, that the person may answer, and has not.
fn waiting_for(query: &mut QueryBuilder<Postgres>, Reviewer { id, role }: Reviewer) {
    query.push(" and state = 'pending' and not (four_eyes and (requested_by = ").push_bind(id);
    query.push(" or key_made_by is not distinct from ").push_bind(id);
    query.push(")) and (counts_seats or claimed_by is null or claimed_by = ").push_bind(id);
    query.push(") and not exists (select from read.consultation_vote v where v.consultation_id = c.id and v.voter = ");
    query.push_bind(id);
    // Named, or one of those who are not told apart; unless the person has delegated it.
    query.push(") and coalesce((select r.answers from read.consultation_reviewer r where r.consultation_id = c.id and r.user_id = ");
    query.push_bind(id).push("), not counts_seats and (everyone or roles @> array[").push_bind(role.as_str());
    query
        .push("] or groups && array(select group_id from read.group_member where user_id = ")
        .push_bind(id)
        .push(")))");
}

/// When a consultation of the tenant last changed.
///
/// # Errors
/// When that cannot be read.
pub async fn last_change(connection: &mut PgConnection) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    sqlx::query_scalar("select updated_at from read.consultation order by updated_at desc limit 1")
        .fetch_optional(connection)
        .await
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
        "select consultation_id, version, event_id, kind, at, by_id, by_name, to_id, to_name, decision, comment, reason, details
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

/// The last votes on each of these consultations, in the order of the stream.
///
/// # Errors
/// When they cannot be read.
pub async fn votes(connection: &mut PgConnection, ids: &[Uuid]) -> Result<HashMap<Uuid, Vec<VoteView>>, sqlx::Error> {
    let rows: Vec<VoteRow> = sqlx::query_as(
        "select v.consultation_id, v.voter, v.version, v.by_name, v.at, v.decision, v.content, v.comment, c.terms, c.proposed
         from read.consultation_vote v join read.consultation c on c.id = v.consultation_id
         where v.consultation_id = any($1) order by v.consultation_id, v.version",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    let mut votes: HashMap<Uuid, Vec<VoteView>> = HashMap::new();
    for row in rows {
        votes.entry(row.consultation_id).or_default().push(row.view()?);
    }
    Ok(votes)
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
