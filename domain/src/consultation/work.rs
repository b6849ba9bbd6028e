//! The work on the way to a decision: who has it in hand, who answers in whose place, and what is asked back.

use chrono::{DateTime, Utc};
use docket_events::consultation::{
    Assigned, Claimed, ConsultationEvent, Delegated, InformationProvided, InformationRequested, Released,
};

use super::{
    Asked, Assign, Claim, Consultation, Delegate, ProvideInformation, Refusal, Release, RequestInformation,
    decide::Verdict, validate,
};

const MAX_QUESTIONS: usize = 20;

fn pending(state: &Consultation) -> Result<(), Refusal> {
    state.outcome.as_ref().map_or(Ok(()), |ended| Err(Refusal::AlreadyEnded { state: ended.state() }))
}

pub(super) fn claim(state: &Consultation, command: Claim) -> Verdict {
    let Claim { by, standing } = command;
    pending(state)?;
    state.may_answer(by.id, &standing)?;
    match &state.work.claimed_by {
        Some(holder) if holder.id == by.id => Ok(Vec::new()),
        Some(holder) => Err(Refusal::Claimed { by: holder.id }),
        None => Ok(vec![ConsultationEvent::Claimed(Claimed { by })]),
    }
}

pub(super) fn release(state: &Consultation, asked: &Asked, command: Release) -> Verdict {
    let Release { by, standing } = command;
    pending(state)?;
    match &state.work.claimed_by {
        None => Ok(Vec::new()),
        Some(holder) if holder.id == by.id || asked.is_asker(by.id) || standing.is_admin => {
            Ok(vec![ConsultationEvent::Released(Released { by })])
        }
        Some(holder) => Err(Refusal::Claimed { by: holder.id }),
    }
}

pub(super) fn assign(state: &Consultation, asked: &Asked, command: Assign) -> Verdict {
    let Assign { by, standing, to, of_whom } = command;
    pending(state)?;
    if !asked.is_asker(by.id) && !standing.is_admin {
        return Err(Refusal::NotTheRequester);
    }
    if let Err(refusal) = state.may_answer(to.id, &of_whom) {
        return Err(match refusal {
            Refusal::FourEyes => validate::refusal("to", "must not be who asked (four-eyes principle)"),
            _ => validate::refusal("to", "must be somebody who may answer this consultation"),
        });
    }
    match &state.work.claimed_by {
        Some(holder) if holder.id == to.id => Ok(Vec::new()),
        Some(_) | None => Ok(vec![ConsultationEvent::Assigned(Assigned { by, to })]),
    }
}

pub(super) fn delegate(state: &Consultation, command: Delegate) -> Verdict {
    let Delegate { by, standing, to } = command;
    pending(state)?;
    if state.work.delegated.get(&by.id) == Some(&to.id) {
        return Ok(Vec::new());
    }
    state.may_answer(by.id, &standing)?;
    // To somebody who has delegated in turn is to whoever answers in their place.
    let answers = state.holder(to.id);
    if to.id == by.id || answers == by.id {
        return Err(Refusal::DelegationLoop);
    }
    if state.is_barred(to.id) || state.is_barred(answers) {
        return Err(validate::refusal("to", "must not be who asked (four-eyes principle)"));
    }
    if state.counts_seats() && state.seats().into_iter().any(|seat| state.holder(seat) == answers) {
        return Err(validate::refusal("to", "must be somebody who has no vote of their own"));
    }
    Ok(vec![ConsultationEvent::Delegated(Delegated { by, to })])
}

pub(super) fn request_information(state: &Consultation, command: RequestInformation) -> Verdict {
    let RequestInformation { question_id, by, standing, text } = command;
    validate::comment("text", &text)?;
    pending(state)?;
    state.may_answer(by.id, &standing)?;
    if state.work.questions.contains_key(&question_id) {
        return Ok(Vec::new());
    }
    if state.work.questions.len() >= MAX_QUESTIONS {
        return Err(Refusal::TooManyQuestions);
    }
    let stops_clock = state.terms.as_ref().is_some_and(|terms| terms.questions_stop_clock);
    let event = InformationRequested::new(question_id, by, text, state.subject(), stops_clock);
    Ok(vec![ConsultationEvent::InformationRequested(event)])
}

pub(super) fn provide_information(
    state: &Consultation,
    asked: &Asked,
    command: ProvideInformation,
    now: DateTime<Utc>,
) -> Verdict {
    let ProvideInformation { question_id, by, text } = command;
    validate::comment("text", &text)?;
    pending(state)?;
    if !asked.is_asker(by.id) {
        return Err(Refusal::NotTheRequester);
    }
    if !state.work.questions.contains_key(&question_id) {
        return Err(Refusal::NoSuchQuestion);
    }
    let is_last = state.work.questions.len() == 1;
    let clock = if is_last { super::clock::resumed(state, now) } else { None };
    let event = InformationProvided::new(question_id, by, text, state.subject(), clock);
    Ok(vec![ConsultationEvent::InformationProvided(event)])
}
