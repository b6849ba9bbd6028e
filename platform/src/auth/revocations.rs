//! What was taken away a moment ago: sessions, rights and keys that tokens still name.
//!
//! Owns the copy in memory that every request and every open socket is held against. Whoever follows the journal feeds it
//! ([`Revocations::add`], [`Revocations::is_current`]); it keeps an entry as long as a token could still name what is over. It must not ask
//! a database itself.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::Access;

/// How old the copy may be before nobody is let in with it: within this time a right that was taken away is gone everywhere.
pub const STALE_AFTER: Duration = Duration::from_secs(5);

/// Something that was taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// A session.
    Session(Uuid),
    /// All sessions of a user whose login had been checked before a version of the user's stream, but one.
    Sessions {
        /// The user.
        user: Uuid,
        /// The version.
        below: u64,
        /// The session that goes on.
        kept: Option<Uuid>,
    },
    /// What a member could do before a version of the organisation's stream.
    Member {
        /// The organisation.
        tenant: Uuid,
        /// The member.
        user: Uuid,
        /// The version.
        below: u64,
    },
    /// An API key.
    Key(Uuid),
}

#[derive(Debug, Default)]
struct Entries {
    /// Sessions and keys.
    ended: HashMap<Uuid, Instant>,
    users: HashMap<Uuid, (u64, Option<Uuid>, Instant)>,
    members: HashMap<(Uuid, Uuid), (u64, Instant)>,
    /// When this was last known to be complete; none: nobody feeds it.
    current: Option<Instant>,
}

/// The copy of one process.
#[derive(Debug)]
pub struct Revocations {
    entries: RwLock<Entries>,
    changed: watch::Sender<()>,
}

impl Default for Revocations {
    fn default() -> Self {
        Self { entries: RwLock::default(), changed: watch::Sender::new(()) }
    }
}

impl Revocations {
    fn write(&self, change: impl FnOnce(&mut Entries)) {
        change(&mut self.entries.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn read<T>(&self, look: impl FnOnce(&Entries) -> T) -> T {
        look(&self.entries.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says that somebody feeds this from now on; until the first [`Revocations::is_current`] nobody is let in.
    pub fn begin(&self, now: Instant) {
        // Out of date from the beginning.
        self.write(|entries| entries.current = Some(now.checked_sub(STALE_AFTER).unwrap_or(now)));
    }

    /// Takes note of what was taken away; each is forgotten at its instant. What was known already is no news; news wake those who wait.
    pub fn add(&self, revocations: impl IntoIterator<Item = (Revocation, Instant)>, now: Instant) {
        let mut news = false;
        self.write(|entries| {
            entries.prune(now);
            for (revocation, until) in revocations {
                news |= entries.add(revocation, until);
            }
        });
        if news {
            self.changed.send_replace(());
        }
    }

    /// Says that everything that was journalled before `when` has been added.
    pub fn is_current(&self, when: Instant) {
        self.write(|entries| entries.current = Some(when));
    }

    /// Whether so much time has passed since anybody knew what was taken away that nobody may be let in.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.read(|entries| entries.current.is_some_and(|when| when.elapsed() >= STALE_AFTER))
    }

    /// Whether what `access` stands on was taken away.
    #[must_use]
    pub fn ends(&self, access: &Access) -> bool {
        self.read(|entries| entries.end(access))
    }

    /// Comes back when what `access` stands on is taken away.
    pub async fn ended(&self, access: &Access) {
        let mut changed = self.changed.subscribe();
        while !self.ends(access) {
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Entries {
    fn prune(&mut self, now: Instant) {
        self.ended.retain(|_, until| *until > now);
        self.users.retain(|_, (_, _, until)| *until > now);
        self.members.retain(|_, (_, until)| *until > now);
    }

    /// Whether it was news.
    fn add(&mut self, revocation: Revocation, until: Instant) -> bool {
        match revocation {
            Revocation::Session(id) | Revocation::Key(id) => self.ended.insert(id, until).is_none(),
            // Of one stream the last one counts.
            Revocation::Sessions { user, below, kept } => {
                let known = self.users.get(&user).is_some_and(|(known, _, _)| *known >= below);
                if !known {
                    self.users.insert(user, (below, kept, until));
                }
                !known
            }
            Revocation::Member { tenant, user, below } => {
                let known = self.members.get(&(tenant, user)).is_some_and(|(known, _)| *known >= below);
                if !known {
                    self.members.insert((tenant, user), (below, until));
                }
                !known
            }
        }
    }

    fn end(&self, access: &Access) -> bool {
        let principal = &access.principal;
        if principal.scopes.is_some() {
            return self.ended.contains_key(&principal.id);
        }
        let session = principal.session.is_some_and(|id| self.ended.contains_key(&id));
        let user = self.users.get(&principal.id).is_some_and(|(below, kept, _)| {
            let kept = principal.session.is_some() && *kept == principal.session;
            !kept && access.credentials.is_none_or(|at| at < *below)
        });
        let member = self
            .members
            .get(&(principal.tenant, principal.id))
            .is_some_and(|(below, _)| access.member_since.is_none_or(|at| at < *below));
        session || user || member
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Principal, Role, Scopes};
    use super::*;

    const ADA: Uuid = Uuid::from_u128(1);
    const ORG: Uuid = Uuid::from_u128(2);
    const HERE: Uuid = Uuid::from_u128(3);
    const THERE: Uuid = Uuid::from_u128(4);

    fn access(session: Uuid, credentials: u64, member_since: u64) -> Access {
        let principal = Principal { session: Some(session), ..Principal::member(ADA, ORG, Role::Admin) };
        Access { credentials: Some(credentials), member_since: Some(member_since), ..Access::of(principal) }
    }

    fn after(revocations: &[Revocation]) -> Revocations {
        let known = Revocations::default();
        let now = Instant::now();
        known.add(revocations.iter().map(|revocation| (*revocation, now + Duration::from_secs(60))), now);
        known
    }

    #[tokio::test(start_paused = true)]
    async fn an_ended_session_ends_its_own_tokens_alone() {
        let known = after(&[Revocation::Session(HERE)]);
        assert!(known.ends(&access(HERE, 0, 1)) && !known.ends(&access(THERE, 0, 1)));
    }

    #[tokio::test(start_paused = true)]
    async fn all_sessions_end_but_the_kept_one_and_those_of_later_logins() {
        let known = after(&[Revocation::Sessions { user: ADA, below: 5, kept: Some(HERE) }]);
        assert!(known.ends(&access(THERE, 4, 1)));
        assert!(!known.ends(&access(HERE, 4, 1)) && !known.ends(&access(THERE, 5, 1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_right_ends_in_its_organisation_and_a_newer_one_stands() {
        let known = after(&[Revocation::Member { tenant: ORG, user: ADA, below: 7 }]);
        assert!(known.ends(&access(HERE, 0, 6)) && !known.ends(&access(HERE, 0, 7)));
        let elsewhere = after(&[Revocation::Member { tenant: THERE, user: ADA, below: 7 }]);
        assert!(!elsewhere.ends(&access(HERE, 0, 6)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_ends() {
        let key = Access::of(Principal::key(HERE, ORG, Scopes::default()));
        assert!(after(&[Revocation::Key(HERE)]).ends(&key) && !after(&[Revocation::Key(THERE)]).ends(&key));
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_token_can_name_any_more_is_forgotten() {
        let known = after(&[Revocation::Session(HERE)]);
        tokio::time::advance(Duration::from_secs(61)).await;
        known.add([], Instant::now());
        assert!(!known.ends(&access(HERE, 0, 1)));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_hears_of_it() {
        let known = std::sync::Arc::new(after(&[]));
        let waiting = tokio::spawn({
            let known = known.clone();
            async move { known.ended(&access(HERE, 0, 1)).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        known.add([(Revocation::Session(HERE), Instant::now() + Duration::from_secs(60))], Instant::now());
        waiting.await.expect("told");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_let_in_on_what_was_known_too_long_ago() {
        let known = Revocations::default();
        assert!(!known.is_stale(), "nobody feeds it");
        known.begin(Instant::now());
        assert!(known.is_stale());
        known.is_current(Instant::now());
        assert!(!known.is_stale());
        tokio::time::advance(STALE_AFTER).await;
        assert!(known.is_stale());
    }
}
