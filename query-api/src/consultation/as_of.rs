//! Consultations as they stood at an instant: their streams, folded up to then.
//!
//! Owns the way from the journal to the view. What was erased since is erased here too.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use docket_domain::{
    Aggregate, At,
    consultation::{
        self, Receipt,
        view::{AnswerView, ConsultationView, PersonView, VoteView},
    },
};
use docket_events::{DataKey, EventData, HasPersonal, consultation::ConsultationEvent};
use sqlx::PgConnection;
use uuid::Uuid;

/// What stood then.
#[derive(Debug)]
pub struct AsOf {
    /// The consultation.
    pub consultation: ConsultationView,
    /// The votes that counted then, in the order of the stream.
    pub votes: Vec<VoteView>,
}

/// The tenant's consultation `id` with everything up to and with `until`; none: it was not asked yet, or there is none.
///
/// # Errors
/// When it cannot be read, or only a newer release can.
pub async fn as_of(
    connection: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    until: DateTime<Utc>,
) -> Result<Option<AsOf>, sqlx::Error> {
    let mut events = events(connection, tenant, &[(id, until)]).await?;
    open(connection, tenant, &mut events).await?;
    let mut state = consultation::Consultation::default();
    let mut voted: BTreeMap<Uuid, At> = BTreeMap::new();
    for Placed { event, at, .. } in &events {
        state.evolve(event, *at);
        if let ConsultationEvent::VoteCast(vote) = event {
            voted.insert(vote.by.id, *at);
        }
    }
    let votes = votes(&state, &voted);
    Ok(ConsultationView::of(id, state).map(|consultation| AsOf { consultation, votes }))
}

/// So many streams are read at once: each may have a request of some hundred KiB.
const AT_ONCE: usize = 32;

/// The receipts of the tenant's consultations that had come to an outcome at these instants. One that cannot have a receipt has none.
///
/// # Errors
/// See [`as_of`].
pub async fn receipts(
    connection: &mut PgConnection,
    tenant: Uuid,
    outcomes: &[(Uuid, DateTime<Utc>)],
) -> Result<HashMap<Uuid, Receipt>, sqlx::Error> {
    let mut receipts = HashMap::with_capacity(outcomes.len());
    for outcomes in outcomes.chunks(AT_ONCE) {
        let mut events = events(connection, tenant, outcomes).await?;
        open(connection, tenant, &mut events).await?;
        for stream in events.chunk_by(|one, next| one.stream == next.stream) {
            let mut state = consultation::Consultation::default();
            stream.iter().for_each(|Placed { event, at, .. }| state.evolve(event, *at));
            let view = ConsultationView::of(stream[0].stream, state);
            receipts.extend(view.and_then(|view| Some((view.id, Receipt::of(&view)?))));
        }
    }
    Ok(receipts)
}

/// An event of one of several streams.
struct Placed {
    stream: Uuid,
    at: At,
    event: ConsultationEvent,
}

/// The events of these streams up to an instant each, stream after stream.
async fn events(
    connection: &mut PgConnection,
    tenant: Uuid,
    streams: &[(Uuid, DateTime<Utc>)],
) -> Result<Vec<Placed>, sqlx::Error> {
    let (ids, untils): (Vec<Uuid>, Vec<DateTime<Utc>>) = streams.iter().copied().unzip();
    let rows: Vec<(Uuid, i64, DateTime<Utc>, String, String)> = sqlx::query_as(
        "select s.id, e.version, e.time, e.event_type, e.data
         from unnest($2::uuid[], $3::timestamptz[]) as s (id, until)
         cross join lateral read.consultation_events($1, s.id, s.until) e
         order by s.id, e.version",
    )
    .bind(tenant)
    .bind(ids)
    .bind(untils)
    .fetch_all(connection)
    .await?;
    let placed = rows.into_iter().map(|(stream, version, time, event_type, data)| {
        let event = ConsultationEvent::decode(&event_type, &data).map_err(undecodable)?;
        Ok(Placed { stream, at: At { version: version.unsigned_abs(), time }, event })
    });
    placed.collect()
}

fn undecodable(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

async fn open(connection: &mut PgConnection, tenant: Uuid, events: &mut [Placed]) -> Result<(), sqlx::Error> {
    let mut wanted: BTreeMap<Uuid, BTreeSet<Uuid>> = BTreeMap::new();
    for Placed { stream, event, .. } in &mut *events {
        wanted.entry(*stream).or_default().extend(event.sealed_under());
    }
    let (streams, keys): (Vec<Uuid>, Vec<Uuid>) =
        wanted.into_iter().flat_map(|(stream, keys)| keys.into_iter().map(move |key| (stream, key))).unzip();
    if keys.is_empty() {
        return Ok(());
    }
    let rows: Vec<(Uuid, Vec<u8>)> = sqlx::query_as(
        "select k.id, k.secret
         from (select w.stream, array_agg(w.key) as keys from unnest($2::uuid[], $3::uuid[]) as w (stream, key) group by w.stream) w
         cross join lateral read.consultation_keys($1, w.stream, w.keys) k",
    )
    .bind(tenant)
    .bind(streams)
    .bind(keys)
    .fetch_all(connection)
    .await?;
    let key = |(id, secret): (Uuid, Vec<u8>)| Some((id, DataKey::new(id, <[u8; 32]>::try_from(secret).ok()?)));
    let keys: HashMap<Uuid, DataKey> = rows.into_iter().filter_map(key).collect();
    for Placed { event, .. } in events {
        event.open_all(&|id| keys.get(&id).cloned()).map_err(undecodable)?;
    }
    Ok(())
}

/// The votes that count; one that was delegated away since it was cast does not.
fn votes(state: &consultation::Consultation, voted: &BTreeMap<Uuid, At>) -> Vec<VoteView> {
    let proposed = state.proposed();
    let view = |(voter, vote): (&Uuid, &docket_events::consultation::VoteCast)| {
        let At { version, time } = *voted.get(voter)?;
        let by = PersonView::new(*voter, vote.by.name.value().cloned());
        Some(VoteView { by, answer: AnswerView::new(vote.answer(), proposed), at: time, version })
    };
    let mut votes: Vec<VoteView> = state.votes.iter().filter_map(view).collect();
    votes.sort_unstable_by_key(|vote| vote.version);
    votes
}
