//! `GET /api/v1/entities/{id}` shows an entity, `GET /api/v1/entities` those that a text finds.

use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use docket_domain::knowledge::view::EntityView;
use docket_platform::{
    Problem, ProblemDocument,
    auth::Principal,
    http::{Path, PositionHeader, Query, etag},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{check, enter, list, not_found, one, show_location, show_position};
use crate::{
    fresh,
    knowledge::{find::Find, rows},
    page::DEFAULT_PAGE,
    position::Gate,
};

/// Entities that were found.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntityList {
    /// The best first.
    entities: Vec<EntityView>,
}

/// What is looked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    text: String,
    r#type: Option<String>,
    limit: Option<i32>,
}

/// Shows an entity
///
/// One that was merged into another is answered with the entity that stands for it: `Content-Location` then says where that is, and the
/// answer is given whole, whatever the client has.
#[utoipa::path(
    get,
    path = "/api/v1/entities/{id}",
    operation_id = "get_entity",
    tag = "knowledge",
    params(
        ("id" = Uuid, Path, description = "The entity's id"),
        ("Docket-Position" = Option<String>, Header, description = "Wait until the answer is at least this new"),
        ("If-None-Match" = Option<String>, Header, description = "The versions already known, as answered in `ETag`"),
        ("If-Modified-Since" = Option<String>, Header, description = "What was answered in `Last-Modified`, where no version is named"),
    ),
    responses(
        (status = 200, description = "The entity", body = EntityView, headers(
            ("ETag" = String, description = "The version"),
            ("Last-Modified" = String, description = "When it last changed, unless that is seconds ago"),
            ("Content-Location" = String, description = "Only where another one stands for it: the path of the one that is shown"),
            ("Docket-Position" = String, description = "The answer is at least this new"),
            ("Docket-Age" = i64, description = "Only while the read model is behind: what the answer lacks is this many seconds old"),
        )),
        (status = 304, description = "Still as the client has it"),
        (status = 400, description = "`invalid_position`, `invalid_path` or `invalid_header`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`: the scopes of the API key do not allow it", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "The organisation has no such entity", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "`parked`: an event at or before the position could not be applied", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests: `rate_limited`, with `Retry-After`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`position_not_reached`, or the database is away", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn get_entity(
    State(gate): State<Gate>,
    principal: Principal,
    Path(id): Path<Uuid>,
    wanted: PositionHeader,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    check(&principal)?;
    let mut entered = enter(&gate, &principal, &wanted).await?;
    let found = async {
        let row = rows::standing(&mut entered.tx, &[id]).await?.remove(&id);
        row.map(rows::EntityRow::view).transpose()
    };
    let Some(entity) = gate.reads().guard(found).await? else { return Ok(not_found("entity", &entered)) };
    let (shown, tag) = (entity.id, etag(entity.version));
    let mut response = if shown == id {
        let modified = entity.updated_at.and_then(|changed| fresh::last_modified(changed, entered.lacks_since));
        one(entity, tag, modified, &headers)
    } else {
        // A version that the client has may be one of the entity that it names.
        let mut response = Json(entity).into_response();
        response.headers_mut().insert(axum::http::header::ETAG, tag);
        show_location(response.headers_mut(), id, shown, "");
        response
    };
    show_position(response.headers_mut(), &gate, &entered, &[id, shown]);
    Ok(response)
}

/// Finds entities
///
/// By the beginning of the name, by words of name and aliases, and by likeness. What was retracted is not found.
#[utoipa::path(
    get,
    path = "/api/v1/entities",
    operation_id = "search_entities",
    tag = "knowledge",
    params(
        ("text" = String, Query, description = "1 to 200 characters"),
        ("type" = Option<String>, Query, description = "Of this type alone"),
        ("limit" = Option<i32>, Query, description = "At most this many, up to 100; 20 if not given"),
        ("Docket-Position" = Option<String>, Header, description = "Wait until the answer is at least this new"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the same list as it is known"),
    ),
    responses(
        (status = 200, description = "What is found", body = EntityList, headers(
            ("ETag" = String, description = "What the list shows"),
            ("Docket-Age" = i64, description = "Only while the read model is behind: what the answer lacks is this many seconds old"),
        )),
        (status = 304, description = "Still as the client has it"),
        (status = 400, description = "`invalid_position`, `invalid_query`, `invalid_argument` or `invalid_header`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`: the scopes of the API key do not allow it", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "`parked`: an event at or before the position could not be applied", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests: `rate_limited`, with `Retry-After`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`position_not_reached`, or the database is away", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn search_entities(
    State(gate): State<Gate>,
    principal: Principal,
    Query(Wanted { text, r#type, limit }): Query<Wanted>,
    wanted: PositionHeader,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    check(&principal)?;
    let find = Find::new(&text, r#type, limit.unwrap_or(DEFAULT_PAGE))?;
    let mut entered = enter(&gate, &principal, &wanted).await?;
    let found = async {
        let rows = find.run(&mut entered.tx, principal.tenant).await?;
        rows.into_iter().map(rows::EntityRow::view).collect()
    };
    let entities = gate.reads().guard(found).await?;
    list(EntityList { entities }, &entered, &headers)
}
