//! Rows of what readers did.

use async_graphql::{Enum, SimpleObject};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use docket_events::engagement::Action;
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::ItemKind;
use crate::{graphql::Instant, page::Cursor, read::ReadError};

/// The most days of an item's counters.
const MAX_DAYS: i32 = 366;

/// What a reader did with an article or an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize, ToSchema)]
#[graphql(remote = "Action")]
#[serde(rename_all = "snake_case")]
pub enum EngagementAction {
    /// It was shown.
    View,
    /// It was opened.
    Click,
    /// It was kept.
    Save,
    /// It was passed on.
    Share,
    /// It was looked at for some time.
    Dwell,
}

impl EngagementAction {
    /// The action of this name, as the log and the API have it.
    pub(crate) fn of(name: &str) -> Option<Self> {
        Action::ALL.into_iter().find(|action| action.name() == name).map(Into::into)
    }
}

/// One thing that a reader did.
#[derive(Debug, Clone, Serialize, SimpleObject, ToSchema)]
#[schema(as = ReadEngagement)]
pub struct Engagement {
    /// Its id, made by the teller.
    id: Uuid,
    /// What was done.
    action: EngagementAction,
    /// What it was done with.
    kind: ItemKind,
    /// The id of the article or the entity.
    item_id: Uuid,
    /// When.
    #[schema(value_type = DateTime<Utc>)]
    at: Instant,
    /// For how long, in milliseconds; of a dwell alone.
    dwell_ms: Option<i32>,
    /// While this consultation was being considered.
    consultation_id: Option<Uuid>,
}

impl Engagement {
    pub(super) fn place(&self) -> Cursor {
        Cursor { at: self.at.0, id: self.id }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    action: String,
    kind: String,
    item: Uuid,
    at: DateTime<Utc>,
    dwell_ms: Option<i32>,
    consultation_id: Option<Uuid>,
}

impl TryFrom<Row> for Engagement {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let unknown = |text: &str| sqlx::Error::Decode(format!("`{text}` is neither an action nor a kind").into());
        Ok(Self {
            id: row.id,
            action: EngagementAction::of(&row.action).ok_or_else(|| unknown(&row.action))?,
            kind: ItemKind::of(&row.kind).ok_or_else(|| unknown(&row.kind))?,
            item_id: row.item,
            at: Instant(row.at),
            dwell_ms: row.dwell_ms,
            consultation_id: row.consultation_id,
        })
    }
}

/// What `reader`, a user of a tenant, did: the last first.
pub(super) async fn history(
    connection: &mut PgConnection,
    (tenant, user): (Uuid, Uuid),
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<Engagement>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, action, kind, item, at, dwell_ms, consultation_id from read.engagement
         where tenant = $1 and user_id = $2 and ($3::timestamptz is null or (at, id) < ($3, $4))
         order by at desc, id desc limit $5",
    )
    .bind(tenant)
    .bind(user)
    .bind(after.map(|cursor| cursor.at))
    .bind(after.map(|cursor| cursor.id))
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Engagement::try_from).collect()
}

/// How often each thing was done, and for how long it was looked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, SimpleObject, ToSchema, sqlx::FromRow)]
pub struct EngagementCounts {
    /// How often it was shown.
    views: i64,
    /// How often it was opened.
    clicks: i64,
    /// How often it was kept.
    saves: i64,
    /// How often it was passed on.
    shares: i64,
    /// How often it was looked at for some time.
    dwells: i64,
    /// For how long in all, in milliseconds.
    dwell_ms: i64,
}

/// What was done with an item on a day.
#[derive(Debug, Clone, Serialize, SimpleObject, ToSchema)]
pub struct EngagementDay {
    /// The day in UTC, `YYYY-MM-DD`.
    #[schema(value_type = NaiveDate)]
    day: String,
    /// What was done.
    counts: EngagementCounts,
}

/// What readers did with an item.
#[derive(Debug, Clone, Serialize, SimpleObject, ToSchema)]
pub struct ItemEngagement {
    /// The article or the entity.
    item_id: Uuid,
    /// Ever.
    total: EngagementCounts,
    /// By day, the last first; days on which nothing was done are left out.
    days: Vec<EngagementDay>,
}

/// How many days are told.
pub(super) fn days(days: i32) -> Result<i32, ReadError> {
    if (1..=MAX_DAYS).contains(&days) {
        return Ok(days);
    }
    Err(ReadError::argument("days", format!("use a number from 1 to {MAX_DAYS}.")))
}

/// The sums of the counters, over shards and whatever else is grouped.
macro_rules! counted {
    ($what:literal, $rest:literal) => {
        concat!(
            "select ",
            $what,
            " coalesce(sum(views), 0)::bigint as views, coalesce(sum(clicks), 0)::bigint as clicks,
              coalesce(sum(saves), 0)::bigint as saves, coalesce(sum(shares), 0)::bigint as shares,
              coalesce(sum(dwells), 0)::bigint as dwells, coalesce(sum(dwell_ms), 0)::bigint as dwell_ms
              from read.engagement_item_day where tenant = $1 and item = ",
            $rest
        )
    };
}

#[derive(sqlx::FromRow)]
struct DayRow {
    day: NaiveDate,
    #[sqlx(flatten)]
    counts: EngagementCounts,
}

/// What the readers of a tenant did with an item: ever, and on the last `days` days before `now`, today among them. Of what nobody did
/// anything with, and of what is not there, every counter is 0.
pub(super) async fn counters(
    connection: &mut PgConnection,
    tenant: Uuid,
    item_id: Uuid,
    days: i32,
    now: DateTime<Utc>,
) -> Result<ItemEngagement, sqlx::Error> {
    let total = sqlx::query_as(counted!("", "$2")).bind(tenant).bind(item_id).fetch_one(&mut *connection).await?;
    let first = now.date_naive() - TimeDelta::days(i64::from(days - 1));
    let rows: Vec<DayRow> = sqlx::query_as(counted!("day,", "$2 and day >= $3 group by day order by day desc"))
        .bind(tenant)
        .bind(item_id)
        .bind(first)
        .fetch_all(connection)
        .await?;
    let days = rows.into_iter().map(|row| EngagementDay { day: row.day.to_string(), counts: row.counts });
    Ok(ItemEngagement { item_id, total, days: days.collect() })
}

#[derive(sqlx::FromRow)]
struct ItemRow {
    item: Uuid,
    #[sqlx(flatten)]
    counts: EngagementCounts,
}

/// What the readers of a tenant ever did with these items, in the order of their ids; those with which nobody did anything are left out.
pub(super) async fn totals(
    connection: &mut PgConnection,
    tenant: Uuid,
    items: &[Uuid],
) -> Result<Vec<(Uuid, EngagementCounts)>, sqlx::Error> {
    let rows: Vec<ItemRow> = sqlx::query_as(counted!("item,", "any($2) group by item order by item"))
        .bind(tenant)
        .bind(items)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| (row.item, row.counts)).collect())
}
