//! Whatever commands come, in whatever order: at most one end, nothing changed after it, the same from any snapshot.

use chrono::{DateTime, TimeDelta};
use docket_events::knowledge::{EntityFacts, KnowledgeEvent, RelationshipFacts};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{Aggregate, At, Decided};

#[derive(Debug, Clone)]
enum Step {
    Add(EntityFacts),
    Change(EntityFacts),
    Merge(u128, Other),
    Retract(String),
}

fn confidence() -> impl Strategy<Value = f64> {
    prop_oneof![6 => 0.0..=1.0_f64, 1 => Just(f64::NAN), 1 => Just(1.1), 1 => any::<f64>()]
}

fn facts() -> impl Strategy<Value = EntityFacts> {
    let aliases = proptest::collection::vec("[a-c\u{1}]{0,2}", 0..3);
    ("[a-cA ]{0,3}", "[a-zé ]{0,4}", aliases, confidence(), any::<Option<i64>>()).prop_map(
        |(entity_type, name, aliases, confidence, value)| EntityFacts {
            entity_type,
            name,
            aliases,
            confidence,
            properties: value.map(|value| ("n".to_owned(), json!(value))).into_iter().collect(),
            source: None,
        },
    )
}

fn other() -> impl Strategy<Value = Other> {
    prop_oneof![
        3 => Just(Other::Stands),
        1 => Just(Other::Missing),
        1 => Just(Other::Retracted),
        1 => Just(Other::MergedAway { into: Uuid::from_u128(9) }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => facts().prop_map(Step::Add),
        3 => facts().prop_map(Step::Change),
        1 => (0..4_u128, other()).prop_map(|(into, other)| Step::Merge(into, other)),
        1 => "[a ]{0,2}".prop_map(Step::Retract),
    ]
}

fn decide(state: &Entity, step: Step) -> Decided<KnowledgeEvent, Refusal> {
    let by = Uuid::from_u128(100);
    match step {
        Step::Add(facts) => add_entity(state, &AddEntity { facts, external_id: None, added_by: by }),
        Step::Change(facts) => change_entity(state, &ChangeEntity { facts, changed_by: by }),
        Step::Merge(into, other) => {
            let (id, into) = (Uuid::nil(), Uuid::from_u128(into));
            merge_entity(state, &MergeEntity { id, into, other, merged_by: by })
        }
        Step::Retract(reason) => retract_entity(state, &Retract { reason, retracted_by: by }),
    }
}

fn is_end(event: &KnowledgeEvent) -> bool {
    matches!(event, KnowledgeEvent::EntityMerged(_) | KnowledgeEvent::EntityRetracted(_))
}

proptest! {
    #[test]
    fn an_entity_begins_once_ends_at_most_once_and_folds_alike_from_any_snapshot(steps in proptest::collection::vec(step(), 0..40)) {
        let (mut state, mut all, mut version) = (Entity::default(), Vec::new(), 0);
        let mut resumed = Entity::default();
        for step in steps {
            let decided = decide(&state, step.clone());
            prop_assert!(decided.refusal.is_none() || decided.events.is_empty());
            for event in &decided.events {
                version += 1;
                let at = At { version, time: DateTime::UNIX_EPOCH + TimeDelta::seconds(version as i64) };
                state.evolve(event, at);
                let text = serde_json::to_string(&resumed).unwrap();
                resumed = serde_json::from_str(&text).unwrap();
                resumed.evolve(event, at);
                prop_assert_eq!(&state, &resumed);
            }
            if decided.refusal.is_none() {
                prop_assert_eq!(decide(&state, step).events, [], "a repeated command changes nothing");
            }
            all.extend(decided.events);
        }
        prop_assert!(all.iter().skip(1).all(|event| !matches!(event, KnowledgeEvent::EntityAdded(_))));
        prop_assert!(all.iter().rev().skip(1).all(|event| !is_end(event)), "nothing comes after an end");
        prop_assert!(state.merged_into != Some(Uuid::nil()), "nothing is merged into itself");
        let sound = |facts: &EntityFacts| {
            (0.0..=1.0).contains(&facts.confidence) && !facts.name.trim().is_empty() && check_type(&facts.entity_type).is_ok()
        };
        prop_assert!(state.facts.iter().all(sound));
    }

    #[test]
    fn a_relationship_comes_and_goes_and_is_never_there_twice(steps in proptest::collection::vec((0..3_u8, confidence()), 0..40)) {
        let by = Uuid::from_u128(100);
        let (mut state, mut version, mut is_there) = (Relationship::default(), 0, false);
        for (step, confidence) in steps {
            let facts = RelationshipFacts { confidence, ..RelationshipFacts::default() };
            let decided = match step {
                0 => {
                    let (source_id, target_id) = (Uuid::from_u128(1), Uuid::from_u128(2));
                    let relationship_type = "knows".to_owned();
                    add_relationship(&state, &AddRelationship { source_id, relationship_type, target_id, facts, added_by: by })
                }
                1 => change_relationship(&state, &ChangeRelationship { facts, changed_by: by }),
                _ => retract_relationship(&state, &Retract { reason: "Wrong.".to_owned(), retracted_by: by }),
            };
            for event in &decided.events {
                version += 1;
                state.evolve(event, At { version, time: DateTime::UNIX_EPOCH });
                match event {
                    KnowledgeEvent::RelationshipAdded(_) => prop_assert!(!std::mem::replace(&mut is_there, true)),
                    KnowledgeEvent::RelationshipRetracted(_) => prop_assert!(std::mem::replace(&mut is_there, false)),
                    _ => prop_assert!(is_there),
                }
            }
            prop_assert_eq!(is_there, state.exists() && state.retracted.is_none());
            prop_assert!((0.0..=1.0).contains(&state.facts.confidence));
        }
    }
}
