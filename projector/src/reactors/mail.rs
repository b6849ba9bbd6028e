//! The reactor `mail`: tells people by mail what concerns their account.
//!
//! Owns which event makes which letter, and to whom it goes. Address and name are read at the delivery, and a token for a link is made
//! there: neither an intent nor the log holds any of them. How a letter looks is `mail::templates`' business, and how it is sent
//! `mail`'s.

mod history;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use docket_events::{
    Event, Personal, Recorded, StreamId,
    identity::{IdentityEvent, MemberInvited, Role, SessionStarted},
};
use docket_log::{Vault, reader::ReadError, vault::VaultError};
use docket_platform::{
    auth::mailed::{self, Invited, Purpose},
    clock, db,
};
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use sqlx::PgPool;

use self::history::Person;
use super::reactor::{Delivered, Delivery, DeliveryError, React, Reactor, Target};
use crate::{
    mail::{
        Mail, MailError, Mailbox, Mailer,
        templates::{Installation, Letter, Rendered, render},
    },
    projection::Poison,
};

/// What is mailed.
pub static MAIL: Reactor = Reactor::new("mail", &[docket_events::Category::Identity], wants);

const VERIFY_ADDRESS: &str = "verify_address";
const RESET_PASSWORD: &str = "reset_password";
const PASSWORD_CHANGED: &str = "password_changed";
const INVITATION: &str = "invitation";
const NEW_SIGN_IN: &str = "new_sign_in";

/// A link that was asked for longer ago, while nobody delivered, is not expected any more.
const STALE: TimeDelta = TimeDelta::days(1);
/// What stands in a letter where nobody said.
const UNKNOWN: &str = "unknown";

fn wants(_: &Recorded, data: &Event) -> Result<Vec<Target>, Poison> {
    let Event::Identity(data) = data else { return Ok(Vec::new()) };
    Ok(match data {
        IdentityEvent::VerificationRequested(_) => vec![VERIFY_ADDRESS.to_owned()],
        IdentityEvent::PasswordResetRequested(_) => vec![RESET_PASSWORD.to_owned()],
        IdentityEvent::PasswordChanged(_) => vec![PASSWORD_CHANGED.to_owned()],
        IdentityEvent::MemberInvited(_) => vec![INVITATION.to_owned()],
        IdentityEvent::SessionStarted(SessionStarted { new_place: true, .. }) => vec![NEW_SIGN_IN.to_owned()],
        _ => Vec::new(),
    })
}

/// Writes the letters and hands them to whoever carries them.
#[derive(Debug, Clone)]
pub struct Postman {
    pool: PgPool,
    vault: Vault,
    mailer: Mailer,
    installation: Installation,
}

/// What is to be sent.
enum Written {
    /// A letter, and to whom.
    Letter(Letter, Mailbox),
    /// None any more, for this reason.
    Moot(&'static str),
}

/// Why there is no letter yet.
#[derive(Debug, thiserror::Error)]
enum Unwritten {
    #[error("the database did not answer")]
    Database(#[from] sqlx::Error),
    #[error("the journal cannot be read")]
    Read(#[from] ReadError),
    #[error("the personal fields cannot be opened")]
    Vault(#[from] VaultError),
    #[error("this release knows no letter `{0}` for this event")]
    Unknown(String),
}

impl From<MailError> for DeliveryError {
    fn from(error: MailError) -> Self {
        let reason = error.to_string();
        match error {
            MailError::Transient { retry_after, .. } => Self::Passing { reason, retry_after },
            MailError::Permanent { .. } => Self::Lasting(reason),
        }
    }
}

impl From<Unwritten> for DeliveryError {
    fn from(error: Unwritten) -> Self {
        let reason = error.to_string();
        match error {
            Unwritten::Unknown(_) => Self::Lasting(reason),
            Unwritten::Database(_) | Unwritten::Read(_) | Unwritten::Vault(_) => {
                Self::Passing { reason, retry_after: None }
            }
        }
    }
}

impl React for Postman {
    fn react<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<Delivered, DeliveryError>> {
        Box::pin(self.deliver(delivery))
    }
}

impl Postman {
    /// Letters through `mailer`, whose links lead to `url`, such as `https://docket.example.com`; `pool` belongs to the projector's role.
    #[must_use]
    pub fn new(pool: PgPool, vault: Vault, mailer: Mailer, url: &str) -> Self {
        Self { pool, vault, mailer, installation: Installation { url: url.trim_end_matches('/').to_owned() } }
    }

    async fn deliver(&self, delivery: &Delivery) -> Result<Delivered, DeliveryError> {
        let (letter, to) = match self.write(delivery).await? {
            Written::Letter(letter, to) => (letter, to),
            Written::Moot(why) => return Ok(Delivered::Moot(why)),
        };
        let Rendered { subject, text, html } = render(&letter, to.name.as_deref(), &self.installation);
        let mail = Mail { id: delivery.id, to, subject, text, html, unsubscribe: None };
        let sent = self.mailer.send(&mail).await?;
        Ok(Delivered::By(format!("{} as {}", sent.provider, sent.id)))
    }

    async fn write(&self, delivery: &Delivery) -> Result<Written, Unwritten> {
        let Event::Identity(data) = &delivery.data else { return Err(Unwritten::Unknown(delivery.target.clone())) };
        match (delivery.target.as_str(), data) {
            (INVITATION, IdentityEvent::MemberInvited(invited)) => self.invitation(&delivery.event, invited).await,
            (NEW_SIGN_IN, IdentityEvent::SessionStarted(started)) => self.new_sign_in(&delivery.event, started).await,
            (target, data) => self.of_account(target, &delivery.event, data).await,
        }
    }

    /// A letter about the account whose stream `event` is of.
    async fn of_account(&self, target: &str, event: &Recorded, data: &IdentityEvent) -> Result<Written, Unwritten> {
        let user = event.stream;
        let Some(person) = self.person(user).await? else { return Ok(Written::Moot("the person was erased")) };
        let is_stale = clock::now() > event.time + STALE;
        let letter = match target {
            VERIFY_ADDRESS if person.is_verified => return Ok(Written::Moot("the address was verified meanwhile")),
            RESET_PASSWORD if person.password_changed_after(event.version) => {
                return Ok(Written::Moot("the password was changed meanwhile"));
            }
            VERIFY_ADDRESS | RESET_PASSWORD if is_stale => return Ok(Written::Moot("it was asked for too long ago")),
            VERIFY_ADDRESS => {
                let link = self.link_of(user, "verify", Purpose::VerifyAddress).await?;
                Letter::VerifyAddress { link, valid: mailed::LIFETIME }
            }
            RESET_PASSWORD => {
                let link = self.link_of(user, "password", Purpose::ResetPassword).await?;
                Letter::ResetPassword { link, valid: mailed::LIFETIME }
            }
            PASSWORD_CHANGED => {
                let address = match data {
                    IdentityEvent::PasswordChanged(data) => {
                        data.address.as_ref().and_then(|address| address.value().cloned())
                    }
                    _ => None,
                };
                Letter::PasswordChanged { at: event.time, address, link: self.page("password") }
            }
            other => return Err(Unwritten::Unknown(other.to_owned())),
        };
        Ok(Written::Letter(letter, person.mailbox))
    }

    async fn invitation(&self, event: &Recorded, invited: &MemberInvited) -> Result<Written, Unwritten> {
        let Some(address) = invited.email.value().cloned() else {
            return Ok(Written::Moot("the address was erased"));
        };
        let Some(organisation) = self.inviting(event.stream, invited.invitation_id).await? else {
            return Ok(Written::Moot("the invitation was accepted or taken back meanwhile"));
        };
        let now = clock::now();
        if invited.expires_at <= now {
            return Ok(Written::Moot("the invitation has expired"));
        }
        let by = self.inviter(event).await?.unwrap_or_else(|| "An administrator".to_owned());
        let letter = Letter::Invitation {
            by,
            organisation,
            role: role(invited.role).to_owned(),
            link: self.link_to_join(event, invited).await?,
            valid: whole_hours(now, invited.expires_at),
        };
        Ok(Written::Letter(letter, Mailbox { name: None, address }))
    }

    async fn new_sign_in(&self, event: &Recorded, started: &SessionStarted) -> Result<Written, Unwritten> {
        let user = StreamId::new(docket_events::Category::Identity, started.user_id);
        let Some(Person { mailbox, .. }) = self.person(user).await? else {
            return Ok(Written::Moot("the person was erased"));
        };
        let known = |field: &Option<Personal<String>>| {
            field.as_ref().and_then(|field| field.value().cloned()).unwrap_or_else(|| UNKNOWN.to_owned())
        };
        let (address, agent) = (known(&started.address), known(&started.agent));
        Ok(Written::Letter(Letter::NewSignIn { at: event.time, address, agent, link: self.page("password") }, mailbox))
    }

    fn page(&self, page: &str) -> String {
        format!("{}/{page}", self.installation.url)
    }

    /// Behind `#` no server and no log sees the token.
    fn link(&self, page: &str, token: &SecretString) -> String {
        format!("{}#token={}", self.page(page), token.expose_secret())
    }

    /// A link with a token of its own.
    async fn link_of(&self, user: StreamId, page: &str, purpose: Purpose) -> Result<String, Unwritten> {
        let mut door = db::door(&self.pool).await?;
        let token = mailed::issue(&mut door, purpose, user.id).await?;
        door.commit().await?;
        Ok(self.link(page, &token))
    }

    /// The same for an invitation: good for as long as that is.
    async fn link_to_join(&self, event: &Recorded, invited: &MemberInvited) -> Result<String, Unwritten> {
        let MemberInvited { invitation_id: invitation, expires_at, .. } = *invited;
        let mut door = db::door(&self.pool).await?;
        let what = Invited { invitation, tenant: event.stream.id };
        let token = mailed::issue_invitation(&mut door, what, expires_at).await?;
        door.commit().await?;
        Ok(self.link("join", &token))
    }
}

/// The role as a letter names it.
const fn role(role: Role) -> &'static str {
    match role {
        Role::Admin => "administrator",
        Role::Reviewer => "reviewer",
        Role::Requester => "requester",
        Role::Analyst => "analyst",
    }
}

/// The time that is left, rounded to hours: seconds that a delivery takes need not be read about.
fn whole_hours(now: DateTime<Utc>, end: DateTime<Utc>) -> Duration {
    let seconds = (end - now).num_seconds().max(0).unsigned_abs();
    Duration::from_secs(seconds.div_ceil(3600) * 3600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_an_invitation_is_told_in_hours() {
        let now = clock::now();
        let left = |seconds| whole_hours(now, now + TimeDelta::seconds(seconds)).as_secs();
        assert_eq!(left(7 * 86_400 - 3), 7 * 86_400);
        assert_eq!((left(3600), left(3601), left(1), left(-5)), (3600, 7200, 3600, 0));
    }
}
