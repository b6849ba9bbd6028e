//! `GET /api/v1/feed` and `GET /api/v1/feed/trending`.

use axum::{extract::State, response::Response};
use docket_platform::{
    Problem,
    auth::{
        Principal,
        permissions::{self, Action},
    },
    clock,
    http::{PositionHeader, Query},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::PagedBy;
use crate::{
    engagement::ItemKind,
    feed::{
        Article,
        personal::{self, Asked, FeedItem},
        trending::{self, TrendingItem},
    },
    fresh::answer,
    page::{DEFAULT_PAGE, limit},
    position::{ENGAGEMENT, FEED, Gate, KNOWLEDGE},
    read::{self, ReadError},
    refused::Refused,
};

/// A page of a reader's feed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Feed {
    /// The highest score first.
    items: Vec<FeedItem>,
    /// What `after` is for the next page; null: there is none.
    next: Option<String>,
    /// Whether there are more articles than the 5,000 newest, which are ranked.
    cut: bool,
}

/// Shows the articles that are for whoever asks
///
/// By how much they care for its topics, its quality, how much it matters, how new it is, and whether they saw it already. Pages fit
/// together: what is added and what is read meanwhile changes nothing about them. Follow `next` until it is null.
#[utoipa::path(
    get,
    path = "/api/v1/feed",
    operation_id = "get_feed",
    tag = "feed",
    params(
        ("topic" = Option<String>, Query, description = "About this topic, or one that is a part of it"),
        ("limit" = Option<i32>, Query, description = "At most this many, up to 100; 20 if not given"),
        ("after" = Option<String>, Query, description = "Behind this place: `next` of the page before, of the same topic"),
        ("Docket-Position" = Option<String>, Header, description = "Wait until the answer is at least this new"),
    ),
    responses((status = 200, description = "A page", body = Feed), Refused),
    security(("bearer" = []))
)]
pub async fn get_feed(
    State(gate): State<Gate>,
    principal: Principal,
    Query(PagedBy { limit, after, topic }): Query<PagedBy>,
    wanted: PositionHeader,
) -> Result<Response, Problem> {
    permissions::check(&principal, Action::ReadKnowledge)?;
    let asked = Asked::new("limit", limit, after.as_deref(), topic)?;
    let wanted = read::header_position(&wanted)?;
    let mut entered = gate.enter_all(principal.tenant, &[FEED, ENGAGEMENT], &wanted, None).await?;
    let page = Box::pin(personal::page(&mut entered, (principal.tenant, principal.id), &asked));
    let page = gate.reads().guard(page).await?;
    let next = page.items.last().filter(|_| page.more).map(|item| item.cursor.clone());
    Ok(answer(Feed { items: page.items, next, cut: page.cut }, entered.lacks_since))
}

/// An entity in short.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntitySummary {
    /// Its id.
    id: Uuid,
    /// What kind of thing it is.
    r#type: String,
    /// What it is called.
    name: String,
}

/// Something that is talked of.
#[derive(Debug, Serialize, ToSchema)]
pub struct Talked {
    /// How much: a view at this moment is 1.
    score: f64,
    /// What it is.
    kind: ItemKind,
    /// The article, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    article: Option<Article>,
    /// The entity, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    entity: Option<EntitySummary>,
}

impl From<TrendingItem> for Talked {
    fn from(item: TrendingItem) -> Self {
        let TrendingItem { score, kind, article, entity } = item;
        let entity = entity.map(|entity| EntitySummary { id: entity.id, r#type: entity.r#type, name: entity.name });
        Self { score, kind, article, entity }
    }
}

/// What is talked of.
#[derive(Debug, Serialize, ToSchema)]
pub struct Trending {
    /// The most first.
    items: Vec<Talked>,
}

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    limit: Option<i32>,
    kind: Option<String>,
}

/// Shows what is talked of
///
/// Articles and entities by what readers did with them: it counts half as much after every day.
#[utoipa::path(
    get,
    path = "/api/v1/feed/trending",
    operation_id = "get_trending",
    tag = "feed",
    params(
        ("kind" = Option<String>, Query, description = "`article` or `entity`; both if not given"),
        ("limit" = Option<i32>, Query, description = "At most this many, up to 100; 20 if not given"),
        ("Docket-Position" = Option<String>, Header, description = "Wait until the answer is at least this new"),
    ),
    responses((status = 200, description = "What is talked of most", body = Trending), Refused),
    security(("bearer" = []))
)]
pub async fn get_trending(
    State(gate): State<Gate>,
    principal: Principal,
    Query(asked): Query<Wanted>,
    wanted: PositionHeader,
) -> Result<Response, Problem> {
    permissions::check(&principal, Action::ReadKnowledge)?;
    let limit = limit(asked.limit.unwrap_or(DEFAULT_PAGE))?;
    let kind = asked
        .kind
        .as_deref()
        .map(|name| ItemKind::of(name).ok_or_else(|| ReadError::argument("kind", "use `article` or `entity`.")));
    let kind = kind.transpose()?;
    let wanted = read::header_position(&wanted)?;
    let mut entered = gate.enter_all(principal.tenant, &[ENGAGEMENT, FEED, KNOWLEDGE], &wanted, None).await?;
    let items = trending::trending(&mut entered.tx, principal.tenant, kind, clock::now(), limit as i64);
    let items = gate.reads().guard(items).await?;
    Ok(answer(Trending { items: items.into_iter().map(Talked::from).collect() }, entered.lacks_since))
}
