//! The projection `engagement`: what readers did, each thing once, and what it adds up to by item, by reader, by day, and as a trend.
//!
//! Owns `engagement_v1` and the three tables of sums. A thing that was told in two calls is that of the earlier one, by time, shard and
//! sequence: so the rows are the same in whatever order shards are projected. A sum has the shard of the rows that it counts.

mod sums;

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use docket_domain::engagement::trend;
use docket_events::{
    Category, Event, Recorded,
    engagement::{Action, Engaged, EngagementEvent},
};
use sqlx::PgConnection;
use uuid::Uuid;

use self::sums::{Sums, write_sums};
use super::column;
use crate::projection::{Info, Poison, Projection, Schema, Table, WriteError};

/// What readers did.
#[derive(Debug, Clone, Copy)]
pub struct Engagement;

/// Whose thing it is: the tenant, the reader, the id.
type Key = (Uuid, Uuid, Uuid);

/// When and where it was told: the first one counts.
type Told = (DateTime<Utc>, u16, u64);

/// A thing that somebody did.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Deed {
    told: Told,
    action: Action,
    kind: String,
    item: Uuid,
    at: DateTime<Utc>,
    dwell_ms: Option<i32>,
    consultation_id: Option<Uuid>,
}

impl Deed {
    fn of(event: &Recorded, item: &Engaged) -> Self {
        Self {
            told: (event.time, event.shard, event.sequence),
            action: item.action,
            kind: item.item.kind().to_owned(),
            item: item.item.id(),
            at: item.at.unwrap_or(event.time),
            // At most a day, as it was decided.
            dwell_ms: item.dwell_ms.map(|ms| i32::try_from(ms).unwrap_or(i32::MAX)),
            consultation_id: item.consultation_id,
        }
    }

    /// The day in UTC.
    fn day(&self) -> NaiveDate {
        self.at.date_naive()
    }

    /// What it adds to the trend of its item, and in which block.
    fn trend(&self) -> (i32, i64) {
        (trend::block(self.at), trend::weight(self.action, self.at))
    }
}

/// What a batch tells: of each thing the first telling.
#[derive(Debug, Default)]
pub struct Batch(BTreeMap<Key, Deed>);

// In the order of the key, as every writer does it: two of them wait for each other's rows in one order.
const NEW: &str = "insert into {schema}.engagement_v1
         (tenant, user_id, id, shard, sequence, told_at, action, kind, item, at, dwell_ms, consultation_id)
     select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::smallint[], $5::bigint[], $6::timestamptz[], $7::text[], $8::text[],
                          $9::uuid[], $10::timestamptz[], $11::integer[], $12::uuid[])
     on conflict (tenant, user_id, id) do nothing
     returning tenant, user_id, id";

const THERE: &str =
    "select e.tenant, e.user_id, e.id, e.told_at, e.shard, e.sequence, e.action, e.kind, e.item, e.at, e.dwell_ms,
            e.consultation_id
     from {schema}.engagement_v1 e join unnest($1::uuid[], $2::uuid[], $3::uuid[]) as k (tenant, user_id, id)
       on e.tenant = k.tenant and e.user_id = k.user_id and e.id = k.id
     order by e.tenant, e.user_id, e.id for update of e";

const TOLD_BEFORE: &str = "update {schema}.engagement_v1 e set
         shard = n.shard, sequence = n.sequence, told_at = n.told_at, action = n.action, kind = n.kind, item = n.item, at = n.at,
         dwell_ms = n.dwell_ms, consultation_id = n.consultation_id
     from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::smallint[], $5::bigint[], $6::timestamptz[], $7::text[], $8::text[],
                 $9::uuid[], $10::timestamptz[], $11::integer[], $12::uuid[])
         as n (tenant, user_id, id, shard, sequence, told_at, action, kind, item, at, dwell_ms, consultation_id)
     where e.tenant = n.tenant and e.user_id = n.user_id and e.id = n.id";

impl Projection for Engagement {
    const INFO: Info = Info {
        name: "engagement",
        version: 1,
        categories: &[Category::Engagement],
        tables: &[
            Table { name: "engagement_v1", personal: &[] },
            Table { name: "engagement_item_day_v1", personal: &[] },
            Table { name: "engagement_user_day_v1", personal: &[] },
            Table { name: "engagement_trend_v1", personal: &[] },
        ],
    };

    type Batch = Batch;

    fn apply(&self, batch: &mut Batch, event: &Recorded, data: &Event) -> Result<(), Poison> {
        let Event::Engagement(EngagementEvent::Recorded(data)) = data else { return Ok(()) };
        for item in &data.items {
            let deed = Deed::of(event, item);
            let first = batch.0.entry((event.tenant, data.user_id, item.id)).or_insert_with(|| deed.clone());
            if deed.told < first.told {
                *first = deed;
            }
        }
        Ok(())
    }

    async fn write(&self, schema: &Schema, connection: &mut PgConnection, batch: &Batch) -> Result<(), WriteError> {
        if batch.0.is_empty() {
            return Ok(());
        }
        let rows: Vec<(&Key, &Deed)> = batch.0.iter().collect();
        let inserted: Vec<Key> = bound(schema.sql(NEW), &rows).fetch_all(&mut *connection).await?;
        let mut sums = Sums::default();
        if inserted.len() == rows.len() {
            rows.iter().for_each(|((tenant, user, _), deed)| sums.add((*tenant, *user), deed, 1));
        } else {
            let inserted: std::collections::BTreeSet<Key> = inserted.into_iter().collect();
            let (new, met): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(key, _)| inserted.contains(key));
            new.iter().for_each(|((tenant, user, _), deed)| sums.add((*tenant, *user), deed, 1));
            told_before(schema, connection, &met, &mut sums).await?;
        }
        write_sums(schema, connection, &sums).await
    }
}

/// Of things that are there already: those that were told here before they were told there take their place.
async fn told_before(
    schema: &Schema,
    connection: &mut PgConnection,
    met: &[(&Key, &Deed)],
    sums: &mut Sums,
) -> Result<(), WriteError> {
    let there: Vec<There> = sqlx::query_as(schema.sql(THERE))
        .bind(column(met, |((tenant, ..), _)| *tenant))
        .bind(column(met, |((_, user, _), _)| *user))
        .bind(column(met, |((.., id), _)| *id))
        .fetch_all(&mut *connection)
        .await?;
    let there = there.into_iter().map(There::deed).collect::<Result<BTreeMap<Key, Deed>, WriteError>>()?;
    let before = |(key, deed): &&(&Key, &Deed)| there.get(*key).is_some_and(|old| deed.told < old.told);
    let earlier: Vec<(&Key, &Deed)> = met.iter().filter(before).copied().collect();
    if earlier.is_empty() {
        return Ok(());
    }
    for (key, deed) in &earlier {
        let reader = (key.0, key.1);
        if let Some(old) = there.get(*key) {
            sums.add(reader, old, -1);
        }
        sums.add(reader, deed, 1);
    }
    bound(schema.sql(TOLD_BEFORE), &earlier).fetch_all(connection).await?;
    Ok(())
}

fn bound<'a>(
    sql: sqlx::AssertSqlSafe<String>,
    rows: &[(&'a Key, &'a Deed)],
) -> sqlx::query::QueryAs<'a, sqlx::Postgres, Key, sqlx::postgres::PgArguments> {
    sqlx::query_as(sql)
        .bind(column(rows, |((tenant, ..), _)| *tenant))
        .bind(column(rows, |((_, user, _), _)| *user))
        .bind(column(rows, |((.., id), _)| *id))
        .bind(column(rows, |(_, deed)| deed.told.1 as i16))
        .bind(column(rows, |(_, deed)| deed.told.2 as i64))
        .bind(column(rows, |(_, deed)| deed.told.0))
        .bind(column(rows, |(_, deed)| deed.action.name()))
        .bind(column(rows, |(_, deed)| deed.kind.as_str()))
        .bind(column(rows, |(_, deed)| deed.item))
        .bind(column(rows, |(_, deed)| deed.at))
        .bind(column(rows, |(_, deed)| deed.dwell_ms))
        .bind(column(rows, |(_, deed)| deed.consultation_id))
}

/// A row that is there.
#[derive(Debug, sqlx::FromRow)]
struct There {
    tenant: Uuid,
    user_id: Uuid,
    id: Uuid,
    told_at: DateTime<Utc>,
    shard: i16,
    sequence: i64,
    action: String,
    kind: String,
    item: Uuid,
    at: DateTime<Utc>,
    dwell_ms: Option<i32>,
    consultation_id: Option<Uuid>,
}

impl There {
    fn deed(self) -> Result<(Key, Deed), WriteError> {
        let action = Action::ALL.into_iter().find(|action| action.name() == self.action);
        let action = action.ok_or_else(|| WriteError::Inconsistent(format!("`{}` is no action", self.action)))?;
        let deed = Deed {
            told: (self.told_at, self.shard.unsigned_abs(), self.sequence.unsigned_abs()),
            action,
            kind: self.kind,
            item: self.item,
            at: self.at,
            dwell_ms: self.dwell_ms,
            consultation_id: self.consultation_id,
        };
        Ok(((self.tenant, self.user_id, self.id), deed))
    }
}
