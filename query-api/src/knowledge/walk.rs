//! Walks over the graph, from SQL: a frontier at a time.
//!
//! Owns how far a step reads and what is said when it was too much. Relationships are walked in both directions, whichever way they lead.
//! Of several that lead to an entity in as many steps, the one with the lowest id counts, and entities as far away come in the order of
//! their ids: so that the same search in memory ([`super::search`]) has the same answer.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::Hash,
};

use sqlx::PgConnection;
use uuid::Uuid;

use super::rows;

/// Relationships that one step looks at, at most.
const MAX_HOPS: usize = 100_000;

/// One relationship on the way from one entity to another.
#[derive(Debug, Clone, PartialEq)]
pub struct Hop {
    /// The entity that it comes from.
    pub near: Uuid,
    /// The entity that it comes to.
    pub far: Uuid,
    /// The relationship.
    pub relationship: Uuid,
    /// Its type.
    pub kind: String,
    /// How sure it is, as far as 32 bits can tell.
    pub confidence: f64,
}

type Row = (Uuid, Uuid, Uuid, String, f64, Option<Uuid>);

const HOPS: &str = "select h.near, h.far, h.id, h.type, h.confidence, e.merged_into
     from (
         select source_id as near, target_id as far, id, type, confidence from read.relationship
         where source_id = any($1) and retracted is null
         union all
         select target_id, source_id, id, type, confidence from read.relationship where target_id = any($1) and retracted is null
     ) h
     join read.entity e on e.id = h.far
     where e.retracted is null
     order by h.id, h.near limit $2";

/// What one step from `frontier` comes to, and whether there is more than is looked at.
pub(super) async fn hops(
    connection: &mut PgConnection,
    frontier: &BTreeSet<Uuid>,
) -> Result<(Vec<Hop>, bool), sqlx::Error> {
    let own: Vec<Uuid> = frontier.iter().copied().collect();
    let absorbed = rows::absorbed(&mut *connection, &own).await?;
    let named: Vec<Uuid> = own.into_iter().chain(absorbed.keys().copied()).collect();
    let mut found: Vec<Row> =
        sqlx::query_as(HOPS).bind(named).bind(MAX_HOPS as i64 + 1).fetch_all(&mut *connection).await?;
    let cut = found.len() > MAX_HOPS;
    found.truncate(MAX_HOPS);
    let merged: BTreeSet<Uuid> = found.iter().filter(|row| row.5.is_some()).map(|row| row.1).collect();
    let mut others = HashMap::new();
    let mut gone = BTreeSet::new();
    if !merged.is_empty() {
        let merged: Vec<Uuid> = merged.into_iter().collect();
        others = rows::stands_for(&mut *connection, &merged).await?;
        let standing: Vec<Uuid> = others.values().copied().collect();
        let there = rows::entities(connection, &standing).await?;
        gone = standing.into_iter().filter(|id| there.get(id).is_none_or(|row| row.retracted.is_some())).collect();
    }
    let hop = |(near, far, relationship, kind, confidence, _): Row| Hop {
        near: absorbed.get(&near).copied().unwrap_or(near),
        far: others.get(&far).copied().unwrap_or(far),
        relationship,
        kind,
        confidence: f64::from(confidence as f32),
    };
    // What a merge made a loop leads nowhere.
    let hops = found.into_iter().map(hop).filter(|hop| hop.near != hop.far && !gone.contains(&hop.far)).collect();
    Ok((hops, cut))
}

/// An entity that a walk came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// Its id.
    pub id: Uuid,
    /// How many relationships away.
    pub depth: usize,
    /// Its place among those that were reached before; none: the walk began here.
    pub parent: Option<usize>,
    /// The type of the relationship that led here.
    pub kind: Option<String>,
}

/// Where a walk came to, the nearest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Walk {
    /// The entities that it came to, and first the one where it began.
    pub reached: Vec<Reached>,
    /// Whether there was more than was asked for.
    pub cut: bool,
}

impl Walk {
    /// The types of the relationships that led to the entity at `place`, from the beginning on.
    pub(super) fn way(&self, place: usize) -> Vec<String> {
        let mut way = Vec::new();
        let mut at = self.reached.get(place);
        while let Some(Reached { parent: Some(parent), kind: Some(kind), .. }) = at {
            way.push(kind.clone());
            at = self.reached.get(*parent);
        }
        way.reverse();
        way
    }
}

/// Everything within `depth` relationships of `root`, at most `limit` entities besides it.
pub(super) async fn around(
    connection: &mut PgConnection,
    root: Uuid,
    depth: usize,
    limit: usize,
) -> Result<Walk, sqlx::Error> {
    let mut walk = Walk { reached: vec![Reached { id: root, depth: 0, parent: None, kind: None }], cut: false };
    let mut places = HashMap::from([(root, 0)]);
    let mut frontier = BTreeSet::from([root]);
    for depth in 1..=depth {
        if frontier.is_empty() || walk.cut {
            break;
        }
        let (hops, cut) = hops(&mut *connection, &frontier).await?;
        walk.cut |= cut;
        let mut new: BTreeMap<Uuid, Hop> = BTreeMap::new();
        for hop in hops.into_iter().filter(|hop| !places.contains_key(&hop.far)) {
            // They come in the order of their relationships.
            new.entry(hop.far).or_insert(hop);
        }
        frontier.clear();
        for (far, hop) in new {
            if walk.reached.len() > limit {
                walk.cut = true;
                break;
            }
            places.insert(far, walk.reached.len());
            let parent = places.get(&hop.near).copied();
            walk.reached.push(Reached { id: far, depth, parent, kind: Some(hop.kind) });
            frontier.insert(far);
        }
    }
    Ok(walk)
}

/// Hops by the entity that they lead to, and the depth of each entity seen.
#[derive(Debug, Default)]
struct Side {
    seen: BTreeMap<Uuid, Option<Hop>>,
    frontier: BTreeSet<Uuid>,
    depth: usize,
}

impl Side {
    fn new(root: Uuid) -> Self {
        Self { seen: BTreeMap::from([(root, None)]), frontier: BTreeSet::from([root]), depth: 0 }
    }

    /// One step further; whether there was more than is looked at.
    async fn step(&mut self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let (hops, cut) = hops(connection, &self.frontier).await?;
        self.frontier.clear();
        self.depth += 1;
        for hop in hops {
            if let std::collections::btree_map::Entry::Vacant(place) = self.seen.entry(hop.far) {
                self.frontier.insert(hop.far);
                place.insert(Some(hop));
            }
        }
        Ok(cut)
    }

    /// The hops from the beginning to `id`.
    fn way(&self, mut id: Uuid) -> Vec<Hop> {
        let mut way = Vec::new();
        while let Some(Some(hop)) = self.seen.get(&id) {
            way.push(hop.clone());
            id = hop.near;
        }
        way.reverse();
        way
    }
}

fn turned(hop: Hop) -> Hop {
    Hop { near: hop.far, far: hop.near, ..hop }
}

/// A way with the fewest relationships, at most `depth`; and whether a longer look could have found another answer.
pub(super) async fn shortest(
    connection: &mut PgConnection,
    from: Uuid,
    to: Uuid,
    depth: usize,
) -> Result<(Option<Vec<Hop>>, bool), sqlx::Error> {
    let (mut near, mut far, mut cut) = (Side::new(from), Side::new(to), false);
    loop {
        // Whole steps: the first meeting is the shortest way.
        if let Some(meeting) = near.frontier.iter().find(|id| far.seen.contains_key(*id)) {
            let back = far.way(*meeting).into_iter().rev().map(turned);
            return Ok((Some(near.way(*meeting).into_iter().chain(back).collect()), cut));
        }
        if let Some(meeting) = far.frontier.iter().find(|id| near.seen.contains_key(*id)) {
            let back = far.way(*meeting).into_iter().rev().map(turned);
            return Ok((Some(near.way(*meeting).into_iter().chain(back).collect()), cut));
        }
        if near.depth + far.depth >= depth || near.frontier.is_empty() || far.frontier.is_empty() {
            return Ok((None, cut));
        }
        let side = if near.frontier.len() <= far.frontier.len() { &mut near } else { &mut far };
        cut |= side.step(&mut *connection).await?;
    }
}

/// The way of at most `depth` relationships whose confidences multiply to the most.
pub(super) async fn surest(
    connection: &mut PgConnection,
    from: Uuid,
    to: Uuid,
    depth: usize,
) -> Result<(Option<Vec<Hop>>, bool), sqlx::Error> {
    if from == to {
        return Ok((Some(Vec::new()), false));
    }
    let (mut edges, mut cut) = (BTreeMap::new(), false);
    // Every way lies within half of its length of one end or the other.
    for (root, depth) in [(from, depth.div_ceil(2)), (to, depth / 2)] {
        let (mut seen, mut frontier) = (BTreeSet::from([root]), BTreeSet::from([root]));
        for _ in 0..depth {
            let (hops, more) = hops(&mut *connection, &frontier).await?;
            cut |= more;
            frontier = hops.iter().map(|hop| hop.far).filter(|far| !seen.contains(far)).collect();
            seen.extend(&frontier);
            edges.extend(hops.into_iter().map(|hop| (hop.relationship, hop)));
        }
    }
    let edges: Vec<Hop> = edges.into_values().collect();
    let places: Vec<(Uuid, Uuid, f64)> = edges.iter().map(|hop| (hop.near, hop.far, hop.confidence)).collect();
    let way = best(&places, from, to, depth).map(|way| {
        let hops = way.into_iter().map(|(place, is_turned)| {
            let hop = edges[place].clone();
            if is_turned { turned(hop) } else { hop }
        });
        hops.collect()
    });
    Ok((way, cut))
}

/// Where one of the ways so far came from.
#[derive(Debug, Clone, Copy)]
struct Best {
    confidence: f64,
    edge: usize,
    is_turned: bool,
}

/// The best way over `edges`, each with how sure it is: which of them, and whether against its direction. For each number of hops the best
/// confidence of each entity, from the one before; of equal ways the shorter one, and the one over the earlier edge.
pub(super) fn best<N: Copy + Eq + Hash>(
    edges: &[(N, N, f64)],
    from: N,
    to: N,
    depth: usize,
) -> Option<Vec<(usize, bool)>> {
    let mut numbers: HashMap<N, usize> = HashMap::new();
    let mut number = |node: N| {
        let next = numbers.len();
        *numbers.entry(node).or_insert(next)
    };
    let (from, to) = (number(from), number(to));
    let ends: Vec<(usize, usize)> = edges.iter().map(|(near, far, _)| (number(*near), number(*far))).collect();
    let nowhere = Best { confidence: -1.0, edge: 0, is_turned: false };
    let mut layers = vec![vec![nowhere; numbers.len()]];
    layers[0][from].confidence = 1.0;
    for hops in 0..depth {
        let mut next = vec![nowhere; numbers.len()];
        for (edge, (near, far)) in ends.iter().enumerate() {
            for (is_turned, near, far) in [(true, *far, *near), (false, *near, *far)] {
                let confidence = layers[hops][near].confidence * edges[edge].2;
                if layers[hops][near].confidence >= 0.0 && confidence > next[far].confidence {
                    next[far] = Best { confidence, edge, is_turned };
                }
            }
        }
        layers.push(next);
    }
    let mut length: Option<usize> = None;
    for hops in (1..layers.len()).filter(|hops| layers[*hops][to].confidence >= 0.0) {
        if length.is_none_or(|known| layers[hops][to].confidence > layers[known][to].confidence) {
            length = Some(hops);
        }
    }
    let (mut way, mut at) = (Vec::new(), to);
    for hops in (1..=length?).rev() {
        let Best { edge, is_turned, .. } = layers[hops][at];
        way.push((edge, is_turned));
        at = if is_turned { ends[edge].1 } else { ends[edge].0 };
    }
    way.reverse();
    Some(way)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_surest_way_may_be_longer_and_is_no_longer_than_allowed() {
        let edges = [(1, 4, 0.5), (1, 2, 0.9), (2, 3, 0.9), (4, 3, 0.9)];
        let way = |depth| best(&edges, 1, 4, depth);
        assert_eq!(way(1), Some(vec![(0, false)]));
        assert_eq!(way(2), Some(vec![(0, false)]));
        assert_eq!(way(3), Some(vec![(1, false), (2, false), (3, true)]), "0.729 is more than 0.5");
        assert_eq!(best(&edges, 1, 9, 5), None);
    }
}
