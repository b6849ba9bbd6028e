//! A consultation as it stood at an instant: its stream, folded up to then.
//!
//! Owns the way from the journal to the view. What was erased since is erased here too.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use docket_domain::{
    Aggregate, At,
    consultation::{
        self,
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
    let rows: Vec<(i64, DateTime<Utc>, String, String)> =
        sqlx::query_as("select version, time, event_type, data from read.consultation_events($1, $2, $3)")
            .bind(tenant)
            .bind(id)
            .bind(until)
            .fetch_all(&mut *connection)
            .await?;
    let mut places = Vec::with_capacity(rows.len());
    let mut events = Vec::with_capacity(rows.len());
    for (version, time, event_type, data) in rows {
        places.push(At { version: version.unsigned_abs(), time });
        events.push(ConsultationEvent::decode(&event_type, &data).map_err(undecodable)?);
    }
    open(connection, tenant, id, &mut events).await?;
    let mut state = consultation::Consultation::default();
    let mut voted: BTreeMap<Uuid, At> = BTreeMap::new();
    for (event, at) in events.iter().zip(places) {
        state.evolve(event, at);
        if let ConsultationEvent::VoteCast(vote) = event {
            voted.insert(vote.by.id, at);
        }
    }
    let votes = votes(&state, &voted);
    Ok(ConsultationView::of(id, state).map(|consultation| AsOf { consultation, votes }))
}

fn undecodable(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

async fn open(
    connection: &mut PgConnection,
    tenant: Uuid,
    id: Uuid,
    events: &mut [ConsultationEvent],
) -> Result<(), sqlx::Error> {
    let mut wanted: Vec<Uuid> = events.iter_mut().flat_map(HasPersonal::sealed_under).collect();
    wanted.sort_unstable();
    wanted.dedup();
    if wanted.is_empty() {
        return Ok(());
    }
    let rows: Vec<(Uuid, Vec<u8>)> = sqlx::query_as("select id, secret from read.consultation_keys($1, $2, $3)")
        .bind(tenant)
        .bind(id)
        .bind(wanted)
        .fetch_all(connection)
        .await?;
    let key = |(id, secret): (Uuid, Vec<u8>)| Some((id, DataKey::new(id, <[u8; 32]>::try_from(secret).ok()?)));
    let keys: HashMap<Uuid, DataKey> = rows.into_iter().filter_map(key).collect();
    for event in events {
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
