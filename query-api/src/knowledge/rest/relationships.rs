//! `GET /api/v1/entities/{id}/relationships` lists those of an entity, `GET /api/v1/relationships/{id}` shows one.

use std::collections::HashMap;

use axum::{extract::State, http::HeaderMap, response::Response};
use docket_domain::knowledge::view::RelationshipView;
use docket_platform::{
    Problem, ProblemDocument,
    auth::Principal,
    http::{Path, PositionHeader, Query, etag},
};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{check, enter, list, not_found, one, show_location, show_position};
use crate::{
    fresh,
    knowledge::{Direction, entity::kind, rows},
    page::{Cursor, Page},
    position::Gate,
};

/// What an entity is called.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EntityName {
    /// Its id.
    id: Uuid,
    /// What kind of thing it is.
    r#type: String,
    /// What it is called.
    name: String,
}

/// A relationship with what stands at its ends.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListedRelationship {
    /// The relationship.
    #[serde(flatten)]
    relationship: RelationshipView,
    /// The entity that it leads from now; null as long as the read model has not heard of it.
    source_entity: Option<EntityName>,
    /// The entity that it leads to now; null as long as the read model has not heard of it.
    target_entity: Option<EntityName>,
}

/// A page of relationships.
#[derive(Debug, Serialize, ToSchema)]
pub struct RelationshipList {
    /// The last added first.
    relationships: Vec<ListedRelationship>,
    /// What `after` is for the next page; null: there is none.
    next: Option<String>,
}

/// Which relationships.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    r#type: Option<String>,
    #[serde(default)]
    direction: Direction,
    limit: Option<i32>,
    after: Option<String>,
}

async fn with_names(
    connection: &mut PgConnection,
    rows: Vec<rows::RelationshipRow>,
) -> Result<Vec<ListedRelationship>, sqlx::Error> {
    let ids: Vec<Uuid> = rows.iter().flat_map(|row| [row.source_id, row.target_id]).collect();
    let names: HashMap<Uuid, EntityName> = rows::standing(connection, &ids)
        .await?
        .into_iter()
        .map(|(end, row)| (end, EntityName { id: row.id, r#type: row.r#type, name: row.name }))
        .collect();
    let listed = rows.into_iter().map(|row| {
        let [source_entity, target_entity] = [row.source_id, row.target_id].map(|end| names.get(&end).cloned());
        Ok(ListedRelationship { relationship: row.view()?, source_entity, target_entity })
    });
    listed.collect()
}

/// Lists the relationships of an entity
///
/// Of one that was merged into another, those of the entity that stands for it: `Content-Location` then says where they are. What was
/// retracted, or leads to what was, is not listed. Follow `next` until it is null.
#[utoipa::path(
    get,
    path = "/api/v1/entities/{id}/relationships",
    operation_id = "list_relationships",
    tag = "knowledge",
    params(
        ("id" = Uuid, Path, description = "The entity's id"),
        ("type" = Option<String>, Query, description = "Of this type alone"),
        ("direction" = Option<String>, Query, description = "`outgoing` (if not given): those that lead from it; `incoming`: those that lead to it; `both`"),
        ("limit" = Option<i32>, Query, description = "At most this many, up to 100; 20 if not given"),
        ("after" = Option<String>, Query, description = "Behind this place: `next` of the page before"),
        ("Docket-Position" = Option<String>, Header, description = "Wait until the answer is at least this new"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the same page as it is known"),
    ),
    responses(
        (status = 200, description = "A page", body = RelationshipList, headers(
            ("ETag" = String, description = "What the page shows"),
            ("Content-Location" = String, description = "Only where another one stands for the entity: the path of what is shown"),
            ("Docket-Age" = i64, description = "Only while the read model is behind: what the answer lacks is this many seconds old"),
        )),
        (status = 304, description = "Still as the client has it"),
        (status = 400, description = "`invalid_position`, `invalid_path`, `invalid_query`, `invalid_argument` or `invalid_header`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`: the scopes of the API key do not allow it", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "The organisation has no such entity", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "`parked`: an event at or before the position could not be applied", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests: `rate_limited`, with `Retry-After`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`position_not_reached`, or the database is away", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn list_relationships(
    State(gate): State<Gate>,
    principal: Principal,
    Path(id): Path<Uuid>,
    Query(Wanted { r#type, direction, limit, after }): Query<Wanted>,
    wanted: PositionHeader,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    check(&principal)?;
    kind(r#type.as_deref())?;
    let page = Page::limited(limit, after.as_deref())?;
    let mut entered = enter(&gate, &principal, &wanted).await?;
    let found = async {
        let tx = &mut entered.tx;
        let Some(entity) = rows::standing(tx, &[id]).await?.remove(&id) else { return Ok(None) };
        let rows = rows::relationships(tx, entity.id, r#type.as_deref(), direction, page.after, page.limit()).await?;
        let (rows, next) = page.cut(rows, |row| Cursor { at: row.added_at, id: row.id });
        Ok(Some((entity.id, RelationshipList { relationships: with_names(tx, rows).await?, next })))
    };
    let found = gate.reads().guard(found).await?;
    let Some((shown, page)) = found else { return Ok(not_found("entity", &entered)) };
    let mut response = list(page, &entered, &headers)?;
    show_location(response.headers_mut(), id, shown, "/relationships");
    Ok(response)
}

/// Shows a relationship
///
/// Its ends are the entities that it was added with; `GET /api/v1/entities/{id}` shows what stands for them by now.
#[utoipa::path(
    get,
    path = "/api/v1/relationships/{id}",
    operation_id = "get_relationship",
    tag = "knowledge",
    params(
        ("id" = Uuid, Path, description = "The relationship's id"),
        ("Docket-Position" = Option<String>, Header, description = "Wait until the answer is at least this new"),
        ("If-None-Match" = Option<String>, Header, description = "The versions already known, as answered in `ETag`"),
        ("If-Modified-Since" = Option<String>, Header, description = "What was answered in `Last-Modified`, where no version is named"),
    ),
    responses(
        (status = 200, description = "The relationship", body = RelationshipView, headers(
            ("ETag" = String, description = "The version"),
            ("Last-Modified" = String, description = "When it last changed, unless that is seconds ago"),
            ("Docket-Position" = String, description = "The answer is at least this new"),
            ("Docket-Age" = i64, description = "Only while the read model is behind: what the answer lacks is this many seconds old"),
        )),
        (status = 304, description = "Still as the client has it"),
        (status = 400, description = "`invalid_position`, `invalid_path` or `invalid_header`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`: the scopes of the API key do not allow it", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "The organisation has no such relationship", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "`parked`: an event at or before the position could not be applied", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests: `rate_limited`, with `Retry-After`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`position_not_reached`, or the database is away", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(super) async fn get_relationship(
    State(gate): State<Gate>,
    principal: Principal,
    Path(id): Path<Uuid>,
    wanted: PositionHeader,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    check(&principal)?;
    let mut entered = enter(&gate, &principal, &wanted).await?;
    let found = async {
        let row = rows::relationships_by_id(&mut entered.tx, &[id]).await?.pop();
        row.map(rows::RelationshipRow::view).transpose()
    };
    let found = gate.reads().guard(found).await?;
    let Some(relationship) = found else { return Ok(not_found("relationship", &entered)) };
    let modified = relationship.updated_at.and_then(|changed| fresh::last_modified(changed, entered.lacks_since));
    let tag = etag(relationship.version);
    let mut response = one(relationship, tag, modified, &headers);
    show_position(response.headers_mut(), &gate, &entered, &[id]);
    Ok(response)
}
