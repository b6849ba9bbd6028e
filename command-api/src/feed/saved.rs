//! `/api/v1/user/saved/{article_id}`: articles that a reader keeps at hand.

use axum::response::Response;
use chrono::{DateTime, Utc};
use docket_domain::feed::{Refusal, Saved, save_article, saved_id, unsave_article};
use docket_log::Statuses;
use docket_platform::http::{Json, Path};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Keep, error::RouteError, run};
use crate::{
    envelope::Envelope,
    existing,
    openapi::{CommandHeaders, FeedProblems},
    state::State,
};

/// What to keep it with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SaveArticleRequest, example = json!({"note": "For the next review."}))]
pub(super) struct SaveRequest {
    /// A note to oneself, at most 2,000 characters.
    note: Option<String>,
}

/// A saved article.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SavedArticle)]
struct View {
    /// The article.
    article_id: Uuid,
    /// Whether it is saved.
    saved: bool,
    /// The note.
    note: Option<String>,
    /// When it was saved, or its note changed.
    saved_at: Option<DateTime<Utc>>,
}

impl View {
    fn of(article_id: Uuid, state: Saved) -> Self {
        Self { article_id, saved: state.article_id.is_some(), note: state.note, saved_at: state.saved_at }
    }
}

/// Save an article
///
/// Saving it again sets its note.
#[utoipa::path(
    put, path = "/api/v1/user/saved/{article_id}", operation_id = "save_article", tag = "feed", request_body = SaveRequest,
    params(("article_id" = Uuid, Path, description = "The article"), CommandHeaders),
    responses((status = OK, description = "It is saved", body = View), FeedProblems),
)]
pub(super) async fn save(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Keep>,
    Path(article_id): Path<Uuid>,
    Json { value: SaveRequest { note }, hash }: Json<SaveRequest>,
) -> Result<Response, RouteError> {
    let (tenant, user) = (envelope.principal.tenant, envelope.principal.id);
    let asked = [article_id];
    let lookup = existing::among(state.store.pool(), tenant, existing::ARTICLES, &asked);
    if state.guarded_query(lookup).await?.is_empty() {
        return Err(Refusal::NotFound("article").into());
    }
    let context = envelope.context(hash, Statuses::default());
    let id = saved_id(tenant, user, article_id);
    let decide = |saved: &Saved, _| save_article(saved, (user, article_id), note.as_deref());
    let done = run::run(&state, &context, ("saved article", id), decide).await?;
    Ok(done.answer(|saved, _| View::of(article_id, saved)))
}

/// Take an article from those that one saved
///
/// What is not saved stays so.
#[utoipa::path(
    delete, path = "/api/v1/user/saved/{article_id}", operation_id = "unsave_article", tag = "feed",
    params(("article_id" = Uuid, Path, description = "The article"), CommandHeaders),
    responses((status = OK, description = "It is not saved", body = View), FeedProblems),
)]
pub(super) async fn unsave(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Keep>,
    Path(article_id): Path<Uuid>,
) -> Result<Response, RouteError> {
    let (tenant, user) = (envelope.principal.tenant, envelope.principal.id);
    let context = envelope.context_of_nothing();
    let id = saved_id(tenant, user, article_id);
    let decide = |saved: &Saved, _| unsave_article(saved, (user, article_id));
    let done = run::run(&state, &context, ("saved article", id), decide).await?;
    Ok(done.answer(|saved, _| View::of(article_id, saved)))
}
