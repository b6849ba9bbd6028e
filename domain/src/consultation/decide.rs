//! The decisions: what follows when a command meets a consultation at a time.

use chrono::{DateTime, Utc};
use docket_events::consultation::{
    Commented, ConsultationEvent, LateResponseRecorded, Requested, Responded, Rule, TimedOut, VoteCast,
    WithdrawalReason, Withdrawn,
};

use super::{
    Asked, Command, Comment, Consultation, Outcome, Request, Respond, State, Withdraw,
    validate::{self, Checked},
};
use crate::{Aggregate, At, Decided};

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
    /// The request names its reviewers, and this is none of them.
    #[error("this consultation is answered by the reviewers that it names")]
    NotAReviewer,
    /// Somebody else's request.
    #[error("only the requester can withdraw or supersede a consultation, and only an administrator can cancel it")]
    NotTheRequester,
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
            Self::NotTheRequester => "not_the_requester",
            Self::AlreadyEnded { .. } => "already_ended",
        }
    }
}

/// What a command comes to: events, or a refusal with its reason.
type Verdict = Result<Vec<ConsultationEvent>, Refusal>;

/// Decides `command` on `state` at `now`.
///
/// Time does not run backwards: a `now` before the stream's last event counts as the time of that event. What is pending at or
/// after its deadline times out first, and the command is then judged on what that left; so a refusal may come with an event.
#[must_use]
pub fn decide(state: &Consultation, command: Command, now: DateTime<Utc>) -> Decided<ConsultationEvent, Refusal> {
    let now = state.updated_at.map_or(now, |last| now.max(last));
    let Some(deadline) = state.overdue(now) else {
        return decided(Vec::new(), judge(state, command, now));
    };
    let timed_out = ConsultationEvent::TimedOut(TimedOut { deadline });
    let mut ended = state.clone();
    ended.evolve(&timed_out, At { version: state.version + 1, time: now });
    decided(vec![timed_out], judge(&ended, command, now))
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

/// Judges a command on a state that is not overdue.
fn judge(state: &Consultation, command: Command, now: DateTime<Utc>) -> Verdict {
    match (&state.asked, command) {
        (None, Command::Request(command)) => request(command, now),
        (None, _) => Err(Refusal::NotFound),
        // Asking again gets the first request; looking at a clock that has not struck changes nothing.
        (Some(_), Command::Request(_) | Command::Expire(_)) => Ok(Vec::new()),
        (Some(_), Command::Comment(command)) => comment(command),
        (Some(asked), Command::Respond(command)) => respond(state, asked, command),
        (Some(asked), Command::Withdraw(command)) => withdraw(state, asked, command),
    }
}

fn request(command: Request, now: DateTime<Utc>) -> Verdict {
    let Checked { title, context, deadline } = validate::request(&command, now)?;
    Ok(vec![ConsultationEvent::Requested(Requested {
        title,
        body: command.body,
        context,
        external_id: command.external_id,
        requested_by: command.requested_by,
        reviewers: command.reviewers,
        deadline,
    })])
}

fn comment(command: Comment) -> Verdict {
    let Comment { comment_id, by, text } = command;
    validate::comment("text", &text)?;
    Ok(vec![ConsultationEvent::Commented(Commented { comment_id, by, text })])
}

fn respond(state: &Consultation, asked: &Asked, command: Respond) -> Verdict {
    let Respond { by, decision, comment } = command;
    validate::optional_comment("comment", comment.as_deref())?;
    if by.id == asked.requested_by.id {
        return Err(Refusal::FourEyes);
    }
    if !asked.reviewers.is_empty() && !asked.reviewers.contains(&by.id) {
        return Err(Refusal::NotAReviewer);
    }
    match &state.outcome {
        None => {
            let vote = VoteCast { by: by.clone(), decision, comment: comment.clone() };
            let request_version = asked.request_version;
            let outcome = Responded { decision, by, rule: Rule::AnyOne, request_version, comment };
            Ok(vec![ConsultationEvent::VoteCast(vote), ConsultationEvent::Responded(outcome)])
        }
        Some(Outcome::Responded { decision: first, by: who, .. }) if who.id == by.id && *first == decision => {
            Ok(Vec::new())
        }
        Some(Outcome::TimedOut { .. }) if state.late_responses.last.get(&by.id) == Some(&decision) => Ok(Vec::new()),
        Some(Outcome::TimedOut { .. }) => {
            let ordinal = state.late_responses.count + 1;
            Ok(vec![ConsultationEvent::LateResponseRecorded(LateResponseRecorded { by, decision, comment, ordinal })])
        }
        Some(ended) => Err(Refusal::AlreadyEnded { state: ended.state() }),
    }
}

fn withdraw(state: &Consultation, asked: &Asked, command: Withdraw) -> Verdict {
    let Withdraw { by, reason, comment, as_admin } = command;
    validate::optional_comment("comment", comment.as_deref())?;
    let allowed = match reason {
        WithdrawalReason::Withdrawn | WithdrawalReason::Superseded => by.id == asked.requested_by.id,
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
