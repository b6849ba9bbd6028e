//! The projection `events`: where in the journal an organisation's own events stand.
//!
//! Owns `event_v1`, a row per event and nothing of what the event says: who reads events reads that from the journal, with what was
//! erased since gone. Events of users' streams are nobody's own and have no row.

use chrono::{DateTime, Utc};
use docket_events::{Category, Event, Recorded};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::projection::{self, Change, Info, Poison, Projection, Schema, Table, WriteError};

/// Every event of every organisation, by place.
#[derive(Debug, Clone, Copy)]
pub struct Events;

/// Where an event stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub(super) tenant: Uuid,
    category: i16,
    shard: i16,
    pub(super) sequence: i64,
    pub(super) kind: String,
    at: DateTime<Utc>,
}

// Applied again it is the same row.
const PLACES: &str = "insert into {schema}.event_v1 (tenant, category, shard, sequence, kind, at)
     select * from unnest($1::uuid[], $2::smallint[], $3::smallint[], $4::bigint[], $5::text[], $6::timestamptz[])
     on conflict do nothing";

impl Projection for Events {
    const INFO: Info = Info {
        name: "events",
        version: 1,
        categories: &Category::ALL,
        tables: &[Table { name: "event_v1", personal: &[] }],
    };

    type Batch = Vec<Place>;

    fn apply(&self, batch: &mut Vec<Place>, event: &Recorded, _: &Event) -> Result<(), Poison> {
        if event.tenant.is_nil() {
            return Ok(());
        }
        batch.push(Place {
            tenant: event.tenant,
            category: event.stream.category.code(),
            shard: event.shard as i16,
            sequence: event.sequence as i64,
            kind: projection::kind(event).to_owned(),
            at: event.time,
        });
        Ok(())
    }

    async fn write(
        &self,
        schema: &Schema,
        connection: &mut PgConnection,
        batch: &Vec<Place>,
    ) -> Result<(), WriteError> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut rows: Vec<&Place> = batch.iter().collect();
        rows.sort_unstable();
        sqlx::query(schema.sql(PLACES))
            .bind(rows.iter().map(|row| row.tenant).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.category).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.shard).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.sequence).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.kind.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.at).collect::<Vec<_>>())
            .execute(connection)
            .await?;
        Ok(())
    }

    /// The rows themselves are what is followed.
    fn change<'a>(&self, _: &'a Recorded, _: &Event) -> Option<Change<'a>> {
        None
    }
}
