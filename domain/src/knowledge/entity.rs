//! An entity: a thing that the organisation knows of, until it is merged into another or retracted.

use chrono::{DateTime, Utc};
use docket_events::{
    HasPersonal,
    knowledge::{EntityAdded, EntityChanged, EntityFacts, EntityMerged, EntityRetracted, KnowledgeEvent},
    personal::PersonalField,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Refusal, validate};
use crate::{Aggregate, At, Decided};

/// An entity as its events tell it. The default does not exist yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    /// What is said of it; none: it does not exist.
    pub facts: Option<EntityFacts>,
    /// The adder's own name for it.
    pub external_id: Option<String>,
    /// When it was added.
    pub added_at: Option<DateTime<Utc>>,
    /// When something last happened to it.
    pub updated_at: Option<DateTime<Utc>>,
    /// The entity that stands for it since it was merged.
    pub merged_into: Option<Uuid>,
    /// Why it was retracted, if it was.
    pub retracted: Option<String>,
    /// The version of the stream.
    pub version: u64,
}

impl Aggregate for Entity {
    type Event = KnowledgeEvent;

    const SCHEMA: i32 = 1;

    fn evolve(&mut self, event: &KnowledgeEvent, at: At) {
        match event {
            KnowledgeEvent::EntityAdded(event) => {
                self.facts = Some(event.facts.clone());
                self.external_id.clone_from(&event.external_id);
                self.added_at = Some(at.time);
            }
            KnowledgeEvent::EntityChanged(event) => self.facts = Some(event.facts.clone()),
            KnowledgeEvent::EntityMerged(event) => self.merged_into = Some(event.into),
            KnowledgeEvent::EntityRetracted(event) => self.retracted = Some(event.reason.clone()),
            // Of a relationship's stream.
            KnowledgeEvent::RelationshipAdded(_)
            | KnowledgeEvent::RelationshipChanged(_)
            | KnowledgeEvent::RelationshipRetracted(_) => {}
        }
        self.updated_at = Some(at.time);
        self.version = at.version;
    }
}

impl HasPersonal for Entity {
    fn visit_personal(&mut self, _: &mut dyn FnMut(&mut dyn PersonalField)) {}
}

impl Entity {
    /// How it stands, for a command to another entity.
    #[must_use]
    pub fn as_other(&self) -> Other {
        match self {
            Self { facts: None, .. } => Other::Missing,
            Self { merged_into: Some(into), .. } => Other::MergedAway { into: *into },
            Self { retracted: Some(_), .. } => Other::Retracted,
            _ => Other::Stands,
        }
    }

    /// What is said of it, if it can still be changed.
    fn standing(&self) -> Result<&EntityFacts, Refusal> {
        match self {
            Self { facts: None, .. } => Err(Refusal::NotFound("entity")),
            Self { merged_into: Some(into), .. } => Err(Refusal::MergedAway { into: *into }),
            Self { retracted: Some(_), .. } => Err(Refusal::Retracted),
            Self { facts: Some(facts), .. } => Ok(facts),
        }
    }
}

/// How another entity stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Other {
    /// There is none.
    Missing,
    /// It is there.
    Stands,
    /// It was merged into yet another.
    MergedAway {
        /// Which.
        into: Uuid,
    },
    /// It was retracted.
    Retracted,
}

/// The stream of the entity that `tenant` knows as `external_id`.
#[must_use]
pub fn entity_id(tenant: Uuid, external_id: &str) -> Uuid {
    Uuid::new_v5(&tenant, format!("entity:{external_id}").as_bytes())
}

/// Add an entity.
#[derive(Debug, Clone, PartialEq)]
pub struct AddEntity {
    /// What is said of it.
    pub facts: EntityFacts,
    /// The adder's own name for it; the stream's id is made of it.
    pub external_id: Option<String>,
    /// Who adds it.
    pub added_by: Uuid,
}

/// Say something else of an entity.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeEntity {
    /// What is said of it now, whole.
    pub facts: EntityFacts,
    /// Who changes it.
    pub changed_by: Uuid,
}

/// Merge an entity into another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergeEntity {
    /// The entity that goes away.
    pub id: Uuid,
    /// The entity that stays.
    pub into: Uuid,
    /// How that one stands, looked up while nothing else was merged.
    pub other: Other,
    /// Who merges them.
    pub merged_by: Uuid,
}

/// Retract an entity or a relationship.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retract {
    /// Why, 1 to 1,000 characters.
    pub reason: String,
    /// Who retracts it.
    pub retracted_by: Uuid,
}

fn decided(result: Result<Vec<KnowledgeEvent>, Refusal>) -> Decided<KnowledgeEvent, Refusal> {
    result.map_or_else(Decided::refused, Decided::accepted)
}

/// Decides that an entity is added. What is there already stays as it is, whatever became of it.
#[must_use]
pub fn add_entity(state: &Entity, command: &AddEntity) -> Decided<KnowledgeEvent, Refusal> {
    let AddEntity { facts, external_id, added_by } = command;
    let checked = validate::entity(facts).and_then(|()| validate::external_id(external_id.as_deref()));
    decided(checked.map(|()| match state.facts {
        Some(_) => Vec::new(),
        None => vec![KnowledgeEvent::EntityAdded(EntityAdded {
            facts: facts.clone(),
            external_id: external_id.clone(),
            added_by: *added_by,
        })],
    }))
}

/// Decides that something else is said of an entity. What is said already: nothing happens.
#[must_use]
pub fn change_entity(state: &Entity, command: &ChangeEntity) -> Decided<KnowledgeEvent, Refusal> {
    let ChangeEntity { facts, changed_by } = command;
    let standing = state.standing().and_then(|before| validate::entity(facts).map(|()| before));
    decided(standing.map(|before| match before == facts {
        true => Vec::new(),
        false => {
            vec![KnowledgeEvent::EntityChanged(EntityChanged { facts: facts.clone(), changed_by: *changed_by })]
        }
    }))
}

/// Decides that an entity is merged into another. What was merged into that one already stays so.
#[must_use]
pub fn merge_entity(state: &Entity, command: &MergeEntity) -> Decided<KnowledgeEvent, Refusal> {
    let MergeEntity { id, into, other, merged_by } = *command;
    if state.merged_into == Some(into) {
        return Decided::accepted(Vec::new());
    }
    if let Err(refusal) = state.standing() {
        return Decided::refused(refusal);
    }
    if id == into {
        return decided(validate::invalid("into", "must be another entity"));
    }
    match other {
        Other::Missing => decided(validate::invalid("into", "must be an entity of the organisation")),
        Other::MergedAway { into } => Decided::refused(Refusal::TargetMergedAway { into }),
        Other::Retracted => Decided::refused(Refusal::TargetRetracted),
        Other::Stands => Decided::accepted(vec![KnowledgeEvent::EntityMerged(EntityMerged { into, merged_by })]),
    }
}

/// Decides that an entity is not held to exist any more. What was retracted stays so.
#[must_use]
pub fn retract_entity(state: &Entity, command: &Retract) -> Decided<KnowledgeEvent, Refusal> {
    let Retract { reason, retracted_by } = command.clone();
    match state.standing() {
        Err(Refusal::Retracted) => Decided::accepted(Vec::new()),
        Err(refusal) => Decided::refused(refusal),
        Ok(_) => decided(
            validate::reason(&reason)
                .map(|()| vec![KnowledgeEvent::EntityRetracted(EntityRetracted { reason, retracted_by })]),
        ),
    }
}
