//! The journal as the check has read it: every stream folded, every event known by the command that it carries.
//!
//! Owns the reading and what can be seen in passing: gaps, times that run back, events that nobody sent, outcomes against the rules.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use docket_domain::{Aggregate, At, consultation::Consultation};
use docket_events::{Category, Event, consultation::ConsultationEvent};
use futures_util::TryStreamExt;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::streams;
use crate::{report::Findings, sessions::Journalled, topology::Topology};

/// An event that a command wrote.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// Its kind, such as `commented`.
    pub(super) kind: &'static str,
    /// Where it stands.
    pub(super) stream: Uuid,
    /// At which version.
    pub(super) version: u64,
    /// Who did it.
    pub(super) by: Uuid,
}

/// A consultation as its events tell it.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The state.
    pub(super) state: Consultation,
    /// The time of its last event.
    pub(super) last: Option<DateTime<Utc>>,
    /// How many outcomes it has.
    pub(super) outcomes: u32,
    /// Who voted right before.
    pub(super) vote: Option<Uuid>,
}

/// What was read until now.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// The last sequence read of every shard.
    pub(super) tails: HashMap<(i16, i16), i64>,
    /// Every consultation.
    pub(super) streams: HashMap<Uuid, Stream>,
    /// What was seen of each command, by its key.
    pub(super) seen: HashMap<String, Vec<Seen>>,
    /// The commands of which something was seen since the last check.
    pub(super) touched: HashSet<String>,
    /// What it says of sessions.
    pub(super) sessions: Journalled,
    /// Other events of that category, which only the setting up made.
    others: i64,
}

/// A row of the journal.
#[derive(Debug, FromRow)]
pub(super) struct Row {
    pub(super) category: i16,
    pub(super) shard: i16,
    pub(super) sequence: i64,
    pub(super) stream_id: Uuid,
    pub(super) stream_version: i64,
    pub(super) tenant: Uuid,
    pub(super) time: DateTime<Utc>,
    pub(super) event_type: String,
    pub(super) data: String,
}

const READ: &str =
    "select j.category, j.shard, j.sequence, j.stream_id, j.stream_version, j.tenant, j.time, j.event_type, j.data
     from write.journal j
     left join unnest($1::smallint[], $2::smallint[], $3::bigint[]) as read (category, shard, sequence)
         on read.category = j.category and read.shard = j.shard
     where j.sequence > coalesce(read.sequence, 0)
     order by j.category, j.shard, j.sequence";

impl Journal {
    /// Reads what is new.
    pub(super) async fn read(
        &mut self,
        connection: &mut PgConnection,
        topology: &Topology,
        findings: &mut Findings,
    ) -> Result<()> {
        let snapshots = snapshots(connection).await?;
        let categories: Vec<i16> = self.tails.keys().map(|(category, _)| *category).collect();
        let shards: Vec<i16> = self.tails.keys().map(|(_, shard)| *shard).collect();
        let sequences: Vec<i64> = self.tails.values().copied().collect();
        let mut rows = sqlx::query_as::<_, Row>(READ).bind(categories).bind(shards).bind(sequences).fetch(connection);
        while let Some(row) = rows.try_next().await.context("reading the journal")? {
            self.row(&row, topology.people.tenant, &snapshots, findings);
        }
        if self.others != topology.setup_events {
            let text =
                format!("{} events of other categories, {} of the setting up", self.others, topology.setup_events);
            findings.add("nothing else", text);
        }
        Ok(())
    }

    /// Takes in one event of a campaign in `tenant`.
    pub(super) fn row(&mut self, row: &Row, tenant: Uuid, snapshots: &Snapshots, findings: &mut Findings) {
        let tail = self.tails.entry((row.category, row.shard)).or_default();
        if row.sequence != *tail + 1 {
            let shard = format!("shard {} of category {}", row.shard, row.category);
            findings.add("gap-free", format!("{shard} goes from sequence {tail} to {}", row.sequence));
        }
        *tail = row.sequence;
        let name = format!("{} {} of {}", row.event_type, row.stream_version, row.stream_id);
        let event = Category::from_code(row.category).ok_or_else(|| "its category is not known".to_owned()).and_then(
            |category| Event::decode(category, &row.event_type, &row.data).map_err(|error| error.to_string()),
        );
        let event = match event {
            Ok(Event::Consultation(event)) => event,
            Ok(Event::Identity(event)) => {
                self.others += i64::from(!self.sessions.take(row.stream_id, &event));
                return;
            }
            Err(error) => return findings.add("folds", format!("{name}: {error}")),
        };
        if row.tenant != tenant {
            findings.add("nothing else", format!("{name} belongs to another tenant"));
        }
        let stream = self.streams.entry(row.stream_id).or_default();
        streams::check_event(stream, row, &event, &name, findings);
        let version = row.stream_version as u64;
        stream.state.evolve(&event, At { version, time: row.time });
        stream.last = Some(row.time);
        if let Some(snapshot) = snapshots.get(&(row.stream_id, row.stream_version))
            && snapshot.as_ref() != Ok(&stream.state)
        {
            findings.add(
                "folds",
                format!("the snapshot of {} at version {version} is not what its events fold to", row.stream_id),
            );
        }
        if let Some((key, kind, by)) = mark(&event) {
            let seen = Seen { kind, stream: row.stream_id, version, by };
            self.seen.entry(key.clone()).or_default().push(seen);
            self.touched.insert(key);
        } else if !matches!(event, ConsultationEvent::TimedOut(_)) {
            findings.add("nothing else", format!("{name} carries no key"));
        }
    }
}

/// The command that an event carries in its text, with the event's kind and author; none for the clock's.
fn mark(event: &ConsultationEvent) -> Option<(String, &'static str, Uuid)> {
    match event {
        ConsultationEvent::Requested(event) => Some((event.title.clone(), "requested", event.requested_by.id)),
        ConsultationEvent::Commented(event) => Some((event.text.clone(), "commented", event.by.id)),
        ConsultationEvent::VoteCast(event) => Some((event.comment.clone()?, "vote_cast", event.by.id)),
        ConsultationEvent::Responded(event) => Some((event.comment.clone()?, "responded", event.by.id)),
        ConsultationEvent::LateResponseRecorded(event) => {
            Some((event.comment.clone()?, "late_response_recorded", event.by.id))
        }
        ConsultationEvent::Withdrawn(_)
        | ConsultationEvent::TimedOut(_)
        | ConsultationEvent::TermsSet(_)
        | ConsultationEvent::Claimed(_)
        | ConsultationEvent::Released(_)
        | ConsultationEvent::Assigned(_)
        | ConsultationEvent::Delegated(_)
        | ConsultationEvent::InformationRequested(_)
        | ConsultationEvent::InformationProvided(_)
        | ConsultationEvent::Reminded(_)
        | ConsultationEvent::Escalated(_) => None,
    }
}

/// The folded states that the journal keeps as a cache, by stream and version.
pub(super) type Snapshots = HashMap<(Uuid, i64), Result<Consultation, String>>;

async fn snapshots(connection: &mut PgConnection) -> Result<Snapshots> {
    let rows: Vec<(Uuid, i64, String)> =
        sqlx::query_as("select stream_id, version, state from write.snapshot where schema = $1")
            .bind(Consultation::SCHEMA)
            .fetch_all(connection)
            .await
            .context("reading snapshots")?;
    let state = |text: &str| serde_json::from_str(text).map_err(|error| error.to_string());
    Ok(rows.into_iter().map(|(stream, version, text)| ((stream, version), state(&text))).collect())
}
