//! Entities and relationships as GraphQL shows them.

use std::collections::HashMap;

use async_graphql::{ComplexObject, Context, Json, Result, SimpleObject, connection::Connection};
use docket_domain::knowledge::check_type;
use docket_log::Position;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Direction, MAX_DEPTH, MAX_NODES,
    rows::{self, EntityRow, RelationshipRow},
    warm::Ground,
    within,
};
use crate::{
    feed::{self, Article},
    graphql::{Asker, Instant, error},
    page::{self, Cursor, LARGEST_PAGE, Page},
    position::{Entered, FEED, KNOWLEDGE},
    read::ReadError,
};

/// Something that the organisation knows of.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub struct Entity {
    /// Its id.
    pub(crate) id: Uuid,
    /// The version, for `If-Match`.
    version: u64,
    /// What kind of thing it is.
    pub(crate) r#type: String,
    /// What it is called.
    pub(crate) name: String,
    /// What else it is called.
    aliases: Vec<String>,
    /// Whatever else is known of it.
    properties: Json<Value>,
    /// How sure it is, from 0 to 1.
    confidence: f64,
    /// Where this is known from.
    source: Option<String>,
    /// The adder's own name for it.
    external_id: Option<String>,
    /// When it was added.
    added_at: Instant,
    /// When something last happened to it.
    updated_at: Instant,
    /// Why it was retracted; null: it was not.
    pub(super) retracted: Option<String>,
}

impl Entity {
    /// Whether it was not retracted.
    pub(crate) fn stands(&self) -> bool {
        self.retracted.is_none()
    }
}

/// The entities that stand for these ids, by the ids that were asked for.
pub(crate) async fn standing(
    connection: &mut sqlx::PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Entity>, sqlx::Error> {
    let rows = rows::standing(connection, ids).await?;
    rows.into_iter().map(|(id, row)| Ok((id, row.try_into()?))).collect()
}

fn json(text: &str) -> Result<Json<Value>, sqlx::Error> {
    rows::properties(text).map(|properties| Json(Value::Object(properties)))
}

impl TryFrom<EntityRow> for Entity {
    type Error = sqlx::Error;

    fn try_from(row: EntityRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.id,
            version: row.version.unsigned_abs(),
            r#type: row.r#type,
            name: row.name,
            aliases: row.aliases,
            properties: json(&row.properties)?,
            confidence: row.confidence,
            source: row.source,
            external_id: row.external_id,
            added_at: Instant(row.added_at),
            updated_at: Instant(row.updated_at),
            retracted: row.retracted,
        })
    }
}

/// How one entity is related to another.
#[derive(Debug, Clone, SimpleObject)]
pub struct Relationship {
    /// Its id.
    pub(super) id: Uuid,
    /// The version, for `If-Match`.
    version: u64,
    /// How the one is related to the other.
    r#type: String,
    /// How sure it is, from 0 to 1.
    pub(super) confidence: f64,
    /// Whatever else is known of it.
    properties: Json<Value>,
    /// Where this is known from.
    source: Option<String>,
    /// When it was added.
    added_at: Instant,
    /// When something last happened to it.
    updated_at: Instant,
    /// Why it was retracted; null: it was not.
    retracted: Option<String>,
    /// The entity that it leads from; null as long as the read model has not heard of it.
    pub(super) source_entity: Option<Entity>,
    /// The entity that it leads to; null as long as the read model has not heard of it.
    pub(super) target_entity: Option<Entity>,
}

/// Relationships with the entities at their ends.
pub(super) async fn with_ends(
    connection: &mut sqlx::PgConnection,
    rows: Vec<RelationshipRow>,
) -> Result<Vec<Relationship>, sqlx::Error> {
    let ids: Vec<Uuid> = rows.iter().flat_map(|row| [row.source_id, row.target_id]).collect();
    let ends: HashMap<Uuid, EntityRow> = rows::standing(connection, &ids).await?;
    let end = |id: &Uuid| ends.get(id).cloned().map(Entity::try_from).transpose();
    rows.into_iter()
        .map(|row| {
            Ok(Relationship {
                id: row.id,
                version: row.version.unsigned_abs(),
                confidence: row.confidence,
                properties: json(&row.properties)?,
                source_entity: end(&row.source_id)?,
                target_entity: end(&row.target_id)?,
                r#type: row.r#type,
                source: row.source,
                added_at: Instant(row.added_at),
                updated_at: Instant(row.updated_at),
                retracted: row.retracted,
            })
        })
        .collect()
}

/// An entity that a walk came to.
#[derive(Debug, Clone, SimpleObject)]
pub struct RelatedEntity {
    /// Its id.
    id: Uuid,
    /// What kind of thing it is.
    r#type: String,
    /// What it is called.
    name: String,
    /// How sure it is, from 0 to 1.
    confidence: f64,
    /// How many relationships away.
    depth: usize,
    /// The types of the relationships that lead to it, from the first on, whichever way each of them leads.
    relationship_path: Vec<String>,
}

/// A type to look for: any text may be none of the organisation's, but not be of another form.
pub(super) fn kind(text: Option<&str>) -> Result<(), ReadError> {
    text.map_or(Ok(()), |text| check_type(text).map_err(|refusal| ReadError::argument("type", refusal.to_string())))
}

/// Begins to read the graph.
pub(super) async fn enter(asker: &Asker, wanted: &Position) -> Result<Entered, ReadError> {
    let entered = asker.gate.enter(asker.principal.tenant, KNOWLEDGE, wanted, None).await?;
    asker.seen.record(&entered);
    Ok(entered)
}

#[ComplexObject]
impl Entity {
    /// Its relationships, the last added first.
    #[graphql(complexity = "page::cost(Some(limit), child_complexity)")]
    async fn relationships(
        &self,
        context: &Context<'_>,
        #[graphql(default = 20, desc = "At most this many, up to 100.")] limit: i32,
        #[graphql(desc = "Of this type alone.")] r#type: Option<String>,
        #[graphql(default, desc = "Which way they lead.")] direction: Direction,
    ) -> Result<Vec<Relationship>> {
        let read = async {
            let limit = within("limit", limit, LARGEST_PAGE)?;
            kind(r#type.as_deref())?;
            let asker = Asker::of(context).map_err(|_| ReadError::NotFollowing)?;
            let mut entered = enter(asker, &Position::default()).await?;
            let rows = async {
                let tx = &mut entered.tx;
                let rows = rows::relationships(tx, self.id, r#type.as_deref(), direction, None, limit as i64).await?;
                with_ends(tx, rows).await
            };
            asker.gate.reads().guard(rows).await
        };
        Box::pin(read).await.map_err(error::from_read)
    }

    /// The same, in pages.
    #[graphql(complexity = "page::cost(first, child_complexity)")]
    async fn relationships_connection(
        &self,
        context: &Context<'_>,
        #[graphql(default_with = "Some(page::DEFAULT_PAGE)", desc = "At most this many, up to 100.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Of this type alone.")] r#type: Option<String>,
        #[graphql(default, desc = "Which way they lead.")] direction: Direction,
    ) -> Result<Connection<String, Relationship>> {
        let read = async {
            let page = Page::new(first, after.as_deref())?;
            kind(r#type.as_deref())?;
            let asker = Asker::of(context).map_err(|_| ReadError::NotFollowing)?;
            let mut entered = enter(asker, &Position::default()).await?;
            let rows = async {
                let (tx, kind) = (&mut entered.tx, r#type.as_deref());
                let rows = rows::relationships(tx, self.id, kind, direction, page.after, page.limit()).await?;
                with_ends(tx, rows).await
            };
            let rows = asker.gate.reads().guard(rows).await?;
            Ok(page.connection(rows, |row| (Cursor { at: row.added_at.0, id: row.id }, row)))
        };
        Box::pin(read).await.map_err(error::from_read)
    }

    /// What is within some relationships of it, the nearest first, whichever way they lead. Where there is more than `limit`,
    /// `extensions.cut` is true.
    #[graphql(complexity = "page::cost(Some(limit / 10), child_complexity)")]
    async fn related_entities(
        &self,
        context: &Context<'_>,
        #[graphql(default = 1, desc = "How many relationships away at most, up to 5.")] depth: i32,
        #[graphql(default = 100, desc = "At most this many, up to 1,000.")] limit: i32,
    ) -> Result<Vec<RelatedEntity>> {
        let read = async {
            let (depth, limit) = (within("depth", depth, MAX_DEPTH)?, within("limit", limit, MAX_NODES)?);
            let asker = Asker::of(context).map_err(|_| ReadError::NotFollowing)?;
            let mut entered = enter(asker, &Position::default()).await?;
            let related = async {
                let mut ground = Ground::enter(&asker.gate, asker.principal.tenant, &mut entered).await?;
                let walk = ground.around(self.id, depth, limit).await?;
                let ids: Vec<Uuid> = walk.reached.iter().map(|reached| reached.id).collect();
                let rows = rows::entities(ground.tx(), &ids).await?;
                Ok((walk, rows))
            };
            let (walk, rows) = asker.gate.reads().guard(related).await?;
            if walk.cut {
                asker.seen.say_cut();
            }
            let reached = walk.reached.iter().enumerate().skip(1);
            let related = reached.filter_map(|(place, reached)| {
                let row = rows.get(&reached.id)?;
                Some(RelatedEntity {
                    id: row.id,
                    r#type: row.r#type.clone(),
                    name: row.name.clone(),
                    confidence: row.confidence,
                    depth: reached.depth,
                    relationship_path: walk.way(place),
                })
            });
            Ok(related.collect())
        };
        Box::pin(read).await.map_err(error::from_read)
    }

    /// Articles that stand and are about it, the last published first.
    #[graphql(complexity = "page::cost(Some(limit), child_complexity)")]
    async fn articles(
        &self,
        context: &Context<'_>,
        #[graphql(default = 20, desc = "At most this many, up to 100.")] limit: i32,
    ) -> Result<Vec<Article>> {
        let read = async {
            let limit = within("limit", limit, LARGEST_PAGE)?;
            let asker = Asker::of(context).map_err(|_| ReadError::NotFollowing)?;
            let mut entered = asker.enter(&[KNOWLEDGE, FEED], &Position::default()).await?;
            let found = async {
                let tx = &mut entered.tx;
                let mut own = vec![self.id];
                own.extend(rows::absorbed(tx, &[self.id]).await?.into_keys());
                feed::about(tx, asker.principal.tenant, &own, limit as i64).await
            };
            asker.gate.reads().guard(found).await
        };
        Box::pin(read).await.map_err(error::from_read)
    }
}
