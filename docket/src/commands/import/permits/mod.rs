//! Permit requests from a CSV file: read ([`table`]), decided ([`case`]), journalled and counted here.

mod case;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::Context;
use docket_domain::consultation::{Consultation, State};
use docket_domain::identity::{Organisation, OrganisationCommand, decide_organisation};
use docket_events::{Category, Metadata, StreamId};
use docket_log::{Bell, CommandContext, ExecuteError, Outcome, Store, Topic};
use docket_platform::db::DbRole;
use docket_platform::{Shutdown, clock};
use futures_util::{StreamExt, stream};
use uuid::Uuid;

use super::journal::{self, PATIENCE, is_passing};
use super::{bar, tenant};
use crate::place::{self, Place, patiently};
use case::Story;

/// Cases that are on their way at once: enough to fill the lanes' batches.
const CONCURRENCY: usize = 64;

/// Imports `file` and says what came of it.
///
/// # Errors
/// When the file cannot be read, a case is not sound, or the journal does not answer.
pub async fn run(place: &Place, file: &Path, organisation: Option<Uuid>) -> anyhow::Result<()> {
    let name = file.display();
    let opened = File::open(file).with_context(|| format!("{name} cannot be opened"))?;
    let table = table::read(BufReader::new(opened)).with_context(|| format!("{name} cannot be imported"))?;
    let database = place.find().await?;
    let installation = place::installation(&place.pool(&database, DbRole::Writer)).await?;
    let bell = Bell::new(Topic::Journal);
    let store = place.store(&database, installation, bell.clone());
    let tenant = tenant(&store, organisation).await?;

    let shutdown = Shutdown::new();
    // The readers of a running docket hear of it at once.
    shutdown.spawn(bell.announce(store.pool().clone(), shutdown.token()));
    groups(&store, tenant, &table.cases).await?;
    let (summary, mut problems) = import(&store, tenant, table.cases).await?;
    shutdown.begin();

    problems.extend(table.faults.into_iter().map(|fault| (fault.line, fault.to_string())));
    problems.sort();
    print(&summary);
    report(&problems, &name.to_string())
}

/// Makes the groups that the cases name, unless they are there.
async fn groups(store: &Store, tenant: Uuid, cases: &[table::Case]) -> anyhow::Result<()> {
    let steps = cases.iter().flat_map(|case| &case.steps);
    let names: BTreeSet<&str> = steps.map(|step| step.group.as_str()).filter(|name| !name.is_empty()).collect();
    let context = CommandContext { tenant, ..CommandContext::default() };
    for name in names {
        let id = case::group(tenant, name);
        let decide = |organisation: &Organisation, now| {
            decide_organisation(organisation, OrganisationCommand::CreateGroup(id, name.to_owned()), now)
        };
        let made = store.execute(&context, StreamId::new(Category::Identity, tenant), decide).await?;
        if let Outcome::Refused(refusal) = made {
            eprintln!("the group {name} is not made: {refusal}");
        }
    }
    Ok(())
}

/// What came of the cases.
#[derive(Debug, Default)]
struct Summary {
    imported: u64,
    already_there: u64,
    answered: u64,
    timed_out: u64,
    late: u64,
    pending: u64,
    withdrawn: u64,
}

impl Summary {
    fn count(&mut self, done: &Done) {
        *(if done.imported { &mut self.imported } else { &mut self.already_there }) += 1;
        match done.state.state() {
            Some(State::Responded) => self.answered += 1,
            Some(State::TimedOut) => self.timed_out += 1,
            Some(State::Withdrawn) => self.withdrawn += 1,
            Some(State::Pending) | None => self.pending += 1,
        }
        self.late += u64::from(done.state.late_responses.count > 0);
    }
}

/// A case that is on the journal.
struct Done {
    imported: bool,
    state: Consultation,
}

/// Lines of the file and what is wrong there.
type Problems = Vec<(u64, String)>;

/// Writes all cases, many at once. A case that is refused keeps no other from being written.
async fn import(store: &Store, tenant: Uuid, cases: Vec<table::Case>) -> anyhow::Result<(Summary, Problems)> {
    let progress = bar(cases.len(), "cases");
    let now = clock::now();
    let mut summary = Summary::default();
    let mut problems = Vec::new();
    let mut stories = stream::iter(cases)
        .map(|case| {
            let story = case::decide(tenant, &case, now);
            async move {
                match story {
                    Ok(story) => write(store, tenant, story).await.with_context(|| case.id.clone()).map(Ok),
                    Err(refused) => Ok(Err(refused)),
                }
            }
        })
        .buffer_unordered(CONCURRENCY);
    while let Some(result) = stories.next().await {
        match result? {
            Ok(done) => summary.count(&done),
            Err(refused) => problems.push((refused.line, refused.to_string())),
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok((summary, problems))
}

/// Writes one case.
async fn write(store: &Store, tenant: Uuid, story: Story) -> Result<Done, ExecuteError> {
    let context = CommandContext {
        tenant,
        metadata: Metadata {
            principal: Some(story.importer),
            correlation_id: Some(format!("import-{}", story.stream.id)),
            imported: true,
            ..Metadata::default()
        },
        ..CommandContext::default()
    };
    if journal::write::<Consultation>(store, &context, story.stream, &story.events).await? {
        return Ok(Done { imported: true, state: story.state });
    }
    let load = async || Ok(store.load::<Consultation>(story.stream, None).await?);
    let (there, _) = patiently(PATIENCE, is_passing, load).await?;
    Ok(Done { imported: false, state: there.state })
}

fn print(summary: &Summary) {
    let Summary { imported, already_there, answered, timed_out, late, pending, withdrawn } = summary;
    println!("cases               {:>8}", imported + already_there);
    println!("imported            {imported:>8}");
    println!("already there       {already_there:>8}");
    println!("answered in time    {answered:>8}");
    println!("timed out           {timed_out:>8}");
    println!("with a late answer  {late:>8}");
    for (name, count) in [("pending", pending), ("withdrawn", withdrawn)] {
        if *count > 0 {
            println!("{name:<20}{count:>8}");
        }
    }
}

/// Names what was not imported.
fn report(problems: &Problems, file: &str) -> anyhow::Result<()> {
    for (_, problem) in problems {
        eprintln!("docket: {file}, {problem}");
    }
    match problems.len() {
        0 => Ok(()),
        1 => anyhow::bail!("one case was not imported"),
        more => anyhow::bail!("{more} cases were not imported"),
    }
}
