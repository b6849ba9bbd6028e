//! `docket`: every role and every tool of the platform in one binary.
//!
//! Owns the command line, the assembly of roles into processes, and how a process ends. It must not hold a rule, a query or an
//! event of any feature: those are in the crates of their roles.

mod cli;
mod commands;
mod exit;
mod mail;
mod node;
mod people;
mod place;
mod progress;
mod web;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

/// Gives memory back to the system and keeps threads apart; the system's default does neither well under load.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long work that cannot be interrupted may hold up the end.
const LAST_WORK: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(exit::report_panic));
    // The hook has said what went wrong; the exit code is that of any failure.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(exit::FAILED.into())
}

fn run() -> ExitCode {
    let cli = cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&anyhow::Error::new(error).context("the process cannot start its threads")),
    };
    let result = runtime.block_on(commands::run(cli));
    runtime.shutdown_timeout(LAST_WORK);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}
