//! One case: what was commanded when, and what the domain makes of it.
//!
//! Owns the ids and texts of imported consultations. Pure: the same case gives the same events under the same ids, whenever it is
//! decided.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use docket_domain::consultation::{
    Command, Comment, Consultation, Due, Expire, Given, Refusal, Request, Respond, Standing, Terms, decide as judge,
};
use docket_domain::{Aggregate, At};
use docket_events::consultation::{ConsultationEvent, Decision, Person};
use docket_events::{Category, StreamId};
use docket_log::Timed;
use serde_json::json;
use uuid::Uuid;

use super::table::{Case, Step};

/// How many people or groups a request may name.
const MOST_NAMED: usize = 100;

/// A case as it goes to the journal.
#[derive(Debug, Clone)]
pub struct Story {
    /// The consultation's stream.
    pub stream: StreamId,
    /// The principal in whose name it is written.
    pub importer: Uuid,
    /// All events, with the times at which they happened.
    pub events: Vec<Timed<ConsultationEvent>>,
    /// What it comes to.
    pub state: Consultation,
}

/// A row that the rules of consultations do not allow: its case is not imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The row.
    pub line: u64,
    case: String,
    refusal: Refusal,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, {}: refused: {}", self.line, self.case, self.refusal)
    }
}

/// Decides a case whole, in order of time. What is still open when its records end times out at its deadline, unless that is yet
/// to come `now`: then the clock of the platform will see to it.
///
/// # Errors
/// When the domain refuses a record.
pub fn decide(tenant: Uuid, case: &Case, now: DateTime<Utc>) -> Result<Story, Refused> {
    let stream =
        StreamId::new(Category::Consultation, Uuid::new_v5(&tenant, format!("permits/{}", case.id).as_bytes()));
    let importer = Person::named(Uuid::new_v5(&tenant, b"principal/import"), "import");
    let mut story = Story { stream, importer: importer.id, events: Vec::new(), state: Consultation::default() };
    for (time, line, command) in records(tenant, stream, importer, case) {
        story.tell(time, command).map_err(|refusal| Refused { line, case: case.id.clone(), refusal })?;
    }
    if let Some(deadline) = story.state.deadline().filter(|deadline| *deadline <= now) {
        // Looking at the clock is never refused.
        let _ = story.tell(deadline, Expire.into());
    }
    Ok(story)
}

/// Who is called `name` in the records.
fn person(tenant: Uuid, name: &str) -> Person {
    Person::named(Uuid::new_v5(&tenant, format!("permits/person/{name}").as_bytes()), name)
}

/// The id of the group that is called `name` in the records.
#[must_use]
pub fn group(tenant: Uuid, name: &str) -> Uuid {
    Uuid::new_v5(&tenant, format!("permits/group/{name}").as_bytes())
}

/// The commands of a case: the request, then steps and approval in order of time; on ties as in the file, the approval last.
fn records(tenant: Uuid, stream: StreamId, importer: Person, case: &Case) -> Vec<(DateTime<Utc>, u64, Command)> {
    let person = |name: &str| person(tenant, name);
    let mut records: Vec<_> = case
        .steps
        .iter()
        .map(|step| {
            let comment_id = Uuid::new_v5(&stream.id, format!("task/{}", step.task).as_bytes());
            let comment = Comment { comment_id, by: person(&step.resource), text: text(step) };
            (step.time, step.line, comment.into())
        })
        .collect();
    if let Some(end) = case.end {
        let approval = Respond {
            by: person(&case.responsible),
            standing: Standing::default(),
            given: Given::decision(Decision::Approve),
        };
        records.push((end, case.line, approval.into()));
    }
    records.sort_by_key(|(time, _, _)| *time);
    records.insert(0, (case.start, case.line, request(tenant, importer, case).into()));
    records
}

/// Each once, in the order in which they come, as far as a request may name them.
fn distinct(ids: impl Iterator<Item = Uuid>) -> Vec<Uuid> {
    let mut found = Vec::new();
    for id in ids {
        if !found.contains(&id) && found.len() < MOST_NAMED {
            found.push(id);
        }
    }
    found
}

/// Whoever is responsible and whoever did a step are its reviewers, and the groups that did one are its groups.
fn request(tenant: Uuid, importer: Person, case: &Case) -> Request {
    let people = [case.responsible.as_str()].into_iter().chain(case.steps.iter().map(|step| step.resource.as_str()));
    let reviewers = distinct(people.filter(|name| !name.is_empty()).map(|name| person(tenant, name).id));
    let groups = case.steps.iter().map(|step| step.group.as_str()).filter(|name| !name.is_empty());
    let groups = distinct(groups.map(|name| self::group(tenant, name)));
    let Case { id, channel, department, group, .. } = case;
    let planned = case.planned_end.map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true));
    let mut body = format!("Permit request **{id}** for the department {department}, received by {channel}.");
    if !group.is_empty() {
        body.push_str(&format!("\n\nIn charge: {group}."));
    }
    if let Some(planned) = &planned {
        body.push_str(&format!("\n\nPlanned to end at {planned}."));
    }
    let context = json!({
        "source": "permits",
        "channel": channel,
        "department": department,
        "group": (!group.is_empty()).then_some(group),
        "planned_end": planned,
    });
    Request {
        body: Some(body),
        context: Some(context),
        external_id: Some(id.clone()),
        deadline: Some(Due::At(case.deadline)),
        reviewers,
        terms: Terms { groups, ..Terms::default() },
        ..Request::new(format!("Permit {id} ({channel}, {department})"), importer)
    }
}

fn text(step: &Step) -> String {
    if step.group.is_empty() { step.name.clone() } else { format!("{} ({})", step.name, step.group) }
}

impl Story {
    /// Decides a command at `time`, or at the time of the last event where that is later.
    fn tell(&mut self, time: DateTime<Utc>, command: Command) -> Result<(), Refusal> {
        let now = self.state.updated_at.map_or(time, |last| last.max(time));
        let decided = judge(&self.state, command, now);
        for event in decided.events {
            let version = self.state.version + 1;
            self.state.evolve(&event, At { version, time: now });
            let id = Uuid::new_v5(&self.stream.id, version.to_string().as_bytes());
            self.events.push(Timed { time: now, id, event });
        }
        decided.refusal.map_or(Ok(()), Err)
    }
}
