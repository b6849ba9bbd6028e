//! Receipts of outcomes: `POST /api/v1/receipts/redeem`, and `POST /api/v1/consultations/{id}/receipt/revoke`.
//!
//! Owns how a receipt as it came becomes a command to the consultation that it names. Whether it is good is judged there.

use axum::{http::StatusCode, response::Response};
use chrono::{DateTime, Utc};
use docket_domain::consultation::{
    self, Receipt, ReceiptEnd, Refusal,
    view::{ConsultationView, PersonView},
};
use docket_log::Statuses;
use docket_platform::{
    auth::{Role, permissions::Action},
    http::{Json, Path},
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{error::RouteError, run};
use crate::{
    envelope::{Envelope, Needs},
    openapi::{CommandHeaders, CommandProblems, ReceiptProblems},
    run::answer,
    state::State,
};

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(redeem)).routes(routes!(revoke))
}

struct Redeems;

impl Needs for Redeems {
    const ACTION: Action = Action::Redeem;
}

struct Revokes;

impl Needs for Revokes {
    const ACTION: Action = Action::Direct;
}

/// What is redeemed, for what.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RedeemRequest)]
struct Redeem {
    /// The receipt as it was told: a JWS in compact serialization.
    receipt: String,
    /// What is to be performed, any JSON; null is one too. Where it is given it must be what was decided upon.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Value>)]
    payload: Option<Value>,
}

/// What is there, though it be null.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// A receipt that was good, and now is redeemed.
#[derive(Debug, Serialize, ToSchema)]
struct Redeemed {
    /// What it says.
    claims: Receipt,
    /// Who redeemed it.
    redeemed_by: PersonView,
    /// When.
    redeemed_at: DateTime<Utc>,
}

/// Why it is revoked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RevokeReceiptRequest, example = json!({"reason": "It was performed by hand."}))]
struct Revoke {
    /// In your words, at most 10,000 characters.
    reason: Option<String>,
}

/// Redeem a receipt
///
/// Accepts each receipt once, and records who redeemed it. To be asked before what was decided is performed. Repeated under its
/// `Idempotency-Key` it gets the first answer.
#[utoipa::path(
    post, path = "/api/v1/receipts/redeem", operation_id = "redeem_receipt", tag = "consultations", request_body = Redeem,
    params(CommandHeaders),
    responses((status = OK, description = "It was good, and now is redeemed", body = Redeemed), ReceiptProblems),
)]
async fn redeem(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Redeems>,
    Json { value: Redeem { receipt, payload }, hash }: Json<Redeem>,
) -> Result<Response, RouteError> {
    let by = run::person(&state, &envelope).await?;
    let (tenant, receipt): (Uuid, Receipt) = state.receipts.verify(&receipt).await?;
    if tenant != envelope.principal.tenant {
        return Err(Refusal::ReceiptForeign.into());
    }
    let command = consultation::RedeemReceipt { receipt: receipt.clone(), by, payload };
    let context = envelope.context(hash, Statuses::default());
    let done = match run::accept(&state, &context, receipt.sub, command.into()).await {
        // The organisation's own, and nowhere to be found: the journal that knew of it is gone.
        Err(RouteError::Refused(Refusal::NotFound)) => return Err(Refusal::ReceiptForeign.into()),
        done => done?,
    };
    let Some(ReceiptEnd::Redeemed { by, at }) = done.state.receipt_end else { return Err(RouteError::Nothing) };
    let redeemed_by = PersonView::new(by.id, by.name.value().cloned());
    let body = Redeemed { claims: receipt, redeemed_by, redeemed_at: at };
    Ok(answer(StatusCode::OK, &body, done.version, &done.position, None))
}

/// Revoke the receipt of an outcome
///
/// From then on it cannot be redeemed; whoever checks it offline does not learn of it. By whoever asked, or an administrator.
#[utoipa::path(
    post, path = "/api/v1/consultations/{id}/receipt/revoke", operation_id = "revoke_receipt", tag = "consultations",
    request_body = Revoke, params(("id" = Uuid, Path, description = "The consultation"), CommandHeaders),
    responses((status = OK, description = "The consultation after it", body = ConsultationView), CommandProblems),
)]
async fn revoke(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Revokes>,
    Path(id): Path<Uuid>,
    Json { value: Revoke { reason }, hash }: Json<Revoke>,
) -> Result<Response, RouteError> {
    let by = run::person(&state, &envelope).await?;
    let as_admin = envelope.principal.scopes.is_none() && envelope.principal.role == Role::Admin;
    let command = consultation::RevokeReceipt { consultation: id, by, as_admin, reason };
    let context = envelope.context(hash, Statuses::default());
    Ok(run::run(&state, &context, id, command.into()).await?.ok())
}
