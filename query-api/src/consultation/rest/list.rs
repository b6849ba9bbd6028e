//! `GET /api/v1/consultations`: lists, filtered and in an order, page by page.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use docket_domain::consultation::{self, view::ConsultationView};
use docket_events::consultation::Priority;
use docket_platform::{
    FieldError, Problem, ProblemDocument,
    auth::{
        Principal,
        permissions::{self, Action},
    },
    http::{PositionHeader, Query},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    consultation::{
        filter::{Filter, Part, Reviewer, Sort},
        rows,
    },
    fresh,
    page::Page,
    position::{CONSULTATION, Gate},
    read,
};

/// A page of consultations.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConsultationList {
    /// In the order that was asked for.
    consultations: Vec<ConsultationView>,
    /// What `after` is for the next page; null: there is none.
    next: Option<String>,
}

/// What is asked for, as it stands in the query string; lists are separated by commas.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    state: Option<String>,
    label: Option<String>,
    reviewer: Option<String>,
    requested_by: Option<Uuid>,
    external_id: Option<String>,
    priority: Option<String>,
    inbox: Option<bool>,
    unclaimed: Option<bool>,
    updated_after: Option<DateTime<Utc>>,
    due_before: Option<DateTime<Utc>>,
    q: Option<String>,
    sort: Option<String>,
    first: Option<i32>,
    after: Option<String>,
}

fn wrong(name: &'static str, detail: impl Into<String>) -> Problem {
    Problem::bad_request("invalid_query", "The query string cannot be used.").with_error(FieldError::coded(
        name,
        "invalid_value",
        detail.into(),
    ))
}

/// A word of the contract, such as `pending`.
fn word<T: DeserializeOwned>(name: &'static str, text: &str) -> Result<T, Problem> {
    serde_json::from_value(Value::from(text)).map_err(|_| wrong(name, format!("`{text}` is none of its values.")))
}

fn parts(text: Option<&str>) -> impl Iterator<Item = &str> {
    text.into_iter().flat_map(|text| text.split(',')).map(str::trim).filter(|part| !part.is_empty())
}

impl Wanted {
    fn filter(&self, principal: &Principal) -> Result<Filter, Problem> {
        let mut states: Vec<consultation::State> = Vec::new();
        for text in parts(self.state.as_deref()) {
            let state = word("state", text)?;
            if !states.contains(&state) {
                states.push(state);
            }
        }
        let reviewer = match self.reviewer.as_deref() {
            Some("me") => Some(principal.id),
            Some(text) => Some(text.parse().map_err(|_| wrong("reviewer", "Must be a UUID, or `me`."))?),
            None => None,
        };
        let filter = Filter {
            states,
            labels: parts(self.label.as_deref()).map(str::to_owned).collect(),
            reviewer,
            requested_by: self.requested_by,
            external_id: self.external_id.clone(),
            priority: self.priority.as_deref().map(|text| word::<Priority>("priority", text)).transpose()?,
            inbox: self.inbox.unwrap_or(false).then_some(Reviewer { id: principal.id, role: principal.role }),
            unclaimed: self.unclaimed.unwrap_or(false),
            updated_after: self.updated_after,
            due_before: self.due_before,
            requested_after: None,
            requested_before: None,
            text: self.q.clone(),
        };
        filter.check().map_err(|(part, detail)| {
            let name = match part {
                Part::ExternalId => "external_id",
                Part::Labels => "label",
                Part::Text => "q",
            };
            wrong(name, format!("It {detail}."))
        })?;
        Ok(filter)
    }

    fn sort(&self) -> Result<Sort, Problem> {
        match self.sort.as_deref() {
            None | Some("newest") => Ok(Sort::Newest),
            Some("updated") => Ok(Sort::Updated),
            Some("due") => Ok(Sort::Due),
            Some(_) => Err(wrong("sort", "Must be `newest`, `updated` or `due`.")),
        }
    }
}

/// Lists consultations
///
/// All that is given must hold. Follow `next` until it is null.
#[utoipa::path(
    get,
    path = "/api/v1/consultations",
    operation_id = "list_consultations",
    tag = "consultations",
    params(
        ("state" = Option<String>, Query, description = "In one of these states, separated by commas"),
        ("label" = Option<String>, Query, description = "With all of these labels, separated by commas"),
        ("reviewer" = Option<String>, Query, description = "That this user is named to answer, or has in hand; `me` is whoever asks"),
        ("requested_by" = Option<Uuid>, Query, description = "Asked by this user or key"),
        ("external_id" = Option<String>, Query, description = "With this name given by the asker"),
        ("priority" = Option<String>, Query, description = "Of this priority or a higher one"),
        ("inbox" = Option<bool>, Query, description = "Those alone that wait for an answer of whoever asks: by name, by group, by role, or as any reviewer"),
        ("unclaimed" = Option<bool>, Query, description = "In nobody's hands"),
        ("updated_after" = Option<String>, Query, description = "Changed after this instant"),
        ("due_before" = Option<String>, Query, description = "Due before this instant"),
        ("q" = Option<String>, Query, description = "With these words in title, body or external id: a word of three letters or more is found by its beginning, `\"several words\"` stand together, `or` stands between alternatives, and `-word` must not be there"),
        ("sort" = Option<String>, Query, description = "`newest` (if not given), `updated`, or `due`"),
        ("first" = Option<i32>, Query, description = "At most this many, up to 100; 20 if not given"),
        ("after" = Option<String>, Query, description = "Behind this place: `next` of the page before, in the same order"),
        ("Docket-Position" = Option<String>, Header, description = "Wait until the answer is at least this new"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the same page as it is known"),
        ("If-Modified-Since" = Option<String>, Header, description = "What was answered in `Last-Modified`, where no tag is named"),
    ),
    responses(
        (status = 200, description = "A page", body = ConsultationList, headers(
            ("ETag" = String, description = "What the page shows"),
            ("Last-Modified" = String, description = "When a consultation of the organisation last changed, unless that is seconds ago"),
            ("Docket-Age" = i64, description = "Only while the read model is behind: what the answer lacks is this many seconds old"),
        )),
        (status = 304, description = "Still as the client has it"),
        (status = 400, description = "`invalid_position`, `invalid_path`, `invalid_query` or `invalid_header`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`: the scopes of the API key do not allow it", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "`parked`: an event at or before the position could not be applied", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests: `rate_limited`, with `Retry-After`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`position_not_reached`, or the database is away", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub async fn list_consultations(
    State(gate): State<Gate>,
    principal: Principal,
    Query(asked): Query<Wanted>,
    wanted: PositionHeader,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    permissions::check(&principal, Action::Read)?;
    let (filter, sort) = (asked.filter(&principal)?, asked.sort()?);
    let page = Page::new(asked.first, asked.after.as_deref())?;
    let wanted = read::header_position(&wanted)?;
    let keys = gate.reads().receipts().keys().await?;
    let mut entered = gate.enter(principal.tenant, CONSULTATION, &wanted, None).await?;
    let last = gate.reads().guard(rows::last_change(&mut entered.tx)).await?;
    let modified = last.and_then(|last| fresh::last_modified(last, entered.lacks_since));
    let mut response = if !headers.contains_key(header::IF_NONE_MATCH) && fresh::is_since(&headers, modified) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let found = rows::page(&mut entered.tx, principal.tenant, &filter, sort, page.after, page.limit());
        let (mut consultations, next) = page.cut(gate.reads().guard(found).await?, |view| sort.place(view));
        let tag = tag(&consultations, next.as_deref());
        let is_known = fresh::matches(&headers, &tag) == Some(true);
        let mut response = match is_known {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => {
                for consultation in &mut consultations {
                    consultation.sign(|receipt| keys.sign(principal.tenant, receipt.iat, receipt))?;
                }
                Json(ConsultationList { consultations, next }).into_response()
            }
        };
        response.headers_mut().insert(header::ETAG, tag);
        response
    };
    fresh::show_modified(response.headers_mut(), modified);
    fresh::show_age(response.headers_mut(), entered.lacks_since);
    Ok(response)
}

/// What a page shows: which consultations, and in which version each.
fn tag(consultations: &[ConsultationView], next: Option<&str>) -> HeaderValue {
    let mut shown = Vec::new();
    for consultation in consultations {
        shown.extend(consultation.id.as_bytes());
        shown.extend(consultation.version.to_be_bytes());
    }
    shown.extend(next.unwrap_or_default().as_bytes());
    fresh::tag_of(shown)
}
