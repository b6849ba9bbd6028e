//! What is done to brokers, and to the log as a whole.

use std::{os::unix::process::ExitStatusExt, time::Duration};

use anyhow::{Context, Result};
use docket_log::{faults::OPERATOR_STEPS, relay::marks};
use rand::{RngExt, seq::IndexedRandom};
use tokio::time::sleep;

use super::Injection;
use crate::process::CRASH;

/// How long relays may try to reach a broker that is down: long enough that each has sent something.
const TRYING: Duration = Duration::from_millis(1200);
/// Before this much of a freeze is over, nobody need have noticed it.
const UNNOTICED: Duration = Duration::from_secs(2);
/// The latest that a command line is killed after its start.
const KILLED_WITHIN: u64 = 600;

impl Injection<'_> {
    /// Once, and every other time once more while it starts.
    pub(super) async fn kill_broker(&mut self, broker: usize) -> Result<()> {
        let brokers = self.topology.kafka()?;
        brokers.kill(broker).await?;
        sleep(Duration::from_millis(self.rng.random_range(0..1500))).await;
        if self.rng.random_bool(0.5) {
            let after = Duration::from_millis(self.rng.random_range(0..2000));
            brokers.kill_while_it_starts(broker, after).await?;
        }
        brokers.start_again(broker).await
    }

    /// What the relays said is published must be in Kafka before they have a chance to send it again.
    pub(super) async fn kill_broker_and_relays(&mut self, broker: usize) -> Result<()> {
        let brokers = self.topology.kafka()?;
        brokers.kill(broker).await?;
        sleep(TRYING).await;
        for relay in &self.topology.relays {
            relay.send_away().await?;
        }
        brokers.start_again(broker).await?;
        let marks = marks::all(&self.topology.owner).await.context("reading the marks")?;
        let shards: Vec<_> = marks.keys().copied().collect();
        let edges = brokers.edges(&self.topology.owner, &shards).await?;
        for (shard, mark) in marks {
            let last = edges.get(&shard).and_then(|edge| edge.last).map_or(0, |last| last.sequence);
            if last < mark.sequence {
                let text =
                    format!("{shard} is marked as published up to {}, and its topic ends with {last}", mark.sequence);
                self.findings.add("topic", text);
            }
        }
        self.topology.relays.iter().for_each(|relay| relay.come_back());
        Ok(())
    }

    /// Connections stay open and nobody answers. Commands must go on being accepted all the while.
    pub(super) async fn freeze_broker(&mut self, broker: usize, length: Duration) -> Result<()> {
        let brokers = self.topology.kafka()?;
        let acknowledged = || self.client.ledger().open().fresh_acknowledged();
        brokers.freeze(broker).await?;
        sleep(UNNOTICED).await;
        let before = acknowledged();
        sleep(length.saturating_sub(UNNOTICED)).await;
        let meanwhile = acknowledged() - before;
        brokers.thaw(broker).await?;
        if meanwhile == 0 {
            let text = format!("no command was acknowledged while broker {broker} was frozen");
            self.findings.add("answers", text);
        }
        Ok(())
    }

    /// Of three brokers one may lose everything, as long as the others have it.
    pub(super) async fn wipe_broker(&mut self, broker: usize) -> Result<()> {
        let brokers = self.topology.kafka()?;
        brokers.in_sync().await?;
        brokers.wipe(broker).await
    }

    /// Moves the log to Kafka; killed at a random moment and at a step, and repeated.
    pub(super) async fn switch_log(&mut self) -> Result<()> {
        self.run_killed(&["log", "switch", "kafka"], "switch.").await
    }

    /// Runs a command line that may be killed at any moment and repeated: killed once, killed at one of its steps, then to its end.
    pub(super) async fn run_killed(&mut self, line: &[&str], steps: &str) -> Result<()> {
        let mut child = self.topology.command(line)?.spawn().context("starting a command line")?;
        let after = Duration::from_millis(self.rng.random_range(0..KILLED_WITHIN));
        if tokio::time::timeout(after, child.wait()).await.is_err() {
            child.kill().await.context("killing a command line")?;
        }
        let steps: Vec<&str> = OPERATOR_STEPS.into_iter().filter(|step| step.starts_with(steps)).collect();
        let step = steps.choose(&mut self.rng).context("the command line has no steps")?;
        let crashed = self.topology.command(line)?.env(CRASH, step).status().await.context("running a command line")?;
        // It does not come to the step when the first attempt had come farther.
        if !crashed.success() && crashed.signal() != Some(9) {
            self.findings.add("fault", format!("`docket {}` ended with {crashed}: see its log", line.join(" ")));
        }
        let status = self.topology.command(line)?.status().await.context("running a command line")?;
        if !status.success() {
            self.findings.add("fault", format!("`docket {}` ended with {status}: see its log", line.join(" ")));
        }
        Ok(())
    }
}
