//! What lies around an entity, ready to draw: as objects, and packed.

use std::collections::HashMap;

use async_graphql::SimpleObject;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{rows, warm::Ground};

/// Edges between the nodes that are told, at most.
const MAX_EDGES: i64 = 5_000;

/// An entity to draw.
#[derive(Debug, Clone, SimpleObject)]
pub struct GraphNode {
    /// Its id.
    id: Uuid,
    /// What kind of thing it is.
    r#type: String,
    /// What it is called.
    name: String,
    /// How sure it is, from 0 to 1.
    confidence: f64,
    /// How many relationships away from the one that was asked for.
    depth: usize,
}

/// A relationship to draw.
#[derive(Debug, Clone, SimpleObject)]
pub struct GraphEdge {
    /// Its id.
    id: Uuid,
    /// The node that it leads from.
    source: Uuid,
    /// The node that it leads to.
    target: Uuid,
    /// How the one is related to the other.
    r#type: String,
    /// How sure it is, from 0 to 1.
    confidence: f64,
}

/// The same in parallel lists: a hundredth of the work where names are not wanted.
#[derive(Debug, Clone, SimpleObject)]
pub struct PackedGraph {
    /// The nodes, the one that was asked for first.
    ids: Vec<Uuid>,
    /// Of each node, the place of the node that led to it; null: it was asked for.
    parents: Vec<Option<usize>>,
    /// Of each node, the type of the relationship that led to it.
    relationship_types: Vec<Option<String>>,
}

/// What lies around an entity.
#[derive(Debug, Clone, SimpleObject)]
pub struct Neighbourhood {
    /// The entities, the nearest first.
    pub(super) nodes: Vec<GraphNode>,
    /// The relationships between them.
    pub(super) edges: Vec<GraphEdge>,
    /// The entities and what led to each, in parallel lists.
    packed: PackedGraph,
    /// Whether there is more than is told.
    pub(super) cut: bool,
}

/// Which parts are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts {
    pub(super) nodes: bool,
    pub(super) edges: bool,
}

type EdgeRow = (Uuid, Uuid, Uuid, String, f64);

const EDGES: &str = "select id, source_id, target_id, type, confidence from read.relationship
     where source_id = any($1) and target_id = any($1) and retracted is null order by id limit $2";

/// What lies around `root`; only the parts that are asked for cost anything.
pub(super) async fn read(
    ground: &mut Ground<'_>,
    root: Uuid,
    depth: usize,
    limit: usize,
    parts: Parts,
) -> Result<Neighbourhood, sqlx::Error> {
    let walk = ground.around(root, depth, limit).await?;
    let ids: Vec<Uuid> = walk.reached.iter().map(|reached| reached.id).collect();
    let rows = if parts.nodes { rows::entities(ground.tx(), &ids).await? } else { HashMap::new() };
    let nodes = walk.reached.iter().filter_map(|reached| {
        let row = rows.get(&reached.id)?;
        Some(GraphNode {
            id: row.id,
            r#type: row.r#type.clone(),
            name: row.name.clone(),
            confidence: row.confidence,
            depth: reached.depth,
        })
    });
    let nodes = nodes.collect();
    let (edges, more) = if parts.edges { edges(ground.tx(), &ids).await? } else { (Vec::new(), false) };
    let packed = PackedGraph {
        parents: walk.reached.iter().map(|reached| reached.parent).collect(),
        relationship_types: walk.reached.iter().map(|reached| reached.kind.clone()).collect(),
        ids,
    };
    Ok(Neighbourhood { nodes, edges, packed, cut: walk.cut || more })
}

async fn edges(connection: &mut PgConnection, ids: &[Uuid]) -> Result<(Vec<GraphEdge>, bool), sqlx::Error> {
    let absorbed = rows::absorbed(&mut *connection, ids).await?;
    let named: Vec<Uuid> = ids.iter().copied().chain(absorbed.keys().copied()).collect();
    let mut rows: Vec<EdgeRow> = sqlx::query_as(EDGES).bind(named).bind(MAX_EDGES + 1).fetch_all(connection).await?;
    let more = rows.len() as i64 > MAX_EDGES;
    rows.truncate(MAX_EDGES as usize);
    let own = |id: Uuid| absorbed.get(&id).copied().unwrap_or(id);
    let edge = |(id, source, target, kind, confidence): EdgeRow| GraphEdge {
        id,
        source: own(source),
        target: own(target),
        r#type: kind,
        confidence,
    };
    Ok((rows.into_iter().map(edge).filter(|edge| edge.source != edge.target).collect(), more))
}
