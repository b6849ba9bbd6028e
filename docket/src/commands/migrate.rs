//! `docket migrate`: brings the database up to date, before the roles of a new release start.

use docket_log::{Bell, KafkaArgs, Topic, installation::DEFAULT_SHARDS};

use crate::people;
use crate::place::{self, Place};

/// Which database, and what is fixed when it is set up first.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  DATABASE_URL=postgres://owner:secret@db/docket docket migrate
  docket migrate --data-dir ./.docket      the cluster of a docket that is running
  KAFKA_BROKERS=kafka:9092 DATABASE_URL=... docket migrate      a new installation whose log is in Kafka

Needs the owner of the schema. Sets the installation up and makes the signing key where they are missing; told the administrator's
password, it makes the first organisation and people too. Repeating it changes nothing. `docket up` does the same at its start.")]
pub struct Args {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    shards: Shards,
    #[command(flatten)]
    kafka: KafkaArgs,
    #[command(flatten)]
    first_start: docket_command_api::FirstStartArgs,
}

/// How finely the log is sliced.
#[derive(Debug, Clone, Copy, clap::Args)]
#[group(skip)]
pub struct Shards {
    /// Shards per category; fixed for ever when the installation is first set up
    #[arg(
        long = "shards", env = "DOCKET_SHARDS", default_value_t = DEFAULT_SHARDS,
        value_parser = clap::value_parser!(u16).range(1..=1024), value_name = "N"
    )]
    pub count: u16,
}

/// Does it, and says what is there now.
///
/// # Errors
/// When the database refuses or does not answer.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let database = args.place.find().await?;
    let kafka = place::kafka(&args.kafka)?;
    let installation = place::set_up(&database, args.shards.count, kafka.as_ref()).await?;
    println!("installation  {}", installation.id);
    println!("shards        {}", installation.shards);
    println!("log           {}", installation.mode.name());
    // Only when told to: `docket up` makes people of its own.
    if args.first_start.admin_password.as_ref().is_some_and(|password| !password.expose().is_empty()) {
        let store = args.place.store(&database, installation, Bell::new(Topic::Journal));
        people::greet(&store, &args.first_start).await?;
    }
    Ok(())
}
