//! The user: one person, the same in every organisation.

use chrono::{DateTime, TimeDelta, Utc};
use docket_events::{
    HasPersonal, Personal,
    identity::{Channel, IdentityEvent, PasswordChanged, PasswordProof, PasswordResetRequested, UserRegistered},
    personal::PersonalField,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Refusal, check_email, check_name};
use crate::{Aggregate, At, Decided};

/// A user as its events tell it. The default does not exist yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The registration; none: the user does not exist.
    pub registered: Option<Registered>,
    /// When a new password was last asked for, and not set since.
    pub reset_requested_at: Option<DateTime<Utc>>,
    /// The version of the stream.
    pub version: u64,
    /// The time of the last event.
    pub updated_at: Option<DateTime<Utc>>,
}

/// What a user registered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The e-mail address, as given.
    pub email: Personal<String>,
    /// The name shown to others.
    pub name: Personal<String>,
    /// When.
    pub at: DateTime<Utc>,
}

impl Aggregate for User {
    type Event = IdentityEvent;

    const SCHEMA: i32 = 2;

    fn evolve(&mut self, event: &IdentityEvent, at: At) {
        self.version = at.version;
        self.updated_at = Some(at.time);
        match event {
            IdentityEvent::UserRegistered(UserRegistered { email, name }) => {
                self.registered = Some(Registered { email: email.clone(), name: name.clone(), at: at.time });
            }
            IdentityEvent::PasswordResetRequested(_) => self.reset_requested_at = Some(at.time),
            IdentityEvent::PasswordChanged(_) => self.reset_requested_at = None,
            // Of an organisation's stream.
            IdentityEvent::OrganisationCreated(_) | IdentityEvent::MemberAdded(_) => {}
        }
    }
}

impl HasPersonal for User {
    fn visit_personal(&mut self, visit: &mut dyn FnMut(&mut dyn PersonalField)) {
        if let Some(registered) = &mut self.registered {
            visit(&mut registered.email);
            visit(&mut registered.name);
        }
    }
}

/// Give a person an account. Doing so again changes nothing: the first registration stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterUser {
    /// The user's id, which is the stream's, and whose key seals address and name.
    pub user_id: Uuid,
    /// The e-mail address.
    pub email: String,
    /// The name shown to others.
    pub name: String,
}

/// Decides a registration.
#[must_use]
pub fn register_user(state: &User, command: RegisterUser) -> Decided<IdentityEvent, Refusal> {
    if state.registered.is_some() {
        return Decided::accepted(Vec::new());
    }
    let RegisterUser { user_id, email, name } = command;
    match (check_email(&email), check_name(&name)) {
        (Ok(email), Ok(name)) => Decided::accepted(vec![IdentityEvent::UserRegistered(UserRegistered {
            email: Personal::known(user_id, email),
            name: Personal::known(user_id, name),
        })]),
        (Err(refusal), _) | (_, Err(refusal)) => Decided::refused(refusal),
    }
}

/// The least time between two mails that a user did not ask for twice.
pub const RESET_PAUSE: TimeDelta = TimeDelta::minutes(1);

/// Decides the wish for a new password at `now`. Asked again within [`RESET_PAUSE`] nothing happens: a mail is on its way.
#[must_use]
pub fn request_password_reset(state: &User, now: DateTime<Utc>) -> Decided<IdentityEvent, Refusal> {
    if state.registered.is_none() {
        return Decided::refused(Refusal::NoSuchUser);
    }
    if state.reset_requested_at.is_some_and(|at| now < at + RESET_PAUSE) {
        return Decided::accepted(Vec::new());
    }
    Decided::accepted(vec![IdentityEvent::PasswordResetRequested(PasswordResetRequested { channel: Channel::Mail })])
}

/// Decides that a user has a new password, which `proof` allowed.
#[must_use]
pub fn change_password(state: &User, proof: PasswordProof) -> Decided<IdentityEvent, Refusal> {
    if state.registered.is_none() {
        return Decided::refused(Refusal::NoSuchUser);
    }
    Decided::accepted(vec![IdentityEvent::PasswordChanged(PasswordChanged { proof })])
}
