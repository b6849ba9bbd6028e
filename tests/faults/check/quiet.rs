//! Quiescence, by condition: every projection at the end of every shard, and nothing left that is due.

use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use tokio::time::{Instant, sleep};

use crate::{lag::lagging, report::Findings, topology::Topology};

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
    Ok(Unrest { lagging: lagging(&mut connection, None).await?, due })
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
