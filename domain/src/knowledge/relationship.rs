//! A relationship: one entity leads to another, in one way.

use chrono::{DateTime, Utc};
use docket_events::{
    HasPersonal,
    knowledge::{KnowledgeEvent, RelationshipAdded, RelationshipChanged, RelationshipFacts, RelationshipRetracted},
    personal::PersonalField,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Refusal, Retract, validate};
use crate::{Aggregate, At, Decided};

/// A relationship as its events tell it. The default does not exist yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Relationship {
    /// The entity that it leads from; nil: it does not exist.
    pub source_id: Uuid,
    /// How the one is related to the other.
    pub relationship_type: String,
    /// The entity that it leads to.
    pub target_id: Uuid,
    /// What is said of it besides.
    pub facts: RelationshipFacts,
    /// When it was added.
    pub added_at: Option<DateTime<Utc>>,
    /// When something last happened to it.
    pub updated_at: Option<DateTime<Utc>>,
    /// Why it was retracted, if it was.
    pub retracted: Option<String>,
    /// The version of the stream.
    pub version: u64,
}

impl Aggregate for Relationship {
    type Event = KnowledgeEvent;

    const SCHEMA: i32 = 1;

    fn evolve(&mut self, event: &KnowledgeEvent, at: At) {
        match event {
            KnowledgeEvent::RelationshipAdded(event) => {
                self.source_id = event.source_id;
                self.relationship_type.clone_from(&event.relationship_type);
                self.target_id = event.target_id;
                self.facts = event.facts.clone();
                self.added_at = Some(at.time);
                self.retracted = None;
            }
            KnowledgeEvent::RelationshipChanged(event) => self.facts = event.facts.clone(),
            KnowledgeEvent::RelationshipRetracted(event) => self.retracted = Some(event.reason.clone()),
            // Of an entity's stream.
            KnowledgeEvent::EntityAdded(_)
            | KnowledgeEvent::EntityChanged(_)
            | KnowledgeEvent::EntityMerged(_)
            | KnowledgeEvent::EntityRetracted(_) => {}
        }
        self.updated_at = Some(at.time);
        self.version = at.version;
    }
}

impl HasPersonal for Relationship {
    fn visit_personal(&mut self, _: &mut dyn FnMut(&mut dyn PersonalField)) {}
}

impl Relationship {
    /// Whether it was ever added.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.added_at.is_some()
    }

    fn standing(&self) -> Result<(), Refusal> {
        match self {
            Self { added_at: None, .. } => Err(Refusal::NotFound("relationship")),
            Self { retracted: Some(_), .. } => Err(Refusal::Retracted),
            _ => Ok(()),
        }
    }
}

/// The stream of the relationship of this type that leads from the one entity to the other: there is one in a tenant.
#[must_use]
pub fn relationship_id(tenant: Uuid, source_id: Uuid, relationship_type: &str, target_id: Uuid) -> Uuid {
    Uuid::new_v5(&tenant, format!("relationship:{source_id}:{target_id}:{relationship_type}").as_bytes())
}

/// Relate one entity to another.
#[derive(Debug, Clone, PartialEq)]
pub struct AddRelationship {
    /// The entity that it leads from, which exists.
    pub source_id: Uuid,
    /// How the one is related to the other.
    pub relationship_type: String,
    /// The entity that it leads to, which exists.
    pub target_id: Uuid,
    /// What is said of it besides.
    pub facts: RelationshipFacts,
    /// Who adds it.
    pub added_by: Uuid,
}

impl AddRelationship {
    /// Checks what can be said without knowing what there is.
    ///
    /// # Errors
    /// [`Refusal::Invalid`].
    pub fn check(&self) -> Result<(), Refusal> {
        validate::check_type(&self.relationship_type)?;
        if self.source_id == self.target_id {
            return validate::invalid("target_id", "must be another entity than the one that it leads from");
        }
        validate::relationship(&self.facts)
    }
}

/// Say something else of a relationship. Its ends and its type are what it is, and stay.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeRelationship {
    /// What is said of it now, whole.
    pub facts: RelationshipFacts,
    /// Who changes it.
    pub changed_by: Uuid,
}

/// Decides that a relationship is added. What is there already stays as it is; what was retracted comes back as it is said now.
#[must_use]
pub fn add_relationship(state: &Relationship, command: &AddRelationship) -> Decided<KnowledgeEvent, Refusal> {
    if let Err(refusal) = command.check() {
        return Decided::refused(refusal);
    }
    if state.standing().is_ok() {
        return Decided::accepted(Vec::new());
    }
    let AddRelationship { source_id, relationship_type, target_id, facts, added_by } = command.clone();
    Decided::accepted(vec![KnowledgeEvent::RelationshipAdded(RelationshipAdded {
        source_id,
        relationship_type,
        target_id,
        facts,
        added_by,
    })])
}

/// Decides that something else is said of a relationship. What is said already: nothing happens.
#[must_use]
pub fn change_relationship(state: &Relationship, command: &ChangeRelationship) -> Decided<KnowledgeEvent, Refusal> {
    let ChangeRelationship { facts, changed_by } = command.clone();
    match state.standing().and_then(|()| validate::relationship(&facts)) {
        Err(refusal) => Decided::refused(refusal),
        Ok(()) if state.facts == facts => Decided::accepted(Vec::new()),
        Ok(()) => {
            Decided::accepted(vec![KnowledgeEvent::RelationshipChanged(RelationshipChanged { facts, changed_by })])
        }
    }
}

/// Decides that a relationship is not held to exist any more. What was retracted stays so.
#[must_use]
pub fn retract_relationship(state: &Relationship, command: &Retract) -> Decided<KnowledgeEvent, Refusal> {
    let Retract { reason, retracted_by } = command.clone();
    match state.standing() {
        Err(Refusal::Retracted) => Decided::accepted(Vec::new()),
        Err(refusal) => Decided::refused(refusal),
        Ok(()) => match validate::reason(&reason) {
            Err(refusal) => Decided::refused(refusal),
            Ok(()) => Decided::accepted(vec![KnowledgeEvent::RelationshipRetracted(RelationshipRetracted {
                reason,
                retracted_by,
            })]),
        },
    }
}
