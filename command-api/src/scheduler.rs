//! The deadline scheduler: ends what is due, reminds and escalates, soon after the time for it has come.
//!
//! Owns nothing of the outcome: a consultation has timed out at its deadline by its own rule, and whatever command comes first says
//! so, and which reminders and escalations were due before it. The scheduler only sees to it that one comes. Several may run: each
//! claims rows for a while (`SKIP LOCKED`), expires their streams by a command like any other, and a claim of one that died runs out.
//! The poll is the truth; the bell only wakes it when a nearer deadline may have been written.

use std::{panic::AssertUnwindSafe, sync::LazyLock, time::Duration};

use docket_domain::{
    Aggregate,
    consultation::{Consultation, Expire, Outcome as Ended, Refusal, decide},
};
use docket_events::{Category, Metadata};
use docket_log::{
    CommandContext, ExecuteError, Outcome, Store,
    bell::Listener,
    deadlines::{self, Due},
    faults,
};
use docket_platform::{ids, metrics};
use futures_util::{FutureExt, StreamExt, stream};
use prometheus::{Histogram, IntCounter};
use tokio_util::sync::CancellationToken;

/// Deadlines that are claimed at once.
const BATCH: u32 = 200;
/// How long a claim holds; a scheduler that died delays its rows by this at most.
const HOLD: Duration = Duration::from_secs(10);
/// Streams that are expired at once.
const CONCURRENCY: usize = 64;
/// The longest sleep, whatever the next deadline and the bell say.
const POLL: Duration = Duration::from_secs(1);
/// The shortest: a busy journal rings all the time.
const REST: Duration = Duration::from_millis(50);
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

static LATENESS: LazyLock<Histogram> = LazyLock::new(|| {
    metrics::histogram(
        "docket_deadline_lateness_seconds",
        "Seconds from a deadline to the time at which it was recorded.",
        &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 600.0, 3600.0],
    )
});
static EXPIRED: LazyLock<IntCounter> = LazyLock::new(|| {
    metrics::int_counter(
        "docket_deadlines_expired_total",
        "Consultations that the scheduler of this process timed out.",
    )
});

/// Why a round was not completed.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error("deadlines cannot be read: {0}")]
    Deadlines(#[from] sqlx::Error),
    #[error("nothing can be expired: {0}")]
    Journal(#[from] ExecuteError),
}

/// Works until `stop`; whatever fails is tried again.
pub async fn run(store: Store, stop: CancellationToken) {
    let mut failures = 0_u32;
    while !stop.is_cancelled() {
        // A panic must not end the clock of the whole installation.
        match AssertUnwindSafe(rounds(&store, &stop, &mut failures)).catch_unwind().await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => tracing::warn!(%error, "the deadline scheduler failed and will go on"),
            Err(_) => tracing::error!("the deadline scheduler panicked and will go on"),
        }
        failures = failures.saturating_add(1);
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(back_off(failures)) => {}
        }
    }
}

/// Doubles with each failure in a row, less a random half, so that replicas do not come back together.
fn back_off(failures: u32) -> Duration {
    let (least, most) = BACK_OFF;
    let whole = least.saturating_mul(1 << failures.min(10)).min(most);
    let [random] = ids::random_bytes::<1>();
    whole.mul_f64(0.5 + f64::from(random) / 512.0)
}

/// Round after round until `stop`.
async fn rounds(store: &Store, stop: &CancellationToken, failures: &mut u32) -> Result<(), RoundError> {
    let mut bell = store.bell().listen();
    loop {
        let claimed = round(store).await?;
        *failures = 0;
        if stop.is_cancelled() {
            return Ok(());
        }
        if claimed < BATCH as usize {
            wait(store, &mut bell, stop).await?;
        }
    }
}

/// Sleeps until there may be something to do.
async fn wait(store: &Store, bell: &mut Listener, stop: &CancellationToken) -> Result<(), RoundError> {
    let next = deadlines::until_next(store.pool()).await?.unwrap_or(POLL).clamp(REST, POLL);
    let woken = async {
        tokio::time::sleep(REST).await;
        bell.heard(next - REST).await;
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = woken => {}
    }
    Ok(())
}

/// Claims and expires once; says how many were claimed.
///
/// A stream that fails alone (it is contended, or cannot be read) comes again when its claim runs out.
async fn round(store: &Store) -> Result<usize, RoundError> {
    let due = deadlines::claim_due(store.pool(), BATCH, HOLD).await?;
    if due.is_empty() {
        return Ok(0);
    }
    faults::step("scheduler.after_claim");
    let claimed = due.len();
    let outcomes: Vec<_> = stream::iter(due)
        .map(|due| async move { (due, expire(store, due).await) })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;
    let mut unreachable = None;
    for (due, outcome) in outcomes {
        match outcome {
            Ok(()) => {}
            Err(RoundError::Journal(ExecuteError::Unreachable)) => unreachable = Some(ExecuteError::Unreachable.into()),
            Err(error) => tracing::warn!(stream = %due.stream, %error, "a deadline waits for its next turn"),
        }
    }
    unreachable.map_or(Ok(claimed), Err)
}

/// Ends one stream that is due, or corrects its row when there is nothing to end.
async fn expire(store: &Store, due: Due) -> Result<(), RoundError> {
    if due.stream.category != Category::Consultation {
        // A newer release put it there, and ends it.
        tracing::warn!(stream = %due.stream, "a deadline of a kind that this release does not know");
        return Ok(());
    }
    let context = CommandContext {
        tenant: due.tenant,
        metadata: Metadata { causation_id: Some("deadline".to_owned()), ..Metadata::default() },
        ..CommandContext::default()
    };
    let mut changed = false;
    let outcome = store
        .execute(&context, due.stream, |state: &Consultation, now| {
            let decided = decide(state, Expire.into(), now);
            changed = !decided.events.is_empty();
            decided
        })
        .await?;
    faults::step("scheduler.after_expire");
    match outcome {
        Outcome::Accepted(accepted) if changed => measure(&accepted.state),
        // Somebody else ended it, or the row is wrong; while the deadline is still ahead the claim just runs out.
        Outcome::Accepted(accepted) if accepted.state.deadline() != Some(due.due_at) => {
            deadlines::correct(store.pool(), due, accepted.state.deadline()).await?;
        }
        Outcome::Accepted(_) => {}
        Outcome::Refused(Refusal::NotFound) => deadlines::correct(store.pool(), due, None).await?,
        Outcome::Refused(refusal) => tracing::error!(stream = %due.stream, %refusal, "the clock was refused"),
    }
    Ok(())
}

fn measure(state: &Consultation) {
    if let Some(Ended::TimedOut { deadline, at, .. }) = &state.outcome {
        EXPIRED.inc();
        LATENESS.observe((*at - *deadline).as_seconds_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_grows_to_a_limit_and_never_ends() {
        for failures in [1, 2, 7, 100, u32::MAX] {
            let pause = back_off(failures);
            assert!(pause >= BACK_OFF.0 / 2 && pause <= BACK_OFF.1, "{failures}: {pause:?}");
        }
        assert!(back_off(30) > back_off(1));
    }
}
