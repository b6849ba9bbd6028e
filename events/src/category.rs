//! Categories: the kinds of stream, each with one topic on the log.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of stream. The numeric code is what the journal stores; it never changes once released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Users and organisations.
    Identity,
    /// Consultations: requests for a human decision.
    Consultation,
    /// Entities and relationships: the knowledge graph.
    Knowledge,
    /// Articles and the topics they are about; readers' preferences and saved articles.
    Feed,
    /// What readers do with articles and entities.
    Engagement,
}

impl Category {
    /// Every category, in the order of their codes.
    pub const ALL: [Self; 5] = [Self::Identity, Self::Consultation, Self::Knowledge, Self::Feed, Self::Engagement];

    /// The frozen number under which the journal stores this category.
    #[must_use]
    pub const fn code(self) -> i16 {
        match self {
            Self::Identity => 1,
            Self::Consultation => 2,
            Self::Knowledge => 3,
            Self::Feed => 4,
            Self::Engagement => 5,
        }
    }

    /// The category with this code, if this build knows it.
    #[must_use]
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.code() == code)
    }

    /// The name that prefixes stream ids: `consultation` in `consultation-0199…`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Consultation => "consultation",
            Self::Knowledge => "knowledge",
            Self::Feed => "feed",
            Self::Engagement => "engagement",
        }
    }

    /// The category with this name, if this build knows it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.name() == name)
    }

    /// The Kafka topic of this category.
    #[must_use]
    pub const fn topic(self) -> &'static str {
        match self {
            Self::Identity => "docket.identity",
            Self::Consultation => "docket.consultation",
            Self::Knowledge => "docket.knowledge",
            Self::Feed => "docket.feed",
            Self::Engagement => "docket.engagement",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
