//! `/api/v1/relationships`: add, change and retract.

use std::collections::BTreeSet;

use axum::response::Response;
use docket_domain::knowledge::{
    AddRelationship, ChangeRelationship, Relationship, Retract, add_relationship, change_relationship, entity_id,
    relationship_id, retract_relationship, view::RelationshipView,
};
use docket_events::knowledge::RelationshipFacts;
use docket_log::{CommandContext, Statuses};
use docket_platform::http::{Json, Path};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Write,
    entity::{RetractRequest, sure},
    error::RouteError,
    lookup,
    run::{self, ADDED, Done},
};
use crate::{
    envelope::Envelope,
    openapi::{CommandHeaders, KnowledgeProblems},
    state::State,
};

/// How one entity is related to another.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AddRelationshipRequest, example = json!({
    "source_external_id": "/m/0100mt", "type": "located_in", "target_external_id": "/m/07b_l", "confidence": 1
}))]
pub(super) struct AddRequest {
    /// The entity that it leads from.
    source_id: Option<Uuid>,
    /// The same by the name under which it was added, in place of `source_id`.
    source_external_id: Option<String>,
    /// How the one is related to the other, in words of your own: lower-case letters, digits and `_-./`, at most 200.
    r#type: String,
    /// The entity that it leads to.
    target_id: Option<Uuid>,
    /// The same by the name under which it was added, in place of `target_id`.
    target_external_id: Option<String>,
    /// Whatever else is known of it: at most 200 members and 16 KiB.
    #[serde(default)]
    #[schema(value_type = Object)]
    properties: Map<String, Value>,
    /// How sure it is, from 0 to 1; 1 if not given.
    #[serde(default = "sure")]
    #[schema(minimum = 0, maximum = 1)]
    confidence: f64,
    /// Where this is known from, at most 500 characters.
    source: Option<String>,
}

/// What is known now, whole.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ChangeRelationshipRequest, example = json!({"confidence": 0.5}))]
pub(super) struct ChangeRequest {
    /// Whatever else is known of it.
    #[serde(default)]
    #[schema(value_type = Object)]
    properties: Map<String, Value>,
    /// How sure it is, from 0 to 1; 1 if not given.
    #[serde(default = "sure")]
    #[schema(minimum = 0, maximum = 1)]
    confidence: f64,
    /// Where this is known from.
    source: Option<String>,
}

impl AddRequest {
    /// The command that it is, its ends named by their ids.
    pub(super) fn command(self, tenant: Uuid, added_by: Uuid) -> Result<AddRelationship, RouteError> {
        let Self { r#type, properties, confidence, source, .. } = self;
        let source_id = end(tenant, "source_id", self.source_id, self.source_external_id.as_deref())?;
        let target_id = end(tenant, "target_id", self.target_id, self.target_external_id.as_deref())?;
        let facts = RelationshipFacts { properties, confidence, source };
        let command = AddRelationship { source_id, relationship_type: r#type, target_id, facts, added_by };
        command.check()?;
        Ok(command)
    }
}

fn end(tenant: Uuid, field: &'static str, id: Option<Uuid>, external_id: Option<&str>) -> Result<Uuid, RouteError> {
    match (id, external_id) {
        (Some(id), None) => Ok(id),
        (None, Some(external_id)) => Ok(entity_id(tenant, external_id)),
        (None, None) => Err(RouteError::wrong(field, "must be given, or the external id in its place")),
        (Some(_), Some(_)) => Err(RouteError::wrong(field, "must not be given together with the external id")),
    }
}

/// The entities that a command names.
pub(super) fn ends(command: &AddRelationship) -> [Uuid; 2] {
    [command.source_id, command.target_id]
}

/// Relate one entity to another
///
/// A relationship of this type from the one to the other is there once: adding it again changes nothing and answers 200 with it as it
/// stands; one that was retracted comes back.
#[utoipa::path(
    post, path = "/api/v1/relationships", operation_id = "add_relationship", tag = "knowledge", request_body = AddRequest,
    params(CommandHeaders),
    responses(
        (status = CREATED, description = "Added", body = RelationshipView),
        (status = OK, description = "It was there", body = RelationshipView),
        KnowledgeProblems,
    ),
)]
pub(super) async fn add(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Write>,
    Json { value: request, hash }: Json<AddRequest>,
) -> Result<Response, RouteError> {
    let context = envelope.context(hash, ADDED);
    let command = request.command(context.tenant, envelope.principal.id)?;
    let named = ends(&command);
    let lookup = lookup::entities_among(state.store.pool(), context.tenant, &named);
    let known = state.guarded_query(lookup).await?;
    Ok(add_one(&state, &context, command, &known).await?.answer())
}

/// Adds one whose ends are among `known`.
pub(super) async fn add_one(
    state: &State,
    context: &CommandContext,
    command: AddRelationship,
    known: &BTreeSet<Uuid>,
) -> Result<Done<RelationshipView>, RouteError> {
    for (field, id) in ["source_id", "target_id"].into_iter().zip(ends(&command)) {
        if !known.contains(&id) {
            return Err(RouteError::wrong(field, "must be an entity of the organisation"));
        }
    }
    let AddRelationship { source_id, relationship_type, target_id, .. } = &command;
    let id = relationship_id(context.tenant, *source_id, relationship_type, *target_id);
    run::run(state, context, id, |relationship: &Relationship| add_relationship(relationship, &command)).await
}

/// Change a relationship
///
/// What is sent stands in place of what was said before. Its ends and its type are what it is, and stay.
#[utoipa::path(
    put, path = "/api/v1/relationships/{id}", operation_id = "change_relationship", tag = "knowledge",
    request_body = ChangeRequest,
    params(("id" = Uuid, Path, description = "The relationship"), CommandHeaders),
    responses((status = OK, description = "The relationship", body = RelationshipView), KnowledgeProblems),
)]
pub(super) async fn change(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Write>,
    Path(id): Path<Uuid>,
    Json { value: ChangeRequest { properties, confidence, source }, hash }: Json<ChangeRequest>,
) -> Result<Response, RouteError> {
    let facts = RelationshipFacts { properties, confidence, source };
    let command = ChangeRelationship { facts, changed_by: envelope.principal.id };
    let context = envelope.context(hash, Statuses::default());
    let decide = |relationship: &Relationship| change_relationship(relationship, &command);
    Ok(run::run(&state, &context, id, decide).await?.answer())
}

/// Retract a relationship
///
/// It is not held to exist any more; its history stays. Adding it again brings it back.
#[utoipa::path(
    post, path = "/api/v1/relationships/{id}/retract", operation_id = "retract_relationship", tag = "knowledge",
    request_body = RetractRequest,
    params(("id" = Uuid, Path, description = "The relationship"), CommandHeaders),
    responses((status = OK, description = "The relationship after its end", body = RelationshipView), KnowledgeProblems),
)]
pub(super) async fn retract(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Write>,
    Path(id): Path<Uuid>,
    Json { value: RetractRequest { reason }, hash }: Json<RetractRequest>,
) -> Result<Response, RouteError> {
    let command = Retract { reason, retracted_by: envelope.principal.id };
    let context = envelope.context(hash, Statuses::default());
    let decide = |relationship: &Relationship| retract_relationship(relationship, &command);
    Ok(run::run(&state, &context, id, decide).await?.answer())
}
