//! `POST /api/v1/invitations` and `DELETE /api/v1/invitations/{id}`: who may come. The mail with the link is the mail reactor's.

use axum::{http::StatusCode, response::Response};
use docket_domain::identity::{InviteMember, OrganisationCommand};
use docket_log::Statuses;
use docket_platform::{
    auth::Role,
    http::{Json, Path},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Manage,
    error::RouteError,
    resource::{InvitationView, OrganisationView},
    run,
};
use crate::{
    envelope::{Envelope, made_id},
    openapi::{ManageProblems, ManageWithBodyProblems},
    roles::event_role,
    state::State,
};

/// Who is to come.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = InviteRequest, example = json!({"email": "grace@example.org", "role": "reviewer"}))]
pub(super) struct Request {
    /// Where the invitation is mailed to.
    #[schema(value_type = String, format = "email")]
    email: SecretString,
    /// What the invited may do once they have joined.
    role: Role,
}

/// Invite somebody by mail
///
/// The mail holds a link that is good for 7 days. Whoever follows it joins: with an account that they have, or with a new one.
#[utoipa::path(
    post, path = "/api/v1/invitations", operation_id = "invite", tag = "organisation", request_body = Request,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Repeating the request under the same key gets the first answer"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the organisation must have"),
    ),
    responses(
        (status = CREATED, description = "Invited", body = InvitationView, headers(
            ("ETag" = String, description = "The organisation's version, for `If-Match`"),
            ("Docket-Position" = String, description = "Send it with a read that must see this"),
        )),
        ManageWithBodyProblems,
    ),
)]
pub(super) async fn invite(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Manage>,
    Json { value: Request { email, role }, hash }: Json<Request>,
) -> Result<Response, RouteError> {
    let created = StatusCode::CREATED.as_u16();
    let context = envelope.context(hash, Statuses { changed: created, unchanged: created });
    let invitation_id = made_id(&context);
    let invite = InviteMember { invitation_id, email: email.expose_secret().to_owned(), role: event_role(role) };
    let done = run::run(&state, &context, OrganisationCommand::Invite(invite)).await?;
    done.opened(&state, invitation_id).await?.answer(|organisation| InvitationView::of(invitation_id, organisation))
}

/// Take an invitation back
///
/// Its link is good for nothing from now on.
#[utoipa::path(
    delete, path = "/api/v1/invitations/{id}", operation_id = "revoke_invitation", tag = "organisation",
    params(
        ("id" = Uuid, Path, description = "The invitation"),
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
pub(super) async fn revoke(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Manage>,
    Path(id): Path<Uuid>,
) -> Result<Response, RouteError> {
    run::run(&state, &envelope.context_of_nothing(), OrganisationCommand::RevokeInvitation(id)).await?.in_short()
}
