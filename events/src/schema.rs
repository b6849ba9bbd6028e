//! JSON Schemas (2020-12) of every event type, as published in `schemas/events/`.

use schemars::{Schema, SchemaGenerator};
use serde_json::Value;

use crate::{consultation as c, engagement as e, feed as f, identity as i, knowledge as k};

/// An event type, and what makes the schema of its data.
pub(crate) type Entry = (&'static str, fn(&mut SchemaGenerator) -> Schema);

/// Every event type.
pub(crate) const TYPES: [Entry; 74] = [
    ("docket.consultation.requested.v1", SchemaGenerator::root_schema_for::<c::Requested>),
    ("docket.consultation.terms_set.v1", SchemaGenerator::root_schema_for::<c::TermsSet>),
    ("docket.consultation.claimed.v1", SchemaGenerator::root_schema_for::<c::Claimed>),
    ("docket.consultation.released.v1", SchemaGenerator::root_schema_for::<c::Released>),
    ("docket.consultation.assigned.v1", SchemaGenerator::root_schema_for::<c::Assigned>),
    ("docket.consultation.delegated.v1", SchemaGenerator::root_schema_for::<c::Delegated>),
    ("docket.consultation.information_requested.v1", SchemaGenerator::root_schema_for::<c::InformationRequested>),
    ("docket.consultation.information_provided.v1", SchemaGenerator::root_schema_for::<c::InformationProvided>),
    ("docket.consultation.reminded.v1", SchemaGenerator::root_schema_for::<c::Reminded>),
    ("docket.consultation.escalated.v1", SchemaGenerator::root_schema_for::<c::Escalated>),
    ("docket.consultation.commented.v1", SchemaGenerator::root_schema_for::<c::Commented>),
    ("docket.consultation.vote_cast.v1", SchemaGenerator::root_schema_for::<c::VoteCast>),
    ("docket.consultation.responded.v1", SchemaGenerator::root_schema_for::<c::Responded>),
    ("docket.consultation.withdrawn.v1", SchemaGenerator::root_schema_for::<c::Withdrawn>),
    ("docket.consultation.timed_out.v1", SchemaGenerator::root_schema_for::<c::TimedOut>),
    ("docket.consultation.late_response_recorded.v1", SchemaGenerator::root_schema_for::<c::LateResponseRecorded>),
    ("docket.consultation.receipt_redeemed.v1", SchemaGenerator::root_schema_for::<c::ReceiptRedeemed>),
    ("docket.consultation.receipt_revoked.v1", SchemaGenerator::root_schema_for::<c::ReceiptRevoked>),
    ("docket.identity.user_registered.v1", SchemaGenerator::root_schema_for::<i::UserRegistered>),
    ("docket.identity.verification_requested.v1", SchemaGenerator::root_schema_for::<i::VerificationRequested>),
    ("docket.identity.address_verified.v1", SchemaGenerator::root_schema_for::<i::AddressVerified>),
    ("docket.identity.password_reset_requested.v1", SchemaGenerator::root_schema_for::<i::PasswordResetRequested>),
    ("docket.identity.password_changed.v1", SchemaGenerator::root_schema_for::<i::PasswordChanged>),
    ("docket.identity.all_sessions_revoked.v1", SchemaGenerator::root_schema_for::<i::AllSessionsRevoked>),
    ("docket.identity.second_factor_enabled.v1", SchemaGenerator::root_schema_for::<i::SecondFactorEnabled>),
    ("docket.identity.second_factor_disabled.v1", SchemaGenerator::root_schema_for::<i::SecondFactorDisabled>),
    ("docket.identity.recovery_code_used.v1", SchemaGenerator::root_schema_for::<i::RecoveryCodeUsed>),
    ("docket.identity.locked_out.v1", SchemaGenerator::root_schema_for::<i::LockedOut>),
    (
        "docket.identity.notification_preferences_set.v1",
        SchemaGenerator::root_schema_for::<i::NotificationPreferencesSet>,
    ),
    ("docket.identity.organisation_created.v1", SchemaGenerator::root_schema_for::<i::OrganisationCreated>),
    ("docket.identity.member_added.v1", SchemaGenerator::root_schema_for::<i::MemberAdded>),
    ("docket.identity.member_invited.v1", SchemaGenerator::root_schema_for::<i::MemberInvited>),
    ("docket.identity.invitation_revoked.v1", SchemaGenerator::root_schema_for::<i::InvitationRevoked>),
    ("docket.identity.invitation_accepted.v1", SchemaGenerator::root_schema_for::<i::InvitationAccepted>),
    ("docket.identity.role_changed.v1", SchemaGenerator::root_schema_for::<i::RoleChanged>),
    ("docket.identity.member_removed.v1", SchemaGenerator::root_schema_for::<i::MemberRemoved>),
    ("docket.identity.group_created.v1", SchemaGenerator::root_schema_for::<i::GroupCreated>),
    ("docket.identity.group_renamed.v1", SchemaGenerator::root_schema_for::<i::GroupRenamed>),
    ("docket.identity.group_deleted.v1", SchemaGenerator::root_schema_for::<i::GroupDeleted>),
    ("docket.identity.group_member_added.v1", SchemaGenerator::root_schema_for::<i::GroupMemberAdded>),
    ("docket.identity.group_member_removed.v1", SchemaGenerator::root_schema_for::<i::GroupMemberRemoved>),
    ("docket.identity.calendar_set.v1", SchemaGenerator::root_schema_for::<i::CalendarSet>),
    ("docket.identity.second_factor_demanded.v1", SchemaGenerator::root_schema_for::<i::SecondFactorDemanded>),
    ("docket.identity.reading_shown.v1", SchemaGenerator::root_schema_for::<i::ReadingShown>),
    ("docket.identity.session_started.v1", SchemaGenerator::root_schema_for::<i::SessionStarted>),
    ("docket.identity.session_revoked.v1", SchemaGenerator::root_schema_for::<i::SessionRevoked>),
    ("docket.identity.api_key_created.v1", SchemaGenerator::root_schema_for::<i::ApiKeyCreated>),
    ("docket.identity.api_key_rotated.v1", SchemaGenerator::root_schema_for::<i::ApiKeyRotated>),
    ("docket.identity.api_key_revoked.v1", SchemaGenerator::root_schema_for::<i::ApiKeyRevoked>),
    ("docket.identity.template_set.v1", SchemaGenerator::root_schema_for::<i::TemplateSet>),
    ("docket.identity.template_retired.v1", SchemaGenerator::root_schema_for::<i::TemplateRetired>),
    ("docket.identity.webhook_endpoint_set.v1", SchemaGenerator::root_schema_for::<i::WebhookEndpointSet>),
    ("docket.identity.webhook_endpoint_enabled.v1", SchemaGenerator::root_schema_for::<i::WebhookEndpointEnabled>),
    ("docket.identity.webhook_endpoint_disabled.v1", SchemaGenerator::root_schema_for::<i::WebhookEndpointDisabled>),
    ("docket.identity.webhook_endpoint_removed.v1", SchemaGenerator::root_schema_for::<i::WebhookEndpointRemoved>),
    ("docket.identity.webhook_secret_rotated.v1", SchemaGenerator::root_schema_for::<i::WebhookSecretRotated>),
    ("docket.identity.webhook_test_requested.v1", SchemaGenerator::root_schema_for::<i::WebhookTestRequested>),
    (
        "docket.identity.webhook_redelivery_requested.v1",
        SchemaGenerator::root_schema_for::<i::WebhookRedeliveryRequested>,
    ),
    ("docket.knowledge.entity_added.v1", SchemaGenerator::root_schema_for::<k::EntityAdded>),
    ("docket.knowledge.entity_changed.v1", SchemaGenerator::root_schema_for::<k::EntityChanged>),
    ("docket.knowledge.entity_merged.v1", SchemaGenerator::root_schema_for::<k::EntityMerged>),
    ("docket.knowledge.entity_retracted.v1", SchemaGenerator::root_schema_for::<k::EntityRetracted>),
    ("docket.knowledge.relationship_added.v1", SchemaGenerator::root_schema_for::<k::RelationshipAdded>),
    ("docket.knowledge.relationship_changed.v1", SchemaGenerator::root_schema_for::<k::RelationshipChanged>),
    ("docket.knowledge.relationship_retracted.v1", SchemaGenerator::root_schema_for::<k::RelationshipRetracted>),
    ("docket.feed.article_published.v1", SchemaGenerator::root_schema_for::<f::ArticlePublished>),
    ("docket.feed.article_revised.v1", SchemaGenerator::root_schema_for::<f::ArticleRevised>),
    ("docket.feed.article_retracted.v1", SchemaGenerator::root_schema_for::<f::ArticleRetracted>),
    ("docket.feed.topic_set.v1", SchemaGenerator::root_schema_for::<f::TopicSet>),
    ("docket.feed.topic_removed.v1", SchemaGenerator::root_schema_for::<f::TopicRemoved>),
    ("docket.feed.preferences_set.v1", SchemaGenerator::root_schema_for::<f::PreferencesSet>),
    ("docket.feed.article_saved.v1", SchemaGenerator::root_schema_for::<f::ArticleSaved>),
    ("docket.feed.article_unsaved.v1", SchemaGenerator::root_schema_for::<f::ArticleUnsaved>),
    ("docket.engagement.recorded.v1", SchemaGenerator::root_schema_for::<e::EngagementRecorded>),
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
