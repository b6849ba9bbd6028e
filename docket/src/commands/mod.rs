//! One file per command, each with its flags, its help and what it does.

pub mod command_api;
pub mod completions;
pub mod config;
pub mod deliveries;
pub mod demo;
pub mod health;
pub mod import;
pub mod keys;
pub mod log;
pub mod migrate;
pub mod projector;
pub mod query_api;
pub mod rebuild;
pub mod recover;
pub mod relay;
pub mod replay;
pub mod retry;
pub mod roles;
pub mod seed;
pub mod status;
pub mod up;

use crate::cli::{Action, Cli};

/// Does what was asked.
///
/// # Errors
/// What went wrong, with the exit code within it; see [`crate::exit`].
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    docket_platform::telemetry::init(&cli.log).map_err(|error| crate::exit::Ending::usage(error.to_string()))?;
    match cli.action {
        Action::Up(args) => up::run(args).await,
        Action::CommandApi(args) => command_api::run(args).await,
        Action::Projector(args) => projector::run(args).await,
        Action::QueryApi(args) => query_api::run(args).await,
        Action::Migrate(args) => migrate::run(args).await,
        Action::Import(args) => import::run(args).await,
        Action::Seed(args) => seed::run(args).await,
        Action::Demo(args) => demo::run(args).await,
        Action::Relay(args) => relay::run(args).await,
        Action::Replay(args) => replay::run(args).await,
        Action::Retry(args) => retry::run(args).await,
        Action::Deliveries(args) => deliveries::run(args).await,
        Action::Roles(args) => roles::run(&args),
        Action::Log(args) => log::run(args).await,
        Action::Rebuild(args) => rebuild::run(args).await,
        Action::Keys(args) => keys::run(args).await,
        Action::Recover(args) => recover::run(args).await,
        Action::Status(args) => status::run(args).await,
        Action::Health(args) => health::run(args).await,
        Action::Config(args) => config::run(&cli.log, &args),
        Action::Completions(args) => completions::run(&args),
    }
}

/// A reader that has seen enough (`docket replay | head`) is no failure.
fn quietly(written: std::io::Result<()>) -> std::io::Result<()> {
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
