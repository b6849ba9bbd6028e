//! Events to deliveries, in the transaction that moves the reactor's checkpoint.
//!
//! For the engine it is one more projection, whose rows are deliveries, over the schema `react`. A delivery names its event and holds
//! nothing of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use docket_domain::webhook::{OUTCOMES, TEST, Webhooks, callbacks_of, delivery_id, name_of, stream_of};
use docket_events::{
    Category, Event, Recorded, ShardId,
    identity::{IdentityEvent, WebhookRedeliveryRequested},
};
use docket_log::{faults, reader::ReadError};
use serde::Deserialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::again::Again;
use crate::{
    projection::{Change, Info, Poison, Projection, Schema, WriteError},
    reactors::streams,
};

/// The reactor `webhooks`.
pub static WEBHOOKS: Noting = Noting;

/// See [`WEBHOOKS`].
#[derive(Debug, Clone, Copy)]
pub struct Noting;

/// What a batch asks for.
#[derive(Debug, Default)]
pub struct Batch {
    /// Events that endpoints may want to hear of.
    events: Vec<Noted>,
    /// Events that one endpoint is to hear of.
    tests: Vec<(Uuid, Noted)>,
    /// Whether an endpoint is off; with its organisation.
    stands: BTreeMap<Uuid, (Uuid, bool)>,
    /// What is to be made again, with the organisation.
    again: Vec<(Uuid, WebhookRedeliveryRequested)>,
}

/// An event, as far as a delivery names it.
#[derive(Debug, Clone)]
struct Noted {
    id: Uuid,
    tenant: Uuid,
    event_type: String,
    shard: ShardId,
    sequence: u64,
    stream: Uuid,
    version: u64,
    time: DateTime<Utc>,
}

impl Noted {
    fn of(event: &Recorded) -> Self {
        Self {
            id: event.id,
            tenant: event.tenant,
            event_type: event.event_type.clone(),
            shard: event.shard_id(),
            sequence: event.sequence,
            stream: event.stream.id,
            version: event.version,
            time: event.time,
        }
    }
}

/// A delivery.
struct Row<'a> {
    endpoint: Uuid,
    callback: bool,
    name: &'a str,
    event: &'a Noted,
}

impl Projection for Noting {
    const INFO: Info =
        Info { name: "webhooks", version: 1, categories: &[Category::Identity, Category::Consultation], tables: &[] };

    type Batch = Batch;

    fn apply(&self, batch: &mut Batch, event: &Recorded, data: &Event) -> Result<(), Poison> {
        match data {
            Event::Consultation(_) if !event.metadata().imported => batch.events.push(Noted::of(event)),
            Event::Identity(IdentityEvent::WebhookTestRequested(test)) => {
                batch.tests.push((test.endpoint_id, Noted::of(event)));
            }
            Event::Identity(IdentityEvent::WebhookRedeliveryRequested(wanted)) => {
                batch.again.push((event.tenant, wanted.clone()));
            }
            Event::Identity(IdentityEvent::WebhookEndpointEnabled(on)) => {
                batch.stands.insert(on.endpoint_id, (event.tenant, false));
            }
            Event::Identity(IdentityEvent::WebhookEndpointDisabled(off)) => {
                batch.stands.insert(off.endpoint_id, (event.tenant, true));
            }
            Event::Identity(IdentityEvent::WebhookEndpointRemoved(gone)) => {
                batch.stands.insert(gone.endpoint_id, (event.tenant, true));
            }
            _ => {}
        }
        Ok(())
    }

    async fn write(&self, schema: &Schema, connection: &mut PgConnection, batch: &Batch) -> Result<(), WriteError> {
        // Read from the journal, in this transaction: whoever was answered that an endpoint is set finds every later event noted for it,
        // which a table that follows the log could not promise.
        let streams: BTreeSet<Uuid> = batch.events.iter().map(|event| stream_of(event.tenant)).collect();
        let streams: Vec<Uuid> = streams.into_iter().collect();
        let webhooks: HashMap<Uuid, Webhooks> = match streams.is_empty() {
            true => HashMap::new(),
            false => streams::fold(&mut *connection, &streams).await.map_err(unread)?,
        };
        let callbacks = callbacks(connection, &batch.events).await?;
        let mut rows = Vec::new();
        for event in &batch.events {
            let name = name_of(&event.event_type);
            let all = webhooks.get(&stream_of(event.tenant)).into_iter().flat_map(|webhooks| &webhooks.endpoints);
            let heard = all.filter(|(_, endpoint)| endpoint.hears(name, event.time));
            rows.extend(heard.map(|(id, _)| Row { endpoint: *id, callback: false, name, event }));
            if OUTCOMES.contains(&name)
                && let Some(endpoint) = callbacks.get(&event.stream)
            {
                rows.push(Row { endpoint: *endpoint, callback: true, name, event });
            }
        }
        let tests = batch.tests.iter();
        rows.extend(tests.map(|(id, noted)| Row { endpoint: *id, callback: false, name: TEST, event: noted }));
        note(schema, connection, &rows).await?;
        let mut again = Vec::new();
        for (tenant, wanted) in &batch.again {
            again.push(Again::find(schema, connection, *tenant, wanted).await?);
        }
        open(schema, connection, &lanes(&rows, &again)).await?;
        for again in &again {
            again.begin(schema, connection).await?;
        }
        // Lanes are locked before endpoints, here as elsewhere.
        stand(schema, connection, &batch.stands).await?;
        faults::step("webhook.after_noting");
        Ok(())
    }

    fn change<'a>(&self, _: &'a Recorded, _: &Event) -> Option<Change<'a>> {
        None
    }
}

fn unread(error: ReadError) -> WriteError {
    match error {
        ReadError::Database(error) => error.into(),
        error => WriteError::Inconsistent(error.to_string()),
    }
}

/// A request, as far as it says whom to call back.
#[derive(Deserialize)]
struct CallsBack {
    callback_url: Option<String>,
}

/// Whom the requests that ended in `events` call back: by consultation, what stands for the receiver's host in place of an endpoint.
/// The request is the first event of its stream.
async fn callbacks(connection: &mut PgConnection, events: &[Noted]) -> Result<HashMap<Uuid, Uuid>, sqlx::Error> {
    let ended: Vec<Uuid> = events
        .iter()
        .filter(|event| OUTCOMES.contains(&name_of(&event.event_type)))
        .map(|event| event.stream)
        .collect();
    if ended.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(Uuid, Uuid, String)> = sqlx::query_as(
        "select stream_id, tenant, data from write.journal
         where stream_id = any ($1) and stream_version = 1 and category = $2 and position('\"callback_url\"' in data) > 0",
    )
    .bind(&ended)
    .bind(Category::Consultation.code())
    .fetch_all(connection)
    .await?;
    let receiver = |(stream, tenant, data): (Uuid, Uuid, String)| {
        let url = serde_json::from_str::<CallsBack>(&data).ok()?.callback_url?;
        Some((stream, receiver_of(tenant, &url)))
    };
    Ok(rows.into_iter().filter_map(receiver).collect())
}

/// What stands for whoever is called back in place of an endpoint: one for each scheme, host and port that an organisation calls.
fn receiver_of(tenant: Uuid, url: &str) -> Uuid {
    let end = url.find("://").map_or(url.len(), |scheme| {
        let host = scheme + 3;
        url[host..].find(['/', '?', '#']).map_or(url.len(), |length| host + length)
    });
    Uuid::new_v5(&callbacks_of(tenant), url[..end].to_ascii_lowercase().as_bytes())
}

const NOTE: &str = "insert into {schema}.delivery (id, endpoint, callback, tenant, event_id, event_type, category, shard, sequence,
         stream_id, stream_version, event_time)
     select * from unnest($1::uuid[], $2::uuid[], $3::bool[], $4::uuid[], $5::uuid[], $6::text[], $7::smallint[], $8::smallint[],
                          $9::bigint[], $10::uuid[], $11::bigint[], $12::timestamptz[])
     on conflict do nothing";

async fn note(schema: &Schema, connection: &mut PgConnection, rows: &[Row<'_>]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(schema.sql(NOTE))
        .bind(rows.iter().map(|row| delivery_id(row.event.id, row.endpoint)).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.endpoint).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.callback).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.event.tenant).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.event.id).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.name).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.event.shard.category.code()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.event.shard.shard as i16).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.event.sequence as i64).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.event.stream).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.event.version as i64).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.event.time).collect::<Vec<_>>())
        .execute(connection)
        .await
        .map(drop)
}

/// All lanes of a batch in one statement and in the order of their keys, as whoever settles locks them: no two wait for each other. The lock
/// on a lane that is there already is what matters: whoever settles its last delivery looks for another one behind it.
const OPEN: &str = "insert into {schema}.lane (endpoint, stream_id, tenant)
     select * from unnest($1::uuid[], $2::uuid[], $3::uuid[]) as w (endpoint, stream_id, tenant) order by endpoint, stream_id
     on conflict (endpoint, stream_id) do update set due_at = lane.due_at";

/// Endpoint, stream and organisation of a lane.
type Lane = (Uuid, Uuid, Uuid);

fn lanes(rows: &[Row<'_>], again: &[Again]) -> BTreeSet<Lane> {
    let mut lanes: BTreeSet<Lane> = rows.iter().map(|row| (row.endpoint, row.event.stream, row.event.tenant)).collect();
    for again in again {
        lanes.extend(again.lanes());
    }
    lanes
}

async fn open(schema: &Schema, connection: &mut PgConnection, lanes: &BTreeSet<Lane>) -> Result<(), sqlx::Error> {
    if lanes.is_empty() {
        return Ok(());
    }
    sqlx::query(schema.sql(OPEN))
        .bind(lanes.iter().map(|(endpoint, ..)| *endpoint).collect::<Vec<_>>())
        .bind(lanes.iter().map(|(_, stream, _)| *stream).collect::<Vec<_>>())
        .bind(lanes.iter().map(|(.., tenant)| *tenant).collect::<Vec<_>>())
        .execute(connection)
        .await
        .map(drop)
}

/// An endpoint that is turned on again begins as if it had never failed.
const STAND: &str = "insert into {schema}.endpoint (id, tenant, off)
     select * from unnest($1::uuid[], $2::uuid[], $3::bool[]) order by 1
     on conflict (id) do update set off = excluded.off, failures = 0, failing_since = null, open_until = '-infinity'";

async fn stand(
    schema: &Schema,
    connection: &mut PgConnection,
    stands: &BTreeMap<Uuid, (Uuid, bool)>,
) -> Result<(), sqlx::Error> {
    if stands.is_empty() {
        return Ok(());
    }
    sqlx::query(schema.sql(STAND))
        .bind(stands.keys().copied().collect::<Vec<_>>())
        .bind(stands.values().map(|(tenant, _)| *tenant).collect::<Vec<_>>())
        .bind(stands.values().map(|(_, off)| *off).collect::<Vec<_>>())
        .execute(connection)
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_called_back_is_known_by_scheme_host_and_port() {
        let of = |url| receiver_of(Uuid::from_u128(1), url);
        assert_eq!(of("https://a.example/x?y=1"), of("https://A.example?z"));
        assert_eq!(of("https://a.example"), of("https://a.example/#there"));
        for other in ["https://b.example/x", "http://a.example/x", "https://a.example:8443/x"] {
            assert_ne!(of("https://a.example/x"), of(other), "{other}");
        }
        assert_ne!(of("https://a.example"), receiver_of(Uuid::from_u128(2), "https://a.example"));
    }
}
