//! `GET /api/v1/consultations/{id}`: a consultation with its history, at once or when it has changed.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use docket_domain::consultation::view::{ConsultationDetail, ConsultationView};
use docket_events::{Category, StreamId};
use docket_log::Position;
use docket_platform::{
    Problem, ProblemDocument,
    auth::{
        Access, Authenticator,
        permissions::{self, Action},
    },
    http::{Path, PositionHeader, Query, etag, headers::POSITION},
};
use serde::Deserialize;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    changes::Hub,
    consultation::{Consultations, rows},
    fresh,
    position::{CONSULTATION, Entered, Gate},
    read,
};

/// The longest that a client may wait.
const LONGEST_WAIT: u64 = 60;

/// How long to wait.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    wait: Option<u64>,
}

/// Shows a consultation with its history
///
/// With `wait` the answer comes when the consultation has another version than those in `If-None-Match`, or, where none are named, when it
/// is pending no more; at the latest after so many seconds, as it then stands.
#[utoipa::path(
    get,
    path = "/api/v1/consultations/{id}",
    operation_id = "get_consultation",
    tag = "consultations",
    params(
        ("id" = Uuid, Path, description = "The consultation's id"),
        ("wait" = Option<u64>, Query, description = "Wait for a change, so many seconds at most: 1 to 60"),
        ("Docket-Position" = Option<String>, Header, description = "Wait until the answer is at least this new"),
        ("If-None-Match" = Option<String>, Header, description = "The versions already known, as answered in `ETag`"),
        ("If-Modified-Since" = Option<String>, Header, description = "What was answered in `Last-Modified`, where no version is named"),
    ),
    responses(
        (status = 200, description = "The consultation", body = ConsultationDetail, headers(
            ("ETag" = String, description = "The version"),
            ("Last-Modified" = String, description = "When it last changed, unless that is seconds ago"),
            ("Docket-Position" = String, description = "The answer is at least this new"),
            ("Docket-Age" = i64, description = "Only while the read model is behind: what the answer lacks is this many seconds old"),
        )),
        (status = 304, description = "Still as the client has it"),
        (status = 400, description = "`invalid_position`, `invalid_path`, `invalid_query` or `invalid_header`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`: the scopes of the API key do not allow it", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "The organisation has no such consultation", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "`parked`: an event at or before the position could not be applied", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests: `rate_limited`, with `Retry-After`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`position_not_reached`, or the database is away", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
#[allow(clippy::too_many_arguments, reason = "each is a part of the request")]
pub async fn get_consultation(
    State(gate): State<Gate>,
    Extension(hub): Extension<Arc<Hub<Consultations>>>,
    Extension(authenticator): Extension<Arc<Authenticator>>,
    access: Access,
    Path(id): Path<Uuid>,
    Query(Wait { wait }): Query<Wait>,
    wanted: PositionHeader,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let principal = &access.principal;
    permissions::check(principal, Action::Read)?;
    let wait = wait.map(duration).transpose()?;
    let until = wait.map(|wait| Instant::now() + wait);
    let wanted = read::header_position(&wanted)?;
    let stream = StreamId::new(Category::Consultation, id);
    // Before the first look, so that nothing changes between a look and the wait.
    let mut watch = match wait {
        Some(_) => Some(hub.watch(principal.tenant).await),
        None => None,
    };
    let mut turn = None;
    loop {
        let keys = gate.reads().receipts().keys().await?;
        let mut entered = gate.enter(principal.tenant, CONSULTATION, &wanted, Some(stream)).await?;
        let found = gate.reads().guard(rows::by_id(&mut entered.tx, id)).await?;
        // The same words, whether it is another's or nobody's.
        let Some(mut consultation) = found else {
            let mut response = Problem::not_found("There is no such consultation.").into_response();
            fresh::show_age(response.headers_mut(), entered.lacks_since);
            return Ok(response);
        };
        consultation.sign(|receipt| keys.sign(principal.tenant, receipt.iat, receipt))?;
        let (Some(watch), Some(until)) = (&mut watch, until) else {
            return show(&gate, entered, consultation, &headers).await;
        };
        if has_changed(&headers, &consultation) || Instant::now() >= until {
            return show(&gate, entered, consultation, &headers).await;
        }
        // Nothing of the database is held while nothing happens.
        drop((entered, turn));
        // Nor does anybody whose position is still to come keep others from theirs: turns are for those who have been here.
        turn = tokio::select! {
            () = watch.changed(id) => gate.turn().await,
            () = tokio::time::sleep_until(until) => None,
            () = authenticator.revocations().ended(&access) => {
                return Err(Problem::unauthorized("token_revoked", "The session has ended, or the right has changed."));
            }
        }
    }
}

fn duration(seconds: u64) -> Result<Duration, Problem> {
    if (1..=LONGEST_WAIT).contains(&seconds) {
        return Ok(Duration::from_secs(seconds));
    }
    let reason = format!("Must be from 1 to {LONGEST_WAIT}.");
    Err(Problem::bad_request("invalid_query", "The query string cannot be used.")
        .with_error(docket_platform::FieldError::coded("wait", "invalid_value", reason)))
}

/// Whether it is what the client waits for.
fn has_changed(headers: &HeaderMap, consultation: &ConsultationView) -> bool {
    match fresh::matches(headers, &etag(consultation.version)) {
        Some(is_known) => !is_known,
        None => consultation.state != docket_domain::consultation::State::Pending,
    }
}

async fn show(
    gate: &Gate,
    mut entered: Entered,
    consultation: ConsultationView,
    known: &HeaderMap,
) -> Result<Response, Problem> {
    let id = consultation.id;
    let shard = gate.installation().shard_of(StreamId::new(Category::Consultation, id));
    let tag = etag(consultation.version);
    let modified: Option<DateTime<Utc>> = fresh::last_modified(consultation.updated_at, entered.lacks_since);
    let is_known = fresh::matches(known, &tag).unwrap_or_else(|| fresh::is_since(known, modified));
    let mut response = if is_known {
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
    fresh::show_modified(headers, modified);
    fresh::show_age(headers, entered.lacks_since);
    Ok(response)
}
