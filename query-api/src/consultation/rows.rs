//! The rows of consultations, as the tenant of the transaction sees them.
//!
//! Owns the SQL; how a row becomes a view is [`super::row`]'s. It must not decide who may see what: row security does.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use docket_domain::consultation::view::{ConsultationView, HistoryView, VoteView};
use docket_events::consultation::Priority;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::{
    filter::{Filter, Sort},
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

/// At most `limit` of the tenant's consultations behind `after`, in an order. They are found by a function of the database and read as
/// anything else is.
///
/// # Errors
/// When they cannot be read.
pub async fn page(
    connection: &mut PgConnection,
    tenant: Uuid,
    filter: &Filter,
    sort: Sort,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<ConsultationView>, sqlx::Error> {
    let states: Vec<&'static str> = filter.states.iter().map(|state| state.as_str()).collect();
    let mut query = QueryBuilder::<Postgres>::new("select ");
    query.push(COLUMNS).push(" from read.find_consultations(");
    let mut argument = query.separated(", ");
    argument.push_bind(tenant);
    argument.push_bind(filter.text.as_deref());
    argument.push_bind(&filter.labels);
    argument.push_bind(states);
    argument.push_bind(filter.external_id.as_deref());
    argument.push_bind(filter.requested_by);
    argument.push_bind(filter.requested_after);
    argument.push_bind(filter.requested_before);
    argument.push_bind(filter.updated_after);
    argument.push_bind(filter.due_before);
    argument.push_bind(filter.reviewer);
    argument.push_bind(filter.inbox.map(|reviewer| reviewer.id));
    argument.push_bind(filter.inbox.map(|reviewer| reviewer.role.as_str()));
    argument.push_bind(filter.priority.map(Priority::rank));
    argument.push_bind(filter.unclaimed);
    argument.push_bind(sort.as_str());
    argument.push_bind(after.map(|cursor| cursor.at));
    argument.push_bind(after.map(|cursor| cursor.id));
    argument.push_bind(limit);
    query.push(
        ") with ordinality as found (id, place) join read.consultation c on c.id = found.id order by found.place",
    );
    let rows: Vec<ConsultationRow> = query.build_query_as().fetch_all(connection).await?;
    rows.into_iter().map(ConsultationRow::view).collect()
}

/// At most `limit` of the tenant's consultations that cite any of these articles and entities, the last asked first, behind `after`.
///
/// # Errors
/// When they cannot be read.
pub async fn citing(
    connection: &mut PgConnection,
    tenant: Uuid,
    items: &[Uuid],
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<ConsultationView>, sqlx::Error> {
    let mut query = QueryBuilder::<Postgres>::new("select ");
    query.push(COLUMNS).push(
        " from (select distinct x.requested_at, x.consultation_id from read.consultation_cited x where x.tenant = ",
    );
    query.push_bind(tenant).push(" and x.item = any(").push_bind(items).push(")");
    if let Some(Cursor { at, id }) = after {
        query.push(" and (x.requested_at, x.consultation_id) < (").push_bind(at).push(", ").push_bind(id).push(")");
    }
    query.push(" order by x.requested_at desc, x.consultation_id desc limit ").push_bind(limit);
    query.push(
        ") found join read.consultation c on c.id = found.consultation_id order by found.requested_at desc, found.consultation_id desc",
    );
    let rows: Vec<ConsultationRow> = query.build_query_as().fetch_all(connection).await?;
    rows.into_iter().map(ConsultationRow::view).collect()
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
