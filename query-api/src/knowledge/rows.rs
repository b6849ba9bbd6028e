//! Rows of entities and relationships, and what stands for what.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use docket_domain::knowledge::view::{EntityView, RelationshipView};
use serde_json::{Map, Value};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Direction;
use crate::page::Cursor;

/// A row of `entity`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct EntityRow {
    pub(super) id: Uuid,
    pub(super) version: i64,
    pub(super) r#type: String,
    pub(super) name: String,
    pub(super) aliases: Vec<String>,
    pub(super) properties: String,
    pub(super) confidence: f64,
    pub(super) source: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) added_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
    pub(super) retracted: Option<String>,
}

/// A row of `relationship`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct RelationshipRow {
    pub(super) id: Uuid,
    pub(super) version: i64,
    pub(super) source_id: Uuid,
    pub(super) r#type: String,
    pub(super) target_id: Uuid,
    pub(super) properties: String,
    pub(super) confidence: f64,
    pub(super) source: Option<String>,
    pub(super) added_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
    pub(super) retracted: Option<String>,
}

/// Properties as they are kept.
pub(super) fn properties(text: &str) -> Result<Map<String, Value>, sqlx::Error> {
    serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()))
}

impl EntityRow {
    /// The entity as HTTP shows it. What stands for another was not merged away itself.
    pub(super) fn view(self) -> Result<EntityView, sqlx::Error> {
        Ok(EntityView {
            id: self.id,
            version: self.version.unsigned_abs(),
            r#type: self.r#type,
            name: self.name,
            aliases: self.aliases,
            properties: properties(&self.properties)?,
            confidence: self.confidence,
            source: self.source,
            external_id: self.external_id,
            added_at: Some(self.added_at),
            updated_at: Some(self.updated_at),
            merged_into: None,
            retracted: self.retracted,
        })
    }
}

impl RelationshipRow {
    /// The relationship as HTTP shows it.
    pub(super) fn view(self) -> Result<RelationshipView, sqlx::Error> {
        Ok(RelationshipView {
            id: self.id,
            version: self.version.unsigned_abs(),
            source_id: self.source_id,
            r#type: self.r#type,
            target_id: self.target_id,
            properties: properties(&self.properties)?,
            confidence: self.confidence,
            source: self.source,
            added_at: Some(self.added_at),
            updated_at: Some(self.updated_at),
            retracted: self.retracted,
        })
    }
}

// A circle of merges cannot be commanded; should there be one none the less, the walk ends.
const STANDS_FOR: &str = "with recursive way (asked, id, hops) as (
         select e.id, e.merged_into, 1 from read.entity e where e.id = any($1) and e.merged_into is not null
         union all
         select w.asked, e.merged_into, w.hops + 1 from way w join read.entity e on e.id = w.id
         where e.merged_into is not null and w.hops < 64
     )
     select distinct on (asked) asked, id from way order by asked, hops desc";

/// Of those among `ids` that were merged into others: the entity that stands for each.
pub(super) async fn stands_for(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Uuid>, sqlx::Error> {
    let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(STANDS_FOR).bind(ids).fetch_all(connection).await?;
    Ok(rows.into_iter().collect())
}

const ABSORBED: &str = "with recursive own (root, id) as (
         select e.merged_into, e.id from read.entity e where e.merged_into = any($1)
         union
         select own.root, e.id from own join read.entity e on e.merged_into = own.id
     )
     select id, root from own";

/// What was merged into each of `ids`, with the one that stands for it.
pub(super) async fn absorbed(connection: &mut PgConnection, ids: &[Uuid]) -> Result<HashMap<Uuid, Uuid>, sqlx::Error> {
    let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(ABSORBED).bind(ids).fetch_all(connection).await?;
    Ok(rows.into_iter().collect())
}

/// `id`, the entity that stands for it, and all that were merged into that one.
pub(crate) async fn all_that_are(connection: &mut PgConnection, id: Uuid) -> Result<Vec<Uuid>, sqlx::Error> {
    let root = stands_for(connection, &[id]).await?.remove(&id).unwrap_or(id);
    let absorbed = absorbed(connection, &[root]).await?;
    Ok(absorbed.into_keys().chain([root]).collect())
}

/// The entity that stands for `id`, which may be itself.
pub(super) async fn resolved(connection: &mut PgConnection, id: Uuid) -> Result<Uuid, sqlx::Error> {
    Ok(stands_for(connection, &[id]).await?.get(&id).copied().unwrap_or(id))
}

const ENTITIES: &str = "select id, version, type, name, aliases, properties, confidence, source, external_id, added_at, updated_at, retracted
     from read.entity where id = any($1)";

/// The entities with these ids.
pub(super) async fn entities(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, EntityRow>, sqlx::Error> {
    let rows: Vec<EntityRow> = sqlx::query_as(ENTITIES).bind(ids).fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// The entities that stand for these ids, by the ids that were asked for.
pub(super) async fn standing(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, EntityRow>, sqlx::Error> {
    let others = stands_for(&mut *connection, ids).await?;
    let own = |id: &Uuid| others.get(id).copied().unwrap_or(*id);
    let wanted: BTreeSet<Uuid> = ids.iter().map(own).collect();
    let rows = entities(connection, &wanted.into_iter().collect::<Vec<_>>()).await?;
    Ok(ids.iter().filter_map(|id| Some((*id, rows.get(&own(id))?.clone()))).collect())
}

const RELATIONSHIPS_BY_ID: &str =
    "select id, version, source_id, type, target_id, properties, confidence, source, added_at, updated_at, retracted
     from read.relationship where id = any($1)";

/// The relationships with these ids, whether they were retracted or not.
pub(super) async fn relationships_by_id(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<Vec<RelationshipRow>, sqlx::Error> {
    sqlx::query_as(RELATIONSHIPS_BY_ID).bind(ids).fetch_all(connection).await
}

// Each direction by its own index. What leads to an entity that was retracted is not shown, nor what became a loop by a merge.
const RELATIONSHIPS: &str = "select r.id, r.version, r.source_id, r.type, r.target_id, r.properties, r.confidence, r.source, r.added_at, r.updated_at, r.retracted
     from (
         select * from read.relationship where $2 and source_id = any($1) and retracted is null
         union
         select * from read.relationship where $3 and target_id = any($1) and retracted is null
     ) r
     where ($4::text is null or r.type = $4)
       and ($5::timestamptz is null or (r.added_at, r.id) < ($5, $6))
       and not (r.source_id = any($1) and r.target_id = any($1))
       and not exists (select from read.entity e where e.id in (r.source_id, r.target_id) and e.retracted is not null)
     order by r.added_at desc, r.id desc limit $7";

/// Relationships of the entity `id`, the last added first.
pub(super) async fn relationships(
    connection: &mut PgConnection,
    id: Uuid,
    kind: Option<&str>,
    direction: Direction,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<RelationshipRow>, sqlx::Error> {
    let mut own = vec![id];
    own.extend(absorbed(&mut *connection, &[id]).await?.into_keys());
    sqlx::query_as(RELATIONSHIPS)
        .bind(own)
        .bind(direction != Direction::Incoming)
        .bind(direction != Direction::Outgoing)
        .bind(kind)
        .bind(after.map(|cursor| cursor.at))
        .bind(after.map(|cursor| cursor.id))
        .bind(limit)
        .fetch_all(connection)
        .await
}

/// Ids of entities that a text finds, the best first.
pub(super) async fn found(
    connection: &mut PgConnection,
    tenant: Uuid,
    text: &str,
    kind: Option<&str>,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar("select id from read.find_entities($1, $2, $3, $4)")
        .bind(tenant)
        .bind(text)
        .bind(kind)
        .bind(limit)
        .fetch_all(connection)
        .await
}
