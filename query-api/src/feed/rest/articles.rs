//! `GET /api/v1/articles` lists and searches, `GET /api/v1/articles/{id}` shows one.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use docket_events::{Category, StreamId};
use docket_log::Position;
use docket_platform::{
    Problem, ProblemDocument,
    auth::{
        Principal,
        permissions::{self, Action},
    },
    http::{Path, PositionHeader, Query, etag, headers::POSITION},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    feed::{Article, check_topic, rows, search, topics},
    fresh,
    page::{Cursor, Page, size},
    position::{FEED, Gate},
    read::{self, ReadError},
    refused::Refused,
};

/// An article of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct ArticleListed {
    /// The article, without its body.
    article: Article,
    /// Its title as HTML: escaped, with `<mark>` … `</mark>` around what was found. Absent where no text is looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    title_marked: Option<String>,
    /// What stands around what was found in its summary and body, likewise; parts are separated by ` … `.
    #[serde(skip_serializing_if = "Option::is_none")]
    excerpt: Option<String>,
}

impl From<search::ArticleFound> for ArticleListed {
    fn from(found: search::ArticleFound) -> Self {
        Self { article: found.article, title_marked: Some(found.title_marked), excerpt: Some(found.excerpt) }
    }
}

/// A page of articles.
#[derive(Debug, Serialize, ToSchema)]
pub struct ArticleList {
    /// The last published first; where a text is looked for, the best first.
    articles: Vec<ArticleListed>,
    /// What `after` is for the next page; null: there is none.
    next: Option<String>,
}

/// What is asked for, as it stands in the query string.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    text: Option<String>,
    topic: Option<String>,
    limit: Option<i32>,
    after: Option<String>,
}

/// Lists or finds articles
///
/// Those that stand. Without `text` the last published first; with it those that it finds by words of title, summary and body, the best
/// first, up to 1,000. Follow `next` until it is null.
#[utoipa::path(
    get,
    path = "/api/v1/articles",
    operation_id = "list_articles",
    tag = "articles",
    params(
        ("text" = Option<String>, Query, description = "1 to 200 characters: words in whatever form; `\"several words\"` stand together, `or` stands between alternatives, and `-word` must not be there"),
        ("topic" = Option<String>, Query, description = "About this topic, or one that is a part of it"),
        ("limit" = Option<i32>, Query, description = "At most this many, up to 100; 20 if not given"),
        ("after" = Option<String>, Query, description = "Behind this place: `next` of the page before, of the same question"),
        ("Docket-Position" = Option<String>, Header, description = "Wait until the answer is at least this new"),
    ),
    responses((status = 200, description = "A page", body = ArticleList), Refused),
    security(("bearer" = []))
)]
pub async fn list_articles(
    State(gate): State<Gate>,
    principal: Principal,
    Query(asked): Query<Wanted>,
    wanted: PositionHeader,
) -> Result<Response, Problem> {
    permissions::check(&principal, Action::ReadKnowledge)?;
    check_topic(asked.topic.as_deref())?;
    let wanted = read::header_position(&wanted)?;
    Ok(Box::pin(list(&gate, principal.tenant, &asked, &wanted)).await?)
}

async fn list(gate: &Gate, tenant: Uuid, asked: &Wanted, wanted: &Position) -> Result<Response, ReadError> {
    let (topic, after) = (asked.topic.as_deref(), asked.after.as_deref());
    let (articles, next, lacks_since) = if let Some(text) = &asked.text {
        let (text, place) = (search::text(text)?, (search::offset(after)?, size("limit", asked.limit)?));
        let mut entered = gate.enter(tenant, FEED, wanted, None).await?;
        let found = search::find(&mut entered.tx, tenant, text, topic, place);
        let (found, next) = gate.reads().guard(found).await?;
        (found.into_iter().map(ArticleListed::from).collect(), next, entered.lacks_since)
    } else {
        let page = Page::named("limit", asked.limit, after)?;
        let mut entered = gate.enter(tenant, FEED, wanted, None).await?;
        let rows = async {
            let topics = topics::within(&mut entered.tx, tenant, topic).await?;
            rows::newest(&mut entered.tx, tenant, topics.as_deref(), page.after, page.limit()).await
        };
        let rows = gate.reads().guard(rows).await?;
        let (rows, next) = page.cut(rows, |row| Cursor { at: row.published_at, id: row.id });
        let listed = |row: rows::ArticleRow| ArticleListed { article: row.into(), title_marked: None, excerpt: None };
        (rows.into_iter().map(listed).collect(), next, entered.lacks_since)
    };
    Ok(fresh::answer(ArticleList { articles, next }, lacks_since))
}

/// Shows an article
///
/// Whole, whether it stands or was retracted.
#[utoipa::path(
    get,
    path = "/api/v1/articles/{id}",
    operation_id = "get_article",
    tag = "articles",
    params(
        ("id" = Uuid, Path, description = "The article's id"),
        ("Docket-Position" = Option<String>, Header, description = "Wait until the answer is at least this new"),
        ("If-None-Match" = Option<String>, Header, description = "The versions already known, as answered in `ETag`"),
    ),
    responses(
        (status = 200, description = "The article", body = Article, headers(
            ("ETag" = String, description = "The version"),
            ("Docket-Position" = String, description = "The answer is at least this new"),
            ("Docket-Age" = i64, description = "Only while the read model is behind: what the answer lacks is this many seconds old"),
        )),
        (status = 304, description = "Still as the client has it"),
        (status = 404, description = "The organisation has no such article", body = ProblemDocument, content_type = "application/problem+json"),
        Refused,
    ),
    security(("bearer" = []))
)]
pub async fn get_article(
    State(gate): State<Gate>,
    principal: Principal,
    Path(id): Path<Uuid>,
    wanted: PositionHeader,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    permissions::check(&principal, Action::ReadKnowledge)?;
    let stream = StreamId::new(Category::Feed, id);
    let wanted = read::header_position(&wanted)?;
    let mut entered = gate.enter(principal.tenant, FEED, &wanted, Some(stream)).await?;
    let found = gate.reads().guard(rows::whole(&mut entered.tx, id)).await?;
    let mut response = match found {
        // The same words, whether it is another's or nobody's.
        None => Problem::not_found("There is no such article.").into_response(),
        Some(article) => {
            let tag = etag(article.version);
            let mut response = match fresh::matches(&headers, &tag) {
                Some(true) => StatusCode::NOT_MODIFIED.into_response(),
                Some(false) | None => Json(article).into_response(),
            };
            response.headers_mut().insert(header::ETAG, tag);
            // Its own shard alone: the token must fit into a header however many shards there are.
            let shard = gate.installation().shard_of(stream);
            if let Ok(position) = HeaderValue::from_str(&Position::at(shard, entered.seen.get(shard)).to_string()) {
                response.headers_mut().insert(POSITION, position);
            }
            response
        }
    };
    fresh::show_age(response.headers_mut(), entered.lacks_since);
    Ok(response)
}
