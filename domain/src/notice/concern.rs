//! Whom an event concerns, as things stand: asked when it is noted, and again when the letter is written.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use docket_events::{consultation::ConsultationEvent, identity::Role};
use uuid::Uuid;

use super::{Kind, Topic};
use crate::{
    consultation::{Consultation, Standing},
    identity::{Member, Organisation},
};

/// An event of a consultation, and how things stand.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// What people are told of.
    pub event: &'a ConsultationEvent,
    /// All events of the consultation.
    pub history: &'a [ConsultationEvent],
    /// The consultation as it stands.
    pub consultation: &'a Consultation,
    /// Its organisation, likewise.
    pub organisation: &'a Organisation,
    /// The time.
    pub now: DateTime<Utc>,
}

/// The administrators of an organisation.
#[must_use]
pub fn administrators(organisation: &Organisation) -> BTreeSet<Uuid> {
    let admins = organisation.members.iter().filter(|(_, member)| member.role == Role::Admin);
    admins.map(|(user, _)| *user).collect()
}

/// Whether a role answers consultations at all.
const fn answers(role: Role) -> bool {
    matches!(role, Role::Reviewer | Role::Admin)
}

impl Case<'_> {
    /// All members whom it concerns, but never whoever did it.
    #[must_use]
    pub fn concerned(&self) -> BTreeSet<Uuid> {
        if self.has_lapsed() {
            return BTreeSet::new();
        }
        let members = self.organisation.members.iter();
        members.filter(|(user, member)| self.concerns(**user, **member)).map(|(user, _)| *user).collect()
    }

    /// Why `user` need not be told any more; none: it concerns them still.
    #[must_use]
    pub fn why_moot(&self, user: Uuid) -> Option<&'static str> {
        let Some(member) = self.organisation.members.get(&user) else {
            return Some("the reader is no member of the organisation any more");
        };
        if self.has_lapsed() {
            return Some("the consultation ended before the reader was told");
        }
        (!self.concerns(user, *member)).then_some("it is no concern of the reader's any more")
    }

    /// Whether something was wanted that nobody wants any more.
    fn has_lapsed(&self) -> bool {
        let wants = Kind::of_consultation(self.event).and_then(Kind::topic) == Some(Topic::Asked);
        wants && (self.consultation.outcome.is_some() || self.consultation.overdue(self.now).is_some())
    }

    fn concerns(&self, user: Uuid, member: Member) -> bool {
        let state = self.consultation;
        match self.event {
            ConsultationEvent::Requested(_) => !self.asked(user) && self.is_awaited(user, member),
            ConsultationEvent::Reminded(_) => self.is_awaited(user, member),
            ConsultationEvent::Assigned(event) => {
                let has_it = state.work.claimed_by.as_ref().is_some_and(|holder| holder.id == user);
                event.to.id == user && event.by.id != user && has_it
            }
            ConsultationEvent::Delegated(event) => {
                event.to.id == user && event.by.id != user && self.is_awaited(user, member)
            }
            ConsultationEvent::Escalated(event) => event.notify.contains(&user) || self.is_awaited(user, member),
            ConsultationEvent::InformationRequested(event) => {
                self.asked(user) && event.by.id != user && state.work.questions.contains_key(&event.question_id)
            }
            ConsultationEvent::InformationProvided(event) => {
                event.by.id != user && self.who_questioned(event.question_id) == Some(user)
            }
            ConsultationEvent::Responded(event) => event.by.id != user && self.had_a_part(user),
            ConsultationEvent::Withdrawn(event) => event.by.id != user && self.had_a_part(user),
            ConsultationEvent::TimedOut(_) => self.had_a_part(user),
            ConsultationEvent::TermsSet(_)
            | ConsultationEvent::Commented(_)
            | ConsultationEvent::Claimed(_)
            | ConsultationEvent::Released(_)
            | ConsultationEvent::VoteCast(_)
            | ConsultationEvent::LateResponseRecorded(_)
            | ConsultationEvent::ReceiptRedeemed(_)
            | ConsultationEvent::ReceiptRevoked(_) => false,
        }
    }

    /// Whether an answer of `user` is waited for. Where everybody may answer that is every reviewer, and the administrators only where
    /// there is no reviewer who may.
    fn is_awaited(&self, user: Uuid, member: Member) -> bool {
        if !self.may_answer(user, member) || self.consultation.votes.contains_key(&user) {
            return false;
        }
        let is_called = member.role == Role::Reviewer
            || !self.consultation.is_for_everybody()
            || self.consultation.work.added.contains(&user)
            || self.consultation.work.delegated.values().any(|to| *to == user);
        is_called || !self.has_reviewers()
    }

    fn has_reviewers(&self) -> bool {
        let mut members = self.organisation.members.iter();
        members.any(|(user, member)| member.role == Role::Reviewer && self.may_answer(*user, *member))
    }

    fn may_answer(&self, user: Uuid, member: Member) -> bool {
        let named = self.consultation.terms.as_ref().map_or(&[][..], |terms| &terms.groups[..]);
        let belongs =
            |group: &&Uuid| self.organisation.groups.get(*group).is_some_and(|group| group.members.contains(&user));
        let standing = Standing {
            groups: named.iter().filter(belongs).copied().collect(),
            role: Some(member.role),
            is_admin: member.role == Role::Admin,
        };
        answers(member.role) && self.consultation.may_answer(user, &standing).is_ok()
    }

    /// Whether `user` asked, or made the key that did.
    fn asked(&self, user: Uuid) -> bool {
        self.consultation.asked.as_ref().is_some_and(|asked| asked.is_asker(user))
    }

    /// Whether `user` asked, voted, or has it in hand.
    fn had_a_part(&self, user: Uuid) -> bool {
        let state = self.consultation;
        let has_it = state.work.claimed_by.as_ref().is_some_and(|holder| holder.id == user);
        has_it || self.asked(user) || state.votes.contains_key(&user)
    }

    fn who_questioned(&self, question: Uuid) -> Option<Uuid> {
        self.history.iter().find_map(|event| match event {
            ConsultationEvent::InformationRequested(event) if event.question_id == question => Some(event.by.id),
            _ => None,
        })
    }
}
