//! `GET /api/v1/consultations/{id}/reading`: what the voters had opened before they voted.

use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use docket_platform::{
    Problem,
    auth::{
        Principal,
        permissions::{self, Action},
    },
    http::{Path, PositionHeader},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    consultation::{
        reading::{self, VoteReading},
        rows,
    },
    fresh::answer,
    position::Gate,
    read,
    refused::Refused,
};

/// What was read before a consultation was decided.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConsultationReading {
    /// Since when the organisation shows what reviewers open before they vote; null: it does not now.
    shown_since: Option<DateTime<Utc>>,
    /// The votes, in the order of the stream; the last 500.
    votes: Vec<VoteReading>,
}

/// Shows what the voters had opened
///
/// Of what the consultation cites, and while considering it, before they voted; where the organisation shows it.
#[utoipa::path(
    get,
    path = "/api/v1/consultations/{id}/reading",
    operation_id = "get_consultation_reading",
    tag = "consultations",
    params(
        ("id" = Uuid, Path, description = "The consultation's id"),
        ("Docket-Position" = Option<String>, Header, description = "Wait until the answer is at least this new"),
    ),
    responses((status = 200, description = "What was opened", body = ConsultationReading), Refused),
    security(("bearer" = []))
)]
pub async fn get_consultation_reading(
    State(gate): State<Gate>,
    principal: Principal,
    Path(id): Path<Uuid>,
    wanted: PositionHeader,
) -> Result<Response, Problem> {
    permissions::check(&principal, Action::Read)?;
    let (tenant, wanted) = (principal.tenant, read::header_position(&wanted)?);
    let mut entered = gate.enter_all(tenant, &reading::SOURCES, &wanted, None).await?;
    let read = async {
        let Some(found) = rows::by_id(&mut entered.tx, id).await? else { return Ok(None) };
        let shown_since = reading::shown_since(&mut entered.tx).await?;
        let cites: Vec<_> = found.cites.into_iter().map(Into::into).collect();
        let votes = reading::reading(&mut entered.tx, tenant, id, &cites).await?;
        Ok(Some(ConsultationReading { shown_since, votes }))
    };
    match gate.reads().guard(read).await? {
        Some(found) => Ok(answer(found, entered.lacks_since)),
        None => Err(Problem::not_found("There is no such consultation.")),
    }
}
