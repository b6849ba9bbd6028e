//! What a reader keeps: preferences for topics, and saved articles.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use docket_events::{
    HasPersonal,
    feed::{ArticleSaved, ArticleUnsaved, FeedEvent, PreferencesSet},
    personal::PersonalField,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Refusal, validate};
use crate::{Aggregate, At, Decided};

/// How much a reader cares for topics, as the events tell it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Preferences {
    /// How much, from 0 to 1, by topic.
    pub topics: BTreeMap<String, f64>,
    /// When they were last set.
    pub set_at: Option<DateTime<Utc>>,
    /// The version of the stream.
    pub version: u64,
}

impl Aggregate for Preferences {
    type Event = FeedEvent;

    const SCHEMA: i32 = 1;

    fn evolve(&mut self, event: &FeedEvent, at: At) {
        if let FeedEvent::PreferencesSet(event) = event {
            self.topics.clone_from(&event.topics);
            self.set_at = Some(at.time);
        }
        self.version = at.version;
    }
}

impl HasPersonal for Preferences {
    fn visit_personal(&mut self, _: &mut dyn FnMut(&mut dyn PersonalField)) {}
}

/// An article that a reader saved, or did once, as the events tell it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The article, while it is saved.
    pub article_id: Option<Uuid>,
    /// What the reader noted.
    pub note: Option<String>,
    /// When it was saved, or its note changed.
    pub saved_at: Option<DateTime<Utc>>,
    /// The version of the stream.
    pub version: u64,
}

impl Aggregate for Saved {
    type Event = FeedEvent;

    const SCHEMA: i32 = 1;

    fn evolve(&mut self, event: &FeedEvent, at: At) {
        match event {
            FeedEvent::ArticleSaved(event) => {
                self.article_id = Some(event.article_id);
                self.note.clone_from(&event.note);
                self.saved_at = Some(at.time);
            }
            FeedEvent::ArticleUnsaved(_) => *self = Self::default(),
            // Of other streams.
            FeedEvent::ArticlePublished(_)
            | FeedEvent::ArticleRevised(_)
            | FeedEvent::ArticleRetracted(_)
            | FeedEvent::TopicSet(_)
            | FeedEvent::TopicRemoved(_)
            | FeedEvent::PreferencesSet(_) => {}
        }
        self.version = at.version;
    }
}

impl HasPersonal for Saved {
    fn visit_personal(&mut self, _: &mut dyn FnMut(&mut dyn PersonalField)) {}
}

/// The stream of a reader's preferences.
#[must_use]
pub fn preferences_id(tenant: Uuid, user_id: Uuid) -> Uuid {
    Uuid::new_v5(&tenant, format!("preferences:{user_id}").as_bytes())
}

/// The stream of an article that a reader saves.
#[must_use]
pub fn saved_id(tenant: Uuid, user_id: Uuid, article_id: Uuid) -> Uuid {
    Uuid::new_v5(&tenant, format!("saved:{user_id}:{article_id}").as_bytes())
}

/// Decides how much a reader cares for topics. What is so already: nothing happens.
#[must_use]
pub fn set_preferences(
    state: &Preferences,
    user_id: Uuid,
    topics: &BTreeMap<String, f64>,
) -> Decided<FeedEvent, Refusal> {
    match validate::preferences(topics.iter()) {
        Err(refusal) => Decided::refused(refusal),
        Ok(()) if state.topics == *topics => Decided::accepted(Vec::new()),
        Ok(()) => {
            Decided::accepted(vec![FeedEvent::PreferencesSet(PreferencesSet { user_id, topics: topics.clone() })])
        }
    }
}

/// Decides that a reader keeps an article, which exists, with this note. What is kept so already: nothing happens.
#[must_use]
pub fn save_article(
    state: &Saved,
    (user_id, article_id): (Uuid, Uuid),
    note: Option<&str>,
) -> Decided<FeedEvent, Refusal> {
    match validate::note(note) {
        Err(refusal) => Decided::refused(refusal),
        Ok(()) if state.article_id.is_some() && state.note.as_deref() == note => Decided::accepted(Vec::new()),
        Ok(()) => Decided::accepted(vec![FeedEvent::ArticleSaved(ArticleSaved {
            user_id,
            article_id,
            note: note.map(str::to_owned),
        })]),
    }
}

/// Decides that a reader does not keep an article any more. What is not kept: nothing happens.
#[must_use]
pub fn unsave_article(state: &Saved, (user_id, article_id): (Uuid, Uuid)) -> Decided<FeedEvent, Refusal> {
    match state.article_id {
        None => Decided::accepted(Vec::new()),
        Some(_) => Decided::accepted(vec![FeedEvent::ArticleUnsaved(ArticleUnsaved { user_id, article_id })]),
    }
}
