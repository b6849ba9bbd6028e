//! How long decisions take: by label, by reviewer, by day.
//!
//! Owns the figures, which are counted when they are asked for, over what ended in a span of time. A percentile over shards cannot be put
//! together from partial ones.

use async_graphql::{Enum, SimpleObject};
use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, PgConnection};

/// By what they are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum DecisionTimesBy {
    /// By label; a consultation with several counts for each.
    Label,
    /// By whose vote completed the rule.
    Reviewer,
    /// By the day, in UTC, on which it ended.
    Day,
}

/// How long decisions took that have something in common.
#[derive(Debug, Clone, PartialEq, SimpleObject, sqlx::FromRow)]
pub struct DecisionTime {
    /// The label, the reviewer's id, or the day, such as `2026-03-01`.
    key: String,
    /// The reviewer's name; null when it was erased, and where it is not told by reviewer.
    name: Option<String>,
    /// How many were decided by votes.
    decided: i64,
    /// Within how many seconds half of them were decided.
    p50_seconds: Option<f64>,
    /// Within how many seconds nine of ten of them were decided.
    p90_seconds: Option<f64>,
    /// How many timed out: their deadline was missed.
    timed_out: i64,
    /// How many of those were answered after the deadline.
    late_answered: i64,
}

impl DecisionTimesBy {
    /// What makes the key and the name, from which rows.
    const fn parts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Label => ("label", "null::text", "read.consultation c, unnest(c.labels) as label"),
            Self::Reviewer => ("c.ended_by::text", "max(c.ended_by_name)", "read.consultation c"),
            Self::Day => ("to_char(c.ended_at at time zone 'UTC', 'YYYY-MM-DD')", "null::text", "read.consultation c"),
        }
    }
}

/// The figures of what ended from `since` on, before `until`: at most `limit` keys, those with the most first; days in their order.
///
/// # Errors
/// When they cannot be read.
pub async fn decision_times(
    connection: &mut PgConnection,
    by: DecisionTimesBy,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<DecisionTime>, sqlx::Error> {
    let (key, name, rows) = by.parts();
    let decided = "filter (where c.state = 'responded')";
    let percentile = |share: &str| {
        format!(
            "percentile_cont({share}) within group (order by extract(epoch from c.ended_at - c.requested_at)::float8) {decided}"
        )
    };
    let narrowed =
        if by == DecisionTimesBy::Reviewer { "and c.state = 'responded'" } else { "and c.state <> 'withdrawn'" };
    let order = if by == DecisionTimesBy::Day { "1 desc" } else { "count(*) desc, 1" };
    let statement = format!(
        "select {key} as key, {name} as name, count(*) {decided} as decided, {p50} as p50_seconds, {p90} as p90_seconds,
                count(*) filter (where c.state = 'timed_out') as timed_out,
                count(*) filter (where c.state = 'timed_out' and c.late_response_count > 0) as late_answered
         from {rows} where c.ended_at >= $1 and c.ended_at < $2 {narrowed} group by 1 order by {order} limit $3",
        p50 = percentile("0.5"),
        p90 = percentile("0.9"),
    );
    sqlx::query_as(AssertSqlSafe(statement)).bind(since).bind(until).bind(limit).fetch_all(connection).await
}
