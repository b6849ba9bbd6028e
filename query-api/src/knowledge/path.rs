//! A way from one entity to another.

use async_graphql::{Enum, SimpleObject};
use uuid::Uuid;

use super::{
    entity::{Entity, Relationship, with_ends},
    rows,
    warm::Ground,
};

/// Which way is the best.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Enum)]
pub enum PathBy {
    /// The one with the fewest relationships.
    #[default]
    Hops,
    /// The one whose relationships' confidences multiply to the most.
    Confidence,
}

/// A way from one entity to another, whichever way each relationship leads.
#[derive(Debug, Clone, SimpleObject)]
pub struct Path {
    /// How many relationships it has.
    hops: usize,
    /// The product of their confidences.
    confidence: f64,
    /// The entities, from the first to the last.
    entities: Vec<Entity>,
    /// The relationships between them.
    relationships: Vec<Relationship>,
}

/// The best way of at most `depth` relationships, if there is one; and whether there was more than was looked at.
pub(super) async fn read(
    ground: &mut Ground<'_>,
    (from, to): (Uuid, Uuid),
    depth: usize,
    by: PathBy,
) -> Result<(Option<Path>, bool), sqlx::Error> {
    let others = rows::stands_for(ground.tx(), &[from, to]).await?;
    let [from, to] = [from, to].map(|id| others.get(&id).copied().unwrap_or(id));
    let ends = rows::entities(ground.tx(), &[from, to]).await?;
    if [from, to].iter().any(|id| ends.get(id).is_none_or(|row| row.retracted.is_some())) {
        return Ok((None, false));
    }
    let (way, cut) = match by {
        PathBy::Hops => ground.shortest(from, to, depth).await?,
        PathBy::Confidence => ground.surest(from, to, depth).await?,
    };
    let Some(way) = way else { return Ok((None, cut)) };
    let ids: Vec<Uuid> = std::iter::once(from).chain(way.iter().map(|hop| hop.far)).collect();
    let found = rows::entities(ground.tx(), &ids).await?;
    let entities = ids.iter().filter_map(|id| found.get(id).cloned()).map(Entity::try_from);
    let entities = entities.collect::<Result<_, _>>()?;
    let between: Vec<Uuid> = way.iter().map(|hop| hop.relationship).collect();
    let rows = rows::relationships_by_id(ground.tx(), &between).await?;
    let mut relationships = with_ends(ground.tx(), rows).await?;
    relationships.sort_by_key(|found| between.iter().position(|id| *id == found.id));
    let confidence = relationships.iter().map(|found| found.confidence).product();
    Ok((Some(Path { hops: way.len(), confidence, entities, relationships }), cut))
}
