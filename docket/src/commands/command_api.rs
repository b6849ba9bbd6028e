//! `docket command-api`: takes commands, and watches deadlines. Any number of replicas may run.

use std::sync::Arc;

use anyhow::Context;
use docket_log::{KafkaArgs, relay};
use docket_platform::auth::Authenticator;
use docket_platform::config::HttpArgs;
use docket_platform::db::DbRole;
use docket_platform::{Shutdown, serve};

use crate::node::Node;
use crate::place::{self, Place};
use crate::web::{contract, pages};

/// Where its database is, and how it serves.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  DATABASE_URL=postgres://docket:secret@db/docket docket command-api --listen 0.0.0.0:8081
  docket command-api --data-dir ./.docket --listen 127.0.0.1:8081     beside a `docket up`

Serves the commands under /api/v1, /docs, /openapi.json, /.well-known/jwks.json, /health/live, /health/ready and /metrics. The
database must be up to date: `docket migrate`. Where the log is in Kafka, it publishes the journal as well.")]
pub struct Args {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    kafka: KafkaArgs,
    /// Publish the journal to Kafka too, unless `docket relay` does
    #[arg(long = "with-relay", env = "DOCKET_WITH_RELAY", default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    with_relay: bool,
    #[command(flatten)]
    relay: relay::Config,
    #[command(flatten)]
    commands: docket_command_api::Config,
}

/// Runs until the process is told to end.
///
/// # Errors
/// When it does not start, or ends by itself.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let kafka = place::kafka(&args.kafka)?;
    let shutdown = Shutdown::new();
    shutdown.listen_for_signals().context("signals cannot be heard")?;
    let bound = serve::bind(&args.http.listen).await?;
    let database = args.place.find().await?;
    let installation =
        place::installation(&database.pool(DbRole::Writer, 1, args.place.database.acquire_timeout)).await?;
    let kafka = kafka.filter(|_| args.with_relay);
    if args.with_relay {
        place::check_kafka(installation, kafka.as_ref()).await?;
    }
    let mut node = Node::new(&args.place, (database, DbRole::Writer), (installation, kafka), bound, shutdown);
    let store = node.store();
    let keys = Arc::new(Authenticator::from_pool(store.pool().clone()));
    node.keys(&keys);
    node.relay(args.relay);
    node.command_api(store, keys, args.commands);
    node.route(pages::mailed());
    node.route(pages::docs());
    node.route(contract::router());
    node.run(&args.http).await
}
