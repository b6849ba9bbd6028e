//! The subscriptions to changes of the graph. Owns the way from arguments to an interest.

use async_graphql::{Context, Result, SimpleObject, Subscription};
use docket_platform::auth::permissions::Action;
use futures_util::Stream;
use uuid::Uuid;

use super::{
    changes::{Around, OfEntities, OfNeighbourhood},
    entity::{Entity, Relationship, kind},
    within,
};
use crate::{
    changes::{Changed, Hubs},
    graphql::{Asker, Instant, error, subscribe},
};

/// The farthest that is watched around an entity.
const MAX_WATCHED_DEPTH: i32 = 2;

/// An entity changed.
#[derive(Debug, Clone, SimpleObject)]
pub struct EntityChange {
    /// The entity as it stands now; it may be newer than this change. Where it was merged into another: that other one.
    entity: Entity,
    /// The id that it happened to: another than that of `entity` where it was merged.
    entity_id: Uuid,
    /// What happened: entity_added, entity_changed, entity_merged or entity_retracted; later releases may add to these.
    kind: String,
    /// Resume behind this change with `since`.
    position: String,
    /// When the change came to the read model.
    at: Instant,
}

impl From<Changed<(Uuid, Entity)>> for EntityChange {
    fn from(changed: Changed<(Uuid, Entity)>) -> Self {
        let (entity_id, entity) = changed.shown;
        let (position, at) = (changed.position.to_string(), Instant(changed.at));
        Self { entity, entity_id, kind: changed.kind, position, at }
    }
}

/// Something changed around an entity.
#[derive(Debug, Clone, SimpleObject)]
pub struct GraphChange {
    /// The id of the entity or the relationship that it happened to.
    id: Uuid,
    /// The entity as it stands now, or the one that stands for it; null: it happened to a relationship.
    entity: Option<Entity>,
    /// The relationship as it stands now; null: it happened to an entity.
    relationship: Option<Relationship>,
    /// What happened: entity_added, entity_changed, entity_merged, entity_retracted, relationship_added, relationship_changed or
    /// relationship_retracted; later releases may add to these.
    kind: String,
    /// Resume behind this change with `since`.
    position: String,
    /// When the change came to the read model.
    at: Instant,
}

impl From<Changed<Around>> for GraphChange {
    fn from(changed: Changed<Around>) -> Self {
        let Around { id, entity, relationship } = changed.shown;
        let (position, at) = (changed.position.to_string(), Instant(changed.at));
        Self { id, entity, relationship, kind: changed.kind, position, at }
    }
}

/// The subscriptions of this feature.
#[derive(Debug, Default)]
pub struct KnowledgeSubscription;

#[Subscription]
impl KnowledgeSubscription {
    /// Changes of entities: all since a position, or those from now on. When they cannot be told without a gap, the subscription ends
    /// with an error whose code is RESYNC_REQUIRED: query anew, and subscribe since the answer's position.
    async fn entity_changed(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Behind this position; shards that it does not name are followed from now on.")] since: Option<
            String,
        >,
        #[graphql(desc = "Of this entity only, or of the one that stands for it.")] id: Option<Uuid>,
        #[graphql(desc = "Of entities that are now of this type only.")] r#type: Option<String>,
    ) -> Result<impl Stream<Item = Result<EntityChange>> + use<>> {
        let asker = Asker::who_may(context, Action::ReadKnowledge)?;
        kind(r#type.as_deref()).map_err(error::from_read)?;
        let hub = context.data::<Hubs>()?.knowledge.clone();
        subscribe(asker, hub, since.as_deref(), OfEntities::new(id, r#type)).await
    }

    /// Changes around an entity, likewise: of itself, of the entities that are at most `depth` relationships away, and of the
    /// relationships between them. What is near is judged with the graph as it stands when the change is told. An entity of which
    /// nothing is known yet is waited for.
    async fn graph_changed(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The entity, or the one that stands for it.")] around: Uuid,
        #[graphql(default = 1, desc = "How many relationships away at most, 1 or 2.")] depth: i32,
        #[graphql(desc = "Behind this position; shards that it does not name are followed from now on.")] since: Option<
            String,
        >,
    ) -> Result<impl Stream<Item = Result<GraphChange>> + use<>> {
        let asker = Asker::who_may(context, Action::ReadKnowledge)?;
        let depth = within("depth", depth, MAX_WATCHED_DEPTH).map_err(error::from_read)?;
        let hub = context.data::<Hubs>()?.knowledge.clone();
        subscribe(asker, hub, since.as_deref(), OfNeighbourhood::new(around, depth)).await
    }
}
