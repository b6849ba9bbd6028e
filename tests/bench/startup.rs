//! How soon `docket up` serves, and what it takes at rest, with the log in either place.

use std::{path::Path, time::Duration};

use anyhow::Result;
use docket_platform::scratch_kafka::ScratchKafka;

use crate::{
    kafka,
    report::{Report, Target},
    server::Server,
};

/// The section.
pub async fn run(docket: &Path, report: &mut Report) -> Result<()> {
    starts(docket, None, report).await?;
    starts(docket, Some(&kafka::broker().await?), report).await
}

/// A first start, a second one, and the rest after it.
async fn starts(docket: &Path, broker: Option<&ScratchKafka>, report: &mut Report) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("docket-bench-start-{}", std::process::id()));
    let first = Server::start(docket, &folder, broker).await?;
    let first_start = first.ready_after.as_secs_f64();
    first.stop().await?;
    let second = Server::start(docket, &folder, broker).await?;
    let second_start = second.ready_after.as_secs_f64();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let resident = second.resident()?;
    second.stop().await?;
    std::fs::remove_dir_all(&folder)?;
    let log = broker.map_or("", |_| " (Kafka)");
    for (figure, value, unit, bound) in [
        ("docket up, first start", first_start, "s", 10.0),
        ("docket up on existing data", second_start, "s", 3.0),
        ("docket process at rest", resident, "MiB", 80.0),
    ] {
        report.row(
            &format!("{figure}{log}"),
            format!("{value:.2} {unit}"),
            format!("target {bound} {unit}"),
            value / bound,
            Target::AtMost(1.0),
        );
    }
    Ok(())
}
