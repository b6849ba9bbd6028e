//! The knowledge graph: entities, how they are related, and ways from one to another.
//!
//! Owns the SQL over `entity` and `relationship` ([`rows`]), the walk over them ([`walk`]), the same in memory ([`adjacency`], [`coded`],
//! [`search`], [`warm`]), the GraphQL fields and subscriptions, and the REST reads. Rows keep the ends that relationships were added with: here an entity that was merged into another is
//! that other one, whichever of them is named.

mod adjacency;
mod changes;
mod coded;
mod entity;
mod find;
mod neighbourhood;
mod path;
mod query;
pub mod rest;
mod rows;
mod search;
mod subscription;
mod walk;
mod warm;

pub(crate) use entity::{Entity, standing};
pub(crate) use rows::all_that_are;

pub use adjacency::{Adjacency, EntityPlace, RelationshipPlace, TooLarge};
pub use changes::Knowledge;
pub use query::KnowledgeQuery;
pub use subscription::KnowledgeSubscription;
pub use walk::{Hop, Reached, Walk};
pub use warm::Graphs;

use async_graphql::Enum;
use serde::Deserialize;

/// The deepest walk.
const MAX_DEPTH: i32 = 5;
/// The most entities of a walk.
const MAX_NODES: i32 = 1_000;

/// Which relationships of an entity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Enum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Those that lead from it.
    #[default]
    Outgoing,
    /// Those that lead to it.
    Incoming,
    /// All of them.
    Both,
}

/// An argument within its bounds.
fn within(name: &'static str, number: i32, most: i32) -> Result<usize, crate::read::ReadError> {
    usize::try_from(number)
        .ok()
        .filter(|_| (1..=most).contains(&number))
        .ok_or_else(|| crate::read::ReadError::argument(name, format!("use a number from 1 to {most}.")))
}
