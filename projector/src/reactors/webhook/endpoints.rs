//! Which endpoints organisations have: folded from the journal, whenever it is asked. Whoever was answered that an endpoint is set will
//! find every later event noted for it, which a table that follows the log could not promise.

use std::collections::{BTreeSet, HashMap};

use docket_domain::{
    Aggregate, At,
    webhook::{Webhooks, stream_of},
};
use docket_events::{Category, Event, Recorded};
use docket_log::{journal, reader::ReadError};
use sqlx::PgExecutor;
use uuid::Uuid;

/// The webhooks of those of `tenants` that have any; URLs are sealed still.
pub(super) async fn of(
    executor: impl PgExecutor<'_>,
    tenants: &BTreeSet<Uuid>,
) -> Result<HashMap<Uuid, Webhooks>, ReadError> {
    let streams: Vec<Uuid> = tenants.iter().map(|tenant| stream_of(*tenant)).collect();
    let mut found: HashMap<Uuid, Webhooks> = HashMap::new();
    for event in journal::streams_events(executor, &streams).await? {
        fold(found.entry(event.tenant).or_default(), &event);
    }
    Ok(found)
}

/// What a newer release wrote, or nobody can read, says nothing of endpoints that this one knows.
fn fold(webhooks: &mut Webhooks, event: &Recorded) {
    if let Ok(Event::Identity(data)) = Event::decode(Category::Identity, &event.event_type, &event.data) {
        webhooks.evolve(&data, At { version: event.version, time: event.time });
    }
}
