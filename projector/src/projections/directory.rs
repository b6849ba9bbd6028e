//! The projection `directory`: groups, invitations, templates of requests, endpoints of webhooks, and what people and software come in
//! with, and when reading is shown.
//!
//! Owns `account_v1`, `session_v1`, `api_key_v1`, `group_v1`, `group_member_v1`, `invitation_v1`, `template_v1`, `webhook_endpoint_v1` and
//! `reading_period_v1`, each in a file of its own. The fold
//! merges what a batch says of a row, so that each row is written once. A session, its user and its organisation are streams of
//! different shards: whether it is open is judged on read, and must not be judged here.

use docket_events::{Category, Event, Recorded, identity::IdentityEvent};
use sqlx::PgConnection;

use crate::projection::{Change, Info, Poison, Projection, Schema, Table, WriteError};

mod accounts;
mod api_keys;
mod groups;
mod invitations;
mod reading;
mod sessions;
mod templates;
mod webhooks;

/// Groups, invitations, templates, endpoints, accounts, sessions, API keys.
#[derive(Debug, Clone, Copy)]
pub struct Directory;

/// What a batch comes to.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) accounts: accounts::Accounts,
    pub(super) sessions: sessions::Sessions,
    pub(super) api_keys: api_keys::ApiKeys,
    pub(super) groups: groups::Groups,
    pub(super) invitations: invitations::Invitations,
    pub(super) templates: templates::Templates,
    pub(super) webhooks: webhooks::Webhooks,
    pub(super) reading: reading::Reading,
}

impl Projection for Directory {
    const INFO: Info = Info {
        name: "directory",
        version: 1,
        categories: &[Category::Identity],
        tables: &[
            Table { name: "account_v1", personal: &[] },
            Table { name: "session_v1", personal: &["address", "agent"] },
            Table { name: "api_key_v1", personal: &[] },
            Table { name: "group_v1", personal: &[] },
            Table { name: "group_member_v1", personal: &[] },
            Table { name: "invitation_v1", personal: &["email"] },
            Table { name: "template_v1", personal: &[] },
            Table { name: "webhook_endpoint_v1", personal: &["url"] },
            Table { name: "reading_period_v1", personal: &[] },
        ],
    };

    type Batch = Batch;

    fn apply(&self, batch: &mut Batch, event: &Recorded, data: &Event) -> Result<(), Poison> {
        use IdentityEvent as E;
        let Event::Identity(data) = data else { return Ok(()) };
        match data {
            E::UserRegistered(_)
            | E::AddressVerified(_)
            | E::PasswordChanged(_)
            | E::AllSessionsRevoked(_)
            | E::SecondFactorEnabled(_)
            | E::SecondFactorDisabled(_)
            | E::NotificationPreferencesSet(_) => batch.accounts.fold(event, data),
            E::SessionStarted(_) | E::SessionRevoked(_) => batch.sessions.fold(event, data),
            E::ApiKeyCreated(_) | E::ApiKeyRotated(_) | E::ApiKeyRevoked(_) => batch.api_keys.fold(event, data),
            E::MemberInvited(_) | E::InvitationRevoked(_) | E::InvitationAccepted(_) => {
                batch.invitations.fold(event, data);
            }
            E::GroupCreated(_)
            | E::GroupRenamed(_)
            | E::GroupDeleted(_)
            | E::GroupMemberAdded(_)
            | E::GroupMemberRemoved(_)
            | E::MemberRemoved(_) => batch.groups.fold(event, data),
            E::TemplateSet(_) | E::TemplateRetired(_) => batch.templates.fold(event, data),
            E::WebhookEndpointSet(_)
            | E::WebhookEndpointEnabled(_)
            | E::WebhookEndpointDisabled(_)
            | E::WebhookEndpointRemoved(_)
            | E::WebhookSecretRotated(_) => batch.webhooks.fold(event, data),
            E::ReadingShown(data) => batch.reading.fold(event, *data),
            E::VerificationRequested(_)
            | E::PasswordResetRequested(_)
            | E::RecoveryCodeUsed(_)
            | E::LockedOut(_)
            | E::OrganisationCreated(_)
            | E::MemberAdded(_)
            | E::RoleChanged(_)
            | E::SecondFactorDemanded(_)
            | E::CalendarSet(_)
            | E::WebhookTestRequested(_)
            | E::WebhookRedeliveryRequested(_) => {}
        }
        Ok(())
    }

    async fn write(&self, schema: &Schema, connection: &mut PgConnection, batch: &Batch) -> Result<(), WriteError> {
        batch.accounts.write(schema, connection).await?;
        batch.sessions.write(schema, connection).await?;
        batch.api_keys.write(schema, connection).await?;
        batch.groups.write(schema, connection).await?;
        batch.invitations.write(schema, connection).await?;
        batch.templates.write(schema, connection).await?;
        batch.webhooks.write(schema, connection).await?;
        batch.reading.write(schema, connection).await
    }

    /// Nobody follows these rows: they are read.
    fn change<'a>(&self, _: &'a Recorded, _: &Event) -> Option<Change<'a>> {
        None
    }
}

/// Refuses when fewer rows were changed than events build upon.
fn all_there(changed: u64, wanted: usize, what: &str) -> Result<(), WriteError> {
    if changed == wanted as u64 {
        return Ok(());
    }
    Err(WriteError::Inconsistent(format!("of {wanted} {what} that change {changed} are there")))
}
