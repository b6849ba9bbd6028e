//! The topics of an organisation: one tree, judged as a whole.

use std::collections::BTreeMap;

use docket_events::{
    HasPersonal,
    feed::{FeedEvent, TopicRemoved, TopicSet},
    personal::PersonalField,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Refusal, validate};
use crate::{Aggregate, At, Decided};

/// So many topics an organisation may have.
const MAX_TOPICS: usize = 1_000;

/// The topics as their events tell them. The default has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topics {
    /// Every topic by its word.
    pub topics: BTreeMap<String, Topic>,
    /// The version of the stream.
    pub version: u64,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topic {
    /// What it is called.
    pub name: String,
    /// The topic that it is a part of.
    pub parent: Option<String>,
}

impl Aggregate for Topics {
    type Event = FeedEvent;

    const SCHEMA: i32 = 1;

    fn evolve(&mut self, event: &FeedEvent, at: At) {
        match event {
            FeedEvent::TopicSet(TopicSet { topic, name, parent, .. }) => {
                self.topics.insert(topic.clone(), Topic { name: name.clone(), parent: parent.clone() });
            }
            FeedEvent::TopicRemoved(TopicRemoved { topic, .. }) => {
                self.topics.remove(topic);
            }
            // Of other streams.
            FeedEvent::ArticlePublished(_)
            | FeedEvent::ArticleRevised(_)
            | FeedEvent::ArticleRetracted(_)
            | FeedEvent::PreferencesSet(_)
            | FeedEvent::ArticleSaved(_)
            | FeedEvent::ArticleUnsaved(_) => {}
        }
        self.version = at.version;
    }
}

impl HasPersonal for Topics {
    fn visit_personal(&mut self, _: &mut dyn FnMut(&mut dyn PersonalField)) {}
}

impl Topics {
    /// Whether `topic`, or one that it is a part of, is `above`.
    fn is_within(&self, topic: &str, above: &str) -> bool {
        // Events hold no circle; should there be one none the less, the walk ends.
        let way = std::iter::successors(Some(topic), |topic| self.topics.get(*topic)?.parent.as_deref());
        way.take(MAX_TOPICS + 1).any(|topic| topic == above)
    }
}

/// The stream of the topics of `tenant`.
#[must_use]
pub fn topics_id(tenant: Uuid) -> Uuid {
    Uuid::new_v5(&tenant, b"topics")
}

/// Set a topic: it is made, renamed, or moved to another place of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetTopic {
    /// The word that stands for it.
    pub topic: String,
    /// What it is called.
    pub name: String,
    /// The topic that it is a part of; none: it is at the top.
    pub parent: Option<String>,
    /// Who sets it.
    pub set_by: Uuid,
}

/// Decides that a topic is set. What stands so already: nothing happens.
#[must_use]
pub fn set_topic(state: &Topics, command: &SetTopic) -> Decided<FeedEvent, Refusal> {
    let SetTopic { topic, name, parent, set_by } = command.clone();
    let checked = validate::topic(&topic).and_then(|()| validate::name(&name));
    if let Err(refusal) = checked {
        return Decided::refused(refusal);
    }
    let before = state.topics.get(&topic);
    if before.is_some_and(|before| before.name == name && before.parent == parent) {
        return Decided::accepted(Vec::new());
    }
    if before.is_none() && state.topics.len() >= MAX_TOPICS {
        return Decided::refused(Refusal::TooMany(MAX_TOPICS));
    }
    match parent.as_deref() {
        Some(parent) if parent == topic || (state.topics.contains_key(parent) && state.is_within(parent, &topic)) => {
            return Decided::refused(Refusal::Circle);
        }
        Some(parent) if !state.topics.contains_key(parent) => {
            let reason = "must be a topic of the organisation".to_owned();
            return Decided::refused(Refusal::Invalid { field: "parent", reason });
        }
        Some(_) | None => {}
    }
    Decided::accepted(vec![FeedEvent::TopicSet(TopicSet { topic, name, parent, set_by })])
}

/// Decides that there is no such topic any more. Articles keep the word, which stands for nothing then.
#[must_use]
pub fn remove_topic(state: &Topics, topic: &str, removed_by: Uuid) -> Decided<FeedEvent, Refusal> {
    if !state.topics.contains_key(topic) {
        return Decided::refused(Refusal::NotFound("topic"));
    }
    if state.topics.values().any(|other| other.parent.as_deref() == Some(topic)) {
        return Decided::refused(Refusal::HasParts);
    }
    Decided::accepted(vec![FeedEvent::TopicRemoved(TopicRemoved { topic: topic.to_owned(), removed_by })])
}
