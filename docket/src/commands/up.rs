//! `docket up`: everything in one process, on one port.
//!
//! Owns the order of a start (cluster, schema, first people, roles, port) and of the end (requests, tasks, cluster last).

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use docket_log::{Kafka, KafkaArgs, relay};
use docket_platform::auth::Authenticator;
use docket_platform::config::{Describe, HttpArgs, Setting};
use docket_platform::db::DbRole;
use docket_platform::{Shutdown, serve};
use tokio::net::TcpListener;

use super::migrate::Shards;
use crate::mail::MailArgs;
use crate::node::Node;
use crate::people;
use crate::place::{self, Home, Place};
use crate::web::{contract, outbox, pages};

/// Every setting that there is: all roles are in this process.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  docket up                                   data in ./.docket, http://127.0.0.1:8080
  docket up --data-dir /srv/docket --listen 0.0.0.0:80
  DATABASE_URL=postgres://owner:secret@db/docket docket up
  KAFKA_BROKERS=127.0.0.1:9092 docket up      the log of a new installation in Kafka

Prints `ready http://HOST:PORT` when everything serves. The first start makes an organisation, an administrator and a reviewer, and
prints `admin  EMAIL  PASSWORD` and `reviewer  EMAIL  PASSWORD` once. SIGTERM ends it within 30 seconds, PostgreSQL last.")]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// The folder of the programs `postgres` and `initdb`; searched for when not given
    #[arg(long, env = "DOCKET_PG_BIN", value_name = "FOLDER")]
    pg_bin: Option<String>,
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    first_start: docket_command_api::FirstStartArgs,
    #[command(flatten)]
    shards: Shards,
    #[command(flatten)]
    kafka: KafkaArgs,
    #[command(flatten)]
    relay: relay::Config,
    #[command(flatten)]
    commands: docket_command_api::Config,
    #[command(flatten)]
    projector: docket_projector::Config,
    #[command(flatten)]
    queries: docket_query_api::Config,
    #[command(flatten)]
    mail: MailArgs,
}

impl Describe for Args {
    fn describe(&self) -> Vec<Setting> {
        [
            self.place.describe(),
            vec![
                Setting::optional("DOCKET_PG_BIN", self.binaries().map(|path| path.display())),
                Setting::new("DOCKET_SHARDS", self.shards.count),
            ],
            self.kafka.describe(),
            self.relay.describe(),
            self.http.describe(),
            self.first_start.describe(),
            self.commands.describe(),
            self.projector.describe(),
            self.queries.describe(),
            self.mail.describe(),
        ]
        .concat()
    }
}

impl Args {
    /// Where PostgreSQL's programs are said to be. Set but empty is not set.
    fn binaries(&self) -> Option<&Path> {
        self.pg_bin.as_deref().filter(|path| !path.is_empty()).map(Path::new)
    }
}

/// Runs everything until the process is told to end.
///
/// # Errors
/// When something does not start, or ends by itself.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let kafka = place::kafka(&args.kafka)?;
    let shutdown = Shutdown::new();
    shutdown.listen_for_signals().context("signals cannot be heard")?;
    // Before the cluster, which takes longer: a taken port is said at once.
    let bound = serve::bind(&args.http.listen).await?;
    let home = Home::open(&args.place, args.binaries(), &shutdown).await?;
    let served = up(&args, &home, kafka, bound, &shutdown).await;
    home.close().await;
    served
}

async fn up(
    args: &Args,
    home: &Home,
    kafka: Option<Kafka>,
    bound: (TcpListener, SocketAddr),
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let installation = place::set_up(&home.database, args.shards.count, kafka.as_ref()).await?;
    place::check_kafka(installation, kafka.as_ref()).await?;
    let log = (installation, kafka);
    let mut node = Node::new(&args.place, (home.database.clone(), DbRole::Reader), log, bound, shutdown.clone());
    let store = node.store();
    let assembled = async {
        people::greet(&store, &args.first_start).await?;
        let keys = Arc::new(Authenticator::from_pool(store.pool().clone()));
        keys.reload().await.context("the signing keys cannot be read")?;
        node.keys(&keys);
        node.command_api(store, keys.clone(), args.commands.clone());
        node.relay(args.relay.clone());
        let data = args.place.embedded_folder();
        node.projector(args.projector.clone(), &args.mail, data.clone())?;
        node.query_api(keys, args.queries.clone(), &args.http)?;
        for routes in [pages::start(), pages::mailed(), pages::graphiql(), pages::docs(), contract::router()] {
            node.route(routes);
        }
        // Links that set passwords are shown to nobody but this machine.
        if let (Some(outbox), true) = (args.mail.outbox(data), node.is_loopback()) {
            node.route(outbox::router(outbox));
        }
        anyhow::Ok(())
    };
    if let Err(error) = assembled.await {
        // What was started must not hold on to the cluster.
        let _ = shutdown.drain(std::time::Duration::from_secs(5)).await;
        return Err(error);
    }
    node.run(&args.http).await
}
