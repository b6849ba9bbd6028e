//! The projection `identity`: users, organisations, and who belongs to which.
//!
//! Owns `user_v1`, `organisation_v1` and `member_v1`. A user's row comes from the user's stream and a membership from the
//! organisation's; they are joined on read and must not be joined here, since their streams stand in different shards.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use docket_events::{
    Category, Event, Recorded,
    identity::{IdentityEvent, MemberAdded, Role, RoleChanged},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::projection::{Info, Poison, Projection, Schema, Table, WriteError};

/// Users, organisations, memberships.
#[derive(Debug, Clone, Copy)]
pub struct Identity;

/// Rows to write, by key.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) users: BTreeMap<Uuid, User>,
    pub(super) organisations: BTreeMap<Uuid, Organisation>,
    /// None: the user does not belong to it any more.
    pub(super) members: BTreeMap<(Uuid, Uuid), Option<Member>>,
}

#[derive(Debug)]
pub(super) struct User {
    shard: u16,
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
    at: DateTime<Utc>,
}

#[derive(Debug)]
pub(super) struct Organisation {
    tenant: Uuid,
    shard: u16,
    name: String,
    at: DateTime<Utc>,
}

#[derive(Debug)]
pub(super) struct Member {
    shard: u16,
    pub(super) role: &'static str,
    at: DateTime<Utc>,
}

pub(super) const fn role(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Reviewer => "reviewer",
        Role::Requester => "requester",
        Role::Analyst => "analyst",
    }
}

const USERS: &str = "insert into {schema}.user_v1 (user_id, shard, name, email, registered_at)
     select * from unnest($1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::timestamptz[])
     on conflict (user_id) do update set shard = excluded.shard, name = excluded.name, email = excluded.email,
         registered_at = excluded.registered_at";

const ORGANISATIONS: &str = "insert into {schema}.organisation_v1 (id, tenant, shard, name, created_at)
     select * from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[], $5::timestamptz[])
     on conflict (id) do update set tenant = excluded.tenant, shard = excluded.shard, name = excluded.name,
         created_at = excluded.created_at";

const MEMBERS: &str = "insert into {schema}.member_v1 (tenant, user_id, shard, role, since)
     select * from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[], $5::timestamptz[])
     on conflict (tenant, user_id) do update set shard = excluded.shard, role = excluded.role, since = excluded.since";

const MEMBERS_GONE: &str =
    "delete from {schema}.member_v1 m using unnest($1::uuid[], $2::uuid[]) as gone (tenant, user_id)
     where m.tenant = gone.tenant and m.user_id = gone.user_id";

impl Projection for Identity {
    const INFO: Info = Info {
        name: "identity",
        version: 1,
        categories: &[Category::Identity],
        tables: &[
            Table { name: "user_v1", personal: &["name", "email"] },
            Table { name: "organisation_v1", personal: &[] },
            Table { name: "member_v1", personal: &[] },
        ],
    };

    type Batch = Batch;

    fn apply(&self, batch: &mut Batch, event: &Recorded, data: &Event) -> Result<(), Poison> {
        let Event::Identity(data) = data else { return Ok(()) };
        let (id, shard, at) = (event.stream.id, event.shard, event.time);
        match data {
            IdentityEvent::UserRegistered(data) => {
                let (name, email) = (data.name.value().cloned(), data.email.value().cloned());
                batch.users.insert(id, User { shard, name, email, at });
            }
            IdentityEvent::OrganisationCreated(data) => {
                let name = data.name.clone();
                batch.organisations.insert(id, Organisation { tenant: event.tenant, shard, name, at });
            }
            // The row says since when the member has this very role.
            IdentityEvent::MemberAdded(MemberAdded { user_id, role: given, .. })
            | IdentityEvent::RoleChanged(RoleChanged { user_id, role: given }) => {
                let role = role(*given);
                batch.members.insert((event.tenant, *user_id), Some(Member { shard, role, at }));
            }
            IdentityEvent::MemberRemoved(data) => {
                batch.members.insert((event.tenant, data.user_id), None);
            }
            _ => {}
        }
        Ok(())
    }

    async fn write(&self, schema: &Schema, connection: &mut PgConnection, batch: &Batch) -> Result<(), WriteError> {
        if !batch.users.is_empty() {
            write_users(schema, connection, &batch.users).await?;
        }
        if !batch.organisations.is_empty() {
            write_organisations(schema, connection, &batch.organisations).await?;
        }
        if !batch.members.is_empty() {
            write_members(schema, connection, &batch.members).await?;
        }
        Ok(())
    }
}

async fn write_users(
    schema: &Schema,
    connection: &mut PgConnection,
    users: &BTreeMap<Uuid, User>,
) -> Result<(), WriteError> {
    sqlx::query(schema.sql(USERS))
        .bind(users.keys().copied().collect::<Vec<_>>())
        .bind(users.values().map(|user| user.shard as i16).collect::<Vec<_>>())
        .bind(users.values().map(|user| user.name.as_deref()).collect::<Vec<_>>())
        .bind(users.values().map(|user| user.email.as_deref()).collect::<Vec<_>>())
        .bind(users.values().map(|user| user.at).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

async fn write_organisations(
    schema: &Schema,
    connection: &mut PgConnection,
    organisations: &BTreeMap<Uuid, Organisation>,
) -> Result<(), WriteError> {
    sqlx::query(schema.sql(ORGANISATIONS))
        .bind(organisations.keys().copied().collect::<Vec<_>>())
        .bind(organisations.values().map(|organisation| organisation.tenant).collect::<Vec<_>>())
        .bind(organisations.values().map(|organisation| organisation.shard as i16).collect::<Vec<_>>())
        .bind(organisations.values().map(|organisation| organisation.name.as_str()).collect::<Vec<_>>())
        .bind(organisations.values().map(|organisation| organisation.at).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

async fn write_members(
    schema: &Schema,
    connection: &mut PgConnection,
    members: &BTreeMap<(Uuid, Uuid), Option<Member>>,
) -> Result<(), WriteError> {
    let (gone_tenants, gone_users): (Vec<Uuid>, Vec<Uuid>) =
        members.iter().filter(|(_, member)| member.is_none()).map(|(key, _)| *key).unzip();
    if !gone_users.is_empty() {
        let delete = sqlx::query(schema.sql(MEMBERS_GONE)).bind(gone_tenants).bind(gone_users);
        delete.execute(&mut *connection).await?;
    }
    let rows: Vec<_> = members.iter().filter_map(|(key, member)| Some((*key, member.as_ref()?))).collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(schema.sql(MEMBERS))
        .bind(rows.iter().map(|((tenant, _), _)| *tenant).collect::<Vec<_>>())
        .bind(rows.iter().map(|((_, user), _)| *user).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, member)| member.shard as i16).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, member)| member.role).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, member)| member.at).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}
