//! The journal as the check has read it: every stream folded, every event known by the command that made it.
//!
//! Owns the reading and what can be seen in passing: gaps, times that run back, events that nobody sent, events against the rules. An event is
//! known by its correlation id, which is the command's key; where it has a text, that is the key too.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use docket_domain::{Aggregate, At, consultation::Consultation};
use docket_events::{Category, Event, Metadata, consultation::ConsultationEvent};
use futures_util::TryStreamExt;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::{engagement::Engagement, life::Life, streams};
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

/// What the clock did when somebody's command met a consultation.
#[derive(Debug, Clone)]
pub(super) struct Struck {
    /// The event, in words.
    pub(super) name: String,
    /// The command.
    pub(super) key: String,
    /// Whose it was.
    pub(super) principal: Option<Uuid>,
    /// Which consultation it met.
    pub(super) stream: Uuid,
}

/// A consultation as its events tell it.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The state, as the domain folds it.
    pub(super) state: Consultation,
    /// The same as the check understands it.
    pub(super) life: Life,
    /// Its events, with their times.
    pub(super) events: Vec<(DateTime<Utc>, ConsultationEvent)>,
}

impl Stream {
    /// The event that led to `version`.
    pub(super) fn event(&self, version: u64) -> Option<&ConsultationEvent> {
        Some(&self.events.get(usize::try_from(version).ok()?.checked_sub(1)?)?.1)
    }
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
    /// What commands had the clock do since the last check.
    pub(super) struck: Vec<Struck>,
    /// How many events of each kind there are.
    pub(super) kinds: BTreeMap<String, u64>,
    /// What it says of sessions.
    pub(super) sessions: Journalled,
    /// What it says of readers, and of what they read.
    pub(super) engagement: Engagement,
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
    pub(super) meta: String,
}

const READ: &str =
    "select j.category, j.shard, j.sequence, j.stream_id, j.stream_version, j.tenant, j.time, j.event_type, j.data,
         j.meta
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
        let kind = row.event_type.split('.').nth(2).unwrap_or_default();
        let event = match event {
            Ok(Event::Consultation(event)) => event,
            Ok(Event::Identity(event)) => {
                self.others += i64::from(!self.sessions.take(row.stream_id, &event));
                return;
            }
            Ok(Event::Knowledge(_)) => {
                // Nobody but the fault that imports graphs, which makes each stream once, says anything of knowledge.
                if !row.meta.contains("\"imported\":true") || row.stream_version != 1 {
                    findings.add("nothing else", format!("{name} was never commanded"));
                }
                *self.kinds.entry(kind.to_owned()).or_default() += 1;
                return;
            }
            Ok(event @ (Event::Feed(_) | Event::Engagement(_))) => {
                self.engagement.take(row, &event, name);
                *self.kinds.entry(kind.to_owned()).or_default() += 1;
                return;
            }
            Err(error) => return findings.add("folds", format!("{name}: {error}")),
        };
        *self.kinds.entry(kind.to_owned()).or_default() += 1;
        if row.tenant != tenant {
            findings.add("nothing else", format!("{name} belongs to another tenant"));
        }
        let stream = self.streams.entry(row.stream_id).or_default();
        streams::check_event(stream, row, &event, &name, findings);
        let version = row.stream_version as u64;
        stream.state.evolve(&event, At { version, time: row.time });
        stream.life.take(&event, row.time, version);
        if let Some(snapshot) = snapshots.get(&(row.stream_id, row.stream_version))
            && snapshot.as_ref() != Ok(&stream.state)
        {
            findings.add(
                "folds",
                format!("the snapshot of {} at version {version} is not what its events fold to", row.stream_id),
            );
        }
        self.ascribe(row, &event, &name, findings);
        self.streams.entry(row.stream_id).or_default().events.push((row.time, event));
    }

    /// Ascribes an event to the command that made it, or to the clock.
    fn ascribe(&mut self, row: &Row, event: &ConsultationEvent, name: &str, findings: &mut Findings) {
        let mut foreign = |text: &str| findings.add("nothing else", format!("{name} {text}"));
        let Ok(meta) = serde_json::from_str::<Metadata>(&row.meta) else {
            return foreign(&format!("has metadata that cannot be read: {}", row.meta));
        };
        let Some(mark) = mark(event) else {
            match meta.correlation_id {
                Some(key) => {
                    let (name, principal, stream) = (name.to_owned(), meta.principal, row.stream_id);
                    self.struck.push(Struck { name, key, principal, stream });
                }
                None if meta.principal.is_none() && meta.causation_id.as_deref() == Some("deadline") => {}
                None => foreign("is neither the clock's nor that of a command"),
            }
            return;
        };
        let Some(key) = meta.correlation_id else { return foreign("carries no key") };
        if mark.text.is_some_and(|text| text != key) {
            foreign(&format!("carries the key {key}, and says {:?}", mark.text));
        }
        let by = mark.by.or(meta.principal).unwrap_or_default();
        if meta.principal != Some(by) {
            foreign(&format!("is by {by}, and was commanded by {:?}", meta.principal));
        }
        let seen = Seen { kind: mark.kind, stream: row.stream_id, version: row.stream_version as u64, by };
        self.seen.entry(key.clone()).or_default().push(seen);
        self.touched.insert(key);
    }
}

/// How an event is known.
struct Mark<'a> {
    kind: &'static str,
    /// Who did it; none: whoever asked, with the same command.
    by: Option<Uuid>,
    /// What was said, which is the key.
    text: Option<&'a str>,
}

/// How an event is known as that of a command; none: it is the clock's.
fn mark(event: &ConsultationEvent) -> Option<Mark<'_>> {
    use ConsultationEvent as E;
    let (kind, by, text) = match event {
        E::Requested(event) => ("requested", Some(&event.requested_by), Some(event.title.as_str())),
        E::TermsSet(_) => ("terms_set", None, None),
        E::Commented(event) => ("commented", Some(&event.by), Some(event.text.as_str())),
        E::Claimed(event) => ("claimed", Some(&event.by), None),
        E::Released(event) => ("released", Some(&event.by), None),
        E::Assigned(event) => ("assigned", Some(&event.by), None),
        E::Delegated(event) => ("delegated", Some(&event.by), None),
        E::InformationRequested(event) => ("information_requested", Some(&event.by), Some(event.text.as_str())),
        E::InformationProvided(event) => ("information_provided", Some(&event.by), Some(event.text.as_str())),
        E::VoteCast(event) => ("vote_cast", Some(&event.by), comment(event.comment.as_ref())),
        E::Responded(event) => ("responded", Some(&event.by), comment(event.comment.as_ref())),
        E::Withdrawn(event) => ("withdrawn", Some(&event.by), comment(event.comment.as_ref())),
        E::LateResponseRecorded(event) => ("late_response_recorded", Some(&event.by), comment(event.comment.as_ref())),
        E::ReceiptRedeemed(event) => ("receipt_redeemed", Some(&event.by), None),
        E::ReceiptRevoked(event) => ("receipt_revoked", Some(&event.by), comment(event.reason.as_ref())),
        E::Reminded(_) | E::Escalated(_) | E::TimedOut(_) => return None,
    };
    Some(Mark { kind, by: by.map(|person| person.id), text })
}

/// A comment; that there is none is seen as a text that is no key.
fn comment(comment: Option<&String>) -> Option<&str> {
    Some(comment.map_or("", String::as_str))
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
