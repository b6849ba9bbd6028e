//! `docket retry`: applies again what a projection could not apply, once the cause is gone.

use docket_events::StreamId;
use docket_log::Vault;
use docket_platform::db::DbRole;
use docket_projector::retry::{ParkedStream, RetryError, retry};

use crate::exit::Ending;
use crate::place::{self, Place};

/// Which parked streams.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  docket retry                                     all that is parked
  docket retry --projection consultation
  docket retry --stream consultation-01990000-0000-7000-8000-000000000000")]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// Only of this projection
    #[arg(long, value_name = "NAME")]
    projection: Option<String>,
    /// Only this stream
    #[arg(long, value_name = "ID")]
    stream: Option<StreamId>,
}

/// Tries, and says what came of it.
///
/// # Errors
/// When streams stay parked, or the database does not answer.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let database = args.place.find().await?;
    let pool = args.place.pool(&database, DbRole::Projector);
    place::installation(&pool).await?;
    let report = retry(&pool, &Vault::new(pool.clone()), args.projection.as_deref(), args.stream).await;
    let report = report.map_err(|error| match error {
        RetryError::NoSuchProjection(_) => Ending::usage(error.to_string()).into(),
        other => anyhow::Error::new(other),
    })?;
    for stream in &report.healed {
        println!("applied       {}", line(stream));
    }
    for stream in &report.parked {
        println!("still parked  {}: {}", line(stream), stream.error.as_deref().unwrap_or("no reason known"));
    }
    if report.healed.is_empty() && report.parked.is_empty() {
        println!("nothing is parked");
    }
    match report.parked.len() {
        0 => Ok(()),
        1 => anyhow::bail!("one stream is still parked"),
        more => anyhow::bail!("{more} streams are still parked"),
    }
}

fn line(parked: &ParkedStream) -> String {
    let events = if parked.events == 1 { "event" } else { "events" };
    format!("{}  {}  {} {events} from sequence {}", parked.projection, parked.stream, parked.events, parked.sequence)
}
