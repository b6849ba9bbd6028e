//! `GET /api/v1/events`: what comes next, as lines or as an array, at once or when it comes.
//!
//! Owns the parameters, the forms of the answer, and the loop over looks that pages and streams share.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use chrono::{DateTime, Utc};
use docket_log::Position;
use docket_platform::{
    FieldError, Problem, ProblemDocument, Shutdown,
    auth::{
        Access, Authenticator,
        permissions::{self, Action},
    },
    clock,
    http::{
        PositionHeader, Query,
        headers::{AGE, POSITION},
    },
};
use serde::Deserialize;
use serde_json::json;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use utoipa::{OpenApi, ToSchema};
use uuid::Uuid;

use super::{
    filter::Filter,
    page, sse,
    told::{self, Listener, Page, Telling},
    watch::{Ear, Waker},
};
use crate::{
    age::age,
    position::Gate,
    read::{self, ReadError},
};

/// Events of a page, where nothing is said.
const USUAL: usize = 100;
/// Events of a page at most.
const MOST: usize = 1_000;
/// The longest that a client may wait.
const LONGEST_WAIT: u64 = 60;
/// For so long a page is looked for behind events that are not wanted. Then the client asks on, from where that ended.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the feed is read.
#[derive(Debug, Clone)]
pub struct Feeds {
    /// Where reads begin.
    pub gate: Gate,
    /// Wakes those who wait.
    pub waker: Waker,
    /// Ends streams and waits with the process.
    pub shutdown: Shutdown,
}

/// The route.
pub fn router(feeds: Feeds) -> Router {
    Router::new().route("/api/v1/events", get(list_events)).with_state(feeds)
}

/// The route, for the OpenAPI document.
#[derive(Debug, OpenApi)]
#[openapi(paths(list_events), components(schemas(CloudEvent, ProblemDocument)))]
pub struct Api;

/// An event, in the JSON form of CloudEvents 1.0.
#[derive(Debug, ToSchema)]
#[schema(example = example)]
#[allow(dead_code, reason = "it is the document's: events are written as they are read")]
pub struct CloudEvent {
    /// `1.0`.
    specversion: String,
    /// The event's id: the same wherever and whenever it is told.
    id: Uuid,
    /// `/docket`.
    source: String,
    /// What happened: `docket.consultation.responded.v1`, in the newest version of the type.
    r#type: String,
    /// The stream that it stands in: `consultation-<id>`, `knowledge-<id>` or `identity-<id>`.
    subject: String,
    /// When it happened.
    time: DateTime<Utc>,
    /// `application/json`.
    datacontenttype: String,
    /// The shard of the log.
    shard: u16,
    /// Its place in the shard. Numbers of other organisations' events lie between.
    sequence: String,
    /// Its place in the stream, from 1 and without gaps.
    streamversion: String,
    /// The organisation.
    tenant: Uuid,
    /// When it was journalled.
    recordedtime: DateTime<Utc>,
    /// Who commanded it; absent: the clock.
    principal: Option<Uuid>,
    /// From which session, for those who may read the trail.
    session: Option<Uuid>,
    /// `X-Correlation-ID` of the request that set it off.
    correlationid: Option<String>,
    /// The request or event that directly caused it.
    causationid: Option<String>,
    /// The W3C trace context of the command.
    traceparent: Option<String>,
    /// Present, and true, where it is history from elsewhere.
    imported: Option<bool>,
    /// The position behind it: `since` for what comes next.
    position: String,
    /// The signed receipt of the outcome, where it is one: a JWS (RFC 7515).
    receipt: Option<String>,
    /// What happened, as `/schemas/events/<type>.json` describes it, but for what belongs to people: that is in clear here, or null with
    /// `"erased": true` beside it.
    data: serde_json::Value,
}

fn example() -> serde_json::Value {
    json!({
        "specversion": "1.0", "id": "01990000-0000-7000-8000-00000000000e", "source": "/docket",
        "type": "docket.consultation.responded.v1", "subject": "consultation-01990000-0000-7000-8000-00000000000c",
        "time": "2026-06-01T12:00:00.000000Z", "datacontenttype": "application/json", "shard": 3, "sequence": "41",
        "streamversion": "2", "tenant": "01990000-0000-7000-8000-00000000000a", "recordedtime": "2026-06-01T12:00:00.004000Z",
        "principal": "01990000-0000-7000-8000-000000000002", "position": "AqsfIpxAUW53AgMBKQ",
        "data": {
            "decision": "approve", "by": { "id": "01990000-0000-7000-8000-000000000002", "name": "Ada" }, "rule": "any_one",
            "request_version": 1, "agreed": ["01990000-0000-7000-8000-000000000002"],
        },
    })
}

/// What is asked for, as it stands in the query string.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    since: Option<String>,
    types: Option<String>,
    limit: Option<usize>,
    wait: Option<u64>,
}

fn wrong(name: &'static str, detail: impl Into<String>) -> Problem {
    Problem::bad_request("invalid_query", "The query string cannot be used.").with_error(FieldError::coded(
        name,
        "invalid_value",
        detail.into(),
    ))
}

/// Where to go on from.
#[derive(Debug)]
enum Since {
    Beginning,
    Now,
    At(Position),
}

impl Since {
    fn new(field: &'static str, text: Option<&str>, installation: Uuid) -> Result<Self, Problem> {
        let foreign =
            |_| {
                let detail =
                    "Use a position of this installation's feed as it came, or `now`; leave it out for all events.";
                Problem::bad_request("invalid_position", "This is no position of this feed.")
                    .with_error(FieldError::coded(field, "invalid_value", detail))
            };
        match text {
            None => Ok(Self::Beginning),
            Some("now" | "latest") => Ok(Self::Now),
            Some(text) => Position::from_marked(text, installation).map(Self::At).map_err(foreign),
        }
    }
}

/// The forms of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Lines,
    Batch,
    Json,
    Stream,
}

impl Form {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Lines => "application/x-ndjson",
            Self::Batch => "application/cloudevents-batch+json; charset=utf-8",
            Self::Json => "application/json",
            Self::Stream => "text/event-stream",
        }
    }

    /// The first that is accepted; who says nothing gets lines.
    fn accepted(headers: &HeaderMap) -> Result<Self, Problem> {
        if crate::graphql::sse::is_asked_for(headers) {
            return Ok(Self::Stream);
        }
        let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut kinds = values
            .flat_map(|value| value.split(','))
            .map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
        if !headers.contains_key(header::ACCEPT) {
            return Ok(Self::Lines);
        }
        let form = kinds.find_map(|kind| match kind.as_str() {
            "application/cloudevents-batch+json" => Some(Self::Batch),
            "application/json" => Some(Self::Json),
            "application/x-ndjson" | "application/*" | "*/*" => Some(Self::Lines),
            _ => None,
        });
        form.ok_or_else(|| {
            Problem::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable").with_detail(
                "Events come as application/x-ndjson, application/cloudevents-batch+json, application/json, or text/event-stream.",
            )
        })
    }

    fn body(self, page: &Page) -> String {
        let lines = page.events.iter().map(|(line, _)| line.as_str());
        match self {
            Self::Lines => lines.flat_map(|line| [line, "\n"]).collect(),
            Self::Batch | Self::Json | Self::Stream => format!("[{}]", lines.collect::<Vec<_>>().join(",\n")),
        }
    }
}

/// Tells what happened, event by event
///
/// The organisation's own events behind the position `since`, each once per reader and in the order of its stream: those of consultations, and
/// for administrators those of members, groups, sessions and keys too. Keep `Docket-Position` of the answer, or `position` of the last event
/// that was dealt with, and send it as `since` of the next request; it stays good for ever. With `wait` an answer that would be empty comes when
/// there is something, or after so many seconds. With `Accept: text/event-stream` the answer goes on until the token ends: the `id` of each
/// event is the position behind it, and `Last-Event-ID` resumes there.
#[utoipa::path(
    get,
    path = "/api/v1/events",
    operation_id = "list_events",
    tag = "events",
    params(
        ("since" = Option<String>, Query, description = "The position to go on from; `now`: none that were before; not given: all events from the first on"),
        ("types" = Option<String>, Query, description = "Events of these names alone, separated by commas: `consultation.responded`, or `consultation.*` for all of a category. The position goes over the others", example = "consultation.responded,consultation.timed_out,consultation.withdrawn"),
        ("limit" = Option<u32>, Query, description = "At most this many, up to 1000; 100 if not given"),
        ("wait" = Option<u64>, Query, description = "Where there is nothing, wait for it, so many seconds at most: up to 60"),
        ("Last-Event-ID" = Option<String>, Header, description = "In place of `since`, for a stream that is taken up again"),
        ("Docket-Position" = Option<String>, Header, description = "Wait until the answer is at least this new"),
    ),
    responses(
        (status = 200, description = "The next events, and perhaps none", content(
            (String = "application/x-ndjson"),
            (Vec<CloudEvent> = "application/cloudevents-batch+json"),
            (Vec<CloudEvent> = "application/json"),
            (String = "text/event-stream"),
        ), headers(
            ("Docket-Position" = String, description = "The position behind the answer: `since` for what comes next"),
            ("Docket-Age" = i64, description = "Only while the feed is behind: what the answer lacks is this many seconds old"),
        )),
        (status = 400, description = "`invalid_position`: of another installation, or none; `invalid_query` or `invalid_header`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No valid token, or it ended while waiting", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "`forbidden`: the role or the scopes of the API key do not allow to see these events", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 406, description = "`not_acceptable`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "`parked`: an event at or before `Docket-Position` could not be applied", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests: `rate_limited`, with `Retry-After`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "`position_not_reached`, `newer_release`, or the database is away", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
async fn list_events(
    State(feeds): State<Feeds>,
    Extension(authenticator): Extension<Arc<Authenticator>>,
    access: Access,
    Query(asked): Query<Asked>,
    wanted: PositionHeader,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let filter = Filter::new(&access.principal, asked.types.as_deref())?;
    let form = Form::accepted(&headers)?;
    let limit = asked.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(wrong("limit", format!("Must be from 1 to {MOST}.")));
    }
    let wait = asked.wait.unwrap_or(0);
    if wait > LONGEST_WAIT {
        return Err(wrong("wait", format!("Must be from 0 to {LONGEST_WAIT}.")));
    }
    let installation = feeds.gate.installation().id;
    let resumed = headers.get("last-event-id").and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
    let since = match resumed.filter(|_| form == Form::Stream) {
        Some(id) => Since::new("Last-Event-ID", Some(id), installation)?,
        None => Since::new("since", asked.since.as_deref(), installation)?,
    };
    let insisted = read::header_position(&wanted)?;
    // Before the first look, so that nothing comes between a look and the wait.
    let ear = feeds.waker.listen(access.principal.tenant);
    let reader = Reader::new(feeds, &access, filter, since, insisted, ear, limit).await?;
    if form == Form::Stream {
        return Ok(sse::respond(reader, access, authenticator));
    }
    wait_for_page(reader, &access, &authenticator, Duration::from_secs(wait)).await.map(|(page, since)| {
        let mut response = ([(header::CONTENT_TYPE, form.media_type())], form.body(&page)).into_response();
        show(response.headers_mut(), &page.position, installation, since);
        response
    })
}

/// The next page that is not empty, or what there is at the end of the wait; and since when it lacks something.
async fn wait_for_page(
    mut reader: Reader,
    access: &Access,
    authenticator: &Authenticator,
    wait: Duration,
) -> Result<(Page, Option<DateTime<Utc>>), Problem> {
    let until = Instant::now() + wait;
    let shutdown = reader.shutdown().clone();
    loop {
        let page = reader.next().await?;
        if !page.events.is_empty() || Instant::now() >= until {
            return Ok((page, reader.lacks_since));
        }
        tokio::select! {
            () = reader.news() => {}
            () = tokio::time::sleep_until(until) => return Ok((page, reader.lacks_since)),
            () = shutdown.cancelled() => return Ok((page, reader.lacks_since)),
            () = authenticator.revocations().ended(access) => {
                return Err(Problem::unauthorized("token_revoked", "The session has ended, or the right has changed."));
            }
        }
    }
}

/// Says where an answer ends, and how old it is unless it is new.
pub(super) fn show(
    headers: &mut HeaderMap,
    position: &Position,
    installation: Uuid,
    lacks_since: Option<DateTime<Utc>>,
) {
    if let Ok(position) = HeaderValue::from_str(&position.marked(installation)) {
        headers.insert(POSITION, position);
    }
    if let Some(age) = age(lacks_since, clock::now()) {
        headers.insert(AGE, age.into());
    }
}

/// Somebody who reads the feed on.
pub(super) struct Reader {
    feeds: Feeds,
    listener: Listener,
    filter: Filter,
    ear: Ear,
    limit: usize,
    /// What the first page must have reached: the cursor, and what the request insists on.
    wanted: Position,
    /// Everything up to here was told or passed over.
    pub(super) cursor: Position,
    /// Since when the last page lacks something.
    pub(super) lacks_since: Option<DateTime<Utc>>,
    /// Held by those who were woken, until they have read.
    turn: Option<OwnedSemaphorePermit>,
}

impl Reader {
    async fn new(
        feeds: Feeds,
        access: &Access,
        filter: Filter,
        since: Since,
        insisted: Position,
        ear: Ear,
        limit: usize,
    ) -> Result<Self, ReadError> {
        let principal = &access.principal;
        let listener = Listener {
            tenant: principal.tenant,
            installation: feeds.gate.installation().id,
            with_session: permissions::allows(principal, Action::ReadAudit),
        };
        let cursor = match since {
            Since::Beginning => Position::default(),
            Since::At(position) => position,
            Since::Now => {
                let mut entered = feeds.gate.enter_all(listener.tenant, &filter.sources(), &insisted, None).await?;
                feeds.gate.reads().guard(page::end(&mut entered, &filter)).await?.0
            }
        };
        let mut wanted = insisted;
        wanted.join(&cursor);
        Ok(Self { feeds, listener, filter, ear, limit, wanted, cursor, lacks_since: None, turn: None })
    }

    /// The installation that positions are of.
    pub(super) fn installation(&self) -> Uuid {
        self.listener.installation
    }

    /// Whether the process ends.
    pub(super) fn shutdown(&self) -> &Shutdown {
        &self.feeds.shutdown
    }

    /// What comes next, without waiting for it; the cursor moves on.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub(super) async fn next(&mut self) -> Result<Page, ReadError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let (page, has_more) = self.look().await?;
            self.cursor = page.position.clone();
            if !page.events.is_empty() || !has_more || Instant::now() >= until {
                self.turn = None;
                return Ok(page);
            }
        }
    }

    async fn look(&mut self) -> Result<(Page, bool), ReadError> {
        let Self { feeds: Feeds { gate, .. }, listener, filter, cursor, .. } = self;
        let keys = gate.reads().receipts().keys().await?;
        let mut entered = gate.enter_all(listener.tenant, &filter.sources(), &self.wanted, None).await?;
        let found = page::find(&mut entered, listener.tenant, filter, cursor, self.limit);
        let found = gate.reads().guard(found).await?;
        self.lacks_since = [entered.lacks_since, found.parked_since].into_iter().flatten().min();
        let (page, found) =
            told::tell(gate.reads(), &mut entered, &Telling { listener: *listener, keys: &keys }, found, cursor)
                .await?;
        let has_more = found.has_more(&page.position);
        Ok((page, has_more))
    }

    /// Comes back when there may be something new, and it is this reader's turn to look.
    pub(super) async fn news(&mut self) {
        self.ear.heard().await;
        self.turn = self.feeds.gate.turn().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_what_is_accepted_first() {
        let form = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, value.parse().unwrap());
            Form::accepted(&headers).map_err(|problem| problem.code())
        };
        assert_eq!(Form::accepted(&HeaderMap::new()).unwrap(), Form::Lines);
        assert_eq!(form("*/*"), Ok(Form::Lines));
        assert_eq!(form("application/json, application/x-ndjson"), Ok(Form::Json));
        assert_eq!(form("text/html, application/CloudEvents-Batch+JSON; q=0.5"), Ok(Form::Batch));
        assert_eq!(form("application/json, text/event-stream"), Ok(Form::Stream));
        assert_eq!(form("text/html"), Err("not_acceptable"));
    }
}
