//! What may be said, and what becomes of commands to what has gone.

use serde_json::{Map, Value, json};

use super::*;
use crate::{Aggregate, At, Decided};
use chrono::DateTime;
use docket_events::knowledge::{EntityFacts, KnowledgeEvent, RelationshipFacts};

const ADA: Uuid = Uuid::from_u128(1);
const PARIS: Uuid = Uuid::from_u128(10);
const FRANCE: Uuid = Uuid::from_u128(11);

fn facts() -> EntityFacts {
    EntityFacts {
        entity_type: "location".to_owned(),
        name: "Paris".to_owned(),
        confidence: 1.0,
        ..EntityFacts::default()
    }
}

fn add(facts: EntityFacts) -> AddEntity {
    AddEntity { facts, external_id: None, added_by: ADA }
}

fn relate() -> AddRelationship {
    AddRelationship {
        source_id: PARIS,
        relationship_type: "capital_of".to_owned(),
        target_id: FRANCE,
        facts: RelationshipFacts { confidence: 0.9, ..RelationshipFacts::default() },
        added_by: ADA,
    }
}

fn retract() -> Retract {
    Retract { reason: "It never was.".to_owned(), retracted_by: ADA }
}

fn merge(other: Other) -> MergeEntity {
    MergeEntity { id: PARIS, into: FRANCE, other, merged_by: ADA }
}

fn after<A: Aggregate<Event = KnowledgeEvent>>(mut state: A, decided: Decided<KnowledgeEvent, Refusal>) -> A {
    assert_eq!(decided.refusal, None);
    for (version, event) in (1..).zip(&decided.events) {
        state.evolve(event, At { version, time: DateTime::UNIX_EPOCH });
    }
    state
}

fn paris() -> Entity {
    after(Entity::default(), add_entity(&Entity::default(), &add(facts())))
}

#[track_caller]
fn refused(decided: Decided<KnowledgeEvent, Refusal>, field: &str) {
    assert_eq!(decided.events, []);
    match decided.refusal {
        Some(Refusal::Invalid { field: given, .. }) => assert_eq!(given, field),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_may_not_be_said_of_an_entity_is_refused_with_its_field() {
    let many: Map<String, Value> = (0..100_000).map(|n| (n.to_string(), json!(n))).collect();
    let long: Map<String, Value> = [("text".to_owned(), json!("x".repeat(20_000)))].into_iter().collect();
    let text = |text: &str| text.to_owned();
    for (facts, field) in [
        (EntityFacts { name: "x".repeat(1_000_000), ..facts() }, "name"),
        (EntityFacts { name: text(" "), ..facts() }, "name"),
        (EntityFacts { name: text("Pa\u{7}ris"), ..facts() }, "name"),
        (EntityFacts { name: text("Pa\nris"), ..facts() }, "name"),
        (EntityFacts { entity_type: text("Location"), ..facts() }, "type"),
        (EntityFacts { entity_type: text(""), ..facts() }, "type"),
        (EntityFacts { entity_type: "x".repeat(201), ..facts() }, "type"),
        (EntityFacts { confidence: f64::NAN, ..facts() }, "confidence"),
        (EntityFacts { confidence: 1.1, ..facts() }, "confidence"),
        (EntityFacts { confidence: -0.1, ..facts() }, "confidence"),
        (EntityFacts { confidence: f64::INFINITY, ..facts() }, "confidence"),
        (EntityFacts { aliases: (0..51).map(|n| n.to_string()).collect(), ..facts() }, "aliases"),
        (EntityFacts { aliases: vec![text("a"), text("a")], ..facts() }, "aliases"),
        (EntityFacts { aliases: vec![text("\0")], ..facts() }, "aliases"),
        (EntityFacts { properties: many, ..facts() }, "properties"),
        (EntityFacts { properties: long, ..facts() }, "properties"),
        (EntityFacts { source: Some("x".repeat(501)), ..facts() }, "source"),
    ] {
        refused(add_entity(&Entity::default(), &add(facts.clone())), field);
        refused(change_entity(&paris(), &ChangeEntity { facts, changed_by: ADA }), field);
    }
    let named = AddEntity { external_id: Some(String::new()), ..add(facts()) };
    refused(add_entity(&Entity::default(), &named), "external_id");
}

#[test]
fn adding_the_same_again_changes_nothing_whatever_became_of_it() {
    let (there, again) = (paris(), add(EntityFacts { name: "Another".to_owned(), ..facts() }));
    assert_eq!(add_entity(&there, &again), Decided::accepted(vec![]));
    let merged = after(there.clone(), merge_entity(&there, &merge(Other::Stands)));
    assert_eq!(add_entity(&merged, &again), Decided::accepted(vec![]));
    assert_eq!(merged.facts.as_ref().map(|facts| facts.name.as_str()), Some("Paris"));
}

#[test]
fn what_has_gone_refuses_changes_and_says_where_it_went() {
    let change = ChangeEntity { facts: EntityFacts { confidence: 0.5, ..facts() }, changed_by: ADA };
    let merged = after(paris(), merge_entity(&paris(), &merge(Other::Stands)));
    let gone = Refusal::MergedAway { into: FRANCE };
    assert_eq!(change_entity(&merged, &change), Decided::refused(gone.clone()));
    assert_eq!(retract_entity(&merged, &retract()), Decided::refused(gone.clone()));
    let elsewhere = MergeEntity { into: ADA, ..merge(Other::Stands) };
    assert_eq!(merge_entity(&merged, &elsewhere), Decided::refused(gone));
    assert_eq!(merge_entity(&merged, &merge(Other::MergedAway { into: ADA })), Decided::accepted(vec![]), "repeated");

    let retracted = after(paris(), retract_entity(&paris(), &retract()));
    assert_eq!(change_entity(&retracted, &change), Decided::refused(Refusal::Retracted));
    assert_eq!(merge_entity(&retracted, &merge(Other::Stands)), Decided::refused(Refusal::Retracted));
    assert_eq!(retract_entity(&retracted, &retract()), Decided::accepted(vec![]), "repeated");

    let none = Decided::refused(Refusal::NotFound("entity"));
    assert_eq!(change_entity(&Entity::default(), &change), none);
    assert_eq!(retract_entity(&Entity::default(), &retract()), none);
    assert_eq!(merge_entity(&Entity::default(), &merge(Other::Stands)), none);
}

#[test]
fn an_entity_is_merged_into_one_that_stands_and_into_no_other() {
    refused(merge_entity(&paris(), &MergeEntity { into: PARIS, ..merge(Other::Stands) }), "into");
    refused(merge_entity(&paris(), &merge(Other::Missing)), "into");
    for (other, refusal) in [
        (Other::MergedAway { into: ADA }, Refusal::TargetMergedAway { into: ADA }),
        (Other::Retracted, Refusal::TargetRetracted),
    ] {
        assert_eq!(merge_entity(&paris(), &merge(other)), Decided::refused(refusal));
    }
    let merged = after(paris(), merge_entity(&paris(), &merge(Other::Stands)));
    assert_eq!(merged.as_other(), Other::MergedAway { into: FRANCE });
}

#[test]
fn a_relationship_leads_to_another_entity_and_is_there_once() {
    let none = Relationship::default();
    refused(add_relationship(&none, &AddRelationship { target_id: PARIS, ..relate() }), "target_id");
    refused(add_relationship(&none, &AddRelationship { relationship_type: "is a".to_owned(), ..relate() }), "type");
    let unsure = RelationshipFacts { confidence: f64::NAN, ..RelationshipFacts::default() };
    refused(add_relationship(&none, &AddRelationship { facts: unsure.clone(), ..relate() }), "confidence");
    let there = after(none.clone(), add_relationship(&none, &relate()));
    assert_eq!(add_relationship(&there, &relate()), Decided::accepted(vec![]));
    refused(change_relationship(&there, &ChangeRelationship { facts: unsure, changed_by: ADA }), "confidence");

    let gone = after(there.clone(), retract_relationship(&there, &retract()));
    let change = ChangeRelationship { facts: RelationshipFacts::default(), changed_by: ADA };
    assert_eq!(change_relationship(&gone, &change), Decided::refused(Refusal::Retracted));
    let back = after(gone.clone(), add_relationship(&gone, &relate()));
    assert_eq!((back.retracted, back.facts.confidence), (None, 0.9), "it can be added again");
    assert_eq!(change_relationship(&none, &change), Decided::refused(Refusal::NotFound("relationship")));
}

#[test]
fn ids_are_made_of_what_things_are_in_their_tenant() {
    let id = relationship_id(ADA, PARIS, "capital_of", FRANCE);
    assert_eq!(id, relationship_id(ADA, PARIS, "capital_of", FRANCE));
    for other in [
        relationship_id(PARIS, PARIS, "capital_of", FRANCE),
        relationship_id(ADA, FRANCE, "capital_of", PARIS),
        relationship_id(ADA, PARIS, "in", FRANCE),
        entity_id(ADA, "capital_of"),
    ] {
        assert_ne!(id, other);
    }
    assert_ne!(entity_id(ADA, "a"), entity_id(PARIS, "a"));
}

#[test]
fn types_of_public_data_sets_are_types() {
    for text in ["person", "award_winner", "/location/hud_county_place/place", "/a/b./c/d", "x-1"] {
        assert_eq!(check_type(text), Ok(()), "{text}");
    }
    for text in ["", "Person", "is a", "é", "1st", "_x", "a\n", "a\0"] {
        assert!(check_type(text).is_err(), "{text}");
    }
}
