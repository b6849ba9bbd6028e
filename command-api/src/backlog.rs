//! How far the relay is behind, so that an outage of Kafka does not pile up events without end.
//!
//! Owns the judgement whether commands are still taken. It must not publish, and must not stop what is not asked by a client:
//! deadlines pass whatever Kafka does.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use docket_log::{Installation, Mode, installation::InstallationError, relay::marks};
use tokio_util::sync::CancellationToken;

use crate::state::State;

/// How often it is measured: a sum over the shards, which costs the database next to nothing.
const PERIOD: Duration = Duration::from_secs(1);

/// What was last seen of the backlog.
#[derive(Debug, Default)]
pub(crate) struct Backlog(AtomicBool);

impl Backlog {
    /// Whether commands are refused.
    pub(crate) fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Measures the backlog until `stop`.
pub(crate) async fn watch(state: State, stop: CancellationToken) {
    let mut before = None;
    loop {
        match measure(&state).await {
            Ok(now) => {
                let full = is_full(before, now, state.config.max_backlog);
                before = now;
                if state.backlog.0.swap(full, Ordering::Relaxed) != full {
                    tell(full, now);
                }
            }
            // Without a database nothing is accepted anyhow.
            Err(error) => tracing::debug!(%error, "the backlog of the relay cannot be read"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

/// How many events wait to be published; none while nobody publishes, because the log is in the journal.
async fn measure(state: &State) -> Result<Option<u64>, InstallationError> {
    let pool = state.store.pool();
    // Looked up each time: `docket log switch` changes it, and a process without brokers does not follow that.
    match Installation::read(pool).await?.mode {
        Mode::Journal => Ok(None),
        Mode::Kafka => Ok(Some(marks::backlog(pool).await?)),
    }
}

/// Whether `now` is too much. A relay that gets on is let get on: a topic that was lost and is filled again is no outage, and as soon
/// as commands come faster than they are published the backlog no longer shrinks.
fn is_full(before: Option<u64>, now: Option<u64>, most: u64) -> bool {
    now.is_some_and(|now| now > most && before.is_none_or(|before| now >= before))
}

fn tell(full: bool, events: Option<u64>) {
    if full {
        tracing::warn!(events, "commands are refused: too many events wait to be published");
    } else {
        tracing::info!(events, "commands are taken again: the relay gets on");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_beyond_the_bound_and_does_not_shrink_is_too_much() {
        assert!(!is_full(None, None, 10), "the log is in the journal");
        assert!(!is_full(None, Some(10), 10));
        assert!(!is_full(Some(9), Some(10), 10));
        assert!(is_full(None, Some(11), 10), "nothing is known of its way yet");
        assert!(is_full(Some(9), Some(11), 10));
        assert!(is_full(Some(11), Some(11), 10), "nobody publishes");
        assert!(!is_full(Some(12), Some(11), 10), "the relay gets on");
    }
}
