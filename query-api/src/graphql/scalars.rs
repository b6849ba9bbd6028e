//! Scalars that GraphQL itself does not have. Owns how they are written.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

/// An instant: RFC 3339, in UTC, as `2026-01-31T12:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Instant(pub DateTime<Utc>);

#[Scalar(name = "DateTime", specified_by_url = "https://datatracker.ietf.org/doc/html/rfc3339")]
impl ScalarType for Instant {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else { return Err(InputValueError::expected_type(value)) };
        let instant =
            DateTime::parse_from_rfc3339(text).map_err(|_| InputValueError::custom("not an RFC 3339 time"))?;
        Ok(Self(instant.to_utc()))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_as_rest_writes_it() {
        for text in ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.120Z", "2026-01-31T12:00:00.123456Z"] {
            let instant = Instant::parse(Value::from(text)).unwrap();
            assert_eq!(instant.to_value(), Value::from(text));
            assert_eq!(serde_json::to_value(instant.0).unwrap(), text);
        }
        assert!(Instant::parse(Value::from("yesterday")).is_err());
    }
}
