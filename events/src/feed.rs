//! What happens to what reviewers read: articles, the topics they are about, and each reader's own preferences and saved articles.
//!
//! An article is published, revised and at last retracted, in a stream of its own. The topics of an organisation are one stream, so that their
//! tree can be judged as a whole; each reader's preferences are one, and each article that a reader saved is one.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{HasPersonal, personal::PersonalField};

/// What an article says, and what is said of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ArticleFacts {
    /// What it is called.
    pub title: String,
    /// What it says, in some sentences.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// What it says, whole: plain text or Markdown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// What kind of text it is, in the organisation's own words.
    pub content_type: String,
    /// How well it is made, from 0 to 1.
    pub quality: f64,
    /// How much it matters to the organisation, from 0 to 1.
    pub relevance: f64,
    /// What it is about: topics of the organisation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<String>,
    /// Whom and what it is about: entities of the knowledge graph.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<Uuid>,
    /// Where it stands outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_url: Option<String>,
    /// When it came out.
    pub published_at: DateTime<Utc>,
}

/// `docket.feed.article_published.v1`: an article can be read from now on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ArticlePublished {
    /// What it says.
    #[serde(flatten)]
    pub facts: ArticleFacts,
    /// The caller's own name for it; one of a kind in the organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Who published it.
    pub published_by: Uuid,
}

/// `docket.feed.article_revised.v1`: this is what an article says now, in place of what it said before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ArticleRevised {
    /// What it says.
    #[serde(flatten)]
    pub facts: ArticleFacts,
    /// Who revised it.
    pub revised_by: Uuid,
}

/// `docket.feed.article_retracted.v1`: an article does not stand any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArticleRetracted {
    /// Why.
    pub reason: String,
    /// Who retracted it.
    pub retracted_by: Uuid,
}

/// `docket.feed.topic_set.v1`: there is a topic of this name at this place of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TopicSet {
    /// The topic, by the word that stands for it.
    pub topic: String,
    /// What it is called.
    pub name: String,
    /// The topic that it is a part of; none: it is at the top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Who set it.
    pub set_by: Uuid,
}

/// `docket.feed.topic_removed.v1`: there is no such topic any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TopicRemoved {
    /// The topic.
    pub topic: String,
    /// Who removed it.
    pub removed_by: Uuid,
}

/// `docket.feed.preferences_set.v1`: this is how much a reader cares for topics, in place of what was said before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PreferencesSet {
    /// The reader.
    pub user_id: Uuid,
    /// How much, from 0 to 1, by topic.
    pub topics: BTreeMap<String, f64>,
}

/// `docket.feed.article_saved.v1`: a reader keeps an article at hand, with this note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArticleSaved {
    /// The reader.
    pub user_id: Uuid,
    /// The article.
    pub article_id: Uuid,
    /// What the reader noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// `docket.feed.article_unsaved.v1`: a reader does not keep an article any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArticleUnsaved {
    /// The reader.
    pub user_id: Uuid,
    /// The article.
    pub article_id: Uuid,
}

/// Any event of the feed.
#[derive(Debug, Clone, PartialEq)]
pub enum FeedEvent {
    /// See [`ArticlePublished`].
    ArticlePublished(ArticlePublished),
    /// See [`ArticleRevised`].
    ArticleRevised(ArticleRevised),
    /// See [`ArticleRetracted`].
    ArticleRetracted(ArticleRetracted),
    /// See [`TopicSet`].
    TopicSet(TopicSet),
    /// See [`TopicRemoved`].
    TopicRemoved(TopicRemoved),
    /// See [`PreferencesSet`].
    PreferencesSet(PreferencesSet),
    /// See [`ArticleSaved`].
    ArticleSaved(ArticleSaved),
    /// See [`ArticleUnsaved`].
    ArticleUnsaved(ArticleUnsaved),
}

impl HasPersonal for FeedEvent {
    fn visit_personal(&mut self, _: &mut dyn FnMut(&mut dyn PersonalField)) {
        match self {
            Self::ArticlePublished(_)
            | Self::ArticleRevised(_)
            | Self::ArticleRetracted(_)
            | Self::TopicSet(_)
            | Self::TopicRemoved(_)
            | Self::PreferencesSet(_)
            | Self::ArticleSaved(_)
            | Self::ArticleUnsaved(_) => {}
        }
    }
}
