//! Deliveries that are made again, because somebody asked for it by an event.

use docket_events::identity::{Redelivered, WebhookRedeliveryRequested};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::projection::Schema;

/// The most deliveries that one request makes again.
const REDELIVERED_AT_ONCE: i64 = 100_000;

const WANTED: &str = "select d.id, d.endpoint, d.stream_id from {schema}.delivery d
     where d.tenant = $1 and (($2::uuid is null and d.callback) or d.endpoint = $2) and ($3::uuid is null or d.id = $3)
       and ($4::timestamptz is null or d.event_time >= $4) and ($5::timestamptz is null or d.event_time < $5)
       and (d.state = 'dead' or not $6)
     order by d.event_time limit $7";

const BEGIN: &str = "update {schema}.delivery d
     set state = 'pending', attempts = 0, due_at = clock_timestamp(), settled_at = null
     where d.id = any ($1) and (d.state = 'dead' or not $2)";

/// What waits for its next attempt is due now; what somebody has in hand is left alone.
const SOON: &str = "update {schema}.lane l set due_at = least(l.due_at, clock_timestamp())
     from (select distinct * from unnest($1::uuid[], $2::uuid[])) as w (endpoint, stream_id)
     where l.endpoint = w.endpoint and l.stream_id = w.stream_id and l.claim is null";

/// Deliveries that are made again.
pub(super) struct Again {
    tenant: Uuid,
    dead_only: bool,
    found: Vec<Delivered>,
}

/// One that was made, or given up, or waits.
#[derive(sqlx::FromRow)]
struct Delivered {
    id: Uuid,
    endpoint: Uuid,
    stream_id: Uuid,
}

impl Again {
    /// What a request asks for, as things stand.
    pub(super) async fn find(
        schema: &Schema,
        connection: &mut PgConnection,
        tenant: Uuid,
        wanted: &WebhookRedeliveryRequested,
    ) -> Result<Self, sqlx::Error> {
        let (one, since, until, dead_only) = match wanted.deliveries {
            Redelivered::One(id) => (Some(id), None, None, false),
            Redelivered::Between { since, until, failed_only } => (None, Some(since), Some(until), failed_only),
            Redelivered::Failed => (None, None, None, true),
        };
        let found = sqlx::query_as(schema.sql(WANTED))
            .bind(tenant)
            .bind(wanted.endpoint_id)
            .bind(one)
            .bind(since)
            .bind(until)
            .bind(dead_only)
            .bind(REDELIVERED_AT_ONCE)
            .fetch_all(connection)
            .await?;
        Ok(Self { tenant, dead_only, found })
    }

    /// Endpoint, stream and organisation of each.
    pub(super) fn lanes(&self) -> Vec<(Uuid, Uuid, Uuid)> {
        self.found.iter().map(|one| (one.endpoint, one.stream_id, self.tenant)).collect()
    }

    /// Has them made. Their lanes are locked by now.
    pub(super) async fn begin(&self, schema: &Schema, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query(schema.sql(BEGIN))
            .bind(self.found.iter().map(|one| one.id).collect::<Vec<_>>())
            .bind(self.dead_only)
            .execute(&mut *connection)
            .await?;
        sqlx::query(schema.sql(SOON))
            .bind(self.found.iter().map(|one| one.endpoint).collect::<Vec<_>>())
            .bind(self.found.iter().map(|one| one.stream_id).collect::<Vec<_>>())
            .execute(connection)
            .await
            .map(drop)
    }
}
