//! `docket import`: brings in what was decided elsewhere, with the times at which it happened.
//!
//! Owns the way from a file to the journal: one append a stream, so that neither a kill nor the live scheduler can come in between.
//! The rules stay with the domain; an importer only says what was commanded when.

mod articles;
mod graph;
pub mod journal;
mod lines;
mod permits;

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::Subcommand;
use docket_command_api::setup;
use docket_domain::identity::Organisation;
use docket_events::{Category, StreamId};
use docket_log::Store;
use indicatif::{ProgressBar, ProgressStyle};
use uuid::Uuid;

use crate::exit::Ending;
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
    /// Articles, from a file of JSON lines
    #[command(after_help = ARTICLES)]
    Articles(Articles),
    /// Entities and relationships, from two TSV or CSV files
    #[command(after_help = GRAPH)]
    Graph(Graph),
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

const GRAPH: &str = "\
Examples:
  docket import graph entities.tsv relationships.tsv
  docket import graph entities.csv relationships.csv --skip-bad

Columns of entities: id, name, type, and if you like confidence and source; of relationships: source, type, target, and if you like
confidence. `source` and `target` are ids of entities, of the file or added before under such an `external_id`. A file whose name ends in
.csv has commas and quotes, any other has tabs.

Nothing is imported while a line is broken: each is told with its number, and --skip-bad imports the others. A line that relates something to
itself says nothing, and is passed over. What is there already is left as it is: the command may be repeated, also after a kill.";

const ARTICLES: &str = "\
Examples:
  docket import articles articles.ndjson
  docket import articles articles.ndjson --skip-bad

Each line is a JSON object with `id` and `title`, and if you like `summary`, `body`, `content_type` (or `article`), `quality` and `relevance`
(from 0 to 1, or 0.5), `topics` (of the organisation), `entities` (by the ids that they were added under as `external_id`), `source_url` and
`published_at` (RFC 3339, or now). What has a blank title goes by its summary, or by its id.

Nothing is imported while a line is broken: each is told with its number, and --skip-bad imports the others. What is there already is left as
it is: the command may be repeated, also after a kill.";

/// Which file, and into which organisation.
#[derive(Debug, clap::Args)]
#[group(skip)]
struct Articles {
    #[command(flatten)]
    place: Place,
    /// The file of articles
    file: PathBuf,
    /// Import the other lines when some are broken
    #[arg(long)]
    skip_bad: bool,
    /// The organisation that they belong to; if not given, the installation's first one
    #[arg(long, value_name = "ID")]
    organisation: Option<Uuid>,
}

/// Which files, and into which organisation.
#[derive(Debug, clap::Args)]
#[group(skip)]
struct Graph {
    #[command(flatten)]
    place: Place,
    /// The file of entities
    entities: PathBuf,
    /// The file of relationships
    relationships: PathBuf,
    /// Import the other lines when some are broken
    #[arg(long)]
    skip_bad: bool,
    /// The organisation that they belong to; if not given, the installation's first one
    #[arg(long, value_name = "ID")]
    organisation: Option<Uuid>,
}

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
        Kind::Articles(Articles { place, file, skip_bad, organisation }) => {
            Box::pin(articles::run(&place, &file, skip_bad, organisation)).await
        }
        Kind::Graph(Graph { place, entities, relationships, skip_bad, organisation }) => {
            let files = graph::Files { entities: &entities, relationships: &relationships, skip_bad };
            Box::pin(graph::run(&place, &files, organisation)).await
        }
    }
}

/// The organisation that what is imported belongs to: the one that was asked for, or the installation's first one.
///
/// # Errors
/// When there is none, or the journal does not answer.
pub async fn tenant(store: &Store, asked: Option<Uuid>) -> anyhow::Result<Uuid> {
    let id = asked.unwrap_or_else(|| setup::first_organisation(store));
    let (organisation, _) = store.load::<Organisation>(StreamId::new(Category::Identity, id), None).await?;
    match (organisation.state.name, asked) {
        (Some(_), _) => Ok(id),
        (None, Some(id)) => Err(Ending::refused(format!("there is no organisation {id}")).into()),
        (None, None) => {
            anyhow::bail!("there is no organisation yet: start `docket up` once, which makes the first one")
        }
    }
}

/// A bar where somebody watches.
pub fn bar(length: usize, what: &'static str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length as u64).with_message(what);
    // The template is a literal: a mistake in it would only cost its looks.
    match ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}, {eta} to go") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
