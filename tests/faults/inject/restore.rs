//! PostgreSQL put back to an earlier state, behind Kafka, and brought back by `docket recover`.
//!
//! Under load a copy of the database is kept. When the load has ended and all of it is in Kafka, the copy takes the database's place.
//! The relays must then halt and touch no topic; and what had been acknowledged after the copy comes back from the topics.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use docket_events::ShardId;
use docket_log::{
    journal,
    kafka::Edge,
    relay::marks::{self, Mark},
};
use sqlx::{AssertSqlSafe, Row as _};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::Injection;

/// How long all that is journalled may take into Kafka.
const PUBLISHED_WITHIN: Duration = Duration::from_secs(30);
/// How long relays may take to see what happened.
const HALTED_WITHIN: Duration = Duration::from_secs(20);
/// How long they then have to do something wrong.
const TEMPTED: Duration = Duration::from_secs(1);

impl Injection<'_> {
    /// Keeps a copy of the database. Nothing runs meanwhile; clients wait.
    pub(super) async fn keep_a_copy(&mut self) -> Result<()> {
        self.topology.send_all_away().await?;
        let kept = self.topology.keep_copy().await;
        self.topology.processes().for_each(|process| process.come_back());
        kept
    }

    /// The copy takes the database's place, and is recovered.
    pub(super) async fn restore_the_copy(&mut self) -> Result<()> {
        let topology = self.topology;
        // The clock must not go on: what it ends here would be lost, and what it ends there would be in the way.
        for api in &topology.apis {
            api.send_away().await?;
        }
        if let Some(open) = topology.wait_published(PUBLISHED_WITHIN).await? {
            self.findings.add("quiet", format!("after {} s {open}", PUBLISHED_WITHIN.as_secs()));
        }
        let ends = self.ends().await?;
        let readers = || topology.relays.iter().chain(&topology.projectors);
        for process in readers() {
            process.send_away().await?;
        }
        topology.restore_copy().await?;
        self.forget_answers().await?;
        let edges = self.edges(&ends).await?;
        readers().for_each(|process| process.come_back());
        self.until_halted(&ends, &edges).await?;
        self.run_killed(&["recover"], "recover.").await?;
        let back = self.ends().await?;
        if back != ends {
            self.findings
                .add("topic", format!("`docket recover` gave a journal that ends {back:?}, and it had ended {ends:?}"));
        }
        topology.apis.iter().for_each(|api| api.come_back());
        topology.ready().await
    }

    /// Where the journal ends.
    async fn ends(&self) -> Result<BTreeMap<ShardId, u64>> {
        Ok(journal::tails(&self.topology.owner).await.context("reading the journal's ends")?.into_iter().collect())
    }

    async fn edges(&self, of: &BTreeMap<ShardId, u64>) -> Result<BTreeMap<ShardId, Edge>> {
        let shards: Vec<ShardId> = of.keys().copied().collect();
        self.topology.kafka()?.edges(&self.topology.owner, &shards).await
    }

    /// Every shard whose topic goes on where the journal does not must be halted, and nothing must be added to it.
    async fn until_halted(&mut self, ends: &BTreeMap<ShardId, u64>, before: &BTreeMap<ShardId, Edge>) -> Result<()> {
        let restored = self.ends().await?;
        let lost: Vec<ShardId> =
            ends.iter().filter(|(shard, end)| restored.get(shard) < Some(end)).map(|(shard, _)| *shard).collect();
        ensure!(!lost.is_empty(), "nothing was written after the copy");
        let deadline = Instant::now() + HALTED_WITHIN;
        let halted = |marks: &BTreeMap<ShardId, Mark>, shard: &ShardId| {
            marks.get(shard).and_then(|mark| mark.halted.clone()).is_some_and(|reason| reason.contains("restored"))
        };
        let mut marks = marks::all(&self.topology.owner).await?;
        while !lost.iter().all(|shard| halted(&marks, shard)) && Instant::now() < deadline {
            sleep(Duration::from_millis(100)).await;
            marks = marks::all(&self.topology.owner).await?;
        }
        sleep(TEMPTED).await;
        let after = self.edges(ends).await?;
        for shard in lost {
            if !halted(&marks, &shard) {
                let text =
                    format!("PostgreSQL was restored, and {shard} was not halted within {} s", HALTED_WITHIN.as_secs());
                self.findings.add("topic", text);
            }
            let (before, after) = (before.get(&shard).map(|edge| edge.end), after.get(&shard).map(|edge| edge.end));
            if before != after {
                let text = format!("PostgreSQL was restored, and the end of {shard} went from {before:?} to {after:?}");
                self.findings.add("topic", text);
            }
        }
        Ok(())
    }

    /// Answers that were remembered after the copy are gone: no event holds them. Nobody repeats their commands.
    async fn forget_answers(&self) -> Result<()> {
        let rows = sqlx::query(AssertSqlSafe("select id from write.idempotency")).fetch_all(&self.topology.owner).await;
        let kept: std::collections::HashSet<Uuid> =
            rows.context("reading the remembered answers")?.iter().map(|row| row.get(0)).collect();
        let mut books = self.client.ledger().open();
        for entry in books.entries.values_mut().filter(|entry| !kept.contains(&entry.row)) {
            entry.is_forgotten = true;
        }
        Ok(())
    }
}
