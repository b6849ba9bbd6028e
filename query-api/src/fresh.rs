//! What a client has already: `ETag` with `If-None-Match`, `Last-Modified` with `If-Modified-Since`; and how old an answer is.

use axum::{
    Json,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, NaiveDateTime, SubsecRound, TimeDelta, Utc};
use docket_platform::{clock, http::headers::AGE};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::age::age;

/// HTTP knows whole seconds (RFC 9110, section 5.6.7). A change is told as of the second behind it, and only once that is so long ago that
/// nothing which is on its way could be as of the same second.
const SETTLED: TimeDelta = TimeDelta::seconds(2);
const HTTP_DATE: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// Says how old the answer is, unless it is new.
pub(crate) fn show_age(headers: &mut HeaderMap, lacks_since: Option<DateTime<Utc>>) {
    if let Some(age) = age(lacks_since, clock::now()) {
        headers.insert(AGE, age.into());
    }
}

/// An answer that says how old it is.
pub(crate) fn answer(body: impl Serialize, lacks_since: Option<DateTime<Utc>>) -> Response {
    let mut response = Json(body).into_response();
    show_age(response.headers_mut(), lacks_since);
    response
}

/// Whether `If-None-Match` names this version; weakly compared, as RFC 9110 has it for reads. None: it is not there.
pub(crate) fn matches(headers: &HeaderMap, tag: &HeaderValue) -> Option<bool> {
    headers.contains_key(header::IF_NONE_MATCH).then(|| {
        let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let mut tags = tags.flat_map(|value| value.split(',')).map(str::trim);
        let own = tag.to_str().unwrap_or_default();
        let plain = |text: &str| text.strip_prefix("W/").unwrap_or(text).to_owned();
        tags.any(|known| known == "*" || plain(known) == plain(own))
    })
}

/// The tag of an answer that has no version, by what it shows.
pub(crate) fn tag_of(shown: impl AsRef<[u8]>) -> HeaderValue {
    let digest = Sha256::digest(shown);
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    // Letters and digits between quotes.
    HeaderValue::from_str(&format!("W/\"{hex}\"")).unwrap_or(HeaderValue::from_static("W/\"\""))
}

/// The second as of which something last changed; none: too short ago to tell.
pub(crate) fn last_modified(changed: DateTime<Utc>, lacks_since: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    let second = changed.trunc_subsecs(0) + TimeDelta::seconds(1);
    (lacks_since.is_none() && second + SETTLED < clock::now()).then_some(second)
}

/// Whether a client that names no version has all up to `modified`.
pub(crate) fn is_since(headers: &HeaderMap, modified: Option<DateTime<Utc>>) -> bool {
    let since = headers.get(header::IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
    let since = since.and_then(|text| NaiveDateTime::parse_from_str(text, HTTP_DATE).ok());
    since.zip(modified).is_some_and(|(since, modified)| modified <= since.and_utc())
}

/// Says when it last changed.
pub(crate) fn show_modified(headers: &mut HeaderMap, modified: Option<DateTime<Utc>>) {
    let text = modified.map(|modified| modified.format(HTTP_DATE).to_string());
    if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
        headers.insert(header::LAST_MODIFIED, value);
    }
}

#[cfg(test)]
mod tests {
    use docket_platform::http::etag;

    use super::*;

    #[test]
    fn a_known_version_is_recognised_however_it_is_listed() {
        let known = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, value.parse().unwrap());
            matches(&headers, &etag(7))
        };
        for value in ["\"7\"", "W/\"7\"", "\"6\", \"7\"", "*"] {
            assert_eq!(known(value), Some(true), "{value}");
        }
        for value in ["7", "\"77\"", "\"6\"", ""] {
            assert_eq!(known(value), Some(false), "{value}");
        }
        assert_eq!(matches(&HeaderMap::new(), &etag(7)), None);
    }

    #[test]
    fn a_change_is_told_as_of_the_second_behind_it_once_that_is_settled() {
        let long_ago: DateTime<Utc> = "2026-01-02T12:00:00.5Z".parse().unwrap();
        let told = last_modified(long_ago, None).unwrap();
        assert_eq!(told.to_rfc3339(), "2026-01-02T12:00:01+00:00");
        assert_eq!(last_modified(clock::now(), None), None);
        assert_eq!(last_modified(long_ago, Some(long_ago)), None, "more is on its way");
        let mut headers = HeaderMap::new();
        show_modified(&mut headers, Some(told));
        assert_eq!(headers[header::LAST_MODIFIED], "Fri, 02 Jan 2026 12:00:01 GMT");
        for (since, is_known) in [
            ("Fri, 02 Jan 2026 12:00:01 GMT", true),
            ("Fri, 02 Jan 2026 12:00:02 GMT", true),
            ("Fri, 02 Jan 2026 12:00:00 GMT", false),
            ("yesterday", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MODIFIED_SINCE, since.parse().unwrap());
            assert_eq!(is_since(&headers, Some(told)), is_known, "{since}");
            assert!(!is_since(&headers, None));
        }
    }
}
