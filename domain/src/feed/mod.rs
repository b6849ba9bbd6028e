//! What reviewers read: articles, the tree of topics that they are about, and what each reader keeps.
//!
//! Owns what may be said of an article, that topics form a tree, and what a reader may prefer and save. Must not know what else there is:
//! whether an article's topics and entities exist comes in with the command.

mod article;
mod reader;
mod topics;
mod validate;

#[cfg(test)]
mod tests;

pub use article::{
    Article, PublishArticle, RetractArticle, ReviseArticle, article_id, publish_article, retract_article,
    revise_article,
};
pub use reader::{Preferences, Saved, preferences_id, save_article, saved_id, set_preferences, unsave_article};
pub use topics::{SetTopic, Topic, Topics, remove_topic, set_topic, topics_id};
pub use validate::{check_content_type, check_topic};

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such article or topic.
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
    /// The article was retracted.
    #[error("the article was retracted")]
    Retracted,
    /// The topic would be a part of itself.
    #[error("a topic cannot be a part of itself or of what is a part of it")]
    Circle,
    /// The topic has others below it.
    #[error("other topics are parts of the topic")]
    HasParts,
    /// There are as many topics as there may be.
    #[error("an organisation has at most {0} topics")]
    TooMany(usize),
}

impl Refusal {
    /// The stable name of this refusal.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "not_found",
            Self::Invalid { .. } => "invalid",
            Self::Retracted => "retracted",
            Self::Circle => "topic_in_itself",
            Self::HasParts => "topic_has_parts",
            Self::TooMany(_) => "too_many_topics",
        }
    }
}
