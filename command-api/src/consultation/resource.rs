//! The consultation as the answer to a command: the folded state in the one shape that reads have too.
//!
//! Owns the way from state to view. It must not read anything: names are opened before.

use docket_domain::consultation::{
    Consultation, Outcome,
    view::{ConsultationView, OutcomeView, PersonView, WithdrawalView},
};
use docket_events::consultation::Person;
use uuid::Uuid;

/// The view of a consultation whose names were opened; none when it does not exist.
pub(super) fn view(id: Uuid, state: Consultation) -> Option<ConsultationView> {
    let (current, updated_at) = (state.state()?, state.updated_at?);
    let Consultation { asked, outcome, comment_count, late_responses, version, .. } = state;
    let asked = asked?;
    let (ended_at, outcome, withdrawal) = match outcome {
        None => (None, None, None),
        Some(Outcome::TimedOut { at, .. }) => (Some(at), None, None),
        Some(Outcome::Responded { decision, by, rule, request_version, comment, at }) => {
            (Some(at), Some(OutcomeView { decision, rule, request_version, by: person(by), comment, at }), None)
        }
        Some(Outcome::Withdrawn { by, reason, comment, at }) => {
            (Some(at), None, Some(WithdrawalView { reason, by: person(by), comment, at }))
        }
    };
    Some(ConsultationView {
        id,
        version,
        state: current,
        title: asked.title,
        body: asked.body,
        context: asked.context,
        external_id: asked.external_id,
        requested_by: person(asked.requested_by),
        requested_at: asked.requested_at,
        reviewers: asked.reviewers,
        deadline: asked.deadline,
        ended_at,
        outcome,
        withdrawal,
        comment_count,
        late_response_count: late_responses.count,
        updated_at,
    })
}

fn person(person: Person) -> PersonView {
    PersonView::new(person.id, person.name.value().cloned())
}
