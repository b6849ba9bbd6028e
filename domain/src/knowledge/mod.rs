//! The knowledge graph: entities, and the relationships that lead from one to another.
//!
//! Each is a stream of its own. An entity that its adder has a name for (`external_id`) has an id made of that name, a relationship one
//! made of its ends and its type, so that whoever adds the same again finds it there. Owns what may be said of either, and which of them
//! can still be changed. Must not know what else there is: how another entity stands comes in with the command.

mod entity;
mod relationship;
mod validate;
pub mod view;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use entity::{
    AddEntity, ChangeEntity, Entity, MergeEntity, Other, Retract, add_entity, change_entity, entity_id, merge_entity,
    retract_entity,
};
pub use relationship::{
    AddRelationship, ChangeRelationship, Relationship, add_relationship, change_relationship, relationship_id,
    retract_relationship,
};
pub use validate::check_type;

use uuid::Uuid;

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such entity or relationship.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// What was given does not do.
    #[error("`{field}` {reason}")]
    Invalid {
        /// The field, as the API names it.
        field: &'static str,
        /// What is wrong with it: the rest of a sentence that begins with the field's name.
        reason: String,
    },
    /// It was retracted, and nothing can be done with it.
    #[error("it was retracted")]
    Retracted,
    /// The entity was merged into another, which stands for it.
    #[error("the entity was merged into another")]
    MergedAway {
        /// The one that it was merged into.
        into: Uuid,
    },
    /// The entity that is to stay was merged into another itself.
    #[error("the entity that is to stay was merged into another")]
    TargetMergedAway {
        /// The one that it was merged into.
        into: Uuid,
    },
    /// The entity that is to stay was retracted.
    #[error("the entity that is to stay was retracted")]
    TargetRetracted,
}

impl Refusal {
    /// The stable name of this refusal.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "not_found",
            Self::Invalid { .. } => "invalid",
            Self::Retracted => "retracted",
            Self::MergedAway { .. } => "merged_away",
            Self::TargetMergedAway { .. } => "target_merged_away",
            Self::TargetRetracted => "target_retracted",
        }
    }
}
