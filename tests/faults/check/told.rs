//! What clients were told, against what the journal holds and remembers.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result};
use docket_events::consultation::ConsultationEvent;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    asked,
    journal::{Journal, Seen},
    rules,
    verdicts::{self, Verdict},
};
use crate::{
    ledger::{Books, Entry, Fate, Kind},
    report::Findings,
};

/// A remembered answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Remembered {
    pub(super) stream: Uuid,
    pub(super) version: u64,
    pub(super) status: u16,
}

/// Every remembered answer.
#[derive(Debug)]
pub(super) struct Rows(pub(super) HashMap<Uuid, Remembered>);

impl Rows {
    pub(super) async fn read(connection: &mut PgConnection) -> Result<Self> {
        let rows: Vec<(Uuid, Uuid, i64, i16)> =
            sqlx::query_as("select id, stream_id, version, status from write.idempotency")
                .fetch_all(connection)
                .await
                .context("reading the remembered answers")?;
        let row =
            |(id, stream, version, status)| (id, Remembered { stream, version: version as u64, status: status as u16 });
        Ok(Self(
            rows.into_iter()
                .map(|(id, stream, version, status): (Uuid, Uuid, i64, i16)| row((id, stream, version, status)))
                .collect(),
        ))
    }
}

/// Checks every command that was booked, or of which an event was seen, since the last time.
pub(super) fn check(journal: &mut Journal, books: &Books, rows: &Rows, findings: &mut Findings) {
    let touched = std::mem::take(&mut journal.touched);
    let keys: HashSet<&String> = touched.iter().chain(&books.fresh).collect();
    for key in keys {
        let seen = journal.seen.get(key).map_or(&[][..], Vec::as_slice);
        match books.entries.get(key) {
            Some(entry) => {
                check_entry(entry, seen, journal, findings);
                check_content(entry, seen, journal, findings);
                check_row(entry, seen, rows, journal, findings);
            }
            None => findings.add("nothing else", format!("{} carries the key {key}, which no client sent", text(seen))),
        }
    }
    for struck in std::mem::take(&mut journal.struck) {
        let entry = books.entries.get(&struck.key);
        let met =
            |entry: &Entry| entry.command.stream == Some(struck.stream) && struck.principal == Some(entry.principal);
        if !entry.is_some_and(met) {
            findings
                .add("nothing else", format!("{} carries the key {}, which did not meet it", struck.name, struck.key));
        }
    }
    let known: HashSet<Uuid> = books.entries.values().map(|entry| entry.row).collect();
    let foreign = rows.0.keys().filter(|id| !known.contains(id));
    findings.add_all(
        "idempotency",
        foreign.map(|id| format!("an answer is remembered for a key that no client sent ({id})")),
    );
}

fn check_entry(entry: &Entry, seen: &[Seen], journal: &Journal, findings: &mut Findings) {
    let key = &entry.command.key;
    let whole = is_whole(entry.command.kind, seen);
    match &entry.fate {
        Fate::Acknowledged(answer) => {
            let last = seen.last();
            if seen.is_empty() && verdicts::at(journal, entry, answer.stream, answer.version) == Some(Verdict::Idle) {
                // It changed nothing, and there was nothing to change.
            } else if seen.is_empty() {
                findings.add(
                    "acknowledged",
                    format!(
                        "{key} was answered {} at version {} of {}, and is not in the journal",
                        answer.status, answer.version, answer.stream
                    ),
                );
            } else if !whole {
                findings.add("acknowledged", format!("{key} is in the journal as {}, which is not once", text(seen)));
            } else if last.is_some_and(|last| last.version != answer.version || last.stream != answer.stream) {
                let told = format!("version {} of {}", answer.version, answer.stream);
                findings.add("acknowledged", format!("{key} was told {told}, and is in the journal as {}", text(seen)));
            }
        }
        Fate::Refused(status) if !seen.is_empty() => {
            findings.add(
                "nothing else",
                format!("{key} was refused with {status}, and is in the journal as {}", text(seen)),
            );
        }
        Fate::Refused(status) if !verdicts::may_be_refused(journal, entry, *status) => {
            findings.add("answers", format!("{key} was refused with {status}, and at no version do the rules say so"));
        }
        Fate::Unknown if !seen.is_empty() && !whole => {
            findings.add(
                "nothing else",
                format!("{key} had no answer, and is in the journal as {}, which is not once", text(seen)),
            );
        }
        Fate::Refused(_) | Fate::Unknown => {}
    }
    if let Some(event) = seen.iter().find(|event| event.by != entry.principal) {
        findings.add(
            "nothing else",
            format!("{key} is in the journal as of {}, and {} sent it", event.by, entry.principal),
        );
    }
    if let Some(event) = seen.iter().find(|event| entry.command.stream.is_some_and(|stream| stream != event.stream)) {
        findings.add("nothing else", format!("{key} is in the journal in another consultation, {}", event.stream));
    }
}

/// Whether these are the events of one command, each once.
fn is_whole(kind: Kind, seen: &[Seen]) -> bool {
    let kinds: Vec<&str> = seen.iter().map(|event| event.kind).collect();
    let one = |kind: &str| kinds == [kind];
    match kind {
        Kind::Ask { .. } => one("requested") || kinds == ["requested", "terms_set"],
        Kind::Comment => one("commented"),
        Kind::Respond(_) => one("vote_cast") || kinds == ["vote_cast", "responded"] || one("late_response_recorded"),
        Kind::Claim => one("claimed"),
        Kind::Release => one("released"),
        Kind::Assign { .. } => one("assigned"),
        Kind::Delegate { .. } => one("delegated"),
        Kind::Question { .. } => one("information_requested"),
        Kind::Provide { .. } => one("information_provided"),
        Kind::Withdraw => one("withdrawn"),
    }
}

/// What was sent must be what is journalled.
fn check_content(entry: &Entry, seen: &[Seen], journal: &Journal, findings: &mut Findings) {
    let key = &entry.command.key;
    for Seen { kind, stream, version, .. } in seen {
        let Some(stream) = journal.streams.get(stream) else { continue };
        if stream.event(*version).is_some_and(|event| !says(entry.command.kind, event)) {
            findings.add("acknowledged", format!("{key} is {:?}, and {kind} says another thing", entry.command.kind));
        }
        if *kind == "requested" {
            let differences = asked::differences(&entry.command.body, stream);
            findings.add_all("acknowledged", differences.into_iter().map(|text| format!("{key}: {text}")));
        }
    }
}

/// Whether an event of a command of this kind says what the command said.
fn says(kind: Kind, event: &ConsultationEvent) -> bool {
    match (kind, event) {
        (Kind::Respond(decision), event) => rules::decision(event) == Some(decision),
        (Kind::Assign { to }, ConsultationEvent::Assigned(event)) => event.to.id == to,
        (Kind::Delegate { to }, ConsultationEvent::Delegated(event)) => event.to.id == to,
        (Kind::Question { id }, ConsultationEvent::InformationRequested(event)) => event.question_id == id,
        (Kind::Provide { question }, ConsultationEvent::InformationProvided(event)) => event.question_id == question,
        // That the kinds belong together was seen before.
        _ => true,
    }
}

fn check_row(entry: &Entry, seen: &[Seen], rows: &Rows, journal: &Journal, findings: &mut Findings) {
    let (key, row) = (&entry.command.key, rows.0.get(&entry.row));
    let is_idle = |row: &Remembered| verdicts::at(journal, entry, row.stream, row.version) == Some(Verdict::Idle);
    match (&entry.fate, row) {
        (_, None) if entry.is_forgotten => {}
        (Fate::Acknowledged(answer), row) => {
            let wanted = Remembered { stream: answer.stream, version: answer.version, status: answer.status };
            if row != Some(&wanted) {
                findings.add("idempotency", format!("{key} was answered {wanted:?}, and remembered is {row:?}"));
            }
        }
        // It changed nothing, and there was nothing to change.
        (Fate::Unknown, Some(row)) if seen.is_empty() && is_idle(row) => {}
        (Fate::Unknown, row) if row.is_some() == seen.is_empty() => {
            let (row, seen) =
                (if row.is_some() { "is" } else { "is not" }, if seen.is_empty() { "is not" } else { "is" });
            findings.add("idempotency", format!("{key} had no answer: it {row} remembered, and {seen} in the journal"));
        }
        (Fate::Refused(status), Some(_)) => {
            findings
                .add("idempotency", format!("{key} was refused with {status}, and that is remembered as an answer"));
        }
        _ => {}
    }
}

fn text(seen: &[Seen]) -> String {
    let one = |event: &Seen| format!("{} at version {} of {}", event.kind, event.version, event.stream);
    seen.iter().map(one).collect::<Vec<_>>().join(" and ")
}
