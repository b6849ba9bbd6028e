//! What a command comes to on a consultation as it stood at some version.
//!
//! Owns the question whether a refusal, or an answer that changed nothing, is one that the rules give. Both leave no event of their own, so
//! they are held against the states that the consultation went through: the domain decides anew on each.

use docket_domain::{
    Aggregate, At,
    consultation::{self, Consultation, Given, Refusal, Standing, decide},
};
use docket_events::consultation::{ConsultationEvent, Person, WithdrawalReason};
use uuid::Uuid;

use super::journal::{Journal, Stream};
use crate::ledger::{Entry, Kind};

/// What a command comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It makes events.
    Changes,
    /// There is nothing to change.
    Idle,
    /// It is refused, with this status.
    Refused(u16),
}

/// What `entry` comes to on `stream` at `version`; none where there is no such version.
pub(super) fn at(journal: &Journal, entry: &Entry, stream: Uuid, version: u64) -> Option<Verdict> {
    let command = command(entry)?;
    let mut found = None;
    any_state(journal.streams.get(&stream)?, |state, _| {
        if state.version == version {
            found = Some(verdict(state, command.clone()));
        }
        found.is_some()
    });
    found
}

/// Whether there was a version at which the rules refuse `entry` with this status.
pub(super) fn may_be_refused(journal: &Journal, entry: &Entry, status: u16) -> bool {
    let Some(command) = command(entry) else {
        // A request whose time was past when it came: it met no consultation.
        return entry.command.kind.may_refuse(status);
    };
    let Some(stream) = entry.command.stream.and_then(|stream| journal.streams.get(&stream)) else { return false };
    any_state(stream, |state, event| {
        // A comment changes nothing that a command is judged by.
        let is_another = !matches!(event, ConsultationEvent::Commented(_));
        is_another && verdict(state, command.clone()) == Verdict::Refused(status)
    })
}

/// Whether one of the states that a consultation went through is `wanted`; each comes with the event that led to it.
fn any_state(stream: &Stream, mut wanted: impl FnMut(&Consultation, &ConsultationEvent) -> bool) -> bool {
    let mut state = Consultation::default();
    (1..).zip(&stream.events).any(|(version, (time, event))| {
        state.evolve(event, At { version, time: *time });
        wanted(&state, event)
    })
}

fn verdict(state: &Consultation, command: consultation::Command) -> Verdict {
    // Whatever was due at the time of its last event stands before that event.
    let decided = decide(state, command, state.updated_at.unwrap_or_default());
    match decided.refusal {
        Some(refusal) => Verdict::Refused(status(&refusal)),
        None if decided.events.is_empty() => Verdict::Idle,
        None => Verdict::Changes,
    }
}

/// The command of a client; none of one that asks.
fn command(entry: &Entry) -> Option<consultation::Command> {
    let by = Person::named(entry.principal, "");
    let (standing, text) = (Standing::default(), entry.command.key.clone());
    let somebody = |id: Uuid| Person::named(id, "");
    Some(match entry.command.kind {
        Kind::Ask { .. } => return None,
        Kind::Comment => consultation::Comment { comment_id: Uuid::nil(), by, text }.into(),
        Kind::Respond(decision) => {
            let given = Given { comment: Some(text), ..Given::decision(decision) };
            consultation::Respond { by, standing, given }.into()
        }
        Kind::Claim => consultation::Claim { by, standing }.into(),
        Kind::Release => consultation::Release { by, standing }.into(),
        Kind::Assign { to } => {
            consultation::Assign { by, standing, to: somebody(to), of_whom: Standing::default() }.into()
        }
        Kind::Delegate { to } => consultation::Delegate { by, standing, to: somebody(to) }.into(),
        Kind::Question { id } => consultation::RequestInformation { question_id: id, by, standing, text }.into(),
        Kind::Provide { question } => consultation::ProvideInformation { question_id: question, by, text }.into(),
        Kind::Withdraw => {
            let reason = WithdrawalReason::Withdrawn;
            consultation::Withdraw { by, reason, comment: Some(text), as_admin: false }.into()
        }
    })
}

/// The status that a refusal is answered with.
const fn status(refusal: &Refusal) -> u16 {
    match refusal {
        Refusal::NotFound | Refusal::NoSuchQuestion => 404,
        Refusal::Invalid { .. }
        | Refusal::ReceiptForeign
        | Refusal::ReceiptAltered
        | Refusal::ReceiptPayloadMismatch => 422,
        Refusal::FourEyes | Refusal::NotAReviewer | Refusal::NotTheRequester => 403,
        Refusal::Claimed { .. }
        | Refusal::DelegationLoop
        | Refusal::TooManyQuestions
        | Refusal::ReceiptExpired
        | Refusal::ReceiptRedeemed { .. }
        | Refusal::ReceiptRevoked { .. }
        | Refusal::NoReceipt
        | Refusal::AlreadyEnded { .. } => 409,
        Refusal::Erased => 410,
    }
}
