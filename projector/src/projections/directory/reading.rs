//! A row for each time that an organisation shows what reviewers open before they vote.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use docket_events::{Recorded, identity::ReadingShown};
use sqlx::PgConnection;
use uuid::Uuid;

use super::all_there;
use crate::projection::{Schema, WriteError};

/// What a batch says of it, by tenant.
#[derive(Debug, Default)]
pub struct Reading(pub(in crate::projections) BTreeMap<Uuid, Shown>);

/// One organisation's part of a batch.
#[derive(Debug, Default)]
pub(in crate::projections) struct Shown {
    /// When the time ended that had begun before the batch.
    ended: Option<DateTime<Utc>>,
    periods: Vec<Period>,
}

#[derive(Debug)]
struct Period {
    version: u64,
    shard: u16,
    from: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
}

const ENDED: &str = "update {schema}.reading_period_v1 r set shown_until = p.ended
     from unnest($1::uuid[], $2::timestamptz[]) as p (tenant, ended)
     where r.tenant = p.tenant and r.shown_until is null";

const NEW: &str = "insert into {schema}.reading_period_v1 (tenant, version, shard, shown_from, shown_until)
     select * from unnest($1::uuid[], $2::bigint[], $3::smallint[], $4::timestamptz[], $5::timestamptz[])
     on conflict (tenant, version) do update set
         shard = excluded.shard, shown_from = excluded.shown_from, shown_until = excluded.shown_until";

impl Reading {
    pub(super) fn fold(&mut self, event: &Recorded, ReadingShown { shown }: ReadingShown) {
        let organisation = self.0.entry(event.tenant).or_default();
        if shown {
            let period = Period { version: event.version, shard: event.shard, from: event.time, until: None };
            organisation.periods.push(period);
            return;
        }
        match organisation.periods.last_mut() {
            Some(period) => period.until = Some(event.time),
            None => organisation.ended = Some(event.time),
        }
    }

    pub(super) async fn write(&self, schema: &Schema, connection: &mut PgConnection) -> Result<(), WriteError> {
        let ended: Vec<_> = self.0.iter().filter_map(|(tenant, shown)| Some((*tenant, shown.ended?))).collect();
        if !ended.is_empty() {
            let done = sqlx::query(schema.sql(ENDED))
                .bind(ended.iter().map(|(tenant, _)| *tenant).collect::<Vec<_>>())
                .bind(ended.iter().map(|(_, at)| *at).collect::<Vec<_>>())
                .execute(&mut *connection)
                .await?;
            all_there(done.rows_affected(), ended.len(), "times of shown reading")?;
        }
        let mut new: Vec<(Uuid, &Period)> = Vec::new();
        for (tenant, shown) in &self.0 {
            new.extend(shown.periods.iter().map(|period| (*tenant, period)));
        }
        if new.is_empty() {
            return Ok(());
        }
        sqlx::query(schema.sql(NEW))
            .bind(new.iter().map(|(tenant, _)| *tenant).collect::<Vec<_>>())
            .bind(new.iter().map(|(_, period)| period.version as i64).collect::<Vec<_>>())
            .bind(new.iter().map(|(_, period)| period.shard as i16).collect::<Vec<_>>())
            .bind(new.iter().map(|(_, period)| period.from).collect::<Vec<_>>())
            .bind(new.iter().map(|(_, period)| period.until).collect::<Vec<_>>())
            .execute(connection)
            .await?;
        Ok(())
    }
}
