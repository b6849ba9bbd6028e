//! A knowledge graph from two files: read ([`table`]), decided by the domain, journalled and counted here.

mod table;

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use docket_command_api::knowledge::entities_among;
use docket_domain::knowledge::{
    Entity, Refusal, Relationship, add_entity, add_relationship, entity_id, relationship_id,
};
use docket_domain::{Aggregate, Decided};
use docket_events::{Category, Metadata, StreamId, knowledge::KnowledgeEvent};
use docket_log::execute::Timed;
use docket_log::load::Loaded;
use docket_log::{AppendError, Bell, CommandContext, ExecuteError, Store, Topic, Verdict};
use docket_platform::db::DbRole;
use docket_platform::{Shutdown, clock, ids};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;
use uuid::Uuid;

use super::{bar, tenant};
use crate::exit::Ending;
use crate::place::{self, Place};
use table::{Fault, Related, Table};

/// Commands that are on their way at once: enough to fill the lanes' batches.
const CONCURRENCY: usize = 256;
/// How long a command is tried again while the journal does not answer; repeating it doubles nothing.
const PATIENCE: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_millis(200);
/// Ids that are looked up at once.
const LOOKED_UP: usize = 10_000;

/// What is imported, and how.
pub struct Files<'a> {
    /// The entities.
    pub entities: &'a Path,
    /// How they are related.
    pub relationships: &'a Path,
    /// Whether broken lines keep the others from being imported.
    pub skip_bad: bool,
}

/// Imports two files and says what came of it.
///
/// # Errors
/// When a file cannot be read, has broken lines that are not to be skipped, or the journal does not answer.
pub async fn run(place: &Place, files: &Files<'_>, organisation: Option<Uuid>) -> anyhow::Result<()> {
    let database = place.find().await?;
    let installation = place::installation(&place.pool(&database, DbRole::Writer)).await?;
    let bell = Bell::new(Topic::Journal);
    let store = place.store(&database, installation, bell.clone());
    let tenant = tenant(&store, organisation).await?;
    // Who imports is nobody in particular: the same whoever runs the command.
    let by = Uuid::new_v5(&tenant, b"import:graph");

    let entities = table::entities(opened(files.entities)?, is_csv(files.entities), by)
        .with_context(|| format!("{} cannot be imported", files.entities.display()))?;
    let (mut relationships, loops) =
        table::relationships(opened(files.relationships)?, is_csv(files.relationships), (tenant, by))
            .with_context(|| format!("{} cannot be imported", files.relationships.display()))?;
    unknown_ends(&store, tenant, &entities, &mut relationships).await?;
    refuse_bad(files, &entities.faults, &relationships.faults)?;

    let shutdown = Shutdown::new();
    // The readers of a running docket hear of it at once.
    shutdown.spawn(bell.announce(store.pool().clone(), shutdown.token()));
    let context = context(tenant);
    let of_entities = entities.rows.iter().map(|(_, command)| {
        let id = entity_id(tenant, command.external_id.as_deref().unwrap_or_default());
        (id, add_entity(&Entity::default(), command))
    });
    let entities_done = import::<Entity>(&store, &context, "entities", of_entities).await?;
    let of_relationships = relationships.rows.iter().map(|(_, Related { command, .. })| {
        let id = relationship_id(tenant, command.source_id, &command.relationship_type, command.target_id);
        (id, add_relationship(&Relationship::default(), command))
    });
    let relationships_done = import::<Relationship>(&store, &context, "relationships", of_relationships).await?;
    shutdown.begin();

    println!("entities            {:>8}", entities_done.all());
    println!("imported            {:>8}", entities_done.imported);
    println!("already there       {:>8}", entities_done.there);
    println!("relationships       {:>8}", relationships_done.all());
    println!("imported            {:>8}", relationships_done.imported);
    println!("already there       {:>8}", relationships_done.there);
    println!("to itself, left out {loops:>8}");
    println!("broken, left out    {:>8}", entities.faults.len() + relationships.faults.len());
    Ok(())
}

fn opened(path: &Path) -> anyhow::Result<BufReader<File>> {
    Ok(BufReader::new(File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?))
}

fn is_csv(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
}

/// Takes out the relationships whose ends are neither in the file nor in the organisation.
async fn unknown_ends(
    store: &Store,
    tenant: Uuid,
    entities: &Table<docket_domain::knowledge::AddEntity>,
    relationships: &mut Table<Related>,
) -> anyhow::Result<()> {
    let named = |command: &docket_domain::knowledge::AddEntity| command.external_id.clone();
    let mut known: HashSet<String> = entities.rows.iter().filter_map(|(_, command)| named(command)).collect();
    let ends = relationships.rows.iter().flat_map(|(_, related)| &related.names);
    let others: BTreeSet<String> = ends.filter(|name| !known.contains(*name)).cloned().collect();
    let others: Vec<String> = others.into_iter().collect();
    for some in others.chunks(LOOKED_UP) {
        let ids: Vec<Uuid> = some.iter().map(|name| entity_id(tenant, name)).collect();
        let there = entities_among(store.pool(), tenant, &ids).await?;
        known.extend(some.iter().zip(ids).filter(|(_, id)| there.contains(id)).map(|(name, _)| name.clone()));
    }
    let rows = std::mem::take(&mut relationships.rows);
    for (line, related) in rows {
        match related.names.iter().find(|name| !known.contains(*name)) {
            None => relationships.rows.push((line, related)),
            Some(name) => relationships.faults.push(Fault { line, reason: format!("there is no entity `{name}`") }),
        }
    }
    relationships.faults.sort();
    Ok(())
}

/// Tells of every broken line, and refuses unless they are to be skipped.
fn refuse_bad(files: &Files<'_>, entities: &[Fault], relationships: &[Fault]) -> anyhow::Result<()> {
    for (file, faults) in [(files.entities, entities), (files.relationships, relationships)] {
        for fault in faults {
            eprintln!("docket: {}, {fault}", file.display());
        }
    }
    match entities.len() + relationships.len() {
        0 => Ok(()),
        _ if files.skip_bad => Ok(()),
        lines => {
            let lines = if lines == 1 { "one line is".to_owned() } else { format!("{lines} lines are") };
            Err(Ending::refused(format!("{lines} broken, and nothing was imported; --skip-bad imports the others"))
                .into())
        }
    }
}

fn context(tenant: Uuid) -> CommandContext {
    let metadata = Metadata { imported: true, ..Metadata::default() };
    CommandContext { tenant, metadata, ..CommandContext::default() }
}

/// What came of the lines.
#[derive(Debug, Default, Clone, Copy)]
struct Done {
    imported: u64,
    there: u64,
}

impl Done {
    const fn all(self) -> u64 {
        self.imported + self.there
    }
}

/// Writes all streams that are not there yet, many at once.
async fn import<A: Aggregate<Event = KnowledgeEvent>>(
    store: &Store,
    context: &CommandContext,
    what: &'static str,
    commands: impl ExactSizeIterator<Item = (Uuid, Decided<KnowledgeEvent, Refusal>)>,
) -> anyhow::Result<Done> {
    let progress = bar(commands.len(), what);
    let now = clock::now();
    let mut written = stream::iter(commands)
        .map(|(id, decided)| journal::<A>(store, context, StreamId::new(Category::Knowledge, id), decided, now))
        .buffer_unordered(CONCURRENCY);
    let mut done = Done::default();
    while let Some(imported) = written.try_next().await? {
        *(if imported { &mut done.imported } else { &mut done.there }) += 1;
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(done)
}

/// Writes what was decided to a stream that is not there; false: it is there, and is left as it is.
async fn journal<A: Aggregate<Event = KnowledgeEvent>>(
    store: &Store,
    context: &CommandContext,
    stream: StreamId,
    decided: Decided<KnowledgeEvent, Refusal>,
    now: DateTime<Utc>,
) -> anyhow::Result<bool> {
    if let Some(refusal) = decided.refusal {
        // Every line was asked of the domain when it was read.
        anyhow::bail!("{stream} is refused: {refusal}");
    }
    let deadline = Instant::now() + PATIENCE;
    let mut maybe_written = false;
    loop {
        match attempt::<A>(store, context, stream, &decided.events, now).await {
            // What an attempt before this one wrote is ours.
            Ok(imported) => return Ok(imported || maybe_written),
            Err(error @ (ExecuteError::Unreachable | ExecuteError::Busy)) => {
                if Instant::now() >= deadline {
                    return Err(error.into());
                }
                maybe_written |= matches!(error, ExecuteError::Unreachable);
                tokio::time::sleep(RETRY).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn attempt<A: Aggregate<Event = KnowledgeEvent>>(
    store: &Store,
    context: &CommandContext,
    stream: StreamId,
    events: &[KnowledgeEvent],
    now: DateTime<Utc>,
) -> Result<bool, ExecuteError> {
    let events = events.iter().map(|event| Timed { id: ids::new_id(), time: now, event: event.clone() }).collect();
    let nothing = Loaded { state: A::default(), version: 0, sequence: 0, last_time: None, now };
    let (_, append) = store.prepare(context, stream, nothing, events).await?;
    match store.append(append).await? {
        Verdict::Appended { .. } => Ok(true),
        Verdict::Conflict { .. } => Ok(false),
        // Neither a key nor a claim is part of this append.
        Verdict::Answered | Verdict::ClaimTaken => Err(AppendError::Refused("an unexpected verdict".to_owned()).into()),
    }
}
