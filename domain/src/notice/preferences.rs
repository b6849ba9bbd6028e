//! When somebody is told, as they want it.

use chrono::{DateTime, Days, LocalResult, NaiveDate, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use docket_events::identity::{Mailing, NotificationPreferencesSet, QuietHours};

use super::Topic;
use crate::{calendar, identity::Refusal};

const MINUTES_A_DAY: u16 = 24 * 60;

/// What is to be done with a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is told now.
    Now,
    /// It is looked at again then.
    Later(DateTime<Utc>),
    /// It is not told: nobody wants it.
    Never,
}

/// What is to be done at `now` with a notice of `topic` that was noted then. Quiet hours hold back all but what is urgent; a digest
/// goes at the first hour of digests after it was noted.
#[must_use]
pub fn turn(
    preferences: &NotificationPreferencesSet,
    topic: Option<Topic>,
    urgent: bool,
    noted_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Turn {
    let mailing = match topic {
        None => Mailing::AtOnce,
        Some(Topic::Asked) => preferences.asked,
        Some(Topic::Outcome) => preferences.outcome,
    };
    let unless_quiet = || quiet_until(preferences, now).map_or(Turn::Now, Turn::Later);
    match mailing {
        Mailing::None => Turn::Never,
        Mailing::AtOnce if urgent => Turn::Now,
        Mailing::AtOnce => unless_quiet(),
        Mailing::Digest => match digest_after(preferences, noted_at) {
            due if due > now => Turn::Later(due),
            _ => unless_quiet(),
        },
    }
}

/// Checks what somebody wants.
///
/// # Errors
/// [`Refusal::Invalid`], which names the field.
pub fn check(preferences: &NotificationPreferencesSet) -> Result<(), Refusal> {
    let invalid = |field, reason: String| Err(Refusal::Invalid { field, reason });
    if let Err(error) = calendar::zone(&preferences.time_zone) {
        return invalid("time_zone", error.to_string());
    }
    if preferences.digest_hour > 23 {
        return invalid("digest_hour", "must be from 0 to 23".to_owned());
    }
    match preferences.quiet_hours {
        Some(QuietHours { from, to }) if from.max(to) >= MINUTES_A_DAY => {
            invalid("quiet_hours", "must be times of a day".to_owned())
        }
        Some(QuietHours { from, to }) if from == to => {
            invalid("quiet_hours", "must not end when they begin".to_owned())
        }
        _ => Ok(()),
    }
}

/// The end of the quiet hours that are at `now`; none: there are none.
fn quiet_until(preferences: &NotificationPreferencesSet, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let QuietHours { from, to } = preferences.quiet_hours?;
    let zone = zone(preferences);
    let local = now.with_timezone(&zone);
    let minute = (local.hour() * 60 + local.minute()) as u16;
    let is_quiet = if from < to { (from..to).contains(&minute) } else { minute >= from || minute < to };
    let day = if minute < to { local.date_naive() } else { local.date_naive().checked_add_days(Days::new(1))? };
    is_quiet.then(|| instant_after(zone, day, to, now))
}

/// The first hour of digests after an instant.
fn digest_after(preferences: &NotificationPreferencesSet, start: DateTime<Utc>) -> DateTime<Utc> {
    let (zone, minute) = (zone(preferences), u16::from(preferences.digest_hour) * 60);
    let local = start.with_timezone(&zone);
    let today = (local.hour() * 60 + local.minute()) < u32::from(minute);
    let day = if today { Some(local.date_naive()) } else { local.date_naive().checked_add_days(Days::new(1)) };
    day.map_or(start, |day| instant_after(zone, day, minute, start))
}

/// A zone that no release knows any more is as good as none.
fn zone(preferences: &NotificationPreferencesSet) -> Tz {
    calendar::zone(&preferences.time_zone).unwrap_or(Tz::UTC)
}

/// The instant behind `start` at which the clock on the wall shows `minute` of `day`, or the first that it shows behind that where the
/// clock is put forward over it.
fn instant_after(zone: Tz, day: NaiveDate, minute: u16, start: DateTime<Utc>) -> DateTime<Utc> {
    // No clock was ever put forward by more than a day.
    for quarter in 0..=96 {
        let local = day.and_time(chrono::NaiveTime::MIN) + TimeDelta::minutes(i64::from(minute) + quarter * 15);
        match zone.from_local_datetime(&local) {
            LocalResult::Single(instant) if instant > start => return instant.to_utc(),
            LocalResult::Ambiguous(first, _) if first > start => return first.to_utc(),
            LocalResult::Ambiguous(_, second) if second > start => return second.to_utc(),
            LocalResult::Single(_) | LocalResult::Ambiguous(..) | LocalResult::None => {}
        }
    }
    start + TimeDelta::days(1)
}
