//! When a delivery that did not come about is tried again.

use std::time::Duration;

/// How long, and how often, deliveries are tried.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Attempts, before an intent is a dead letter.
    pub attempts: u32,
    /// The pause after the first attempt; it doubles with every further one.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// How long one attempt may take.
    pub attempt: Duration,
}

impl Default for Patience {
    /// 14 attempts over about five hours.
    fn default() -> Self {
        Self {
            attempts: 14,
            first: Duration::from_secs(5),
            longest: Duration::from_secs(3600),
            attempt: Duration::from_secs(45),
        }
    }
}

impl Patience {
    /// The pause after attempt number `attempt` (from 1), between half and all of its step: `chance` is from 0 to 255, so that those
    /// that failed together do not come back together. Not shorter than `at_least`, up to the longest pause.
    #[must_use]
    pub(super) fn pause(&self, attempt: u32, chance: u8, at_least: Option<Duration>) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let step = self.first.saturating_mul(1 << doublings).min(self.longest);
        let pause = step / 2 + step * u32::from(chance) / 510;
        at_least.map_or(pause, |least| pause.max(least.min(self.longest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_scatter() {
        let patience = Patience::default();
        let seconds = |attempt, chance| patience.pause(attempt, chance, None).as_millis();
        assert_eq!((seconds(1, 0), seconds(1, 255)), (2_500, 5_000));
        assert_eq!((seconds(4, 0), seconds(4, 255)), (20_000, 40_000));
        assert_eq!((seconds(14, 0), seconds(u32::MAX, 255)), (1_800_000, 3_600_000));
    }

    #[test]
    fn whoever_refused_may_ask_for_more() {
        let patience = Patience::default();
        let pause = |seconds| patience.pause(1, 0, Some(Duration::from_secs(seconds))).as_secs();
        assert_eq!((pause(1), pause(60), pause(86_400)), (2, 60, 3_600));
    }
}
