//! An article as GraphQL and REST show it.

use std::collections::{BTreeSet, HashMap};

use async_graphql::{
    ComplexObject, Context, Result, SimpleObject,
    dataloader::{DataLoader, Loader},
};
use docket_log::Position;
use docket_platform::Problem;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::rows::{self, ArticleRow};
use crate::{
    graphql::{Asker, Instant, error},
    knowledge::{self, Entity},
    page,
    position::KNOWLEDGE,
    read::Reads,
};

/// A text that reviewers read.
#[derive(Debug, Clone, Serialize, SimpleObject, ToSchema)]
#[graphql(complex)]
#[schema(as = ArticleDetail)]
pub struct Article {
    /// Its id.
    pub(super) id: Uuid,
    /// The version, which is its `ETag`, for `If-Match`.
    pub(super) version: u64,
    /// What it is called.
    title: String,
    /// What it says, in some sentences; may be empty.
    summary: String,
    /// What it says, whole: plain text or Markdown. Left out in lists.
    #[graphql(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    body: Option<String>,
    /// What kind of text it is, in the organisation's own words.
    content_type: String,
    /// How well it is made, from 0 to 1.
    quality: f64,
    /// How much it matters to the organisation, from 0 to 1.
    relevance: f64,
    /// What it is about: words of topics.
    topics: Vec<String>,
    /// Whom and what it is about: ids of entities, as they were given.
    #[graphql(skip)]
    entities: Vec<Uuid>,
    /// Where it stands outside.
    source_url: Option<String>,
    /// The publisher's own name for it.
    external_id: Option<String>,
    /// When it came out.
    #[schema(value_type = DateTime<Utc>)]
    published_at: Instant,
    /// When it was added here.
    #[schema(value_type = DateTime<Utc>)]
    added_at: Instant,
    /// When something last happened to it.
    #[schema(value_type = DateTime<Utc>)]
    updated_at: Instant,
    /// Why it was retracted; null: it stands.
    retracted: Option<String>,
}

impl From<ArticleRow> for Article {
    fn from(row: ArticleRow) -> Self {
        Self {
            id: row.id,
            version: row.version.unsigned_abs(),
            title: row.title,
            summary: row.summary,
            body: row.body,
            content_type: row.content_type,
            quality: row.quality,
            relevance: row.relevance,
            topics: row.topics,
            entities: row.entities,
            source_url: row.source_url,
            external_id: row.external_id,
            published_at: Instant(row.published_at),
            added_at: Instant(row.added_at),
            updated_at: Instant(row.updated_at),
            retracted: row.retracted,
        }
    }
}

impl Article {
    /// Whether it names this topic.
    pub(super) fn is_about(&self, topic: &str) -> bool {
        self.topics.iter().any(|own| own == topic)
    }
}

#[ComplexObject]
impl Article {
    /// What it says, whole: plain text or Markdown; may be empty.
    #[graphql(complexity = 5)]
    async fn body(&self, context: &Context<'_>) -> Result<String> {
        let loader = context.data_unchecked::<DataLoader<Bodies>>();
        let body = loader.load_one(self.id).await.map_err(|problem| error::from_problem(&problem))?;
        Ok(body.unwrap_or_default())
    }

    /// Whom and what it is about, in the order that was given. Entities that were merged away are the ones that stand for them, and what
    /// was retracted is left out.
    #[graphql(complexity = "page::cost(Some(limit), child_complexity)")]
    async fn entities(
        &self,
        context: &Context<'_>,
        #[graphql(default = 20, desc = "At most this many, up to 100.")] limit: i32,
    ) -> Result<Vec<Entity>> {
        let limit = page::limit(limit).map_err(error::from_read)?;
        let loader = context.data_unchecked::<DataLoader<Mentioned>>();
        let ids = self.entities.iter().copied();
        let mut found = loader.load_many(ids).await.map_err(|problem| error::from_problem(&problem))?;
        let mut shown = BTreeSet::new();
        let entities = self.entities.iter().filter_map(|id| found.remove(id));
        Ok(entities.filter(|entity| entity.stands() && shown.insert(entity.id)).take(limit).collect())
    }
}

/// Loads the whole texts of many articles at once, as one tenant.
pub struct Bodies {
    reads: Reads,
    tenant: Uuid,
}

impl Bodies {
    /// Texts that `tenant` may see.
    pub fn new(reads: Reads, tenant: Uuid) -> Self {
        Self { reads, tenant }
    }
}

impl Loader<Uuid> for Bodies {
    type Value = String;
    type Error = Problem;

    async fn load(&self, keys: &[Uuid]) -> Result<HashMap<Uuid, String>, Problem> {
        let read = async {
            let mut tx = self.reads.begin(self.tenant).await?;
            rows::bodies(&mut tx, keys).await
        };
        Ok(self.reads.guard(read).await?)
    }
}

/// Loads many articles at once, without their whole texts, as one tenant.
pub struct Headlines {
    reads: Reads,
    tenant: Uuid,
}

impl Headlines {
    /// Articles that `tenant` may see.
    pub fn new(reads: Reads, tenant: Uuid) -> Self {
        Self { reads, tenant }
    }
}

impl Loader<Uuid> for Headlines {
    type Value = Article;
    type Error = Problem;

    async fn load(&self, keys: &[Uuid]) -> Result<HashMap<Uuid, Article>, Problem> {
        let read = async {
            let mut tx = self.reads.begin(self.tenant).await?;
            rows::by_ids(&mut tx, keys).await
        };
        Ok(self.reads.guard(read).await?)
    }
}

/// Loads the entities that many articles are about at once, as whoever asks.
pub struct Mentioned(Asker);

impl Mentioned {
    /// Entities that `asker` may see.
    pub fn new(asker: Asker) -> Self {
        Self(asker)
    }
}

impl Loader<Uuid> for Mentioned {
    type Value = Entity;
    type Error = Problem;

    async fn load(&self, keys: &[Uuid]) -> Result<HashMap<Uuid, Entity>, Problem> {
        let Self(asker) = self;
        let mut entered = asker.enter(&[KNOWLEDGE], &Position::default()).await?;
        Ok(asker.gate.reads().guard(knowledge::standing(&mut entered.tx, keys)).await?)
    }
}
