//! `PUT /api/v1/organisation/second-factor`: of whom a second factor is demanded.

use std::collections::BTreeSet;

use axum::response::Response;
use docket_domain::identity::OrganisationCommand;
use docket_log::Statuses;
use docket_platform::{auth::Role, http::Json};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Manage, error::RouteError, resource::OrganisationView, run};
use crate::{envelope::Envelope, openapi::ManageWithBodyProblems, roles::event_role, state::State};

/// Of whom.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DemandSecondFactorRequest, example = json!({"roles": ["admin", "reviewer"]}))]
pub(super) struct Request {
    /// The roles; none: of nobody.
    #[schema(value_type = Vec<Role>)]
    roles: BTreeSet<Role>,
}

/// Demand a second factor
///
/// Members of these roles do nothing here any more without one, from the next renewal of their tokens on: within 15 minutes.
#[utoipa::path(
    put, path = "/api/v1/organisation/second-factor", operation_id = "demand_second_factor", tag = "organisation",
    request_body = Request,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Repeating the request under the same key gets the first answer"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the organisation must have"),
    ),
    responses(
        (status = OK, description = "The organisation with what it demands", body = OrganisationView, headers(
            ("ETag" = String, description = "The organisation's version, for `If-Match`"),
            ("Docket-Position" = String, description = "Send it with a read that must see this"),
        )),
        ManageWithBodyProblems,
    ),
)]
pub(super) async fn handler(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Manage>,
    Json { value: Request { roles }, hash }: Json<Request>,
) -> Result<Response, RouteError> {
    let command = OrganisationCommand::DemandSecondFactor(roles.into_iter().map(event_role).collect());
    run::run(&state, &envelope.context(hash, Statuses::default()), command).await?.in_short()
}
