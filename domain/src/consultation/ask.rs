//! Asking: what a request and its terms may hold, and the events that record them.
//!
//! A rule that can never be met is refused here, with the reason: nobody would learn of it but by waiting.

use std::collections::BTreeSet;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use docket_events::{
    Personal,
    calendar::BusinessCalendar,
    consultation::{
        Answer, AnswerKind, ConsultationEvent, DecisionRule, Escalation, PrivateRequest, Requested, TermsSet,
    },
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    EscalationStep, Refusal, Request, Terms, answer,
    decide::Verdict,
    rule, schema,
    validate::{self, Checked, MAX_TIMEOUT_MINUTES, invalid},
};
use crate::calendar;

const MAX_SEATS: usize = 500;
const MAX_OPTIONS: usize = 100;
const MAX_OPTION_CHARS: usize = 200;
const MAX_PATHS: usize = 100;
const MAX_PATH_BYTES: usize = 1_000;
const MAX_REMINDERS: usize = 10;
const MAX_ESCALATIONS: usize = 10;
const MAX_NAMED: usize = 100;

/// Records a request, and its terms unless they are the usual ones.
pub(super) fn request(command: Request, now: DateTime<Utc>) -> Verdict {
    let Checked { title, context, deadline } = validate::request(&command, now)?;
    let Request { body, external_id, requested_by, key_made_by, reviewers, priority, labels, .. } = command;
    let Request { callback_url, supersedes, template, receipt_minutes, cites, mut terms, .. } = command;
    let asker = [Some(requested_by.id), key_made_by];
    let subject = terms.subject.as_ref().map(|subject| subject.id);
    let proposed = match &mut terms.answer {
        AnswerKind::Edit { proposed, .. } if subject.is_some() => proposed.take(),
        _ => None,
    };
    let is_plain = terms == Terms::default();
    let terms = terms_of(terms, proposed.as_ref(), &asker, deadline, now)?;
    let (body, context, private) = match subject {
        Some(subject) => {
            let private = PrivateRequest { body, context, proposed };
            (None, None, Some(Personal::known(subject, private)))
        }
        None => (body, context, None),
    };
    let requested = Requested {
        title,
        body,
        context,
        external_id,
        requested_by,
        reviewers,
        deadline,
        priority,
        labels,
        private,
        key_made_by,
        callback_url,
        supersedes,
        template,
        receipt_minutes,
        cites: cites.into(),
    };
    let mut events = vec![ConsultationEvent::Requested(requested)];
    if !is_plain {
        events.push(ConsultationEvent::TermsSet(Box::new(terms)));
    }
    Ok(events)
}

/// The terms of a request that has none of its own.
#[must_use]
pub fn plain_terms() -> TermsSet {
    TermsSet {
        answer: AnswerKind::Approval,
        rule: DecisionRule::AnyOne,
        asker_may_answer: false,
        groups: Vec::new(),
        roles: Vec::new(),
        seats: Vec::new(),
        subject: None,
        on_timeout: None,
        reminders: Vec::new(),
        escalations: Vec::new(),
        questions_stop_clock: false,
        calendar: None,
    }
}

fn terms_of(
    terms: Terms,
    proposed: Option<&Value>,
    asker: &[Option<Uuid>; 2],
    deadline: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<TermsSet, Refusal> {
    let Terms { answer, rule, asker_may_answer, groups, roles, seats, subject, .. } = terms;
    let Terms { on_timeout, reminders, escalations, questions_stop_clock, calendar, .. } = terms;
    kind(&answer, proposed)?;
    validate::unique("groups", &groups, MAX_NAMED)?;
    validate::unique("roles", &roles, MAX_NAMED)?;
    validate::unique("reviewers", &seats, MAX_SEATS)?;
    can_be_met(&rule, &seats, asker_may_answer, asker)?;
    if let Some(calendar) = &calendar {
        calendar::check(calendar).map_err(|error| validate::refusal("calendar", error.to_string()))?;
    }
    let on_timeout = on_timeout.map(|given| default_of(&answer, given, deadline)).transpose()?;
    let reminders = reminders_of(&reminders, deadline, now)?;
    let escalations = escalations_of(escalations, &rule, calendar.as_ref(), now)?;
    Ok(TermsSet {
        answer,
        rule,
        asker_may_answer,
        groups,
        roles,
        seats,
        subject,
        on_timeout,
        reminders,
        escalations,
        questions_stop_clock,
        calendar,
    })
}

fn kind(answer: &AnswerKind, private: Option<&Value>) -> Result<(), Refusal> {
    match answer {
        AnswerKind::Approval => Ok(()),
        AnswerKind::Choice { options, min, max } => {
            validate::unique("answer.options", options, MAX_OPTIONS)?;
            let fits = |option: &String| (1..=MAX_OPTION_CHARS).contains(&option.trim().chars().count());
            if options.len() < 2 || !options.iter().all(fits) || options.iter().any(|o| o.chars().any(char::is_control))
            {
                return invalid(
                    "answer.options",
                    format!("must be 2 to {MAX_OPTIONS} texts of 1 to {MAX_OPTION_CHARS} characters"),
                );
            }
            if *min < 1 || min > max || *max as usize > options.len() {
                return invalid(
                    "answer.max",
                    "must not be below `min`, which is at least 1, nor above the number of options",
                );
            }
            Ok(())
        }
        AnswerKind::Form { schema } => schema::check("answer.schema", schema),
        AnswerKind::Edit { proposed, paths, schema } => {
            let Some(proposed) = proposed.as_ref().or(private) else {
                return invalid("answer.proposed", "must be given");
            };
            validate::json("answer.proposed", proposed, answer::MAX_DATA_BYTES)?;
            validate::unique("answer.paths", paths, MAX_PATHS)?;
            let is_pointer = |path: &String| {
                let escapes = path.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
                path.len() <= MAX_PATH_BYTES && (path.is_empty() || path.starts_with('/')) && escapes
            };
            if paths.is_empty() || !paths.iter().all(is_pointer) {
                return invalid("answer.paths", "must be JSON Pointers, such as `/amount`, and at least one");
            }
            schema.as_ref().map_or(Ok(()), |schema| {
                schema::check("answer.schema", schema)?;
                schema::satisfies("answer.proposed", schema, proposed)
            })
        }
    }
}

/// A rule that all seats together do not meet can never be met.
fn can_be_met(
    rule: &DecisionRule,
    seats: &[Uuid],
    asker_may_answer: bool,
    asker: &[Option<Uuid>; 2],
) -> Result<(), Refusal> {
    let counted: BTreeSet<Uuid> =
        seats.iter().copied().filter(|seat| asker_may_answer || !asker.contains(&Some(*seat))).collect();
    let known = |field, named: Vec<&Uuid>| match named.into_iter().find(|id| !seats.contains(id)) {
        Some(id) => invalid(field, format!("must be among the reviewers; {id} is not")),
        None => Ok(()),
    };
    match rule {
        DecisionRule::AnyOne if seats.is_empty() => return Ok(()),
        DecisionRule::AnyOne => return invalid("rule", "of one vote counts no seats"),
        DecisionRule::MOfN { m: 0 } | DecisionRule::Veto { m: 0, .. } | DecisionRule::TwoGroups { m: 0, .. } => {
            return invalid("rule.m", "must be at least 1");
        }
        DecisionRule::Weights { threshold: 0, .. } => return invalid("rule.threshold", "must be at least 1"),
        DecisionRule::Veto { holders, .. } => known("rule.holders", holders.iter().collect())?,
        DecisionRule::Weights { weights, .. } => known("rule.weights", weights.keys().collect())?,
        DecisionRule::TwoGroups { first, second, .. } => known("rule.groups", first.iter().chain(second).collect())?,
        DecisionRule::All | DecisionRule::MOfN { .. } | DecisionRule::Majority => {}
    }
    if rule::suffices(rule, &counted, &counted) {
        return Ok(());
    }
    let reason = match (rule, counted.len()) {
        (_, 0) => "can never be met: nobody is left to answer besides who asks".to_owned(),
        (DecisionRule::MOfN { m } | DecisionRule::Veto { m, .. }, n) => {
            format!("can never be met: it takes {m} who agree, and {n} may answer")
        }
        (DecisionRule::TwoGroups { m, .. }, _) => {
            format!("can never be met: it takes {m} of each group, and different people, besides who asks")
        }
        (DecisionRule::Weights { threshold, .. }, _) => {
            format!("can never be met: all who may answer together weigh less than {threshold}")
        }
        (DecisionRule::AnyOne | DecisionRule::All | DecisionRule::Majority, _) => "can never be met".to_owned(),
    };
    invalid("rule", reason)
}

/// What counts when the deadline passes: an approval, a rejection, or options that are named.
fn default_of(kind: &AnswerKind, given: answer::Given, deadline: Option<DateTime<Utc>>) -> Result<Answer, Refusal> {
    let field = "on_timeout";
    if deadline.is_none() {
        return invalid(field, "needs a deadline");
    }
    if matches!(kind, AnswerKind::Form { .. }) {
        return invalid(field, "must be `nothing` where a form is asked for");
    }
    answer::check(kind, None, given).map_err(|refusal| match refusal {
        Refusal::Invalid { reason, .. } => Refusal::Invalid { field, reason },
        other => other,
    })
}

fn reminders_of(
    minutes: &[u32],
    deadline: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Vec<DateTime<Utc>>, Refusal> {
    let field = "reminders";
    if minutes.is_empty() {
        return Ok(Vec::new());
    }
    validate::unique(field, minutes, MAX_REMINDERS)?;
    let Some(deadline) = deadline else { return invalid(field, "need a deadline") };
    let due = minutes.iter().map(|before| {
        let due = deadline.checked_sub_signed(TimeDelta::minutes(i64::from(*before)));
        due.filter(|due| *before > 0 && *due > now)
    });
    let due: Option<Vec<_>> = due.collect();
    due.map_or_else(|| invalid(field, "must be minutes before the deadline, and not so many that they are past"), Ok)
}

fn escalations_of(
    steps: Vec<EscalationStep>,
    rule: &DecisionRule,
    calendar: Option<&BusinessCalendar>,
    now: DateTime<Utc>,
) -> Result<Vec<Escalation>, Refusal> {
    let field = "escalations";
    if steps.len() > MAX_ESCALATIONS {
        return invalid(field, format!("must not be more than {MAX_ESCALATIONS}"));
    }
    let by_name = matches!(rule, DecisionRule::TwoGroups { .. } | DecisionRule::Weights { .. });
    let mut escalations = Vec::with_capacity(steps.len());
    for EscalationStep { after_minutes, unclaimed, reviewers, priority, notify } in steps {
        if !(1..=MAX_TIMEOUT_MINUTES).contains(&after_minutes) {
            return invalid("escalations.after_minutes", format!("must be from 1 to {MAX_TIMEOUT_MINUTES}"));
        }
        validate::unique("escalations.reviewers", &reviewers, MAX_NAMED)?;
        validate::unique("escalations.notify", &notify, MAX_NAMED)?;
        if by_name && !reviewers.is_empty() {
            return invalid(
                "escalations.reviewers",
                "cannot be added under a rule that says what each reviewer counts",
            );
        }
        if reviewers.is_empty() && notify.is_empty() && priority.is_none() {
            return invalid(field, "must each add reviewers, raise the priority, or notify somebody");
        }
        let Some(due) = validate::after(now, after_minutes, calendar) else {
            return invalid("escalations.after_minutes", "is too far away");
        };
        let due = due.trunc_subsecs(6);
        escalations.push(Escalation { due, unclaimed, reviewers, priority, notify });
    }
    Ok(escalations)
}
