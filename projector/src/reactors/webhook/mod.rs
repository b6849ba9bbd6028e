//! The reactor `webhooks`: tells endpoints, and the callbacks of requests, what happened.
//!
//! | step | module |
//! |---|---|
//! | events to deliveries, noted with the checkpoint | `note` |
//! | deliveries that are made again | `again` |
//! | whose turn it is, and what an attempt came to | `queue` |
//! | one attempt after another, many at a time | `dispatch` |
//! | what is sent: read, opened and signed at the time of sending | `prepare` |
//! | one request, and what its answer means | `attempt` |
//! | endpoints that are gone, and what is forgotten | `keep` |
//!
//! Of one stream one delivery is under way to an endpoint at a time, in the order of the stream's versions; after a dead letter the
//! next goes on. Streams do not wait for each other, nor endpoints for one that does not answer: each has a share of its own.

mod again;
mod attempt;
mod dispatch;
mod keep;
mod note;
mod prepare;
mod queue;

use std::time::Duration;

use docket_log::Store;
use docket_platform::outgoing::Outgoing;

pub(crate) use dispatch::Dispatch;
pub(crate) use keep::keep;
pub use note::WEBHOOKS;

/// Who tells the world outside, and how.
#[derive(Debug, Clone)]
pub struct Webhooks {
    /// Sends requests.
    pub outgoing: Outgoing,
    /// Takes the command that disables an endpoint.
    pub store: Store,
    /// Where people see this installation, without a slash at the end.
    pub url: String,
}

/// How long, and how often, endpoints are tried.
#[derive(Debug, Clone)]
pub struct Persistence {
    /// The pauses between attempts: one attempt more than there are pauses, and then it is a dead letter.
    pub pauses: Vec<Duration>,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// How long an endpoint may take nothing before it is disabled.
    pub disable_after: Duration,
}

impl Default for Persistence {
    /// 8 attempts over 28 hours; five days.
    fn default() -> Self {
        let seconds = [5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 10 * 3600];
        Self {
            pauses: seconds.map(Duration::from_secs).to_vec(),
            timeout: Duration::from_secs(15),
            disable_after: Duration::from_secs(5 * 86_400),
        }
    }
}

impl Persistence {
    /// The pause after attempt number `attempt` (from 1), up to a tenth longer as `chance` (0 to 255) has it, and not shorter than
    /// whoever refused asked for, up to the longest pause; none: it is given up.
    fn pause(&self, attempt: u32, chance: u8, at_least: Option<Duration>) -> Option<Duration> {
        let step = *self.pauses.get(attempt.saturating_sub(1) as usize)?;
        let longest = self.pauses.iter().max().copied().unwrap_or(step);
        Some((step + step * u32::from(chance) / 2550).max(at_least.unwrap_or_default().min(longest)))
    }

    /// How long a claim holds: somewhat longer than an attempt takes.
    fn claim(&self) -> Duration {
        self.timeout * 4 / 3 + Duration::from_secs(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_5_seconds_to_10_hours_and_then_it_is_given_up() {
        let persistence = Persistence::default();
        let seconds = |attempt| persistence.pause(attempt, 0, None).map(|pause| pause.as_secs());
        assert_eq!((seconds(1), seconds(2), seconds(7), seconds(8)), (Some(5), Some(300), Some(36_000), None));
        assert_eq!(persistence.pause(1, 255, None), Some(Duration::from_millis(5_500)));
    }

    #[test]
    fn whoever_refuses_may_ask_for_more_but_not_for_ever() {
        let pause = |asked| Persistence::default().pause(1, 0, Some(Duration::from_secs(asked))).map(|p| p.as_secs());
        assert_eq!((pause(1), pause(60), pause(86_400)), (Some(5), Some(60), Some(36_000)));
    }
}
