//! What the projector measures of itself.
//!
//! Owns the names. Labels are projections, shards and reasons: few, and none chosen by a client.

use std::sync::LazyLock;

use docket_platform::metrics::{LATENCY_BUCKETS, gauge_vec, histogram, int_counter, int_counter_vec, int_gauge_vec};
use prometheus::{GaugeVec, Histogram, IntCounter, IntCounterVec, IntGaugeVec};

/// The projector's metrics.
pub(crate) struct Metrics {
    pub(crate) lag_events: IntGaugeVec,
    pub(crate) lag_seconds: GaugeVec,
    pub(crate) parked_streams: IntGaugeVec,
    pub(crate) batch_seconds: Histogram,
    pub(crate) batch_size: Histogram,
    pub(crate) parked: IntCounterVec,
    pub(crate) stopped: IntGaugeVec,
    pub(crate) gaps: IntCounterVec,
    pub(crate) fenced: IntCounter,
    pub(crate) failing: IntGaugeVec,
    pub(crate) deliveries: IntCounterVec,
    pub(crate) intents: IntGaugeVec,
    pub(crate) mails: IntCounterVec,
    pub(crate) webhook_seconds: Histogram,
}

/// The one set of them.
pub(crate) fn get() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(|| {
        let place = &["projection", "shard"];
        Metrics {
            lag_events: int_gauge_vec(
                "docket_projection_lag_events",
                "Events that a projection has not applied yet.",
                place,
            ),
            lag_seconds: gauge_vec(
                "docket_projection_lag_seconds",
                "Age of the oldest event that a projection has not applied yet.",
                place,
            ),
            parked_streams: int_gauge_vec(
                "docket_projection_parked_streams",
                "Streams that wait for `docket retry`.",
                place,
            ),
            batch_seconds: histogram(
                "docket_projection_batch_seconds",
                "Seconds per batch, from the decoded events to the commit.",
                LATENCY_BUCKETS,
            ),
            batch_size: histogram(
                "docket_projection_batch_size",
                "Events per batch.",
                &[1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1000.0, 2500.0, 5000.0],
            ),
            parked: int_counter_vec("docket_projection_parked_total", "Streams that were parked.", &["projection"]),
            stopped: int_gauge_vec(
                "docket_projection_stopped",
                "1 while a shard is not worked: unknown_type, parking, gap or halted.",
                &["shard", "reason"],
            ),
            gaps: int_counter_vec(
                "docket_projection_gaps_total",
                "Events that were missing in what was read: healed from the journal or not.",
                &["shard", "healed"],
            ),
            fenced: int_counter(
                "docket_projection_fenced_total",
                "Batches that were not written because a checkpoint had been moved by somebody else.",
            ),
            failing: int_gauge_vec(
                "docket_projection_failing",
                "1 while a projection cannot be written at all and rests.",
                &["projection"],
            ),
            deliveries: int_counter_vec(
                "docket_deliveries_total",
                "Attempts to deliver what a reactor wants: done, failed (tried again), or dead (given up).",
                &["reactor", "outcome"],
            ),
            intents: int_gauge_vec(
                "docket_intents",
                "What reactors want: pending, or dead (given up until `docket deliveries retry`).",
                &["reactor", "state"],
            ),
            mails: int_counter_vec(
                "docket_mails_total",
                "Mails handed to providers: taken, refused (for what they are), setup, limited or down.",
                &["provider", "outcome"],
            ),
            webhook_seconds: histogram(
                "docket_webhook_seconds",
                "Seconds per request to an endpoint, whatever came of it.",
                LATENCY_BUCKETS,
            ),
        }
    });
    &METRICS
}
