//! `docket projector`: projects the log into the read models. Replicas share the shards.

use anyhow::Context;
use docket_log::KafkaArgs;
use docket_platform::config::HttpArgs;
use docket_platform::db::DbRole;
use docket_platform::{Shutdown, serve};

use crate::mail::MailArgs;
use crate::node::Node;
use crate::place::{self, Place};

/// Where its database is, and how it works.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  DATABASE_URL=postgres://docket:secret@db/docket docket projector --listen 0.0.0.0:8082
  docket projector --data-dir ./.docket --listen 127.0.0.1:8082       beside a `docket up`

Serves /health/live, /health/ready and /metrics. The database must be up to date: `docket migrate`.")]
pub struct Args {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    kafka: KafkaArgs,
    #[command(flatten)]
    projector: docket_projector::Config,
    #[command(flatten)]
    mail: MailArgs,
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
    let pool = database.pool(DbRole::Projector, 1, args.place.database.acquire_timeout);
    let installation = place::installation(&pool).await?;
    place::check_kafka(installation, kafka.as_ref()).await?;
    let mut node = Node::new(&args.place, (database, DbRole::Projector), (installation, kafka), bound, shutdown);
    node.projector(args.projector, &args.mail, args.place.embedded_folder())?;
    node.run(&args.http).await
}
