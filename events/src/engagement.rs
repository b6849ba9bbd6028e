//! What readers do with what they read. A call of the API is one event, in a stream of its own: it holds up to a thousand things that somebody
//! did. Each has an id that its teller made, and counts once.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{HasPersonal, personal::PersonalField};

/// What somebody did with an article or an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It was shown.
    View,
    /// It was opened.
    Click,
    /// It was kept.
    Save,
    /// It was passed on.
    Share,
    /// It was looked at for some time.
    Dwell,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 5] = [Self::View, Self::Click, Self::Save, Self::Share, Self::Dwell];

    /// Its name, as the API and the log have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Click => "click",
            Self::Save => "save",
            Self::Share => "share",
            Self::Dwell => "dwell",
        }
    }

    /// What it adds to how much an item is talked of: the more it costs a reader, the more it says.
    #[must_use]
    pub const fn weight(self) -> i64 {
        match self {
            Self::View => 1,
            Self::Click => 2,
            Self::Dwell => 3,
            Self::Save => 5,
            Self::Share => 8,
        }
    }
}

/// What it was done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// An article.
    Article(Uuid),
    /// An entity of the knowledge graph.
    Entity(Uuid),
}

impl Item {
    /// The id of the article or the entity.
    #[must_use]
    pub const fn id(self) -> Uuid {
        match self {
            Self::Article(id) | Self::Entity(id) => id,
        }
    }

    /// `article` or `entity`.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Article(_) => "article",
            Self::Entity(_) => "entity",
        }
    }
}

/// One thing that somebody did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Engaged {
    /// Its id, made by the teller: of a reader, each counts once.
    pub id: Uuid,
    /// What was done.
    pub action: Action,
    /// With what.
    #[serde(flatten)]
    pub item: Item,
    /// When; none: when the event happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// For how long, in milliseconds; of a dwell alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dwell_ms: Option<u32>,
    /// While this consultation was being considered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consultation_id: Option<Uuid>,
}

/// `docket.engagement.recorded.v1`: somebody did these things.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EngagementRecorded {
    /// Who.
    pub user_id: Uuid,
    /// What, 1 to 1,000.
    pub items: Vec<Engaged>,
}

/// Any event of engagement.
#[derive(Debug, Clone, PartialEq)]
pub enum EngagementEvent {
    /// See [`EngagementRecorded`].
    Recorded(EngagementRecorded),
}

impl HasPersonal for EngagementEvent {
    fn visit_personal(&mut self, _: &mut dyn FnMut(&mut dyn PersonalField)) {
        match self {
            Self::Recorded(_) => {}
        }
    }
}
