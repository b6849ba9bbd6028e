//! An article: published, revised, and at last retracted.

use chrono::{DateTime, Utc};
use docket_events::{
    HasPersonal,
    feed::{ArticleFacts, ArticlePublished, ArticleRetracted, ArticleRevised, FeedEvent},
    personal::PersonalField,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Refusal, validate};
use crate::{Aggregate, At, Decided};

/// An article as its events tell it. The default does not exist yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Article {
    /// What it says; none: it does not exist.
    pub facts: Option<ArticleFacts>,
    /// The publisher's own name for it.
    pub external_id: Option<String>,
    /// When it was added.
    pub added_at: Option<DateTime<Utc>>,
    /// When something last happened to it.
    pub updated_at: Option<DateTime<Utc>>,
    /// Why it was retracted, if it was.
    pub retracted: Option<String>,
    /// The version of the stream.
    pub version: u64,
}

impl Aggregate for Article {
    type Event = FeedEvent;

    const SCHEMA: i32 = 1;

    fn evolve(&mut self, event: &FeedEvent, at: At) {
        match event {
            FeedEvent::ArticlePublished(event) => {
                self.facts = Some(event.facts.clone());
                self.external_id.clone_from(&event.external_id);
                self.added_at = Some(at.time);
            }
            FeedEvent::ArticleRevised(event) => self.facts = Some(event.facts.clone()),
            FeedEvent::ArticleRetracted(event) => self.retracted = Some(event.reason.clone()),
            // Of other streams.
            FeedEvent::TopicSet(_)
            | FeedEvent::TopicRemoved(_)
            | FeedEvent::PreferencesSet(_)
            | FeedEvent::ArticleSaved(_)
            | FeedEvent::ArticleUnsaved(_) => {}
        }
        self.updated_at = Some(at.time);
        self.version = at.version;
    }
}

impl HasPersonal for Article {
    fn visit_personal(&mut self, _: &mut dyn FnMut(&mut dyn PersonalField)) {}
}

impl Article {
    fn standing(&self) -> Result<&ArticleFacts, Refusal> {
        match self {
            Self { retracted: Some(_), .. } => Err(Refusal::Retracted),
            Self { facts: Some(facts), .. } => Ok(facts),
            Self { facts: None, .. } => Err(Refusal::NotFound("article")),
        }
    }
}

/// The stream of the article that `tenant` knows as `external_id`.
#[must_use]
pub fn article_id(tenant: Uuid, external_id: &str) -> Uuid {
    Uuid::new_v5(&tenant, format!("article:{external_id}").as_bytes())
}

/// Publish an article.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishArticle {
    /// What it says; its topics and entities exist.
    pub facts: ArticleFacts,
    /// The publisher's own name for it; the stream's id is made of it.
    pub external_id: Option<String>,
    /// Who publishes it.
    pub published_by: Uuid,
}

/// Say something else in an article.
#[derive(Debug, Clone, PartialEq)]
pub struct ReviseArticle {
    /// What it says now, whole; its topics and entities exist.
    pub facts: ArticleFacts,
    /// Who revises it.
    pub revised_by: Uuid,
}

/// Retract an article.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetractArticle {
    /// Why, 1 to 1,000 characters.
    pub reason: String,
    /// Who retracts it.
    pub retracted_by: Uuid,
}

fn decided(result: Result<Vec<FeedEvent>, Refusal>) -> Decided<FeedEvent, Refusal> {
    result.map_or_else(Decided::refused, Decided::accepted)
}

/// Decides that an article is published. What is there already stays as it is, whatever became of it.
#[must_use]
pub fn publish_article(state: &Article, command: &PublishArticle, now: DateTime<Utc>) -> Decided<FeedEvent, Refusal> {
    let PublishArticle { facts, external_id, published_by } = command;
    let checked = validate::article(facts, now).and_then(|()| validate::external_id(external_id.as_deref()));
    decided(checked.map(|()| match state.facts {
        Some(_) => Vec::new(),
        None => vec![FeedEvent::ArticlePublished(ArticlePublished {
            facts: facts.clone(),
            external_id: external_id.clone(),
            published_by: *published_by,
        })],
    }))
}

/// Decides that an article says something else. What it says already: nothing happens.
#[must_use]
pub fn revise_article(state: &Article, command: &ReviseArticle, now: DateTime<Utc>) -> Decided<FeedEvent, Refusal> {
    let ReviseArticle { facts, revised_by } = command;
    let standing = state.standing().and_then(|before| validate::article(facts, now).map(|()| before));
    decided(standing.map(|before| match before == facts {
        true => Vec::new(),
        false => vec![FeedEvent::ArticleRevised(ArticleRevised { facts: facts.clone(), revised_by: *revised_by })],
    }))
}

/// Decides that an article does not stand any more. What was retracted stays so.
#[must_use]
pub fn retract_article(state: &Article, command: &RetractArticle) -> Decided<FeedEvent, Refusal> {
    let RetractArticle { reason, retracted_by } = command.clone();
    match state.standing() {
        Err(Refusal::Retracted) => Decided::accepted(Vec::new()),
        Err(refusal) => Decided::refused(refusal),
        Ok(_) => decided(
            validate::reason(&reason)
                .map(|()| vec![FeedEvent::ArticleRetracted(ArticleRetracted { reason, retracted_by })]),
        ),
    }
}
