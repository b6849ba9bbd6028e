//! Changes of the graph, and who wants which: those of entities, and those around an entity.
//!
//! Owns what lies near an entity when a change is told. That is judged with the graph as it stands then.

use std::collections::{BTreeSet, HashMap, HashSet};

use sqlx::PgConnection;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::{
    entity::{Entity, Relationship, with_ends},
    rows, walk,
};
use crate::{
    changes::{Change, Followed, Interest},
    position::{Gate, KNOWLEDGE, Source},
    read::{ReadError, Tx},
};

/// The source of changes of the graph.
#[derive(Debug, Clone, Copy)]
pub struct Knowledge;

/// What changed, as it stands.
#[derive(Debug, Default)]
pub struct Rows {
    /// By the entity that changed: the one that stands for it.
    entities: HashMap<Uuid, Entity>,
    relationships: HashMap<Uuid, Relationship>,
    /// What lies beside each of them: looked up by the first subscriber who wants to know, for all of the tenant.
    beside: OnceCell<Beside>,
}

/// Of entities, those that are one relationship away.
#[derive(Debug, Default)]
struct Beside {
    ends: HashMap<Uuid, HashSet<Uuid>>,
    /// There are more than are looked at.
    cut: bool,
}

impl Followed for Knowledge {
    const SOURCE: Source = KNOWLEDGE;
    type Rows = Rows;

    async fn load(tx: &mut Tx, keys: &[Uuid]) -> Result<Rows, sqlx::Error> {
        if keys.is_empty() {
            return Ok(Rows::default());
        }
        let entities = rows::standing(tx, keys).await?;
        let entities = entities.into_iter().map(|(key, row)| Ok((key, Entity::try_from(row)?)));
        let entities = entities.collect::<Result<_, sqlx::Error>>()?;
        let relationships = rows::relationships_by_id(tx, keys).await?;
        let relationships = with_ends(tx, relationships).await?;
        let relationships = relationships.into_iter().map(|relationship| (relationship.id, relationship)).collect();
        Ok(Rows { entities, relationships, beside: OnceCell::new() })
    }
}

fn ends(relationship: &Relationship) -> impl Iterator<Item = Uuid> {
    [&relationship.source_entity, &relationship.target_entity].into_iter().flatten().map(|entity| entity.id)
}

/// What lies beside the entities named by `rows`.
async fn beside(connection: &mut PgConnection, rows: &Rows) -> Result<Beside, sqlx::Error> {
    let named = rows.entities.values().map(|entity| entity.id).chain(rows.relationships.values().flat_map(ends));
    let (hops, cut) = walk::hops(connection, &named.collect::<BTreeSet<_>>()).await?;
    let mut beside = Beside { ends: HashMap::new(), cut };
    for hop in hops {
        beside.ends.entry(hop.near).or_default().insert(hop.far);
    }
    Ok(beside)
}

/// An entity by every id that it was found under while it was followed: others came to stand for it.
#[derive(Debug, Clone)]
struct Root(Vec<Uuid>);

impl Root {
    fn is(&self, id: Uuid) -> bool {
        self.0.contains(&id)
    }

    /// The entity that stands for it now.
    async fn follow(&mut self, connection: &mut PgConnection) -> Result<Uuid, sqlx::Error> {
        let Some(first) = self.0.first() else { return Ok(Uuid::nil()) };
        let id = rows::resolved(connection, *first).await?;
        if !self.is(id) {
            self.0.push(id);
        }
        Ok(id)
    }
}

/// Changes of entities.
#[derive(Debug, Clone)]
pub(super) struct OfEntities {
    root: Option<Root>,
    kind: Option<String>,
}

impl OfEntities {
    /// Of the entity `id` only, or whatever stands for it; and of this type only.
    pub(super) fn new(id: Option<Uuid>, kind: Option<String>) -> Self {
        Self { root: id.map(|id| Root(vec![id])), kind }
    }
}

impl Interest for OfEntities {
    type In = Knowledge;
    /// The id that it happened to, and the entity that stands there.
    type Shown = (Uuid, Entity);

    fn wants(&self, change: &Change) -> bool {
        change.kind.starts_with("entity_")
    }

    async fn look(&mut self, gate: &Gate, tenant: Uuid, _: &[Change], _: &Rows) -> Result<(), ReadError> {
        let Some(root) = &mut self.root else { return Ok(()) };
        let _turn = gate.turn().await;
        let followed = async { root.follow(&mut *gate.reads().begin(tenant).await?).await };
        gate.reads().guard(followed).await.map(drop)
    }

    fn show(&self, change: &Change, rows: &Rows) -> Option<Self::Shown> {
        let entity = rows.entities.get(&change.key)?;
        let is_named = self.root.as_ref().is_none_or(|root| root.is(change.key) || root.is(entity.id));
        let is_of_kind = self.kind.as_ref().is_none_or(|kind| *kind == entity.r#type);
        (is_named && is_of_kind).then(|| (change.key, entity.clone()))
    }
}

/// What changed around an entity.
#[derive(Debug, Clone)]
pub(super) struct Around {
    /// The id that it happened to.
    pub(super) id: Uuid,
    /// The entity that stands there, if it is one.
    pub(super) entity: Option<Entity>,
    /// The relationship, if it is one.
    pub(super) relationship: Option<Relationship>,
}

/// Changes around an entity.
#[derive(Debug, Clone)]
pub(super) struct OfNeighbourhood {
    root: Root,
    /// So many relationships away at most: 1 or 2.
    depth: usize,
    /// What is one relationship away, where two count.
    beside: HashSet<Uuid>,
    cut: bool,
}

impl OfNeighbourhood {
    /// Around `root`, or whatever stands for it, up to `depth` relationships away: 1 or 2.
    pub(super) fn new(root: Uuid, depth: usize) -> Self {
        Self { root: Root(vec![root]), depth, beside: HashSet::new(), cut: false }
    }

    /// How far away an entity is; none: farther than is asked for.
    fn distance(&self, beside: &Beside, id: Uuid) -> Option<usize> {
        if self.root.is(id) {
            return Some(0);
        }
        let ends = beside.ends.get(&id)?;
        if ends.iter().any(|end| self.root.is(*end)) {
            return Some(1);
        }
        ends.iter().any(|end| self.beside.contains(end)).then_some(2)
    }

    fn has(&self, beside: &Beside, relationship: &Relationship) -> bool {
        let distances: Vec<Option<usize>> = ends(relationship).map(|id| self.distance(beside, id)).collect();
        // One that was retracted leads nowhere any more, but did from here.
        let begins_within = distances.iter().flatten().any(|distance| *distance < self.depth);
        begins_within || (distances.len() == 2 && distances.iter().all(Option::is_some))
    }
}

impl Interest for OfNeighbourhood {
    type In = Knowledge;
    type Shown = Around;

    fn wants(&self, _: &Change) -> bool {
        true
    }

    async fn look(&mut self, gate: &Gate, tenant: Uuid, _: &[Change], rows: &Rows) -> Result<(), ReadError> {
        let look = async { beside(&mut *gate.reads().begin(tenant).await?, rows).await };
        rows.beside.get_or_try_init(|| gate.reads().guard(look)).await?;
        // The root after the rows: whatever it was found under by then is known.
        let _turn = gate.turn().await;
        let look = async {
            let mut tx = gate.reads().begin(tenant).await?;
            let root = self.root.follow(&mut tx).await?;
            if self.depth > 1 {
                let (hops, cut) = walk::hops(&mut tx, &BTreeSet::from([root])).await?;
                (self.beside, self.cut) = (hops.into_iter().map(|hop| hop.far).collect(), cut);
            }
            Ok(())
        };
        gate.reads().guard(look).await
    }

    fn show(&self, change: &Change, rows: &Rows) -> Option<Around> {
        let beside = rows.beside.get()?;
        // Better told once too often than not at all.
        let unknown = self.cut || beside.cut;
        if let Some(entity) = rows.entities.get(&change.key) {
            let is_near = unknown || self.root.is(change.key) || self.distance(beside, entity.id).is_some();
            return is_near.then(|| Around { id: change.key, entity: Some(entity.clone()), relationship: None });
        }
        let relationship = rows.relationships.get(&change.key)?;
        let is_near = unknown || self.has(beside, relationship);
        is_near.then(|| Around { id: change.key, entity: None, relationship: Some(relationship.clone()) })
    }
}
