//! What the organisation knows of: invented organisations, people, terms, places and events.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use docket_events::knowledge::EntityFacts;
use rand::RngExt;
use serde_json::{Map, Value, json};

use super::shape::{Dice, chance, dealt, qualities};
use super::words;

/// What kind of thing an entity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A company, an institute.
    Organisation,
    /// A person.
    Person,
    /// A term.
    Concept,
    /// A place.
    Location,
    /// Something that took place.
    Event,
}

/// How many of the entities are of which kind, in a hundred.
pub const KINDS: [(u32, Kind); 5] =
    [(40, Kind::Organisation), (30, Kind::Person), (15, Kind::Concept), (10, Kind::Location), (5, Kind::Event)];

impl Kind {
    /// The type, as the graph has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Organisation => "organisation",
            Self::Person => "person",
            Self::Concept => "concept",
            Self::Location => "location",
            Self::Event => "event",
        }
    }

    fn named(self, dice: &mut Dice) -> String {
        match self {
            Self::Organisation => words::organisation(dice),
            Self::Person => words::person(dice),
            Self::Concept => words::concept(dice),
            Self::Location => words::place(dice),
            Self::Event => words::gathering(dice),
        }
    }

    /// What is known of one of this kind since a day.
    fn properties(self, name: &str, day: DateTime<Utc>, dice: &mut Dice) -> Map<String, Value> {
        let day = day.date_naive();
        let known = match self {
            Self::Organisation => json!({
                "registered_on": day, "sector": words::sector(name), "employees": dice.random_range(3..20_000),
            }),
            Self::Person => json!({ "known_since": day, "publications": dice.random_range(0..60) }),
            Self::Concept => json!({ "defined_on": day }),
            Self::Location => json!({ "surveyed_on": day, "population": dice.random_range(200..900_000) }),
            Self::Event => json!({ "held_on": day, "attendance": dice.random_range(12..5_000) }),
        };
        match known {
            Value::Object(known) => known,
            _ => Map::new(),
        }
    }
}

/// An entity that is to be added.
#[derive(Debug, Clone, PartialEq)]
pub struct Entity {
    /// What kind of thing it is.
    pub kind: Kind,
    /// What is said of it.
    pub facts: EntityFacts,
    /// Since when it is known.
    pub at: DateTime<Utc>,
}

/// The kinds of so many entities.
#[must_use]
pub fn kinds(count: usize, dice: &mut Dice) -> Vec<Kind> {
    dealt(count, KINDS, dice)
}

/// Entities of these kinds, known since these dates.
#[must_use]
pub fn entities(kinds: &[Kind], dates: &[DateTime<Utc>], source: &str, dice: &mut Dice) -> Vec<Entity> {
    let confidences = qualities(kinds.len(), dice);
    let mut taken: HashMap<String, u32> = HashMap::new();
    let parts = kinds.iter().zip(dates).zip(confidences);
    parts
        .map(|((kind, at), confidence)| {
            let mut name = kind.named(dice);
            let times = taken.entry(name.clone()).or_default();
            *times += 1;
            // People share names; other things of one name would be taken for one.
            if *times > 1 && *kind != Kind::Person {
                name = format!("{name} {times}");
            }
            let facts = EntityFacts {
                entity_type: kind.name().to_owned(),
                aliases: aliases(*kind, &name, dice),
                properties: kind.properties(&name, *at, dice),
                name,
                confidence,
                source: Some(source.to_owned()),
            };
            Entity { kind: *kind, facts, at: *at }
        })
        .collect()
}

/// A fifth of the organisations goes by its initials too, and a fifth of the people by the family name.
fn aliases(kind: Kind, name: &str, dice: &mut Dice) -> Vec<String> {
    if !matches!(kind, Kind::Organisation | Kind::Person) || !chance(20, dice) {
        return Vec::new();
    }
    let initials = || name.split(' ').filter_map(|word| word.chars().next()).filter(|c| c.is_alphanumeric());
    match kind {
        Kind::Person => name.rsplit(' ').next().map(str::to_owned).into_iter().collect(),
        _ => vec![initials().collect()],
    }
}
