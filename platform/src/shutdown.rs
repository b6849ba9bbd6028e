//! The end of a process: who is told, and who is waited for.
//!
//! Owns the shutdown signal and the set of background tasks. It must not stop anything itself: tasks watch
//! [`Shutdown::cancelled`] and finish what they have in hand.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tokio_util::task::TaskTracker;

/// How long a process may take to finish what it has in hand.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(25);

/// Not everything ended in time.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{running} background tasks were still running when the process had to end")]
pub struct DrainTimedOut {
    /// How many tasks were left behind.
    pub running: usize,
}

/// The shutdown of one process (or of one role within it). Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    begun: CancellationToken,
    forced: CancellationToken,
    tracker: TaskTracker,
}

impl Shutdown {
    /// A process that is not ending yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins the shutdown on SIGTERM or SIGINT. A second signal ends the wait for what is still running.
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub fn listen_for_signals(&self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = self.clone();
        // Not tracked: it must outlive the drain to see the second signal.
        tokio::spawn(async move {
            for last in [false, true] {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                tracing::info!(signal = name, forced = last, "shutting down");
                shutdown.begin();
                if last {
                    shutdown.forced.cancel();
                }
            }
        });
        Ok(())
    }

    /// Begins the shutdown. Repeating it changes nothing.
    pub fn begin(&self) {
        self.begun.cancel();
    }

    /// Whether the shutdown has begun.
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Waits for the shutdown to begin.
    pub fn cancelled(&self) -> WaitForCancellationFuture<'_> {
        self.begun.cancelled()
    }

    /// A token that is cancelled when the shutdown begins.
    pub fn token(&self) -> CancellationToken {
        self.begun.clone()
    }

    /// Runs a background task that [`Shutdown::drain`] waits for. It must end soon after [`Shutdown::cancelled`].
    pub fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.tracker.spawn(task)
    }

    /// Begins the shutdown and waits for all background tasks, at most `timeout` (usually [`DRAIN_TIMEOUT`]).
    ///
    /// # Errors
    /// When tasks are still running after `timeout`, or at a second signal.
    pub async fn drain(&self, timeout: Duration) -> Result<(), DrainTimedOut> {
        self.begin();
        self.tracker.close();
        tokio::select! {
            biased;
            () = self.tracker.wait() => return Ok(()),
            () = self.forced.cancelled() => {}
            () = tokio::time::sleep(timeout) => {}
        }
        Err(DrainTimedOut { running: self.tracker.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn draining_waits_for_tasks_that_finish_their_work() {
        let shutdown = Shutdown::new();
        let watched = shutdown.clone();
        let task = shutdown.spawn(async move {
            watched.cancelled().await;
            tokio::time::sleep(Duration::from_secs(3)).await;
            "flushed"
        });
        assert_eq!(shutdown.drain(DRAIN_TIMEOUT).await, Ok(()));
        assert_eq!(task.await.expect("the task ends"), "flushed");
    }

    #[tokio::test(start_paused = true)]
    async fn draining_gives_up_on_a_task_that_does_not_end() {
        let shutdown = Shutdown::new();
        shutdown.spawn(std::future::pending::<()>());
        assert_eq!(shutdown.drain(DRAIN_TIMEOUT).await, Err(DrainTimedOut { running: 1 }));
        assert!(shutdown.has_begun());
    }

    #[tokio::test(start_paused = true)]
    async fn a_forced_end_does_not_wait() {
        let shutdown = Shutdown::new();
        shutdown.spawn(std::future::pending::<()>());
        shutdown.forced.cancel();
        let before = tokio::time::Instant::now();
        assert!(shutdown.drain(DRAIN_TIMEOUT).await.is_err());
        assert_eq!(before.elapsed(), Duration::ZERO);
    }
}
