//! The work on the way to a decision: `claim`, `release`, `assign`, `delegate`, and questions to the asker with their answers.

use axum::response::Response;
use docket_domain::{
    consultation::{self, Standing, view::ConsultationView},
    identity::Organisation,
};
use docket_events::consultation::Person;
use docket_log::{CommandContext, Statuses};
use docket_platform::{
    auth::permissions::Action,
    http::{Json, Path},
};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{error::RouteError, run, terms};
use crate::{
    auth::session::load,
    envelope::{Envelope, Needs, made_id},
    openapi::{CommandHeaders, CommandProblems},
    state::State,
};

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(claim))
        .routes(routes!(release))
        .routes(routes!(assign))
        .routes(routes!(delegate))
        .routes(routes!(ask_back))
        .routes(routes!(answer_back))
}

struct Answers;

impl Needs for Answers {
    const ACTION: Action = Action::Respond;
}

struct Directs;

impl Needs for Directs {
    const ACTION: Action = Action::Direct;
}

/// To whom.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = HandOverRequest)]
struct HandOver {
    /// A member who may answer consultations.
    to: Uuid,
}

/// What is asked, or answered.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = InformationRequest, example = json!({"text": "Which index does the migration add?"}))]
struct Information {
    /// 1 to 10,000 characters, not all of them blank.
    text: String,
}

/// Why a consultation is not given to somebody, unless it was, by this very command; of one that is not there nothing else is said.
async fn not_given(
    state: &State,
    context: &CommandContext,
    id: Uuid,
    error: RouteError,
) -> Result<Response, RouteError> {
    let is_repeated = match &context.idempotency {
        Some(key) => {
            let answered = async { Ok(state.store.answered(key.id).await?.is_some()) };
            state.guarded(answered).await?
        }
        None => false,
    };
    if is_repeated {
        return Ok(run::as_before(state, context, id, error).await?.ok());
    }
    run::run(state, &run::for_another(context), id, consultation::Expire.into()).await?;
    Err(error)
}

/// A member as events name them, and what they are in the organisation.
async fn member(state: &State, tenant: Uuid, user: Uuid) -> Result<(Person, Standing), RouteError> {
    let organisation: Organisation = load(state, tenant).await?;
    terms::members("to", &[user], &organisation)?;
    let name = state.guarded(state.people.name(user)).await?;
    let name = name.ok_or_else(|| RouteError::wrong("to", "must be a member of the organisation"))?;
    let standing = Standing {
        groups: run::groups_of(&organisation, user),
        role: organisation.members.get(&user).map(|member| member.role),
        is_admin: false,
    };
    Ok((Person::named(user, &*name), standing))
}

/// Claim a consultation
///
/// Takes it upon oneself. Where one vote decides, nobody else answers until it is released.
#[utoipa::path(
    post, path = "/api/v1/consultations/{id}/claim", operation_id = "claim", tag = "consultations",
    params(("id" = Uuid, Path, description = "The consultation"), CommandHeaders),
    responses((status = OK, description = "The consultation in one's own hands", body = ConsultationView), CommandProblems),
)]
async fn claim(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Answers>,
    Path(id): Path<Uuid>,
) -> Result<Response, RouteError> {
    let by = run::person(&state, &envelope).await?;
    let context = envelope.context_of_nothing();
    let command = |standing| consultation::Claim { by: by.clone(), standing }.into();
    let done = run::in_standing(&state, &envelope.principal, &context, id, command);
    Ok(done.await?.ok())
}

/// Release a consultation
///
/// Lets others have it again: by whoever has it, who asked, or an administrator.
#[utoipa::path(
    post, path = "/api/v1/consultations/{id}/release", operation_id = "release", tag = "consultations",
    params(("id" = Uuid, Path, description = "The consultation"), CommandHeaders),
    responses((status = OK, description = "The consultation in nobody's hands", body = ConsultationView), CommandProblems),
)]
async fn release(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Directs>,
    Path(id): Path<Uuid>,
) -> Result<Response, RouteError> {
    let by = run::person(&state, &envelope).await?;
    let context = envelope.context_of_nothing();
    let command = |standing| consultation::Release { by: by.clone(), standing }.into();
    let done = run::in_standing(&state, &envelope.principal, &context, id, command);
    Ok(done.await?.ok())
}

/// Assign a consultation
///
/// Gives it into the hands of somebody who may answer it: by who asked, or an administrator.
#[utoipa::path(
    post, path = "/api/v1/consultations/{id}/assignment", operation_id = "assign", tag = "consultations",
    request_body = HandOver, params(("id" = Uuid, Path, description = "The consultation"), CommandHeaders),
    responses((status = OK, description = "The consultation in the hands of the other", body = ConsultationView), CommandProblems),
)]
async fn assign(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Directs>,
    Path(id): Path<Uuid>,
    Json { value: HandOver { to }, hash }: Json<HandOver>,
) -> Result<Response, RouteError> {
    let by = run::person(&state, &envelope).await?;
    let context = envelope.context(hash, Statuses::default());
    let (to, of_whom) = match member(&state, context.tenant, to).await {
        Ok(found) => found,
        Err(error) => return not_given(&state, &context, id, error).await,
    };
    let command = |standing| {
        let (by, to, of_whom) = (by.clone(), to.clone(), of_whom.clone());
        consultation::Assign { by, standing, to, of_whom }.into()
    };
    let done = run::in_standing(&state, &envelope.principal, &context, id, command);
    Ok(done.await?.ok())
}

/// Delegate a consultation
///
/// Has somebody else answer in one's place. A vote that was cast is void. Delegations may be passed on, and never lead back.
#[utoipa::path(
    post, path = "/api/v1/consultations/{id}/delegation", operation_id = "delegate", tag = "consultations",
    request_body = HandOver, params(("id" = Uuid, Path, description = "The consultation"), CommandHeaders),
    responses((status = OK, description = "The consultation after the delegation", body = ConsultationView), CommandProblems),
)]
async fn delegate(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Answers>,
    Path(id): Path<Uuid>,
    Json { value: HandOver { to }, hash }: Json<HandOver>,
) -> Result<Response, RouteError> {
    let by = run::person(&state, &envelope).await?;
    let context = envelope.context(hash, Statuses::default());
    let (to, _) = match member(&state, context.tenant, to).await {
        Ok(found) => found,
        Err(error) => return not_given(&state, &context, id, error).await,
    };
    let command = |standing| consultation::Delegate { by: by.clone(), standing, to: to.clone() }.into();
    let done = run::in_standing(&state, &envelope.principal, &context, id, command);
    Ok(done.await?.ok())
}

/// Ask the asker for information
///
/// The clock stands still until all questions are answered, where the request says so.
#[utoipa::path(
    post, path = "/api/v1/consultations/{id}/questions", operation_id = "request_information", tag = "consultations",
    request_body = Information, params(("id" = Uuid, Path, description = "The consultation"), CommandHeaders),
    responses((status = OK, description = "The consultation with the question", body = ConsultationView), CommandProblems),
)]
async fn ask_back(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Answers>,
    Path(id): Path<Uuid>,
    Json { value: Information { text }, hash }: Json<Information>,
) -> Result<Response, RouteError> {
    let by = run::person(&state, &envelope).await?;
    let context = envelope.context(hash, Statuses::default());
    let question_id = made_id(&context);
    let command = |standing| {
        let (by, text) = (by.clone(), text.clone());
        consultation::RequestInformation { question_id, by, standing, text }.into()
    };
    let done = run::in_standing(&state, &envelope.principal, &context, id, command);
    Ok(done.await?.ok())
}

/// Answer a question of a reviewer
///
/// By who asked, or who made the key that asked.
#[utoipa::path(
    post, path = "/api/v1/consultations/{id}/questions/{question_id}/answer", operation_id = "provide_information",
    tag = "consultations", request_body = Information,
    params(
        ("id" = Uuid, Path, description = "The consultation"),
        ("question_id" = Uuid, Path, description = "The question, as the history names it"),
        CommandHeaders,
    ),
    responses((status = OK, description = "The consultation with the answer", body = ConsultationView), CommandProblems),
)]
async fn answer_back(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Directs>,
    Path((id, question_id)): Path<(Uuid, Uuid)>,
    Json { value: Information { text }, hash }: Json<Information>,
) -> Result<Response, RouteError> {
    let by = run::person(&state, &envelope).await?;
    let context = envelope.context(hash, Statuses::default());
    let done = run::run(&state, &context, id, consultation::ProvideInformation { question_id, by, text }.into());
    Ok(done.await?.ok())
}
