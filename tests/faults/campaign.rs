//! Fault after fault: load, the fault, quiet, the check; a line for each and a summary.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    sync::MutexGuard,
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    Args, Log,
    board::Board,
    check::Checker,
    client::Client,
    faults::{Dealer, Fault},
    inject::Injection,
    ledger::Books,
    load::Load,
    process::Environment,
    report::{Findings, Tally},
    topology::Topology,
};

/// Commands after which a database has had enough, however few its faults were: what is projected from zero grows with them.
const ACKNOWLEDGED_PER_DATABASE: usize = 15_000;
/// Load before a fault and after it.
const BEFORE: Duration = Duration::from_millis(800);
const AFTER: Duration = Duration::from_millis(2000);

/// One system with its clients and its checker.
pub struct Campaign {
    topology: Topology,
    client: Client,
    board: Arc<Board>,
    checker: Checker,
    turns: Option<Turns>,
    seed: u64,
    rate: u32,
}

/// One of three brokers is always about to be killed.
struct Turns {
    stop: DropGuard,
    task: JoinHandle<Result<()>>,
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
    /// Starts a system with a log of this kind, whose processes have `environment` besides.
    pub async fn start(args: &Args, log: Log, seed: u64, environment: Environment) -> Result<Self> {
        let topology = Topology::start(args, log, environment).await?;
        let client = Client::new(&topology.addresses, Arc::clone(&topology.people), Arc::default())?;
        let turns = topology.brokers.as_ref().filter(|brokers| brokers.count() > 1).map(|brokers| {
            let stop = CancellationToken::new();
            let task = tokio::spawn(Arc::clone(brokers).take_turns(stop.clone()));
            Turns { stop: stop.drop_guard(), task }
        });
        Ok(Self { topology, client, board: Arc::default(), checker: Checker::default(), turns, seed, rate: args.rate })
    }

    /// Load, the fault, and the check.
    pub async fn round(&mut self, number: u32, fault: Fault) -> Result<Round> {
        self.client.log_in().await.context("logging in")?;
        let (starts, postmaster) = (self.topology.starts(), self.topology.postmaster());
        let mut findings = Findings::default();
        let load = Load::start(&self.client, &self.board, self.seed, number, self.rate);
        sleep(BEFORE).await;
        let mut injection = Injection::new(&self.topology, &self.client, self.seed, number, &mut findings);
        let held = if fault.is_of_a_broker() { hold(&self.topology).await } else { None };
        let injected = injection.inject(fault).await;
        drop(held);
        let mended = self.topology.ready().await;
        sleep(AFTER).await;
        let sent = load.stop().await;
        injected.with_context(|| format!("doing {fault}"))?;
        // From here on all brokers are needed.
        let _held = hold(&self.topology).await;
        injection.finish(fault).await.with_context(|| format!("finishing {fault}"))?;
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
        let _held = hold(&self.topology).await;
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

    /// How often one of three brokers was killed because it was its turn.
    fn turns(&self) -> u32 {
        self.topology.brokers.as_ref().map_or(0, |brokers| brokers.kills())
    }

    /// Ends everything.
    pub async fn stop(self) -> Result<()> {
        if let Some(Turns { stop, task }) = self.turns {
            drop(stop);
            task.await?.context("killing one broker after the other")?;
        }
        self.topology.stop().await;
        Ok(())
    }
}

/// The brokers, so that nobody else breaks one.
async fn hold(topology: &Topology) -> Option<MutexGuard<'_, ()>> {
    match &topology.brokers {
        Some(brokers) => Some(brokers.hold().await),
        None => None,
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
    events: BTreeMap<String, u64>,
}

/// Runs `count` faults.
pub async fn run(args: &Args, count: u32, seed: u64) -> Result<Tally> {
    let started = Instant::now();
    let mut campaign = Campaign::start(args, args.log, seed, Vec::new()).await?;
    println!("{count} faults at {} commands/s, log {}; data in {}\n", args.rate, args.log.name(), campaign.folder());
    let mut dealer = Dealer::new(args, seed);
    let mut summary = Summary::default();
    let mut acknowledged = 0;
    for number in 1..=count {
        let fault = dealer.deal().with_context(|| format!("no kind of fault contains {:?}", args.only))?;
        let mut round = campaign.round(number, fault).await?;
        acknowledged += round.acknowledged;
        let is_last = dealer.is_over() || acknowledged > ACKNOWLEDGED_PER_DATABASE || number == count;
        if is_last && round.findings.is_empty() {
            round.findings = campaign.check_all().await?;
        }
        let failed = !round.findings.is_empty();
        print(number, fault, &round, seed);
        summary.add(fault, &round);
        if is_last || failed {
            summary.add_events(campaign.checker.kinds());
        }
        if (is_last || failed) && number < count {
            let keep_as = format!("after_fault_{number}");
            campaign.fresh((failed && args.keep).then_some(keep_as.as_str())).await?;
            dealer.next_database();
            acknowledged = 0;
        }
    }
    summary.print(count, seed, args.log, started.elapsed());
    if args.log != Log::Journal && args.brokers > 1 {
        println!("  {} times besides, one of {} brokers was killed", campaign.turns(), args.brokers);
    }
    if args.keep {
        println!("kept: {}", campaign.folder());
    }
    campaign.stop().await?;
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

    /// Adds the events of one database.
    fn add_events(&mut self, kinds: &BTreeMap<String, u64>) {
        for (kind, count) in kinds {
            *self.events.entry(kind.clone()).or_default() += count;
        }
    }

    fn print(&self, count: u32, seed: u64, log: Log, took: Duration) {
        println!("\n{count} faults, log {}, with seed {seed} in {:.1} minutes", log.name(), took.as_secs_f64() / 60.0);
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
        let events: Vec<String> = self.events.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        println!("  events of consultations: {}", events.join(", "));
        match self.checks.is_empty() {
            true => println!("  no violation"),
            false => println!("  violations: {:?}", self.checks),
        }
    }
}
