//! An organisation's graph in memory: who is related to whom.
//!
//! Owns the arrays and how they follow single rows. What was there when it was made lies in order of ids, with the relationships of each entity
//! side by side; what came later lies behind it. It holds no names and no properties: those are read where they are shown.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use uuid::Uuid;

use super::{
    coded::{Confidences, Kinds},
    search::Side,
};

/// The place of an entity.
pub(super) type Node = u32;
/// The place of a relationship.
pub(super) type Edge = u32;

/// Set in the first end of a relationship that was retracted. It stands beside what a search reads of every relationship anyway.
const RETRACTED: Node = 1 << 31;
/// The most merges that are followed from one entity to the one that stands for it.
const MOST_MERGES: usize = 64;

/// An entity, as far as ways go through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntityPlace {
    /// Its id.
    pub id: Uuid,
    /// The entity that stands for it.
    pub merged_into: Option<Uuid>,
    /// Whether it is not held to exist any more.
    pub retracted: bool,
}

/// A relationship, as far as ways go along it.
#[derive(Debug, Clone, PartialEq)]
pub struct RelationshipPlace {
    /// Its id.
    pub id: Uuid,
    /// The entity that it leads from.
    pub source: Uuid,
    /// The entity that it leads to.
    pub target: Uuid,
    /// Its type.
    pub kind: String,
    /// How sure it is.
    pub confidence: f32,
    /// Whether it is not held to exist any more.
    pub retracted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// A relationship names it, and no row is there yet.
    Unknown,
    Stands,
    Retracted,
}

/// It cannot be held in memory: it has more entities, relationships or types than there are places for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the graph is too large to be held in memory")]
pub struct TooLarge;

/// A graph. See the module.
#[derive(Debug, Default)]
pub struct Adjacency {
    entities: Vec<Uuid>,
    /// So many of them are in order of their ids.
    sorted_entities: usize,
    late_entities: HashMap<Uuid, Node>,
    standings: Vec<Standing>,
    merged: HashMap<Node, Node>,
    absorbed: HashMap<Node, Vec<Node>>,

    relationships: Vec<Uuid>,
    sorted_relationships: usize,
    late_relationships: HashMap<Uuid, Edge>,
    /// Of a retracted one, the first with [`RETRACTED`].
    ends: Vec<[Node; 2]>,
    kinds: Kinds,
    confidences: Confidences,

    /// Where the relationships of each entity begin in `touching`; those that came later are in `late`.
    begins: Vec<u32>,
    touching: Vec<Edge>,
    late: HashMap<Node, Vec<Edge>>,
    late_edges: usize,
    /// Ends that were seen to change, which they do not.
    is_spoilt: bool,

    sides: Mutex<Vec<[Side; 2]>>,
}

impl Adjacency {
    /// A graph of rows in the order of their ids.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn new(
        entities: impl IntoIterator<Item = EntityPlace>,
        relationships: impl IntoIterator<Item = RelationshipPlace>,
    ) -> Result<Self, TooLarge> {
        let mut graph = Self::default();
        for entity in entities {
            graph.begin_with_entity(entity)?;
        }
        for relationship in relationships {
            graph.begin_with_relationship(&relationship)?;
        }
        graph.finish();
        Ok(graph)
    }

    /// One more entity, whose id comes after all before it. Call [`Self::finish`] in the end.
    pub(super) fn begin_with_entity(&mut self, entity: EntityPlace) -> Result<(), TooLarge> {
        let node = self.push_entity(entity.id)?;
        self.sorted_entities = self.entities.len();
        self.set(node, &entity)
    }

    /// One more relationship, likewise, after all entities.
    pub(super) fn begin_with_relationship(&mut self, relationship: &RelationshipPlace) -> Result<(), TooLarge> {
        self.push_relationship(relationship)?;
        self.sorted_relationships = self.relationships.len();
        Ok(())
    }

    /// Lays the relationships of each entity side by side.
    pub(super) fn finish(&mut self) {
        let mut begins = vec![0_u32; self.entities.len() + 1];
        for node in self.ends.iter().flatten() {
            begins[(node & !RETRACTED) as usize + 1] += 1;
        }
        for place in 1..begins.len() {
            begins[place] += begins[place - 1];
        }
        let mut next = begins.clone();
        let mut touching = vec![0; self.ends.len() * 2];
        for (edge, ends) in self.ends.iter().enumerate() {
            for node in ends {
                let place = &mut next[(node & !RETRACTED) as usize];
                touching[*place as usize] = edge as Edge;
                *place += 1;
            }
        }
        (self.begins, self.touching) = (begins, touching);
    }

    /// How an entity stands now.
    ///
    /// # Errors
    /// [`TooLarge`]: then this graph is of no use any more.
    pub fn put_entity(&mut self, entity: EntityPlace) -> Result<(), TooLarge> {
        let node = self.node_or_new(entity.id)?;
        self.set(node, &entity)
    }

    /// How a relationship stands now.
    ///
    /// # Errors
    /// As [`Self::put_entity`].
    pub fn put_relationship(&mut self, relationship: &RelationshipPlace) -> Result<(), TooLarge> {
        let Some(edge) = self.edge(relationship.id) else {
            let edge = self.push_relationship(relationship)?;
            self.late_relationships.insert(relationship.id, edge);
            for node in self.ends(edge) {
                self.late.entry(node).or_default().push(edge);
            }
            self.late_edges += 1;
            return Ok(());
        };
        self.kinds.set(edge, &relationship.kind)?;
        let ends = [relationship.source, relationship.target].map(|id| self.node(id));
        self.is_spoilt |= self.ends(edge).map(Some) != ends;
        self.ends[edge as usize] = marked(self.ends(edge), relationship.retracted);
        self.confidences.set(edge, relationship.confidence);
        Ok(())
    }

    /// Whether it is better made anew: much came later, which is found more slowly.
    #[must_use]
    pub fn is_worn(&self) -> bool {
        self.is_spoilt || self.late_edges > 10_000.max(self.ends.len() / 8)
    }

    /// How many relationships it has, with those that were retracted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let per_entity = size_of::<Uuid>() + size_of::<Standing>() + size_of::<u32>();
        let per_relationship = size_of::<Uuid>() + size_of::<[Node; 2]>();
        let coded = self.kinds.bytes() + self.confidences.bytes();
        let touching = size_of::<Edge>() * (self.touching.len() + 2 * self.late_edges);
        let maps =
            48 * (self.late_entities.len() + self.late_relationships.len() + self.merged.len() + self.late.len());
        self.entities.len() * per_entity + self.ends.len() * per_relationship + coded + touching + maps
    }

    fn push_entity(&mut self, id: Uuid) -> Result<Node, TooLarge> {
        let node = Node::try_from(self.entities.len()).ok().filter(|node| *node < RETRACTED).ok_or(TooLarge)?;
        self.entities.push(id);
        self.standings.push(Standing::Unknown);
        Ok(node)
    }

    fn set(&mut self, node: Node, entity: &EntityPlace) -> Result<(), TooLarge> {
        self.standings[node as usize] = if entity.retracted { Standing::Retracted } else { Standing::Stands };
        let into = entity.merged_into.map(|id| self.node_or_new(id)).transpose()?;
        if self.merged.get(&node).copied() == into {
            return Ok(());
        }
        if let Some(before) = self.merged.remove(&node)
            && let Some(absorbed) = self.absorbed.get_mut(&before)
        {
            absorbed.retain(|other| *other != node);
        }
        if let Some(into) = into {
            self.merged.insert(node, into);
            self.absorbed.entry(into).or_default().push(node);
        }
        Ok(())
    }

    fn push_relationship(&mut self, relationship: &RelationshipPlace) -> Result<Edge, TooLarge> {
        // Each has two places in `touching`, which are counted by 32 bits.
        let edge = Edge::try_from(self.ends.len()).ok().filter(|edge| *edge < Edge::MAX / 2).ok_or(TooLarge)?;
        let ends = [self.node_or_new(relationship.source)?, self.node_or_new(relationship.target)?];
        self.kinds.push(&relationship.kind)?;
        self.relationships.push(relationship.id);
        self.ends.push(marked(ends, relationship.retracted));
        self.confidences.push(relationship.confidence);
        Ok(edge)
    }

    /// The place of an entity.
    pub(super) fn node(&self, id: Uuid) -> Option<Node> {
        match self.entities[..self.sorted_entities].binary_search(&id) {
            Ok(place) => Some(place as Node),
            Err(_) => self.late_entities.get(&id).copied(),
        }
    }

    fn node_or_new(&mut self, id: Uuid) -> Result<Node, TooLarge> {
        if let Some(node) = self.node(id) {
            return Ok(node);
        }
        let node = self.push_entity(id)?;
        self.late_entities.insert(id, node);
        Ok(node)
    }

    fn edge(&self, id: Uuid) -> Option<Edge> {
        match self.relationships[..self.sorted_relationships].binary_search(&id) {
            Ok(place) => Some(place as Edge),
            Err(_) => self.late_relationships.get(&id).copied(),
        }
    }

    /// How many places of entities there are.
    pub(super) fn nodes(&self) -> usize {
        self.entities.len()
    }

    pub(super) fn entity_id(&self, node: Node) -> Uuid {
        self.entities[node as usize]
    }

    pub(super) fn relationship_id(&self, edge: Edge) -> Uuid {
        self.relationships[edge as usize]
    }

    pub(super) fn kind(&self, edge: Edge) -> &str {
        self.kinds.get(edge)
    }

    pub(super) fn confidence(&self, edge: Edge) -> f32 {
        self.confidences.get(edge)
    }

    fn ends(&self, edge: Edge) -> [Node; 2] {
        self.ends[edge as usize].map(|node| node & !RETRACTED)
    }

    /// Whether the one relationship's id comes before the other's.
    pub(super) fn is_before(&self, one: Edge, other: Edge) -> bool {
        if (one.max(other) as usize) < self.sorted_relationships {
            return one < other;
        }
        self.relationship_id(one) < self.relationship_id(other)
    }

    /// What sorts entities by their ids.
    pub(super) fn order(&self, node: Node) -> Uuid {
        self.entity_id(node)
    }

    /// Each relationship of an entity that stands for itself, and the entity that it leads to or from.
    pub(super) fn each_hop(&self, node: Node, hop: &mut impl FnMut(Edge, Node)) {
        self.hops_of(node, node, hop);
        if !self.absorbed.is_empty() {
            let mut own = vec![node];
            let mut next = 0;
            while let Some(of) = own.get(next).copied() {
                next += 1;
                for other in self.absorbed.get(&of).into_iter().flatten() {
                    if !own.contains(other) {
                        own.push(*other);
                        self.hops_of(*other, node, hop);
                    }
                }
            }
        }
    }

    /// Those with `own` at one end, which is, or was merged into, `node`. What a merge made a loop leads nowhere.
    fn hops_of(&self, own: Node, node: Node, hop: &mut impl FnMut(Edge, Node)) {
        let place = own as usize;
        let first = match self.begins.get(place..place + 2) {
            Some(&[begin, end]) => &self.touching[begin as usize..end as usize],
            _ => &[],
        };
        let late = if self.late.is_empty() { None } else { self.late.get(&own) };
        for edge in first.iter().chain(late.into_iter().flatten()) {
            let [source, target] = self.ends[*edge as usize];
            let far = if source == own { target } else { source };
            if source >= RETRACTED || self.standings[far as usize] != Standing::Stands {
                continue;
            }
            let far = self.standing_for(far);
            if far != node && self.standings[far as usize] == Standing::Stands {
                hop(*edge, far);
            }
        }
    }

    fn standing_for(&self, mut node: Node) -> Node {
        if self.merged.is_empty() {
            return node;
        }
        for _ in 0..MOST_MERGES {
            match self.merged.get(&node) {
                Some(into) => node = *into,
                None => break,
            }
        }
        node
    }

    /// Lends what two searches write down on the way.
    pub(super) fn with_sides<T>(&self, search: impl FnOnce(&mut [Side; 2]) -> T) -> T {
        let lock = || self.sides.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sides = lock().pop().unwrap_or_default();
        let found = search(&mut sides);
        lock().push(sides);
        found
    }
}

fn marked([source, target]: [Node; 2], is_retracted: bool) -> [Node; 2] {
    [if is_retracted { source | RETRACTED } else { source }, target]
}
