//! The projection `consultation`: a row per consultation, and a row per event of its history.
//!
//! Owns `consultation_v1` and `consultation_history_v1`. The fold merges all events of a batch per consultation, so that each row
//! is written once. It must not read a row: what it builds upon is named by the stream's version, and the write refuses to build
//! upon anything else.

use std::collections::{HashMap, hash_map::Entry};

use chrono::{DateTime, Utc};
use docket_events::{
    Category, Event, Recorded,
    consultation::{ConsultationEvent, Decision, Person, Requested, Rule, WithdrawalReason},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::projection::{Info, Poison, Projection, Schema, Table, WriteError};

mod write;

/// List and detail rows, and the history.
#[derive(Debug, Clone, Copy)]
pub struct Consultation;

/// What a batch comes to.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) rows: HashMap<Uuid, Row>,
    pub(super) history: Vec<HistoryRow>,
}

/// One consultation's part of a batch.
#[derive(Debug)]
pub(super) struct Row {
    /// The stream's version before the batch: what the table must hold. Zero: it must be new.
    pub(super) before: u64,
    pub(super) tenant: Uuid,
    pub(super) shard: u16,
    pub(super) version: u64,
    pub(super) updated_at: DateTime<Utc>,
    /// The request, when it is part of the batch.
    pub(super) asked: Option<Box<Asked>>,
    pub(super) ended: Option<Box<Ended>>,
    /// How many comments came.
    pub(super) comments: i32,
    /// How many late answers there are now, when one came.
    pub(super) late_responses: Option<i32>,
}

#[derive(Debug)]
pub(super) struct Asked {
    pub(super) title: String,
    pub(super) body: Option<String>,
    pub(super) context: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) by: Uuid,
    pub(super) by_name: Option<String>,
    pub(super) at: DateTime<Utc>,
    pub(super) reviewers: Vec<Uuid>,
    pub(super) deadline: Option<DateTime<Utc>>,
}

#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) state: &'static str,
    pub(super) at: DateTime<Utc>,
    pub(super) decision: Option<&'static str>,
    pub(super) rule: Option<&'static str>,
    pub(super) request_version: Option<i64>,
    pub(super) by: Option<Uuid>,
    pub(super) by_name: Option<String>,
    pub(super) comment: Option<String>,
    pub(super) reason: Option<&'static str>,
}

#[derive(Debug)]
pub(super) struct HistoryRow {
    pub(super) id: Uuid,
    pub(super) version: u64,
    pub(super) tenant: Uuid,
    pub(super) shard: u16,
    pub(super) event_id: Uuid,
    pub(super) kind: &'static str,
    pub(super) at: DateTime<Utc>,
    pub(super) by: Option<Uuid>,
    pub(super) by_name: Option<String>,
    pub(super) decision: Option<&'static str>,
    pub(super) comment: Option<String>,
    pub(super) reason: Option<&'static str>,
}

const fn decision(decision: Decision) -> &'static str {
    match decision {
        Decision::Approve => "approve",
        Decision::Reject => "reject",
    }
}

const fn rule(rule: Rule) -> &'static str {
    match rule {
        Rule::AnyOne => "any_one",
    }
}

const fn reason(reason: WithdrawalReason) -> &'static str {
    match reason {
        WithdrawalReason::Withdrawn => "withdrawn",
        WithdrawalReason::Cancelled => "cancelled",
        WithdrawalReason::Superseded => "superseded",
    }
}

fn name(person: &Person) -> Option<String> {
    person.name.value().cloned()
}

impl Projection for Consultation {
    const INFO: Info = Info {
        name: "consultation",
        version: 1,
        categories: &[Category::Consultation],
        tables: &[
            Table { name: "consultation_v1", personal: &["requested_by_name", "ended_by_name"] },
            Table { name: "consultation_history_v1", personal: &["by_name"] },
        ],
    };

    type Batch = Batch;

    fn apply(&self, batch: &mut Batch, event: &Recorded, data: &Event) -> Result<(), Poison> {
        let Event::Consultation(data) = data else { return Ok(()) };
        check(event, data)?;
        let row = match batch.rows.entry(event.stream.id) {
            Entry::Occupied(row) => {
                let row = row.into_mut();
                continues(row, event, data)?;
                row
            }
            Entry::Vacant(place) => place.insert(Row::before(event)),
        };
        row.fold(event, data);
        batch.history.push(history(event, data));
        Ok(())
    }

    async fn write(&self, schema: &Schema, connection: &mut PgConnection, batch: &Batch) -> Result<(), WriteError> {
        write::write(schema, connection, batch).await
    }
}

/// What can be said of one event alone.
fn check(event: &Recorded, data: &ConsultationEvent) -> Result<(), Poison> {
    match (event.version, data) {
        (1, ConsultationEvent::Requested(_)) => Ok(()),
        (1, _) => Err(Poison::new("a consultation begins with its request")),
        (_, ConsultationEvent::Requested(_)) => Err(Poison::new("a consultation is requested once")),
        (_, ConsultationEvent::LateResponseRecorded(late)) if i32::try_from(late.ordinal).is_err() => {
            Err(Poison::new("more late answers than can be counted"))
        }
        (_, ConsultationEvent::Responded(data)) if i64::try_from(data.request_version).is_err() => {
            Err(Poison::new("a version of the request that cannot be"))
        }
        _ => Ok(()),
    }
}

/// What can be said of an event behind others of its stream in the batch.
fn continues(row: &Row, event: &Recorded, data: &ConsultationEvent) -> Result<(), Poison> {
    if event.version != row.version + 1 {
        return Err(Poison::new(format!("version {} does not follow version {}", event.version, row.version)));
    }
    let ends = matches!(
        data,
        ConsultationEvent::Responded(_) | ConsultationEvent::TimedOut(_) | ConsultationEvent::Withdrawn(_)
    );
    if ends && row.ended.is_some() {
        return Err(Poison::new("a consultation has one outcome"));
    }
    Ok(())
}

impl Row {
    /// A row to which nothing was done yet.
    fn before(event: &Recorded) -> Self {
        Self {
            before: event.version.saturating_sub(1),
            tenant: event.tenant,
            shard: event.shard,
            version: event.version.saturating_sub(1),
            updated_at: event.time,
            asked: None,
            ended: None,
            comments: 0,
            late_responses: None,
        }
    }

    fn fold(&mut self, event: &Recorded, data: &ConsultationEvent) {
        self.version = event.version;
        self.updated_at = event.time;
        match data {
            ConsultationEvent::Requested(data) => self.asked = Some(Box::new(asked(event, data))),
            ConsultationEvent::Commented(_) => self.comments += 1,
            ConsultationEvent::VoteCast(_) => {}
            ConsultationEvent::LateResponseRecorded(data) => self.late_responses = Some(data.ordinal as i32),
            ConsultationEvent::Responded(_) | ConsultationEvent::TimedOut(_) | ConsultationEvent::Withdrawn(_) => {
                self.ended = ended(event, data).map(Box::new);
            }
        }
    }
}

fn asked(event: &Recorded, data: &Requested) -> Asked {
    Asked {
        title: data.title.clone(),
        body: data.body.clone(),
        context: data.context.as_ref().map(ToString::to_string),
        external_id: data.external_id.clone(),
        by: data.requested_by.id,
        by_name: name(&data.requested_by),
        at: event.time,
        reviewers: data.reviewers.clone(),
        deadline: data.deadline,
    }
}

/// The outcome; none of an event that is none.
fn ended(event: &Recorded, data: &ConsultationEvent) -> Option<Ended> {
    let at = event.time;
    match data {
        ConsultationEvent::Responded(data) => Some(Ended {
            state: "responded",
            at,
            decision: Some(decision(data.decision)),
            rule: Some(rule(data.rule)),
            request_version: Some(data.request_version as i64),
            by: Some(data.by.id),
            by_name: name(&data.by),
            comment: data.comment.clone(),
            reason: None,
        }),
        ConsultationEvent::TimedOut(_) => Some(Ended { state: "timed_out", at, ..Ended::default() }),
        ConsultationEvent::Withdrawn(data) => Some(Ended {
            state: "withdrawn",
            at,
            by: Some(data.by.id),
            by_name: name(&data.by),
            comment: data.comment.clone(),
            reason: Some(reason(data.reason)),
            ..Ended::default()
        }),
        _ => None,
    }
}

fn history(event: &Recorded, data: &ConsultationEvent) -> HistoryRow {
    let row = HistoryRow {
        id: event.stream.id,
        version: event.version,
        tenant: event.tenant,
        shard: event.shard,
        event_id: event.id,
        kind: "",
        at: event.time,
        by: None,
        by_name: None,
        decision: None,
        comment: None,
        reason: None,
    };
    let by = |person: &Person| (Some(person.id), name(person));
    match data {
        ConsultationEvent::Requested(data) => {
            let (by, by_name) = by(&data.requested_by);
            HistoryRow { kind: "requested", by, by_name, ..row }
        }
        ConsultationEvent::Commented(data) => {
            let (by, by_name) = by(&data.by);
            HistoryRow { kind: "commented", by, by_name, comment: Some(data.text.clone()), ..row }
        }
        ConsultationEvent::VoteCast(data) => {
            let ((by, by_name), decision) = (by(&data.by), Some(decision(data.decision)));
            HistoryRow { kind: "vote_cast", by, by_name, decision, comment: data.comment.clone(), ..row }
        }
        ConsultationEvent::Responded(data) => {
            let ((by, by_name), decision) = (by(&data.by), Some(decision(data.decision)));
            HistoryRow { kind: "responded", by, by_name, decision, comment: data.comment.clone(), ..row }
        }
        ConsultationEvent::Withdrawn(data) => {
            let ((by, by_name), reason) = (by(&data.by), Some(reason(data.reason)));
            HistoryRow { kind: "withdrawn", by, by_name, reason, comment: data.comment.clone(), ..row }
        }
        ConsultationEvent::TimedOut(_) => HistoryRow { kind: "timed_out", ..row },
        ConsultationEvent::LateResponseRecorded(data) => {
            let ((by, by_name), decision) = (by(&data.by), Some(decision(data.decision)));
            let comment = data.comment.clone();
            HistoryRow { kind: "late_response_recorded", by, by_name, decision, comment, ..row }
        }
    }
}
