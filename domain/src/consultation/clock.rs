//! The clock: what it does by itself, and when.
//!
//! Owns the deadline, reminders and escalations: whatever command comes first at or after an instant finds done what was due then, however
//! late a scheduler is. What belongs before a deadline that has passed is not made up for.

use chrono::{DateTime, TimeDelta, Utc};
use docket_events::consultation::{Clock, ConsultationEvent, Escalated, Priority, Reminded, TimedOut};

use super::Consultation;
use crate::{Aggregate, At, calendar};

/// When the clock has something to do next.
pub(super) fn next(state: &Consultation) -> Option<DateTime<Utc>> {
    if state.asked.is_none() || state.outcome.is_some() || state.clock.stopped_at.is_some() {
        return None;
    }
    let reminder = state.clock.reminders.iter().min().copied();
    let escalation = escalations(state).map(|(_, due)| due).min();
    [state.clock.deadline, reminder, escalation].into_iter().flatten().min()
}

/// The escalations that are to come if nothing else happens.
fn escalations(state: &Consultation) -> impl Iterator<Item = (u32, DateTime<Utc>)> + '_ {
    let steps = state.terms.as_ref().map_or(&[][..], |terms| &terms.escalations[..]);
    let is_claimed = state.work.claimed_by.is_some();
    state.clock.escalations.iter().copied().filter(move |(step, _)| {
        let unclaimed = steps.get(*step as usize).is_some_and(|step| step.unclaimed);
        !(unclaimed && is_claimed)
    })
}

/// What the clock has done by `now`: events in order, and the state behind them.
pub(super) fn strike(state: &Consultation, now: DateTime<Utc>) -> (Vec<ConsultationEvent>, Option<Consultation>) {
    let mut events = Vec::new();
    let mut after: Option<Consultation> = None;
    while let Some(event) = due(after.as_ref().unwrap_or(state), now) {
        let state = after.get_or_insert_with(|| state.clone());
        state.evolve(&event, At { version: state.version + 1, time: now });
        events.push(event);
    }
    (events, after)
}

/// The first thing that is due at `now`.
fn due(state: &Consultation, now: DateTime<Utc>) -> Option<ConsultationEvent> {
    if next(state)? > now {
        return None;
    }
    if let Some(deadline) = state.overdue(now) {
        let default = state.terms.as_ref().and_then(|terms| terms.on_timeout.clone());
        return Some(ConsultationEvent::TimedOut(TimedOut { deadline, default }));
    }
    // Of several reminders that are due at once the last one counts.
    let reminder = state.clock.reminders.iter().filter(|due| **due <= now).max().copied();
    let escalation = escalations(state).filter(|(_, due)| *due <= now).min_by_key(|(step, due)| (*due, *step));
    match (reminder, escalation) {
        (Some(due), None) => Some(ConsultationEvent::Reminded(Reminded { due })),
        (Some(due), Some((_, first))) if due < first => Some(ConsultationEvent::Reminded(Reminded { due })),
        (_, Some((step, due))) => Some(ConsultationEvent::Escalated(escalate(state, step, due))),
        (None, None) => None,
    }
}

fn escalate(state: &Consultation, step: u32, due: DateTime<Utc>) -> Escalated {
    let told = state.terms.as_ref().and_then(|terms| terms.escalations.get(step as usize));
    let raised = |priority: &Priority| *priority > state.work.priority;
    Escalated {
        step,
        due,
        reviewers: told.map(|told| told.reviewers.clone()).unwrap_or_default(),
        priority: told.and_then(|told| told.priority).filter(raised),
        notify: told.map(|told| told.notify.clone()).unwrap_or_default(),
    }
}

/// What lies ahead of a clock that stood still until `now`: every instant is as far away as it was. None: it did not stand still.
pub(super) fn resumed(state: &Consultation, now: DateTime<Utc>) -> Option<Clock> {
    let stopped = state.clock.stopped_at?;
    let calendar = state.terms.as_ref().and_then(|terms| terms.calendar.as_ref());
    let moved = |instant: DateTime<Utc>| {
        let in_business_time = calendar.and_then(|calendar| {
            let left = calendar::between(calendar, stopped, instant).ok()?;
            calendar::after(calendar, now, left).ok()
        });
        let plainly = || instant.checked_add_signed((now - stopped).max(TimeDelta::zero())).unwrap_or(instant);
        in_business_time.unwrap_or_else(plainly)
    };
    Some(Clock {
        deadline: state.clock.deadline.map(moved),
        reminders: state.clock.reminders.iter().copied().map(moved).collect(),
        escalations: state.clock.escalations.iter().map(|(_, due)| moved(*due)).collect(),
    })
}
