//! A row per version of a template. Retiring one retires all its versions, and setting it brings them back.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use docket_events::{
    Recorded,
    identity::{IdentityEvent, TemplateSet},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::projection::{Schema, WriteError};

/// What a batch says of templates.
#[derive(Debug, Default)]
pub struct Templates {
    /// By template and version.
    versions: BTreeMap<(Uuid, u64), Version>,
    /// By template: since when it is retired; none: it is not.
    standing: BTreeMap<Uuid, Option<DateTime<Utc>>>,
}

#[derive(Debug)]
struct Version {
    tenant: Uuid,
    name: String,
    shard: u16,
    request: String,
    values: Option<String>,
    set_by: Uuid,
    set_at: DateTime<Utc>,
}

const VERSIONS: &str = "insert into {schema}.template_v1 (id, version, tenant, name, shard, request, \"values\", set_by, set_at)
     select * from unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::text[], $5::smallint[], $6::text[], $7::text[], $8::uuid[],
                          $9::timestamptz[])
     on conflict (id, version) do update set
         tenant = excluded.tenant, name = excluded.name, shard = excluded.shard, request = excluded.request, \"values\" = excluded.\"values\", set_by = excluded.set_by,
         set_at = excluded.set_at";

const STANDING: &str = "update {schema}.template_v1 t set retired_at = s.retired_at
     from unnest($1::uuid[], $2::timestamptz[]) as s (id, retired_at) where t.id = s.id";

impl Templates {
    pub(super) fn fold(&mut self, event: &Recorded, data: &IdentityEvent) {
        match data {
            IdentityEvent::TemplateSet(TemplateSet { name, request, values, set_by }) => {
                let version = Version {
                    tenant: event.tenant,
                    name: name.clone(),
                    shard: event.shard,
                    request: request.to_string(),
                    values: values.as_ref().map(ToString::to_string),
                    set_by: *set_by,
                    set_at: event.time,
                };
                self.versions.insert((event.stream.id, event.version), version);
                self.standing.insert(event.stream.id, None);
            }
            IdentityEvent::TemplateRetired(_) => {
                self.standing.insert(event.stream.id, Some(event.time));
            }
            _ => {}
        }
    }

    pub(super) async fn write(&self, schema: &Schema, connection: &mut PgConnection) -> Result<(), WriteError> {
        if !self.versions.is_empty() {
            let (keys, rows): (Vec<_>, Vec<_>) = self.versions.iter().unzip();
            sqlx::query(schema.sql(VERSIONS))
                .bind(keys.iter().map(|(id, _)| *id).collect::<Vec<_>>())
                .bind(keys.iter().map(|(_, version)| *version as i64).collect::<Vec<_>>())
                .bind(rows.iter().map(|row| row.tenant).collect::<Vec<_>>())
                .bind(rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>())
                .bind(rows.iter().map(|row| row.shard as i16).collect::<Vec<_>>())
                .bind(rows.iter().map(|row| row.request.as_str()).collect::<Vec<_>>())
                .bind(rows.iter().map(|row| row.values.as_deref()).collect::<Vec<_>>())
                .bind(rows.iter().map(|row| row.set_by).collect::<Vec<_>>())
                .bind(rows.iter().map(|row| row.set_at).collect::<Vec<_>>())
                .execute(&mut *connection)
                .await?;
        }
        if !self.standing.is_empty() {
            sqlx::query(schema.sql(STANDING))
                .bind(self.standing.keys().copied().collect::<Vec<_>>())
                .bind(self.standing.values().copied().collect::<Vec<_>>())
                .execute(connection)
                .await?;
        }
        Ok(())
    }
}
