//! A circuit breaker for each dependency.
//!
//! Owns the decision whether a call is worth trying. Closed, it counts failures in a sliding window; too many open
//! it and calls are refused at once; after a pause that grows it lets one probe through at a time (half-open), and
//! one success closes it. It must not decide what a failure is (the caller classifies: for PostgreSQL only
//! connection failures, never lock or pool waits) and it never retries.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::IntGauge;
use tokio::time::Instant;

use crate::metrics;

/// How sensitive a breaker is and how it comes back.
#[derive(Debug, Clone, Copy)]
pub struct BreakerSettings {
    /// Failures within `window` that open it.
    pub failures: usize,
    /// How long a failure is remembered.
    pub window: Duration,
    /// The first pause before a probe.
    pub open_min: Duration,
    /// The longest pause: each failed probe doubles it up to here.
    pub open_max: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures: 5,
            window: Duration::from_secs(10),
            open_min: Duration::from_millis(500),
            open_max: Duration::from_secs(5),
        }
    }
}

/// Why a guarded call gave no result.
#[derive(Debug, thiserror::Error)]
pub enum BreakerError<E> {
    /// Not tried: the dependency is known to be down.
    #[error("the circuit is open for another {retry_after:?}")]
    Open {
        /// When the next probe may go through.
        retry_after: Duration,
    },
    /// Tried, and this came back.
    #[error(transparent)]
    Failed(E),
}

/// What a breaker is doing, as `docket_breaker_state` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls go through (0).
    Closed,
    /// One probe at a time (1).
    HalfOpen,
    /// Calls are refused (2).
    Open,
}

#[derive(Debug)]
enum State {
    Closed { failures: VecDeque<Instant> },
    Open { until: Instant, pause: Duration },
    HalfOpen { probing: bool, pause: Duration },
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// Rises with each change of state: an outcome of a call begun before the change says nothing about now.
    generation: u64,
}

#[derive(Debug)]
struct Shared {
    dependency: String,
    settings: BreakerSettings,
    gauge: IntGauge,
    inner: Mutex<Inner>,
}

/// A circuit breaker. Clones share one state.
#[derive(Debug, Clone)]
pub struct Breaker(Arc<Shared>);

/// Leave to make one call. Dropped without an outcome (a cancelled call), it counts as nothing.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once guards nothing"]
pub struct Permit {
    breaker: Breaker,
    generation: u64,
    settled: bool,
}

impl Breaker {
    /// A closed breaker for the named dependency, shown in the metrics under that name.
    pub fn new(dependency: impl Into<String>, settings: BreakerSettings) -> Self {
        let dependency = dependency.into();
        let gauge = metrics::int_gauge_vec(
            "docket_breaker_state",
            "State of the circuit breaker: 0 closed, 1 half-open, 2 open.",
            &["dependency"],
        )
        .with_label_values(&[&dependency]);
        gauge.set(0);
        let inner = Inner { state: State::Closed { failures: VecDeque::new() }, generation: 0 };
        Self(Arc::new(Shared { dependency, settings, gauge, inner: Mutex::new(inner) }))
    }

    /// Makes the call unless the circuit is open. Errors that `is_failure` denies change nothing.
    pub async fn call<T, E>(
        &self,
        is_failure: impl FnOnce(&E) -> bool,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, BreakerError<E>> {
        let permit = self.permit().map_err(|retry_after| BreakerError::Open { retry_after })?;
        match call.await {
            Ok(value) => {
                permit.success();
                Ok(value)
            }
            Err(error) => {
                if is_failure(&error) {
                    permit.failure();
                }
                Err(BreakerError::Failed(error))
            }
        }
    }

    /// Leave to make one call, or how long to stay away.
    pub fn permit(&self) -> Result<Permit, Duration> {
        let now = Instant::now();
        let mut inner = self.lock();
        if let State::Open { until, pause } = inner.state {
            if now < until {
                return Err(until - now);
            }
            self.enter(&mut inner, State::HalfOpen { probing: false, pause });
        }
        if let State::HalfOpen { probing, pause } = &mut inner.state {
            if *probing {
                return Err(*pause);
            }
            *probing = true;
        }
        Ok(Permit { breaker: self.clone(), generation: inner.generation, settled: false })
    }

    /// What the breaker is doing.
    pub fn state(&self) -> BreakerState {
        match self.lock().state {
            State::Closed { .. } => BreakerState::Closed,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
            State::Open { .. } => BreakerState::Open,
        }
    }

    /// Whether calls are refused just now. Takes no probe.
    pub fn is_open(&self) -> bool {
        matches!(self.lock().state, State::Open { until, .. } if Instant::now() < until)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // The state is valid after every statement, so a panic elsewhere leaves nothing broken behind.
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, inner: &mut Inner, state: State) {
        let (level, name) = match &state {
            State::Closed { .. } => (0, "closed"),
            State::HalfOpen { .. } => (1, "half-open"),
            State::Open { .. } => (2, "open"),
        };
        self.0.gauge.set(level);
        tracing::info!(dependency = %self.0.dependency, state = name, "circuit breaker");
        inner.state = state;
        inner.generation += 1;
    }

    fn settle(&self, generation: u64, failed: bool) {
        let settings = self.0.settings;
        let now = Instant::now();
        let mut inner = self.lock();
        if inner.generation != generation {
            return;
        }
        let next = match (&mut inner.state, failed) {
            (State::Closed { failures }, true) => {
                failures.push_back(now);
                while failures.front().is_some_and(|first| now - *first > settings.window) {
                    failures.pop_front();
                }
                (failures.len() >= settings.failures)
                    .then(|| State::Open { until: now + settings.open_min, pause: settings.open_min })
            }
            (State::HalfOpen { pause, .. }, true) => {
                let pause = (*pause * 2).min(settings.open_max);
                Some(State::Open { until: now + pause, pause })
            }
            (State::HalfOpen { .. }, false) => Some(State::Closed { failures: VecDeque::new() }),
            (State::Closed { .. }, false) | (State::Open { .. }, _) => None,
        };
        if let Some(state) = next {
            self.enter(&mut inner, state);
        }
    }

    fn release(&self, generation: u64) {
        let mut inner = self.lock();
        if inner.generation == generation
            && let State::HalfOpen { probing, .. } = &mut inner.state
        {
            *probing = false;
        }
    }
}

impl Permit {
    /// The dependency answered.
    pub fn success(mut self) {
        self.settled = true;
        self.breaker.settle(self.generation, false);
    }

    /// The dependency could not be reached.
    pub fn failure(mut self) {
        self.settled = true;
        self.breaker.settle(self.generation, true);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.settled {
            self.breaker.release(self.generation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn settings() -> BreakerSettings {
        BreakerSettings { failures: 3, ..BreakerSettings::default() }
    }

    async fn fail(breaker: &Breaker) -> BreakerError<&'static str> {
        breaker.call(|_| true, async { Err::<(), _>("down") }).await.expect_err("the call fails")
    }

    async fn open(name: &str) -> Breaker {
        let breaker = Breaker::new(name, settings());
        for _ in 0..3 {
            assert!(matches!(fail(&breaker).await, BreakerError::Failed("down")));
        }
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_the_window_open_it_and_calls_are_refused_untried() {
        let breaker = open("opens").await;
        assert_eq!(breaker.state(), BreakerState::Open);
        assert_eq!(breaker.0.gauge.get(), 2);
        let refused = breaker
            .call(|_: &()| true, async { panic!("must not be tried") as Result<(), ()> })
            .await
            .expect_err("refused");
        assert!(matches!(refused, BreakerError::Open { retry_after } if retry_after == Duration::from_millis(500)));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_spread_beyond_the_window_do_not_open_it() {
        let breaker = Breaker::new("spread", settings());
        for _ in 0..10 {
            fail(&breaker).await;
            advance(Duration::from_secs(6)).await;
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn errors_the_caller_does_not_call_failures_are_ignored() {
        let breaker = Breaker::new("ignores", settings());
        for _ in 0..10 {
            let _ = breaker.call(|_| false, async { Err::<(), _>("lock wait") }).await;
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_at_a_time_and_its_success_closes() {
        let breaker = open("probes").await;
        advance(Duration::from_millis(500)).await;
        let probe = breaker.permit().expect("a probe may go");
        assert!(breaker.permit().is_err(), "only one");
        assert_eq!(breaker.0.gauge.get(), 1);
        probe.success();
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert_eq!(breaker.0.gauge.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn failed_probes_double_the_pause_up_to_the_limit_and_a_success_resets_it() {
        let breaker = open("grows").await;
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let Err(pause) = breaker.permit() else { panic!("open") };
            pauses.push(pause.as_millis());
            advance(pause).await;
            breaker.permit().expect("a probe may go").failure();
        }
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 5_000, 5_000]);
        advance(Duration::from_secs(5)).await;
        breaker.permit().expect("a probe may go").success();
        for _ in 0..3 {
            fail(&breaker).await;
        }
        assert_eq!(breaker.permit().expect_err("open again"), Duration::from_millis(500));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_or_ignored_probe_lets_the_next_one_through() {
        let breaker = open("cancelled").await;
        advance(Duration::from_millis(500)).await;
        drop(breaker.permit().expect("a probe may go"));
        let _ = breaker.call(|_| false, async { Err::<(), _>("pool wait") }).await;
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(breaker.permit().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_outcome_from_before_the_change_of_state_is_stale() {
        let breaker = Breaker::new("stale", settings());
        let early = breaker.permit().expect("closed");
        for _ in 0..3 {
            fail(&breaker).await;
        }
        advance(Duration::from_millis(500)).await;
        let probe = breaker.permit().expect("a probe may go");
        early.failure();
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        probe.success();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
