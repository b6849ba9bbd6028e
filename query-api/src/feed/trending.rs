//! What is talked of: articles and entities by what readers did with them, each thing worth half as much after every day
//! ([`docket_domain::engagement::trend`]).

use std::collections::HashMap;

use async_graphql::SimpleObject;
use chrono::{DateTime, Utc};
use docket_domain::engagement::trend;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Article, rows};
use crate::{
    engagement::ItemKind,
    knowledge::{self, Entity},
};

/// Something that is talked of: an article or an entity.
#[derive(Debug, Clone, SimpleObject)]
pub struct TrendingItem {
    /// How much: a view at this moment is 1.
    pub(super) score: f64,
    /// What it is.
    pub(super) kind: ItemKind,
    /// The article, if it is one.
    pub(super) article: Option<Article>,
    /// The entity, if it is one.
    pub(super) entity: Option<Entity>,
}

// Whole numbers are added up exactly, shard by shard; only then a block's worth comes in.
const TALKED_OF: &str = "with counted as (
         select t.item, t.kind, t.block, sum(t.weight)::double precision as weight
         from read.engagement_trend t
         where t.tenant = $1 and t.block = any($2) and ($4::text is null or t.kind = $4)
         group by t.item, t.kind, t.block
     ), talked as (
         select c.item, c.kind, sum(c.weight * ($3::double precision[])[array_position($2, c.block)]) as score
         from counted c group by c.item, c.kind
     )
     select t.item, t.kind, t.score from talked t join read.article a on a.id = t.item
     where t.kind = 'article' and a.retracted is null
     union all
     select t.item, t.kind, t.score from talked t join read.entity e on e.id = t.item
     where t.kind = 'entity' and e.retracted is null and e.merged_into is null
     order by score desc, item limit $5";

/// What a tenant's readers talk of most at `now`, the most first; of one kind, if one is given.
pub(super) async fn trending(
    connection: &mut PgConnection,
    tenant: Uuid,
    kind: Option<ItemKind>,
    now: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<TrendingItem>, sqlx::Error> {
    // Clocks differ: something may have been done in the block that is about to begin.
    let current = trend::block(now);
    let blocks: Vec<i32> = (current - 1..=current + 1).collect();
    let worths: Vec<f64> = blocks.iter().map(|block| trend::worth(*block, now)).collect();
    let rows: Vec<(Uuid, String, f64)> = sqlx::query_as(TALKED_OF)
        .bind(tenant)
        .bind(blocks)
        .bind(worths)
        .bind(kind.map(ItemKind::name))
        .bind(limit)
        .fetch_all(&mut *connection)
        .await?;
    let of = |kind: ItemKind| -> Vec<Uuid> {
        rows.iter().filter(|(_, named, _)| named == kind.name()).map(|(id, ..)| *id).collect()
    };
    let mut articles = rows::by_ids(&mut *connection, &of(ItemKind::Article)).await?;
    let mut entities: HashMap<Uuid, Entity> = knowledge::standing(connection, &of(ItemKind::Entity)).await?;
    let items = rows.into_iter().filter_map(|(id, kind, score)| {
        let (article, entity) = (articles.remove(&id), entities.remove(&id));
        Some(TrendingItem { score, kind: ItemKind::of(&kind)?, article, entity })
    });
    Ok(items.collect())
}
