//! `docket relay`: publishes the journal to Kafka. Replicas share the shards.

use anyhow::Context;
use docket_log::{KafkaArgs, relay};
use docket_platform::config::HttpArgs;
use docket_platform::db::DbRole;
use docket_platform::{Shutdown, serve};

use crate::exit::Ending;
use crate::node::Node;
use crate::place::{self, Place};

/// Where its database and its brokers are.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  DATABASE_URL=postgres://docket:secret@db/docket KAFKA_BROKERS=kafka:9092 docket relay --listen 0.0.0.0:8084
  KAFKA_BROKERS=127.0.0.1:9092 docket relay --data-dir ./.docket --listen 127.0.0.1:8084     beside a `docket up`

Serves /health/live, /health/ready and /metrics. `docket up` and `docket command-api` publish as well, unless the latter is told
--with-relay false; any number may run. While the log is in the journal it waits for `docket log switch`.")]
pub struct Args {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    kafka: KafkaArgs,
    #[command(flatten)]
    relay: relay::Config,
}

/// Runs until the process is told to end.
///
/// # Errors
/// When it does not start, or ends by itself.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let Some(kafka) = place::kafka(&args.kafka)? else {
        return Err(Ending::usage("a relay needs brokers: set KAFKA_BROKERS").into());
    };
    let shutdown = Shutdown::new();
    shutdown.listen_for_signals().context("signals cannot be heard")?;
    let bound = serve::bind(&args.http.listen).await?;
    let database = args.place.find().await?;
    let installation =
        place::installation(&database.pool(DbRole::Writer, 1, args.place.database.acquire_timeout)).await?;
    place::check_kafka(installation, Some(&kafka)).await?;
    let mut node = Node::new(&args.place, (database, DbRole::Writer), (installation, Some(kafka)), bound, shutdown);
    node.relay(args.relay);
    node.run(&args.http).await
}
