//! JSON Schemas (2020-12) of every event type, as published in `schemas/events/`.

use schemars::{JsonSchema, schema_for};
use serde_json::Value;

use crate::{consultation as c, identity as i};

fn schema<T: JsonSchema>(event_type: &str) -> (String, Value) {
    let mut value = schema_for!(T).to_value();
    value["$id"] = Value::String(crate::envelope::schema_path(event_type));
    value["title"] = Value::String(event_type.to_owned());
    (event_type.to_owned(), value)
}

/// Every event type with the schema of its data.
#[must_use]
pub fn all() -> Vec<(String, Value)> {
    vec![
        schema::<c::Requested>("docket.consultation.requested.v1"),
        schema::<c::Commented>("docket.consultation.commented.v1"),
        schema::<c::VoteCast>("docket.consultation.vote_cast.v1"),
        schema::<c::Responded>("docket.consultation.responded.v1"),
        schema::<c::Withdrawn>("docket.consultation.withdrawn.v1"),
        schema::<c::TimedOut>("docket.consultation.timed_out.v1"),
        schema::<c::LateResponseRecorded>("docket.consultation.late_response_recorded.v1"),
        schema::<i::UserRegistered>("docket.identity.user_registered.v1"),
        schema::<i::OrganisationCreated>("docket.identity.organisation_created.v1"),
        schema::<i::MemberAdded>("docket.identity.member_added.v1"),
    ]
}
