//! What clients were told, against what the journal holds and remembers.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result};
use sqlx::PgConnection;
use uuid::Uuid;

use super::journal::{Journal, Seen};
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
                check_entry(entry, seen, findings);
                check_row(entry, seen, rows, findings);
            }
            None => findings.add("nothing else", format!("{} carries the key {key}, which no client sent", text(seen))),
        }
    }
    let known: HashSet<Uuid> = books.entries.values().map(|entry| entry.row).collect();
    let foreign = rows.0.keys().filter(|id| !known.contains(id));
    findings.add_all(
        "idempotency",
        foreign.map(|id| format!("an answer is remembered for a key that no client sent ({id})")),
    );
}

fn check_entry(entry: &Entry, seen: &[Seen], findings: &mut Findings) {
    let key = &entry.command.key;
    let whole = is_whole(entry.command.kind, seen);
    match &entry.fate {
        Fate::Acknowledged(answer) => {
            let last = seen.last();
            if seen.is_empty() {
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
    match kind {
        Kind::Ask { .. } => kinds == ["requested"],
        Kind::Comment => kinds == ["commented"],
        Kind::Respond => kinds == ["vote_cast", "responded"] || kinds == ["late_response_recorded"],
    }
}

fn check_row(entry: &Entry, seen: &[Seen], rows: &Rows, findings: &mut Findings) {
    let (key, row) = (&entry.command.key, rows.0.get(&entry.row));
    match (&entry.fate, row) {
        (_, None) if entry.is_forgotten => {}
        (Fate::Acknowledged(answer), row) => {
            let wanted = Remembered { stream: answer.stream, version: answer.version, status: answer.status };
            if row != Some(&wanted) {
                findings.add("idempotency", format!("{key} was answered {wanted:?}, and remembered is {row:?}"));
            }
        }
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
