//! `PUT /api/v1/auth/me/notifications`: how one wants to be told by mail of consultations.

use axum::Json as Answer;
use docket_domain::identity::{User, set_notifications};
use docket_events::{
    Category, StreamId,
    identity::{self, NotificationPreferencesSet},
};
use docket_platform::{
    auth::{
        Principal,
        permissions::{self, Action},
    },
    http::Json,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{error::RouteError, origin::Origin};
use crate::{
    error,
    openapi::SessionProblems,
    organisation::minutes,
    run::{self, NotDone},
    state::State,
};

/// How one is told of one kind of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Mailing)]
pub(super) enum Mailing {
    /// As soon as it happens; what comes within a few minutes after a mail goes as one.
    AtOnce,
    /// Once a day, together with the rest.
    Digest,
    /// Not at all.
    None,
}

impl From<Mailing> for identity::Mailing {
    fn from(mailing: Mailing) -> Self {
        match mailing {
            Mailing::AtOnce => Self::AtOnce,
            Mailing::Digest => Self::Digest,
            Mailing::None => Self::None,
        }
    }
}

impl From<identity::Mailing> for Mailing {
    fn from(mailing: identity::Mailing) -> Self {
        match mailing {
            identity::Mailing::AtOnce => Self::AtOnce,
            identity::Mailing::Digest => Self::Digest,
            identity::Mailing::None => Self::None,
        }
    }
}

/// A part of every day. One that ends before it begins goes over midnight.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QuietHours, example = json!({"from": "22:00", "to": "07:00"}))]
pub(super) struct QuietHours {
    /// From, as the clock on the wall shows it: `HH:MM`.
    from: String,
    /// To, likewise.
    to: String,
}

/// How one wants to be told by mail.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NotificationPreferences, example = json!({
    "asked": "at_once", "outcome": "digest", "time_zone": "Europe/Berlin", "digest_hour": 8,
    "quiet_hours": {"from": "22:00", "to": "07:00"},
}))]
pub(super) struct Preferences {
    /// Of what is wanted of one: requests, assignments, reminders, escalations, questions and answers to them.
    asked: Mailing,
    /// Of what came of what one asked, or had a part in: decisions, time-outs, withdrawals.
    outcome: Mailing,
    /// The time zone of the hours, by its name in the IANA database.
    #[serde(default = "utc")]
    #[schema(default = "UTC")]
    time_zone: String,
    /// The hour of the day at which the digest goes, 0 to 23.
    #[serde(default = "morning")]
    #[schema(default = 8, minimum = 0, maximum = 23)]
    digest_hour: u8,
    /// When nothing goes but what is urgent; null: never.
    #[serde(default)]
    quiet_hours: Option<QuietHours>,
}

fn utc() -> String {
    NotificationPreferencesSet::default().time_zone
}

fn morning() -> u8 {
    NotificationPreferencesSet::default().digest_hour
}

impl Preferences {
    /// Those of a user.
    pub(super) fn of(user: &User) -> Self {
        user.notifications.clone().unwrap_or_default().into()
    }

    fn read(self) -> Result<NotificationPreferencesSet, RouteError> {
        let Self { asked, outcome, time_zone, digest_hour, quiet_hours } = self;
        let time = |field, text: &str| {
            // The end of a day is the beginning of the next.
            minutes(text)
                .map(|minutes| minutes % 1440)
                .ok_or_else(|| error::invalid(field, "must be a time such as `22:00`"))
        };
        let quiet = |hours: QuietHours| {
            let (from, to) = (time("quiet_hours.from", &hours.from)?, time("quiet_hours.to", &hours.to)?);
            Ok::<_, RouteError>(identity::QuietHours { from, to })
        };
        let quiet_hours = quiet_hours.map(quiet).transpose()?;
        let (asked, outcome) = (asked.into(), outcome.into());
        Ok(NotificationPreferencesSet { asked, outcome, time_zone, digest_hour, quiet_hours })
    }
}

impl From<NotificationPreferencesSet> for Preferences {
    fn from(set: NotificationPreferencesSet) -> Self {
        let time = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        Self {
            asked: set.asked.into(),
            outcome: set.outcome.into(),
            time_zone: set.time_zone,
            digest_hour: set.digest_hour,
            quiet_hours: set.quiet_hours.map(|hours| QuietHours { from: time(hours.from), to: time(hours.to) }),
        }
    }
}

/// Say how one wants to be told by mail
///
/// In place of all that was said before. Quiet hours hold back all but what is urgent, and what waited goes as one mail when they end.
#[utoipa::path(
    put, path = "/api/v1/auth/me/notifications", operation_id = "set_notifications", tag = "auth", request_body = Preferences,
    responses((status = OK, description = "What counts from now on", body = Preferences), SessionProblems),
)]
pub(super) async fn handler(
    axum::extract::State(state): axum::extract::State<State>,
    principal: Principal,
    origin: Origin,
    Json { value: wanted, .. }: Json<Preferences>,
) -> Result<Answer<Preferences>, RouteError> {
    permissions::check(&principal, Action::ManageSelf)?;
    let wanted = wanted.read()?;
    let stream = StreamId::new(Category::Identity, principal.id);
    let context = origin.of_oneself(&principal);
    let decide = |user: &User, _| set_notifications(user, wanted.clone());
    match run::journal(&state, &context, stream, decide).await {
        Ok(accepted) => Ok(Answer(Preferences::of(&accepted.state))),
        Err(NotDone::Refused(refusal)) => Err(error::of_identity(refusal).into()),
        Err(NotDone::Failed(error)) => Err(error.into()),
    }
}
