//! `GET /api/v1/topics`, `GET /api/v1/user/topics/preferences` and `GET /api/v1/user/saved`.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use docket_platform::{
    Problem,
    auth::{
        Principal,
        permissions::{self, Action},
    },
    http::{PositionHeader, Query, etag},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    feed::{
        reader::{self, Preferences, SavedArticle},
        topics::{self, Topic},
    },
    fresh,
    page::{Page, Paged},
    position::{FEED, Gate},
    read,
    refused::Refused,
};

/// The topics of an organisation.
#[derive(Debug, Serialize, ToSchema)]
pub struct TopicList {
    /// In the order of their words.
    topics: Vec<Topic>,
}

/// Lists topics
///
/// All of them, each with its place in the tree.
#[utoipa::path(
    get,
    path = "/api/v1/topics",
    operation_id = "list_topics",
    tag = "topics",
    params(("Docket-Position" = Option<String>, Header, description = "Wait until the answer is at least this new")),
    responses((status = 200, description = "The topics", body = TopicList), Refused),
    security(("bearer" = []))
)]
pub async fn list_topics(
    State(gate): State<Gate>,
    principal: Principal,
    wanted: PositionHeader,
) -> Result<Response, Problem> {
    permissions::check(&principal, Action::ReadKnowledge)?;
    let mut entered = gate.enter(principal.tenant, FEED, &read::header_position(&wanted)?, None).await?;
    let topics = gate.reads().guard(topics::list(&mut entered.tx, principal.tenant)).await?;
    Ok(fresh::answer(TopicList { topics }, entered.lacks_since))
}

/// Shows how much whoever asks cares for topics
///
/// What was last said; what is a part of a topic counts as the topic does, unless something is said of it too.
#[utoipa::path(
    get,
    path = "/api/v1/user/topics/preferences",
    operation_id = "get_topic_preferences",
    tag = "topics",
    params(
        ("Docket-Position" = Option<String>, Header, description = "Wait until the answer is at least this new"),
        ("If-None-Match" = Option<String>, Header, description = "The versions already known, as answered in `ETag`"),
    ),
    responses(
        (status = 200, description = "The preferences", body = Preferences, headers(("ETag" = String, description = "The version"))),
        (status = 304, description = "Still as the client has it"),
        Refused,
    ),
    security(("bearer" = []))
)]
pub async fn get_topic_preferences(
    State(gate): State<Gate>,
    principal: Principal,
    wanted: PositionHeader,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    permissions::check(&principal, Action::Engage)?;
    let mut entered = gate.enter(principal.tenant, FEED, &read::header_position(&wanted)?, None).await?;
    let found = reader::preferences(&mut entered.tx, (principal.tenant, principal.id));
    let found = gate.reads().guard(found).await?;
    let tag = etag(found.version);
    let mut response = match fresh::matches(&headers, &tag) {
        Some(true) => StatusCode::NOT_MODIFIED.into_response(),
        Some(false) | None => Json(found).into_response(),
    };
    response.headers_mut().insert(header::ETAG, tag);
    fresh::show_age(response.headers_mut(), entered.lacks_since);
    Ok(response)
}

/// A page of saved articles.
#[derive(Debug, Serialize, ToSchema)]
pub struct SavedList {
    /// The last saved first.
    saved: Vec<SavedArticle>,
    /// What `after` is for the next page; null: there is none.
    next: Option<String>,
}

/// Lists what whoever asks saved
///
/// The last saved first. An article that was retracted since stays in the list, and says so.
#[utoipa::path(
    get,
    path = "/api/v1/user/saved",
    operation_id = "list_saved",
    tag = "articles",
    params(
        ("limit" = Option<i32>, Query, description = "At most this many, up to 100; 20 if not given"),
        ("after" = Option<String>, Query, description = "Behind this place: `next` of the page before"),
        ("Docket-Position" = Option<String>, Header, description = "Wait until the answer is at least this new"),
    ),
    responses((status = 200, description = "A page", body = SavedList), Refused),
    security(("bearer" = []))
)]
pub async fn list_saved(
    State(gate): State<Gate>,
    principal: Principal,
    Query(Paged { limit, after }): Query<Paged>,
    wanted: PositionHeader,
) -> Result<Response, Problem> {
    permissions::check(&principal, Action::Engage)?;
    let page = Page::named("limit", limit, after.as_deref())?;
    let mut entered = gate.enter(principal.tenant, FEED, &read::header_position(&wanted)?, None).await?;
    let reader = (principal.tenant, principal.id);
    let rows = gate.reads().guard(reader::saved(&mut entered.tx, reader, page.after, page.limit())).await?;
    let (saved, next) = page.cut(rows, SavedArticle::place);
    Ok(fresh::answer(SavedList { saved, next }, entered.lacks_since))
}
