//! Who is related to whom: read from the real data, or made.

use std::{collections::HashMap, fs, path::Path};

use anyhow::{Context, Result};
use docket_query_api::knowledge::{EntityPlace, RelationshipPlace};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use uuid::Uuid;

const REAL: &str = "../shared/data/graph";
const SEED: u64 = 7;
const KINDS: u32 = 200;

/// A graph: ids in their order, and relationships between their places.
pub struct Shape {
    pub name: String,
    pub ids: Vec<Uuid>,
    pub edges: Vec<(u32, u32, u32)>,
    pub kinds: Vec<String>,
}

impl Shape {
    /// The real graph, without what relates something to itself; none: it is not there.
    pub fn real() -> Result<Option<Self>> {
        let folder = Path::new(REAL);
        if !folder.exists() {
            println!("the real graph is not there: one of its size is made");
            return Ok(None);
        }
        let lines = |file: &str| fs::read_to_string(folder.join(file)).with_context(|| format!("reading {file}"));
        let (entities, relationships) = (lines("entities.tsv")?, lines("relationships.tsv")?);
        let names = entities.lines().skip(1).filter_map(|line| line.split('\t').next());
        let places: HashMap<&str, u32> = names.zip(0..).collect();
        let (mut kinds, mut numbers, mut edges) = (Vec::new(), HashMap::new(), Vec::new());
        for line in relationships.lines().skip(1) {
            let mut fields = line.split('\t');
            let (Some(source), Some(kind), Some(target)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            let (Some(source), Some(target)) = (places.get(source), places.get(target)) else { continue };
            let kind = *numbers.entry(kind).or_insert_with(|| {
                kinds.push(kind.to_owned());
                kinds.len() as u32 - 1
            });
            if source != target {
                edges.push((*source, kind, *target));
            }
        }
        Ok(Some(Self { name: "real graph".to_owned(), ids: ids(places.len()), edges, kinds }))
    }

    /// A graph in which few have very many relationships, and most have few.
    pub fn made(entities: usize, relationships: usize) -> Self {
        let mut rng = StdRng::seed_from_u64(SEED);
        let mut edges = Vec::with_capacity(relationships);
        while edges.len() < relationships {
            // The cube makes low places much likelier: the first has some hundred times what the middle one has.
            let skewed = (rng.random::<f64>().powi(3) * entities as f64) as u32;
            let any = rng.random_range(0..entities as u32);
            if skewed != any {
                edges.push((any, rng.random_range(0..KINDS), skewed));
            }
        }
        let name = format!("{entities} entities, {relationships} relationships");
        Self { name, ids: ids(entities), edges, kinds: (0..KINDS).map(|n| format!("kind_{n}")).collect() }
    }

    /// The entity with the most relationships.
    pub fn hub(&self) -> Uuid {
        let mut degrees = vec![0_u32; self.ids.len()];
        for (source, _, target) in &self.edges {
            degrees[*source as usize] += 1;
            degrees[*target as usize] += 1;
        }
        let most = degrees.iter().enumerate().max_by_key(|(_, degree)| **degree).map_or(0, |(place, _)| place);
        self.ids[most]
    }

    /// The id of a relationship, by its place.
    pub const fn edge_id(place: usize) -> Uuid {
        Uuid::from_u128(0xe << 64 | place as u128)
    }

    pub fn entities(&self) -> impl Iterator<Item = EntityPlace> {
        self.ids.iter().map(|id| EntityPlace { id: *id, merged_into: None, retracted: false })
    }

    pub fn relationships(&self) -> impl Iterator<Item = RelationshipPlace> {
        self.edges.iter().enumerate().map(|(place, (source, kind, target))| RelationshipPlace {
            id: Self::edge_id(place),
            source: self.ids[*source as usize],
            target: self.ids[*target as usize],
            kind: self.kinds[*kind as usize].clone(),
            confidence: 0.5 + (place % 50) as f32 / 100.0,
            retracted: false,
        })
    }
}

fn ids(count: usize) -> Vec<Uuid> {
    (0..count).map(|place| Uuid::from_u128(0xa << 64 | place as u128)).collect()
}
