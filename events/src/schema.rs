//! JSON Schemas (2020-12) of every event type, as published in `schemas/events/`.

use schemars::{Schema, SchemaGenerator};
use serde_json::Value;

use crate::{consultation as c, identity as i};

/// An event type, and what makes the schema of its data.
pub(crate) type Entry = (&'static str, fn(&mut SchemaGenerator) -> Schema);

/// Every event type.
pub(crate) const TYPES: [Entry; 12] = [
    ("docket.consultation.requested.v1", SchemaGenerator::root_schema_for::<c::Requested>),
    ("docket.consultation.commented.v1", SchemaGenerator::root_schema_for::<c::Commented>),
    ("docket.consultation.vote_cast.v1", SchemaGenerator::root_schema_for::<c::VoteCast>),
    ("docket.consultation.responded.v1", SchemaGenerator::root_schema_for::<c::Responded>),
    ("docket.consultation.withdrawn.v1", SchemaGenerator::root_schema_for::<c::Withdrawn>),
    ("docket.consultation.timed_out.v1", SchemaGenerator::root_schema_for::<c::TimedOut>),
    ("docket.consultation.late_response_recorded.v1", SchemaGenerator::root_schema_for::<c::LateResponseRecorded>),
    ("docket.identity.user_registered.v1", SchemaGenerator::root_schema_for::<i::UserRegistered>),
    ("docket.identity.organisation_created.v1", SchemaGenerator::root_schema_for::<i::OrganisationCreated>),
    ("docket.identity.member_added.v1", SchemaGenerator::root_schema_for::<i::MemberAdded>),
    ("docket.identity.password_reset_requested.v1", SchemaGenerator::root_schema_for::<i::PasswordResetRequested>),
    ("docket.identity.password_changed.v1", SchemaGenerator::root_schema_for::<i::PasswordChanged>),
];

/// Every event type with the schema of its data.
#[must_use]
pub fn all() -> Vec<(String, Value)> {
    TYPES.iter().map(|(event_type, make)| ((*event_type).to_owned(), schema(event_type, *make))).collect()
}

fn schema(event_type: &str, make: fn(&mut SchemaGenerator) -> Schema) -> Value {
    let mut value = make(&mut SchemaGenerator::default()).to_value();
    value["$id"] = Value::String(crate::envelope::schema_path(event_type));
    value["title"] = Value::String(event_type.to_owned());
    value
}
