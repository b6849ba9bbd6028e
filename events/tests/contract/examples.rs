//! The values of the frozen files, in clear, and the published key that they are sealed under.

use chrono::{DateTime, Utc};
use docket_events::{
    DataKey, Event, Personal,
    calendar::{BusinessCalendar, Hours},
    consultation::{
        Answer, AnswerKind, Assigned, Claimed, Clock, Commented, ConsultationEvent, Decision, DecisionRule, Delegated,
        Escalated, Escalation, InformationProvided, InformationRequested, LateResponseRecorded, Person, Priority,
        ReceiptRedeemed, ReceiptRevoked, Released, Reminded, Requested, Responded, Rule, TermsSet, TimedOut, VoteCast,
        WithdrawalReason, Withdrawn,
    },
    engagement::{Action, Engaged, EngagementEvent, EngagementRecorded, Item},
    feed::{
        ArticleFacts, ArticlePublished, ArticleRetracted, ArticleRevised, ArticleSaved, ArticleUnsaved, FeedEvent as F,
        PreferencesSet, TopicRemoved, TopicSet,
    },
    identity::{
        AddressVerified, AllSessionsRevoked, ApiKeyCreated, ApiKeyRevoked, ApiKeyRotated, CalendarSet, Channel,
        EndpointEnd, EndpointFormat, GroupCreated, GroupDeleted, GroupMemberAdded, GroupMemberRemoved, GroupRenamed,
        IdentityEvent as I, InvitationAccepted, InvitationRevoked, KeyEnd, LockedOut, LoginMethod, Mailing,
        MemberAdded, MemberEnd, MemberInvited, MemberRemoved, NotificationPreferencesSet, OrganisationCreated,
        PasswordChanged, PasswordProof, PasswordResetRequested, QuietHours, ReadingShown, RecoveryCodeUsed,
        Redelivered, Role, RoleChanged, Scope, SecondFactor, SecondFactorDemanded, SecondFactorDisabled,
        SecondFactorEnabled, SessionEnd, SessionRevoked, SessionStarted, TemplateRetired, TemplateSet, UserRegistered,
        VerificationRequested, WebhookEndpointDisabled, WebhookEndpointEnabled, WebhookEndpointRemoved,
        WebhookEndpointSet, WebhookRedeliveryRequested, WebhookSecretRotated, WebhookTestRequested,
    },
    knowledge::{
        EntityAdded, EntityChanged, EntityFacts, EntityMerged, EntityRetracted, KnowledgeEvent as K, RelationshipAdded,
        RelationshipChanged, RelationshipFacts, RelationshipRetracted,
    },
};
use serde_json::json;
use uuid::Uuid;

/// The key of `fixtures/README.md`.
pub(crate) fn key() -> DataKey {
    DataKey::new(Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_feed), std::array::from_fn(|n| n as u8))
}

pub(crate) const ADA: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001);
pub(crate) const GRACE: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0002);
pub(crate) const COMMENT: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_00c0);
const SESSION: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0005);
const INVITATION: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0006);
const RECEIPT: Uuid = Uuid::from_u128(0x0199_0000_0000_5000_8000_0000_0000_00e0);
const GROUP: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0007);

fn ada() -> Person {
    Person::named(ADA, "Ada Example")
}

fn grace() -> Person {
    Person::named(GRACE, "Grace \u{201c}Größe\u{201d} Example")
}

fn deadline() -> DateTime<Utc> {
    "2026-03-01T12:00:00.000001Z".parse().unwrap()
}

/// An example of every type, in the order of the types.
pub(crate) fn all() -> Vec<Event> {
    let consultation = consultation().into_iter().map(Event::Consultation);
    let identity = identity().into_iter().map(Event::Identity);
    let knowledge = knowledge().into_iter().map(Event::Knowledge);
    let feed = feed().into_iter().map(Event::Feed);
    let engagement = engagement().into_iter().map(Event::Engagement);
    consultation.chain(identity).chain(knowledge).chain(feed).chain(engagement).collect()
}

fn feed() -> Vec<F> {
    let facts = ArticleFacts {
        title: "How leases end".to_owned(),
        summary: "What happens to what a worker held.".to_owned(),
        body: "A lease ends when its holder is silent.\n\nWhoever comes next goes on behind it.".to_owned(),
        content_type: "paper".to_owned(),
        quality: 0.75,
        relevance: 0.5,
        topics: vec!["leases".to_owned()],
        entities: vec![GROUP],
        source_url: Some("https://example.org/leases".to_owned()),
        published_at: deadline(),
    };
    let bare = ArticleFacts {
        summary: String::new(),
        body: String::new(),
        topics: vec![],
        entities: vec![],
        source_url: None,
        ..facts.clone()
    };
    let (user_id, article_id, topic) = (ADA, COMMENT, "leases".to_owned());
    vec![
        F::ArticlePublished(ArticlePublished { facts, external_id: Some("Q1".to_owned()), published_by: ADA }),
        F::ArticleRevised(ArticleRevised { facts: bare, revised_by: GRACE }),
        F::ArticleRetracted(ArticleRetracted { reason: "It was wrong.".to_owned(), retracted_by: GRACE }),
        F::TopicSet(TopicSet {
            topic: topic.clone(),
            name: "Leases".to_owned(),
            parent: Some("time".to_owned()),
            set_by: ADA,
        }),
        F::TopicRemoved(TopicRemoved { topic: topic.clone(), removed_by: ADA }),
        F::PreferencesSet(PreferencesSet { user_id, topics: [(topic, 0.25)].into() }),
        F::ArticleSaved(ArticleSaved { user_id, article_id, note: Some("For the next review.".to_owned()) }),
        F::ArticleUnsaved(ArticleUnsaved { user_id, article_id }),
    ]
}

fn engagement() -> Vec<EngagementEvent> {
    let view = Engaged {
        id: COMMENT,
        action: Action::View,
        item: Item::Article(GROUP),
        at: None,
        dwell_ms: None,
        consultation_id: None,
    };
    let dwell = Engaged {
        id: INVITATION,
        action: Action::Dwell,
        item: Item::Entity(GROUP),
        at: Some(deadline()),
        dwell_ms: Some(12_500),
        consultation_id: Some(COMMENT),
    };
    vec![EngagementEvent::Recorded(EngagementRecorded { user_id: ADA, items: vec![view, dwell] })]
}

fn knowledge() -> Vec<K> {
    let (source_id, target_id) = (COMMENT, GROUP);
    let object = |value: serde_json::Value| value.as_object().cloned().unwrap();
    let facts = EntityFacts {
        entity_type: "location".to_owned(),
        name: "El Paso".to_owned(),
        aliases: vec!["Paso del Norte".to_owned()],
        properties: object(json!({"population": 678_815, "area": {"km2": 671.5}, "twin": null})),
        confidence: 0.75,
        source: Some("the census of 2020".to_owned()),
    };
    let bare = EntityFacts { aliases: vec![], properties: object(json!({})), source: None, ..facts.clone() };
    let related = RelationshipFacts {
        properties: object(json!({"since": 1850})),
        confidence: 1.0,
        source: Some("a map".to_owned()),
    };
    let (added_by, changed_by, retracted_by) = (ADA, GRACE, GRACE);
    vec![
        K::EntityAdded(EntityAdded { facts, external_id: Some("/m/0100mt".to_owned()), added_by }),
        K::EntityChanged(EntityChanged { facts: bare, changed_by }),
        K::EntityMerged(EntityMerged { into: target_id, merged_by: ADA }),
        K::EntityRetracted(EntityRetracted { reason: "It never was.".to_owned(), retracted_by }),
        K::RelationshipAdded(RelationshipAdded {
            source_id,
            relationship_type: "/location/contains".to_owned(),
            target_id,
            facts: related.clone(),
            added_by,
        }),
        K::RelationshipChanged(RelationshipChanged {
            facts: RelationshipFacts { confidence: 0.5, ..related },
            changed_by,
        }),
        K::RelationshipRetracted(RelationshipRetracted { reason: "Another town.".to_owned(), retracted_by }),
    ]
}

fn consultation() -> Vec<ConsultationEvent> {
    let said = |text: &str| Some(text.to_owned());
    let approved = Answer { comment: said("Well prepared."), ..Answer::of(Decision::Approve) };
    vec![
        ConsultationEvent::Requested(Requested {
            body: said("All *checks* are green.\nThe \"freeze\" ends on Sunday. ✓"),
            context: Some(json!({"branch": "release/7", "checks": [1, 2.5, -3, null, true], "nested": {"ß": []}})),
            external_id: said("pr-7"),
            reviewers: vec![GRACE],
            deadline: Some(deadline()),
            ..Requested::new("Merge the release branch?", ada())
        }),
        ConsultationEvent::Commented(Commented::new(COMMENT, grace(), "Which checks?\nAll of them?".to_owned(), None)),
        ConsultationEvent::VoteCast(VoteCast::new(grace(), approved.clone(), None)),
        ConsultationEvent::Responded(Responded {
            decision: approved.decision,
            by: grace(),
            rule: Rule::AnyOne,
            request_version: 1,
            comment: approved.comment.clone(),
            content: None,
            private: None,
            agreed: vec![],
        }),
        ConsultationEvent::Withdrawn(Withdrawn {
            by: ada(),
            reason: WithdrawalReason::Superseded,
            comment: said("See the next one."),
        }),
        ConsultationEvent::TimedOut(TimedOut { deadline: deadline(), default: None }),
        ConsultationEvent::LateResponseRecorded(LateResponseRecorded::new(
            grace(),
            Answer::of(Decision::Reject),
            None,
            2,
        )),
    ]
    .into_iter()
    .chain(work())
    .collect()
}

/// What happens on the way to a decision.
fn work() -> Vec<ConsultationEvent> {
    vec![
        ConsultationEvent::TermsSet(Box::new(terms())),
        ConsultationEvent::Claimed(Claimed { by: grace() }),
        ConsultationEvent::Released(Released { by: grace() }),
        ConsultationEvent::Assigned(Assigned { by: ada(), to: grace() }),
        ConsultationEvent::Delegated(Delegated { by: grace(), to: ada() }),
        ConsultationEvent::InformationRequested(InformationRequested::new(
            COMMENT,
            grace(),
            "Which checks?".to_owned(),
            Some(ADA),
            true,
        )),
        ConsultationEvent::InformationProvided(InformationProvided::new(
            COMMENT,
            ada(),
            "All of them.".to_owned(),
            None,
            Some(Clock { deadline: Some(deadline()), reminders: vec![deadline()], escalations: vec![deadline()] }),
        )),
        ConsultationEvent::Reminded(Reminded { due: deadline() }),
        ConsultationEvent::Escalated(Escalated {
            step: 0,
            due: deadline(),
            reviewers: vec![GRACE],
            priority: Some(Priority::Urgent),
            notify: vec![ADA],
        }),
        ConsultationEvent::ReceiptRedeemed(ReceiptRedeemed { receipt: RECEIPT, by: ada() }),
        ConsultationEvent::ReceiptRevoked(ReceiptRevoked {
            receipt: RECEIPT,
            by: grace(),
            reason: Some("It was performed by hand.".to_owned()),
        }),
    ]
}

fn terms() -> TermsSet {
    TermsSet {
        answer: AnswerKind::Edit {
            proposed: Some(json!({"amount": 100})),
            paths: vec!["/amount".to_owned()],
            schema: Some(json!({"properties": {"amount": {"type": "integer"}}})),
        },
        rule: DecisionRule::Veto { m: 2, holders: vec![GRACE] },
        asker_may_answer: true,
        groups: vec![GROUP],
        roles: vec![Role::Reviewer],
        seats: vec![ADA, GRACE],
        subject: Some(ada()),
        on_timeout: Some(Answer::of(Decision::Reject)),
        reminders: vec![deadline()],
        escalations: vec![Escalation {
            due: deadline(),
            unclaimed: true,
            reviewers: vec![GRACE],
            priority: Some(Priority::High),
            notify: vec![ADA],
        }],
        questions_stop_clock: true,
        calendar: Some(calendar()),
    }
}

fn calendar() -> BusinessCalendar {
    BusinessCalendar {
        time_zone: "Europe/Berlin".to_owned(),
        week: vec![vec![Hours { from: 540, to: 1020 }], vec![], vec![], vec![], vec![], vec![], vec![]],
        holidays: vec![chrono::NaiveDate::from_ymd_opt(2026, 12, 25).unwrap()],
    }
}

fn identity() -> Vec<I> {
    [of_users(), of_organisations(), of_sessions_and_keys()].concat()
}

fn of_users() -> Vec<I> {
    let network = || Personal::known(ADA, "203.0.113.9".to_owned());
    vec![
        I::UserRegistered(UserRegistered {
            email: Personal::known(ADA, "Ada@example.org".to_owned()),
            name: Personal::known(ADA, "Ada Example".to_owned()),
            address: None,
        }),
        I::VerificationRequested(VerificationRequested { channel: Channel::Mail, address: None }),
        I::AddressVerified(AddressVerified { channel: Channel::Mail, address: None }),
        I::PasswordResetRequested(PasswordResetRequested { channel: Channel::Mail, address: None }),
        I::PasswordChanged(PasswordChanged { proof: PasswordProof::MailedLink, kept: None, address: None }),
        I::AllSessionsRevoked(AllSessionsRevoked { kept: SESSION }),
        I::SecondFactorEnabled(SecondFactorEnabled { method: SecondFactor::Totp }),
        I::SecondFactorDisabled(SecondFactorDisabled { method: SecondFactor::Totp }),
        I::RecoveryCodeUsed(RecoveryCodeUsed { left: 9, address: None }),
        I::LockedOut(LockedOut { until: deadline(), address: Some(network()) }),
        I::NotificationPreferencesSet(NotificationPreferencesSet {
            asked: Mailing::Digest,
            outcome: Mailing::None,
            time_zone: "Europe/Berlin".to_owned(),
            digest_hour: 7,
            quiet_hours: Some(QuietHours { from: 1320, to: 420 }),
        }),
    ]
}

fn of_organisations() -> Vec<I> {
    vec![
        I::OrganisationCreated(OrganisationCreated { name: "Example Works".to_owned(), address: None }),
        I::MemberAdded(MemberAdded { user_id: ADA, role: Role::Reviewer, address: None }),
        I::MemberInvited(MemberInvited {
            invitation_id: INVITATION,
            email: Personal::known(INVITATION, "Grace@example.org".to_owned()),
            role: Role::Requester,
            expires_at: deadline(),
        }),
        I::InvitationRevoked(InvitationRevoked { invitation_id: INVITATION }),
        I::InvitationAccepted(InvitationAccepted { invitation_id: INVITATION, user_id: GRACE, address: None }),
        I::RoleChanged(RoleChanged { user_id: ADA, role: Role::Analyst }),
        I::MemberRemoved(MemberRemoved { user_id: ADA, reason: MemberEnd::Left }),
        I::GroupCreated(GroupCreated { group_id: GROUP, name: "Release managers".to_owned() }),
        I::GroupRenamed(GroupRenamed { group_id: GROUP, name: "Releases".to_owned() }),
        I::GroupDeleted(GroupDeleted { group_id: GROUP }),
        I::GroupMemberAdded(GroupMemberAdded { group_id: GROUP, user_id: ADA }),
        I::GroupMemberRemoved(GroupMemberRemoved { group_id: GROUP, user_id: ADA }),
        I::CalendarSet(CalendarSet { calendar: calendar() }),
        I::SecondFactorDemanded(SecondFactorDemanded { roles: vec![Role::Admin, Role::Reviewer] }),
        I::ReadingShown(ReadingShown { shown: true }),
    ]
}

fn of_sessions_and_keys() -> Vec<I> {
    vec![
        I::SessionStarted(SessionStarted {
            user_id: ADA,
            method: LoginMethod::PasswordAndSecondFactor,
            credentials: 3,
            expires_at: deadline(),
            new_place: true,
            address: Some(Personal::known(ADA, "2001:db8::9".to_owned())),
            agent: Some(Personal::known(ADA, "curl/8.5.0".to_owned())),
        }),
        I::SessionRevoked(SessionRevoked { user_id: ADA, reason: SessionEnd::RefreshTokenReused, address: None }),
        I::ApiKeyCreated(ApiKeyCreated {
            name: "release bot".to_owned(),
            scopes: vec![Scope::ConsultationAsk, Scope::ConsultationRead],
            created_by: ADA,
            expires_at: Some(deadline()),
        }),
        I::ApiKeyRotated(ApiKeyRotated { old_until: deadline() }),
        I::ApiKeyRevoked(ApiKeyRevoked { reason: KeyEnd::Revoked }),
        I::TemplateSet(TemplateSet {
            name: "release".to_owned(),
            request: json!({"title": "Release {{version}}?", "labels": ["release"], "timeout_minutes": "{{minutes}}"}),
            values: Some(json!({"properties": {"version": {"type": "string"}}, "required": ["version"]})),
            set_by: ADA,
        }),
        I::TemplateRetired(TemplateRetired { name: "release".to_owned(), retired_by: ADA }),
        I::WebhookEndpointSet(WebhookEndpointSet {
            endpoint_id: GROUP,
            url: Personal::known(GROUP, "https://hooks.example.org/docket".to_owned()),
            description: Some("the release pipeline".to_owned()),
            event_types: vec!["consultation.responded".to_owned(), "consultation.timed_out".to_owned()],
            format: EndpointFormat::Json,
            template: Some(json!({"message": "{{words}}"})),
            set_by: ADA,
        }),
        I::WebhookEndpointEnabled(WebhookEndpointEnabled { endpoint_id: GROUP, enabled_by: ADA }),
        I::WebhookEndpointDisabled(WebhookEndpointDisabled {
            endpoint_id: GROUP,
            reason: EndpointEnd::Failing,
            failing_since: Some(deadline()),
            disabled_by: None,
        }),
        I::WebhookEndpointRemoved(WebhookEndpointRemoved { endpoint_id: GROUP, removed_by: ADA }),
        I::WebhookSecretRotated(WebhookSecretRotated {
            endpoint_id: Some(GROUP),
            old_until: deadline(),
            rotated_by: ADA,
        }),
        I::WebhookTestRequested(WebhookTestRequested { endpoint_id: GROUP, requested_by: ADA }),
        I::WebhookRedeliveryRequested(WebhookRedeliveryRequested {
            endpoint_id: Some(GROUP),
            deliveries: Redelivered::Between { since: deadline(), until: deadline(), failed_only: true },
            requested_by: ADA,
        }),
    ]
}
