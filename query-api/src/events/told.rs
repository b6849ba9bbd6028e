//! An event as its organisation is told it: CloudEvents 1.0 in JSON, with the names of people in clear or gone.
//!
//! Owns the way from places to lines. What stands in the journal sealed is opened here and nowhere before; cipher text and the ids of
//! keys do not leave.

use std::collections::HashMap;

use docket_events::{
    DataKey, DecodeError, Event, HasPersonal, Recorded, Told, clear::data_in_clear, consultation::ConsultationEvent,
    identity::IdentityEvent,
};
use docket_log::{Position, journal::JournalRow};
use docket_platform::auth::ReceiptKeys;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::page::{Found, Place};
use crate::{
    consultation::as_of,
    position::Entered,
    read::{ReadError, Reads},
};

/// The data of a page, the first event left aside, comes to no more.
const PAGE_BYTES: i64 = 8 << 20;

/// What a reader is given at once.
#[derive(Debug)]
pub(super) struct Page {
    /// The events, each with the position behind it.
    pub(super) events: Vec<(String, Position)>,
    /// The position behind all of them.
    pub(super) position: Position,
}

/// Who is told, and who signs.
#[derive(Debug)]
pub(super) struct Telling<'a> {
    pub(super) listener: Listener,
    pub(super) keys: &'a ReceiptKeys,
}

/// Who is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listener {
    pub(super) tenant: Uuid,
    /// The installation that positions are of.
    pub(super) installation: Uuid,
    /// Whether sessions are shown: to those who may read the trail.
    pub(super) with_session: bool,
}

/// The events that were found behind `cursor`, as many as come to a page, and where that ends.
///
/// # Errors
/// See [`ReadError`].
pub(super) async fn tell(
    reads: &Reads,
    entered: &mut Entered,
    telling: &Telling<'_>,
    found: Found,
    cursor: &Position,
) -> Result<(Page, Found), ReadError> {
    let listener = telling.listener;
    let rows = reads.guard(journalled(&mut entered.tx, listener.tenant, &found.places)).await?;
    let recorded = rows.into_iter().map(Recorded::try_from).collect::<Result<Vec<_>, _>>();
    let recorded = recorded.map_err(|error| ReadError::Damaged(error.to_string()))?;
    let is_next = recorded.iter().map(|event| (event.shard_id(), event.sequence)).eq(found
        .places
        .iter()
        .copied()
        .take(recorded.len()));
    if !is_next || recorded.is_empty() != found.places.is_empty() {
        return Err(ReadError::Damaged("an event of the feed is not in the journal".to_owned()));
    }
    let found = found.cut(recorded.len());
    let mut events = recorded.iter().map(decoded).collect::<Result<Vec<_>, _>>()?;
    let keys = reads.guard(keys(&mut entered.tx, listener.tenant, &found.places, &mut events)).await?;
    let receipts = receipts(reads, entered, telling, &recorded, &events).await?;
    let position = found.behind(cursor);
    let mut at = cursor.clone();
    let mut lines = Vec::with_capacity(recorded.len());
    for (n, (recorded, event)) in recorded.iter().zip(&mut events).enumerate() {
        at.raise(recorded.shard_id(), recorded.sequence);
        // Behind the last one is what was passed over too.
        let behind = if n + 1 == found.places.len() { &position } else { &at };
        let data = data(event, &keys).map_err(|error| damaged(recorded, &error))?;
        let told = Told {
            event_type: event.event_type(),
            data: &data.to_string(),
            position: &behind.marked(listener.installation),
            with_session: listener.with_session,
            receipt: receipts.get(&recorded.id).map(String::as_str),
        };
        let line = recorded.cloud_event_as(&told).map_err(|error| damaged(recorded, &error))?;
        lines.push((line, behind.clone()));
    }
    Ok((Page { events: lines, position }, found))
}

async fn journalled(
    connection: &mut PgConnection,
    tenant: Uuid,
    places: &[Place],
) -> Result<Vec<JournalRow>, sqlx::Error> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    let Columns { categories, shards, sequences } = Columns::of(places);
    sqlx::query_as("select * from read.journalled_events($1, $2, $3, $4, $5)")
        .bind(tenant)
        .bind(categories)
        .bind(shards)
        .bind(sequences)
        .bind(PAGE_BYTES)
        .fetch_all(connection)
        .await
}

/// Places as the functions of the database take them.
struct Columns {
    categories: Vec<i16>,
    shards: Vec<i16>,
    sequences: Vec<i64>,
}

impl Columns {
    fn of(places: &[Place]) -> Self {
        Self {
            categories: places.iter().map(|(shard, _)| shard.category.code()).collect(),
            shards: places.iter().map(|(shard, _)| i16::try_from(shard.shard).unwrap_or(i16::MAX)).collect(),
            sequences: places.iter().map(|(_, sequence)| i64::try_from(*sequence).unwrap_or(i64::MAX)).collect(),
        }
    }
}

fn decoded(event: &Recorded) -> Result<Event, ReadError> {
    Event::decode(event.stream.category, &event.event_type, &event.data).map_err(|error| match error {
        DecodeError::Unknown(_) => ReadError::Newer(error),
        DecodeError::Malformed { .. } => ReadError::Damaged(error.to_string()),
    })
}

/// The keys that open these events, as far as there are any.
async fn keys(
    connection: &mut PgConnection,
    tenant: Uuid,
    places: &[Place],
    events: &mut [Event],
) -> Result<HashMap<Uuid, DataKey>, sqlx::Error> {
    let mut wanted: Vec<(Place, Uuid)> = Vec::new();
    for (place, event) in places.iter().zip(events) {
        wanted.extend(event.sealed_under().into_iter().map(|key| (*place, key)));
    }
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let (places, ids): (Vec<Place>, Vec<Uuid>) = wanted.into_iter().unzip();
    let Columns { categories, shards, sequences } = Columns::of(&places);
    let rows: Vec<(Uuid, Vec<u8>)> = sqlx::query_as("select id, secret from read.journalled_keys($1, $2, $3, $4, $5)")
        .bind(tenant)
        .bind(categories)
        .bind(shards)
        .bind(sequences)
        .bind(ids)
        .fetch_all(connection)
        .await?;
    let key = |(id, secret): (Uuid, Vec<u8>)| Some((id, DataKey::new(id, <[u8; 32]>::try_from(secret).ok()?)));
    Ok(rows.into_iter().filter_map(key).collect())
}

fn damaged(event: &Recorded, error: &dyn std::fmt::Display) -> ReadError {
    ReadError::Damaged(format!("event {}: {error}", event.id))
}

/// The receipts of those events that are outcomes, by event.
async fn receipts(
    reads: &Reads,
    entered: &mut Entered,
    telling: &Telling<'_>,
    recorded: &[Recorded],
    events: &[Event],
) -> Result<HashMap<Uuid, String>, ReadError> {
    let is_outcome = |event: &Event| {
        use ConsultationEvent::{Responded, TimedOut};
        matches!(event, Event::Consultation(Responded(_) | TimedOut(_)))
    };
    let outcomes = recorded.iter().zip(events).filter(|(_, event)| is_outcome(event)).map(|(recorded, _)| recorded);
    let streams: Vec<_> = outcomes.clone().map(|outcome| (outcome.stream.id, outcome.time)).collect();
    let tenant = telling.listener.tenant;
    let receipts = reads.guard(as_of::receipts(&mut entered.tx, tenant, &streams)).await?;
    let mut signed = HashMap::with_capacity(receipts.len());
    for outcome in outcomes {
        if let Some(receipt) = receipts.get(&outcome.stream.id) {
            signed.insert(outcome.id, telling.keys.sign(tenant, receipt.iat, receipt)?);
        }
    }
    Ok(signed)
}

/// What is told of an event's data.
fn data(event: &mut Event, keys: &HashMap<Uuid, DataKey>) -> Result<Value, docket_events::clear::ClearError> {
    let mut data = data_in_clear(event, &|id| keys.get(&id).cloned())?;
    match event {
        // Chat systems put credentials into their addresses.
        Event::Identity(IdentityEvent::WebhookEndpointSet(_)) => data["url"] = Value::Null,
        Event::Identity(_) | Event::Consultation(_) | Event::Knowledge(_) | Event::Feed(_) | Event::Engagement(_) => {}
    }
    Ok(data)
}
