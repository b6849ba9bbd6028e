//! The topics against the journal, event by event.
//!
//! Written apart from what `docket status --check --full` compares with: a mistake there must not hide one here.
//! Every topic is read from its first message on each time: a topic may lose what it had, so nothing of it is known from before.

use std::time::Duration;

use anyhow::{Context, Result};
use docket_events::{Recorded, ShardId};
use docket_log::{
    journal,
    kafka::{Edge, Probe},
};
use futures_util::TryStreamExt;
use tokio::time::{Instant, sleep};

use crate::{report::Findings, topology::Topology};

/// How long what was journalled may take into its topic: relays look every five seconds whether it lost its beginning.
const ARRIVED_WITHIN: Duration = Duration::from_secs(15);
/// Messages read at once.
const PAGE: usize = 5000;
const CHECK: &str = "topic";

/// Compares every shard.
pub(super) async fn check(topology: &Topology, findings: &mut Findings) -> Result<()> {
    let brokers = topology.kafka()?;
    let wanted = journal::tails(&topology.owner).await.context("reading the journal's ends")?;
    let shards: Vec<ShardId> = wanted.iter().map(|(shard, _)| *shard).collect();
    let deadline = Instant::now() + ARRIVED_WITHIN;
    let ends = loop {
        let edges = brokers.edges(&topology.owner, &shards).await?;
        let ends: Vec<(ShardId, u64, Edge)> =
            wanted.iter().filter_map(|(shard, tail)| Some((*shard, *tail, *edges.get(shard)?))).collect();
        // Each sequence has a message of its own.
        let has = |edge: &Edge| edge.last.map_or(0, |last| last.sequence).min(edge.end.unsigned_abs());
        if ends.iter().all(|(_, tail, edge)| has(edge) >= *tail) || Instant::now() >= deadline {
            break ends;
        }
        sleep(Duration::from_millis(100)).await;
    };
    let probe = brokers.probe(&topology.owner).await?;
    for (shard, tail, edge) in ends {
        let messages = read(&probe, shard, edge, findings).await?;
        // After the topic, so that whatever the topic holds is journalled by now.
        let journal: Vec<Recorded> = journal::shard_events(&topology.owner, shard, 0).try_collect().await?;
        findings.add_all(CHECK, compare(shard, tail, &messages, &journal));
    }
    Ok(())
}

async fn read(probe: &Probe, shard: ShardId, edge: Edge, findings: &mut Findings) -> Result<Vec<Recorded>> {
    let (mut messages, mut offset) = (Vec::new(), edge.low);
    while offset < edge.end {
        let page = probe.page(shard, offset, edge.end, PAGE).await.with_context(|| format!("reading {shard}"))?;
        messages.extend(page.events);
        findings.add_all(
            CHECK,
            page.strangers.iter().map(|stranger| format!("{shard} offset {}: {}", stranger.offset, stranger.reason)),
        );
        offset = page.next;
    }
    Ok(messages)
}

/// What is wrong with the messages of one shard, whose journal ended with `tail` before they were read.
pub(super) fn compare(shard: ShardId, tail: u64, messages: &[Recorded], journal: &[Recorded]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut at = 0;
    // What was on its way while a broker was emptied may stand before the beginning; readers set it aside.
    let beginning = messages.iter().position(|message| message.sequence == 1).unwrap_or(0);
    for (place, message) in messages.iter().enumerate() {
        let sequence = message.sequence;
        if place >= beginning {
            if sequence > at + 1 {
                wrong.push(format!("{shard} goes from sequence {at} to {sequence}"));
            }
            at = at.max(sequence);
        }
        match journal.get(sequence.saturating_sub(1) as usize) {
            None => {
                wrong.push(format!("{shard} holds {} under sequence {sequence}, and the journal nothing", message.id))
            }
            Some(event) if event != message => {
                wrong.push(format!("under sequence {sequence} {shard} holds {message:?}, and the journal {event:?}"));
            }
            Some(_) => {}
        }
    }
    if at < tail {
        wrong.push(format!("{shard} ends with sequence {at}, and the journal with {tail}"));
    }
    wrong
}
