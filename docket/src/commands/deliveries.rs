//! `docket deliveries`: what reactors sent, or could not send.
//!
//! Owns what is shown of it, which is nothing personal.

use chrono::{DateTime, SecondsFormat, Utc};
use clap::ValueEnum;
use docket_platform::db::DbRole;
use docket_projector::reactors::deliveries::{self, Entry, State};
use uuid::Uuid;

use crate::exit::Ending;
use crate::place::{self, Place};

/// What to do with them.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show what is given up, waits, or is done
    List(ListArgs),
    /// Try again what was given up
    Retry(RetryArgs),
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shown {
    /// Given up: too many attempts, or it can never work
    Dead,
    /// Tried, or waiting for the next attempt
    Pending,
    /// Delivered, or not needed any more; kept for 30 days
    Done,
}

impl From<Shown> for State {
    fn from(shown: Shown) -> Self {
        match shown {
            Shown::Dead => Self::Dead,
            Shown::Pending => Self::Pending,
            Shown::Done => Self::Done,
        }
    }
}

#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  docket deliveries list                               what is given up
  docket deliveries list --state pending --reactor mail
  docket deliveries list --state done --json | jq -r '.[].outcome'")]
struct ListArgs {
    #[command(flatten)]
    place: Place,
    /// Only those in this state
    #[arg(long, value_enum, default_value = "dead")]
    state: Shown,
    /// Only of this reactor, such as mail
    #[arg(long, value_name = "NAME")]
    reactor: Option<String>,
    /// So many at most, the oldest first
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "N")]
    limit: u32,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  docket deliveries retry                              everything that was given up
  docket deliveries retry --reactor mail
  docket deliveries retry --id 01990000-0000-5000-8000-000000000000

A running projector takes them up within a second. Their attempts are counted from one again, and their ids stay the same.")]
struct RetryArgs {
    #[command(flatten)]
    place: Place,
    /// Only of this reactor
    #[arg(long, value_name = "NAME")]
    reactor: Option<String>,
    /// Only this one
    #[arg(long, value_name = "ID")]
    id: Option<Uuid>,
}

/// Does it.
///
/// # Errors
/// When the database does not answer, or the one that is to be tried again was not given up.
pub async fn run(args: Args) -> anyhow::Result<()> {
    match args.action {
        Action::List(args) => list(args).await,
        Action::Retry(args) => retry(args).await,
    }
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let database = args.place.find().await?;
    let pool = args.place.pool(&database, DbRole::Projector);
    place::installation(&pool).await?;
    let found = deliveries::list(&pool, args.state.into(), args.reactor.as_deref(), args.limit).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    if found.is_empty() {
        println!("none is {}", State::from(args.state).name());
    }
    for entry in &found {
        println!("{}", line(entry));
    }
    Ok(())
}

async fn retry(args: RetryArgs) -> anyhow::Result<()> {
    let database = args.place.find().await?;
    let pool = args.place.pool(&database, DbRole::Projector);
    place::installation(&pool).await?;
    match (deliveries::retry(&pool, args.id, args.reactor.as_deref()).await?, args.id) {
        (0, Some(id)) => {
            Err(Ending::refused(format!("{id} is not among what was given up; nothing was changed")).into())
        }
        (0, None) => {
            println!("nothing was given up");
            Ok(())
        }
        (1, _) => {
            println!("one delivery is tried again");
            Ok(())
        }
        (more, _) => {
            println!("{more} deliveries are tried again");
            Ok(())
        }
    }
}

fn line(entry: &Entry) -> String {
    let Entry { id, reactor, target, state, attempts, noted_at, due_at, outcome, .. } = entry;
    let times = if *attempts == 1 { "attempt" } else { "attempts" };
    let next = due_at.map(|at| format!(", next {}", time(at))).unwrap_or_default();
    let outcome = outcome.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
    let state = state.name();
    format!("{id}  {reactor}  {target}  noted {}  {state} after {attempts} {times}{next}{outcome}", time(*noted_at))
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
