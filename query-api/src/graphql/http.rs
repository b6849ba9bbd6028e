//! GraphQL over HTTP: POST and GET on `/graphql`, and the schema at `/schema.graphql`.
//!
//! Owns status, media types and what each method may carry. Without a valid token nothing is read, not even the body.

use std::sync::Arc;

use async_graphql::{Response as Answer, ServerError, parser::types::OperationType};
use axum::{
    Extension, Router,
    body::Body as HttpBody,
    extract::{FromRequest, Request, State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use docket_log::Position;
use docket_platform::{
    Problem, Shutdown,
    auth::{Access, Authenticator},
    http::{Json, PositionHeader, Query, RequestContext},
    rate_limit::Charge,
};
use serde::Deserialize;

use super::{Body, Engine, error, sse, websocket};
use crate::read;

/// The media type of every answer that is GraphQL's.
const GRAPHQL_JSON: &str = "application/graphql-response+json; charset=utf-8";

/// Where GraphQL requests come in.
#[derive(Clone)]
pub struct Door {
    /// Executes them.
    pub engine: Engine,
    /// Tells who asks.
    pub authenticator: Arc<Authenticator>,
    /// Foreign web origins that may open a WebSocket.
    pub allowed_origins: Arc<[String]>,
    /// How long a WebSocket may take to say who it is.
    pub init_timeout: std::time::Duration,
    /// Ends WebSockets with the process.
    pub shutdown: Shutdown,
}

/// The routes of GraphQL.
pub fn router(door: Door) -> Router {
    Router::new()
        .route("/graphql", get(by_get).post(by_post))
        .route("/schema.graphql", get(show_schema))
        .with_state(door)
}

async fn show_schema() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], super::sdl())
}

#[derive(Debug, Deserialize)]
struct Parameters {
    query: Option<String>,
    #[serde(rename = "operationName")]
    operation_name: Option<String>,
    variables: Option<String>,
}

impl Parameters {
    fn body(self) -> Result<Body, ServerError> {
        let variables = self.variables.filter(|text| !text.is_empty());
        let variables = variables
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|_| error::refusal(error::BAD_REQUEST, "The parameter variables is not a JSON object.", None))?;
        Ok(Body { query: self.query, operation_name: self.operation_name, variables })
    }
}

async fn by_get(
    State(door): State<Door>,
    (upgrade, charge): (Result<WebSocketUpgrade, WebSocketUpgradeRejection>, Option<Extension<Charge>>),
    access: Result<Access, Problem>,
    wanted: Result<PositionHeader, Problem>,
    parameters: Result<Query<Parameters>, Problem>,
    context: RequestContext,
    headers: HeaderMap,
) -> Response {
    let wants_upgrade = headers.get(header::UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
    match upgrade {
        Ok(upgrade) => {
            let limiter = charge.map(|Extension(charge)| charge.limiter().clone());
            return websocket::open(door, limiter, upgrade, &headers, context);
        }
        Err(rejection) if wants_upgrade => return rejection.into_response(),
        Err(_) => {}
    }
    let access = match access {
        Ok(access) => access,
        Err(problem) => return problem.into_response(),
    };
    let body = parameters.map_err(unreadable).and_then(|Query(parameters)| parameters.body());
    answer(&door, access, wanted, body, &headers).await
}

async fn by_post(
    State(door): State<Door>,
    access: Access,
    wanted: Result<PositionHeader, Problem>,
    request: Request,
) -> Response {
    let headers = request.headers().clone();
    let body = match Json::<Body>::from_request(request, &()).await {
        Ok(body) => Ok(body.value),
        Err(problem) => match problem.status() {
            // About the transport, not about GraphQL.
            StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::PAYLOAD_TOO_LARGE => return problem.into_response(),
            _ => Err(unreadable(problem)),
        },
    };
    answer(&door, access, wanted, body, &headers).await
}

/// A body or query string that is no GraphQL request.
fn unreadable(problem: Problem) -> ServerError {
    let detail = problem.detail().unwrap_or("The request cannot be read.");
    let message = match problem.errors().first() {
        Some(field) => format!("{detail} {}: {}", field.field, field.detail),
        None => detail.to_owned(),
    };
    error::refusal(error::BAD_REQUEST, message, None)
}

async fn answer(
    door: &Door,
    access: Access,
    wanted: Result<PositionHeader, Problem>,
    body: Result<Body, ServerError>,
    headers: &HeaderMap,
) -> Response {
    let refused = |error: ServerError| respond(&Answer::from_errors(vec![error]));
    let wanted = match insisted_on(wanted) {
        Ok(wanted) => wanted,
        Err(error) => return refused(error),
    };
    let prepared = match body.and_then(|body| door.engine.prepare(body)) {
        Ok(prepared) => prepared,
        Err(error) => return refused(error),
    };
    if sse::is_asked_for(headers) {
        let answers = door.engine.stream(prepared, access.principal, wanted);
        return sse::respond(answers, access, door.authenticator.revocations().clone());
    }
    if prepared.kind == OperationType::Subscription {
        let message = "A subscription needs a WebSocket, or Accept: text/event-stream.";
        return refused(error::refusal(error::BAD_REQUEST, message, None));
    }
    respond(&door.engine.run(prepared, access.principal, wanted).await)
}

fn insisted_on(header: Result<PositionHeader, Problem>) -> Result<Position, ServerError> {
    header.map_err(|problem| error::refusal("INVALID_POSITION", problem.detail().unwrap_or_default(), None)).and_then(
        |header| {
            read::header_position(&header).map_err(|error| {
                let mut error = error::from_read(error).into_server_error(async_graphql::Pos::default());
                error.locations.clear();
                error
            })
        },
    )
}

fn respond(answer: &Answer) -> Response {
    let status = error::status(answer);
    // A request error has no data at all, an executed request has data even if it is null.
    let json = if error::is_request_error(answer) {
        serde_json::to_vec(&serde_json::json!({ "errors": answer.errors }))
    } else {
        serde_json::to_vec(answer)
    };
    let Ok(json) = json else { return Problem::internal("an answer has no JSON form").into_response() };
    let mut response = Response::new(HttpBody::from(json));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(GRAPHQL_JSON));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
