//! A row per endpoint of webhooks. One that was removed has none any more.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use docket_events::{
    Recorded,
    identity::{EndpointEnd, EndpointFormat, IdentityEvent, WebhookEndpointDisabled, WebhookEndpointSet},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::projection::{Schema, WriteError};

/// Why an endpoint is off, and since when nothing had reached it; none: it is on.
type Standing = Option<(EndpointEnd, Option<DateTime<Utc>>)>;

/// What a batch says of endpoints.
#[derive(Debug, Default)]
pub struct Webhooks {
    set: BTreeMap<Uuid, Row>,
    standing: BTreeMap<Uuid, Standing>,
    secrets: BTreeMap<Uuid, DateTime<Utc>>,
    removed: BTreeSet<Uuid>,
}

#[derive(Debug)]
struct Row {
    tenant: Uuid,
    shard: u16,
    url: Option<String>,
    description: Option<String>,
    event_types: String,
    format: EndpointFormat,
    template: Option<String>,
    set_by: Uuid,
    created_at: DateTime<Utc>,
    set_at: DateTime<Utc>,
}

const SET: &str = "insert into {schema}.webhook_endpoint_v1
         (id, tenant, shard, url, description, event_types, format, template, set_by, created_at, set_at)
     select id, tenant, shard, url, description, string_to_array(event_types, ','), format, template, set_by, created_at, set_at
     from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::uuid[],
                 $10::timestamptz[], $11::timestamptz[])
         as s (id, tenant, shard, url, description, event_types, format, template, set_by, created_at, set_at)
     on conflict (id) do update set
         url = excluded.url, description = excluded.description, event_types = excluded.event_types, format = excluded.format,
         template = excluded.template, set_by = excluded.set_by, set_at = excluded.set_at";

const STANDING: &str =
    "update {schema}.webhook_endpoint_v1 e set disabled = s.disabled, failing_since = s.failing_since
     from unnest($1::uuid[], $2::text[], $3::timestamptz[]) as s (id, disabled, failing_since) where e.id = s.id";

const SECRETS: &str = "update {schema}.webhook_endpoint_v1 e set old_secret_until = s.old_until
     from unnest($1::uuid[], $2::timestamptz[]) as s (id, old_until) where e.id = s.id";

const REMOVED: &str = "delete from {schema}.webhook_endpoint_v1 where id = any ($1)";

const fn format(format: EndpointFormat) -> &'static str {
    match format {
        EndpointFormat::Standard => "standard",
        EndpointFormat::Slack => "slack",
        EndpointFormat::Json => "json",
    }
}

const fn end(end: EndpointEnd) -> &'static str {
    match end {
        EndpointEnd::Off => "off",
        EndpointEnd::Gone => "gone",
        EndpointEnd::Failing => "failing",
    }
}

impl Webhooks {
    pub(super) fn fold(&mut self, event: &Recorded, data: &IdentityEvent) {
        match data {
            IdentityEvent::WebhookEndpointSet(set) => {
                let before = self.set.remove(&set.endpoint_id);
                let created_at = before.map_or(event.time, |before| before.created_at);
                self.set.insert(set.endpoint_id, Row::of(event, set, created_at));
            }
            IdentityEvent::WebhookEndpointEnabled(on) => drop(self.standing.insert(on.endpoint_id, None)),
            IdentityEvent::WebhookEndpointDisabled(WebhookEndpointDisabled {
                endpoint_id,
                reason,
                failing_since,
                ..
            }) => {
                self.standing.insert(*endpoint_id, Some((*reason, *failing_since)));
            }
            IdentityEvent::WebhookEndpointRemoved(gone) => drop(self.removed.insert(gone.endpoint_id)),
            IdentityEvent::WebhookSecretRotated(rotated) => {
                self.secrets.extend(rotated.endpoint_id.map(|id| (id, rotated.old_until)));
            }
            _ => {}
        }
    }

    pub(super) async fn write(&self, schema: &Schema, connection: &mut PgConnection) -> Result<(), WriteError> {
        if !self.set.is_empty() {
            self.write_set(schema, connection).await?;
        }
        if !self.standing.is_empty() {
            let (ids, standing): (Vec<Uuid>, Vec<Standing>) = self.standing.iter().map(|(id, s)| (*id, *s)).unzip();
            sqlx::query(schema.sql(STANDING))
                .bind(ids)
                .bind(standing.iter().map(|s| s.map(|(reason, _)| end(reason))).collect::<Vec<_>>())
                .bind(standing.iter().map(|s| s.and_then(|(_, since)| since)).collect::<Vec<_>>())
                .execute(&mut *connection)
                .await?;
        }
        if !self.secrets.is_empty() {
            sqlx::query(schema.sql(SECRETS))
                .bind(self.secrets.keys().copied().collect::<Vec<_>>())
                .bind(self.secrets.values().copied().collect::<Vec<_>>())
                .execute(&mut *connection)
                .await?;
        }
        if !self.removed.is_empty() {
            let removed: Vec<Uuid> = self.removed.iter().copied().collect();
            sqlx::query(schema.sql(REMOVED)).bind(removed).execute(connection).await?;
        }
        Ok(())
    }

    async fn write_set(&self, schema: &Schema, connection: &mut PgConnection) -> Result<(), WriteError> {
        let rows: Vec<&Row> = self.set.values().collect();
        sqlx::query(schema.sql(SET))
            .bind(self.set.keys().copied().collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.tenant).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.shard as i16).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.url.as_deref()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.description.as_deref()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.event_types.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| format(row.format)).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.template.as_deref()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.set_by).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.created_at).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.set_at).collect::<Vec<_>>())
            .execute(connection)
            .await?;
        Ok(())
    }
}

impl Row {
    fn of(event: &Recorded, set: &WebhookEndpointSet, created_at: DateTime<Utc>) -> Self {
        Self {
            tenant: event.tenant,
            shard: event.shard,
            url: set.url.value().cloned(),
            description: set.description.clone(),
            // Names of events hold no comma.
            event_types: set.event_types.join(","),
            format: set.format,
            template: set.template.as_ref().map(ToString::to_string),
            set_by: set.set_by,
            created_at,
            set_at: event.time,
        }
    }
}
