//! Quiescence, by condition: every projection at the end of every shard, nothing left that is due, and all of it in Kafka where the
//! log is there.

use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use docket_log::relay::marks;
use tokio::time::{Instant, sleep};

use crate::{lag::lagging, report::Findings, topology::Topology};

/// How long it may take. A claim of a scheduler that was killed holds for ten seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is not quiet yet.
struct Unrest {
    lagging: Vec<String>,
    due: i64,
    /// Events that are not in Kafka yet.
    unpublished: u64,
    /// Shards of which the relay publishes nothing, and why.
    halted: Vec<String>,
}

impl Unrest {
    fn is_over(&self) -> bool {
        self.lagging.is_empty() && self.due == 0 && self.unpublished == 0 && self.halted.is_empty()
    }
}

/// Waits for it; the database's time at the beginning, up to which everything due must have been ended.
pub(super) async fn wait(topology: &Topology, findings: &mut Findings) -> Result<DateTime<Utc>> {
    let deadline = Instant::now() + PATIENCE;
    let mut asked_until = None;
    loop {
        let looked = look(topology, &mut asked_until).await;
        match (looked, asked_until) {
            (Ok(unrest), Some(at)) if unrest.is_over() => return Ok(at),
            (looked, at) if Instant::now() >= deadline => {
                report(looked, findings);
                return at.ok_or_else(|| anyhow::anyhow!("the database did not answer for {} s", PATIENCE.as_secs()));
            }
            _ => sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn look(topology: &Topology, asked_until: &mut Option<DateTime<Utc>>) -> Result<Unrest> {
    let mut connection = topology.owner.acquire().await?;
    let at = match *asked_until {
        Some(at) => at,
        None => *asked_until.insert(super::now(&mut connection).await?),
    };
    let due = sqlx::query_scalar("select count(*) from write.deadline where due_at <= $1")
        .bind(at)
        .fetch_one(&mut *connection)
        .await?;
    let mut unrest = Unrest { lagging: lagging(&mut connection, None).await?, due, unpublished: 0, halted: Vec::new() };
    if topology.is_on_kafka().await? {
        unrest.unpublished = marks::backlog(&topology.owner).await?;
        let marks = marks::all(&topology.owner).await?.into_iter();
        unrest.halted =
            marks.filter_map(|(shard, mark)| Some(format!("{shard} is halted: {}", mark.halted?))).collect();
    }
    Ok(unrest)
}

fn report(looked: Result<Unrest>, findings: &mut Findings) {
    let seconds = PATIENCE.as_secs();
    match looked {
        Ok(unrest) => {
            let open = unrest.lagging.into_iter().chain(unrest.halted);
            findings.add_all("quiet", open.map(|text| format!("after {seconds} s {text}")));
            if unrest.unpublished > 0 {
                findings.add("quiet", format!("after {seconds} s {} events were not in Kafka", unrest.unpublished));
            }
            if unrest.due > 0 {
                findings
                    .add("quiet", format!("after {seconds} s {} deadlines that had passed were not ended", unrest.due));
            }
        }
        Err(error) => findings.add("quiet", format!("after {seconds} s the database does not answer: {error}")),
    }
}
