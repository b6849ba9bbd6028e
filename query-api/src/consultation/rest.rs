//! `GET /api/v1/consultations/{id}`: a consultation with its history. Owns the route's headers and refusals.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use docket_domain::consultation::view::ConsultationDetail;
use docket_events::{Category, StreamId};
use docket_log::Position;
use docket_platform::{
    Problem, ProblemDocument,
    auth::{
        Principal,
        permissions::{self, Action},
    },
    clock,
    http::{
        Path, PositionHeader, etag,
        headers::{AGE, POSITION},
    },
};
use utoipa::OpenApi;
use uuid::Uuid;

use super::rows;
use crate::{
    age::age,
    position::{CONSULTATION, Gate},
    read,
};

/// The reads of this feature, for the OpenAPI document.
#[derive(Debug, OpenApi)]
#[openapi(paths(get_consultation), components(schemas(ConsultationDetail, ProblemDocument)))]
pub struct Api;

/// Shows a consultation with its history
#[utoipa::path(
    get,
    path = "/api/v1/consultations/{id}",
    operation_id = "get_consultation",
    tag = "consultations",
    params(
        ("id" = Uuid, Path, description = "The consultation's id"),
        ("Docket-Position" = Option<String>, Header, description = "Wait until the answer is at least this new"),
        ("If-None-Match" = Option<String>, Header, description = "The versions already known, as answered in `ETag`"),
    ),
    responses(
        (status = 200, description = "The consultation", body = ConsultationDetail, headers(
            ("ETag" = String, description = "The version"),
            ("Docket-Position" = String, description = "The answer is at least this new"),
            ("Docket-Age" = i64, description = "Only while the read model is behind: what the answer lacks is this many seconds old"),
        )),
        (status = 304, description = "Still the version named in `If-None-Match`"),
        (status = 400, description = "`invalid_position`, `invalid_path` or `invalid_header`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`: the scopes of the API key do not allow it", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "The organisation has no such consultation", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "`parked`: an event at or before the position could not be applied", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests: `rate_limited`, with `Retry-After`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`position_not_reached`, or the database is away", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn get_consultation(
    State(gate): State<Gate>,
    principal: Principal,
    Path(id): Path<Uuid>,
    wanted: PositionHeader,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    permissions::check(&principal, Action::Read)?;
    let wanted = read::header_position(&wanted)?;
    let stream = StreamId::new(Category::Consultation, id);
    let mut entered = gate.enter(principal.tenant, CONSULTATION, &wanted, Some(stream)).await?;
    let found = gate.reads().guard(rows::by_id(&mut entered.tx, id)).await?;
    // The same words, whether it is another's or nobody's.
    let Some(consultation) = found else {
        let mut response = Problem::not_found("There is no such consultation.").into_response();
        show_age(response.headers_mut(), entered.lacks_since);
        return Ok(response);
    };
    let shard = gate.installation().shard_of(stream);
    let tag = etag(consultation.version);
    let known = is_known(&headers, &tag);
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let history = gate.reads().guard(rows::histories(&mut entered.tx, &[id])).await?.remove(&id);
        let votes = gate.reads().guard(rows::votes(&mut entered.tx, &[id])).await?.remove(&id).unwrap_or_default();
        Json(ConsultationDetail { consultation, votes, history: history.unwrap_or_default() }).into_response()
    };
    // Its own shard alone: the token must fit into a header however many shards there are.
    let position = Position::at(shard, entered.seen.get(shard)).to_string();
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag);
    if let Ok(position) = HeaderValue::from_str(&position) {
        headers.insert(POSITION, position);
    }
    show_age(headers, entered.lacks_since);
    Ok(response)
}

/// Says how old the answer is, unless it is new.
fn show_age(headers: &mut HeaderMap, lacks_since: Option<DateTime<Utc>>) {
    if let Some(age) = age(lacks_since, clock::now()) {
        headers.insert(AGE, age.into());
    }
}

/// Whether `If-None-Match` names this version; weakly compared, as RFC 9110 has it for reads.
fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = tags.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_version_is_recognised_however_it_is_listed() {
        let known = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, value.parse().unwrap());
            is_known(&headers, &etag(7))
        };
        for value in ["\"7\"", "W/\"7\"", "\"6\", \"7\"", "*"] {
            assert!(known(value), "{value}");
        }
        for value in ["7", "\"77\"", "\"6\"", ""] {
            assert!(!known(value), "{value}");
        }
    }
}
