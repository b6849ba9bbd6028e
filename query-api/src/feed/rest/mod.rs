//! The REST reads of the feed: articles ([`articles`]), what a reader is shown ([`personal`]), and what a reader keeps ([`reader`]).
//!
//! Owns the routes and their documentation.

mod articles;
mod personal;
mod reader;

use axum::{Router, routing::get};
use serde::Deserialize;
use utoipa::OpenApi;

use crate::position::Gate;

/// The reads of this feature, for the OpenAPI document.
#[derive(Debug, OpenApi)]
#[openapi(paths(
    articles::list_articles,
    articles::get_article,
    personal::get_feed,
    personal::get_trending,
    reader::list_topics,
    reader::get_topic_preferences,
    reader::list_saved,
))]
pub struct Api;

/// The routes.
pub fn router(gate: Gate) -> Router {
    Router::new()
        .route("/api/v1/articles", get(articles::list_articles))
        .route("/api/v1/articles/{id}", get(articles::get_article))
        .route("/api/v1/feed", get(personal::get_feed))
        .route("/api/v1/feed/trending", get(personal::get_trending))
        .route("/api/v1/topics", get(reader::list_topics))
        .route("/api/v1/user/topics/preferences", get(reader::get_topic_preferences))
        .route("/api/v1/user/saved", get(reader::list_saved))
        .with_state(gate)
}

/// A page of a list of articles.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PagedBy {
    limit: Option<i32>,
    after: Option<String>,
    topic: Option<String>,
}
