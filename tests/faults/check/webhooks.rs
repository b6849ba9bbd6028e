//! Webhooks: each event of a consultation reached the endpoint, and each outcome whoever asked to be called back.
//!
//! Owns the comparison of the journal with what the receiver took. It may take an event more than once, under one id.

use std::{collections::HashSet, time::Duration};

use anyhow::{Context, Result};
use docket_domain::webhook::{OUTCOMES, delivery_id, name_of};
use docket_events::Category;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{
    report::Findings,
    topology::Topology,
    webhooks::{CALLBACK, ENDPOINT, EVENTS, Memory},
};

/// How long it may take: claims of killed processes run out first, and an endpoint that refused begins one at a time.
const TOLD_WITHIN: Duration = Duration::from_secs(60);

/// An event of a consultation, and whether its asker is to be called back.
#[derive(Debug, sqlx::FromRow)]
struct Told {
    event_id: Uuid,
    stream_id: Uuid,
    stream_version: i64,
    event_type: String,
    calls_back: bool,
}

/// Every event since the endpoint was set was taken under one id, in order of its stream, or is a dead letter.
pub(super) async fn check(topology: &Topology, findings: &mut Findings) -> Result<()> {
    let told: Vec<Told> = sqlx::query_as(
        "select j.event_id, j.stream_id, j.stream_version, j.event_type,
             position('\"callback_url\"' in first.data) > 0 as calls_back
         from write.journal j
         join write.journal first on first.category = j.category and first.stream_id = j.stream_id and first.stream_version = 1
         where j.category = $1",
    )
    .bind(Category::Consultation.code())
    .fetch_all(&topology.owner)
    .await
    .context("reading what is to be told")?;
    wait(topology, findings).await?;
    let dead: HashSet<(bool, Uuid, i64)> =
        sqlx::query_as("select callback, stream_id, stream_version from react.delivery where state = 'dead'")
            .fetch_all(&topology.owner)
            .await
            .context("reading what was given up")?
            .into_iter()
            .collect();
    let mut memory = topology.receiver.memory();
    findings.add_all("webhooks", std::mem::take(&mut memory.odd));
    for event in told {
        findings.add_all("webhooks", compare(&memory, &event, EVENTS, &dead));
        if event.calls_back && OUTCOMES.contains(&name_of(&event.event_type)) {
            findings.add_all("webhooks", compare(&memory, &event, CALLBACK, &dead));
        }
    }
    // What was given up and asked for again could come later: nobody asks here.
    for (path, taken) in &memory.taken {
        let mixed = taken.order.iter().filter(|(_, versions)| !versions.is_sorted());
        findings.add_all(
            "webhooks",
            mixed.map(|(stream, versions)| format!("{path} first took of {stream} the versions {versions:?}")),
        );
    }
    Ok(())
}

/// Waits until the reactor has noted the last event and nothing is left to be sent.
async fn wait(topology: &Topology, findings: &mut Findings) -> Result<()> {
    let deadline = Instant::now() + TOLD_WITHIN;
    loop {
        let (lanes, unnoted): (i64, i64) = sqlx::query_as(
            "select (select count(*) from react.lane),
                 (select count(*) from write.journal j where j.category = $1 and not exists (
                     select from react.delivery d where d.event_id = j.event_id and d.endpoint = $2))",
        )
        .bind(Category::Consultation.code())
        .bind(ENDPOINT)
        .fetch_one(&topology.owner)
        .await
        .context("looking at what is to be sent")?;
        if lanes == 0 && unnoted == 0 {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let seconds = TOLD_WITHIN.as_secs();
            let text = format!("after {seconds} s {lanes} streams wait, and {unnoted} events are not noted");
            findings.add("webhooks", text);
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
}

fn compare(memory: &Memory, event: &Told, path: &str, dead: &HashSet<(bool, Uuid, i64)>) -> Option<String> {
    let Told { event_id, stream_id, stream_version, event_type, .. } = event;
    let name = format!("{event_type} {stream_version} of {stream_id}");
    let ids = memory.taken.get(path).and_then(|taken| taken.ids.get(&(*stream_id, *stream_version)));
    match ids {
        None if dead.contains(&(path == CALLBACK, *stream_id, *stream_version)) => None,
        None => Some(format!("{name} never came to {path}, and is no dead letter")),
        Some(ids) if ids.len() > 1 => Some(format!("{name} came to {path} under several ids: {ids:?}")),
        Some(ids) if path == EVENTS && !ids.contains(&delivery_id(*event_id, ENDPOINT).to_string()) => {
            Some(format!("{name} came to {path} under another id: {ids:?}"))
        }
        Some(_) => None,
    }
}
