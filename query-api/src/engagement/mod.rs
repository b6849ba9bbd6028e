//! What readers did with what they read: a reader's own history, and the counters of an item.
//!
//! Owns the SQL over `engagement` and `engagement_item_day`, and the fields and routes over them. What it does to the order of articles is
//! [`crate::feed`]'s.

mod changes;
mod query;
pub mod rest;
mod rows;

pub(crate) use rows::EngagementAction;

pub use changes::{EngagementSubscription, Engagements};
pub use query::EngagementQuery;

use async_graphql::Enum;
use serde::Serialize;
use utoipa::ToSchema;

/// What something is that readers do things with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = EngagementItemKind)]
#[graphql(name = "EngagementItemKind")]
pub enum ItemKind {
    /// An article.
    Article,
    /// An entity of the knowledge graph.
    Entity,
}

impl ItemKind {
    const ALL: [Self; 2] = [Self::Article, Self::Entity];

    /// Its name, as the log and the API have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Article => "article",
            Self::Entity => "entity",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
