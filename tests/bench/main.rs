//! The benchmark: every figure beside its yardstick from the same run, and the ratio.
//!
//! `script/bench [small|full]` builds it in release form and runs it. Seconds of one machine mean little; the ratios are what to
//! read. Nothing here passes or fails: it prints, and says where a target is missed.

#![allow(clippy::disallowed_methods, reason = "a benchmark calls the servers that it started, as their clients do")]

mod append;
mod deadlines;
mod engagement;
mod full;
mod graph;
mod http;
mod import;
mod inbox;
mod kafka;
mod logins;
mod process;
mod projected;
mod rebuild;
mod relay;
mod report;
mod server;
mod startup;
mod tokens;
mod webhooks;
mod yardstick;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use docket_platform::embedded::ScratchCluster;
use full::Full;
use report::Report;

/// How much is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Size {
    /// Some seconds: shows that everything runs, the figures are rough.
    Small,
    /// Some minutes: the figures that docs/performance.md quotes.
    Full,
}

impl Size {
    /// Seconds per measurement.
    const fn seconds(self) -> f64 {
        match self {
            Self::Small => 0.5,
            Self::Full => 5.0,
        }
    }

    /// `full` for a full run, `small` for a small one.
    const fn pick<T: Copy>(self, small: T, full: T) -> T {
        match self {
            Self::Small => small,
            Self::Full => full,
        }
    }
}

#[derive(Debug, Parser)]
#[command(about = "Measures Docket against its yardsticks on this machine")]
struct Args {
    /// How much is run
    #[arg(value_enum, default_value = "small")]
    size: Size,
    /// The release build of docket
    #[arg(long, default_value = "target/release/docket")]
    docket: PathBuf,
    /// Only the sections whose name contains this: append, relay, rebuild, graph, http, logins, tokens, deadlines, webhooks, inbox,
    /// import, engagement, startup
    #[arg(long)]
    only: Option<String>,
}

impl Args {
    fn wants(&self, section: &str) -> bool {
        self.only.as_deref().is_none_or(|only| section.contains(only))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    // Durable, unlike the cluster of the tests: commits cost what they cost.
    let cluster = ScratchCluster::start_with(|config| config.durable = true)?;
    let wanted = |name: &str| args.wants(name);
    let mut report = Report::new();
    if wanted("append") {
        append::run(&cluster, args.size, &mut report).await?;
    }
    if wanted("relay") || wanted("rebuild") {
        whole_log(&cluster, &args, &mut report).await?;
    }
    if wanted("graph") {
        graph::run(&cluster, args.size, &mut report).await?;
    }
    // One server after the other: what rests takes memory and a little time.
    drop(cluster);
    if wanted("http") {
        http::run(&args.docket, args.size, &mut report).await?;
    }
    if wanted("logins") {
        logins::run(&args.docket, args.size, &mut report).await?;
    }
    if wanted("tokens") {
        tokens::run(&args.docket, args.size, &mut report).await?;
    }
    if wanted("deadlines") {
        deadlines::run(&args.docket, args.size, &mut report).await?;
    }
    if wanted("webhooks") {
        webhooks::run(&args.docket, args.size, &mut report).await?;
    }
    if wanted("inbox") {
        inbox::run(&args.docket, args.size, &mut report).await?;
    }
    if wanted("import") {
        import::run(&args.docket, args.size, &mut report).await?;
    }
    if wanted("engagement") {
        engagement::run(&args.docket, args.size, &mut report).await?;
    }
    if wanted("startup") {
        startup::run(&args.docket, &mut report).await?;
    }
    report.print();
    Ok(())
}

/// The sections that go through all events: rebuilding from the journal, publishing it, rebuilding from what was published.
async fn whole_log(cluster: &ScratchCluster, args: &Args, report: &mut Report) -> Result<()> {
    let full = Full::fill(cluster, args.size).await?;
    if args.wants("rebuild") {
        rebuild::run(&full, report).await?;
    }
    let broker = kafka::broker().await?;
    let shards = full.store.installation().shards;
    let log = kafka::topics(&broker, "docket", shards).await?;
    if args.wants("relay") {
        let bare = kafka::topics(&broker, "bare", shards).await?;
        relay::run(&full, &log, &bare, args.size, report).await?;
    } else {
        relay::publish(&full, &log).await?;
    }
    if args.wants("rebuild") {
        rebuild::run_kafka(&full, &log, report).await?;
    }
    Ok(())
}
