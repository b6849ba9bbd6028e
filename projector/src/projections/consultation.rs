//! The projection `consultation`: a row per consultation, and rows for its history, its votes, who is named to answer it, whom it asks
//! while it is pending, and the words that it is found by.
//!
//! Owns the tables below. The fold merges all events of a batch per consultation, so that each row is written once. It must not read a row:
//! what it builds upon is named by the stream's version, and the write refuses to build upon anything else.

use std::collections::{BTreeMap, HashMap, hash_map::Entry};

use chrono::{DateTime, Utc};
use docket_events::{
    Category, Event, Recorded,
    consultation::{
        Answer, AnswerKind, ConsultationEvent, Decision, DecisionRule, Person, Priority, PrivateRequest, Requested,
        Rule, TemplateUsed, TermsSet, WithdrawalReason,
    },
    engagement::Item,
    identity::Role,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::projection::{Info, Poison, Projection, Schema, Table, WriteError};

mod history;
mod named;
mod write;

use named::Who;

/// List and detail rows, histories, votes and reviewers.
#[derive(Debug, Clone, Copy)]
pub struct Consultation;

/// What a batch comes to.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) rows: HashMap<Uuid, Row>,
    pub(super) history: Vec<HistoryRow>,
    /// By consultation and voter; none: the vote does not count any more.
    pub(super) votes: BTreeMap<(Uuid, Uuid), (Uuid, u16, Option<Vote>)>,
    /// By consultation and user: whether the user answers, as one who is named, or does no more, as one who delegated.
    pub(super) reviewers: BTreeMap<(Uuid, Uuid), (Uuid, u16, bool)>,
    /// By consultation: who is asked, or is no more.
    pub(super) asked: BTreeMap<(Uuid, Who), (Uuid, u16, bool)>,
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
    /// The terms, likewise.
    pub(super) terms: Option<Box<Terms>>,
    pub(super) ended: Option<Box<Ended>>,
    /// How many comments came.
    pub(super) comments: i32,
    /// How many late answers there are now, when one came.
    pub(super) late_responses: Option<i32>,
    /// How many more questions wait.
    pub(super) questions: i32,
    /// Who has it in hand, when that changed.
    pub(super) claimed: Option<Option<(Uuid, Option<String>)>>,
    /// Who has it in hand no more, if they had.
    pub(super) unclaimed: Vec<Uuid>,
    pub(super) priority: Option<i16>,
    /// Who may answer besides.
    pub(super) added: Vec<Uuid>,
    /// Whether the clock goes on, to which deadline.
    pub(super) resumed: Option<Option<DateTime<Utc>>>,
    /// Since when the clock stands still, unless it did before.
    pub(super) stopped: Option<DateTime<Utc>>,
}

#[derive(Debug)]
pub(super) struct Asked {
    pub(super) title: String,
    pub(super) body: Option<String>,
    pub(super) context: Option<String>,
    pub(super) proposed: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) by: Uuid,
    pub(super) by_name: Option<String>,
    pub(super) key_made_by: Option<Uuid>,
    pub(super) at: DateTime<Utc>,
    pub(super) reviewers: Vec<Uuid>,
    pub(super) deadline: Option<DateTime<Utc>>,
    pub(super) priority: i16,
    pub(super) labels: Vec<String>,
    pub(super) callback_url: Option<String>,
    pub(super) supersedes: Option<Uuid>,
    pub(super) template: Option<TemplateUsed>,
    pub(super) receipt_minutes: Option<i32>,
    pub(super) cites: Box<[Item]>,
}

#[derive(Debug)]
pub(super) struct Terms {
    /// All of them but whom it is about.
    pub(super) text: String,
    pub(super) kind: &'static str,
    pub(super) four_eyes: bool,
    pub(super) counts_seats: bool,
    pub(super) subject: Option<Uuid>,
    pub(super) subject_name: Option<String>,
    /// The version of the request with them.
    pub(super) version: u64,
}

#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) state: &'static str,
    pub(super) at: DateTime<Utc>,
    pub(super) decision: Option<&'static str>,
    pub(super) content: Option<String>,
    pub(super) rule: Option<&'static str>,
    pub(super) request_version: Option<i64>,
    pub(super) by: Option<Uuid>,
    pub(super) by_name: Option<String>,
    pub(super) agreed: Vec<Uuid>,
    pub(super) comment: Option<String>,
    pub(super) reason: Option<&'static str>,
}

/// The last vote of somebody.
#[derive(Debug)]
pub(super) struct Vote {
    pub(super) version: u64,
    pub(super) by_name: Option<String>,
    pub(super) at: DateTime<Utc>,
    pub(super) decision: Option<&'static str>,
    pub(super) content: Option<String>,
    pub(super) comment: Option<String>,
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
    pub(super) to: Option<Uuid>,
    pub(super) to_name: Option<String>,
    pub(super) decision: Option<&'static str>,
    pub(super) comment: Option<String>,
    pub(super) reason: Option<&'static str>,
    pub(super) details: Option<String>,
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
        Rule::All => "all",
        Rule::MOfN => "m_of_n",
        Rule::Majority => "majority",
        Rule::Veto => "veto",
        Rule::TwoGroups => "two_groups",
        Rule::Weights => "weights",
    }
}

const fn reason(reason: WithdrawalReason) -> &'static str {
    match reason {
        WithdrawalReason::Withdrawn => "withdrawn",
        WithdrawalReason::Cancelled => "cancelled",
        WithdrawalReason::Superseded => "superseded",
    }
}

const fn role(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Reviewer => "reviewer",
        Role::Requester => "requester",
        Role::Analyst => "analyst",
    }
}

const fn kind(answer: &AnswerKind) -> &'static str {
    match answer {
        AnswerKind::Approval => "approval",
        AnswerKind::Choice { .. } => "choice",
        AnswerKind::Form { .. } => "form",
        AnswerKind::Edit { .. } => "edit",
    }
}

fn name(person: &Person) -> Option<String> {
    person.name.value().cloned()
}

/// What is told of an answer: decision, content and comment; nothing of one that was erased.
fn told(answer: Option<Answer>) -> (Option<&'static str>, Option<String>, Option<String>) {
    let Some(Answer { decision: yes_or_no, content, comment }) = answer else { return (None, None, None) };
    (yes_or_no.map(decision), content.as_ref().and_then(json), comment)
}

/// Facts are made of strings and maps with string keys, which have a JSON form.
fn json<T: serde::Serialize>(fact: &T) -> Option<String> {
    serde_json::to_string(fact).ok()
}

impl Projection for Consultation {
    const INFO: Info = Info {
        name: "consultation",
        version: 1,
        categories: &[Category::Consultation],
        tables: &[
            Table {
                name: "consultation_v1",
                personal: &[
                    "requested_by_name",
                    "ended_by_name",
                    "claimed_by_name",
                    "subject_name",
                    "body",
                    "context",
                    "proposed",
                    "decision",
                    "content",
                    "outcome_comment",
                ],
            },
            Table {
                name: "consultation_history_v1",
                personal: &["by_name", "to_name", "decision", "comment", "details"],
            },
            Table { name: "consultation_vote_v1", personal: &["by_name", "decision", "content", "comment"] },
            Table { name: "consultation_reviewer_v1", personal: &[] },
            Table { name: "consultation_words_v1", personal: &["words"] },
            Table { name: "consultation_asked_v1", personal: &[] },
            Table { name: "consultation_cited_v1", personal: &[] },
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
        batch.history.push(history::row(event, data));
        batch.fold(event, data);
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
        (2, ConsultationEvent::TermsSet(_)) => Ok(()),
        (_, ConsultationEvent::TermsSet(_)) => Err(Poison::new("terms come with the request")),
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
            terms: None,
            ended: None,
            comments: 0,
            late_responses: None,
            questions: 0,
            claimed: None,
            unclaimed: Vec::new(),
            priority: None,
            added: Vec::new(),
            resumed: None,
            stopped: None,
        }
    }

    fn fold(&mut self, event: &Recorded, data: &ConsultationEvent) {
        self.version = event.version;
        self.updated_at = event.time;
        match data {
            ConsultationEvent::Requested(data) => self.asked = Some(Box::new(asked(event, data))),
            ConsultationEvent::TermsSet(data) => self.terms = Some(Box::new(terms(event, data))),
            ConsultationEvent::Commented(_) => self.comments += 1,
            ConsultationEvent::Claimed(data) => self.claimed = Some(Some((data.by.id, name(&data.by)))),
            ConsultationEvent::Released(_) => self.claimed = Some(None),
            ConsultationEvent::Assigned(data) => self.claimed = Some(Some((data.to.id, name(&data.to)))),
            ConsultationEvent::InformationRequested(data) => {
                self.questions += 1;
                if data.stops_clock {
                    self.stopped.get_or_insert(event.time);
                }
            }
            ConsultationEvent::InformationProvided(data) => {
                self.questions -= 1;
                if let Some(clock) = &data.clock {
                    self.resumed = Some(clock.deadline);
                    self.stopped = None;
                }
            }
            ConsultationEvent::Escalated(data) => {
                self.priority = data.priority.map(Priority::rank).or(self.priority);
                for reviewer in &data.reviewers {
                    if !self.added.contains(reviewer) {
                        self.added.push(*reviewer);
                    }
                }
            }
            // Whoever delegates what they have in hand has it no more.
            ConsultationEvent::Delegated(data) => match &self.claimed {
                None => self.unclaimed.push(data.by.id),
                Some(Some((holder, _))) if *holder == data.by.id => self.claimed = Some(None),
                Some(_) => {}
            },
            ConsultationEvent::Reminded(_)
            | ConsultationEvent::VoteCast(_)
            | ConsultationEvent::ReceiptRedeemed(_)
            | ConsultationEvent::ReceiptRevoked(_) => {}
            ConsultationEvent::LateResponseRecorded(data) => self.late_responses = Some(data.ordinal as i32),
            ConsultationEvent::Responded(_) | ConsultationEvent::TimedOut(_) | ConsultationEvent::Withdrawn(_) => {
                self.ended = ended(event, data).map(Box::new);
            }
        }
    }
}

fn asked(event: &Recorded, data: &Requested) -> Asked {
    let private = match &data.private {
        Some(private) => private.value().cloned().unwrap_or_default(),
        None => PrivateRequest { body: data.body.clone(), context: data.context.clone(), proposed: None },
    };
    Asked {
        title: data.title.clone(),
        body: private.body,
        context: private.context.as_ref().map(ToString::to_string),
        proposed: private.proposed.as_ref().map(ToString::to_string),
        external_id: data.external_id.clone(),
        by: data.requested_by.id,
        by_name: name(&data.requested_by),
        key_made_by: data.key_made_by,
        at: event.time,
        reviewers: data.reviewers.clone(),
        deadline: data.deadline,
        priority: data.priority.rank(),
        labels: data.labels.clone(),
        callback_url: data.callback_url.clone(),
        supersedes: data.supersedes,
        template: data.template.clone(),
        receipt_minutes: data.receipt_minutes.and_then(|minutes| i32::try_from(minutes).ok()),
        cites: data.cites.clone(),
    }
}

fn terms(event: &Recorded, data: &TermsSet) -> Terms {
    let subject = data.subject.as_ref();
    let public = TermsSet { subject: None, ..data.clone() };
    Terms {
        text: json(&public).unwrap_or_default(),
        kind: kind(&data.answer),
        four_eyes: !data.asker_may_answer,
        counts_seats: data.rule != DecisionRule::AnyOne,
        subject: subject.map(|subject| subject.id),
        subject_name: subject.and_then(name),
        version: event.version,
    }
}

/// The outcome; none of an event that is none.
fn ended(event: &Recorded, data: &ConsultationEvent) -> Option<Ended> {
    let at = event.time;
    match data {
        ConsultationEvent::Responded(data) => {
            let (decision, content, comment) = told(data.answer());
            Some(Ended {
                state: "responded",
                at,
                decision,
                content,
                rule: Some(rule(data.rule)),
                request_version: Some(data.request_version as i64),
                by: Some(data.by.id),
                by_name: name(&data.by),
                agreed: data.agreed.clone(),
                comment,
                reason: None,
            })
        }
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
