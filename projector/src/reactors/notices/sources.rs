//! What notices are about, read from the journal whenever it is asked: it says what is true now.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use docket_domain::{
    Aggregate,
    consultation::Consultation,
    identity::{Organisation, User},
    webhook::Webhooks,
};
use docket_events::{Category, Event, Recorded, consultation::ConsultationEvent, identity::IdentityEvent};
use docket_log::{Vault, journal};
use sqlx::PgPool;
use uuid::Uuid;

use super::Unsaid;
use crate::reactors::streams;

/// A consultation, and all that happened to it. Personal fields are sealed.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// The ids of the events.
    pub(super) ids: Vec<Uuid>,
    pub(super) events: Vec<ConsultationEvent>,
    pub(super) state: Consultation,
}

impl Story {
    pub(super) fn event(&self, id: Uuid) -> Option<&ConsultationEvent> {
        let place = self.ids.iter().position(|known| *known == id)?;
        self.events.get(place)
    }
}

/// The webhooks of an organisation, and the events that notices are about. URLs are sealed.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    pub(super) events: HashMap<Uuid, IdentityEvent>,
    pub(super) state: Webhooks,
}

/// Consultations by id. What a newer release wrote, or nobody can read, says nothing.
pub(super) async fn consultations(pool: &PgPool, ids: &[Uuid]) -> Result<HashMap<Uuid, Story>, Unsaid> {
    let mut found: HashMap<Uuid, Story> = HashMap::new();
    for event in journal::streams_events(pool, ids).await? {
        let Ok(Event::Consultation(data)) = decode(&event) else { continue };
        let story = found.entry(event.stream.id).or_default();
        story.state.evolve(&data, streams::at(&event));
        story.ids.push(event.id);
        story.events.push(data);
    }
    Ok(found)
}

/// Organisations by id.
pub(super) async fn organisations(pool: &PgPool, ids: &BTreeSet<Uuid>) -> Result<HashMap<Uuid, Organisation>, Unsaid> {
    let ids: Vec<Uuid> = ids.iter().copied().collect();
    Ok(streams::fold(pool, &ids).await?)
}

/// Organisations that are asked for again and again: each is folded anew only when its stream has grown.
#[derive(Debug, Clone, Default)]
pub(super) struct Remembered(Arc<Mutex<HashMap<Uuid, Arc<Organisation>>>>);

/// Organisations that are remembered.
const REMEMBERED: usize = 256;

impl Remembered {
    /// The organisation as it stands; none: there is none.
    pub(super) async fn organisation(&self, pool: &PgPool, id: Uuid) -> Result<Option<Arc<Organisation>>, Unsaid> {
        let version: Option<i64> =
            sqlx::query_scalar("select max(stream_version) from write.journal where stream_id = $1")
                .bind(id)
                .fetch_one(pool)
                .await?;
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if let Some(known) = known.filter(|known| Some(known.version.cast_signed()) == version) {
            return Ok(Some(known));
        }
        let Some(found) = organisations(pool, &BTreeSet::from([id])).await?.remove(&id) else { return Ok(None) };
        let found = Arc::new(found);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(id, found.clone());
        Ok(Some(found))
    }
}

/// Webhooks by their stream.
pub(super) async fn endpoints(pool: &PgPool, streams: &[Uuid]) -> Result<HashMap<Uuid, Endpoints>, Unsaid> {
    let mut found: HashMap<Uuid, Endpoints> = HashMap::new();
    for event in journal::streams_events(pool, streams).await? {
        let Ok(Event::Identity(data)) = decode(&event) else { continue };
        let endpoints = found.entry(event.stream.id).or_default();
        endpoints.state.evolve(&data, streams::at(&event));
        endpoints.events.insert(event.id, data);
    }
    Ok(found)
}

/// A user, with name and address opened as far as the key still exists.
pub(super) async fn user(pool: &PgPool, vault: &Vault, id: Uuid) -> Result<User, Unsaid> {
    let mut user: User = streams::fold(pool, &[id]).await?.remove(&id).unwrap_or_default();
    vault.open(std::slice::from_mut(&mut user)).await?;
    Ok(user)
}

fn decode(event: &Recorded) -> Result<Event, docket_events::DecodeError> {
    Event::decode(event.stream.category, &event.event_type, &event.data)
}

/// The category of a column.
pub(super) const fn is_consultation(category: i16) -> bool {
    category == Category::Consultation.code()
}
