//! Entities and relationships as HTTP shows them: one shape for the answer to a command and for a read.
//!
//! Owns the names and the order of the fields. The command API fills it from the folded state, the query API from the rows of the
//! projection; neither may add a field of its own.

use chrono::{DateTime, Utc};
use docket_events::knowledge::{EntityFacts, RelationshipFacts};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Entity, Relationship};

/// An entity.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Entity)]
pub struct EntityView {
    /// Its id.
    pub id: Uuid,
    /// The version, which is its `ETag`.
    pub version: u64,
    /// What kind of thing it is.
    pub r#type: String,
    /// What it is called.
    pub name: String,
    /// What else it is called.
    pub aliases: Vec<String>,
    /// Whatever else is known of it.
    #[schema(value_type = Object)]
    pub properties: Map<String, Value>,
    /// How sure it is, from 0 to 1.
    pub confidence: f64,
    /// Where this is known from.
    pub source: Option<String>,
    /// The adder's own name for it.
    pub external_id: Option<String>,
    /// When it was added.
    pub added_at: Option<DateTime<Utc>>,
    /// When something last happened to it.
    pub updated_at: Option<DateTime<Utc>>,
    /// The entity that it was merged into, which stands for it; null: it stands for itself.
    pub merged_into: Option<Uuid>,
    /// Why it was retracted; null: it was not.
    pub retracted: Option<String>,
}

impl EntityView {
    /// An entity as events left it; none: there is none yet.
    #[must_use]
    pub fn of(id: Uuid, state: Entity) -> Option<Self> {
        let Entity { facts, external_id, added_at, updated_at, merged_into, retracted, version } = state;
        let EntityFacts { entity_type, name, aliases, properties, confidence, source } = facts?;
        Some(Self {
            id,
            version,
            r#type: entity_type,
            name,
            aliases,
            properties,
            confidence,
            source,
            external_id,
            added_at,
            updated_at,
            merged_into,
            retracted,
        })
    }
}

/// A relationship.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Relationship)]
pub struct RelationshipView {
    /// Its id: made of its ends and its type.
    pub id: Uuid,
    /// The version, which is its `ETag`.
    pub version: u64,
    /// The entity that it leads from, as it was named when it was added.
    pub source_id: Uuid,
    /// How the one is related to the other.
    pub r#type: String,
    /// The entity that it leads to, as it was named when it was added.
    pub target_id: Uuid,
    /// Whatever else is known of it.
    #[schema(value_type = Object)]
    pub properties: Map<String, Value>,
    /// How sure it is, from 0 to 1.
    pub confidence: f64,
    /// Where this is known from.
    pub source: Option<String>,
    /// When it was added.
    pub added_at: Option<DateTime<Utc>>,
    /// When something last happened to it.
    pub updated_at: Option<DateTime<Utc>>,
    /// Why it was retracted; null: it was not.
    pub retracted: Option<String>,
}

impl RelationshipView {
    /// A relationship as events left it; none: there is none yet.
    #[must_use]
    pub fn of(id: Uuid, state: Relationship) -> Option<Self> {
        let exists = state.exists();
        let Relationship { source_id, relationship_type, target_id, facts, added_at, updated_at, retracted, version } =
            state;
        let RelationshipFacts { properties, confidence, source } = facts;
        exists.then_some(Self {
            id,
            version,
            source_id,
            r#type: relationship_type,
            target_id,
            properties,
            confidence,
            source,
            added_at,
            updated_at,
            retracted,
        })
    }
}
