//! `docket import`: brings in what was decided elsewhere, with the times at which it happened.
//!
//! Owns the way from a file to the journal: one append a stream, so that neither a kill nor the live scheduler can come in between.
//! The rules stay with the domain; an importer only says what was commanded when.

mod permits;

use std::path::PathBuf;

use clap::Subcommand;
use uuid::Uuid;

use crate::place::Place;

/// What to import.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// Permit requests and the steps that were taken on each, from a CSV file
    #[command(after_help = PERMITS)]
    Permits(Permits),
}

const PERMITS: &str = "\
Examples:
  docket import permits permits.csv
  docket import permits permits.csv --organisation 01990000-0000-7000-8000-000000000000

Each case becomes a consultation: asked at `case:startdate`, due at `case:deadline`, each row a comment by `org:resource`, approved
at `case:enddate` by `case:responsible` where there is an end; what is open still when its rows end times out at its deadline.
`case:responsible` and `org:resource` become its reviewers; `org:group` becomes a group of the organisation, which it names too. A
case is written whole or not at all, and one that is there already is left as it is: the command may be repeated, also after a kill.

Columns: case:concept:name, case:startdate, case:deadline, case:enddate, case:enddate_planned, case:responsible, case:channel,
case:department, case:group, concept:instance, concept:name, org:group, org:resource, time:timestamp.";

/// Which file, and into which organisation.
#[derive(Debug, clap::Args)]
#[group(skip)]
struct Permits {
    #[command(flatten)]
    place: Place,
    /// The CSV file
    file: PathBuf,
    /// The organisation that the cases belong to; if not given, the installation's first one
    #[arg(long, value_name = "ID")]
    organisation: Option<Uuid>,
}

/// Imports the file.
///
/// # Errors
/// When the file cannot be read, a case is not sound, or the journal does not answer; what was imported until then stays.
pub async fn run(args: Args) -> anyhow::Result<()> {
    match args.kind {
        Kind::Permits(Permits { place, file, organisation }) => permits::run(&place, &file, organisation).await,
    }
}
