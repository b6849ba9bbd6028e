//! What is sent, and what comes back.

use std::{fmt, time::Duration};

use chrono::DateTime;
use reqwest::{
    Method, StatusCode,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{OutgoingError, TOTAL};
use crate::clock;

/// A request. `Debug` shows its method alone: targets, headers and bodies may hold secrets.
#[derive(Clone)]
pub struct Request {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) within: Duration,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("method", &self.method).finish_non_exhaustive()
    }
}

impl Request {
    fn new(method: Method, url: impl Into<String>) -> Self {
        Self { method, url: url.into(), headers: HeaderMap::new(), body: Vec::new(), within: TOTAL }
    }

    /// Asks for what is at `url`.
    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::GET, url)
    }

    /// Sends something to `url`.
    #[must_use]
    pub fn post(url: impl Into<String>) -> Self {
        Self::new(Method::POST, url)
    }

    /// Asks that what is at `url` be removed.
    #[must_use]
    pub fn delete(url: impl Into<String>) -> Self {
        Self::new(Method::DELETE, url)
    }

    /// With a header.
    ///
    /// # Errors
    /// [`OutgoingError::Header`] when `value` cannot stand in one.
    pub fn header(mut self, name: HeaderName, value: &str) -> Result<Self, OutgoingError> {
        let value = HeaderValue::from_str(value).map_err(|_| OutgoingError::Header)?;
        self.headers.insert(name, value);
        Ok(self)
    }

    /// With `token` as who asks.
    ///
    /// # Errors
    /// [`OutgoingError::Header`] when it cannot stand in a header.
    pub fn bearer(mut self, token: &str) -> Result<Self, OutgoingError> {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| OutgoingError::Header)?;
        value.set_sensitive(true);
        self.headers.insert(header::AUTHORIZATION, value);
        Ok(self)
    }

    /// With `body` as JSON.
    ///
    /// # Errors
    /// [`OutgoingError::Body`] when it has no JSON form: a map whose keys are no strings.
    pub fn json(mut self, body: &impl Serialize) -> Result<Self, OutgoingError> {
        self.body = serde_json::to_vec(body).map_err(|_| OutgoingError::Body)?;
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(self)
    }

    /// With these bytes; their type is a header.
    #[must_use]
    pub fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    /// To be answered within `limit`, all of it.
    #[must_use]
    pub const fn within(mut self, limit: Duration) -> Self {
        self.within = limit;
        self
    }
}

/// The longest that anybody stays away for asking.
const LONGEST_RETRY: Duration = Duration::from_secs(86_400);

/// An answer. `Debug` shows no body.
#[derive(Clone)]
pub struct Answer {
    /// Its status, a redirect's too.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, up to [`super::ANSWER_LIMIT`].
    pub body: Vec<u8>,
    /// Whether there was more.
    pub cut: bool,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

impl Answer {
    /// A header's text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON, if it is that.
    #[must_use]
    pub fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// How long `Retry-After` asks to stay away: seconds, or a date; a day at most, whatever it asks for.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.header("retry-after")?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds).min(LONGEST_RETRY));
        }
        let date = DateTime::parse_from_rfc2822(text).ok()?;
        Some((date.to_utc() - clock::now()).to_std().unwrap_or_default().min(LONGEST_RETRY))
    }
}
