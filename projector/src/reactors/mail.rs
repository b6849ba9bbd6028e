//! The reactor `mail`: tells people by mail what concerns their account.
//!
//! Owns which event makes which letter, and to whom it goes. Address and name are read from the user's stream at the delivery, and a
//! token for a link is made there: neither an intent nor the log holds any of them. How a letter looks is `mail::letters`'
//! business, and how it is sent `mail`'s.

use chrono::TimeDelta;
use docket_events::{
    Category, Event, Recorded, StreamId,
    identity::{IdentityEvent, UserRegistered},
};
use docket_log::{Vault, journal, reader::ReadError, vault::VaultError};
use docket_platform::{
    auth::mailed::{self, Purpose},
    clock, db,
};
use futures_util::{TryStreamExt, future::BoxFuture};
use secrecy::ExposeSecret;
use sqlx::PgPool;

use super::reactor::{Delivered, Delivery, DeliveryError, React, Reactor, Target};
use crate::{
    mail::{
        Mail, MailError, Mailbox, Mailer,
        templates::{Installation, Letter, Rendered, render},
    },
    projection::Poison,
};

/// What is mailed.
pub static MAIL: Reactor = Reactor::new("mail", &[Category::Identity], wants);

const RESET_PASSWORD: &str = "reset_password";
const PASSWORD_CHANGED: &str = "password_changed";

/// A link that was asked for longer ago, while nobody delivered, is not expected any more.
const STALE: TimeDelta = TimeDelta::days(1);

fn wants(_: &Recorded, data: &Event) -> Result<Vec<Target>, Poison> {
    let Event::Identity(data) = data else { return Ok(Vec::new()) };
    Ok(match data {
        IdentityEvent::PasswordResetRequested(_) => vec![RESET_PASSWORD.to_owned()],
        IdentityEvent::PasswordChanged(_) => vec![PASSWORD_CHANGED.to_owned()],
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

/// Whoever a letter goes to.
struct Person {
    name: Option<String>,
    address: String,
    /// Whether the password was changed behind the event at hand.
    changed_since: bool,
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
        Self::Passing { reason: error.to_string(), retry_after: None }
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
        let Some(person) = self.person(&delivery.event).await? else {
            return Ok(Delivered::Moot("the person was erased"));
        };
        let letter = match delivery.target.as_str() {
            RESET_PASSWORD if person.changed_since => return Ok(Delivered::Moot("the password was changed meanwhile")),
            RESET_PASSWORD if clock::now() > delivery.event.time + STALE => {
                return Ok(Delivered::Moot("it was asked for too long ago"));
            }
            RESET_PASSWORD => {
                let link = self.reset_link(delivery.event.stream).await?;
                Letter::ResetPassword { link, valid: mailed::LIFETIME }
            }
            PASSWORD_CHANGED => {
                let link = format!("{}/password", self.installation.url);
                Letter::PasswordChanged { at: delivery.event.time, address: None, link }
            }
            other => return Err(DeliveryError::Lasting(format!("this release knows no letter `{other}`"))),
        };
        let Rendered { subject, text, html } = render(&letter, person.name.as_deref(), &self.installation);
        let to = Mailbox { name: person.name, address: person.address };
        let mail = Mail { id: delivery.id, to, subject, text, html };
        let sent = self.mailer.send(&mail).await?;
        Ok(Delivered::By(format!("{} as {}", sent.provider, sent.id)))
    }

    /// A link with a token of its own.
    async fn reset_link(&self, user: StreamId) -> Result<String, Unwritten> {
        let mut door = db::door(&self.pool).await?;
        let token = mailed::issue(&mut door, Purpose::ResetPassword, user.id).await?;
        door.commit().await?;
        Ok(format!("{}/password#token={}", self.installation.url, token.expose_secret()))
    }

    /// The user whose stream `event` is of; none: name and address are erased.
    async fn person(&self, event: &Recorded) -> Result<Option<Person>, Unwritten> {
        let events: Vec<Recorded> = journal::stream_events(&self.pool, event.stream).try_collect().await?;
        let mut registered: Option<UserRegistered> = None;
        let mut changed_since = false;
        for other in &events {
            match Event::decode(Category::Identity, &other.event_type, &other.data) {
                Ok(Event::Identity(IdentityEvent::UserRegistered(data))) => registered = Some(data),
                Ok(Event::Identity(IdentityEvent::PasswordChanged(_))) => {
                    changed_since |= other.version > event.version
                }
                // What a newer release or nobody can read says nothing of name and address.
                Ok(_) | Err(_) => {}
            }
        }
        let Some(registered) = registered else { return Ok(None) };
        let mut opened = [IdentityEvent::UserRegistered(registered)];
        self.vault.open(&mut opened).await?;
        let [IdentityEvent::UserRegistered(registered)] = opened else { return Ok(None) };
        let address = registered.email.value().cloned();
        Ok(address.map(|address| Person { name: registered.name.value().cloned(), address, changed_since }))
    }
}
