//! Notices: which events people are told of by mail, whom they concern, and when each is told.
//!
//! Owns the choice of people ([`Case`]) and of the time ([`turn`]). It must not know of addresses, letters or providers, nor read a
//! clock: whoever asks brings the consultation, the organisation and the time.

mod concern;
mod preferences;

#[cfg(test)]
mod tests;

use docket_events::{
    consultation::ConsultationEvent,
    identity::{EndpointEnd, IdentityEvent},
};

pub use concern::{Case, administrators};
pub use preferences::{Turn, check, turn};

/// What people can choose how to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// What is wanted of somebody.
    Asked,
    /// What came of what somebody asked, or had a part in.
    Outcome,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Asked, Self::Outcome];
}

/// Why somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A decision is wanted.
    Asked,
    /// It was given into somebody's hands.
    Assigned,
    /// Somebody is to answer in another's place.
    Delegated,
    /// The deadline is near.
    Reminded,
    /// There was no decision after a while.
    Escalated,
    /// A reviewer asks the asker.
    Questioned,
    /// The asker has answered.
    Informed,
    /// There is a decision.
    Decided,
    /// The deadline passed without one.
    TimedOut,
    /// It was taken back.
    Withdrawn,
    /// An endpoint of the organisation is told nothing any more.
    WebhookDisabled,
}

impl Kind {
    const ALL: [Self; 11] = [
        Self::Asked,
        Self::Assigned,
        Self::Delegated,
        Self::Reminded,
        Self::Escalated,
        Self::Questioned,
        Self::Informed,
        Self::Decided,
        Self::TimedOut,
        Self::Withdrawn,
        Self::WebhookDisabled,
    ];

    /// Its name in tables, which never changes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Assigned => "assigned",
            Self::Delegated => "delegated",
            Self::Reminded => "reminded",
            Self::Escalated => "escalated",
            Self::Questioned => "questioned",
            Self::Informed => "informed",
            Self::Decided => "decided",
            Self::TimedOut => "timed_out",
            Self::Withdrawn => "withdrawn",
            Self::WebhookDisabled => "webhook_disabled",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What it belongs to; none: nobody can choose not to be told.
    #[must_use]
    pub const fn topic(self) -> Option<Topic> {
        match self {
            Self::Asked
            | Self::Assigned
            | Self::Delegated
            | Self::Reminded
            | Self::Escalated
            | Self::Questioned
            | Self::Informed => Some(Topic::Asked),
            Self::Decided | Self::TimedOut | Self::Withdrawn => Some(Topic::Outcome),
            Self::WebhookDisabled => None,
        }
    }

    /// What an event of a consultation is told as; none: nobody is told.
    #[must_use]
    pub const fn of_consultation(event: &ConsultationEvent) -> Option<Self> {
        match event {
            ConsultationEvent::Requested(_) => Some(Self::Asked),
            ConsultationEvent::Assigned(_) => Some(Self::Assigned),
            ConsultationEvent::Delegated(_) => Some(Self::Delegated),
            ConsultationEvent::Reminded(_) => Some(Self::Reminded),
            ConsultationEvent::Escalated(_) => Some(Self::Escalated),
            ConsultationEvent::InformationRequested(_) => Some(Self::Questioned),
            ConsultationEvent::InformationProvided(_) => Some(Self::Informed),
            ConsultationEvent::Responded(_) => Some(Self::Decided),
            ConsultationEvent::TimedOut(_) => Some(Self::TimedOut),
            ConsultationEvent::Withdrawn(_) => Some(Self::Withdrawn),
            ConsultationEvent::TermsSet(_)
            | ConsultationEvent::Commented(_)
            | ConsultationEvent::Claimed(_)
            | ConsultationEvent::Released(_)
            | ConsultationEvent::VoteCast(_)
            | ConsultationEvent::LateResponseRecorded(_)
            | ConsultationEvent::ReceiptRedeemed(_)
            | ConsultationEvent::ReceiptRevoked(_) => None,
        }
    }

    /// The same of identity. An endpoint that somebody turned off is no news.
    #[must_use]
    pub fn of_identity(event: &IdentityEvent) -> Option<Self> {
        match event {
            IdentityEvent::WebhookEndpointDisabled(event) if event.reason != EndpointEnd::Off => {
                Some(Self::WebhookDisabled)
            }
            _ => None,
        }
    }
}
