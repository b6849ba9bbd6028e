//! The one way of all commands to the graph: a command in, the entity or the relationship as it is after it out.

use axum::{http::StatusCode, response::Response};
use docket_domain::{
    Aggregate, Decided,
    knowledge::{
        Entity, Refusal, Relationship,
        view::{EntityView, RelationshipView},
    },
};
use docket_events::{Category, StreamId, knowledge::KnowledgeEvent};
use docket_log::{Accepted, CommandContext, ExecuteError, Position, Statuses};
use docket_platform::breaker::BreakerError;
use serde::Serialize;
use uuid::Uuid;

use super::error::RouteError;
use crate::{
    run::{self, NotDone},
    state::State,
};

/// What adding answers when it made something, and when it was there.
pub(super) const ADDED: Statuses =
    Statuses { changed: StatusCode::CREATED.as_u16(), unchanged: StatusCode::OK.as_u16() };

/// What can be commanded and shown.
pub(super) trait Shown: Aggregate<Event = KnowledgeEvent> {
    /// How it is shown.
    type View: Serialize;

    /// What it is called.
    const WHAT: &'static str;

    /// As it is shown; none: it does not exist.
    fn view(self, id: Uuid) -> Option<Self::View>;
}

impl Shown for Entity {
    type View = EntityView;

    const WHAT: &'static str = "entity";

    fn view(self, id: Uuid) -> Option<EntityView> {
        EntityView::of(id, self)
    }
}

impl Shown for Relationship {
    type View = RelationshipView;

    const WHAT: &'static str = "relationship";

    fn view(self, id: Uuid) -> Option<RelationshipView> {
        RelationshipView::of(id, self)
    }
}

/// A command that was done.
#[derive(Debug)]
pub(super) struct Done<V> {
    /// What it was done to, after it.
    pub(super) view: V,
    /// The status of the first answer.
    pub(super) status: StatusCode,
    /// What a read that must see it waits for.
    pub(super) position: Position,
    version: u64,
}

impl<V: Serialize> Done<V> {
    /// The answer, with the headers of the version and the position.
    pub(super) fn answer(self) -> Response {
        run::answer(self.status, &self.view, self.version, &self.position, None)
    }
}

/// The stream of an entity or a relationship.
pub(super) const fn stream(id: Uuid) -> StreamId {
    StreamId::new(Category::Knowledge, id)
}

/// Decides and journals a command to the entity or the relationship `id`.
pub(super) async fn run<A: Shown>(
    state: &State,
    context: &CommandContext,
    id: Uuid,
    mut decide: impl FnMut(&A) -> Decided<KnowledgeEvent, Refusal> + Send,
) -> Result<Done<A::View>, RouteError> {
    if !run::has_room(state, context).await? {
        return Err(RouteError::Backlog);
    }
    let Accepted { stream, state, version, position, status, .. } =
        match run::journal(state, context, stream(id), |folded: &A, _| decide(folded)).await {
            Ok(accepted) => accepted,
            // No version of what does not exist can match. It reads like any other that is not there.
            Err(NotDone::Failed(BreakerError::Failed(ExecuteError::VersionMismatch { actual: 0 }))) => {
                return Err(Refusal::NotFound(A::WHAT).into());
            }
            Err(error) => return Err(error.into()),
        };
    let view = state.view(stream.id).ok_or(RouteError::Nothing)?;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    Ok(Done { view, status, position, version })
}
