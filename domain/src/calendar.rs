//! Business time: what of the time that passes counts for an organisation.
//!
//! Owns the arithmetic of calendars. Hours are those of the clock on the wall, in the calendar's zone; what lies between is real time, so
//! a working night in which clocks are put back is an hour longer, and one in which they are put forward an hour shorter. It must not
//! read a clock.

use chrono::{DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use docket_events::calendar::{BusinessCalendar, Hours};

/// How far ahead business time is looked for.
const MAX_DAYS: u32 = 366 * 30;
const MAX_HOURS_A_DAY: usize = 10;
const MAX_HOLIDAYS: usize = 1_000;
const MINUTES_A_DAY: u16 = 24 * 60;

/// Why a calendar or a time on the wall does not do: the rest of a sentence that begins with a field's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// The zone is not known.
    #[error("must name a time zone of the IANA database, such as `Europe/Berlin`")]
    UnknownZone,
    /// Not a week.
    #[error("must have a list of hours for each of the seven days of the week, Monday first")]
    NotAWeek,
    /// Hours that are none, or overlap.
    #[error("must have hours that begin before they end, within a day, in order and without overlap")]
    Hours,
    /// Nobody ever works.
    #[error("must have hours on at least one day")]
    NoHours,
    /// Too many days.
    #[error("must not have more than 1000 holidays")]
    TooManyHolidays,
    /// The clock is put forward over it.
    #[error("does not exist: the clock is put forward over it")]
    Skipped,
    /// There is no such instant, or none that can be told.
    #[error("is too far away")]
    TooFar,
}

impl CalendarError {
    /// The field of a calendar that this is about.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::UnknownZone => "time_zone",
            Self::NotAWeek | Self::Hours | Self::NoHours => "week",
            Self::TooManyHolidays => "holidays",
            Self::Skipped | Self::TooFar => "calendar",
        }
    }
}

/// Checks a calendar.
///
/// # Errors
/// See [`CalendarError`].
pub fn check(calendar: &BusinessCalendar) -> Result<(), CalendarError> {
    zone(&calendar.time_zone)?;
    if calendar.week.len() != 7 {
        return Err(CalendarError::NotAWeek);
    }
    for hours in &calendar.week {
        let in_order = hours.windows(2).all(|pair| pair[0].to <= pair[1].from);
        let each = hours.iter().all(|part| part.from < part.to && part.to <= MINUTES_A_DAY);
        if hours.len() > MAX_HOURS_A_DAY || !in_order || !each {
            return Err(CalendarError::Hours);
        }
    }
    if calendar.week.iter().all(Vec::is_empty) {
        return Err(CalendarError::NoHours);
    }
    if calendar.holidays.len() > MAX_HOLIDAYS {
        return Err(CalendarError::TooManyHolidays);
    }
    Ok(())
}

/// The zone of a name.
///
/// # Errors
/// [`CalendarError::UnknownZone`].
pub fn zone(name: &str) -> Result<Tz, CalendarError> {
    name.parse().map_err(|_| CalendarError::UnknownZone)
}

/// The instant at which the clock on the wall of `zone` shows `local`; the first of the two where it is put back over it.
///
/// # Errors
/// [`CalendarError::Skipped`] where it is put forward over it.
pub fn instant(zone: Tz, local: NaiveDateTime) -> Result<DateTime<Utc>, CalendarError> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => Ok(instant.to_utc()),
        LocalResult::None => Err(CalendarError::Skipped),
    }
}

/// The instant at which `time` of business time has passed since `start`.
///
/// # Errors
/// [`CalendarError::TooFar`] beyond 30 years.
pub fn after(
    calendar: &BusinessCalendar,
    start: DateTime<Utc>,
    time: TimeDelta,
) -> Result<DateTime<Utc>, CalendarError> {
    let mut left = time;
    for (opens, closes) in parts(calendar, start)? {
        let from = opens.max(start);
        if closes <= from {
            continue;
        }
        let length = closes - from;
        if left <= length {
            return Ok(from + left);
        }
        left -= length;
    }
    Err(CalendarError::TooFar)
}

/// How much business time lies between two instants; none if the second is not behind the first.
///
/// # Errors
/// When the zone is not known.
pub fn between(
    calendar: &BusinessCalendar,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
) -> Result<TimeDelta, CalendarError> {
    let mut total = TimeDelta::zero();
    for (opens, closes) in parts(calendar, start)? {
        if opens >= end {
            break;
        }
        total += (closes.min(end) - opens.max(start)).max(TimeDelta::zero());
    }
    Ok(total)
}

/// The parts of days on which somebody works, from the day of `start` on, in order.
fn parts(
    calendar: &BusinessCalendar,
    start: DateTime<Utc>,
) -> Result<impl Iterator<Item = (DateTime<Utc>, DateTime<Utc>)> + '_, CalendarError> {
    let zone = zone(&calendar.time_zone)?;
    if !(-100_000..100_000).contains(&start.year()) {
        return Err(CalendarError::TooFar);
    }
    let first = start.with_timezone(&zone).date_naive();
    let days = (0..MAX_DAYS).map_while(move |n| first.checked_add_days(Days::new(u64::from(n))));
    Ok(days.flat_map(move |day| on(calendar, zone, day)))
}

fn on(calendar: &BusinessCalendar, zone: Tz, day: NaiveDate) -> impl Iterator<Item = (DateTime<Utc>, DateTime<Utc>)> {
    let weekday = day.weekday().num_days_from_monday() as usize;
    let hours = match calendar.week.get(weekday) {
        Some(hours) if !calendar.holidays.contains(&day) => hours.as_slice(),
        Some(_) | None => &[],
    };
    let part = move |Hours { from, to }: &Hours| Some((edge(zone, day, *from, false)?, edge(zone, day, *to, true)?));
    hours.iter().filter_map(part).collect::<Vec<_>>().into_iter()
}

/// When the wall shows so many minutes since midnight. Of an hour that comes twice a beginning is the first and an end the second; one
/// that is left out is where the clock is put forward.
fn edge(zone: Tz, day: NaiveDate, minutes: u16, is_end: bool) -> Option<DateTime<Utc>> {
    let local = day.and_time(NaiveTime::MIN).checked_add_signed(TimeDelta::minutes(i64::from(minutes)))?;
    match zone.from_local_datetime(&local) {
        LocalResult::Single(instant) => Some(instant.to_utc()),
        LocalResult::Ambiguous(first, second) => Some(if is_end { second.to_utc() } else { first.to_utc() }),
        LocalResult::None => {
            // What the wall would show had it not been put forward: the offset of a day before still holds.
            let before = zone.from_local_datetime(&(local - TimeDelta::days(1))).earliest()?;
            Some(gap_end(zone, before.to_utc() + TimeDelta::days(1)))
        }
    }
}

/// The instant of the jump before `instant`, which lies behind it by as much as the time that is left out or less.
fn gap_end(zone: Tz, instant: DateTime<Utc>) -> DateTime<Utc> {
    use chrono::Offset;
    let offset = |at: DateTime<Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    let (mut low, mut high) = (instant - TimeDelta::days(1), instant);
    if offset(low) == offset(high) {
        return instant;
    }
    while high - low > TimeDelta::seconds(1) {
        let middle = low + (high - low) / 2;
        if offset(middle) == offset(low) { low = middle } else { high = middle }
    }
    // Jumps are at whole seconds.
    DateTime::from_timestamp(high.timestamp(), 0).unwrap_or(high)
}

#[cfg(test)]
mod tests;
