//! `docket query-api`: answers queries and subscriptions. Any number of replicas may run.

use std::sync::Arc;

use anyhow::Context;
use docket_platform::auth::Authenticator;
use docket_platform::config::HttpArgs;
use docket_platform::db::DbRole;
use docket_platform::{Shutdown, serve};

use crate::node::Node;
use crate::place::{self, Place};
use crate::web::{contract, pages};

/// Connections for the keys of tokens and the look-up of API keys, which must not wait behind queries.
const KEY_CONNECTIONS: u32 = 4;

/// Where its database is, and how it answers.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  DATABASE_URL=postgres://docket:secret@db/docket docket query-api --listen 0.0.0.0:8083
  DATABASE_URL=postgres://docket:secret@db/docket DATABASE_URL_READ=postgres://docket:secret@replica/docket docket query-api
  docket query-api --data-dir ./.docket --listen 127.0.0.1:8083       beside a `docket up`

Serves /graphql, /schema.graphql, /graphiql, the reads under /api/v1, /docs, /openapi.json, /.well-known/jwks.json, /health/live,
/health/ready and /metrics. The database must be up to date: `docket migrate`.")]
pub struct Args {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    queries: docket_query_api::Config,
}

/// Runs until the process is told to end.
///
/// # Errors
/// When it does not start, or ends by itself.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let shutdown = Shutdown::new();
    shutdown.listen_for_signals().context("signals cannot be heard")?;
    let bound = serve::bind(&args.http.listen).await?;
    let database = args.place.find().await?;
    let pool = database.pool(DbRole::Reader, KEY_CONNECTIONS, args.place.database.acquire_timeout);
    let installation = place::installation(&pool).await?;
    let keys = Arc::new(Authenticator::public_from_pool(pool));
    let mut node = Node::new(&args.place, (database, DbRole::Reader), (installation, None), bound, shutdown);
    node.keys(&keys);
    node.query_api(keys, args.queries, &args.http)?;
    for routes in [pages::graphiql(), pages::docs(), contract::router()] {
        node.route(routes);
    }
    node.run(&args.http).await
}
