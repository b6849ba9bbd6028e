//! `GET /api/v1/user/engagement` and `GET /api/v1/engagement/{item_id}`.

use axum::{Router, extract::State, response::Response, routing::get};
use docket_platform::{
    Problem,
    auth::{
        Principal,
        permissions::{self, Action},
    },
    clock,
    http::{Path, PositionHeader, Query},
};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};
use uuid::Uuid;

use super::rows::{self, Engagement, ItemEngagement};
use crate::{
    fresh::answer,
    page::{Page, Paged},
    position::{ENGAGEMENT, Gate},
    read,
    refused::Refused,
};

/// The reads of this feature, for the OpenAPI document.
#[derive(Debug, OpenApi)]
#[openapi(paths(list_engagement, get_item_engagement))]
pub struct Api;

/// The routes.
pub fn router(gate: Gate) -> Router {
    Router::new()
        .route("/api/v1/user/engagement", get(list_engagement))
        .route("/api/v1/engagement/{item_id}", get(get_item_engagement))
        .with_state(gate)
}

/// A page of what a reader did.
#[derive(Debug, Serialize, ToSchema)]
pub struct EngagementList {
    /// The last first.
    engagement: Vec<Engagement>,
    /// What `after` is for the next page; null: there is none.
    next: Option<String>,
}

/// Lists what whoever asks did
///
/// With articles and entities, the last first.
#[utoipa::path(
    get,
    path = "/api/v1/user/engagement",
    operation_id = "list_engagement",
    tag = "engagement",
    params(
        ("limit" = Option<i32>, Query, description = "At most this many, up to 100; 20 if not given"),
        ("after" = Option<String>, Query, description = "Behind this place: `next` of the page before"),
        ("Docket-Position" = Option<String>, Header, description = "Wait until the answer is at least this new"),
    ),
    responses((status = 200, description = "A page", body = EngagementList), Refused),
    security(("bearer" = []))
)]
pub async fn list_engagement(
    State(gate): State<Gate>,
    principal: Principal,
    Query(Paged { limit, after }): Query<Paged>,
    wanted: PositionHeader,
) -> Result<Response, Problem> {
    permissions::check(&principal, Action::Engage)?;
    let page = Page::named("limit", limit, after.as_deref())?;
    let mut entered = gate.enter(principal.tenant, ENGAGEMENT, &read::header_position(&wanted)?, None).await?;
    let reader = (principal.tenant, principal.id);
    let rows = gate.reads().guard(rows::history(&mut entered.tx, reader, page.after, page.limit())).await?;
    let (engagement, next) = page.cut(rows, Engagement::place);
    Ok(answer(EngagementList { engagement, next }, entered.lacks_since))
}

/// Of which days counters are told.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Days {
    days: Option<i32>,
}

/// Counts what readers did with an item
///
/// An article or an entity, ever and by day in UTC. Of what nobody did anything with, every counter is 0.
#[utoipa::path(
    get,
    path = "/api/v1/engagement/{item_id}",
    operation_id = "get_item_engagement",
    tag = "engagement",
    params(
        ("item_id" = Uuid, Path, description = "The id of an article or an entity"),
        ("days" = Option<i32>, Query, description = "The last so many days, today among them, up to 366; 30 if not given"),
        ("Docket-Position" = Option<String>, Header, description = "Wait until the answer is at least this new"),
    ),
    responses((status = 200, description = "The counters", body = ItemEngagement), Refused),
    security(("bearer" = []))
)]
pub async fn get_item_engagement(
    State(gate): State<Gate>,
    principal: Principal,
    Path(item_id): Path<Uuid>,
    Query(Days { days }): Query<Days>,
    wanted: PositionHeader,
) -> Result<Response, Problem> {
    permissions::check(&principal, Action::ReadKnowledge)?;
    let days = rows::days(days.unwrap_or(30))?;
    let tenant = principal.tenant;
    let mut entered = gate.enter(tenant, ENGAGEMENT, &read::header_position(&wanted)?, None).await?;
    let counters = rows::counters(&mut entered.tx, tenant, item_id, days, clock::now());
    Ok(answer(gate.reads().guard(counters).await?, entered.lacks_since))
}
