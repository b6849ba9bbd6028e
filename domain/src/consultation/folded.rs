//! The view of a folded consultation: what a command answers, and what a consultation was.
//!
//! Owns the way from state to view. Names are opened before.

use super::{
    Asked, Consultation, Outcome, receipt,
    view::{AnswerView, ConsultationView, OutcomeView, PersonView, TermsView, WithdrawalView},
};
use docket_events::consultation::{Person, PrivateRequest, Requested};
use uuid::Uuid;

impl ConsultationView {
    /// The view of a consultation whose names were opened; none when it does not exist.
    #[must_use]
    pub fn of(id: Uuid, state: Consultation) -> Option<Self> {
        let (current, updated_at) = (state.state()?, state.updated_at?);
        let proposed = state.proposed().cloned();
        let Consultation { asked, terms, work, clock, votes, outcome, comment_count, late_responses, version, .. } =
            state;
        let Asked { request, requested_at, request_version } = asked?;
        let Requested { title, body, context, external_id, requested_by, reviewers, private, .. } = request;
        let PrivateRequest { body, context, .. } = match private {
            Some(private) => private.value().cloned().unwrap_or_default(),
            None => PrivateRequest { body, context, proposed: None },
        };
        let (ended_at, outcome, withdrawal) = match outcome {
            None => (None, None, None),
            Some(Outcome::TimedOut { at, .. }) => (Some(at), None, None),
            Some(Outcome::Responded { event, at }) => {
                let outcome = OutcomeView {
                    answer: AnswerView::new(event.answer(), proposed.as_ref()),
                    rule: event.rule,
                    request_version: event.request_version,
                    by: person(event.by),
                    agreed: event.agreed,
                    at,
                };
                (Some(at), Some(outcome), None)
            }
            Some(Outcome::Withdrawn { by, reason, comment, at }) => {
                (Some(at), None, Some(WithdrawalView { reason, by: person(by), comment, at }))
            }
        };
        let subject = terms.as_ref().and_then(|terms| terms.subject.clone());
        Some(Self {
            id,
            version,
            state: current,
            title,
            body,
            context,
            external_id,
            requested_by: person(requested_by),
            requested_at,
            reviewers,
            added_reviewers: work.added,
            terms: TermsView::new(terms.map(|terms| *terms), proposed.as_ref()),
            deadline: clock.deadline.filter(|_| clock.stopped_at.is_none()),
            clock_stopped_at: clock.stopped_at,
            priority: work.priority,
            labels: request.labels,
            subject: subject.map(person),
            callback_url: request.callback_url,
            supersedes: request.supersedes,
            template: request.template.map(Into::into),
            receipt_minutes: request.receipt_minutes.unwrap_or(receipt::DEFAULT_MINUTES),
            cites: request.cites.iter().copied().map(Into::into).collect(),
            request_version,
            claimed_by: work.claimed_by.map(person),
            open_question_count: count(work.questions.len()),
            vote_count: count(votes.len()),
            ended_at,
            outcome,
            receipt: None,
            withdrawal,
            comment_count,
            late_response_count: late_responses.count,
            updated_at,
        })
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn person(person: Person) -> PersonView {
    PersonView::new(person.id, person.name.value().cloned())
}
