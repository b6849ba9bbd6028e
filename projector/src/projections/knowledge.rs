//! The projection `knowledge`: entities and relationships, as reads find and walk them.
//!
//! Owns `entity_v1` and `relationship_v1`. Each row is owned by its own stream and needs no other: a relationship may come before its
//! entities. An entity that was merged into another says so; where its relationships lead to then is judged on read, and must not be here.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use docket_events::{
    Category, Event, Recorded,
    knowledge::{EntityFacts, KnowledgeEvent, RelationshipAdded, RelationshipFacts},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Stand, column};
use crate::projection::{Info, Poison, Projection, Schema, Table, WriteError, all_there};

/// Entities and relationships.
#[derive(Debug, Clone, Copy)]
pub struct Knowledge;

/// What a batch comes to: of each row what the newest events of it say.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) entities: BTreeMap<Uuid, Entity>,
    pub(super) relationships: BTreeMap<Uuid, Relationship>,
}

/// What a batch says of an entity.
#[derive(Debug)]
pub(super) struct Entity {
    stand: Stand,
    /// Where the batch holds its first event: the external id.
    added: Option<(Option<String>, DateTime<Utc>)>,
    facts: Option<EntityFacts>,
    merged_into: Option<Uuid>,
    retracted: Option<String>,
}

/// What a batch says of a relationship.
#[derive(Debug)]
pub(super) struct Relationship {
    stand: Stand,
    added: Option<(RelationshipAdded, DateTime<Utc>)>,
    facts: Option<RelationshipFacts>,
    /// Why it was retracted since it was last added.
    retracted: Option<String>,
}

const NEW_ENTITIES: &str = "insert into {schema}.entity_v1
         (id, tenant, shard, version, type, name, aliases, properties, confidence, source, external_id, added_at, updated_at,
          merged_into, retracted, words, letters)
     select id, tenant, shard, version, type, name, aliases::text[], properties, confidence, source, external_id, added_at, updated_at,
          merged_into, retracted, read.entity_words(tenant, name, aliases::text[], external_id),
          lower(concat_ws(' ', name, array_to_string(aliases::text[], ' ')))
     from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
                 $9::double precision[], $10::text[], $11::text[], $12::timestamptz[], $13::timestamptz[], $14::uuid[], $15::text[])
         as n (id, tenant, shard, version, type, name, aliases, properties, confidence, source, external_id, added_at, updated_at,
               merged_into, retracted)
     on conflict (id) do update set
         tenant = excluded.tenant, shard = excluded.shard, version = excluded.version, type = excluded.type, name = excluded.name,
         aliases = excluded.aliases, properties = excluded.properties, confidence = excluded.confidence, source = excluded.source,
         external_id = excluded.external_id, added_at = excluded.added_at, updated_at = excluded.updated_at,
         merged_into = excluded.merged_into, retracted = excluded.retracted, words = excluded.words, letters = excluded.letters";

const SAID_OF_ENTITIES: &str = "update {schema}.entity_v1 e set
         type = n.type, name = n.name, aliases = n.aliases::text[], properties = n.properties, confidence = n.confidence,
         source = n.source, words = read.entity_words(e.tenant, n.name, n.aliases::text[], e.external_id),
         letters = lower(concat_ws(' ', n.name, array_to_string(n.aliases::text[], ' ')))
     from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::double precision[], $7::text[])
         as n (id, type, name, aliases, properties, confidence, source)
     where e.id = n.id";

const ENTITIES_STAND: &str = "update {schema}.entity_v1 e set
         version = n.version, updated_at = n.updated_at, merged_into = coalesce(n.merged_into, e.merged_into),
         retracted = coalesce(n.retracted, e.retracted)
     from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::uuid[], $5::text[])
         as n (id, version, updated_at, merged_into, retracted)
     where e.id = n.id";

const NEW_RELATIONSHIPS: &str = "insert into {schema}.relationship_v1
         (id, tenant, shard, version, source_id, type, target_id, properties, confidence, source, added_at, updated_at, retracted)
     select * from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::bigint[], $5::uuid[], $6::text[], $7::uuid[], $8::text[],
                          $9::double precision[], $10::text[], $11::timestamptz[], $12::timestamptz[], $13::text[])
     on conflict (id) do update set
         tenant = excluded.tenant, shard = excluded.shard, version = excluded.version, source_id = excluded.source_id,
         type = excluded.type, target_id = excluded.target_id, properties = excluded.properties, confidence = excluded.confidence,
         source = excluded.source, added_at = excluded.added_at, updated_at = excluded.updated_at, retracted = excluded.retracted";

const RELATIONSHIPS_STAND: &str = "update {schema}.relationship_v1 r set
         version = n.version, updated_at = n.updated_at, retracted = coalesce(n.retracted, r.retracted),
         properties = case when n.said then n.properties else r.properties end,
         confidence = case when n.said then n.confidence else r.confidence end,
         source = case when n.said then n.source else r.source end
     from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[], $5::boolean[], $6::text[], $7::double precision[], $8::text[])
         as n (id, version, updated_at, retracted, said, properties, confidence, source)
     where r.id = n.id";

impl Projection for Knowledge {
    const INFO: Info = Info {
        name: "knowledge",
        version: 1,
        categories: &[Category::Knowledge],
        tables: &[Table { name: "entity_v1", personal: &[] }, Table { name: "relationship_v1", personal: &[] }],
    };

    type Batch = Batch;

    fn apply(&self, batch: &mut Batch, event: &Recorded, data: &Event) -> Result<(), Poison> {
        use KnowledgeEvent as E;
        let Event::Knowledge(data) = data else { return Ok(()) };
        match data {
            E::EntityAdded(_) if event.version != 1 => return Err(Poison::new("an entity is added once")),
            E::EntityChanged(_) | E::EntityMerged(_) | E::EntityRetracted(_) if event.version == 1 => {
                return Err(Poison::new("an entity begins with being added"));
            }
            E::RelationshipChanged(_) | E::RelationshipRetracted(_) if event.version == 1 => {
                return Err(Poison::new("a relationship begins with being added"));
            }
            E::EntityAdded(_) | E::EntityChanged(_) | E::EntityMerged(_) | E::EntityRetracted(_) => {
                batch.entity(event).fold(event, data);
            }
            E::RelationshipAdded(_) | E::RelationshipChanged(_) | E::RelationshipRetracted(_) => {
                batch.relationship(event).fold(event, data);
            }
        }
        Ok(())
    }

    async fn write(&self, schema: &Schema, connection: &mut PgConnection, batch: &Batch) -> Result<(), WriteError> {
        write_entities(schema, connection, &batch.entities).await?;
        write_relationships(schema, connection, &batch.relationships).await
    }
}

impl Batch {
    fn entity(&mut self, event: &Recorded) -> &mut Entity {
        let stand = Stand::of(event);
        let row = self.entities.entry(event.stream.id).or_insert(Entity {
            stand,
            added: None,
            facts: None,
            merged_into: None,
            retracted: None,
        });
        row.stand = stand;
        row
    }

    fn relationship(&mut self, event: &Recorded) -> &mut Relationship {
        let stand = Stand::of(event);
        let row = self.relationships.entry(event.stream.id).or_insert(Relationship {
            stand,
            added: None,
            facts: None,
            retracted: None,
        });
        row.stand = stand;
        row
    }
}

impl Entity {
    fn fold(&mut self, event: &Recorded, data: &KnowledgeEvent) {
        match data {
            KnowledgeEvent::EntityAdded(data) => {
                self.added = Some((data.external_id.clone(), event.time));
                self.facts = Some(data.facts.clone());
            }
            KnowledgeEvent::EntityChanged(data) => self.facts = Some(data.facts.clone()),
            KnowledgeEvent::EntityMerged(data) => self.merged_into = Some(data.into),
            KnowledgeEvent::EntityRetracted(data) => self.retracted = Some(data.reason.clone()),
            _ => {}
        }
    }
}

impl Relationship {
    fn fold(&mut self, event: &Recorded, data: &KnowledgeEvent) {
        match data {
            KnowledgeEvent::RelationshipAdded(data) => {
                self.facts = Some(data.facts.clone());
                self.added = Some((data.clone(), event.time));
                self.retracted = None;
            }
            KnowledgeEvent::RelationshipChanged(data) => self.facts = Some(data.facts.clone()),
            KnowledgeEvent::RelationshipRetracted(data) => self.retracted = Some(data.reason.clone()),
            _ => {}
        }
    }
}

/// Properties are maps with string keys, which have a JSON form.
fn json(properties: &serde_json::Map<String, serde_json::Value>) -> String {
    serde_json::to_string(properties).unwrap_or_else(|_| "{}".to_owned())
}

/// Texts as the literal of an array: arrays of arrays must be of one length, and these are not.
fn array(texts: &[String]) -> String {
    let quoted = |text: &String| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    format!("{{{}}}", texts.iter().map(quoted).collect::<Vec<_>>().join(","))
}

async fn write_entities(
    schema: &Schema,
    connection: &mut PgConnection,
    entities: &BTreeMap<Uuid, Entity>,
) -> Result<(), WriteError> {
    let new: Vec<_> =
        entities.iter().filter_map(|(id, row)| Some((*id, row, row.facts.as_ref()?, row.added.as_ref()?))).collect();
    if !new.is_empty() {
        sqlx::query(schema.sql(NEW_ENTITIES))
            .bind(column(&new, |(id, ..)| *id))
            .bind(column(&new, |(_, row, ..)| row.stand.tenant))
            .bind(column(&new, |(_, row, ..)| row.stand.shard as i16))
            .bind(column(&new, |(_, row, ..)| row.stand.version as i64))
            .bind(column(&new, |(_, _, facts, _)| facts.entity_type.as_str()))
            .bind(column(&new, |(_, _, facts, _)| facts.name.as_str()))
            .bind(column(&new, |(_, _, facts, _)| array(&facts.aliases)))
            .bind(column(&new, |(_, _, facts, _)| json(&facts.properties)))
            .bind(column(&new, |(_, _, facts, _)| facts.confidence))
            .bind(column(&new, |(_, _, facts, _)| facts.source.as_deref()))
            .bind(column(&new, |(_, _, _, (external_id, _))| external_id.as_deref()))
            .bind(column(&new, |(_, _, _, (_, at))| *at))
            .bind(column(&new, |(_, row, ..)| row.stand.at))
            .bind(column(&new, |(_, row, ..)| row.merged_into))
            .bind(column(&new, |(_, row, ..)| row.retracted.as_deref()))
            .execute(&mut *connection)
            .await?;
    }
    let old: Vec<_> = entities.iter().filter(|(_, row)| row.added.is_none()).collect();
    let said: Vec<_> = old.iter().filter_map(|(id, row)| Some((**id, row.facts.as_ref()?))).collect();
    if !said.is_empty() {
        sqlx::query(schema.sql(SAID_OF_ENTITIES))
            .bind(column(&said, |(id, _)| *id))
            .bind(column(&said, |(_, facts)| facts.entity_type.as_str()))
            .bind(column(&said, |(_, facts)| facts.name.as_str()))
            .bind(column(&said, |(_, facts)| array(&facts.aliases)))
            .bind(column(&said, |(_, facts)| json(&facts.properties)))
            .bind(column(&said, |(_, facts)| facts.confidence))
            .bind(column(&said, |(_, facts)| facts.source.as_deref()))
            .execute(&mut *connection)
            .await?;
    }
    if !old.is_empty() {
        let done = sqlx::query(schema.sql(ENTITIES_STAND))
            .bind(column(&old, |(id, _)| **id))
            .bind(column(&old, |(_, row)| row.stand.version as i64))
            .bind(column(&old, |(_, row)| row.stand.at))
            .bind(column(&old, |(_, row)| row.merged_into))
            .bind(column(&old, |(_, row)| row.retracted.as_deref()))
            .execute(connection)
            .await?;
        all_there("entities", done.rows_affected(), old.len())?;
    }
    Ok(())
}

async fn write_relationships(
    schema: &Schema,
    connection: &mut PgConnection,
    relationships: &BTreeMap<Uuid, Relationship>,
) -> Result<(), WriteError> {
    let new: Vec<_> = relationships
        .iter()
        .filter_map(|(id, row)| Some((*id, row, row.facts.as_ref()?, row.added.as_ref()?)))
        .collect();
    if !new.is_empty() {
        sqlx::query(schema.sql(NEW_RELATIONSHIPS))
            .bind(column(&new, |(id, ..)| *id))
            .bind(column(&new, |(_, row, ..)| row.stand.tenant))
            .bind(column(&new, |(_, row, ..)| row.stand.shard as i16))
            .bind(column(&new, |(_, row, ..)| row.stand.version as i64))
            .bind(column(&new, |(_, _, _, (added, _))| added.source_id))
            .bind(column(&new, |(_, _, _, (added, _))| added.relationship_type.as_str()))
            .bind(column(&new, |(_, _, _, (added, _))| added.target_id))
            .bind(column(&new, |(_, _, facts, _)| json(&facts.properties)))
            .bind(column(&new, |(_, _, facts, _)| facts.confidence))
            .bind(column(&new, |(_, _, facts, _)| facts.source.as_deref()))
            .bind(column(&new, |(_, _, _, (_, at))| *at))
            .bind(column(&new, |(_, row, ..)| row.stand.at))
            .bind(column(&new, |(_, row, ..)| row.retracted.as_deref()))
            .execute(&mut *connection)
            .await?;
    }
    let old: Vec<_> = relationships.iter().filter(|(_, row)| row.added.is_none()).collect();
    if !old.is_empty() {
        let facts = |row: &Relationship| row.facts.clone().unwrap_or_default();
        let done = sqlx::query(schema.sql(RELATIONSHIPS_STAND))
            .bind(column(&old, |(id, _)| **id))
            .bind(column(&old, |(_, row)| row.stand.version as i64))
            .bind(column(&old, |(_, row)| row.stand.at))
            .bind(column(&old, |(_, row)| row.retracted.as_deref()))
            .bind(column(&old, |(_, row)| row.facts.is_some()))
            .bind(column(&old, |(_, row)| json(&facts(row).properties)))
            .bind(column(&old, |(_, row)| facts(row).confidence))
            .bind(column(&old, |(_, row)| facts(row).source))
            .execute(connection)
            .await?;
        all_there("relationships", done.rows_affected(), old.len())?;
    }
    Ok(())
}
