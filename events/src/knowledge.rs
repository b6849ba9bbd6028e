//! What happens to the knowledge graph.
//!
//! An entity is added (`entity_added`), changed, and at last merged into another (`entity_merged`, in the stream of the one that goes away)
//! or retracted. A relationship leads from one entity to another; it is added, changed and retracted, and may be added again then.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{HasPersonal, personal::PersonalField};

/// What is said of an entity.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EntityFacts {
    /// What kind of thing it is, in the organisation's own words.
    #[serde(rename = "type")]
    pub entity_type: String,
    /// What it is called.
    pub name: String,
    /// What else it is called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Whatever else is known of it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub properties: Map<String, Value>,
    /// How sure it is, from 0 to 1.
    pub confidence: f64,
    /// Where this is known from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// What is said of a relationship besides its ends and its type.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RelationshipFacts {
    /// Whatever else is known of it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub properties: Map<String, Value>,
    /// How sure it is, from 0 to 1.
    pub confidence: f64,
    /// Where this is known from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// `docket.knowledge.entity_added.v1`: an entity is known from now on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EntityAdded {
    /// What is said of it.
    #[serde(flatten)]
    pub facts: EntityFacts,
    /// The caller's own name for it; one of a kind in the organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Who added it.
    pub added_by: Uuid,
}

/// `docket.knowledge.entity_changed.v1`: this is said of an entity now, in place of what was said before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EntityChanged {
    /// What is said of it.
    #[serde(flatten)]
    pub facts: EntityFacts,
    /// Who changed it.
    pub changed_by: Uuid,
}

/// `docket.knowledge.entity_merged.v1`: an entity is the same thing as another, which stands for both from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EntityMerged {
    /// The entity that stays.
    pub into: Uuid,
    /// Who found them to be the same.
    pub merged_by: Uuid,
}

/// `docket.knowledge.entity_retracted.v1`: an entity is not held to exist any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EntityRetracted {
    /// Why.
    pub reason: String,
    /// Who retracted it.
    pub retracted_by: Uuid,
}

/// `docket.knowledge.relationship_added.v1`: one entity is related to another from now on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RelationshipAdded {
    /// The entity that it leads from.
    pub source_id: Uuid,
    /// How the one is related to the other, in the organisation's own words.
    #[serde(rename = "type")]
    pub relationship_type: String,
    /// The entity that it leads to.
    pub target_id: Uuid,
    /// What is said of it besides.
    #[serde(flatten)]
    pub facts: RelationshipFacts,
    /// Who added it.
    pub added_by: Uuid,
}

/// `docket.knowledge.relationship_changed.v1`: this is said of a relationship now, in place of what was said before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RelationshipChanged {
    /// What is said of it.
    #[serde(flatten)]
    pub facts: RelationshipFacts,
    /// Who changed it.
    pub changed_by: Uuid,
}

/// `docket.knowledge.relationship_retracted.v1`: a relationship is not held to exist any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RelationshipRetracted {
    /// Why.
    pub reason: String,
    /// Who retracted it.
    pub retracted_by: Uuid,
}

/// Any event of the knowledge graph.
#[derive(Debug, Clone, PartialEq)]
pub enum KnowledgeEvent {
    /// See [`EntityAdded`].
    EntityAdded(EntityAdded),
    /// See [`EntityChanged`].
    EntityChanged(EntityChanged),
    /// See [`EntityMerged`].
    EntityMerged(EntityMerged),
    /// See [`EntityRetracted`].
    EntityRetracted(EntityRetracted),
    /// See [`RelationshipAdded`].
    RelationshipAdded(RelationshipAdded),
    /// See [`RelationshipChanged`].
    RelationshipChanged(RelationshipChanged),
    /// See [`RelationshipRetracted`].
    RelationshipRetracted(RelationshipRetracted),
}

impl HasPersonal for KnowledgeEvent {
    fn visit_personal(&mut self, _: &mut dyn FnMut(&mut dyn PersonalField)) {
        match self {
            Self::EntityAdded(_)
            | Self::EntityChanged(_)
            | Self::EntityMerged(_)
            | Self::EntityRetracted(_)
            | Self::RelationshipAdded(_)
            | Self::RelationshipChanged(_)
            | Self::RelationshipRetracted(_) => {}
        }
    }
}
