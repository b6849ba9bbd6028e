use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use docket_events::calendar::{BusinessCalendar, Hours};
use proptest::prelude::*;

use super::*;

fn hours(from: u16, to: u16) -> Hours {
    Hours { from: from * 60, to: to * 60 }
}

/// Nine to five on weekdays.
fn office(time_zone: &str) -> BusinessCalendar {
    let day = vec![hours(9, 17)];
    let week = (0..7).map(|n| if n < 5 { day.clone() } else { vec![] }).collect();
    BusinessCalendar { time_zone: time_zone.to_owned(), week, holidays: vec![] }
}

/// Around the clock, every day.
fn always(time_zone: &str) -> BusinessCalendar {
    BusinessCalendar { time_zone: time_zone.to_owned(), week: vec![vec![hours(0, 24)]; 7], holidays: vec![] }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn later(calendar: &BusinessCalendar, start: &str, hours: i64) -> String {
    after(calendar, at(start), TimeDelta::hours(hours)).unwrap().to_rfc3339()
}

#[test]
fn time_counts_while_somebody_works() {
    let office = office("Europe/Berlin");
    // A Friday, in summer.
    assert_eq!(later(&office, "2026-06-05T07:00:00Z", 8), "2026-06-05T15:00:00+00:00");
    assert_eq!(later(&office, "2026-06-05T13:00:00Z", 4), "2026-06-08T09:00:00+00:00", "over the weekend");
    assert_eq!(later(&office, "2026-06-06T10:00:00Z", 1), "2026-06-08T08:00:00+00:00", "asked on a Saturday");
    assert_eq!(later(&office, "2026-06-05T03:00:00Z", 1), "2026-06-05T08:00:00+00:00", "before they open");
}

#[test]
fn nobody_works_on_holidays() {
    let holiday = NaiveDate::from_ymd_opt(2026, 6, 8).unwrap();
    let office = BusinessCalendar { holidays: vec![holiday], ..office("Europe/Berlin") };
    assert_eq!(later(&office, "2026-06-05T13:00:00Z", 4), "2026-06-09T09:00:00+00:00");
    let over = between(&office, at("2026-06-05T13:00:00Z"), at("2026-06-09T09:00:00Z")).unwrap();
    assert_eq!(over, TimeDelta::hours(4));
}

#[test]
fn days_of_23_and_25_hours_are_as_long_as_they_are() {
    let always = always("Europe/Berlin");
    for (start, hours, end) in [
        // Midnight of the day on which clocks are put forward, to the next midnight.
        ("2026-03-28T23:00:00Z", 23, "2026-03-29T22:00:00+00:00"),
        ("2026-10-24T22:00:00Z", 25, "2026-10-25T23:00:00+00:00"),
    ] {
        assert_eq!(later(&always, start, hours), end);
        let day = between(&always, at(start), end.parse().unwrap()).unwrap();
        assert_eq!(day, TimeDelta::hours(hours));
    }
}

#[test]
fn a_shift_over_the_changed_hour_is_shorter_or_longer() {
    let night = BusinessCalendar { week: vec![vec![hours(1, 4)]; 7], ..always("Europe/Berlin") };
    let worked = |start, end| between(&night, at(start), at(end)).unwrap().num_hours();
    assert_eq!(worked("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"), 2);
    assert_eq!(worked("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"), 4);
    assert_eq!(worked("2026-06-04T22:00:00Z", "2026-06-05T22:00:00Z"), 3);
    // A shift that begins in the hour that is left out begins when the clock is put forward.
    let late = BusinessCalendar { week: vec![vec![Hours { from: 150, to: 240 }]; 7], ..night };
    let first = after(&late, at("2026-03-28T23:00:00Z"), TimeDelta::minutes(1)).unwrap();
    assert_eq!(first.to_rfc3339(), "2026-03-29T01:01:00+00:00");
}

#[test]
fn a_time_on_the_wall_is_an_instant_unless_it_is_left_out() {
    let berlin = zone("Europe/Berlin").unwrap();
    let local = |text: &str| text.parse().unwrap();
    assert_eq!(instant(berlin, local("2026-06-05T12:00:00")), Ok(at("2026-06-05T10:00:00Z")));
    assert_eq!(instant(berlin, local("2026-03-29T02:30:00")), Err(CalendarError::Skipped));
    assert_eq!(instant(berlin, local("2026-10-25T02:30:00")), Ok(at("2026-10-25T00:30:00Z")), "the first of two");
    assert_eq!(zone("Europe/Atlantis"), Err(CalendarError::UnknownZone));
}

#[test]
fn what_is_no_calendar_is_refused() {
    let good = office("Europe/Berlin");
    assert_eq!(check(&good), Ok(()));
    let week = |day: Vec<Hours>| BusinessCalendar { week: vec![day; 7], ..good.clone() };
    for (calendar, error) in [
        (BusinessCalendar { time_zone: "CEST".to_owned(), ..good.clone() }, CalendarError::UnknownZone),
        (BusinessCalendar { week: vec![vec![]; 6], ..good.clone() }, CalendarError::NotAWeek),
        (week(vec![]), CalendarError::NoHours),
        (week(vec![hours(9, 9)]), CalendarError::Hours),
        (week(vec![hours(9, 25)]), CalendarError::Hours),
        (week(vec![hours(9, 12), hours(11, 17)]), CalendarError::Hours),
        (
            BusinessCalendar { holidays: vec![NaiveDate::MIN; MAX_HOLIDAYS + 1], ..good.clone() },
            CalendarError::TooManyHolidays,
        ),
    ] {
        assert_eq!(check(&calendar), Err(error));
    }
}

#[test]
fn what_lies_beyond_all_time_is_too_far() {
    let office = office("Europe/Berlin");
    assert_eq!(after(&office, at("2026-06-05T07:00:00Z"), TimeDelta::days(366 * 30)), Err(CalendarError::TooFar));
    assert_eq!(after(&office, DateTime::<Utc>::MAX_UTC, TimeDelta::hours(1)), Err(CalendarError::TooFar));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever was waited for has passed by then, and nothing more of it.
    #[test]
    fn between_and_after_are_each_other_s_inverse(
        start in 1_700_000_000_i64..1_900_000_000,
        minutes in 1_i64..60_000,
        zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
        from in 0_u16..20, length in 1_u16..4,
    ) {
        let week = vec![vec![hours(from, from + length)]; 7];
        let calendar = BusinessCalendar { week, ..always(zone) };
        let start = DateTime::from_timestamp(start, 0).unwrap();
        let end = after(&calendar, start, TimeDelta::minutes(minutes)).unwrap();
        prop_assert!(end > start);
        prop_assert_eq!(between(&calendar, start, end).unwrap(), TimeDelta::minutes(minutes));
    }
}
