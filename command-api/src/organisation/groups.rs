//! `/api/v1/groups`: members who can be addressed together.

use axum::{http::StatusCode, response::Response};
use docket_domain::identity::OrganisationCommand;
use docket_log::Statuses;
use docket_platform::http::{Json, Path};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Manage,
    error::RouteError,
    resource::{GroupView, OrganisationView},
    run,
};
use crate::{
    envelope::{Envelope, made_id},
    openapi::{ManageProblems, ManageWithBodyProblems},
    state::State,
};

/// What a group is called.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = GroupRequest, example = json!({"name": "Night shift"}))]
pub(super) struct Request {
    /// A name that no other group of the organisation has, 1 to 200 characters.
    name: String,
}

/// Make a group
#[utoipa::path(
    post, path = "/api/v1/groups", operation_id = "create_group", tag = "organisation", request_body = Request,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Repeating the request under the same key gets the first answer"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the organisation must have"),
    ),
    responses(
        (status = CREATED, description = "Made", body = GroupView, headers(
            ("ETag" = String, description = "The organisation's version, for `If-Match`"),
            ("Docket-Position" = String, description = "Send it with a read that must see this"),
        )),
        ManageWithBodyProblems,
    ),
)]
pub(super) async fn create(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Manage>,
    Json { value: Request { name }, hash }: Json<Request>,
) -> Result<Response, RouteError> {
    let created = StatusCode::CREATED.as_u16();
    let context = envelope.context(hash, Statuses { changed: created, unchanged: created });
    let id = made_id(&context);
    let done = run::run(&state, &context, OrganisationCommand::CreateGroup(id, name)).await?;
    done.answer(|organisation| GroupView::of(id, organisation))
}

/// Rename a group
#[utoipa::path(
    patch, path = "/api/v1/groups/{id}", operation_id = "rename_group", tag = "organisation", request_body = Request,
    params(
        ("id" = Uuid, Path, description = "The group"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeating the request under the same key gets the first answer"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the organisation must have"),
    ),
    responses(
        (status = OK, description = "The group under its new name", body = GroupView, headers(
            ("ETag" = String, description = "The organisation's version, for `If-Match`"),
            ("Docket-Position" = String, description = "Send it with a read that must see this"),
        )),
        ManageWithBodyProblems,
    ),
)]
pub(super) async fn rename(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Manage>,
    Path(id): Path<Uuid>,
    Json { value: Request { name }, hash }: Json<Request>,
) -> Result<Response, RouteError> {
    let context = envelope.context(hash, Statuses::default());
    let done = run::run(&state, &context, OrganisationCommand::RenameGroup(id, name)).await?;
    done.answer(|organisation| GroupView::of(id, organisation))
}

/// Delete a group
///
/// Its members stay members of the organisation.
#[utoipa::path(
    delete, path = "/api/v1/groups/{id}", operation_id = "delete_group", tag = "organisation",
    params(
        ("id" = Uuid, Path, description = "The group"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeating the request under the same key gets the first answer"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the organisation must have"),
    ),
    responses(
        (status = OK, description = "The organisation without it", body = OrganisationView, headers(
            ("ETag" = String, description = "The organisation's version, for `If-Match`"),
            ("Docket-Position" = String, description = "Send it with a read that must see this"),
        )),
        ManageProblems,
    ),
)]
pub(super) async fn delete(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Manage>,
    Path(id): Path<Uuid>,
) -> Result<Response, RouteError> {
    run::run(&state, &envelope.context_of_nothing(), OrganisationCommand::DeleteGroup(id)).await?.in_short()
}

/// Put a member into a group
#[utoipa::path(
    put, path = "/api/v1/groups/{id}/members/{user_id}", operation_id = "add_to_group", tag = "organisation",
    params(
        ("id" = Uuid, Path, description = "The group"),
        ("user_id" = Uuid, Path, description = "The member"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeating the request under the same key gets the first answer"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the organisation must have"),
    ),
    responses(
        (status = OK, description = "The group with the member", body = GroupView, headers(
            ("ETag" = String, description = "The organisation's version, for `If-Match`"),
            ("Docket-Position" = String, description = "Send it with a read that must see this"),
        )),
        ManageProblems,
    ),
)]
pub(super) async fn add_member(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Manage>,
    Path((id, user_id)): Path<(Uuid, Uuid)>,
) -> Result<Response, RouteError> {
    let done = run::run(&state, &envelope.context_of_nothing(), OrganisationCommand::AddToGroup(id, user_id)).await?;
    done.answer(|organisation| GroupView::of(id, organisation))
}

/// Take a member out of a group
#[utoipa::path(
    delete, path = "/api/v1/groups/{id}/members/{user_id}", operation_id = "remove_from_group", tag = "organisation",
    params(
        ("id" = Uuid, Path, description = "The group"),
        ("user_id" = Uuid, Path, description = "The member"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeating the request under the same key gets the first answer"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the organisation must have"),
    ),
    responses(
        (status = OK, description = "The group without the member", body = GroupView, headers(
            ("ETag" = String, description = "The organisation's version, for `If-Match`"),
            ("Docket-Position" = String, description = "Send it with a read that must see this"),
        )),
        ManageProblems,
    ),
)]
pub(super) async fn remove_member(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Manage>,
    Path((id, user_id)): Path<(Uuid, Uuid)>,
) -> Result<Response, RouteError> {
    let command = OrganisationCommand::RemoveFromGroup(id, user_id);
    let done = run::run(&state, &envelope.context_of_nothing(), command).await?;
    done.answer(|organisation| GroupView::of(id, organisation))
}
