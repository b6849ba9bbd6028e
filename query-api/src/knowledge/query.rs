//! The root fields of the graph.

use async_graphql::{Context, Object, Result};
use docket_platform::auth::permissions::Action;
use uuid::Uuid;

use super::{
    MAX_DEPTH, MAX_NODES,
    entity::{Entity, enter},
    find::Find,
    neighbourhood::{self, Neighbourhood, Parts},
    path::{self, Path, PathBy},
    rows,
    warm::Ground,
    within,
};
use crate::{
    graphql::{Asker, error},
    page,
};

/// The root fields of the graph.
#[derive(Debug, Default)]
pub struct KnowledgeQuery;

#[Object]
impl KnowledgeQuery {
    /// One entity, or the one that it was merged into; null when the organisation has none of this id.
    async fn entity(
        &self,
        context: &Context<'_>,
        id: Uuid,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Option<Entity>> {
        let asker = Asker::who_may(context, Action::ReadKnowledge)?;
        let read = async {
            let mut entered = enter(asker, &asker.at_least(at_least.as_deref())?).await?;
            let row = async {
                let found = rows::standing(&mut entered.tx, &[id]).await?.remove(&id);
                found.map(Entity::try_from).transpose()
            };
            asker.gate.reads().guard(row).await
        };
        Box::pin(read).await.map_err(error::from_read)
    }

    /// Entities that a text finds, the best first: by the beginning of the name, by words of name and aliases, and by likeness.
    #[graphql(complexity = "page::cost(Some(limit), child_complexity)")]
    async fn search_entities(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "1 to 200 characters.")] text: String,
        #[graphql(desc = "Of this type alone.")] r#type: Option<String>,
        #[graphql(default = 20, desc = "At most this many, up to 100.")] limit: i32,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Vec<Entity>> {
        let asker = Asker::who_may(context, Action::ReadKnowledge)?;
        let read = async {
            let find = Find::new(&text, r#type, limit)?;
            let mut entered = enter(asker, &asker.at_least(at_least.as_deref())?).await?;
            let found = async {
                let rows = find.run(&mut entered.tx, asker.principal.tenant).await?;
                rows.into_iter().map(Entity::try_from).collect()
            };
            asker.gate.reads().guard(found).await
        };
        Box::pin(read).await.map_err(error::from_read)
    }

    /// The best way from one entity to another, whichever way each relationship leads; null when there is none of at most `maxDepth`
    /// relationships. Where there was more than is looked at, `extensions.cut` is true.
    async fn path(
        &self,
        context: &Context<'_>,
        from: Uuid,
        to: Uuid,
        #[graphql(default = 5, desc = "How many relationships at most, up to 5.")] max_depth: i32,
        #[graphql(default, desc = "Which way is the best.")] by: PathBy,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Option<Path>> {
        let asker = Asker::who_may(context, Action::ReadKnowledge)?;
        let read = async {
            let depth = within("maxDepth", max_depth, MAX_DEPTH)?;
            let mut entered = enter(asker, &asker.at_least(at_least.as_deref())?).await?;
            let path = async {
                let mut ground = Ground::enter(&asker.gate, asker.principal.tenant, &mut entered).await?;
                path::read(&mut ground, (from, to), depth, by).await
            };
            let (path, cut) = asker.gate.reads().guard(path).await?;
            if cut {
                asker.seen.say_cut();
            }
            Ok(path)
        };
        Box::pin(read).await.map_err(error::from_read)
    }

    /// What lies around an entity, ready to draw; null when the organisation has none of this id.
    #[graphql(complexity = "page::cost(Some(limit / 10), child_complexity)")]
    async fn neighbourhood(
        &self,
        context: &Context<'_>,
        id: Uuid,
        #[graphql(default = 1, desc = "How many relationships away at most, up to 5.")] depth: i32,
        #[graphql(default = 100, desc = "At most this many entities besides it, up to 1,000.")] limit: i32,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Option<Neighbourhood>> {
        let asker = Asker::who_may(context, Action::ReadKnowledge)?;
        let look = context.look_ahead();
        let parts = Parts { nodes: look.field("nodes").exists(), edges: look.field("edges").exists() };
        let read = async {
            let (depth, limit) = (within("depth", depth, MAX_DEPTH)?, within("limit", limit, MAX_NODES)?);
            let mut entered = enter(asker, &asker.at_least(at_least.as_deref())?).await?;
            let around = async {
                let root = rows::resolved(&mut entered.tx, id).await?;
                let there = rows::entities(&mut entered.tx, &[root]).await?;
                if there.get(&root).is_none_or(|row| row.retracted.is_some()) {
                    return Ok(None);
                }
                let mut ground = Ground::enter(&asker.gate, asker.principal.tenant, &mut entered).await?;
                neighbourhood::read(&mut ground, root, depth, limit, parts).await.map(Some)
            };
            asker.gate.reads().guard(around).await
        };
        Box::pin(read).await.map_err(error::from_read)
    }
}
