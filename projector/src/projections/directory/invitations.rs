//! A row per invitation that was neither accepted nor revoked. One that was is removed, with the address.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use docket_events::{
    Recorded,
    identity::{IdentityEvent, InvitationAccepted, InvitationRevoked},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    projection::{Schema, WriteError},
    projections::identity,
};

/// What a batch says of invitations, by tenant and id; none: it is no more.
#[derive(Debug, Default)]
pub struct Invitations(pub(in crate::projections) BTreeMap<(Uuid, Uuid), Option<Invitation>>);

#[derive(Debug)]
pub(in crate::projections) struct Invitation {
    shard: u16,
    pub(in crate::projections) email: Option<String>,
    role: &'static str,
    by: Option<Uuid>,
    at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

const NEW: &str = "insert into {schema}.invitation_v1
         (tenant, invitation_id, shard, email, role, invited_by, invited_at, expires_at)
     select * from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[], $5::text[], $6::uuid[], $7::timestamptz[],
                          $8::timestamptz[])
     on conflict (tenant, invitation_id) do update set
         shard = excluded.shard, email = excluded.email, role = excluded.role, invited_by = excluded.invited_by,
         invited_at = excluded.invited_at, expires_at = excluded.expires_at";

const GONE: &str = "delete from {schema}.invitation_v1 i using unnest($1::uuid[], $2::uuid[]) as gone (tenant, id)
     where i.tenant = gone.tenant and i.invitation_id = gone.id";

impl Invitations {
    pub(super) fn fold(&mut self, event: &Recorded, data: &IdentityEvent) {
        match data {
            IdentityEvent::MemberInvited(data) => {
                let invitation = Invitation {
                    shard: event.shard,
                    email: data.email.value().cloned(),
                    role: identity::role(data.role),
                    by: event.metadata().principal,
                    at: event.time,
                    expires_at: data.expires_at,
                };
                self.0.insert((event.tenant, data.invitation_id), Some(invitation));
            }
            IdentityEvent::InvitationRevoked(InvitationRevoked { invitation_id })
            | IdentityEvent::InvitationAccepted(InvitationAccepted { invitation_id, .. }) => {
                self.0.insert((event.tenant, *invitation_id), None);
            }
            _ => {}
        }
    }

    pub(super) async fn write(&self, schema: &Schema, connection: &mut PgConnection) -> Result<(), WriteError> {
        let (tenants, ids): (Vec<Uuid>, Vec<Uuid>) =
            self.0.iter().filter(|(_, invitation)| invitation.is_none()).map(|(key, _)| *key).unzip();
        if !ids.is_empty() {
            sqlx::query(schema.sql(GONE)).bind(tenants).bind(ids).execute(&mut *connection).await?;
        }
        let rows: Vec<_> = self.0.iter().filter_map(|(key, row)| Some((*key, row.as_ref()?))).collect();
        if rows.is_empty() {
            return Ok(());
        }
        sqlx::query(schema.sql(NEW))
            .bind(rows.iter().map(|((tenant, _), _)| *tenant).collect::<Vec<_>>())
            .bind(rows.iter().map(|((_, id), _)| *id).collect::<Vec<_>>())
            .bind(rows.iter().map(|(_, row)| row.shard as i16).collect::<Vec<_>>())
            .bind(rows.iter().map(|(_, row)| row.email.as_deref()).collect::<Vec<_>>())
            .bind(rows.iter().map(|(_, row)| row.role).collect::<Vec<_>>())
            .bind(rows.iter().map(|(_, row)| row.by).collect::<Vec<_>>())
            .bind(rows.iter().map(|(_, row)| row.at).collect::<Vec<_>>())
            .bind(rows.iter().map(|(_, row)| row.expires_at).collect::<Vec<_>>())
            .execute(connection)
            .await?;
        Ok(())
    }
}
