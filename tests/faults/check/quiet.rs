//! Quiescence, by condition: every projection at the end of every shard, and nothing left that is due.

use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use docket_projector::registry;
use sqlx::{PgConnection, PgPool};
use tokio::time::{Instant, sleep};

use crate::{
    report::Findings,
    topology::{SHARDS, Topology},
};

/// How long it may take. A claim of a scheduler that was killed holds for ten seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is not quiet yet.
struct Unrest {
    lagging: Vec<String>,
    due: i64,
}

impl Unrest {
    fn is_over(&self) -> bool {
        self.lagging.is_empty() && self.due == 0
    }
}

/// Waits for it; the database's time at the beginning, up to which everything due must have been ended.
pub(super) async fn wait(topology: &Topology, findings: &mut Findings) -> Result<DateTime<Utc>> {
    let deadline = Instant::now() + PATIENCE;
    let mut asked_until = None;
    loop {
        let looked = look(&topology.owner, &mut asked_until).await;
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

async fn look(owner: &PgPool, asked_until: &mut Option<DateTime<Utc>>) -> Result<Unrest, sqlx::Error> {
    let mut connection = owner.acquire().await?;
    let at = match *asked_until {
        Some(at) => at,
        None => *asked_until.insert(super::now(&mut connection).await?),
    };
    let due = sqlx::query_scalar("select count(*) from write.deadline where due_at <= $1")
        .bind(at)
        .fetch_one(&mut *connection)
        .await?;
    Ok(Unrest { lagging: lagging(&mut connection).await?, due })
}

async fn lagging(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let rows: Vec<(String, i16, i16, i64, i64)> = sqlx::query_as(
        "select c.projection, c.category, c.shard, c.sequence, s.sequence
         from read.checkpoint c join write.shard s using (category, shard) order by 1, 2, 3",
    )
    .fetch_all(connection)
    .await?;
    let wanted: usize =
        registry().iter().map(|projection| projection.info().categories.len() * usize::from(SHARDS)).sum();
    let mut lagging: Vec<String> = rows
        .iter()
        .filter(|(.., at, tail)| at != tail)
        .map(|(projection, category, shard, at, tail)| {
            format!("{projection} stands at {at} of {tail} in shard {shard} of category {category}")
        })
        .collect();
    if rows.len() < wanted {
        lagging.push(format!("only {} of {wanted} checkpoints are there", rows.len()));
    }
    Ok(lagging)
}

fn report(looked: Result<Unrest, sqlx::Error>, findings: &mut Findings) {
    let seconds = PATIENCE.as_secs();
    match looked {
        Ok(unrest) => {
            findings.add_all("quiet", unrest.lagging.into_iter().map(|text| format!("after {seconds} s {text}")));
            if unrest.due > 0 {
                findings
                    .add("quiet", format!("after {seconds} s {} deadlines that had passed were not ended", unrest.due));
            }
        }
        Err(error) => findings.add("quiet", format!("after {seconds} s the database does not answer: {error}")),
    }
}
