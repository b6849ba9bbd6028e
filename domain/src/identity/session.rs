//! The session: what one login began, in one organisation.

use chrono::{DateTime, TimeDelta, Utc};
use docket_events::{
    HasPersonal, Personal,
    identity::{IdentityEvent, LoginMethod, SessionEnd, SessionRevoked, SessionStarted},
    personal::PersonalField,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{NetworkAddress, Refusal};
use crate::{Aggregate, At, Decided};

/// A session as its events tell it. The default does not exist yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Whose it is; none: it does not exist.
    pub user_id: Option<Uuid>,
    /// The version of the user's stream that the login had been checked at.
    pub credentials: u64,
    /// When it ends at the latest.
    pub expires_at: Option<DateTime<Utc>>,
    /// Why it is over, if it is.
    pub ended: Option<SessionEnd>,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// The network address that it came from.
    pub address: Option<Personal<String>>,
    /// The program, as it calls itself.
    pub agent: Option<Personal<String>>,
}

impl Session {
    /// Whether its tokens may be renewed at `now`, as far as the session alone is concerned.
    #[must_use]
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.ended.is_none() && self.expires_at.is_some_and(|end| now < end)
    }
}

impl Aggregate for Session {
    type Event = IdentityEvent;

    const SCHEMA: i32 = 1;

    fn evolve(&mut self, event: &IdentityEvent, at: At) {
        match event {
            IdentityEvent::SessionStarted(event) => {
                self.user_id = Some(event.user_id);
                self.credentials = event.credentials;
                self.expires_at = Some(event.expires_at);
                self.started_at = Some(at.time);
                self.address.clone_from(&event.address);
                self.agent.clone_from(&event.agent);
            }
            IdentityEvent::SessionRevoked(event) => self.ended = Some(event.reason),
            // Of other aggregates' streams.
            _ => {}
        }
    }
}

impl HasPersonal for Session {
    fn visit_personal(&mut self, visit: &mut dyn FnMut(&mut dyn PersonalField)) {
        self.address.iter_mut().for_each(|field| visit(field));
        self.agent.iter_mut().for_each(|field| visit(field));
    }
}

/// Begin a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartSession {
    /// Whose.
    pub user_id: Uuid,
    /// How the user logged in.
    pub method: LoginMethod,
    /// See [`SessionStarted::credentials`].
    pub credentials: u64,
    /// How long it lasts at the latest.
    pub lifetime: TimeDelta,
    /// See [`SessionStarted::new_place`].
    pub new_place: bool,
    /// The network address that it came from.
    pub address: Option<String>,
    /// The program, as it calls itself.
    pub agent: Option<String>,
}

/// Decides a beginning at `now`. Again: nothing happens.
#[must_use]
pub fn start_session(state: &Session, command: &StartSession, now: DateTime<Utc>) -> Decided<IdentityEvent, Refusal> {
    if state.user_id.is_some() {
        return Decided::accepted(Vec::new());
    }
    let StartSession { user_id, method, credentials, lifetime, new_place, address, agent } = command.clone();
    let personal = |text: String| Personal::known(user_id, text);
    Decided::accepted(vec![IdentityEvent::SessionStarted(SessionStarted {
        user_id,
        method,
        credentials,
        expires_at: now.checked_add_signed(lifetime).unwrap_or(DateTime::<Utc>::MAX_UTC),
        new_place,
        address: address.map(personal),
        agent: agent.map(personal),
    })])
}

/// Decides the end of a session of `user`, for whom nobody else's exists, asked `from` a network address. What is over stays over, for its
/// first reason.
#[must_use]
pub fn revoke_session(
    state: &Session,
    user: Uuid,
    reason: SessionEnd,
    from: NetworkAddress,
) -> Decided<IdentityEvent, Refusal> {
    if state.user_id != Some(user) {
        return Decided::refused(Refusal::NotFound);
    }
    if state.ended.is_some() {
        return Decided::accepted(Vec::new());
    }
    Decided::accepted(vec![IdentityEvent::SessionRevoked(SessionRevoked { user_id: user, reason, address: from })])
}
