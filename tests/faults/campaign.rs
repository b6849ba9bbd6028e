//! Fault after fault: load, the fault, quiet, the check; a line for each and a summary.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep};

use crate::{
    Args,
    check::Checker,
    client::Client,
    faults::{Deck, Fault},
    inject::Injection,
    ledger::Books,
    load::{Board, Load},
    process::Environment,
    report::{Findings, Tally},
    topology::Topology,
};

/// Faults on one database. Checks grow with it, and one from its first event on ends it.
const FAULTS_PER_DATABASE: u32 = 20;
/// Load before a fault and after it.
const BEFORE: Duration = Duration::from_millis(800);
const AFTER: Duration = Duration::from_millis(2000);

/// One system with its clients and its checker.
pub struct Campaign {
    topology: Topology,
    client: Client,
    board: Arc<Board>,
    checker: Checker,
    seed: u64,
    rate: u32,
}

/// What a fault came to.
pub struct Round {
    /// What was found.
    pub findings: Findings,
    acknowledged: usize,
    rate: f64,
    repeated: u64,
    lost: u64,
    longest: Duration,
    restarts: u32,
    checking: Duration,
}

impl Campaign {
    /// Starts a system whose processes have `environment` besides.
    pub async fn start(args: &Args, seed: u64, environment: Environment) -> Result<Self> {
        let topology = Topology::start(&args.binary, args.keep, environment).await?;
        let client = Client::new(topology.addresses.clone(), Arc::clone(&topology.people), Arc::default())?;
        Ok(Self { topology, client, board: Arc::default(), checker: Checker::default(), seed, rate: args.rate })
    }

    /// Load, the fault, and the check.
    pub async fn round(&mut self, number: u32, fault: Fault) -> Result<Round> {
        self.client.log_in().await.context("logging in")?;
        let (starts, postmaster) = (self.topology.starts(), self.topology.postmaster());
        let mut findings = Findings::default();
        let load = Load::start(&self.client, &self.board, self.seed, number, self.rate);
        sleep(BEFORE).await;
        let injected =
            Injection::new(&self.topology, &self.client, self.seed, number, &mut findings).inject(fault).await;
        let mended = self.topology.ready().await;
        sleep(AFTER).await;
        let sent = load.stop().await;
        injected.with_context(|| format!("doing {fault}"))?;
        if let Err(error) = mended {
            findings.add("quiet", format!("{error:#}"));
        }
        let (acknowledged, repeated, lost, longest) = {
            let mut books = self.client.ledger().open();
            let lost = std::mem::take(&mut books.lost);
            (books.fresh_acknowledged(), std::mem::take(&mut books.repeated), lost, std::mem::take(&mut books.longest))
        };
        let started = Instant::now();
        self.checker
            .check(&self.topology, &self.client, &mut findings)
            .await
            .with_context(|| format!("checking after {fault}"))?;
        let restarts = self.topology.starts() - starts + u32::from(self.topology.postmaster() != postmaster);
        Ok(Round {
            findings,
            acknowledged,
            rate: acknowledged as f64 / sent.as_secs_f64(),
            repeated,
            lost,
            longest,
            restarts,
            checking: started.elapsed(),
        })
    }

    /// Checks everything from the first event on.
    pub async fn check_all(&mut self) -> Result<Findings> {
        let mut findings = Findings::default();
        self.checker.check_all(&self.topology, &self.client, &mut findings).await.context("checking from zero")?;
        Ok(findings)
    }

    /// Begins on a fresh database.
    pub async fn fresh(&mut self, keep_as: Option<&str>) -> Result<()> {
        self.topology.fresh(keep_as).await.context("making a fresh database")?;
        self.checker = Checker::default();
        self.board = Arc::default();
        *self.client.ledger().open() = Books::default();
        Ok(())
    }

    /// Where everything lies.
    pub fn folder(&self) -> String {
        self.topology.folder().display().to_string()
    }

    /// Ends everything.
    pub async fn stop(self) {
        self.topology.stop().await;
    }
}

/// Sums over all faults.
#[derive(Default)]
struct Summary {
    kinds: BTreeMap<String, (u32, u32)>,
    acknowledged: usize,
    repeated: u64,
    lost: u64,
    restarts: u32,
    slowest: Option<f64>,
    rates: f64,
    longest: Duration,
    tally: Tally,
    checks: BTreeMap<&'static str, usize>,
}

/// Runs `count` faults.
pub async fn run(args: &Args, count: u32, seed: u64) -> Result<Tally> {
    let started = Instant::now();
    let mut campaign = Campaign::start(args, seed, Vec::new()).await?;
    println!("{count} faults at {} commands/s; data in {}\n", args.rate, campaign.folder());
    let mut deck = Deck::new(seed, args.only.as_deref());
    let mut summary = Summary::default();
    let mut on_this_database = 0;
    for number in 1..=count {
        let fault = deck.deal().with_context(|| format!("no kind of fault contains {:?}", args.only))?;
        let mut round = campaign.round(number, fault).await?;
        on_this_database += 1;
        let is_last = on_this_database == FAULTS_PER_DATABASE || number == count;
        if is_last && round.findings.is_empty() {
            round.findings = campaign.check_all().await?;
        }
        let failed = !round.findings.is_empty();
        print(number, fault, &round, seed);
        summary.add(fault, &round);
        if (is_last || failed) && number < count {
            let keep_as = format!("after_fault_{number}");
            campaign.fresh((failed && args.keep).then_some(keep_as.as_str())).await?;
            on_this_database = 0;
        }
    }
    summary.print(count, seed, started.elapsed());
    if args.keep {
        println!("kept: {}", campaign.folder());
    }
    campaign.stop().await;
    Ok(summary.tally)
}

fn print(number: u32, fault: Fault, round: &Round, seed: u64) {
    let Round { acknowledged, rate, restarts, checking, longest, .. } = round;
    let verdict = if round.findings.is_empty() { "ok" } else { "FAILED" };
    println!(
        "{number:4}  {:<46} {acknowledged:5} acknowledged {rate:4.0}/s  longest {:4.1} s  {restarts} restarts  check {verdict} in {:.1} s",
        fault.to_string(),
        longest.as_secs_f64(),
        checking.as_secs_f64(),
    );
    if !round.findings.is_empty() {
        println!("     fault {number} of seed {seed}:");
        print!("{}", round.findings);
    }
}

impl Summary {
    fn add(&mut self, fault: Fault, round: &Round) {
        let passed = round.findings.is_empty();
        self.tally.count(passed);
        let (count, failed) = self.kinds.entry(fault.kind()).or_default();
        *count += 1;
        *failed += u32::from(!passed);
        self.acknowledged += round.acknowledged;
        self.repeated += round.repeated;
        self.lost += round.lost;
        self.restarts += round.restarts;
        self.rates += round.rate;
        self.slowest = Some(self.slowest.map_or(round.rate, |slowest| slowest.min(round.rate)));
        self.longest = self.longest.max(round.longest);
        for (check, count) in round.findings.checks() {
            *self.checks.entry(check).or_default() += count;
        }
    }

    fn print(&self, count: u32, seed: u64, took: Duration) {
        println!("\n{count} faults with seed {seed} in {:.1} minutes", took.as_secs_f64() / 60.0);
        for (kind, (count, failed)) in &self.kinds {
            println!("  {count:4}  {kind}{}", if *failed > 0 { format!("   {failed} FAILED") } else { String::new() });
        }
        let mean = self.rates / f64::from(count.max(1));
        println!(
            "  {} commands acknowledged, {mean:.0}/s in the mean, {:.0}/s during the slowest fault",
            self.acknowledged,
            self.slowest.unwrap_or(0.0)
        );
        println!("  {} attempts without an answer, {} commands repeated after their answer", self.lost, self.repeated);
        println!("  the longest answer took {:.1} s, all attempts together", self.longest.as_secs_f64());
        println!("  {} processes started again", self.restarts);
        match self.checks.is_empty() {
            true => println!("  no violation"),
            false => println!("  violations: {:?}", self.checks),
        }
    }
}
