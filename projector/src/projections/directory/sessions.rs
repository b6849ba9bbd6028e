//! A row per session. That it was ended together with others stands in its user's row, not here.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use docket_events::{
    Personal, Recorded,
    identity::{IdentityEvent, LoginMethod, SessionEnd, SessionStarted},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::all_there;
use crate::projection::{Schema, WriteError};

/// What a batch says of sessions, by id.
#[derive(Debug, Default)]
pub struct Sessions(pub(in crate::projections) BTreeMap<Uuid, Session>);

/// One session's part of a batch.
#[derive(Debug, Default)]
pub(in crate::projections) struct Session {
    pub(in crate::projections) started: Option<Box<Started>>,
    pub(in crate::projections) ended: Option<(DateTime<Utc>, &'static str)>,
}

#[derive(Debug)]
pub(in crate::projections) struct Started {
    tenant: Uuid,
    shard: u16,
    user: Uuid,
    method: &'static str,
    credentials: u64,
    at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    new_place: bool,
    pub(in crate::projections) address: Option<String>,
    pub(in crate::projections) agent: Option<String>,
}

const fn method(method: LoginMethod) -> &'static str {
    match method {
        LoginMethod::Password => "password",
        LoginMethod::PasswordAndSecondFactor => "password_and_second_factor",
        LoginMethod::Switch => "switch",
    }
}

const fn reason(reason: SessionEnd) -> &'static str {
    match reason {
        SessionEnd::LoggedOut => "logged_out",
        SessionEnd::Revoked => "revoked",
        SessionEnd::RefreshTokenReused => "refresh_token_reused",
    }
}

fn started(event: &Recorded, data: &SessionStarted) -> Started {
    let clear = |field: &Option<Personal<String>>| field.as_ref().and_then(|field| field.value().cloned());
    Started {
        tenant: event.tenant,
        shard: event.shard,
        user: data.user_id,
        method: method(data.method),
        credentials: data.credentials,
        at: event.time,
        expires_at: data.expires_at,
        new_place: data.new_place,
        address: clear(&data.address),
        agent: clear(&data.agent),
    }
}

const NEW: &str = "insert into {schema}.session_v1
         (id, tenant, shard, user_id, method, credentials, started_at, expires_at, new_place, address, agent)
     select * from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::uuid[], $5::text[], $6::bigint[], $7::timestamptz[],
                          $8::timestamptz[], $9::boolean[], $10::text[], $11::text[])
     on conflict (id) do update set
         tenant = excluded.tenant, shard = excluded.shard, user_id = excluded.user_id, method = excluded.method,
         credentials = excluded.credentials, started_at = excluded.started_at, expires_at = excluded.expires_at,
         new_place = excluded.new_place, address = excluded.address, agent = excluded.agent, ended_at = null, end_reason = null";

const ENDED: &str = "update {schema}.session_v1 s set ended_at = p.ended_at, end_reason = p.end_reason
     from unnest($1::uuid[], $2::timestamptz[], $3::text[]) as p (id, ended_at, end_reason)
     where s.id = p.id";

impl Sessions {
    pub(super) fn fold(&mut self, event: &Recorded, data: &IdentityEvent) {
        let session = self.0.entry(event.stream.id).or_default();
        match data {
            IdentityEvent::SessionStarted(data) => session.started = Some(Box::new(started(event, data))),
            IdentityEvent::SessionRevoked(data) => session.ended = Some((event.time, reason(data.reason))),
            _ => {}
        }
    }

    pub(super) async fn write(&self, schema: &Schema, connection: &mut PgConnection) -> Result<(), WriteError> {
        let new: Vec<_> = self.0.iter().filter_map(|(id, session)| Some((*id, session.started.as_deref()?))).collect();
        if !new.is_empty() {
            insert(schema, connection, &new).await?;
        }
        let ended: Vec<_> = self.0.iter().filter_map(|(id, session)| Some((*id, session.ended?))).collect();
        if ended.is_empty() {
            return Ok(());
        }
        let done = sqlx::query(schema.sql(ENDED))
            .bind(ended.iter().map(|(id, _)| *id).collect::<Vec<_>>())
            .bind(ended.iter().map(|(_, (at, _))| *at).collect::<Vec<_>>())
            .bind(ended.iter().map(|(_, (_, reason))| *reason).collect::<Vec<_>>())
            .execute(connection)
            .await?;
        all_there(done.rows_affected(), ended.len(), "sessions")
    }
}

async fn insert(schema: &Schema, connection: &mut PgConnection, rows: &[(Uuid, &Started)]) -> Result<(), WriteError> {
    sqlx::query(schema.sql(NEW))
        .bind(rows.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.tenant).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.shard as i16).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.user).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.method).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.credentials as i64).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.at).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.expires_at).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.new_place).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.address.as_deref()).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, row)| row.agent.as_deref()).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}
