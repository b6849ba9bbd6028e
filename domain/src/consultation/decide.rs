//! The decisions: what follows when a command meets a consultation at a time.

use chrono::{DateTime, Utc};
use docket_events::consultation::{
    Answer, Commented, ConsultationEvent, LateResponseRecorded, Parts, Responded, VoteCast, WithdrawalReason, Withdrawn,
};
use uuid::Uuid;

use super::{
    Asked, Command, Comment, Consultation, Outcome, Respond, State, Withdraw, answer, ask, clock, receipt, rule,
    validate, work,
};
use crate::Decided;

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such consultation.
    #[error("there is no such consultation")]
    NotFound,
    /// What was given does not do.
    #[error("`{field}` {reason}")]
    Invalid {
        /// The field, as the API names it.
        field: &'static str,
        /// What is wrong with it: the rest of a sentence that begins with the field's name.
        reason: String,
    },
    /// Who asks may not answer.
    #[error("who asked for a decision cannot take it (four-eyes principle)")]
    FourEyes,
    /// The request names who answers, and this is none of them, or has delegated it.
    #[error("this consultation is answered by the reviewers that it names")]
    NotAReviewer,
    /// Somebody else has it in hand.
    #[error("somebody else has this consultation in hand")]
    Claimed {
        /// Who.
        by: Uuid,
    },
    /// Delegations would lead back to where they begin.
    #[error("this delegation would lead back to who delegates")]
    DelegationLoop,
    /// Nobody waits for this answer.
    #[error("there is no such question, or it is answered")]
    NoSuchQuestion,
    /// Enough is asked for now.
    #[error("too many questions wait for an answer")]
    TooManyQuestions,
    /// The person whom it is about was erased, and what was asked with them.
    #[error("the person whom this consultation was about was erased")]
    Erased,
    /// Somebody else's request.
    #[error(
        "only the requester can withdraw or supersede a consultation, only an administrator can cancel it, and only they can assign it or revoke its receipt"
    )]
    NotTheRequester,
    /// No such receipt was issued here.
    #[error("no such receipt was issued here")]
    ReceiptForeign,
    /// It says something else than what was decided.
    #[error("the receipt does not say what was decided")]
    ReceiptAltered,
    /// Its time is over.
    #[error("the receipt has expired")]
    ReceiptExpired,
    /// Each receipt is accepted once.
    #[error("the receipt was redeemed before")]
    ReceiptRedeemed {
        /// Who redeemed it.
        by: Uuid,
        /// When.
        at: DateTime<Utc>,
    },
    /// It was revoked.
    #[error("the receipt was revoked")]
    ReceiptRevoked {
        /// When.
        at: DateTime<Utc>,
    },
    /// What is to be performed is not what was decided.
    #[error("the payload is not the one that was decided upon")]
    ReceiptPayloadMismatch,
    /// There is nothing to revoke.
    #[error("the consultation has no receipt: it is pending, or was withdrawn")]
    NoReceipt,
    /// It has its outcome.
    #[error("the consultation has ended already: {state}")]
    AlreadyEnded {
        /// How it ended.
        state: State,
    },
}

impl Refusal {
    /// The stable name of this refusal.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Invalid { .. } => "invalid",
            Self::FourEyes => "four_eyes",
            Self::NotAReviewer => "not_a_reviewer",
            Self::Claimed { .. } => "claimed",
            Self::DelegationLoop => "delegation_loop",
            Self::NoSuchQuestion => "not_found",
            Self::TooManyQuestions => "too_many",
            Self::Erased => "erased",
            Self::NotTheRequester => "not_the_requester",
            Self::ReceiptForeign => "receipt_foreign",
            Self::ReceiptAltered => "receipt_altered",
            Self::ReceiptExpired => "receipt_expired",
            Self::ReceiptRedeemed { .. } => "receipt_redeemed",
            Self::ReceiptRevoked { .. } => "receipt_revoked",
            Self::ReceiptPayloadMismatch => "receipt_payload_mismatch",
            Self::NoReceipt => "no_receipt",
            Self::AlreadyEnded { .. } => "already_ended",
        }
    }
}

/// What a command comes to: events, or a refusal with its reason.
pub(super) type Verdict = Result<Vec<ConsultationEvent>, Refusal>;

/// Decides `command` on `state` at `now`.
///
/// Time does not run backwards: a `now` before the stream's last event counts as the time of that event. The clock strikes first: what is
/// pending at or after its deadline times out, and reminders and escalations that are due are made; the command is then judged on what that
/// left, so a refusal may come with events. Where the consultation is about a person, `state` has its personal fields open.
#[must_use]
pub fn decide(state: &Consultation, command: Command, now: DateTime<Utc>) -> Decided<ConsultationEvent, Refusal> {
    let now = state.updated_at.map_or(now, |last| now.max(last));
    let (struck, after) = clock::strike(state, now);
    decided(struck, judge(after.as_ref().unwrap_or(state), command, now))
}

/// Puts together what the clock brought and what the command came to.
fn decided(mut events: Vec<ConsultationEvent>, verdict: Verdict) -> Decided<ConsultationEvent, Refusal> {
    match verdict {
        Ok(more) => {
            events.extend(more);
            Decided::accepted(events)
        }
        Err(refusal) => Decided { events, refusal: Some(refusal) },
    }
}

/// Judges a command on a state for which the clock has nothing to do.
fn judge(state: &Consultation, command: Command, now: DateTime<Utc>) -> Verdict {
    let (asked, command) = match (&state.asked, command) {
        (None, Command::Request(command)) => return ask::request(*command, now),
        (None, _) => return Err(Refusal::NotFound),
        // Asking again gets the first request; looking at a clock that has not struck changes nothing.
        (Some(_), Command::Request(_) | Command::Expire(_)) => return Ok(Vec::new()),
        (Some(asked), command) => (asked, command),
    };
    match command {
        Command::Withdraw(command) => return withdraw(state, asked, command),
        Command::Release(command) => return work::release(state, asked, command),
        _ => {}
    }
    // Everything else would say something of a person who wanted to be forgotten.
    if state.is_subject_erased() {
        return Err(Refusal::Erased);
    }
    match command {
        Command::Comment(command) => comment(state, command),
        Command::Respond(command) => respond(state, asked, command),
        Command::Claim(command) => work::claim(state, command),
        Command::Assign(command) => work::assign(state, asked, command),
        Command::Delegate(command) => work::delegate(state, command),
        Command::RequestInformation(command) => work::request_information(state, command),
        Command::ProvideInformation(command) => work::provide_information(state, asked, command, now),
        Command::RedeemReceipt(command) => receipt::redeem(state, *command, now),
        Command::RevokeReceipt(command) => receipt::revoke(state, asked, command),
        Command::Request(_) | Command::Expire(_) | Command::Withdraw(_) | Command::Release(_) => Ok(Vec::new()),
    }
}

fn comment(state: &Consultation, command: Comment) -> Verdict {
    let Comment { comment_id, by, text } = command;
    validate::comment("text", &text)?;
    Ok(vec![ConsultationEvent::Commented(Commented::new(comment_id, by, text, state.subject()))])
}

fn respond(state: &Consultation, asked: &Asked, command: Respond) -> Verdict {
    let Respond { by, standing, given } = command;
    let answer = answer::check(state.answer_kind(), state.proposed(), given)?;
    state.may_answer(by.id, &standing)?;
    let before = state.votes.get(&by.id).and_then(VoteCast::answer);
    match &state.outcome {
        None => {}
        // Whoever repeats what they said is told how it ended.
        Some(Outcome::Responded { .. }) if before.as_ref().is_some_and(|before| before.agrees(&answer)) => {
            return Ok(Vec::new());
        }
        Some(Outcome::TimedOut { .. }) => {
            let last = state.late_responses.last.get(&by.id).and_then(LateResponseRecorded::answer);
            if last.is_some_and(|last| last.agrees(&answer)) {
                return Ok(Vec::new());
            }
            let late = LateResponseRecorded::new(by, answer, state.subject(), state.late_responses.count + 1);
            return Ok(vec![ConsultationEvent::LateResponseRecorded(late)]);
        }
        Some(ended) => return Err(Refusal::AlreadyEnded { state: ended.state() }),
    }
    if let Some(holder) = &state.work.claimed_by
        && !state.counts_seats()
        && holder.id != by.id
    {
        return Err(Refusal::Claimed { by: holder.id });
    }
    if before.is_some_and(|before| before.agrees(&answer)) {
        return Ok(Vec::new());
    }
    let vote = ConsultationEvent::VoteCast(VoteCast::new(by.clone(), answer.clone(), state.subject()));
    let Some(agreed) = winning(state, by.id, &answer) else { return Ok(vec![vote]) };
    let Parts { decision, content, comment, private } = Parts::of(answer, state.subject());
    let (rule, request_version) = (rule::name(state.rule()), asked.request_version);
    let outcome = Responded { decision, by, rule, request_version, comment, content, private, agreed };
    Ok(vec![vote, ConsultationEvent::Responded(outcome)])
}

/// Whether `answer`, which `by` gives now, wins; if so, who gave it, unless one vote is enough.
fn winning(state: &Consultation, by: Uuid, answer: &Answer) -> Option<Vec<Uuid>> {
    if !state.counts_seats() {
        return Some(Vec::new());
    }
    let seats = state.seats();
    let agrees = |seat: &Uuid| {
        let holder = state.holder(*seat);
        let vote = || state.votes.get(&holder).and_then(VoteCast::answer);
        holder == by || vote().is_some_and(|vote| vote.agrees(answer))
    };
    let agreeing = seats.iter().copied().filter(agrees).collect();
    let wins = if answer.rejects() {
        rule::is_rejected(state.rule(), &seats, &agreeing)
    } else {
        rule::suffices(state.rule(), &seats, &agreeing)
    };
    wins.then(|| agreeing.into_iter().map(|seat| state.holder(seat)).collect())
}

fn withdraw(state: &Consultation, asked: &Asked, command: Withdraw) -> Verdict {
    let Withdraw { by, reason, comment, as_admin } = command;
    validate::optional_comment("comment", comment.as_deref())?;
    let allowed = match reason {
        WithdrawalReason::Withdrawn | WithdrawalReason::Superseded => asked.is_asker(by.id),
        WithdrawalReason::Cancelled => as_admin,
    };
    if !allowed {
        return Err(Refusal::NotTheRequester);
    }
    match &state.outcome {
        None => Ok(vec![ConsultationEvent::Withdrawn(Withdrawn { by, reason, comment })]),
        Some(Outcome::Withdrawn { by: who, reason: first, .. }) if who.id == by.id && *first == reason => {
            Ok(Vec::new())
        }
        Some(ended) => Err(Refusal::AlreadyEnded { state: ended.state() }),
    }
}
