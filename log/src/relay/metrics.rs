//! What the relay measures of itself.

use std::sync::LazyLock;

use docket_events::ShardId;
use docket_platform::metrics::{int_counter, int_gauge, int_gauge_vec};
use prometheus::{IntCounter, IntGauge, IntGaugeVec};

/// The relay's metrics.
pub(crate) struct Metrics {
    /// Events handed to the producer.
    pub(crate) sent: IntCounter,
    /// Events that are not acknowledged yet.
    pub(crate) in_flight: IntGauge,
    /// Sessions that ended by a failure.
    pub(crate) sessions_failed: IntCounter,
    /// Journalled events that are not in Kafka yet, over all shards.
    pub(crate) backlog: IntGauge,
    halted: IntGaugeVec,
}

/// The one set of them.
pub(crate) fn get() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics {
        sent: int_counter("docket_relay_sent_total", "Events handed to the producer, repetitions included."),
        in_flight: int_gauge("docket_relay_in_flight", "Events that Kafka has not acknowledged yet."),
        sessions_failed: int_counter(
            "docket_relay_sessions_failed_total",
            "Producers that were given up after a failure.",
        ),
        backlog: int_gauge("docket_relay_backlog", "Journalled events that are not in Kafka yet."),
        halted: int_gauge_vec(
            "docket_relay_halted",
            "1 where topic and journal contradict each other and nothing is published.",
            &["shard"],
        ),
    });
    &METRICS
}

/// Shows whether a shard is halted.
pub(crate) fn halted(shard: ShardId, is: bool) {
    get().halted.with_label_values(&[&shard.to_string()]).set(i64::from(is));
}
