//! What happens to a consultation.
//!
//! A consultation is asked (`requested`, and `terms_set` where it is not decided by the first yes or no), worked on (`claimed`,
//! `released`, `assigned`, `delegated`, `commented`, `information_requested`, `information_provided`), voted on (`vote_cast`), and ends
//! in exactly one outcome: `responded`, `timed_out` or `withdrawn`. The clock brings `reminded` and `escalated`. An answer that comes
//! after the deadline is kept as `late_response_recorded` and changes no outcome. The receipt of an outcome is `receipt_redeemed` once, or
//! `receipt_revoked`.
//!
//! Where it is about a person, what is told of that person is sealed under the person's key: `private` in the place of fields in clear.

mod receipt;
mod request;
mod vote;
mod work;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use receipt::{ReceiptRedeemed, ReceiptRevoked};
pub use request::{AnswerKind, DecisionRule, Escalation, Priority, PrivateRequest, Requested, TemplateUsed, TermsSet};
pub use vote::{Answer, Content, Decision, LateResponseRecorded, Parts, Responded, Rule, TimedOut, VoteCast};
pub use work::{
    Assigned, Claimed, Clock, Commented, Delegated, Escalated, InformationProvided, InformationRequested, Released,
    Reminded,
};

use crate::{HasPersonal, Personal, personal::PersonalField};

/// Who did it: the principal, and the name it bore then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Person {
    /// The principal's id.
    pub id: Uuid,
    /// The name at the time of the act.
    pub name: Personal<String>,
}

impl Person {
    /// A person by name; the name belongs to the person itself.
    #[must_use]
    pub fn named(id: Uuid, name: impl Into<String>) -> Self {
        Self { id, name: Personal::known(id, name.into()) }
    }
}

/// Why a consultation was taken back before an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawalReason {
    /// The asker took it back.
    Withdrawn,
    /// An administrator cancelled it.
    Cancelled,
    /// A newer consultation stands in its place.
    Superseded,
}

/// `docket.consultation.withdrawn.v1`: the outcome, when it was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Withdrawn {
    /// Who took it back.
    pub by: Person,
    /// Why it was taken back.
    pub reason: WithdrawalReason,
    /// In the words of who took it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// Any event of a consultation.
#[derive(Debug, Clone, PartialEq)]
pub enum ConsultationEvent {
    /// See [`Requested`].
    Requested(Requested),
    /// See [`TermsSet`].
    TermsSet(Box<TermsSet>),
    /// See [`Commented`].
    Commented(Commented),
    /// See [`Claimed`].
    Claimed(Claimed),
    /// See [`Released`].
    Released(Released),
    /// See [`Assigned`].
    Assigned(Assigned),
    /// See [`Delegated`].
    Delegated(Delegated),
    /// See [`InformationRequested`].
    InformationRequested(InformationRequested),
    /// See [`InformationProvided`].
    InformationProvided(InformationProvided),
    /// See [`Reminded`].
    Reminded(Reminded),
    /// See [`Escalated`].
    Escalated(Escalated),
    /// See [`VoteCast`].
    VoteCast(VoteCast),
    /// See [`Responded`].
    Responded(Responded),
    /// See [`Withdrawn`].
    Withdrawn(Withdrawn),
    /// See [`TimedOut`].
    TimedOut(TimedOut),
    /// See [`LateResponseRecorded`].
    LateResponseRecorded(LateResponseRecorded),
    /// See [`ReceiptRedeemed`].
    ReceiptRedeemed(ReceiptRedeemed),
    /// See [`ReceiptRevoked`].
    ReceiptRevoked(ReceiptRevoked),
}

impl HasPersonal for ConsultationEvent {
    fn visit_personal(&mut self, visit: &mut dyn FnMut(&mut dyn PersonalField)) {
        match self {
            Self::Requested(event) => {
                visit(&mut event.requested_by.name);
                event.private.iter_mut().for_each(|private| visit(private));
            }
            Self::TermsSet(event) => event.subject.iter_mut().for_each(|subject| visit(&mut subject.name)),
            Self::Commented(Commented { by, private, .. })
            | Self::InformationRequested(InformationRequested { by, private, .. })
            | Self::InformationProvided(InformationProvided { by, private, .. }) => {
                visit(&mut by.name);
                private.iter_mut().for_each(|private| visit(private));
            }
            Self::Claimed(Claimed { by })
            | Self::Released(Released { by })
            | Self::Withdrawn(Withdrawn { by, .. })
            | Self::ReceiptRedeemed(ReceiptRedeemed { by, .. })
            | Self::ReceiptRevoked(ReceiptRevoked { by, .. }) => {
                visit(&mut by.name);
            }
            Self::Assigned(Assigned { by, to }) | Self::Delegated(Delegated { by, to }) => {
                visit(&mut by.name);
                visit(&mut to.name);
            }
            Self::VoteCast(VoteCast { by, private, .. })
            | Self::Responded(Responded { by, private, .. })
            | Self::LateResponseRecorded(LateResponseRecorded { by, private, .. }) => {
                visit(&mut by.name);
                private.iter_mut().for_each(|private| visit(private));
            }
            Self::Reminded(_) | Self::Escalated(_) | Self::TimedOut(_) => {}
        }
    }
}
