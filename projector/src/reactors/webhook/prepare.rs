//! What is sent: read from the journal, opened and signed at the time of sending, so that what was erased reaches nobody.

use std::collections::{BTreeSet, HashMap};

use docket_domain::{
    consultation::{Consultation, view::ConsultationView},
    webhook::{Endpoint, TEST, Told, Webhooks, body, callbacks_of, stream_of},
};
use docket_events::{Event, HasPersonal, Recorded, clear::data_in_clear, identity::EndpointFormat};
use docket_log::{Vault, journal, reader::ReadError, vault::VaultError};
use docket_platform::{
    auth::{AuthError, Receipts, webhook_secrets},
    clock,
    outgoing::{HeaderName, OutgoingError, Request},
    webhook::{self, Secret},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use uuid::Uuid;

use super::{
    attempt::Ready,
    queue::{Claimed, Head, Lane},
};
use crate::reactors::streams;

/// Why nothing could be prepared at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unprepared {
    #[error("the database did not answer")]
    Database(#[from] sqlx::Error),
    #[error("the journal cannot be read")]
    Read(#[from] ReadError),
    #[error("personal fields cannot be opened")]
    Vault(#[from] VaultError),
    #[error("receipts cannot be signed")]
    Receipts(#[from] AuthError),
}

/// What is to be done with a delivery.
#[derive(Debug)]
pub(super) enum Prepared {
    /// It is sent.
    Ready(Ready),
    /// It is given up, for this reason.
    Dead(String),
    /// It is tried again later, for this reason.
    Later(&'static str),
}

/// Reads what deliveries are made of.
#[derive(Debug, Clone)]
pub(super) struct Preparer {
    pub(super) pool: PgPool,
    pub(super) vault: Vault,
    /// Signs the receipts of outcomes.
    pub(super) receipts: Receipts,
    /// Where people see this installation.
    pub(super) url: String,
    pub(super) timeout: std::time::Duration,
}

/// What many deliveries are made of.
struct Sources {
    /// By their stream.
    webhooks: HashMap<Uuid, Webhooks>,
    secrets: HashMap<Uuid, Vec<Secret>>,
    /// By stream, in order.
    events: HashMap<Uuid, Vec<Recorded>>,
    /// The consultation as it was after the delivery's event, by delivery.
    consultations: HashMap<Uuid, ConsultationView>,
    /// What the delivery's event says, in clear, by event.
    data: HashMap<Uuid, Value>,
}

impl Preparer {
    /// Prepares all of `claimed`, with few questions to the database.
    pub(super) async fn prepare(&self, claimed: Vec<(Lane, Head)>) -> Result<Vec<(Lane, Head, Prepared)>, Unprepared> {
        let mut sources = self.sources(&claimed).await?;
        let keys = self.receipts.keys().await?;
        for (_, head) in &claimed {
            if let Some(view) = sources.consultations.get_mut(&head.id) {
                view.sign(|receipt| keys.sign(head.tenant, receipt.iat, receipt))?;
            }
        }
        let prepared = claimed.into_iter().map(|(lane, head)| {
            let prepared = self.one(&sources, lane, &head);
            (lane, head, prepared)
        });
        Ok(prepared.collect())
    }

    async fn sources(&self, claimed: &[(Lane, Head)]) -> Result<Sources, Unprepared> {
        let tenants: BTreeSet<Uuid> = claimed.iter().map(|(_, head)| head.tenant).collect();
        let all: Vec<Uuid> = tenants.iter().map(|tenant| stream_of(*tenant)).collect();
        let webhooks: HashMap<Uuid, Webhooks> = streams::fold(&self.pool, &all).await?;
        let (ids, mut sealed): (Vec<Uuid>, Vec<Webhooks>) = webhooks.into_iter().unzip();
        self.vault.open(&mut sealed).await?;
        let webhooks = ids.into_iter().zip(sealed).collect();

        let signers: BTreeSet<Uuid> = claimed.iter().map(|(lane, head)| signer(*lane, head)).collect();
        let signers: Vec<Uuid> = signers.into_iter().collect();
        let mut secrets = webhook_secrets::load(&self.pool, &signers).await?;
        for (_, head) in claimed.iter().filter(|(_, head)| head.callback) {
            let signer = callbacks_of(head.tenant);
            if !secrets.contains_key(&signer) {
                webhook_secrets::begin(&self.pool, signer, head.tenant).await?;
                secrets.extend(webhook_secrets::load(&self.pool, &[signer]).await?);
            }
        }

        let streams: BTreeSet<Uuid> = claimed.iter().map(|(lane, _)| lane.stream).collect();
        let streams: Vec<Uuid> = streams.into_iter().collect();
        let mut events: HashMap<Uuid, Vec<Recorded>> = HashMap::new();
        for event in journal::streams_events(&self.pool, &streams).await? {
            events.entry(event.stream.id).or_default().push(event);
        }
        let consultations = self.consultations(claimed, &events).await?;
        let data = self.data(claimed, &events).await?;
        Ok(Sources { webhooks, secrets, events, consultations, data })
    }

    /// What the events that are told say. What a request says is its consultation, and is not told twice.
    async fn data(
        &self,
        claimed: &[(Lane, Head)],
        events: &HashMap<Uuid, Vec<Recorded>>,
    ) -> Result<HashMap<Uuid, Value>, Unprepared> {
        let told: BTreeSet<Uuid> =
            claimed.iter().filter(|(_, head)| head.name != TEST).map(|(_, head)| head.event).collect();
        let told = events.values().flatten().filter(|event| told.contains(&event.id) && event.version > 1);
        // One that only a newer release knows has no consultation either, and is given up.
        let decoded = told.filter_map(|event| {
            let decoded = Event::decode(event.stream.category, &event.event_type, &event.data);
            Some((event.id, decoded.ok()?))
        });
        let mut decoded: Vec<(Uuid, Event)> = decoded.collect();
        let keys: BTreeSet<Uuid> = decoded.iter_mut().flat_map(|(_, event)| event.sealed_under()).collect();
        let keys = self.vault.keys(&keys.into_iter().collect::<Vec<_>>()).await?;
        let in_clear =
            decoded.iter_mut().filter_map(|(id, event)| match data_in_clear(event, &|key| keys.get(&key).cloned()) {
                Ok(data) => Some((*id, data)),
                Err(error) => {
                    tracing::error!(%error, event = %id, "an event does not open, and its webhooks are given up");
                    None
                }
            });
        Ok(in_clear.collect())
    }

    /// The consultations as they were after the events that are told, by delivery.
    async fn consultations(
        &self,
        claimed: &[(Lane, Head)],
        events: &HashMap<Uuid, Vec<Recorded>>,
    ) -> Result<HashMap<Uuid, ConsultationView>, Unprepared> {
        let folded = claimed.iter().filter(|(_, head)| head.name != TEST).map(|(lane, head)| {
            let events = events.get(&lane.stream).map_or(&[][..], Vec::as_slice);
            ((head.id, lane.stream), fold(events, head.version))
        });
        let (ids, mut states): (Vec<(Uuid, Uuid)>, Vec<Consultation>) = folded.unzip();
        match self.vault.open(&mut states).await {
            Ok(()) => {}
            // One of them does not open: it alone is told nobody.
            Err(VaultError::Personal(_)) => self.open_singly(&mut states).await?,
            Err(error) => return Err(error.into()),
        }
        let views = ids.into_iter().zip(states);
        Ok(views.filter_map(|((id, stream), state)| Some((id, ConsultationView::of(stream, state)?))).collect())
    }

    async fn open_singly(&self, states: &mut [Consultation]) -> Result<(), Unprepared> {
        for state in states {
            match self.vault.open(std::slice::from_mut(state)).await {
                Ok(()) => {}
                Err(VaultError::Personal(error)) => {
                    tracing::error!(%error, "a consultation does not open, and its webhooks are given up");
                    *state = Consultation::default();
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn one(&self, sources: &Sources, lane: Lane, head: &Head) -> Prepared {
        let events = sources.events.get(&lane.stream).into_iter().flatten();
        let Some(event) = events.clone().find(|event| event.id == head.event) else {
            // What a restored database lacks is brought back by `docket recover`.
            return Prepared::Later("the event is not in the journal");
        };
        let consultation = sources.consultations.get(&head.id);
        if consultation.is_none() && head.name != TEST {
            return Prepared::Dead("the consultation cannot be read".to_owned());
        }
        let data = sources.data.get(&head.event);
        if data.is_none() && event.version > 1 && head.name != TEST {
            return Prepared::Dead("the event cannot be read".to_owned());
        }
        let (url, format, template) = match target(sources, lane, head, consultation) {
            Ok(target) => target,
            Err(reason) => return Prepared::Dead(reason.to_owned()),
        };
        let secrets = sources.secrets.get(&signer(lane, head)).map_or(&[][..], Vec::as_slice);
        if secrets.is_empty() {
            return Prepared::Later("there is no secret to sign with: rotate it");
        }
        let told = Told { event, data, name: &head.name, consultation, url: &self.page(consultation) };
        match body(&told, format, template) {
            Err(unwritable) => Prepared::Dead(unwritable.to_string()),
            Ok(body) => match request(url, head, &body, secrets) {
                Err(error) => Prepared::Dead(error.to_string()),
                Ok((request, kept)) => Prepared::Ready(Ready { request: request.within(self.timeout), kept }),
            },
        }
    }

    fn page(&self, consultation: Option<&ConsultationView>) -> String {
        consultation.map_or_else(|| self.url.clone(), |view| format!("{}/consultations/{}", self.url, view.id))
    }
}

/// Whose secret signs.
fn signer(lane: Lane, head: &Head) -> Uuid {
    if head.callback { callbacks_of(head.tenant) } else { lane.endpoint }
}

/// The stream's state at `version`.
fn fold(events: &[Recorded], version: u64) -> Consultation {
    let mut state = Consultation::default();
    for event in events.iter().take_while(|event| event.version <= version) {
        streams::evolve(&mut state, event);
    }
    state
}

/// Where it goes and in which format, or why nowhere.
fn target<'a>(
    sources: &'a Sources,
    lane: Lane,
    head: &Head,
    consultation: Option<&'a ConsultationView>,
) -> Result<(&'a str, EndpointFormat, Option<&'a Value>), &'static str> {
    if head.callback {
        let url = consultation.and_then(|view| view.callback_url.as_deref());
        return url.map(|url| (url, EndpointFormat::Standard, None)).ok_or("the request names no callback");
    }
    let endpoint =
        sources.webhooks.get(&stream_of(head.tenant)).and_then(|webhooks| webhooks.endpoints.get(&lane.endpoint));
    match endpoint {
        None => Err("the endpoint was removed"),
        Some(Endpoint { disabled: Some(_), .. }) => Err("the endpoint is off"),
        Some(Endpoint { url, format, template, .. }) => {
            let url = url.value().ok_or("the endpoint's URL was erased")?;
            Ok((url.as_str(), *format, template.as_ref()))
        }
    }
}

fn request(url: &str, head: &Head, body: &Value, secrets: &[Secret]) -> Result<(Request, String), OutgoingError> {
    let id = head.id.to_string();
    let body = serde_json::to_vec(body).map_err(|_| OutgoingError::Body)?;
    let timestamp = clock::now().timestamp();
    let header = HeaderName::from_static;
    let request = Request::post(url)
        .header(header("content-type"), "application/json")?
        .header(header(webhook::ID), &id)?
        .header(header(webhook::TIMESTAMP), &timestamp.to_string())?
        .header(header(webhook::SIGNATURE), &webhook::signatures(secrets, &id, timestamp, &body))?;
    let kept = json!({
        "headers": {
            "content-type": "application/json",
            webhook::ID: id,
            webhook::TIMESTAMP: timestamp.to_string(),
        },
        "body_bytes": body.len(),
        "body_sha256": hex(&Sha256::digest(&body)),
    });
    Ok((request.body(body), kept.to_string()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Those of `claimed` that have something to deliver, and those that have nothing any more.
pub(super) fn sorted(claimed: Vec<Claimed>) -> (Vec<(Lane, Head)>, Vec<Lane>) {
    let (mut full, mut empty) = (Vec::new(), Vec::new());
    for Claimed { lane, head } in claimed {
        match head {
            Some(head) => full.push((lane, head)),
            None => empty.push(lane),
        }
    }
    (full, empty)
}
