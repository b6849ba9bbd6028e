//! A row per group and per member of a group.
//!
//! A group that is deleted takes its members along, and a member who leaves the organisation is in none of its groups any more. Both are
//! rows that the batch may not know of, so the fold notes whole groups and whole users to clear; what comes behind in the same batch
//! is written after that.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use docket_events::{
    Recorded,
    identity::{
        GroupCreated, GroupDeleted, GroupMemberAdded, GroupMemberRemoved, GroupRenamed, IdentityEvent, MemberRemoved,
    },
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::all_there;
use crate::projection::{Schema, WriteError};

/// A tenant and a group, or a tenant and a user.
type Key = (Uuid, Uuid);

/// What a batch says of groups.
#[derive(Debug, Default)]
pub struct Groups {
    pub(in crate::projections) groups: BTreeMap<Key, Group>,
    /// Groups that lose all members that they had before the batch.
    pub(in crate::projections) emptied: BTreeSet<Key>,
    /// Users who leave all groups that they were in before the batch.
    pub(in crate::projections) left: BTreeSet<Key>,
    /// By tenant, group and user; none: not any more.
    pub(in crate::projections) members: BTreeMap<(Uuid, Uuid, Uuid), Option<Membership>>,
}

/// The shard, and since when.
type Membership = (u16, DateTime<Utc>);

/// What becomes of a group.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::projections) enum Group {
    New { shard: u16, name: String, at: DateTime<Utc> },
    Renamed(String),
    Deleted,
}

const NEW: &str = "insert into {schema}.group_v1 (tenant, group_id, shard, name, created_at)
     select * from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[], $5::timestamptz[])
     on conflict (tenant, group_id) do update set
         shard = excluded.shard, name = excluded.name, created_at = excluded.created_at";

const RENAMED: &str = "update {schema}.group_v1 g set name = p.name
     from unnest($1::uuid[], $2::uuid[], $3::text[]) as p (tenant, group_id, name)
     where g.tenant = p.tenant and g.group_id = p.group_id";

const DELETED: &str = "delete from {schema}.group_v1 g using unnest($1::uuid[], $2::uuid[]) as gone (tenant, group_id)
     where g.tenant = gone.tenant and g.group_id = gone.group_id";

const EMPTIED: &str =
    "delete from {schema}.group_member_v1 m using unnest($1::uuid[], $2::uuid[]) as gone (tenant, group_id)
     where m.tenant = gone.tenant and m.group_id = gone.group_id";

const LEFT: &str =
    "delete from {schema}.group_member_v1 m using unnest($1::uuid[], $2::uuid[]) as gone (tenant, user_id)
     where m.tenant = gone.tenant and m.user_id = gone.user_id";

const REMOVED: &str = "delete from {schema}.group_member_v1 m
     using unnest($1::uuid[], $2::uuid[], $3::uuid[]) as gone (tenant, group_id, user_id)
     where m.tenant = gone.tenant and m.group_id = gone.group_id and m.user_id = gone.user_id";

const ADDED: &str = "insert into {schema}.group_member_v1 (tenant, group_id, user_id, shard, since)
     select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::smallint[], $5::timestamptz[])
     on conflict (tenant, group_id, user_id) do update set shard = excluded.shard, since = excluded.since";

impl Groups {
    pub(super) fn fold(&mut self, event: &Recorded, data: &IdentityEvent) {
        let (tenant, shard, at) = (event.tenant, event.shard, event.time);
        match data {
            IdentityEvent::GroupCreated(GroupCreated { group_id, name }) => {
                self.groups.insert((tenant, *group_id), Group::New { shard, name: name.clone(), at });
            }
            IdentityEvent::GroupRenamed(GroupRenamed { group_id, name: given }) => {
                match self.groups.get_mut(&(tenant, *group_id)) {
                    Some(Group::New { name, .. }) => name.clone_from(given),
                    _ => drop(self.groups.insert((tenant, *group_id), Group::Renamed(given.clone()))),
                }
            }
            IdentityEvent::GroupDeleted(GroupDeleted { group_id }) => {
                self.groups.insert((tenant, *group_id), Group::Deleted);
                self.emptied.insert((tenant, *group_id));
                self.members.retain(|(of, group, _), _| (*of, *group) != (tenant, *group_id));
            }
            IdentityEvent::GroupMemberAdded(GroupMemberAdded { group_id, user_id }) => {
                self.members.insert((tenant, *group_id, *user_id), Some((shard, at)));
            }
            IdentityEvent::GroupMemberRemoved(GroupMemberRemoved { group_id, user_id }) => {
                self.members.insert((tenant, *group_id, *user_id), None);
            }
            IdentityEvent::MemberRemoved(MemberRemoved { user_id, .. }) => {
                self.left.insert((tenant, *user_id));
                self.members.retain(|(of, _, user), _| (*of, *user) != (tenant, *user_id));
            }
            _ => {}
        }
    }

    pub(super) async fn write(&self, schema: &Schema, connection: &mut PgConnection) -> Result<(), WriteError> {
        self.write_groups(schema, connection).await?;
        for (statement, keys) in [(EMPTIED, &self.emptied), (LEFT, &self.left)] {
            delete(schema, connection, statement, keys.iter().copied().unzip()).await?;
        }
        self.write_members(schema, connection).await
    }

    async fn write_groups(&self, schema: &Schema, connection: &mut PgConnection) -> Result<(), WriteError> {
        let gone = self.groups.iter().filter(|(_, group)| **group == Group::Deleted).map(|(key, _)| *key).unzip();
        delete(schema, connection, DELETED, gone).await?;
        let (mut new, mut renamed) = (Vec::new(), Vec::new());
        for (key, group) in &self.groups {
            match group {
                Group::New { shard, name, at } => new.push((*key, *shard as i16, name.as_str(), *at)),
                Group::Renamed(name) => renamed.push((*key, name.as_str())),
                Group::Deleted => {}
            }
        }
        if !new.is_empty() {
            sqlx::query(schema.sql(NEW))
                .bind(new.iter().map(|((tenant, _), ..)| *tenant).collect::<Vec<_>>())
                .bind(new.iter().map(|((_, id), ..)| *id).collect::<Vec<_>>())
                .bind(new.iter().map(|(_, shard, ..)| *shard).collect::<Vec<_>>())
                .bind(new.iter().map(|(_, _, name, _)| *name).collect::<Vec<_>>())
                .bind(new.iter().map(|(.., at)| *at).collect::<Vec<_>>())
                .execute(&mut *connection)
                .await?;
        }
        if renamed.is_empty() {
            return Ok(());
        }
        let done = sqlx::query(schema.sql(RENAMED))
            .bind(renamed.iter().map(|((tenant, _), _)| *tenant).collect::<Vec<_>>())
            .bind(renamed.iter().map(|((_, id), _)| *id).collect::<Vec<_>>())
            .bind(renamed.iter().map(|(_, name)| *name).collect::<Vec<_>>())
            .execute(connection)
            .await?;
        all_there(done.rows_affected(), renamed.len(), "groups")
    }

    async fn write_members(&self, schema: &Schema, connection: &mut PgConnection) -> Result<(), WriteError> {
        let removed: Vec<_> = self.members.iter().filter(|(_, row)| row.is_none()).map(|(key, _)| *key).collect();
        if !removed.is_empty() {
            sqlx::query(schema.sql(REMOVED))
                .bind(removed.iter().map(|(tenant, ..)| *tenant).collect::<Vec<_>>())
                .bind(removed.iter().map(|(_, group, _)| *group).collect::<Vec<_>>())
                .bind(removed.iter().map(|(.., user)| *user).collect::<Vec<_>>())
                .execute(&mut *connection)
                .await?;
        }
        let added: Vec<_> = self.members.iter().filter_map(|(key, row)| Some((*key, (*row)?))).collect();
        if added.is_empty() {
            return Ok(());
        }
        sqlx::query(schema.sql(ADDED))
            .bind(added.iter().map(|((tenant, ..), _)| *tenant).collect::<Vec<_>>())
            .bind(added.iter().map(|((_, group, _), _)| *group).collect::<Vec<_>>())
            .bind(added.iter().map(|((.., user), _)| *user).collect::<Vec<_>>())
            .bind(added.iter().map(|(_, (shard, _))| *shard as i16).collect::<Vec<_>>())
            .bind(added.iter().map(|(_, (_, since))| *since).collect::<Vec<_>>())
            .execute(connection)
            .await?;
        Ok(())
    }
}

async fn delete(
    schema: &Schema,
    connection: &mut PgConnection,
    statement: &'static str,
    (tenants, ids): (Vec<Uuid>, Vec<Uuid>),
) -> Result<(), WriteError> {
    if !ids.is_empty() {
        sqlx::query(schema.sql(statement)).bind(tenants).bind(ids).execute(connection).await?;
    }
    Ok(())
}
