//! Bytes to events and back.
//!
//! Encoding always writes the newest version of a type. Decoding accepts every version ever written: an older one is lifted by
//! its [upcasters](crate::upcast) first. A type or version that this build does not know is [`DecodeError::Unknown`], which is no
//! fault of the event: the reader waits for a newer release. Data that does not fit its known type is
//! [`DecodeError::Malformed`]: poison.

use serde::de::DeserializeOwned;

use crate::{
    Category, HasPersonal,
    consultation::ConsultationEvent,
    engagement::EngagementEvent,
    feed::FeedEvent,
    identity::IdentityEvent,
    knowledge::KnowledgeEvent,
    personal::PersonalField,
    upcast::{self, Upcasters},
};

/// Why an event cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// This build knows no such type or version; a newer one will.
    #[error("event type `{0}` is not known to this release")]
    Unknown(String),
    /// The data does not fit its type.
    #[error("event of type `{event_type}` cannot be read: {reason}")]
    Malformed {
        /// The type that it claims to be.
        event_type: String,
        /// What does not fit.
        reason: String,
    },
}

/// A family of events that has a JSON form: one per category.
pub trait EventData: HasPersonal + Clone + Send + Sync + Sized + 'static {
    /// The category that the family's streams belong to.
    const CATEGORY: Category;
    /// Every type of the family, newest versions only.
    const TYPES: &'static [&'static str];

    /// The CloudEvents type of this event.
    fn event_type(&self) -> &'static str;

    /// The JSON text of the data.
    ///
    /// # Errors
    /// When a personal field is not sealed.
    fn encode(&self) -> Result<String, serde_json::Error>;

    /// Reads data of a newest-version type.
    ///
    /// # Errors
    /// See [`DecodeError`].
    fn decode_newest(event_type: &str, data: &str) -> Result<Self, DecodeError>;

    /// Reads data of any version ever written.
    ///
    /// # Errors
    /// See [`DecodeError`].
    fn decode(event_type: &str, data: &str) -> Result<Self, DecodeError> {
        Self::decode_with(upcast::registered(), event_type, data)
    }

    /// Reads data of any version that `upcasters` lift to the newest.
    ///
    /// # Errors
    /// See [`DecodeError`].
    fn decode_with(upcasters: &Upcasters, event_type: &str, data: &str) -> Result<Self, DecodeError> {
        if Self::TYPES.contains(&event_type) {
            return Self::decode_newest(event_type, data);
        }
        let (newest, data) = upcasters.lift(event_type, data)?;
        Self::decode_newest(newest, &data)
    }
}

fn read<T: DeserializeOwned>(event_type: &str, data: &str) -> Result<T, DecodeError> {
    serde_json::from_str(data)
        .map_err(|error| DecodeError::Malformed { event_type: event_type.to_owned(), reason: error.to_string() })
}

/// Writes the correspondence of variants and type names once for encode, decode and the list.
macro_rules! family {
    ($family:ident, $category:expr, { $($name:literal => $variant:ident),+ $(,)? }) => {
        impl EventData for $family {
            const CATEGORY: Category = $category;
            const TYPES: &'static [&'static str] = &[$($name),+];

            fn event_type(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name),+ }
            }

            fn encode(&self) -> Result<String, serde_json::Error> {
                match self { $(Self::$variant(event) => serde_json::to_string(event)),+ }
            }

            fn decode_newest(event_type: &str, data: &str) -> Result<Self, DecodeError> {
                match event_type {
                    $($name => read(event_type, data).map(Self::$variant),)+
                    other => Err(DecodeError::Unknown(other.to_owned())),
                }
            }
        }
    };
}

family!(ConsultationEvent, Category::Consultation, {
    "docket.consultation.requested.v1" => Requested,
    "docket.consultation.terms_set.v1" => TermsSet,
    "docket.consultation.commented.v1" => Commented,
    "docket.consultation.claimed.v1" => Claimed,
    "docket.consultation.released.v1" => Released,
    "docket.consultation.assigned.v1" => Assigned,
    "docket.consultation.delegated.v1" => Delegated,
    "docket.consultation.information_requested.v1" => InformationRequested,
    "docket.consultation.information_provided.v1" => InformationProvided,
    "docket.consultation.reminded.v1" => Reminded,
    "docket.consultation.escalated.v1" => Escalated,
    "docket.consultation.vote_cast.v1" => VoteCast,
    "docket.consultation.responded.v1" => Responded,
    "docket.consultation.withdrawn.v1" => Withdrawn,
    "docket.consultation.timed_out.v1" => TimedOut,
    "docket.consultation.late_response_recorded.v1" => LateResponseRecorded,
    "docket.consultation.receipt_redeemed.v1" => ReceiptRedeemed,
    "docket.consultation.receipt_revoked.v1" => ReceiptRevoked,
});

family!(IdentityEvent, Category::Identity, {
    "docket.identity.user_registered.v1" => UserRegistered,
    "docket.identity.verification_requested.v1" => VerificationRequested,
    "docket.identity.address_verified.v1" => AddressVerified,
    "docket.identity.password_reset_requested.v1" => PasswordResetRequested,
    "docket.identity.password_changed.v1" => PasswordChanged,
    "docket.identity.all_sessions_revoked.v1" => AllSessionsRevoked,
    "docket.identity.second_factor_enabled.v1" => SecondFactorEnabled,
    "docket.identity.second_factor_disabled.v1" => SecondFactorDisabled,
    "docket.identity.recovery_code_used.v1" => RecoveryCodeUsed,
    "docket.identity.locked_out.v1" => LockedOut,
    "docket.identity.notification_preferences_set.v1" => NotificationPreferencesSet,
    "docket.identity.organisation_created.v1" => OrganisationCreated,
    "docket.identity.member_added.v1" => MemberAdded,
    "docket.identity.member_invited.v1" => MemberInvited,
    "docket.identity.invitation_revoked.v1" => InvitationRevoked,
    "docket.identity.invitation_accepted.v1" => InvitationAccepted,
    "docket.identity.role_changed.v1" => RoleChanged,
    "docket.identity.member_removed.v1" => MemberRemoved,
    "docket.identity.group_created.v1" => GroupCreated,
    "docket.identity.group_renamed.v1" => GroupRenamed,
    "docket.identity.group_deleted.v1" => GroupDeleted,
    "docket.identity.group_member_added.v1" => GroupMemberAdded,
    "docket.identity.group_member_removed.v1" => GroupMemberRemoved,
    "docket.identity.calendar_set.v1" => CalendarSet,
    "docket.identity.second_factor_demanded.v1" => SecondFactorDemanded,
    "docket.identity.reading_shown.v1" => ReadingShown,
    "docket.identity.session_started.v1" => SessionStarted,
    "docket.identity.session_revoked.v1" => SessionRevoked,
    "docket.identity.api_key_created.v1" => ApiKeyCreated,
    "docket.identity.api_key_rotated.v1" => ApiKeyRotated,
    "docket.identity.api_key_revoked.v1" => ApiKeyRevoked,
    "docket.identity.template_set.v1" => TemplateSet,
    "docket.identity.template_retired.v1" => TemplateRetired,
    "docket.identity.webhook_endpoint_set.v1" => WebhookEndpointSet,
    "docket.identity.webhook_endpoint_enabled.v1" => WebhookEndpointEnabled,
    "docket.identity.webhook_endpoint_disabled.v1" => WebhookEndpointDisabled,
    "docket.identity.webhook_endpoint_removed.v1" => WebhookEndpointRemoved,
    "docket.identity.webhook_secret_rotated.v1" => WebhookSecretRotated,
    "docket.identity.webhook_test_requested.v1" => WebhookTestRequested,
    "docket.identity.webhook_redelivery_requested.v1" => WebhookRedeliveryRequested,
});

family!(KnowledgeEvent, Category::Knowledge, {
    "docket.knowledge.entity_added.v1" => EntityAdded,
    "docket.knowledge.entity_changed.v1" => EntityChanged,
    "docket.knowledge.entity_merged.v1" => EntityMerged,
    "docket.knowledge.entity_retracted.v1" => EntityRetracted,
    "docket.knowledge.relationship_added.v1" => RelationshipAdded,
    "docket.knowledge.relationship_changed.v1" => RelationshipChanged,
    "docket.knowledge.relationship_retracted.v1" => RelationshipRetracted,
});

family!(FeedEvent, Category::Feed, {
    "docket.feed.article_published.v1" => ArticlePublished,
    "docket.feed.article_revised.v1" => ArticleRevised,
    "docket.feed.article_retracted.v1" => ArticleRetracted,
    "docket.feed.topic_set.v1" => TopicSet,
    "docket.feed.topic_removed.v1" => TopicRemoved,
    "docket.feed.preferences_set.v1" => PreferencesSet,
    "docket.feed.article_saved.v1" => ArticleSaved,
    "docket.feed.article_unsaved.v1" => ArticleUnsaved,
});

family!(EngagementEvent, Category::Engagement, {
    "docket.engagement.recorded.v1" => Recorded,
});

/// Any event of any category: what readers of the whole log see.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Of a user, an organisation, a session, an API key or a template.
    Identity(IdentityEvent),
    /// Of a consultation.
    Consultation(ConsultationEvent),
    /// Of an entity or a relationship.
    Knowledge(KnowledgeEvent),
    /// Of an article, the topics, a reader's preferences or a saved article.
    Feed(FeedEvent),
    /// Of what readers do.
    Engagement(EngagementEvent),
}

impl Event {
    /// Reads an event of `category`.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(category: Category, event_type: &str, data: &str) -> Result<Self, DecodeError> {
        match category {
            Category::Identity => IdentityEvent::decode(event_type, data).map(Self::Identity),
            Category::Consultation => ConsultationEvent::decode(event_type, data).map(Self::Consultation),
            Category::Knowledge => KnowledgeEvent::decode(event_type, data).map(Self::Knowledge),
            Category::Feed => FeedEvent::decode(event_type, data).map(Self::Feed),
            Category::Engagement => EngagementEvent::decode(event_type, data).map(Self::Engagement),
        }
    }

    /// The CloudEvents type of this event.
    #[must_use]
    pub fn event_type(&self) -> &'static str {
        match self {
            Self::Identity(event) => event.event_type(),
            Self::Consultation(event) => event.event_type(),
            Self::Knowledge(event) => event.event_type(),
            Self::Feed(event) => event.event_type(),
            Self::Engagement(event) => event.event_type(),
        }
    }

    /// The JSON text of the data.
    ///
    /// # Errors
    /// When a personal field is not sealed.
    pub fn encode(&self) -> Result<String, serde_json::Error> {
        match self {
            Self::Identity(event) => event.encode(),
            Self::Consultation(event) => event.encode(),
            Self::Knowledge(event) => event.encode(),
            Self::Feed(event) => event.encode(),
            Self::Engagement(event) => event.encode(),
        }
    }
}

impl HasPersonal for Event {
    fn visit_personal(&mut self, visit: &mut dyn FnMut(&mut dyn PersonalField)) {
        match self {
            Self::Identity(event) => event.visit_personal(visit),
            Self::Consultation(event) => event.visit_personal(visit),
            Self::Knowledge(event) => event.visit_personal(visit),
            Self::Feed(event) => event.visit_personal(visit),
            Self::Engagement(event) => event.visit_personal(visit),
        }
    }
}
