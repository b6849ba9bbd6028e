//! What the journal says of whom a letter is about: read at the delivery, so that a letter says what is true then.

use docket_events::{
    Category, Event, Recorded, StreamId,
    identity::{IdentityEvent, UserRegistered},
};
use docket_log::journal;
use futures_util::TryStreamExt;
use uuid::Uuid;

use super::{Postman, Unwritten};
use crate::mail::Mailbox;

/// A user, as far as letters need to know.
pub(super) struct Person {
    /// Name and address.
    pub(super) mailbox: Mailbox,
    /// Whether the address was shown to be theirs.
    pub(super) is_verified: bool,
    /// The version at which the password was last changed; 0: never.
    password_changed: u64,
}

impl Person {
    /// Whether the password was changed behind the event of that version.
    pub(super) const fn password_changed_after(&self, version: u64) -> bool {
        self.password_changed > version
    }
}

impl Postman {
    /// The user; none: there is none, or name and address are erased.
    pub(super) async fn person(&self, user: StreamId) -> Result<Option<Person>, Unwritten> {
        let mut registered: Option<UserRegistered> = None;
        let (mut is_verified, mut password_changed) = (false, 0);
        for (event, data) in self.events(user).await? {
            match data {
                IdentityEvent::UserRegistered(data) => registered = Some(data),
                IdentityEvent::AddressVerified(_) => is_verified = true,
                IdentityEvent::PasswordChanged(_) => password_changed = event.version,
                _ => {}
            }
        }
        let Some(registered) = registered else { return Ok(None) };
        let mut opened = [IdentityEvent::UserRegistered(registered)];
        self.vault.open(&mut opened).await?;
        let [IdentityEvent::UserRegistered(registered)] = opened else { return Ok(None) };
        let Some(address) = registered.email.value().cloned() else { return Ok(None) };
        let mailbox = Mailbox { name: registered.name.value().cloned(), address };
        Ok(Some(Person { mailbox, is_verified, password_changed }))
    }

    /// The name of the organisation, as long as this invitation of it can be accepted but for its time.
    pub(super) async fn inviting(&self, organisation: StreamId, invitation: Uuid) -> Result<Option<String>, Unwritten> {
        let mut name = None;
        for (_, data) in self.events(organisation).await? {
            match data {
                IdentityEvent::OrganisationCreated(data) => name = Some(data.name),
                IdentityEvent::InvitationRevoked(data) if data.invitation_id == invitation => return Ok(None),
                IdentityEvent::InvitationAccepted(data) if data.invitation_id == invitation => return Ok(None),
                _ => {}
            }
        }
        Ok(name)
    }

    /// The name of whoever caused `event`; none: it was no person, or the name is erased.
    pub(super) async fn inviter(&self, event: &Recorded) -> Result<Option<String>, Unwritten> {
        let Some(by) = event.metadata().principal else { return Ok(None) };
        let person = self.person(StreamId::new(Category::Identity, by)).await?;
        Ok(person.and_then(|person| person.mailbox.name))
    }

    /// The events of a stream. What a newer release wrote, or nobody can read, says nothing of what is looked for.
    async fn events(&self, stream: StreamId) -> Result<Vec<(Recorded, IdentityEvent)>, Unwritten> {
        let events: Vec<Recorded> = journal::stream_events(&self.pool, stream).try_collect().await?;
        let decode = |event: Recorded| match Event::decode(Category::Identity, &event.event_type, &event.data) {
            Ok(Event::Identity(data)) => Some((event, data)),
            Ok(_) | Err(_) => None,
        };
        Ok(events.into_iter().filter_map(decode).collect())
    }
}
