//! What the journal measures of itself.

use std::sync::LazyLock;

use docket_platform::metrics::{histogram, int_gauge};
use prometheus::{Histogram, IntGauge};

/// The journal's metrics.
pub(crate) struct Metrics {
    /// Appends that wait for a verdict.
    pub(crate) queued: IntGauge,
    /// Commands per append statement.
    pub(crate) batch_size: Histogram,
    /// Seconds per append statement, the commit included.
    pub(crate) batch_seconds: Histogram,
}

/// The one set of them.
pub(crate) fn get() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics {
        queued: int_gauge("docket_append_queued", "Appends that wait for a verdict."),
        batch_size: histogram(
            "docket_append_batch_size",
            "Commands per append statement.",
            &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0],
        ),
        batch_seconds: histogram(
            "docket_append_seconds",
            "Seconds per append statement, the commit included.",
            &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5],
        ),
    });
    &METRICS
}
