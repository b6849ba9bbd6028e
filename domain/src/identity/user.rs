//! The user: one person, the same in every organisation.

use chrono::{DateTime, TimeDelta, Utc};
use docket_events::{
    HasPersonal, Personal,
    identity::{
        AddressVerified, AllSessionsRevoked, Channel, IdentityEvent, LockedOut, Mailing, NotificationPreferencesSet,
        PasswordChanged, PasswordProof, PasswordResetRequested, RecoveryCodeUsed, SecondFactor, SecondFactorDisabled,
        SecondFactorEnabled, UserRegistered, VerificationRequested,
    },
    personal::PersonalField,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Refusal, check_email, check_name};
use crate::{
    Aggregate, At, Decided,
    notice::{self, Topic},
};

/// A user as its events tell it. The default does not exist yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The registration; none: the user does not exist.
    pub registered: Option<Registered>,
    /// When the address was last to be verified.
    pub verification_requested_at: Option<DateTime<Utc>>,
    /// When the address was shown to be the user's.
    pub verified_at: Option<DateTime<Utc>>,
    /// When a new password was last asked for, and not set since.
    pub reset_requested_at: Option<DateTime<Utc>>,
    /// The last time that sessions were ended all at once.
    pub sessions_ended: SessionsEnded,
    /// Whether a login takes a second factor.
    pub second_factor: bool,
    /// Until when the last lock-out went.
    pub locked_until: Option<DateTime<Utc>>,
    /// How the user wants to be told of consultations; none: nothing was said, and the default counts.
    pub notifications: Option<NotificationPreferencesSet>,
    /// The version of the stream.
    pub version: u64,
    /// The time of the last event.
    pub updated_at: Option<DateTime<Utc>>,
}

/// Which sessions are over since the user ended them, or changed the password.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionsEnded {
    /// The version of the user's stream at which it happened; 0: never.
    pub version: u64,
    /// The session that goes on.
    pub kept: Option<Uuid>,
}

impl SessionsEnded {
    /// Whether `session`, whose login had been checked at the version `credentials`, is over.
    #[must_use]
    pub fn ends(&self, session: Uuid, credentials: u64) -> bool {
        credentials < self.version && self.kept != Some(session)
    }
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

    const SCHEMA: i32 = 4;

    fn evolve(&mut self, event: &IdentityEvent, at: At) {
        self.version = at.version;
        self.updated_at = Some(at.time);
        match event {
            IdentityEvent::UserRegistered(UserRegistered { email, name, .. }) => {
                self.registered = Some(Registered { email: email.clone(), name: name.clone(), at: at.time });
            }
            IdentityEvent::VerificationRequested(_) => self.verification_requested_at = Some(at.time),
            IdentityEvent::AddressVerified(_) => self.verified_at = Some(at.time),
            IdentityEvent::PasswordResetRequested(_) => self.reset_requested_at = Some(at.time),
            IdentityEvent::PasswordChanged(PasswordChanged { kept, .. }) => {
                self.reset_requested_at = None;
                self.sessions_ended = SessionsEnded { version: at.version, kept: *kept };
            }
            IdentityEvent::AllSessionsRevoked(AllSessionsRevoked { kept }) => {
                self.sessions_ended = SessionsEnded { version: at.version, kept: Some(*kept) };
            }
            IdentityEvent::SecondFactorEnabled(_) => self.second_factor = true,
            IdentityEvent::SecondFactorDisabled(_) => self.second_factor = false,
            IdentityEvent::LockedOut(LockedOut { until, .. }) => self.locked_until = Some(*until),
            IdentityEvent::NotificationPreferencesSet(event) => self.notifications = Some(event.clone()),
            IdentityEvent::RecoveryCodeUsed(_) => {}
            // Of other aggregates' streams.
            _ => {}
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

/// The network address that a command came from, sealed under its user's key; none: it is not known, or a session tells.
pub type NetworkAddress = Option<Personal<String>>;

/// Give a person an account. Doing so again changes nothing: the first registration stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterUser {
    /// The user's id, which is the stream's, and whose key seals address and name.
    pub user_id: Uuid,
    /// The e-mail address.
    pub email: String,
    /// The name shown to others.
    pub name: String,
    /// Where that came from.
    pub from: NetworkAddress,
}

/// Decides a registration.
#[must_use]
pub fn register_user(state: &User, command: RegisterUser) -> Decided<IdentityEvent, Refusal> {
    if state.registered.is_some() {
        return Decided::accepted(Vec::new());
    }
    let RegisterUser { user_id, email, name, from } = command;
    match (check_email(&email), check_name(&name)) {
        (Ok(email), Ok(name)) => Decided::accepted(vec![IdentityEvent::UserRegistered(UserRegistered {
            email: Personal::known(user_id, email),
            name: Personal::known(user_id, name),
            address: from,
        })]),
        (Err(refusal), _) | (_, Err(refusal)) => Decided::refused(refusal),
    }
}

/// Decides what follows when somebody registers with an address, at `now`. Nobody has it: a user who is to show that it is theirs.
/// Somebody has: whoever reads its mail gets the means to set a password, unless a mail is on its way. One mail either way, so that
/// neither the answer nor what is done for it tells who is known.
#[must_use]
pub fn sign_up(state: &User, command: RegisterUser, now: DateTime<Utc>) -> Decided<IdentityEvent, Refusal> {
    if state.registered.is_none() {
        let event = requested(command.from.clone());
        return register_and(state, command, event);
    }
    if was_just(state.verification_requested_at, now) {
        return Decided::accepted(Vec::new());
    }
    request_password_reset(state, command.from, now)
}

/// Decides the registration of somebody whose invitation reached them at the address. Again: nothing happens.
#[must_use]
pub fn register_invited(state: &User, command: RegisterUser) -> Decided<IdentityEvent, Refusal> {
    let event = verified(command.from.clone());
    register_and(state, command, event)
}

/// A new user, and one more event.
fn register_and(state: &User, command: RegisterUser, event: IdentityEvent) -> Decided<IdentityEvent, Refusal> {
    let mut decided = register_user(state, command);
    if !decided.events.is_empty() {
        decided.events.push(event);
    }
    decided
}

fn requested(from: NetworkAddress) -> IdentityEvent {
    IdentityEvent::VerificationRequested(VerificationRequested { channel: Channel::Mail, address: from })
}

fn verified(from: NetworkAddress) -> IdentityEvent {
    IdentityEvent::AddressVerified(AddressVerified { channel: Channel::Mail, address: from })
}

/// The least time between two mails of one kind that may not be the user's own wish.
pub const MAIL_PAUSE: TimeDelta = TimeDelta::minutes(1);

fn was_just(asked: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    asked.is_some_and(|at| now < at + MAIL_PAUSE)
}

fn of_user(state: &User, events: Vec<IdentityEvent>) -> Decided<IdentityEvent, Refusal> {
    if state.registered.is_none() { Decided::refused(Refusal::NoSuchUser) } else { Decided::accepted(events) }
}

/// Decides that the user is to show that the address is theirs, asked `from` a network address. Nothing happens within [`MAIL_PAUSE`], and
/// once it was shown.
#[must_use]
pub fn request_verification(state: &User, from: NetworkAddress, now: DateTime<Utc>) -> Decided<IdentityEvent, Refusal> {
    if state.verified_at.is_some() || was_just(state.verification_requested_at, now) {
        return of_user(state, Vec::new());
    }
    of_user(state, vec![requested(from)])
}

/// Decides that what was sent to the address came back, `from` a network address. Again: nothing happens.
#[must_use]
pub fn verify_address(state: &User, from: NetworkAddress) -> Decided<IdentityEvent, Refusal> {
    if state.verified_at.is_some() {
        return of_user(state, Vec::new());
    }
    of_user(state, vec![verified(from)])
}

/// Decides the wish for a new password at `now`, from the network address `from`. Asked again within [`MAIL_PAUSE`] nothing happens: a
/// mail is on its way.
#[must_use]
pub fn request_password_reset(
    state: &User,
    from: NetworkAddress,
    now: DateTime<Utc>,
) -> Decided<IdentityEvent, Refusal> {
    if was_just(state.reset_requested_at, now) {
        return of_user(state, Vec::new());
    }
    let wish = PasswordResetRequested { channel: Channel::Mail, address: from };
    of_user(state, vec![IdentityEvent::PasswordResetRequested(wish)])
}

/// Decides that a user has a new password, which `proof` allowed. All sessions are over but `kept`. Whoever got the mailed link has also
/// shown that the address is theirs.
#[must_use]
pub fn change_password(
    state: &User,
    proof: PasswordProof,
    kept: Option<Uuid>,
    from: NetworkAddress,
) -> Decided<IdentityEvent, Refusal> {
    let mut events = vec![IdentityEvent::PasswordChanged(PasswordChanged { proof, kept, address: from.clone() })];
    if proof == PasswordProof::MailedLink && state.verified_at.is_none() {
        events.push(verified(from));
    }
    of_user(state, events)
}

/// Decides that all sessions but `kept` are over.
#[must_use]
pub fn revoke_all_sessions(state: &User, kept: Uuid) -> Decided<IdentityEvent, Refusal> {
    of_user(state, vec![IdentityEvent::AllSessionsRevoked(AllSessionsRevoked { kept })])
}

/// Decides that a login takes a second factor from now on, or no more. Again: nothing happens.
#[must_use]
pub fn set_second_factor(state: &User, wanted: bool) -> Decided<IdentityEvent, Refusal> {
    let method = SecondFactor::Totp;
    of_user(
        state,
        match (state.second_factor, wanted) {
            (true, true) | (false, false) => Vec::new(),
            (false, true) => vec![IdentityEvent::SecondFactorEnabled(SecondFactorEnabled { method })],
            (true, false) => vec![IdentityEvent::SecondFactorDisabled(SecondFactorDisabled { method })],
        },
    )
}

/// Decides that a recovery code was used up, of which `left` remain.
#[must_use]
pub fn use_recovery_code(state: &User, left: u32, from: NetworkAddress) -> Decided<IdentityEvent, Refusal> {
    of_user(state, vec![IdentityEvent::RecoveryCodeUsed(RecoveryCodeUsed { left, address: from })])
}

/// Decides that no password is looked at for a while from `from`. One that is contained in the last one is not noted again.
#[must_use]
pub fn lock_out(state: &User, until: DateTime<Utc>, from: NetworkAddress) -> Decided<IdentityEvent, Refusal> {
    if state.locked_until.is_some_and(|last| until <= last) {
        return of_user(state, Vec::new());
    }
    of_user(state, vec![IdentityEvent::LockedOut(LockedOut { until, address: from })])
}

/// Decides how a user is told of consultations from now on. Again: nothing happens.
#[must_use]
pub fn set_notifications(state: &User, wanted: NotificationPreferencesSet) -> Decided<IdentityEvent, Refusal> {
    if let Err(refusal) = notice::check(&wanted) {
        return Decided::refused(refusal);
    }
    let events = match state.notifications.as_ref() == Some(&wanted) {
        true => Vec::new(),
        false => vec![IdentityEvent::NotificationPreferencesSet(wanted)],
    };
    of_user(state, events)
}

/// Decides that a user is not told of `topics` any more. Again: nothing happens.
#[must_use]
pub fn unsubscribe(state: &User, topics: &[Topic]) -> Decided<IdentityEvent, Refusal> {
    let before = state.notifications.clone().unwrap_or_default();
    let mut wanted = before.clone();
    for topic in topics {
        match topic {
            Topic::Asked => wanted.asked = Mailing::None,
            Topic::Outcome => wanted.outcome = Mailing::None,
        }
    }
    let events = if wanted == before { Vec::new() } else { vec![IdentityEvent::NotificationPreferencesSet(wanted)] };
    of_user(state, events)
}
