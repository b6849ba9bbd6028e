//! How the entities are related: hubs, dense clusters, and a long tail.
//!
//! Half of the entities have one or two relationships (the tail), one in fifty has fifty and more (the hubs; the first ones have hundreds),
//! and most others belong to clusters of 3 to 5 of which each is related to each. Where the numbers leave no room for that there is as much of
//! it as there is room; the number of relationships is kept in any case. Two entities are related at most once, and nothing to itself.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use docket_events::knowledge::RelationshipFacts;
use rand::RngExt;
use rand::seq::SliceRandom;

use super::entities::{self, Entity, Kind};
use super::shape::{self, Dice, Part, chance, dates, not_before, one, qualities};

/// The least relationships of a hub.
pub const HUB: u32 = 50;
/// How many relationships there must be for each hub.
const PER_HUB: usize = 250;
/// How much flatter than by Zipf's law the sizes of hubs fall off; by the law alone the first would have half of everything.
const FLATNESS: u64 = 10;
/// How often a pair is thrown that is taken already, before pairs are taken in their order.
const THROWS: usize = 200;

/// How one entity is related to another.
#[derive(Debug, Clone, PartialEq)]
pub struct Relationship {
    /// The place of the entity that it leads from.
    pub source: usize,
    /// How they are related.
    pub kind: &'static str,
    /// The place of the entity that it leads to.
    pub target: usize,
    /// What is said of it.
    pub facts: RelationshipFacts,
    /// Since when it is known.
    pub at: DateTime<Utc>,
}

/// A knowledge graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// The entities.
    pub entities: Vec<Entity>,
    /// How they are related.
    pub relationships: Vec<Relationship>,
    /// The clusters: places of entities of which each is related to each.
    pub clusters: Vec<Vec<usize>>,
}

/// The most relationships that so many entities can have.
#[must_use]
pub const fn most(entities: usize) -> usize {
    entities.saturating_mul(entities.saturating_sub(1)) / 2
}

/// The graph of a seed, with what was known before `until`. There are as many relationships as asked for, but not more than [`most`].
#[must_use]
pub fn graph(seed: u64, until: DateTime<Utc>, entities: usize, relationships: usize) -> Graph {
    let source = format!("docket seed {seed}");
    let (mut of_entities, mut of_pairs) = (shape::dice(seed, Part::Entities), shape::dice(seed, Part::Relationships));
    let kinds = entities::kinds(entities, &mut of_entities);
    let layout = Layout::new(&kinds, relationships, &mut of_pairs);
    let pairs = Pairs::new(&layout, entities, relationships, &mut of_pairs);

    // What has many relationships has been known for long.
    let mut known = vec![until; entities];
    let mut of_age = dates(entities, until, &mut of_entities);
    of_age.sort_unstable();
    for (place, date) in layout.by_age().zip(of_age) {
        known[place] = date;
    }
    let entities = entities::entities(&kinds, &known, &source, &mut of_entities);
    let relationships = related(&pairs.list, &entities, until, &source, &mut of_pairs);
    Graph { entities, relationships, clusters: layout.clusters }
}

/// Which part each entity plays.
struct Layout {
    hubs: Vec<usize>,
    clusters: Vec<Vec<usize>>,
    /// Neither in a cluster nor in the tail.
    loose: Vec<usize>,
    tail: Vec<usize>,
}

impl Layout {
    fn new(kinds: &[Kind], relationships: usize, dice: &mut Dice) -> Self {
        let count = kinds.len();
        let mut order: Vec<usize> = (0..count).collect();
        order.shuffle(dice);
        // Much leads to organisations, places and terms. The order of the others stays.
        order.sort_by_key(|place| matches!(kinds[*place], Kind::Person | Kind::Event));
        let hubs = (count / 50).min(relationships / PER_HUB).max(1).min(count);
        let mut others = order.split_off(hubs);
        others.shuffle(dice);

        let tail = others.split_off(others.len() - (count / 2).min(relationships / 3).min(others.len()));
        let mut clusters = Vec::new();
        let mut room = relationships * 3 / 10;
        loop {
            let size: usize = dice.random_range(3..=5);
            if size > others.len() || most(size) > room {
                break;
            }
            room -= most(size);
            clusters.push(others.split_off(others.len() - size));
        }
        Self { hubs: order, clusters, loose: others, tail }
    }

    /// All of them, what is known longest first.
    fn by_age(&self) -> impl Iterator<Item = usize> {
        let clustered = self.clusters.iter().flatten();
        self.hubs.iter().chain(clustered).chain(&self.loose).chain(&self.tail).copied()
    }
}

/// Pairs of entities, each once.
struct Pairs {
    list: Vec<(usize, usize)>,
    taken: HashSet<(usize, usize)>,
    relationships_of: Vec<u32>,
    wanted: usize,
}

impl Pairs {
    fn new(layout: &Layout, entities: usize, wanted: usize, dice: &mut Dice) -> Self {
        let wanted = wanted.min(most(entities));
        let mut pairs = Self {
            list: Vec::with_capacity(wanted),
            taken: HashSet::with_capacity(wanted),
            relationships_of: vec![0; entities],
            wanted,
        };
        let core: Vec<usize> = layout.clusters.iter().flatten().chain(&layout.loose).copied().collect();
        let hubs = Hubs::new(&layout.hubs);
        pairs.cluster(layout);
        pairs.attach(&layout.tail, &hubs, &core, dice);
        pairs.raise(&hubs, &core, dice);
        pairs.connect(&hubs, &core, dice);
        // What is left when nearly everything is related: hubs and core first, so that the tail stays one as long as it can.
        pairs.fill(&[&layout.hubs[..], &core].concat());
        pairs.fill(&layout.by_age().collect::<Vec<_>>());
        pairs
    }

    fn is_full(&self) -> bool {
        self.list.len() >= self.wanted
    }

    /// Takes a pair; false: it is none, is taken, or there are enough.
    fn take(&mut self, one: usize, other: usize) -> bool {
        if one == other || self.is_full() || !self.taken.insert((one.min(other), one.max(other))) {
            return false;
        }
        self.list.push((one, other));
        self.relationships_of[one] += 1;
        self.relationships_of[other] += 1;
        true
    }

    /// Throws until a pair is taken; false: none was.
    fn throw(&mut self, dice: &mut Dice, mut pair: impl FnMut(&mut Dice) -> Option<(usize, usize)>) -> bool {
        !self.is_full() && (0..THROWS).any(|_| pair(dice).is_some_and(|(one, other)| self.take(one, other)))
    }

    fn cluster(&mut self, layout: &Layout) {
        layout.clusters.iter().for_each(|cluster| self.fill(cluster));
    }

    /// Gives each of the tail one or two, mostly to a hub.
    fn attach(&mut self, tail: &[usize], hubs: &Hubs<'_>, core: &[usize], dice: &mut Dice) {
        for place in tail {
            for _ in 0..if chance(60, dice) { 1 } else { 2 } {
                self.throw(dice, |dice| {
                    let to_hub = core.is_empty() || chance(75, dice);
                    Some((*place, if to_hub { hubs.throw(dice)? } else { one(core, dice) }))
                });
            }
        }
    }

    /// Gives each hub what makes it one.
    fn raise(&mut self, hubs: &Hubs<'_>, core: &[usize], dice: &mut Dice) {
        for hub in hubs.places {
            while self.relationships_of[*hub] < HUB && !core.is_empty() {
                if !self.throw(dice, |dice| Some((*hub, one(core, dice)))) {
                    break;
                }
            }
        }
    }

    /// The others: between hubs and core mostly.
    fn connect(&mut self, hubs: &Hubs<'_>, core: &[usize], dice: &mut Dice) {
        let of_core = |dice: &mut Dice| (!core.is_empty()).then(|| one(core, dice));
        while !self.is_full() {
            let taken = self.throw(dice, |dice| match dice.random_range(0..100) {
                0..70 => Some((of_core(dice)?, hubs.throw(dice)?)),
                70..82 => Some((hubs.throw(dice)?, hubs.throw(dice)?)),
                _ => Some((of_core(dice)?, of_core(dice)?)),
            });
            if !taken {
                break;
            }
        }
    }

    /// All pairs of these, in order, until there are enough.
    fn fill(&mut self, places: &[usize]) {
        for (index, one) in places.iter().enumerate() {
            for other in &places[..index] {
                if self.is_full() {
                    return;
                }
                self.take(*one, *other);
            }
        }
    }
}

/// Hubs, the first ones the largest.
struct Hubs<'a> {
    places: &'a [usize],
    /// The sum of the weights up to each.
    weights: Vec<u64>,
}

impl<'a> Hubs<'a> {
    fn new(places: &'a [usize]) -> Self {
        let mut sum = 0;
        let weight = |rank| 1_000_000 / (rank as u64 + FLATNESS);
        let weights = (0..places.len()).map(|rank| {
            sum += weight(rank);
            sum
        });
        Self { places, weights: weights.collect() }
    }

    fn throw(&self, dice: &mut Dice) -> Option<usize> {
        let thrown = dice.random_range(0..*self.weights.last()?);
        self.places.get(self.weights.partition_point(|sum| *sum <= thrown)).copied()
    }
}

/// Relationships between pairs. None is known before the things that it relates, as far as the shares of dates allow.
fn related(
    pairs: &[(usize, usize)],
    entities: &[Entity],
    until: DateTime<Utc>,
    source: &str,
    dice: &mut Dice,
) -> Vec<Relationship> {
    let mut of_age = dates(pairs.len(), until, dice);
    of_age.sort_unstable();
    let mut pairs = pairs.to_vec();
    let known = |place: usize, other: usize| entities[place].at.max(entities[other].at);
    pairs.sort_by_key(|(place, other)| known(*place, *other));
    let confidences = qualities(pairs.len(), dice);
    let parts = pairs.into_iter().zip(of_age).zip(confidences);
    parts
        .map(|(((place, other), at), confidence)| {
            let forth = leads(entities[place].kind) <= leads(entities[other].kind);
            let (source_place, target) = if forth { (place, other) } else { (other, place) };
            let words = between(entities[source_place].kind, entities[target].kind);
            let facts =
                RelationshipFacts { confidence, source: Some(source.to_owned()), ..RelationshipFacts::default() };
            let at = not_before(known(place, other), at, until);
            Relationship { source: source_place, kind: one(words, dice), target, facts, at }
        })
        .collect()
}

/// From which kinds relationships lead to which: people do something with organisations, and not the other way round.
const fn leads(kind: Kind) -> u8 {
    match kind {
        Kind::Person => 0,
        Kind::Event => 1,
        Kind::Organisation => 2,
        Kind::Concept => 3,
        Kind::Location => 4,
    }
}

/// How things of these kinds can be related.
const fn between(source: Kind, target: Kind) -> &'static [&'static str] {
    use Kind::{Concept, Event, Location, Organisation, Person};
    match (source, target) {
        (Person, Person) => &["knows", "works_with", "advises"],
        (Person, Organisation) => &["works_at", "works_at", "member_of", "advises", "founded"],
        (Person, Concept) => &["works_on", "writes_about"],
        (Person, Location) => &["lives_in", "born_in"],
        (Person, Event) => &["took_part_in", "spoke_at"],
        (Event, Organisation) => &["organised_by", "sponsored_by"],
        (Event, Event) => &["followed_by"],
        (Organisation, Organisation) => &["part_of", "partner_of", "supplies", "competes_with", "invested_in"],
        (Organisation, Concept) => &["works_on", "offers"],
        (Organisation, Location) => &["located_in", "active_in"],
        (Concept, Location) => &["applied_in"],
        (Concept, Concept) => &["part_of", "related_to"],
        (Event, Location) => &["took_place_in"],
        (Location, Location) => &["near", "part_of"],
        (Event, Concept) => &["about"],
        // Nothing leads this way; see `leads`.
        (Event | Organisation | Concept | Location, Person)
        | (Organisation | Concept | Location, Event)
        | (Concept | Location, Organisation)
        | (Location, Concept) => &["related_to"],
    }
}
