//! The projection `audit`: what happened to the people, keys and sessions of organisations, a row per event.
//!
//! Owns `audit_v1`, `audit_member_v1` and `audit_person_v1`. A row says who did it to whom or what, and in which session; where that was is told by the
//! session's own row, joined on read. Memberships and names are kept here too, though `identity` has them: who may see the events of a
//! user's stream hangs on them, a policy looks into the tables of its own projection alone, and whoever has left is still told by name.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use docket_events::{
    Category, Event, Personal, Recorded,
    identity::{
        AddressVerified, GroupCreated, GroupDeleted, GroupMemberAdded, GroupMemberRemoved, GroupRenamed, IdentityEvent,
        InvitationAccepted, InvitationRevoked, LockedOut, MemberAdded, MemberInvited, MemberRemoved,
        OrganisationCreated, PasswordChanged, PasswordResetRequested, RecoveryCodeUsed, RoleChanged, SessionRevoked,
        SessionStarted, UserRegistered, VerificationRequested,
    },
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::projection::{self, Change, Info, Poison, Projection, Schema, Table, WriteError};

/// Everything that happened in identity.
#[derive(Debug, Clone, Copy)]
pub struct Audit;

/// What a batch comes to.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) entries: Vec<Entry>,
    /// By organisation and user.
    pub(super) members: BTreeMap<(Uuid, Uuid), Membership>,
    /// By user.
    pub(super) people: BTreeMap<Uuid, Person>,
}

/// That somebody belongs to an organisation, or until when they did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) shard: u16,
    pub(super) until: Option<DateTime<Utc>>,
}

/// What somebody is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    shard: u16,
    pub(super) name: Option<String>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) event: Uuid,
    pub(super) tenant: Uuid,
    pub(super) shard: u16,
    pub(super) kind: String,
    pub(super) at: DateTime<Utc>,
    pub(super) by: Option<Uuid>,
    pub(super) session: Option<Uuid>,
    pub(super) address: Option<String>,
    pub(super) on: Object,
}

/// Whom or what it was done to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) user: Option<Uuid>,
    pub(super) key: Option<Uuid>,
    pub(super) group: Option<Uuid>,
    pub(super) invitation: Option<Uuid>,
    pub(super) ended_session: Option<Uuid>,
}

impl Object {
    fn user(id: Uuid) -> Self {
        Self { user: Some(id), ..Self::default() }
    }

    fn group(id: Uuid) -> Self {
        Self { group: Some(id), ..Self::default() }
    }

    fn invitation(id: Uuid) -> Self {
        Self { invitation: Some(id), ..Self::default() }
    }

    fn of(stream: Uuid, event: &IdentityEvent) -> Self {
        use IdentityEvent as E;
        match event {
            E::UserRegistered(_)
            | E::VerificationRequested(_)
            | E::AddressVerified(_)
            | E::PasswordResetRequested(_)
            | E::PasswordChanged(_)
            | E::AllSessionsRevoked(_)
            | E::SecondFactorEnabled(_)
            | E::SecondFactorDisabled(_)
            | E::RecoveryCodeUsed(_)
            | E::LockedOut(_)
            | E::NotificationPreferencesSet(_) => Self::user(stream),
            E::OrganisationCreated(_)
            | E::SecondFactorDemanded(_)
            | E::ReadingShown(_)
            | E::CalendarSet(_)
            | E::TemplateSet(_)
            | E::TemplateRetired(_)
            | E::WebhookEndpointSet(_)
            | E::WebhookEndpointEnabled(_)
            | E::WebhookEndpointDisabled(_)
            | E::WebhookEndpointRemoved(_)
            | E::WebhookSecretRotated(_)
            | E::WebhookTestRequested(_)
            | E::WebhookRedeliveryRequested(_) => Self::default(),
            E::MemberAdded(MemberAdded { user_id, .. })
            | E::RoleChanged(RoleChanged { user_id, .. })
            | E::MemberRemoved(MemberRemoved { user_id, .. })
            | E::SessionStarted(SessionStarted { user_id, .. }) => Self::user(*user_id),
            E::SessionRevoked(SessionRevoked { user_id, .. }) => {
                Self { ended_session: Some(stream), ..Self::user(*user_id) }
            }
            E::MemberInvited(MemberInvited { invitation_id, .. })
            | E::InvitationRevoked(InvitationRevoked { invitation_id }) => Self::invitation(*invitation_id),
            E::InvitationAccepted(InvitationAccepted { invitation_id, user_id, .. }) => {
                Self { user: Some(*user_id), ..Self::invitation(*invitation_id) }
            }
            E::GroupCreated(GroupCreated { group_id, .. })
            | E::GroupRenamed(GroupRenamed { group_id, .. })
            | E::GroupDeleted(GroupDeleted { group_id }) => Self::group(*group_id),
            E::GroupMemberAdded(GroupMemberAdded { group_id, user_id })
            | E::GroupMemberRemoved(GroupMemberRemoved { group_id, user_id }) => {
                Self { user: Some(*user_id), ..Self::group(*group_id) }
            }
            E::ApiKeyCreated(_) | E::ApiKeyRotated(_) | E::ApiKeyRevoked(_) => {
                Self { key: Some(stream), ..Self::default() }
            }
        }
    }
}

/// Where it came from, as the event itself tells; of what was done in a session, the session's row does.
fn address(data: &IdentityEvent) -> Option<&Personal<String>> {
    use IdentityEvent as E;
    match data {
        E::UserRegistered(UserRegistered { address, .. })
        | E::VerificationRequested(VerificationRequested { address, .. })
        | E::AddressVerified(AddressVerified { address, .. })
        | E::PasswordResetRequested(PasswordResetRequested { address, .. })
        | E::PasswordChanged(PasswordChanged { address, .. })
        | E::RecoveryCodeUsed(RecoveryCodeUsed { address, .. })
        | E::LockedOut(LockedOut { address, .. })
        | E::OrganisationCreated(OrganisationCreated { address, .. })
        | E::MemberAdded(MemberAdded { address, .. })
        | E::InvitationAccepted(InvitationAccepted { address, .. })
        | E::SessionRevoked(SessionRevoked { address, .. }) => address.as_ref(),
        E::SessionStarted(_)
        | E::AllSessionsRevoked(_)
        | E::SecondFactorEnabled(_)
        | E::SecondFactorDisabled(_)
        | E::NotificationPreferencesSet(_)
        | E::SecondFactorDemanded(_)
        | E::ReadingShown(_)
        | E::CalendarSet(_)
        | E::RoleChanged(_)
        | E::MemberRemoved(_)
        | E::MemberInvited(_)
        | E::InvitationRevoked(_)
        | E::GroupCreated(_)
        | E::GroupRenamed(_)
        | E::GroupDeleted(_)
        | E::GroupMemberAdded(_)
        | E::GroupMemberRemoved(_)
        | E::ApiKeyCreated(_)
        | E::ApiKeyRotated(_)
        | E::ApiKeyRevoked(_)
        | E::TemplateSet(_)
        | E::TemplateRetired(_)
        | E::WebhookEndpointSet(_)
        | E::WebhookEndpointEnabled(_)
        | E::WebhookEndpointDisabled(_)
        | E::WebhookEndpointRemoved(_)
        | E::WebhookSecretRotated(_)
        | E::WebhookTestRequested(_)
        | E::WebhookRedeliveryRequested(_) => None,
    }
}

fn entry(event: &Recorded, data: &IdentityEvent) -> Entry {
    let meta = event.metadata();
    let (by, session) = match data {
        // Whoever has just come in was nobody before.
        IdentityEvent::SessionStarted(data) => (meta.principal.or(Some(data.user_id)), Some(event.stream.id)),
        _ => (meta.principal, meta.session),
    };
    Entry {
        event: event.id,
        tenant: event.tenant,
        shard: event.shard,
        kind: projection::kind(event).to_owned(),
        at: event.time,
        by,
        session,
        address: address(data).and_then(|field| field.value().cloned()),
        on: Object::of(event.stream.id, data),
    }
}

const ENTRIES: &str = "insert into {schema}.audit_v1
         (event_id, tenant, shard, kind, at, by_id, session_id, address, user_id, key_id, group_id, invitation_id, ended_session)
     select * from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[], $5::timestamptz[], $6::uuid[], $7::uuid[], $8::text[],
                          $9::uuid[], $10::uuid[], $11::uuid[], $12::uuid[], $13::uuid[])
     on conflict (event_id) do update set
         tenant = excluded.tenant, shard = excluded.shard, kind = excluded.kind, at = excluded.at, by_id = excluded.by_id,
         session_id = excluded.session_id, address = excluded.address, user_id = excluded.user_id, key_id = excluded.key_id,
         group_id = excluded.group_id, invitation_id = excluded.invitation_id, ended_session = excluded.ended_session";

const MEMBERS: &str = "insert into {schema}.audit_member_v1 (tenant, user_id, shard, until)
     select * from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::timestamptz[])
     on conflict (tenant, user_id) do update set shard = excluded.shard, until = excluded.until";

const PEOPLE: &str = "insert into {schema}.audit_person_v1 (user_id, shard, name)
     select * from unnest($1::uuid[], $2::smallint[], $3::text[])
     on conflict (user_id) do update set shard = excluded.shard, name = excluded.name";

impl Projection for Audit {
    const INFO: Info = Info {
        name: "audit",
        version: 1,
        categories: &[Category::Identity],
        tables: &[
            Table { name: "audit_v1", personal: &["address"] },
            Table { name: "audit_member_v1", personal: &[] },
            Table { name: "audit_person_v1", personal: &["name"] },
        ],
    };

    type Batch = Batch;

    fn apply(&self, batch: &mut Batch, event: &Recorded, data: &Event) -> Result<(), Poison> {
        let Event::Identity(data) = data else { return Ok(()) };
        batch.entries.push(entry(event, data));
        match data {
            IdentityEvent::MemberAdded(MemberAdded { user_id, .. }) => {
                let membership = Membership { shard: event.shard, until: None };
                batch.members.insert((event.tenant, *user_id), membership);
            }
            IdentityEvent::MemberRemoved(MemberRemoved { user_id, .. }) => {
                let membership = Membership { shard: event.shard, until: Some(event.time) };
                batch.members.insert((event.tenant, *user_id), membership);
            }
            IdentityEvent::UserRegistered(data) => {
                let person = Person { shard: event.shard, name: data.name.value().cloned() };
                batch.people.insert(event.stream.id, person);
            }
            _ => {}
        }
        Ok(())
    }

    async fn write(&self, schema: &Schema, connection: &mut PgConnection, batch: &Batch) -> Result<(), WriteError> {
        if !batch.entries.is_empty() {
            write_entries(schema, connection, &batch.entries).await?;
        }
        let members = &batch.members;
        if !members.is_empty() {
            sqlx::query(schema.sql(MEMBERS))
                .bind(members.keys().map(|(tenant, _)| *tenant).collect::<Vec<_>>())
                .bind(members.keys().map(|(_, user)| *user).collect::<Vec<_>>())
                .bind(members.values().map(|membership| membership.shard as i16).collect::<Vec<_>>())
                .bind(members.values().map(|membership| membership.until).collect::<Vec<_>>())
                .execute(&mut *connection)
                .await?;
        }
        let people = &batch.people;
        if !people.is_empty() {
            sqlx::query(schema.sql(PEOPLE))
                .bind(people.keys().copied().collect::<Vec<_>>())
                .bind(people.values().map(|person| person.shard as i16).collect::<Vec<_>>())
                .bind(people.values().map(|person| person.name.as_deref()).collect::<Vec<_>>())
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    }

    /// Nobody follows the trail: it is read.
    fn change<'a>(&self, _: &'a Recorded, _: &Event) -> Option<Change<'a>> {
        None
    }
}

async fn write_entries(schema: &Schema, connection: &mut PgConnection, entries: &[Entry]) -> Result<(), WriteError> {
    let mut rows: Vec<&Entry> = entries.iter().collect();
    rows.sort_unstable_by_key(|row| row.event);
    let on = |of: fn(&Object) -> Option<Uuid>| rows.iter().map(|row| of(&row.on)).collect::<Vec<_>>();
    sqlx::query(schema.sql(ENTRIES))
        .bind(rows.iter().map(|row| row.event).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.tenant).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.shard as i16).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.kind.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.at).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.by).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.session).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.address.as_deref()).collect::<Vec<_>>())
        .bind(on(|on| on.user))
        .bind(on(|on| on.key))
        .bind(on(|on| on.group))
        .bind(on(|on| on.invitation))
        .bind(on(|on| on.ended_session))
        .execute(connection)
        .await?;
    Ok(())
}
