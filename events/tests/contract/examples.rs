//! The values of the frozen files, in clear, and the published key that they are sealed under.

use chrono::{DateTime, Utc};
use docket_events::{
    DataKey, Event, Personal,
    consultation::{
        Commented, ConsultationEvent, Decision, LateResponseRecorded, Person, Requested, Responded, Rule, TimedOut,
        VoteCast, WithdrawalReason, Withdrawn,
    },
    identity::{
        Channel, IdentityEvent, MemberAdded, OrganisationCreated, PasswordChanged, PasswordProof,
        PasswordResetRequested, Role, UserRegistered,
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
    consultation.chain(identity().into_iter().map(Event::Identity)).collect()
}

fn consultation() -> Vec<ConsultationEvent> {
    let said = |text: &str| Some(text.to_owned());
    vec![
        ConsultationEvent::Requested(Requested {
            title: "Merge the release branch?".to_owned(),
            body: said("All *checks* are green.\nThe \"freeze\" ends on Sunday. ✓"),
            context: Some(json!({"branch": "release/7", "checks": [1, 2.5, -3, null, true], "nested": {"ß": []}})),
            external_id: said("pr-7"),
            requested_by: ada(),
            reviewers: vec![GRACE],
            deadline: Some(deadline()),
        }),
        ConsultationEvent::Commented(Commented {
            comment_id: COMMENT,
            by: grace(),
            text: "Which checks?\nAll of them?".to_owned(),
        }),
        ConsultationEvent::VoteCast(VoteCast {
            by: grace(),
            decision: Decision::Approve,
            comment: said("Well prepared."),
        }),
        ConsultationEvent::Responded(Responded {
            decision: Decision::Approve,
            by: grace(),
            rule: Rule::AnyOne,
            request_version: 1,
            comment: said("Well prepared."),
        }),
        ConsultationEvent::Withdrawn(Withdrawn {
            by: ada(),
            reason: WithdrawalReason::Superseded,
            comment: said("See the next one."),
        }),
        ConsultationEvent::TimedOut(TimedOut { deadline: deadline() }),
        ConsultationEvent::LateResponseRecorded(LateResponseRecorded {
            by: grace(),
            decision: Decision::Reject,
            comment: None,
            ordinal: 2,
        }),
    ]
}

fn identity() -> Vec<IdentityEvent> {
    vec![
        IdentityEvent::UserRegistered(UserRegistered {
            email: Personal::known(ADA, "Ada@example.org".to_owned()),
            name: Personal::known(ADA, "Ada Example".to_owned()),
        }),
        IdentityEvent::OrganisationCreated(OrganisationCreated { name: "Example Works".to_owned() }),
        IdentityEvent::MemberAdded(MemberAdded { user_id: ADA, role: Role::Reviewer }),
        IdentityEvent::PasswordResetRequested(PasswordResetRequested { channel: Channel::Mail }),
        IdentityEvent::PasswordChanged(PasswordChanged { proof: PasswordProof::MailedLink }),
    ]
}
