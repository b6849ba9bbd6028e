//! `docket rebuild`: a projection made anew from the log while the old rows serve, and the tables it leaves behind.

use std::time::Duration;

use docket_log::{Bell, Installation, KafkaArgs, LogReader, MacKey, Mode, Topic};
use docket_platform::config::parse_duration;
use docket_platform::db::{Database, DbRole};
use docket_projector::generation::{self, Listed};
use docket_projector::rebuild::{self, RebuildError, RebuildOptions};
use sqlx::PgPool;
use tokio::sync::watch;

use crate::exit::Ending;
use crate::place::{self, Place};
use crate::progress::Progress;

/// What to rebuild, and how.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  docket rebuild consultation                     from the log, at 20000 events a second at most
  docket rebuild consultation --rate 0            as fast as it goes
  docket rebuild consultation --from kafka        from the topics alone; the journal is not read
  docket rebuild --list                           which tables are live, being built, or old
  docket rebuild --drop-old                       drop the tables that rebuilds have replaced

Everything serves on meanwhile. The new tables stand beside the live ones until they have every event; then views and projectors change
over in one transaction, and open subscriptions are told to read anew. Cut off, it goes on where it was when run again. An event that
cannot be applied ends it, and the live rows stay. Needs the owner of the schema.")]
pub struct Args {
    /// The projection: consultation, consultation_stats, identity, directory, audit or feed
    #[arg(value_name = "PROJECTION", required_unless_present_any = ["list", "drop_old"])]
    projection: Option<String>,
    /// Show the tables of all projections, and which are live
    #[arg(long, conflicts_with_all = ["projection", "drop_old"])]
    list: bool,
    /// Drop tables that were replaced: of the projection, or of all
    #[arg(long)]
    drop_old: bool,
    /// Events a second, at most; 0: no limit
    #[arg(long, default_value_t = 20_000, value_name = "N", conflicts_with = "drop_old")]
    rate: u32,
    /// Begin anew, and not where an earlier rebuild was cut off
    #[arg(long, conflicts_with = "drop_old")]
    anew: bool,
    /// Where the events are read
    #[arg(long, value_enum, default_value_t = From::Log, conflicts_with = "drop_old")]
    from: From,
    /// How long it waits for events that do not come, and for transactions that keep the views
    #[arg(long, default_value = "60s", value_parser = parse_duration, value_name = "DURATION", conflicts_with = "drop_old")]
    patience: Duration,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    kafka: KafkaArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum From {
    /// Wherever the log is
    Log,
    /// The journal in PostgreSQL
    Journal,
    /// The topics alone
    Kafka,
}

/// Does it, and says what there is now.
///
/// # Errors
/// When it could not be done; the live rows are then as they were.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let database = args.place.find().await?;
    let owner = database.pool(DbRole::Owner, 4, args.place.database.acquire_timeout);
    let installation = place::installation(&owner).await?;
    if args.list {
        print!("{}", table(&generation::list(&owner).await?));
        return Ok(());
    }
    if args.drop_old {
        return drop_old(&owner, args.projection.as_deref()).await;
    }
    let reader = reader(&args, &database, installation).await?;
    let options = RebuildOptions {
        rate: (args.rate > 0).then_some(args.rate),
        anew: args.anew,
        patience: args.patience,
        ..RebuildOptions::default()
    };
    // Clap sees to it that one is named.
    let projection = args.projection.unwrap_or_default();
    let shown = Progress::new("rebuilt");
    let report = rebuild::rebuild(&owner, reader, &projection, &options, |progress| show(&shown, progress)).await;
    shown.end();
    let report = report.map_err(|error| match error {
        RebuildError::NoSuchProjection(_) => Ending::usage(error.to_string()).into(),
        RebuildError::Busy(_) => Ending::refused(error.to_string()).into(),
        other => anyhow::Error::new(other),
    })?;
    let generation = report.generation;
    let seconds = report.took.as_secs_f64();
    println!("rebuilt  {projection}: {} events in {seconds:.1} s; {} is live", report.events, generation.home);
    println!("what it replaced stays until `docket rebuild --drop-old`");
    Ok(())
}

fn show(shown: &Progress, progress: rebuild::Progress) {
    match progress {
        rebuild::Progress::Dropped { version } => {
            eprintln!("an unfinished rebuild of version {version} is of no use and was dropped");
        }
        rebuild::Progress::Begun { done, total } => {
            if done > 0 {
                eprintln!("going on behind {done} of {total} events");
            }
            shown.begin(done, total);
        }
        rebuild::Progress::At { done, total } => shown.at(done, total),
        rebuild::Progress::Switching => {}
    }
}

async fn reader(args: &Args, database: &Database, installation: Installation) -> anyhow::Result<LogReader> {
    let kafka = place::kafka(&args.kafka)?;
    let pool = database.pool(DbRole::Projector, 2, args.place.database.acquire_timeout);
    let bell = Bell::new(Topic::Journal);
    let (_, mode) = watch::channel(installation.mode);
    Ok(match (args.from, kafka) {
        (From::Journal, _) => LogReader::new(pool, &bell, None, mode)?,
        (From::Log, None) if installation.mode == Mode::Journal => LogReader::new(pool, &bell, None, mode)?,
        (From::Log | From::Kafka, None) => {
            return Err(Ending::usage("to read the log in Kafka, set KAFKA_BROKERS").into());
        }
        (From::Log, Some(kafka)) => {
            let key = MacKey::load(&pool).await?;
            LogReader::new(pool, &bell, Some((&kafka, key)), mode)?
        }
        (From::Kafka, Some(kafka)) => {
            let key = MacKey::load(&pool).await?;
            LogReader::kafka_alone(pool, &kafka, key)?
        }
    })
}

async fn drop_old(owner: &PgPool, projection: Option<&str>) -> anyhow::Result<()> {
    let known = docket_projector::registry().iter().map(|known| known.info().name);
    if let Some(name) = projection.filter(|name| !known.clone().any(|known| known == *name)) {
        return Err(Ending::usage(RebuildError::NoSuchProjection(name.to_owned()).to_string()).into());
    }
    let dropped = generation::drop_old(owner, projection).await?;
    for old in &dropped {
        println!("dropped  {} {} in {}", old.projection, old.number, old.home);
    }
    if dropped.is_empty() {
        println!("there are no old tables");
    }
    Ok(())
}

fn table(listed: &[Listed]) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "{:20} {:>10} {:>7} {:24} {:9} {:>12}\n",
        "projection", "generation", "version", "schema", "state", "bytes"
    );
    for Listed { generation, bytes, built } in listed {
        let state = match built {
            Some(built) => format!("{} {:.0}%", generation.state, built * 100.0),
            None => generation.state.to_string(),
        };
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "{:20} {:>10} {:>7} {:24} {:9} {:>12}",
            generation.projection,
            generation.number,
            generation.version,
            generation.home.to_string(),
            state,
            bytes
        );
    }
    text
}
