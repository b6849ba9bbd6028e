//! A knowledge graph from two files: read ([`table`]), decided by the domain, journalled and counted here.

mod table;

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use anyhow::Context;
use docket_command_api::knowledge::entities_among;
use docket_domain::knowledge::{Entity, Relationship, add_entity, add_relationship, entity_id, relationship_id};
use docket_events::Metadata;
use docket_log::{Bell, CommandContext, Store, Topic};
use docket_platform::db::DbRole;
use docket_platform::{Shutdown, clock};
use uuid::Uuid;

use super::journal::{self, Beginning};
use super::lines::{Fault, opened, refuse_bad};
use super::tenant;
use crate::place::{self, Place};
use table::{Related, Table};

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
    let faults = [(files.entities, &entities.faults[..]), (files.relationships, &relationships.faults)];
    refuse_bad(&faults, files.skip_bad)?;

    let shutdown = Shutdown::new();
    // The readers of a running docket hear of it at once.
    shutdown.spawn(bell.announce(store.pool().clone(), shutdown.token()));
    let (context, at) = (context(tenant), clock::now());
    let of_entities = entities.rows.iter().map(|(_, command)| {
        let id = entity_id(tenant, command.external_id.as_deref().unwrap_or_default());
        Beginning { id, at, decided: add_entity(&Entity::default(), command) }
    });
    let entities_done = journal::write_all::<Entity, _>(&store, &context, "entities", of_entities).await?;
    let of_relationships = relationships.rows.iter().map(|(_, Related { command, .. })| {
        let id = relationship_id(tenant, command.source_id, &command.relationship_type, command.target_id);
        Beginning { id, at, decided: add_relationship(&Relationship::default(), command) }
    });
    let relationships_done =
        journal::write_all::<Relationship, _>(&store, &context, "relationships", of_relationships).await?;
    shutdown.begin();

    println!("entities            {:>8}", entities_done.all());
    println!("imported            {:>8}", entities_done.written);
    println!("already there       {:>8}", entities_done.there);
    println!("relationships       {:>8}", relationships_done.all());
    println!("imported            {:>8}", relationships_done.written);
    println!("already there       {:>8}", relationships_done.there);
    println!("to itself, left out {loops:>8}");
    println!("broken, left out    {:>8}", entities.faults.len() + relationships.faults.len());
    Ok(())
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

fn context(tenant: Uuid) -> CommandContext {
    let metadata = Metadata { imported: true, ..Metadata::default() };
    CommandContext { tenant, metadata, ..CommandContext::default() }
}
