//! The wall clock. Owns every reading of the machine's time of day.
//!
//! Nothing else may ask the operating system what time it is: decisions take `now` as a value, so that a replay
//! decides the same. This module must not hand out anything finer than what the database keeps.

use chrono::{DateTime, SubsecRound, Utc};

/// The current time, truncated to microseconds: what PostgreSQL stores is what was decided on.
#[allow(clippy::disallowed_methods, reason = "this module is the one place that reads the wall clock")]
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_has_nothing_finer_than_a_microsecond() {
        assert_eq!(now().timestamp_subsec_nanos() % 1_000, 0);
    }
}
