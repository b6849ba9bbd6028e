//! `PATCH` and `DELETE /api/v1/members/{user_id}`, `POST /api/v1/members/leave`: what members may do, and that they do not belong any more.

use axum::response::Response;
use docket_domain::identity::{AddMember, OrganisationCommand};
use docket_events::identity::MemberEnd;
use docket_log::Statuses;
use docket_platform::{
    auth::{Role, permissions::Action},
    http::{Json, Path},
};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Manage,
    error::RouteError,
    resource::{MemberView, OrganisationView},
    run,
};
use crate::{
    envelope::{Envelope, Needs},
    openapi::{ManageProblems, ManageWithBodyProblems},
    roles::event_role,
    state::State,
};

/// What the member may do from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ChangeRoleRequest, example = json!({"role": "reviewer"}))]
pub(super) struct Request {
    /// The role.
    role: Role,
}

/// Give a member another role
///
/// Takes hold of the member's open sessions within 5 seconds. The last administrator stays one.
#[utoipa::path(
    patch, path = "/api/v1/members/{user_id}", operation_id = "change_role", tag = "organisation", request_body = Request,
    params(
        ("user_id" = Uuid, Path, description = "The member"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeating the request under the same key gets the first answer"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the organisation must have"),
    ),
    responses(
        (status = OK, description = "The member in the new role", body = MemberView, headers(
            ("ETag" = String, description = "The organisation's version, for `If-Match`"),
            ("Docket-Position" = String, description = "Send it with a read that must see this"),
        )),
        ManageWithBodyProblems,
    ),
)]
pub(super) async fn change_role(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Manage>,
    Path(user_id): Path<Uuid>,
    Json { value: Request { role }, hash }: Json<Request>,
) -> Result<Response, RouteError> {
    let command = OrganisationCommand::ChangeRole(AddMember { user_id, role: event_role(role) });
    let done = run::run(&state, &envelope.context(hash, Statuses::default()), command).await?;
    done.answer(|organisation| MemberView::of(user_id, organisation))
}

/// Remove a member
///
/// The member's access to the organisation ends within 5 seconds. The last administrator cannot be removed.
#[utoipa::path(
    delete, path = "/api/v1/members/{user_id}", operation_id = "remove_member", tag = "organisation",
    params(
        ("user_id" = Uuid, Path, description = "The member"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeating the request under the same key gets the first answer"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the organisation must have"),
    ),
    responses(
        (status = OK, description = "The organisation without the member", body = OrganisationView, headers(
            ("ETag" = String, description = "The organisation's version, for `If-Match`"),
            ("Docket-Position" = String, description = "Send it with a read that must see this"),
        )),
        ManageProblems,
    ),
)]
pub(super) async fn remove(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Manage>,
    Path(user_id): Path<Uuid>,
) -> Result<Response, RouteError> {
    let command = OrganisationCommand::RemoveMember(user_id, MemberEnd::Removed);
    run::run(&state, &envelope.context_of_nothing(), command).await?.in_short()
}

pub(super) struct Leave;

impl Needs for Leave {
    const ACTION: Action = Action::ManageSelf;
}

/// Leave the organisation
///
/// Of one's own will. The last administrator cannot.
#[utoipa::path(
    post, path = "/api/v1/members/leave", operation_id = "leave", tag = "organisation",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Repeating the request under the same key gets the first answer"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the organisation must have"),
    ),
    responses(
        (status = OK, description = "The organisation that was left", body = OrganisationView, headers(
            ("ETag" = String, description = "The organisation's version, for `If-Match`"),
            ("Docket-Position" = String, description = "Send it with a read that must see this"),
        )),
        ManageProblems,
    ),
)]
pub(super) async fn leave(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Leave>,
) -> Result<Response, RouteError> {
    let command = OrganisationCommand::RemoveMember(envelope.principal.id, MemberEnd::Left);
    run::run(&state, &envelope.context_of_nothing(), command).await?.in_short()
}
