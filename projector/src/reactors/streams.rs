//! Aggregates as the journal has them now, for reactors: what they say is true when they say it.

use std::collections::HashMap;

use docket_domain::{Aggregate, At};
use docket_events::{EventData, Recorded};
use docket_log::{journal, reader::ReadError};
use sqlx::PgExecutor;
use uuid::Uuid;

/// The streams of these ids, folded; personal fields are sealed. One that does not exist is not among them.
///
/// # Errors
/// See [`ReadError`].
pub(super) async fn fold<A: Aggregate>(
    executor: impl PgExecutor<'_>,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, A>, ReadError> {
    let mut found: HashMap<Uuid, A> = HashMap::new();
    for event in journal::streams_events(executor, ids).await? {
        evolve(found.entry(event.stream.id).or_default(), &event);
    }
    Ok(found)
}

/// The state after `event`. What a newer release wrote, or nobody can read, says nothing that this one knows.
pub(super) fn evolve<A: Aggregate>(state: &mut A, event: &Recorded) {
    if let Ok(data) = A::Event::decode(&event.event_type, &event.data) {
        state.evolve(&data, at(event));
    }
}

/// Where an event stands in its stream.
pub(super) const fn at(event: &Recorded) -> At {
    At { version: event.version, time: event.time }
}
