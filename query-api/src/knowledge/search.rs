//! Searches in memory. Each gives what the same search over SQL gives ([`super::walk`]): of several relationships that lead to an entity in as
//! many steps, the one with the lowest id counts, and entities as far away come in the order of their ids.

use uuid::Uuid;

use super::{
    adjacency::{Adjacency, Edge, Node},
    walk::{Hop, Reached, Walk, best},
};

/// Relationships that one step looks at, at most.
const MAX_HOPS: usize = 1_000_000;
/// Marks that one search uses up.
const MARKS: u32 = 16;

/// What a search from one end writes down: which step came to an entity, by which relationship and from where.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// Of entities that this search came to: the mark of the step.
    marks: Vec<u32>,
    via: Vec<Edge>,
    from: Vec<Node>,
    frontier: Vec<Node>,
    begin: u32,
    mark: u32,
}

impl Side {
    fn begin(&mut self, graph: &Adjacency, root: Node) {
        if self.mark > u32::MAX - 2 * MARKS {
            self.marks.clear();
            self.mark = 0;
        }
        for places in [&mut self.marks, &mut self.via, &mut self.from] {
            places.resize(graph.nodes(), 0);
        }
        self.begin = self.mark + 1;
        self.mark = self.begin;
        self.marks[root as usize] = self.begin;
        self.frontier.clear();
        self.frontier.push(root);
    }

    fn has(&self, node: Node) -> bool {
        self.marks[node as usize] >= self.begin
    }

    fn depth(&self) -> usize {
        (self.mark - self.begin) as usize
    }

    /// One step further, that looks at [`MAX_HOPS`]; `hop` hears of every relationship. Whether there was more than is looked at.
    fn step(&mut self, graph: &Adjacency, hop: impl FnMut(Edge, Node, Node)) -> bool {
        self.step_of(graph, MAX_HOPS, hop)
    }

    fn step_of(&mut self, graph: &Adjacency, most: usize, mut hop: impl FnMut(Edge, Node, Node)) -> bool {
        let frontier = std::mem::take(&mut self.frontier);
        self.mark += 1;
        let mut looks = 0;
        for near in &frontier {
            if looks > most {
                return true;
            }
            graph.each_hop(*near, &mut |edge, far| {
                looks += 1;
                hop(edge, *near, far);
                let place = far as usize;
                let known = self.marks[place];
                let is_new = known < self.begin;
                if is_new {
                    self.marks[place] = self.mark;
                    self.frontier.push(far);
                }
                if is_new || (known == self.mark && graph.is_before(edge, self.via[place])) {
                    self.via[place] = edge;
                    self.from[place] = *near;
                }
            });
        }
        false
    }

    /// The first of the frontier, by id, that the other side has too.
    fn meeting(&self, other: &Self, graph: &Adjacency) -> Option<Node> {
        self.frontier.iter().copied().filter(|node| other.has(*node)).min_by_key(|node| graph.order(*node))
    }

    /// The relationships from `node` back to where the search began, with the entity that each came from.
    fn back(&self, mut node: Node) -> Vec<(Edge, Node, Node)> {
        let mut way = Vec::new();
        while self.marks[node as usize] > self.begin {
            let (edge, from) = (self.via[node as usize], self.from[node as usize]);
            way.push((edge, from, node));
            node = from;
        }
        way
    }
}

impl Adjacency {
    /// How many entities are within `depth` relationships of one, however many relationships that are; none: it is not known.
    #[must_use]
    pub fn count(&self, root: Uuid, depth: usize) -> Option<usize> {
        let root = self.node(root)?;
        Some(self.with_sides(|[side, _]| {
            side.begin(self, root);
            let mut count = 0;
            for _ in 0..depth {
                side.step_of(self, usize::MAX, |_, _, _| ());
                count += side.frontier.len();
            }
            count
        }))
    }

    /// Everything within `depth` relationships of `root`, at most `limit` entities besides it; none: it is not known.
    #[must_use]
    pub fn around(&self, root: Uuid, depth: usize, limit: usize) -> Option<Walk> {
        let root = self.node(root)?;
        Some(self.with_sides(|[side, places]| self.walk(side, &mut places.from, root, depth, limit)))
    }

    fn walk(&self, side: &mut Side, places: &mut Vec<Node>, root: Node, depth: usize, limit: usize) -> Walk {
        side.begin(self, root);
        places.resize(self.nodes(), 0);
        places[root as usize] = 0;
        let first = Reached { id: self.entity_id(root), depth: 0, parent: None, kind: None };
        let mut walk = Walk { reached: vec![first], cut: false };
        for depth in 1..=depth {
            if side.frontier.is_empty() || walk.cut {
                break;
            }
            walk.cut |= side.step(self, |_, _, _| ());
            let left = limit + 1 - walk.reached.len();
            if side.frontier.len() > left {
                walk.cut = true;
                side.frontier.select_nth_unstable_by_key(left, |node| self.order(*node));
                side.frontier.truncate(left);
            }
            side.frontier.sort_unstable_by_key(|node| self.order(*node));
            for node in &side.frontier {
                let place = *node as usize;
                places[place] = walk.reached.len() as u32;
                walk.reached.push(Reached {
                    id: self.entity_id(*node),
                    depth,
                    parent: Some(places[side.from[place] as usize] as usize),
                    kind: Some(self.kind(side.via[place]).to_owned()),
                });
            }
        }
        walk
    }

    /// A way with the fewest relationships, at most `depth`, and whether a longer look could have found another answer; none: an end is
    /// not known.
    #[must_use]
    pub fn shortest(&self, from: Uuid, to: Uuid, depth: usize) -> Option<(Option<Vec<Hop>>, bool)> {
        let (from, to) = (self.node(from)?, self.node(to)?);
        Some(self.with_sides(|[near, far]| {
            near.begin(self, from);
            far.begin(self, to);
            let mut cut = false;
            loop {
                // Whole steps: the first meeting is the shortest way.
                if let Some(meeting) = near.meeting(far, self).or_else(|| far.meeting(near, self)) {
                    let there = near.back(meeting).into_iter().rev();
                    let back = far.back(meeting).into_iter().map(|(edge, from, node)| (edge, node, from));
                    return (Some(there.chain(back).map(|hop| self.hop(hop)).collect()), cut);
                }
                if near.depth() + far.depth() >= depth || near.frontier.is_empty() || far.frontier.is_empty() {
                    return (None, cut);
                }
                let side = if near.frontier.len() <= far.frontier.len() { &mut *near } else { &mut *far };
                cut |= side.step(self, |_, _, _| ());
            }
        }))
    }

    /// The way of at most `depth` relationships whose confidences multiply to the most, and whether a longer look could have found a better
    /// one; none: an end is not known.
    #[must_use]
    pub fn surest(&self, from: Uuid, to: Uuid, depth: usize) -> Option<(Option<Vec<Hop>>, bool)> {
        let (start, end) = (self.node(from)?, self.node(to)?);
        if start == end {
            return Some((Some(Vec::new()), false));
        }
        let (mut edges, mut cut) = (Vec::new(), false);
        // Every way lies within half of its length of one end or the other.
        self.with_sides(|[side, _]| {
            for (root, depth) in [(start, depth.div_ceil(2)), (end, depth / 2)] {
                side.begin(self, root);
                for _ in 0..depth {
                    cut |= side.step(self, |edge, near, far| edges.push((edge, near, far)));
                }
            }
        });
        edges.sort_unstable_by_key(|(edge, ..)| self.relationship_id(*edge));
        edges.dedup_by_key(|(edge, ..)| *edge);
        let places: Vec<_> =
            edges.iter().map(|(edge, near, far)| (*near, *far, f64::from(self.confidence(*edge)))).collect();
        let way = best(&places, start, end, depth).map(|way| {
            let hops = way.into_iter().map(|(place, is_turned)| {
                let (edge, near, far) = edges[place];
                self.hop(if is_turned { (edge, far, near) } else { (edge, near, far) })
            });
            hops.collect()
        });
        Some((way, cut))
    }

    fn hop(&self, (edge, near, far): (Edge, Node, Node)) -> Hop {
        Hop {
            near: self.entity_id(near),
            far: self.entity_id(far),
            relationship: self.relationship_id(edge),
            kind: self.kind(edge).to_owned(),
            confidence: f64::from(self.confidence(edge)),
        }
    }
}
