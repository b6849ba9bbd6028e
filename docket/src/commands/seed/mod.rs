//! `docket seed`: an organisation with people, a knowledge graph, articles and what was read of them, all invented.
//!
//! Owns the way from a seed to the journal. What is made follows from the seed alone ([`shape`] has the dice and the shares), and goes in
//! through the domain's commands like anything else ([`write`]); afterwards the users may live on ([`live`]).

mod articles;
mod entities;
mod graph;
mod live;
mod names;
mod people;
mod reading;
mod shape;
#[cfg(test)]
mod tests;
mod words;
mod write;

use anyhow::Context;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::value_parser;
use docket_log::{Bell, Store, Topic};
use docket_platform::config::Masked;
use docket_platform::db::DbRole;
use docket_platform::{Shutdown, clock};
use uuid::Uuid;

use super::import::{self, journal::Done};
use crate::exit::Ending;
use crate::place::{self, Place};
use live::Live;
use names::Names;
use reading::Shelf;
use write::Writer;

/// How much to make of what.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  docket seed --users 100 --entities 10000 --relationships 50000 --articles 1000
  docket seed --live 5                                    and let the users read, ask and decide until Ctrl-C
  docket seed --seed 8 --until 2026-03-01 --password 'some words that nobody guesses'

It runs beside `docket up`. The same --seed makes the same; --until moves all dates. What is there already is left as it is: the command may be
repeated, also after a kill, and another number of things adds to what is there.

Entities are organisations (40 %), people (30 %), concepts (15 %), locations (10 %) and events (5 %). Half of them have one or two
relationships, one in fifty has 50 and more, most others belong to clusters of 3 to 5. Dates: 80 % in the last 30 days, 15 % in 30 to 90.
Confidence, quality and relevance: 60 % from 0.7, 30 % from 0.4, the rest below.

The users are members of the organisation and get no mail. Without --password nobody can sign in as one of them.")]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// Users: 60 % reviewers, 30 % requesters, 10 % analysts
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = value_parser!(u32).range(..=10_000))]
    users: u32,
    /// Entities of the knowledge graph
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = value_parser!(u32).range(..=1_000_000))]
    entities: u32,
    /// Relationships between them
    #[arg(long, default_value_t = 50_000, value_name = "N", value_parser = value_parser!(u32).range(..=10_000_000))]
    relationships: u32,
    /// Articles about them
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = value_parser!(u32).range(..=100_000))]
    articles: u32,
    /// Afterwards keep the users reading, asking and deciding, so many times a second, until Ctrl-C or SIGTERM
    #[arg(long, value_name = "RATE", value_parser = rate, allow_negative_numbers = true)]
    live: Option<f64>,
    /// What everything follows from
    #[arg(long, default_value_t = 7, value_name = "N")]
    seed: u64,
    /// The day before which everything happened; if not given, today (UTC)
    #[arg(long, value_name = "DATE")]
    until: Option<NaiveDate>,
    /// A password with which each of the users can sign in
    #[arg(long, env = "DOCKET_SEED_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    password: Option<Masked>,
    /// The organisation that all of it belongs to; if not given, the installation's first one
    #[arg(long, value_name = "ID")]
    organisation: Option<Uuid>,
}

/// The most actions a second.
const MAX_RATE: f64 = 1_000.0;

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= MAX_RATE => Ok(rate),
        _ => Err(format!("a rate is a number of actions a second, more than 0 and at most {MAX_RATE}")),
    }
}

impl Args {
    /// Refuses what cannot be made, before anything is.
    fn check(&self) -> Result<DateTime<Utc>, Ending> {
        let today = clock::now().date_naive();
        let until = self.until.unwrap_or(today);
        if until > today {
            return Err(Ending::usage(format!("--until {until} lies in the future: all of it has happened")));
        }
        let most = graph::most(self.entities as usize);
        if self.relationships as usize > most {
            return Err(Ending::usage(format!(
                "{} entities can have at most {most} relationships, and {} are asked for with --relationships",
                self.entities, self.relationships
            )));
        }
        if self.live.is_some() && self.users < 2 {
            return Err(Ending::usage(
                "with --live somebody asks and somebody else decides: that takes --users 2 at least",
            ));
        }
        Ok(until.and_time(NaiveTime::MIN).and_utc())
    }
}

/// Makes it, says what came of it, and lets the users live on if that was asked for.
///
/// # Errors
/// When it cannot be made, or the journal does not answer; what was made until then stays.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let until = args.check()?;
    let database = args.place.find().await?;
    let installation = place::installation(&args.place.pool(&database, DbRole::Writer)).await?;
    let bell = Bell::new(Topic::Journal);
    let store = args.place.store(&database, installation, bell.clone());
    let tenant = import::tenant(&store, args.organisation).await?;

    let work = Shutdown::new();
    // The readers of a running docket hear of it at once.
    work.spawn(bell.announce(store.pool().clone(), work.token()));
    let made = Box::pin(make(&args, &store, Names { tenant, seed: args.seed }, until)).await;
    work.begin();
    made
}

async fn make(args: &Args, store: &Store, names: Names, until: DateTime<Utc>) -> anyhow::Result<()> {
    let seed = args.seed;
    let users = people::people(seed, args.users as usize);
    let graph = graph::graph(seed, until, args.entities as usize, args.relationships as usize);
    let articles = articles::articles(seed, until, args.articles as usize, &graph);
    let shelf = Shelf::new(&articles);
    let sessions = reading::sessions(seed, until, users.len(), &shelf);

    let writer = Writer { store, names };
    tell("users", writer.users(&users, args.password.as_ref()).await?);
    tell("entities", writer.entities(&graph).await?);
    tell("relationships", writer.relationships(&graph).await?);
    tell("topics", writer.topics().await?);
    tell("articles", writer.articles(&articles).await?);
    tell("preferences", writer.cares(&reading::cares(seed, until, users.len())).await?);
    tell("sessions of reading", writer.sessions(&sessions).await?);
    tell("saved articles", writer.saved(&sessions).await?);
    if let Some(user) = users.first().filter(|_| args.password.is_some()) {
        println!("sign in, for instance, as {}", names.email(0, &user.name));
    }
    match args.live {
        None => Ok(()),
        Some(rate) => {
            let stop = Shutdown::new();
            stop.listen_for_signals().context("signals cannot be listened for")?;
            println!("live: {rate} actions a second, until Ctrl-C");
            let live = Live { store, names, users: &users, graph: &graph, shelf: &shelf };
            Box::pin(live.run(rate, &stop)).await
        }
    }
}

fn tell(what: &str, done: Done) {
    println!("{what:<20}{:>8}", done.all());
    println!("{:<20}{:>8}", "made", done.written);
    println!("{:<20}{:>8}", "already there", done.there);
}
