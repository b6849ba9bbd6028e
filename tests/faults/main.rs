//! The fault campaign: real processes under load, a fault, and a check of everything that Docket promises; again and again.
//!
//! `script/faults N` builds Docket with the feature `faults` and runs this. `docs/reliability.md` tells how to read what it prints.
//!
//! | you look for | module |
//! |---|---|
//! | PostgreSQL, the processes, a fresh database | [`topology`], [`process`], [`reaper`] |
//! | the brokers | [`kafka`] |
//! | what clients do, and what they were told | [`load`], [`author`], [`board`], [`client`], [`ledger`], [`people`] |
//! | who is told by webhooks | [`webhooks`] |
//! | what is done to the processes | [`faults`], [`inject`] |
//! | what must hold afterwards | [`check`], [`lag`] |
//! | fault after fault, the summary | [`campaign`] |
//! | seeded bugs, which the check must see | [`prove`] |

// Sequences and versions are small; the database's integers are signed and ours are not. Rates and seconds are printed, not counted.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss
)]
#![allow(clippy::disallowed_methods, reason = "a test calls the servers that it started, as their clients do")]

mod author;
mod board;
mod campaign;
mod check;
mod client;
mod faults;
mod inject;
mod kafka;
mod lag;
mod ledger;
mod load;
mod people;
mod process;
mod prove;
mod reaper;
mod report;
mod sessions;
mod topology;
mod webhooks;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use docket_log::faults::Bug;
use docket_platform::ids;
use tokio::signal::unix::{SignalKind, signal};

use crate::report::Tally;

/// Where the log of the system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Log {
    /// In the journal alone: nothing but PostgreSQL.
    Journal,
    /// In Kafka from the beginning.
    Kafka,
    /// In the journal at first, and switched to Kafka under load.
    Mixed,
}

impl Log {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Kafka => "kafka",
            Self::Mixed => "mixed",
        }
    }
}

/// What is asked of the campaign.
#[derive(Debug, Parser)]
#[command(name = "script/faults", about = "Breaks a running Docket on purpose, and checks that it kept every promise")]
pub struct Args {
    /// How many faults
    pub faults: Option<u32>,
    /// Where the log is
    #[arg(long, value_enum, default_value_t = Log::Journal)]
    pub log: Log,
    /// Brokers: 1, or 3 of which one is killed every 20 s
    #[arg(long, default_value_t = 1, value_parser = brokers)]
    pub brokers: usize,
    /// Seconds for which a broker is frozen
    #[arg(long, default_value_t = 45)]
    pub freeze: u64,
    /// How many consultations fall due together where schedulers are killed
    #[arg(long, default_value_t = 300)]
    pub burst: u32,
    /// Where the choice of faults begins; printed by every run, so that a choice can be made again
    #[arg(long)]
    pub seed: Option<u64>,
    /// Show that the check can fail: every seeded bug must be caught
    #[arg(long)]
    pub prove_checker: bool,
    /// The same for one seeded bug
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(Bug::ALL.map(|(name, _)| name)))]
    pub bug: Option<String>,
    /// Only faults whose name contains this
    #[arg(long)]
    pub only: Option<String>,
    /// Commands a second that clients try to send
    #[arg(long, default_value_t = 240)]
    pub rate: u32,
    /// Leave the data folder for inspection
    #[arg(long)]
    pub keep: bool,
    /// The binary, built with the feature `faults`
    #[arg(long, env = "DOCKET_FAULTS_BINARY", default_value = "target/faults/docket")]
    pub binary: PathBuf,
}

fn brokers(text: &str) -> Result<usize, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("1 or 3".to_owned()),
    }
}

impl Args {
    /// The bugs to prove, by name.
    fn bugs(&self) -> Vec<&'static str> {
        Bug::ALL
            .into_iter()
            .map(|(name, _)| name)
            .filter(|name| self.bug.as_deref().map_or(self.prove_checker, |bug| bug == *name))
            .collect()
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let ended = tokio::select! {
        ended = run(&args) => ended,
        name = interrupted() => Err(anyhow::anyhow!("ended by {name}")),
    };
    match ended {
        Ok(tally) => {
            println!("\n{} passed, {} failed", tally.passed, tally.failed);
            if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("faults: {error:#}");
            println!("\n0 passed, 1 failed");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<Tally> {
    let bugs = args.bugs();
    ensure!(
        args.faults.is_some() || !bugs.is_empty(),
        "how many faults? try: script/faults 5, or script/faults --prove-checker"
    );
    ensure_faults_build(&args.binary)?;
    let seed = args.seed.unwrap_or_else(|| u64::from(u32::from_be_bytes(ids::random_bytes::<4>())));
    println!("seed {seed}");
    let mut tally = Tally::default();
    if let Some(faults) = args.faults.filter(|_| args.bug.is_none()) {
        tally.add(campaign::run(args, faults, seed).await?);
    }
    if !bugs.is_empty() {
        tally.add(prove::run(args, &bugs, seed).await?);
    }
    Ok(tally)
}

/// A build without the feature would survive every step and have no bug: a campaign with it would show nothing.
fn ensure_faults_build(binary: &std::path::Path) -> Result<()> {
    let bytes =
        std::fs::read(binary).with_context(|| format!("{} cannot be read; start script/faults", binary.display()))?;
    let needle = b"DOCKET_FAULT_CRASH";
    let found = bytes.windows(needle.len()).any(|window| window == needle);
    ensure!(found, "{} was built without the feature `faults`", binary.display());
    Ok(())
}

/// Resolves when somebody wants the campaign to end. What it started is then dropped, and the reaper does the rest.
async fn interrupted() -> &'static str {
    let streams = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()));
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = streams else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
        _ = hangup.recv() => "SIGHUP",
    }
}
