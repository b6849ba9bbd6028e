//! What deeds add up to: by item and day, by reader and day, and as the trend of an item.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use docket_events::engagement::Action;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{super::column, Deed};
use crate::projection::{Schema, WriteError};

/// How often each thing was done, and for how long it was looked.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Counts {
    by_action: [i64; Action::ALL.len()],
    dwell_ms: i64,
}

impl Counts {
    fn add(&mut self, deed: &Deed, sign: i64) {
        self.by_action[deed.action as usize] += sign;
        self.dwell_ms += sign * i64::from(deed.dwell_ms.unwrap_or(0));
    }

    const fn of(&self, action: Action) -> i64 {
        self.by_action[action as usize]
    }
}

/// What a batch adds to the sums, and takes away.
#[derive(Debug, Default)]
pub(super) struct Sums {
    /// By tenant, item, day and shard; with the kind of the item.
    items: BTreeMap<(Uuid, Uuid, NaiveDate, u16), (String, Counts)>,
    /// By tenant, reader, day and shard.
    readers: BTreeMap<(Uuid, Uuid, NaiveDate, u16), Counts>,
    /// By tenant, block, item and shard; with the kind of the item.
    trends: BTreeMap<(Uuid, i32, Uuid, u16), (String, i64)>,
    /// Whether anything is taken away: only then can a sum come to nothing.
    takes: bool,
}

impl Sums {
    /// Counts a deed of a tenant's reader `sign` times.
    pub(super) fn add(&mut self, (tenant, reader): (Uuid, Uuid), deed: &Deed, sign: i64) {
        let (day, shard) = (deed.day(), deed.told.1);
        let kind = || (deed.kind.clone(), Counts::default());
        self.items.entry((tenant, deed.item, day, shard)).or_insert_with(kind).1.add(deed, sign);
        self.readers.entry((tenant, reader, day, shard)).or_default().add(deed, sign);
        let (block, weight) = deed.trend();
        self.trends.entry((tenant, block, deed.item, shard)).or_insert_with(|| (deed.kind.clone(), 0)).1 +=
            sign * weight;
        self.takes |= sign < 0;
    }
}

const ITEMS: &str = "insert into {schema}.engagement_item_day_v1 as s
         (tenant, item, day, shard, kind, views, clicks, saves, shares, dwells, dwell_ms)
     select * from unnest($1::uuid[], $2::uuid[], $3::date[], $4::smallint[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[],
                          $9::bigint[], $10::bigint[], $11::bigint[])
     on conflict (tenant, item, day, shard) do update set
         views = s.views + excluded.views, clicks = s.clicks + excluded.clicks, saves = s.saves + excluded.saves,
         shares = s.shares + excluded.shares, dwells = s.dwells + excluded.dwells, dwell_ms = s.dwell_ms + excluded.dwell_ms";

const READERS: &str = "insert into {schema}.engagement_user_day_v1 as s
         (tenant, user_id, day, shard, views, clicks, saves, shares, dwells, dwell_ms)
     select * from unnest($1::uuid[], $2::uuid[], $3::date[], $4::smallint[], $5::bigint[], $6::bigint[], $7::bigint[],
                          $8::bigint[], $9::bigint[], $10::bigint[])
     on conflict (tenant, user_id, day, shard) do update set
         views = s.views + excluded.views, clicks = s.clicks + excluded.clicks, saves = s.saves + excluded.saves,
         shares = s.shares + excluded.shares, dwells = s.dwells + excluded.dwells, dwell_ms = s.dwell_ms + excluded.dwell_ms";

const TRENDS: &str = "insert into {schema}.engagement_trend_v1 as s (tenant, block, item, shard, kind, weight)
     select * from unnest($1::uuid[], $2::integer[], $3::uuid[], $4::smallint[], $5::text[], $6::bigint[])
     on conflict (tenant, block, item, shard) do update set weight = s.weight + excluded.weight";

// A sum that came to nothing would not be there had things been told in another order.
const NO_ITEMS: &str = "delete from {schema}.engagement_item_day_v1 s
     using unnest($1::uuid[], $2::uuid[], $3::date[], $4::smallint[]) as k (tenant, item, day, shard)
     where s.tenant = k.tenant and s.item = k.item and s.day = k.day and s.shard = k.shard
       and s.views + s.clicks + s.saves + s.shares + s.dwells = 0";
const NO_READERS: &str = "delete from {schema}.engagement_user_day_v1 s
     using unnest($1::uuid[], $2::uuid[], $3::date[], $4::smallint[]) as k (tenant, user_id, day, shard)
     where s.tenant = k.tenant and s.user_id = k.user_id and s.day = k.day and s.shard = k.shard
       and s.views + s.clicks + s.saves + s.shares + s.dwells = 0";
const NO_TRENDS: &str = "delete from {schema}.engagement_trend_v1 s
     using unnest($1::uuid[], $2::integer[], $3::uuid[], $4::smallint[]) as k (tenant, block, item, shard)
     where s.tenant = k.tenant and s.block = k.block and s.item = k.item and s.shard = k.shard and s.weight = 0";

/// Adds sums to what is there, each table in the order of its key.
pub(super) async fn write_sums(schema: &Schema, connection: &mut PgConnection, sums: &Sums) -> Result<(), WriteError> {
    write_items(schema, connection, sums).await?;
    write_readers(schema, connection, sums).await?;
    write_trends(schema, connection, sums).await
}

async fn write_items(schema: &Schema, connection: &mut PgConnection, sums: &Sums) -> Result<(), WriteError> {
    let rows: Vec<_> = sums.items.iter().collect();
    let counted = |action| column(&rows, move |(_, (_, counts))| counts.of(action));
    sqlx::query(schema.sql(ITEMS))
        .bind(column(&rows, |((tenant, ..), _)| *tenant))
        .bind(column(&rows, |((_, item, ..), _)| *item))
        .bind(column(&rows, |((_, _, day, _), _)| *day))
        .bind(column(&rows, |((.., shard), _)| *shard as i16))
        .bind(column(&rows, |(_, (kind, _))| kind.as_str()))
        .bind(counted(Action::View))
        .bind(counted(Action::Click))
        .bind(counted(Action::Save))
        .bind(counted(Action::Share))
        .bind(counted(Action::Dwell))
        .bind(column(&rows, |(_, (_, counts))| counts.dwell_ms))
        .execute(&mut *connection)
        .await?;
    if sums.takes {
        sqlx::query(schema.sql(NO_ITEMS))
            .bind(column(&rows, |((tenant, ..), _)| *tenant))
            .bind(column(&rows, |((_, item, ..), _)| *item))
            .bind(column(&rows, |((_, _, day, _), _)| *day))
            .bind(column(&rows, |((.., shard), _)| *shard as i16))
            .execute(connection)
            .await?;
    }
    Ok(())
}

async fn write_readers(schema: &Schema, connection: &mut PgConnection, sums: &Sums) -> Result<(), WriteError> {
    let rows: Vec<_> = sums.readers.iter().collect();
    let counted = |action| column(&rows, move |(_, counts)| counts.of(action));
    sqlx::query(schema.sql(READERS))
        .bind(column(&rows, |((tenant, ..), _)| *tenant))
        .bind(column(&rows, |((_, reader, ..), _)| *reader))
        .bind(column(&rows, |((_, _, day, _), _)| *day))
        .bind(column(&rows, |((.., shard), _)| *shard as i16))
        .bind(counted(Action::View))
        .bind(counted(Action::Click))
        .bind(counted(Action::Save))
        .bind(counted(Action::Share))
        .bind(counted(Action::Dwell))
        .bind(column(&rows, |(_, counts)| counts.dwell_ms))
        .execute(&mut *connection)
        .await?;
    if sums.takes {
        sqlx::query(schema.sql(NO_READERS))
            .bind(column(&rows, |((tenant, ..), _)| *tenant))
            .bind(column(&rows, |((_, reader, ..), _)| *reader))
            .bind(column(&rows, |((_, _, day, _), _)| *day))
            .bind(column(&rows, |((.., shard), _)| *shard as i16))
            .execute(connection)
            .await?;
    }
    Ok(())
}

async fn write_trends(schema: &Schema, connection: &mut PgConnection, sums: &Sums) -> Result<(), WriteError> {
    let rows: Vec<_> = sums.trends.iter().collect();
    sqlx::query(schema.sql(TRENDS))
        .bind(column(&rows, |((tenant, ..), _)| *tenant))
        .bind(column(&rows, |((_, block, ..), _)| *block))
        .bind(column(&rows, |((_, _, item, _), _)| *item))
        .bind(column(&rows, |((.., shard), _)| *shard as i16))
        .bind(column(&rows, |(_, (kind, _))| kind.as_str()))
        .bind(column(&rows, |(_, (_, weight))| *weight))
        .execute(&mut *connection)
        .await?;
    if sums.takes {
        sqlx::query(schema.sql(NO_TRENDS))
            .bind(column(&rows, |((tenant, ..), _)| *tenant))
            .bind(column(&rows, |((_, block, ..), _)| *block))
            .bind(column(&rows, |((_, _, item, _), _)| *item))
            .bind(column(&rows, |((.., shard), _)| *shard as i16))
            .execute(connection)
            .await?;
    }
    Ok(())
}
