//! `PUT /api/v1/organisation/reading`: whether what reviewers open before they vote is shown with their votes.

use axum::response::Response;
use docket_domain::identity::OrganisationCommand;
use docket_log::Statuses;
use docket_platform::http::Json;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Manage, error::RouteError, resource::OrganisationView, run};
use crate::{envelope::Envelope, openapi::ManageWithBodyProblems, state::State};

/// Whether.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ShowReadingRequest, example = json!({"shown": true}))]
pub(super) struct Request {
    /// Whether it is shown from now on.
    shown: bool,
}

/// Show what reviewers read
///
/// With every vote that is cast from now on it is shown what the voter had opened before of what the consultation cites, or while considering
/// it. Reviewers are told so with the consultation and by mail. What was opened before this is never shown; once it is not shown any more,
/// votes that were cast meanwhile keep what was shown with them.
#[utoipa::path(
    put, path = "/api/v1/organisation/reading", operation_id = "show_reading", tag = "organisation",
    request_body = Request,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Repeating the request under the same key gets the first answer"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the organisation must have"),
    ),
    responses(
        (status = OK, description = "The organisation with what it shows", body = OrganisationView, headers(
            ("ETag" = String, description = "The organisation's version, for `If-Match`"),
            ("Docket-Position" = String, description = "Send it with a read that must see this"),
        )),
        ManageWithBodyProblems,
    ),
)]
pub(super) async fn handler(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Manage>,
    Json { value: Request { shown }, hash }: Json<Request>,
) -> Result<Response, RouteError> {
    let command = OrganisationCommand::ShowReading(shown);
    run::run(&state, &envelope.context(hash, Statuses::default()), command).await?.in_short()
}
