//! A row per API key; secrets are no events and not here.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use docket_events::{
    Recorded,
    identity::{ApiKeyRotated, IdentityEvent, Scope},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::all_there;
use crate::projection::{Schema, WriteError};

/// What a batch says of keys, by id.
#[derive(Debug, Default)]
pub struct ApiKeys(pub(in crate::projections) BTreeMap<Uuid, ApiKey>);

/// One key's part of a batch.
#[derive(Debug, Default)]
pub(in crate::projections) struct ApiKey {
    created: Option<Box<Created>>,
    /// When, and until when the old secret works.
    rotated: Option<(DateTime<Utc>, DateTime<Utc>)>,
    revoked_at: Option<DateTime<Utc>>,
}

#[derive(Debug)]
struct Created {
    tenant: Uuid,
    shard: u16,
    name: String,
    /// As an array's text: `unnest` would flatten a true one.
    scopes: String,
    by: Uuid,
    at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
}

/// As in requests, events and tokens; none of them needs quotes in an array's text.
const fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::ConsultationAsk => "consultation:ask",
        Scope::ConsultationRead => "consultation:read",
        Scope::ConsultationComment => "consultation:comment",
        Scope::ConsultationWithdraw => "consultation:withdraw",
        Scope::KnowledgeRead => "knowledge:read",
        Scope::KnowledgeWrite => "knowledge:write",
        Scope::EngagementWrite => "engagement:write",
        Scope::IdentityRead => "identity:read",
    }
}

const NEW: &str = "insert into {schema}.api_key_v1 (id, tenant, shard, name, scopes, created_by, created_at, expires_at)
     select id, tenant, shard, name, scopes::text[], created_by, created_at, expires_at
     from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[], $5::text[], $6::uuid[], $7::timestamptz[], $8::timestamptz[])
         as n (id, tenant, shard, name, scopes, created_by, created_at, expires_at)
     on conflict (id) do update set
         tenant = excluded.tenant, shard = excluded.shard, name = excluded.name, scopes = excluded.scopes,
         created_by = excluded.created_by, created_at = excluded.created_at, expires_at = excluded.expires_at,
         rotated_at = null, old_until = null, revoked_at = null";

const CHANGED: &str = "update {schema}.api_key_v1 k set
         rotated_at = coalesce(p.rotated_at, k.rotated_at), old_until = coalesce(p.old_until, k.old_until),
         revoked_at = coalesce(p.revoked_at, k.revoked_at)
     from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[]) as p (id, rotated_at, old_until, revoked_at)
     where k.id = p.id";

impl ApiKeys {
    pub(super) fn fold(&mut self, event: &Recorded, data: &IdentityEvent) {
        let key = self.0.entry(event.stream.id).or_default();
        match data {
            IdentityEvent::ApiKeyCreated(data) => {
                let scopes: Vec<_> = data.scopes.iter().map(|known| scope(*known)).collect();
                key.created = Some(Box::new(Created {
                    tenant: event.tenant,
                    shard: event.shard,
                    name: data.name.clone(),
                    scopes: format!("{{{}}}", scopes.join(",")),
                    by: data.created_by,
                    at: event.time,
                    expires_at: data.expires_at,
                }));
            }
            IdentityEvent::ApiKeyRotated(ApiKeyRotated { old_until }) => key.rotated = Some((event.time, *old_until)),
            IdentityEvent::ApiKeyRevoked(_) => key.revoked_at = Some(event.time),
            _ => {}
        }
    }

    pub(super) async fn write(&self, schema: &Schema, connection: &mut PgConnection) -> Result<(), WriteError> {
        let new: Vec<_> = self.0.iter().filter_map(|(id, key)| Some((*id, key.created.as_deref()?))).collect();
        if !new.is_empty() {
            insert(schema, connection, &new).await?;
        }
        let is_changed = |key: &ApiKey| key.rotated.is_some() || key.revoked_at.is_some();
        let changed: Vec<_> = self.0.iter().filter(|(_, key)| is_changed(key)).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let done = sqlx::query(schema.sql(CHANGED))
            .bind(changed.iter().map(|(id, _)| **id).collect::<Vec<_>>())
            .bind(changed.iter().map(|(_, key)| key.rotated.map(|(at, _)| at)).collect::<Vec<_>>())
            .bind(changed.iter().map(|(_, key)| key.rotated.map(|(_, old_until)| old_until)).collect::<Vec<_>>())
            .bind(changed.iter().map(|(_, key)| key.revoked_at).collect::<Vec<_>>())
            .execute(connection)
            .await?;
        all_there(done.rows_affected(), changed.len(), "API keys")
    }
}

async fn insert(schema: &Schema, connection: &mut PgConnection, rows: &[(Uuid, &Created)]) -> Result<(), WriteError> {
    sqlx::query(schema.sql(NEW))
        .bind(rows.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.tenant).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.shard as i16).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.name.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.scopes.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.by).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.at).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.expires_at).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}
