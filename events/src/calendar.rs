//! When an organisation works, as events carry it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When an organisation works: what time counts where business time is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BusinessCalendar {
    /// The time zone, by its name in the IANA database, such as `Europe/Berlin`.
    pub time_zone: String,
    /// The hours of each day of the week, Monday first: up to seven lists.
    pub week: Vec<Vec<Hours>>,
    /// Days on which nobody works, in the calendar's own zone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holidays: Vec<chrono::NaiveDate>,
}

/// A part of a day, in minutes since midnight of the clock on the wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hours {
    /// From, 0 to 1439.
    pub from: u16,
    /// To, above `from`, up to 1440.
    pub to: u16,
}
