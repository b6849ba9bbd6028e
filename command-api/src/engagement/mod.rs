//! `POST /api/v1/engagement`: what a reader did with articles and entities, one thing or up to a thousand in a call.
//!
//! Owns how a call becomes one event, in a stream that the call's batch id names: a call that is repeated finds it there. It must not count.

use std::collections::BTreeSet;

use axum::{
    Json as Answer,
    http::{HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use docket_domain::engagement::{Batch, MAX_ITEMS, Refusal, batch_stream, record};
use docket_events::{
    Category, StreamId,
    engagement::{Action as Deed, Engaged, Item},
};
use docket_log::{Accepted, Statuses};
use docket_platform::{
    Problem,
    auth::permissions::Action,
    http::{Json, headers::POSITION, json},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    envelope::{Envelope, Needs},
    error::sentence,
    existing::{self, Kind},
    openapi::{CommandHeaders, FeedProblems},
    route_error::{self, Refused},
    run,
    state::State,
};

type RouteError = route_error::RouteError<Refusal>;

/// Whoever may say what they read.
struct Tell;

impl Needs for Tell {
    const ACTION: Action = Action::Engage;
}

impl Refused for Refusal {
    fn problem(self) -> Problem {
        let code = self.code();
        match self {
            Refusal::Items(reason) => crate::error::invalid("items", &reason),
            Refusal::BatchTaken => Problem::conflict(code, sentence(&self.to_string())),
        }
    }
}

/// The routes of this folder.
pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(tell))
}

/// One thing that was done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EngagementItem, example = json!({
    "id": "01990000-0000-7000-8000-000000000001", "action": "view", "article_id": "01990000-0000-7000-8000-0000000000a1"
}))]
struct ItemRequest {
    /// An id that you make. However often it is told, in whatever calls, it counts once.
    id: Uuid,
    /// What was done: `view`, `click`, `save`, `share` or `dwell`.
    #[schema(value_type = String)]
    action: Deed,
    /// The article that it was done with.
    article_id: Option<Uuid>,
    /// The entity that it was done with, in place of an article.
    entity_id: Option<Uuid>,
    /// For how long, in milliseconds, up to a day; of a `dwell`.
    dwell_ms: Option<u32>,
    /// The consultation that was being considered.
    consultation_id: Option<Uuid>,
    /// When, at most 30 days ago; now, if not given.
    at: Option<DateTime<Utc>>,
}

impl ItemRequest {
    fn engaged(self, index: usize) -> Result<Engaged, RouteError> {
        let item = match (self.article_id, self.entity_id) {
            (Some(id), None) => Item::Article(id),
            (None, Some(id)) => Item::Entity(id),
            _ => {
                let reason = format!("cannot be taken: item {index} must name either an article or an entity");
                return Err(Refusal::Items(reason).into());
            }
        };
        let Self { id, action, dwell_ms, consultation_id, at, .. } = self;
        Ok(Engaged { id, action, item, at, dwell_ms, consultation_id })
    }
}

/// Many things that were done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EngagementRequest)]
struct ManyRequest {
    /// A name of your own for this call, at most 200 characters. Without it, the ids of the items are its name.
    batch_id: Option<String>,
    /// 1 to 1,000 things that were done.
    #[schema(value_type = Vec<ItemRequest>)]
    items: Vec<Value>,
}

/// What was taken.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EngagementAnswer)]
struct Taken {
    /// So many things. Those that were told before count once none the less.
    accepted: usize,
}

/// Say what one did with articles and entities
///
/// One thing, or up to 1,000 as `{"items": […]}`: all of them are taken, or none. A call may be repeated until it is answered: things count
/// once by their ids, and what is answered with 202 is never lost.
#[utoipa::path(
    post, path = "/api/v1/engagement", operation_id = "tell_engagement", tag = "engagement", request_body = ManyRequest,
    params(CommandHeaders),
    responses((status = ACCEPTED, description = "Taken", body = Taken), FeedProblems),
)]
async fn tell(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Tell>,
    Json { value, hash }: Json<Value>,
) -> Result<Response, RouteError> {
    let (tenant, user) = (envelope.principal.tenant, envelope.principal.id);
    let (batch_id, items) = read(value)?;
    let stream = StreamId::new(Category::Engagement, batch_stream(tenant, user, &batch_id));
    let context = envelope.context(hash, Statuses { changed: 202, unchanged: 202 });
    if !run::has_room(&state, &context).await? {
        return Err(RouteError::Backlog);
    }
    all_exist(&state, tenant, &items).await?;
    let decide = |batch: &Batch, now| record(batch, user, &items, now);
    let Accepted { position, .. } = run::journal(&state, &context, stream, decide).await?;
    let mut response = (StatusCode::ACCEPTED, Answer(Taken { accepted: items.len() })).into_response();
    if let Ok(position) = HeaderValue::from_str(&position.to_string()) {
        response.headers_mut().insert(POSITION, position);
    }
    Ok(response)
}

/// The name of the call, and what was done.
fn read(value: Value) -> Result<(String, Vec<Engaged>), RouteError> {
    let ManyRequest { batch_id, items } = match value.get("items") {
        Some(_) => json::read(value)?,
        None => ManyRequest { batch_id: None, items: vec![value] },
    };
    if items.len() > MAX_ITEMS {
        return Err(Refusal::Items(format!("must be 1 to {MAX_ITEMS}")).into());
    }
    if batch_id.as_ref().is_some_and(|name| name.is_empty() || name.len() > 200) {
        return Err(RouteError::wrong("batch_id", "must have 1 to 200 characters"));
    }
    let one = |(index, item)| json::read::<ItemRequest>(item)?.engaged(index);
    let items = items.into_iter().enumerate().map(one).collect::<Result<Vec<_>, RouteError>>()?;
    let named_by_ids = || {
        let ids: Vec<u8> = items.iter().flat_map(|item| *item.id.as_bytes()).collect();
        format!("ids:{}", Uuid::new_v5(&Uuid::nil(), &ids))
    };
    let name = batch_id.map_or_else(named_by_ids, |name| format!("own:{name}"));
    Ok((name, items))
}

/// Refuses what is not there to be read.
async fn all_exist(state: &State, tenant: Uuid, items: &[Engaged]) -> Result<(), RouteError> {
    let of_item = |wanted: &'static str| {
        items.iter().filter(move |engaged| engaged.item.kind() == wanted).map(|engaged| engaged.item.id())
    };
    let consultations = items.iter().filter_map(|engaged| engaged.consultation_id);
    exist(state, tenant, existing::ARTICLES, "articles", of_item("article").collect()).await?;
    exist(state, tenant, existing::ENTITIES, "entities", of_item("entity").collect()).await?;
    exist(state, tenant, existing::CONSULTATIONS, "consultations", consultations.collect()).await
}

async fn exist(state: &State, tenant: Uuid, kind: Kind, what: &str, ids: BTreeSet<Uuid>) -> Result<(), RouteError> {
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let there = state.guarded_query(existing::among(state.store.pool(), tenant, kind, &ids)).await?;
    match ids.iter().find(|id| !there.contains(id)) {
        None => Ok(()),
        Some(id) => {
            let reason = format!("cannot be taken: {id} is none of the organisation's {what}");
            Err(Refusal::Items(reason).into())
        }
    }
}
