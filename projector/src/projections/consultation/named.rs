//! Who is named to answer, who is asked, and who has voted: the rows beside a consultation's own.

use std::fmt;

use docket_events::{
    Recorded,
    consultation::{ConsultationEvent, DecisionRule, TermsSet},
};
use uuid::Uuid;

use super::{Batch, Vote, name, role, told};

/// Whom a consultation asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::projections) enum Who {
    /// Every reviewer.
    Everyone,
    Role(&'static str),
    Group(Uuid),
    User(Uuid),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("everyone"),
            Self::Role(role) => write!(f, "role:{role}"),
            Self::Group(group) => write!(f, "group:{group}"),
            Self::User(user) => write!(f, "user:{user}"),
        }
    }
}

impl Batch {
    /// What an event says of votes, reviewers, and of who is asked.
    pub(super) fn fold(&mut self, event: &Recorded, data: &ConsultationEvent) {
        match data {
            ConsultationEvent::Requested(data) => {
                self.name(event, &data.reviewers, true);
                if data.reviewers.is_empty() {
                    self.ask(event, Who::Everyone, true);
                }
            }
            ConsultationEvent::TermsSet(data) => self.set(event, data),
            ConsultationEvent::Escalated(data) => self.name(event, &data.reviewers, true),
            ConsultationEvent::Delegated(data) => {
                self.name(event, &[data.by.id], false);
                self.name(event, &[data.to.id], true);
                self.votes.insert((event.stream.id, data.by.id), (event.tenant, event.shard, None));
            }
            ConsultationEvent::VoteCast(data) => {
                let (decision, content, comment) = told(data.answer());
                let by_name = name(&data.by);
                let vote = Vote { version: event.version, by_name, at: event.time, decision, content, comment };
                self.votes.insert((event.stream.id, data.by.id), (event.tenant, event.shard, Some(vote)));
            }
            _ => {}
        }
    }

    /// Users who answer by name, or do no more.
    fn name(&mut self, event: &Recorded, users: &[Uuid], answers: bool) {
        for user in users {
            self.reviewers.insert((event.stream.id, *user), (event.tenant, event.shard, answers));
            self.ask(event, Who::User(*user), answers);
        }
    }

    fn ask(&mut self, event: &Recorded, who: Who, is_asked: bool) {
        self.asked.insert((event.stream.id, who), (event.tenant, event.shard, is_asked));
    }

    /// Terms name seats, groups and roles; where seats are counted, those alone answer who are named.
    fn set(&mut self, event: &Recorded, terms: &TermsSet) {
        self.name(event, &terms.seats, true);
        let counts_seats = terms.rule != DecisionRule::AnyOne;
        if counts_seats || !(terms.seats.is_empty() && terms.groups.is_empty() && terms.roles.is_empty()) {
            self.ask(event, Who::Everyone, false);
        }
        if !counts_seats {
            terms.groups.iter().for_each(|group| self.ask(event, Who::Group(*group), true));
            terms.roles.iter().for_each(|named| self.ask(event, Who::Role(role(*named)), true));
        }
    }
}
