//! What must hold of streams and shards: no gap, no time that runs back, one outcome, a clock that knows what is due next.

use std::collections::HashMap;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use docket_domain::{Aggregate, consultation::State};
use docket_events::consultation::ConsultationEvent;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    journal::{Journal, Row, Stream},
    life::{Due, Ended},
    rules,
};
use crate::report::Findings;

/// Checks an event against the stream as it stood before.
pub(super) fn check_event(stream: &Stream, row: &Row, event: &ConsultationEvent, name: &str, findings: &mut Findings) {
    let before = stream.state.version;
    if row.stream_version as u64 != before + 1 {
        findings.add("gap-free", format!("{name} follows version {before}"));
    }
    if stream.events.last().is_some_and(|(last, _)| row.time < *last) {
        findings.add("gap-free", format!("{name} is of an earlier time than the event before it"));
    }
    if let Err(text) = rules::judge(&stream.life, event, row.time, row.stream_version as u64) {
        findings.add("folds", format!("{name}: {text}"));
    }
}

/// Checks that no stream ends in the middle of what belongs together, and that both readings of it have come to the same.
pub(super) fn check_ends(journal: &Journal, findings: &mut Findings) {
    for (id, Stream { state, life, .. }) in &journal.streams {
        if let Err(text) = rules::judge_end(life) {
            findings.add("folds", format!("{id}: {text}"));
        }
        let domain = (state.state(), state.deadline());
        let ended = life.ended.map(|ended| match ended {
            Ended::Responded => State::Responded,
            Ended::TimedOut => State::TimedOut,
            Ended::Withdrawn => State::Withdrawn,
        });
        let own = (life.asked.as_ref().map(|_| ended.unwrap_or(State::Pending)), life.next().map(Due::at));
        if domain != own {
            findings.add("folds", format!("{id} folds to {domain:?}, and by its events it is {own:?}"));
        }
    }
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

/// Compares what the clock was told with the consultations.
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
    compare_deadlines(journal, rows.into_iter().collect(), asked_until, findings);
    Ok(())
}

/// What the clock was told must be what each consultation has due next: a reminder, an escalation or the deadline, and nothing while it
/// stands still. Nothing that was due at `asked_until` may be left.
pub(super) fn compare_deadlines(
    journal: &Journal,
    mut kept: HashMap<Uuid, DateTime<Utc>>,
    asked_until: DateTime<Utc>,
    findings: &mut Findings,
) {
    for (id, stream) in &journal.streams {
        let (wanted, found) = (stream.life.next().map(Due::at), kept.remove(id));
        if wanted != found {
            let of = |at: Option<DateTime<Utc>>| at.map_or_else(|| "never".to_owned(), |at| at.to_rfc3339());
            findings
                .add("deadlines", format!("next of {id} is due {}, and the clock was told {}", of(wanted), of(found)));
        }
        if let Some(due) = stream.life.owed_by_clock(asked_until) {
            findings.add("deadlines", format!("{due:?} of {id} was due and is open at {}", asked_until.to_rfc3339()));
        }
    }
    findings.add_all(
        "deadlines",
        kept.into_keys().map(|id| format!("the clock was told of {id}, which is not in the journal")),
    );
}
