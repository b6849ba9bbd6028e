//! Metrics: one registry for the process, the page that shows it, and the figures of HTTP requests.
//!
//! Owns names and labels shared by all roles. It must not put anything a client chooses freely (paths, ids, unknown
//! methods) into a label: each label value costs memory for ever.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

/// Buckets for latencies in seconds: from half a millisecond to half a minute.
pub const LATENCY_BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Buckets for counts such as batch sizes.
pub const COUNT_BUCKETS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

type Hook = Box<dyn Fn() + Send>;

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::new);
static COLLECTORS: LazyLock<Mutex<HashMap<&'static str, Box<dyn Any + Send>>>> = LazyLock::new(Mutex::default);
static HOOKS: LazyLock<Mutex<Vec<Hook>>> = LazyLock::new(Mutex::default);

/// The process's registry.
pub fn registry() -> &'static Registry {
    &REGISTRY
}

/// Runs `hook` before every scrape, for figures that are read rather than counted.
pub fn before_scrape(hook: impl Fn() + Send + 'static) {
    HOOKS.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(hook));
}

/// The collector registered under `name`, made on first use.
///
/// # Panics
/// When `name` is malformed or already names another kind of collector: names are literals, so the first test that
/// runs the line finds it.
fn collector<C>(name: &'static str, make: impl FnOnce() -> prometheus::Result<C>) -> C
where
    C: Collector + Clone + Send + 'static,
{
    let mut collectors = COLLECTORS.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = collectors.entry(name).or_insert_with(|| {
        let made = make().expect("metric names and labels are literals");
        registry().register(Box::new(made.clone())).expect("each name is registered once, here");
        Box::new(made)
    });
    entry.downcast_ref::<C>().expect("one name is one kind of metric").clone()
}

/// A counter.
pub fn int_counter(name: &'static str, help: &str) -> IntCounter {
    collector(name, || IntCounter::new(name, help))
}

/// A counter with labels.
pub fn int_counter_vec(name: &'static str, help: &str, labels: &[&str]) -> IntCounterVec {
    collector(name, || IntCounterVec::new(Opts::new(name, help), labels))
}

/// A gauge of whole numbers.
pub fn int_gauge(name: &'static str, help: &str) -> IntGauge {
    collector(name, || IntGauge::new(name, help))
}

/// A gauge of whole numbers with labels.
pub fn int_gauge_vec(name: &'static str, help: &str, labels: &[&str]) -> IntGaugeVec {
    collector(name, || IntGaugeVec::new(Opts::new(name, help), labels))
}

/// A gauge, for example of seconds.
pub fn gauge(name: &'static str, help: &str) -> Gauge {
    collector(name, || Gauge::new(name, help))
}

/// A gauge with labels.
pub fn gauge_vec(name: &'static str, help: &str, labels: &[&str]) -> GaugeVec {
    collector(name, || GaugeVec::new(Opts::new(name, help), labels))
}

/// A histogram, with [`LATENCY_BUCKETS`] or [`COUNT_BUCKETS`] or its own.
pub fn histogram(name: &'static str, help: &str, buckets: &[f64]) -> Histogram {
    collector(name, || Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
}

/// A histogram with labels.
pub fn histogram_vec(name: &'static str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
    collector(name, || HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
}

/// All metrics in the text format of Prometheus.
pub fn render() -> String {
    for hook in HOOKS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        hook();
    }
    let mut text = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&registry().gather(), &mut text) {
        tracing::error!(%error, "metrics cannot be encoded");
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// `GET /metrics`.
pub async fn handler() -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], render()).into_response()
}

static REQUESTS: LazyLock<HistogramVec> = LazyLock::new(|| {
    histogram_vec(
        "docket_http_request_duration_seconds",
        "Time from a request's head to its answer's head.",
        &["method", "route", "status"],
        LATENCY_BUCKETS,
    )
});
static IN_FLIGHT: LazyLock<IntGauge> =
    LazyLock::new(|| int_gauge("docket_http_requests_in_flight", "Requests being answered."));

struct InFlight;

impl InFlight {
    fn enter() -> Self {
        IN_FLIGHT.inc();
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        IN_FLIGHT.dec();
    }
}

/// Middleware that measures requests by method, route template and status class.
pub async fn track(request: Request, next: Next) -> Response {
    let _in_flight = InFlight::enter();
    let started = Instant::now();
    let method = method_label(request.method());
    let path = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = path.as_ref().map_or("unmatched", MatchedPath::as_str);
    REQUESTS
        .with_label_values(&[method, route, status_label(response.status())])
        .observe(started.elapsed().as_secs_f64());
    response
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn status_label(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Router, body::Body, middleware, routing::get};
    use tower::ServiceExt;

    #[test]
    fn asking_twice_for_a_metric_gives_the_same_one() {
        int_counter("docket_test_twice_total", "A test.").inc();
        int_counter("docket_test_twice_total", "A test.").inc();
        assert_eq!(int_counter("docket_test_twice_total", "A test.").get(), 2);
        assert!(render().contains("docket_test_twice_total 2"));
    }

    #[tokio::test]
    async fn requests_are_counted_by_route_template_not_by_path() {
        let app = Router::new().route("/things/{id}", get(|| async {})).layer(middleware::from_fn(track));
        for id in 0..3 {
            let request = Request::get(format!("/things/{id}")).body(Body::empty()).expect("a request");
            app.clone().oneshot(request).await.expect("infallible");
        }
        let text = render();
        let line = r#"docket_http_request_duration_seconds_count{method="GET",route="/things/{id}",status="2xx"} 3"#;
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn unknown_methods_share_one_label() {
        assert_eq!(method_label(&Method::from_bytes(b"BREW").expect("a method")), "other");
    }
}
