//! What must hold of streams and shards: no gap, no time that runs back, one outcome, kept deadlines.

use std::collections::HashMap;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use docket_domain::{Aggregate, consultation::State};
use docket_events::consultation::ConsultationEvent;
use sqlx::PgConnection;
use uuid::Uuid;

use super::journal::{Journal, Row, Stream};
use crate::report::Findings;

/// Checks an event against the stream as it stood before.
pub(super) fn check_event(
    stream: &mut Stream,
    row: &Row,
    event: &ConsultationEvent,
    name: &str,
    findings: &mut Findings,
) {
    let before = stream.state.version;
    if row.stream_version as u64 != before + 1 {
        findings.add("gap-free", format!("{name} follows version {before}"));
    }
    if stream.last.is_some_and(|last| row.time < last) {
        findings.add("gap-free", format!("{name} is of an earlier time than the event before it"));
    }
    if let Err(text) = check_rules(stream, row.time, event) {
        findings.add("folds", format!("{name}: {text}"));
    }
    stream.vote = match event {
        ConsultationEvent::VoteCast(event) => Some(event.by.id),
        _ => None,
    };
}

/// The rules of a consultation's life, told apart from how the domain decides.
fn check_rules(stream: &mut Stream, time: DateTime<Utc>, event: &ConsultationEvent) -> Result<(), String> {
    let (state, deadline) =
        (stream.state.state(), stream.state.asked.as_ref().and_then(|asked| asked.request.deadline));
    let is_late = deadline.is_some_and(|deadline| time >= deadline);
    let wrong = |text: &str| Err(text.to_owned());
    match event {
        ConsultationEvent::Requested(_) if state.is_some() => return wrong("it was asked before"),
        ConsultationEvent::Requested(_) => return Ok(()),
        _ if state.is_none() => return wrong("nothing was asked"),
        ConsultationEvent::Commented(_) => {}
        ConsultationEvent::TermsSet(_)
        | ConsultationEvent::Claimed(_)
        | ConsultationEvent::Released(_)
        | ConsultationEvent::Assigned(_)
        | ConsultationEvent::Delegated(_)
        | ConsultationEvent::InformationRequested(_)
        | ConsultationEvent::InformationProvided(_)
        | ConsultationEvent::Reminded(_)
        | ConsultationEvent::Escalated(_) => {
            return wrong("the clients of the campaign command no such thing");
        }
        ConsultationEvent::VoteCast(_) | ConsultationEvent::Responded(_) if is_late => {
            return wrong("it was answered at or after its deadline");
        }
        ConsultationEvent::Responded(event) if stream.vote != Some(event.by.id) => {
            return wrong("no vote of the same reviewer stands before it");
        }
        ConsultationEvent::TimedOut(event) if deadline != Some(event.deadline) => {
            return wrong("it names another deadline");
        }
        ConsultationEvent::TimedOut(_) if !is_late => return wrong("it timed out before its deadline"),
        ConsultationEvent::LateResponseRecorded(_) if state != Some(State::TimedOut) => {
            return wrong("it had not timed out");
        }
        ConsultationEvent::VoteCast(_) if state != Some(State::Pending) => return wrong("it had ended"),
        ConsultationEvent::VoteCast(_) | ConsultationEvent::LateResponseRecorded(_) => {}
        ConsultationEvent::Responded(_) | ConsultationEvent::TimedOut(_) | ConsultationEvent::Withdrawn(_) => {
            stream.outcomes += 1;
            if stream.outcomes > 1 {
                return Err(format!("its outcome number {}", stream.outcomes));
            }
        }
    }
    if !matches!(event, ConsultationEvent::TimedOut(_)) && is_late && state == Some(State::Pending) {
        return wrong("its deadline had come, and no time-out stands before it");
    }
    Ok(())
}

/// Every shard must end where its counter stands.
pub(super) async fn check_shards(
    journal: &Journal,
    connection: &mut PgConnection,
    findings: &mut Findings,
) -> Result<()> {
    let rows: Vec<(i16, i16, i64)> = sqlx::query_as("select category, shard, sequence from write.shard")
        .fetch_all(connection)
        .await
        .context("reading the shards")?;
    for (category, shard, sequence) in rows {
        let tail = journal.tails.get(&(category, shard)).copied().unwrap_or(0);
        if tail != sequence {
            let text =
                format!("shard {shard} of category {category} ends at {tail}, and its counter stands at {sequence}");
            findings.add("gap-free", text);
        }
    }
    Ok(())
}

/// What the clock has to end must be what is pending; nothing that was due at `asked_until` may be left.
pub(super) async fn check_deadlines(
    journal: &Journal,
    connection: &mut PgConnection,
    asked_until: DateTime<Utc>,
    findings: &mut Findings,
) -> Result<()> {
    let rows: Vec<(Uuid, DateTime<Utc>)> = sqlx::query_as("select stream_id, due_at from write.deadline")
        .fetch_all(connection)
        .await
        .context("reading the deadlines")?;
    let mut kept: HashMap<Uuid, DateTime<Utc>> = rows.into_iter().collect();
    for (id, stream) in &journal.streams {
        let (wanted, found) = (stream.state.deadline(), kept.remove(id));
        if wanted != found {
            let of = |at: Option<DateTime<Utc>>| at.map_or_else(|| "none".to_owned(), |at| at.to_rfc3339());
            findings.add(
                "deadlines",
                format!("{id} has the deadline {}, and the clock was told {}", of(wanted), of(found)),
            );
        }
        if let Some(deadline) = wanted.filter(|deadline| *deadline <= asked_until) {
            findings.add(
                "deadlines",
                format!("{id} was due at {} and is pending at {}", deadline.to_rfc3339(), asked_until.to_rfc3339()),
            );
        }
    }
    findings.add_all(
        "deadlines",
        kept.into_keys().map(|id| format!("the clock was told of {id}, which is not in the journal")),
    );
    Ok(())
}
