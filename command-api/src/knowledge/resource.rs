//! Entities and relationships as the answers to commands. Owns their shape.

use chrono::{DateTime, Utc};
use docket_domain::knowledge::{Entity, Relationship};
use docket_events::knowledge::{EntityFacts, RelationshipFacts};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

/// An entity.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Entity)]
pub(super) struct EntityView {
    /// Its id.
    id: Uuid,
    /// The version, which is its `ETag`.
    pub(super) version: u64,
    /// What kind of thing it is.
    r#type: String,
    /// What it is called.
    name: String,
    /// What else it is called.
    aliases: Vec<String>,
    /// Whatever else is known of it.
    #[schema(value_type = Object)]
    properties: Map<String, Value>,
    /// How sure it is, from 0 to 1.
    confidence: f64,
    /// Where this is known from.
    source: Option<String>,
    /// The adder's own name for it.
    external_id: Option<String>,
    /// When it was added.
    added_at: Option<DateTime<Utc>>,
    /// When something last happened to it.
    updated_at: Option<DateTime<Utc>>,
    /// The entity that it was merged into, which stands for it; null: it stands for itself.
    merged_into: Option<Uuid>,
    /// Why it was retracted; null: it was not.
    retracted: Option<String>,
}

impl EntityView {
    pub(super) fn of(id: Uuid, state: Entity) -> Option<Self> {
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
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Relationship)]
pub(super) struct RelationshipView {
    /// Its id: made of its ends and its type.
    id: Uuid,
    /// The version, which is its `ETag`.
    pub(super) version: u64,
    /// The entity that it leads from, as it was named when it was added.
    source_id: Uuid,
    /// How the one is related to the other.
    r#type: String,
    /// The entity that it leads to, as it was named when it was added.
    target_id: Uuid,
    /// Whatever else is known of it.
    #[schema(value_type = Object)]
    properties: Map<String, Value>,
    /// How sure it is, from 0 to 1.
    confidence: f64,
    /// Where this is known from.
    source: Option<String>,
    /// When it was added.
    added_at: Option<DateTime<Utc>>,
    /// When something last happened to it.
    updated_at: Option<DateTime<Utc>>,
    /// Why it was retracted; null: it was not.
    retracted: Option<String>,
}

impl RelationshipView {
    pub(super) fn of(id: Uuid, state: Relationship) -> Option<Self> {
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
