//! A full journal published to a broker, beside a bare producer that has the same messages in memory.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use docket_log::{
    Bell, Kafka, MacKey, Mode, Topic,
    relay::{self, marks},
};
use docket_platform::Shutdown;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    Size,
    full::Full,
    kafka,
    report::{Report, Target},
};

/// How often the backlog is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// How long the whole may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// The section; afterwards the topics of `kafka` hold all of `full`. Those of `bare` are the yardstick's.
pub async fn run(full: &Full, kafka: &Kafka, bare: &Kafka, size: Size, report: &mut Report) -> Result<()> {
    let key = MacKey::load(&full.owner).await?;
    let events = Arc::new(kafka::events(full, size.pick(20_000, 200_000)).await?);
    // The first messages bring the broker's own code up to speed.
    kafka::produce(bare, &key, &events).await?;
    let before = kafka::produce(bare, &key, &events).await?;
    let rate = publish(full, kafka).await?;
    let after = kafka::produce(bare, &key, &events).await?;
    let producer = f64::midpoint(before, after);
    report.row(
        "relay, until the backlog is 0",
        format!("{rate:.0} events/s"),
        format!("bare producer {producer:.0}/s"),
        rate / producer,
        Target::AtLeast(0.4),
    );
    Ok(())
}

/// Lets a relay publish everything; events a second from the first movement of the marks on, so without the way to its leases.
pub async fn publish(full: &Full, kafka: &Kafka) -> Result<f64> {
    let shutdown = Shutdown::new();
    let (_mode, mode) = watch::channel(Mode::Kafka);
    let relay = tokio::spawn({
        let (kafka, database, stop) = (kafka.clone(), full.database.clone(), shutdown.clone());
        let (installation, bell) = (full.store.installation(), Bell::new(Topic::Journal));
        async move {
            relay::run(relay::Config::default(), kafka, &database, installation, &bell, mode, &stop).await?;
            anyhow::Ok(())
        }
    });
    let left = backlog(full, full.events - 1, &relay).await?;
    let started = Instant::now();
    backlog(full, 0, &relay).await?;
    let rate = left as f64 / started.elapsed().as_secs_f64();
    shutdown.drain(Duration::from_secs(30)).await?;
    relay.await??;
    Ok(rate)
}

/// Waits until the backlog is at most `wanted`, and answers it.
async fn backlog(full: &Full, wanted: u64, relay: &JoinHandle<Result<()>>) -> Result<u64> {
    let patient = Instant::now() + PATIENCE;
    loop {
        let backlog = marks::backlog(&full.owner).await?;
        if backlog <= wanted {
            return Ok(backlog);
        }
        ensure!(!relay.is_finished() && Instant::now() < patient, "{backlog} events were not published");
        tokio::time::sleep(LOOK).await;
    }
}
