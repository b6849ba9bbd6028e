//! `/api/v1/templates/{name}`: requests that the organisation has prepared.

use axum::{http::StatusCode, response::Response};
use chrono::{DateTime, Utc};
use docket_domain::{
    Decided,
    identity::Refusal,
    template::{self, SetTemplate, Template, retire_template, set_template},
};
use docket_events::{Category, StreamId, identity::IdentityEvent};
use docket_log::{Accepted, CommandContext, ExecuteError, Statuses};
use docket_platform::{
    breaker::BreakerError,
    http::{Json, Path},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Manage, error::RouteError};
use crate::{
    consultation,
    envelope::Envelope,
    openapi::{CommandHeaders, ManageProblems, ManageWithBodyProblems},
    run,
    state::State,
};

/// What a template is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SetTemplateRequest, example = json!({
    "request": {
        "title": "Release {{version}} of {{service}}?",
        "body": "See [the changes](https://git.example.org/{{service}}/compare/{{version}}).",
        "labels": ["release", "{{service}}"],
        "timeout_minutes": "{{minutes}}"
    },
    "values": {
        "properties": {"version": {"type": "string", "pattern": "^[0-9]+[.][0-9]+$"}, "minutes": {"type": "integer", "default": 60}}
    }
}))]
pub(super) struct Request {
    /// A request as it would be asked, but for `supersedes`, with `{{value}}` wherever a value of the asker goes. A text that is nothing
    /// else becomes the value, whatever its type; `\{{` stands for the characters themselves.
    #[schema(value_type = Object)]
    request: Map<String, Value>,
    /// A JSON Schema (2020-12) that the values, as one object, satisfy; what has a `default` among its `properties` need not be given.
    values: Option<Value>,
}

/// A template.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Template)]
pub(super) struct TemplateView {
    /// What askers call it.
    #[schema(example = "release")]
    name: String,
    /// Its version, by which askers can name it, and its `ETag`. Versions rise; not every number is one.
    #[schema(example = 1)]
    version: u64,
    /// The request, with `{{value}}` where values go.
    #[schema(value_type = Object)]
    request: Map<String, Value>,
    /// The JSON Schema that the values satisfy; null: any will do.
    values: Option<Value>,
    /// Who set it.
    set_by: Option<Uuid>,
    /// When.
    set_at: Option<DateTime<Utc>>,
    /// Whether it is retired: nothing can be asked with it.
    retired: bool,
}

impl TemplateView {
    fn of(state: Template) -> Option<Self> {
        let Template { name, request, values, set_by, set_at, retired, version } = state;
        Some(Self { name: name?, version, request, values, set_by, set_at, retired })
    }
}

/// Decides and journals on a template, however far the relay is behind: they are few.
async fn run(
    state: &State,
    context: &CommandContext,
    name: &str,
    decide: impl FnMut(&Template, DateTime<Utc>) -> Decided<IdentityEvent, Refusal>,
) -> Result<Response, RouteError> {
    let stream = StreamId::new(Category::Identity, template::stream_of(context.tenant, name));
    let Accepted { state, version, position, status, .. } = match run::journal(state, context, stream, decide).await {
        Ok(accepted) => accepted,
        // No version of what does not exist can match. It reads like any other that is not there.
        Err(run::NotDone::Failed(BreakerError::Failed(ExecuteError::VersionMismatch { actual: 0 }))) => {
            return Err(RouteError::NoSuchTemplate);
        }
        Err(run::NotDone::Refused(Refusal::NotFound)) => return Err(RouteError::NoSuchTemplate),
        Err(error) => return Err(error.into()),
    };
    let view = TemplateView::of(state).ok_or(RouteError::Nothing)?;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    Ok(run::answer(status, &view, version, &position, None))
}

/// Set a template
///
/// From now on askers can send its name and values in place of a whole request; those who name an older version get that.
/// For administrators.
#[utoipa::path(
    put, path = "/api/v1/templates/{name}", operation_id = "set_template", tag = "organisation", request_body = Request,
    params(("name" = String, Path, description = "What askers call it: lower-case letters, digits, dots, hyphens and underscores"), CommandHeaders),
    responses((status = OK, description = "The template", body = TemplateView), ManageWithBodyProblems),
)]
pub(super) async fn set(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Manage>,
    Path(name): Path<String>,
    Json { value: Request { request, values }, hash }: Json<Request>,
) -> Result<Response, RouteError> {
    consultation::check_template(&request).map_err(RouteError::Unread)?;
    let command = SetTemplate { name: name.clone(), request, values, set_by: envelope.principal.id };
    let context = envelope.context(hash, Statuses::default());
    run(&state, &context, &name, |template, _| set_template(template, &command)).await
}

/// Retire a template
///
/// Nothing can be asked with it any more, in any version, until it is set again. What was asked stays. For administrators.
#[utoipa::path(
    delete, path = "/api/v1/templates/{name}", operation_id = "retire_template", tag = "organisation",
    params(("name" = String, Path, description = "The template"), CommandHeaders),
    responses((status = OK, description = "The template after its end", body = TemplateView), ManageProblems),
)]
pub(super) async fn retire(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Manage>,
    Path(name): Path<String>,
) -> Result<Response, RouteError> {
    let by = envelope.principal.id;
    run(&state, &envelope.context_of_nothing(), &name, |template, _| retire_template(template, by)).await
}
