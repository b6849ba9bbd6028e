//! Requests that are made from a template of the organisation: `template` of `POST /api/v1/consultations`.
//!
//! Owns how values and a template become a request like any other. What the asker says besides stands in place of what the template says.

use docket_domain::{
    identity::Refusal,
    template::{self, Template},
};
use docket_events::{Category, StreamId};
use docket_platform::{FieldError, Problem, http::json};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{ask, error::RouteError};
use crate::{auth::session::load, state::State};

const FIELD: &str = "template";

/// A template of the organisation, and what is put into it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TemplateRequest, example = json!({"name": "release", "values": {"version": "4.2"}}))]
pub(super) struct Used {
    /// What the template is called.
    pub(super) name: String,
    /// Which version of it; the newest if not given.
    pub(super) version: Option<u64>,
    /// A value for each of its places.
    #[serde(default)]
    values: Map<String, Value>,
}

/// The request as it would be asked without a template.
pub(super) async fn fill(state: &State, tenant: Uuid, body: Value) -> Result<ask::Request, RouteError> {
    let Value::Object(mut asked) = body else { return Ok(json::read(body)?) };
    let Some(used) = asked.remove(FIELD).filter(|used| !used.is_null()) else { return Ok(json::read(asked.into())?) };
    let mut used: Used = json::read(used).map_err(|problem| within(FIELD, &problem))?;
    let (template, version) = find(state, tenant, &used).await?;
    let filled = template::render(&template, &used.values).map_err(|refusal| match refusal {
        Refusal::Invalid { field, reason } => RouteError::wrong(field, reason),
        other => RouteError::wrong(FIELD, other.to_string()),
    })?;
    let mut request: ask::Request = json::read(filled.into_iter().chain(asked).collect())?;
    used.version = Some(version);
    request.template = Some(used);
    Ok(request)
}

async fn find(state: &State, tenant: Uuid, used: &Used) -> Result<(Template, u64), RouteError> {
    let wrong = |reason: &str| Err(RouteError::wrong(FIELD, reason));
    let id = template::stream_of(tenant, &used.name);
    let newest: Template = load(state, id).await?;
    let template = match used.version {
        Some(version) if version < newest.version => {
            let stream = StreamId::new(Category::Identity, id);
            let load = async { Ok(state.store.load_at(stream.id, stream.category, version).await?.state) };
            state.guarded(load).await?
        }
        Some(_) | None => newest.clone(),
    };
    if newest.name.is_none() {
        return wrong("is none of the organisation's");
    }
    if newest.retired {
        return wrong("is retired");
    }
    if template.retired || used.version.is_some_and(|version| version != template.version) {
        return wrong("has no such version");
    }
    let version = template.version;
    Ok((template, version))
}

/// Refuses what cannot be the request of a template: a field that no request has, or of another kind where no value of an asker stands.
pub(crate) fn check(request: &Map<String, Value>) -> Result<(), Problem> {
    for (field, part) in request {
        let mut alone = Map::from_iter([("title".to_owned(), json!("title"))]);
        alone.insert(field.clone(), part.clone());
        let Err(problem) = json::read::<ask::Request>(alone.into()) else { continue };
        let is_unknown = problem.errors().iter().any(|error| error.code.as_deref() == Some("unknown_field"));
        if is_unknown || !template::has_places(part) {
            return Err(within("request", &problem));
        }
    }
    Ok(())
}

/// The same of a part of the request.
fn within(part: &str, problem: &Problem) -> Problem {
    let path = |error: &FieldError| match error.field.as_str() {
        "$" => part.to_owned(),
        field => format!("{part}.{field}"),
    };
    let errors = problem.errors().iter().map(|error| FieldError { field: path(error), ..error.clone() });
    Problem::validation(errors.collect())
}
