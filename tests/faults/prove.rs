//! The checker can fail: a system with a seeded bug, faults apt to expose it, and a check that must see it.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::{
    Args, Log,
    campaign::Campaign,
    faults::Fault,
    report::{Findings, Tally},
};

/// The most faults until a bug must have been caught.
const ATTEMPTS: u32 = 4;

/// Faults apt to expose a bug.
fn apt(bug: &str) -> [Fault; 2] {
    match bug {
        // A zombie that wakes up with a batch in its hands.
        "drop-compare-and-set" => {
            [Fault::FreezeAt(0, "projector.before_checkpoint", 5), Fault::FreezeAt(1, "projector.before_checkpoint", 9)]
        }
        // Repetitions after a lost answer.
        "forget-idempotency" => [Fault::Racers(0), Fault::Crash(1, "command.before_answer", 5)],
        "acknowledge-before-commit" => [Fault::KillApi(0), Fault::KillPostgresBusy],
        "lose-deadline" => [Fault::KillApi(1), Fault::Crash(0, "append.after_commit", 20)],
        // Events in flight that never arrive, although the mark says so.
        "mark-before-acknowledgement" => [Fault::KillBrokerAndRelays(1), Fault::FreezeRelay(0)],
        // A backlog that whoever takes over leaves out.
        "resume-at-tail" => [Fault::KillRelays, Fault::KillBroker(1)],
        "skip-id-comparison" => [Fault::RestorePostgres, Fault::WipeBroker(1)],
        // What is refused at first, or dies on its way, never comes again.
        "settle-before-send" => [Fault::Crash(0, "webhook.before_send", 20), Fault::Crash(1, "webhook.after_send", 20)],
        // What shows under load alone.
        _ => [Fault::HotStreams, Fault::KillProjector(0)],
    }
}

/// Where a bug can show: those of the relay in Kafka alone, and the readers' in the journal.
fn place(bug: &str) -> Log {
    match bug {
        "mark-before-acknowledgement" | "resume-at-tail" | "skip-id-comparison" => Log::Kafka,
        _ => Log::Journal,
    }
}

/// Demands that each of `bugs` is caught.
pub async fn run(args: &Args, bugs: &[&'static str], seed: u64) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut lines = Vec::new();
    for log in [Log::Journal, Log::Kafka] {
        let of_log: Vec<&str> = bugs.iter().copied().filter(|bug| place(bug) == log).collect();
        if of_log.is_empty() {
            continue;
        }
        println!("\nno bug, log {}: the same faults must pass", log.name());
        let healthy = control(args, log, &of_log, seed).await?;
        tally.count(healthy.is_empty());
        let verdict = if healthy.is_empty() { "nothing seen, as it must be" } else { "FAILED" };
        lines.push(format!("  {:<28} {verdict}", format!("none, log {}", log.name())));
    }
    for bug in bugs {
        println!("\nseeded bug {bug}");
        let caught = prove(args, bug, seed).await?;
        tally.count(caught.is_some());
        lines.push(match caught {
            Some((faults, findings)) => {
                let checks: Vec<String> =
                    findings.checks().iter().map(|(check, count)| format!("{check} ({count})")).collect();
                format!("  {bug:<28} caught after {faults} by {}", checks.join(", "))
            }
            None => format!("  {bug:<28} NOT CAUGHT"),
        });
    }
    println!("\nseeded bugs, each in all processes, with seed {seed}");
    println!("{}", lines.join("\n"));
    Ok(tally)
}

/// Does to a system without a bug what exposes the bugs: a check that always fails would catch them all.
async fn control(args: &Args, log: Log, bugs: &[&str], seed: u64) -> Result<Findings> {
    let mut campaign = Campaign::start(args, log, seed, Vec::new()).await?;
    let faults: BTreeSet<Fault> = bugs.iter().flat_map(|bug| apt(bug)).collect();
    let mut findings = Findings::default();
    for (number, fault) in (1..).zip(faults) {
        findings = campaign.round(number, fault).await?.findings;
        println!("{number:4}  {:<46} {}", fault.to_string(), if findings.is_empty() { "ok" } else { "FAILED" });
        print!("{findings}");
        if !findings.is_empty() {
            break;
        }
    }
    campaign.stop().await?;
    Ok(findings)
}

/// Breaks a system that has `bug` until the check sees it.
async fn prove(args: &Args, bug: &'static str, seed: u64) -> Result<Option<(u32, Findings)>> {
    let environment = vec![("DOCKET_FAULT_BUG", bug.to_owned())];
    let mut campaign = Campaign::start(args, place(bug), seed, environment).await?;
    let mut caught = None;
    for (number, fault) in (1..=ATTEMPTS).zip(apt(bug).into_iter().cycle()) {
        let round = campaign.round(number, fault).await?;
        let seen = round.findings.is_violation();
        println!("{number:4}  {:<46} {}", fault.to_string(), if seen { "caught" } else { "not seen" });
        print!("{}", round.findings);
        if seen {
            caught = Some((number, round.findings));
            break;
        }
    }
    campaign.stop().await?;
    Ok(caught)
}
