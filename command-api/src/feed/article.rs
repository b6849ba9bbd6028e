//! `/api/v1/articles`: publish, revise and retract.

use axum::response::Response;
use chrono::{DateTime, Utc};
use docket_domain::feed::{
    Article, PublishArticle, RetractArticle, ReviseArticle, Topics, article_id, publish_article, retract_article,
    revise_article, topics_id,
};
use docket_events::feed::ArticleFacts;
use docket_log::Statuses;
use docket_platform::{
    clock,
    http::{Json, Path},
    ids,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Write, error::RouteError, run};
use crate::{
    envelope::Envelope,
    existing,
    openapi::{CommandHeaders, FeedProblems},
    state::State,
};

/// What an article says, whole.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ArticleRequest, example = json!({
    "title": "How leases end", "summary": "What happens to what a worker held.", "body": "A lease ends when its holder is silent.",
    "content_type": "paper", "quality": 0.9, "relevance": 0.5, "source_url": "https://example.org/leases"
}))]
pub(super) struct Request {
    /// What it is called, 1 to 500 characters.
    title: String,
    /// What it says, in some sentences: at most 5,000 characters.
    #[serde(default)]
    summary: String,
    /// What it says, whole, as plain text or Markdown: at most 150 KiB.
    #[serde(default)]
    body: String,
    /// What kind of text it is, in a word of your own; `article` if not given.
    #[serde(default = "article")]
    content_type: String,
    /// How well it is made, from 0 to 1; 0.5 if not given.
    #[serde(default = "middling")]
    #[schema(minimum = 0, maximum = 1)]
    quality: f64,
    /// How much it matters to the organisation, from 0 to 1; 0.5 if not given.
    #[serde(default = "middling")]
    #[schema(minimum = 0, maximum = 1)]
    relevance: f64,
    /// What it is about: at most 20 topics of the organisation.
    #[serde(default)]
    topics: Vec<String>,
    /// Whom and what it is about: at most 100 entities of the organisation.
    #[serde(default)]
    entities: Vec<Uuid>,
    /// Where it stands outside.
    source_url: Option<String>,
    /// When it came out; now, if not given.
    published_at: Option<DateTime<Utc>>,
    /// Your own name for it, when it is published. Publishing under the same name again changes nothing and answers what is there.
    external_id: Option<String>,
}

fn article() -> String {
    "article".to_owned()
}

const fn middling() -> f64 {
    0.5
}

/// Why it does not stand any more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RetractArticleRequest, example = json!({"reason": "Its figures were wrong."}))]
pub(super) struct RetractRequest {
    /// In your words, 1 to 1,000 characters.
    reason: String,
}

/// An article.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Article)]
pub(super) struct ArticleView {
    /// Its id.
    id: Uuid,
    /// The version, which is its `ETag`.
    version: u64,
    /// What it is called.
    title: String,
    /// What it says, in some sentences.
    summary: String,
    /// What it says, whole.
    body: String,
    /// What kind of text it is.
    content_type: String,
    /// How well it is made, from 0 to 1.
    quality: f64,
    /// How much it matters to the organisation, from 0 to 1.
    relevance: f64,
    /// What it is about.
    topics: Vec<String>,
    /// Whom and what it is about.
    entities: Vec<Uuid>,
    /// Where it stands outside.
    source_url: Option<String>,
    /// The publisher's own name for it.
    external_id: Option<String>,
    /// When it came out.
    published_at: DateTime<Utc>,
    /// When it was added.
    added_at: Option<DateTime<Utc>>,
    /// When something last happened to it.
    updated_at: Option<DateTime<Utc>>,
    /// Why it was retracted; null: it was not.
    retracted: Option<String>,
}

impl ArticleView {
    fn of(id: Uuid, article: Article, version: u64) -> Self {
        let Article { facts, external_id, added_at, updated_at, retracted, .. } = article;
        let facts = facts.unwrap_or_default();
        Self {
            id,
            version,
            title: facts.title,
            summary: facts.summary,
            body: facts.body,
            content_type: facts.content_type,
            quality: facts.quality,
            relevance: facts.relevance,
            topics: facts.topics,
            entities: facts.entities,
            source_url: facts.source_url,
            external_id,
            published_at: facts.published_at,
            added_at,
            updated_at,
            retracted,
        }
    }
}

/// Publish an article
///
/// With an `external_id`, publishing it again changes nothing and answers 200 with the article as it stands.
#[utoipa::path(
    post, path = "/api/v1/articles", operation_id = "publish_article", tag = "feed", request_body = Request,
    params(CommandHeaders),
    responses(
        (status = CREATED, description = "Published", body = ArticleView),
        (status = OK, description = "It was there under this `external_id`", body = ArticleView),
        FeedProblems,
    ),
)]
pub(super) async fn publish(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Write>,
    Json { value: mut request, hash }: Json<Request>,
) -> Result<Response, RouteError> {
    let tenant = envelope.principal.tenant;
    let external_id = request.external_id.take();
    let id = external_id.as_deref().map_or_else(ids::new_id, |external_id| article_id(tenant, external_id));
    let facts = read(&state, tenant, request).await?;
    let command = PublishArticle { facts, external_id, published_by: envelope.principal.id };
    let created = Statuses { changed: 201, unchanged: 200 };
    let context = envelope.context(hash, created);
    let decide = |article: &Article, now| publish_article(article, &command, now);
    let done = run::run(&state, &context, ("article", id), decide).await?;
    Ok(done.answer(|article, version| ArticleView::of(id, article, version)))
}

/// Revise an article
///
/// What is sent stands in place of what was said before.
#[utoipa::path(
    put, path = "/api/v1/articles/{id}", operation_id = "revise_article", tag = "feed", request_body = Request,
    params(("id" = Uuid, Path, description = "The article"), CommandHeaders),
    responses((status = OK, description = "The article", body = ArticleView), FeedProblems),
)]
pub(super) async fn revise(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Write>,
    Path(id): Path<Uuid>,
    Json { value: request, hash }: Json<Request>,
) -> Result<Response, RouteError> {
    if request.external_id.is_some() {
        return Err(RouteError::wrong("external_id", "must not be given: it is what the article was published under"));
    }
    let facts = read(&state, envelope.principal.tenant, request).await?;
    let command = ReviseArticle { facts, revised_by: envelope.principal.id };
    let context = envelope.context(hash, Statuses::default());
    let decide = |article: &Article, now| revise_article(article, &command, now);
    let done = run::run(&state, &context, ("article", id), decide).await?;
    Ok(done.answer(|article, version| ArticleView::of(id, article, version)))
}

/// Retract an article
///
/// It does not stand any more and is shown to nobody in the feed; its history stays.
#[utoipa::path(
    post, path = "/api/v1/articles/{id}/retract", operation_id = "retract_article", tag = "feed",
    request_body = RetractRequest, params(("id" = Uuid, Path, description = "The article"), CommandHeaders),
    responses((status = OK, description = "The article after its end", body = ArticleView), FeedProblems),
)]
pub(super) async fn retract(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Write>,
    Path(id): Path<Uuid>,
    Json { value: RetractRequest { reason }, hash }: Json<RetractRequest>,
) -> Result<Response, RouteError> {
    let command = RetractArticle { reason, retracted_by: envelope.principal.id };
    let context = envelope.context(hash, Statuses::default());
    let decide = |article: &Article, _| retract_article(article, &command);
    let done = run::run(&state, &context, ("article", id), decide).await?;
    Ok(done.answer(|article, version| ArticleView::of(id, article, version)))
}

/// What an article says, its topics and entities found to exist.
async fn read(state: &State, tenant: Uuid, request: Request) -> Result<ArticleFacts, RouteError> {
    known_topics(state, tenant, request.topics.iter()).await?;
    // What is far too much is refused by the decision, unseen.
    let some: Vec<Uuid> = request.entities.iter().copied().take(1_000).collect();
    let lookup = existing::among(state.store.pool(), tenant, existing::ENTITIES, &some);
    let there = state.guarded_query(lookup).await?;
    if let Some(id) = some.iter().find(|id| !there.contains(id)) {
        return Err(RouteError::wrong("entities", format!("must be entities of the organisation, and {id} is none")));
    }
    Ok(ArticleFacts {
        title: request.title,
        summary: request.summary,
        body: request.body,
        content_type: request.content_type,
        quality: request.quality,
        relevance: request.relevance,
        topics: request.topics,
        entities: request.entities,
        source_url: request.source_url,
        published_at: request.published_at.unwrap_or_else(clock::now),
    })
}

/// Refuses topics that the organisation does not have.
pub(super) async fn known_topics(
    state: &State,
    tenant: Uuid,
    mut topics: impl Iterator<Item = &String> + Send,
) -> Result<(), RouteError> {
    let mut first = topics.next();
    if first.is_none() {
        return Ok(());
    }
    let load = async { Ok(state.store.load::<Topics>(run::stream(topics_id(tenant)), None).await?) };
    let tree = state.guarded(load).await?.0.state;
    while let Some(topic) = first {
        if !tree.topics.contains_key(topic) {
            return Err(RouteError::wrong("topics", "must be topics of the organisation"));
        }
        first = topics.next();
    }
    Ok(())
}
