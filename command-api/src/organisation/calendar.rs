//! `PUT /api/v1/organisation/calendar`: when the organisation works.

use axum::response::Response;
use chrono::NaiveDate;
use docket_domain::identity::OrganisationCommand;
use docket_events::calendar::{BusinessCalendar, Hours};
use docket_log::Statuses;
use docket_platform::http::Json;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Manage, error::RouteError, resource::OrganisationView, run};
use crate::{
    envelope::Envelope,
    openapi::{CommandHeaders, ManageWithBodyProblems},
    state::State,
};

/// When the organisation works.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CalendarRequest, example = json!({
    "time_zone": "Europe/Berlin",
    "week": [["09:00-12:00", "13:00-17:00"], ["09:00-17:00"], ["09:00-17:00"], ["09:00-17:00"], ["09:00-15:00"], [], []],
    "holidays": ["2026-12-25"],
}))]
pub(super) struct Request {
    /// The time zone, by its name in the IANA database.
    time_zone: String,
    /// The hours of the seven days of the week, Monday first: each a list such as `["09:00-12:00", "13:00-17:00"]`; `24:00` is the end of
    /// a day.
    week: Vec<Vec<String>>,
    /// Days on which nobody works.
    #[serde(default)]
    #[schema(value_type = Vec<String>, format = "date")]
    holidays: Vec<NaiveDate>,
}

/// Minutes since midnight of `HH:MM`.
pub(crate) fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    let (hours, minutes): (u16, u16) = (digits(hours) && digits(minutes))
        .then(|| (hours.parse(), minutes.parse()))
        .and_then(|(hours, minutes)| Some((hours.ok()?, minutes.ok()?)))?;
    (minutes < 60 && hours <= 24).then_some(hours * 60 + minutes)
}

fn hours(text: &str) -> Result<Hours, RouteError> {
    let parts = text.split_once('-').and_then(|(from, to)| Some((minutes(from)?, minutes(to)?)));
    let (from, to) = parts.ok_or(RouteError::Wrong("week", "must have hours such as `09:00-17:00`"))?;
    Ok(Hours { from, to })
}

/// Say when the organisation works
///
/// For requests with `business_time`, from now on; those that were asked before keep the calendar that they were asked with.
#[utoipa::path(
    put, path = "/api/v1/organisation/calendar", operation_id = "set_calendar", tag = "organisation", request_body = Request,
    params(CommandHeaders),
    responses((status = OK, description = "The organisation", body = OrganisationView), ManageWithBodyProblems),
)]
pub(super) async fn handler(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Manage>,
    Json { value: Request { time_zone, week, holidays }, hash }: Json<Request>,
) -> Result<Response, RouteError> {
    let day = |parts: Vec<String>| parts.iter().map(|part| hours(part)).collect::<Result<Vec<_>, _>>();
    let week = week.into_iter().map(day).collect::<Result<Vec<_>, _>>()?;
    let command = OrganisationCommand::SetCalendar(BusinessCalendar { time_zone, week, holidays });
    run::run(&state, &envelope.context(hash, Statuses::default()), command).await?.in_short()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_read_as_they_are_written() {
        assert_eq!(hours("09:00-17:30").unwrap(), Hours { from: 540, to: 1050 });
        assert_eq!(hours("00:00-24:00").unwrap(), Hours { from: 0, to: 1440 });
        for wrong in ["", "9-17", "09:00", "09:00-17:60", "9:00-17:00", "09:00 - 17:00", "-1:00-02:00", "25:00-26:00"] {
            assert!(hours(wrong).is_err(), "{wrong}");
        }
    }
}
