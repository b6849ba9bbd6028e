//! `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11): lists of structured fields, an item a policy.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::{Count, WINDOW};

/// The policies that a request is counted under: quota and window.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// What is left of each quota, and the seconds until all of it is there again.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Tells of `counts`; nothing is counted: nothing is told.
pub(super) fn write(counts: &[Count], headers: &mut HeaderMap) {
    if counts.is_empty() {
        return;
    }
    let policy = |count: &Count| format!("\"{}\";q={};w={}", count.kind.name(), count.quota, WINDOW.as_secs());
    let limit =
        |count: &Count| format!("\"{}\";r={};t={}", count.kind.name(), count.remaining, whole_seconds(count.reset));
    for (name, text) in [
        (RATE_LIMIT_POLICY, counts.iter().map(policy).collect::<Vec<_>>()),
        (RATE_LIMIT, counts.iter().map(limit).collect()),
    ] {
        if let Ok(value) = HeaderValue::from_str(&text.join(", ")) {
            headers.insert(name, value);
        }
    }
}

/// As `Retry-After` counts them, so that the two agree.
fn whole_seconds(time: Duration) -> u128 {
    time.as_millis().div_ceil(1_000).max(1)
}
