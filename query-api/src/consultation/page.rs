//! Pages of consultations: what may be filtered by, and where the next page begins.
//!
//! Owns the cursor. A cursor is a place in the order (newest first), never a position of the log.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use docket_domain::consultation::State;
use uuid::Uuid;

use crate::read::ReadError;

/// The page that is given when none is asked for.
pub const DEFAULT_PAGE: i32 = 20;
/// The largest page.
pub const LARGEST_PAGE: i32 = 100;

/// The first byte of every cursor.
const FORMAT: u8 = 1;

/// Which consultations are asked for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// In one of these states; empty: in any.
    pub states: Vec<State>,
    /// With this name given by the asker.
    pub external_id: Option<String>,
    /// Asked by this person.
    pub requested_by: Option<Uuid>,
    /// Asked after this instant.
    pub requested_after: Option<DateTime<Utc>>,
    /// Asked before this instant.
    pub requested_before: Option<DateTime<Utc>>,
}

/// The place of one consultation in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// When it was asked.
    pub requested_at: DateTime<Utc>,
    /// Its id.
    pub id: Uuid,
}

impl Cursor {
    /// The opaque text.
    pub fn encode(self) -> String {
        let mut bytes = vec![FORMAT];
        bytes.extend(self.requested_at.timestamp_micros().to_be_bytes());
        bytes.extend(self.id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads the text back.
    ///
    /// # Errors
    /// When it is no cursor.
    pub fn decode(text: &str) -> Result<Self, ReadError> {
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            let (&format, rest) = bytes.split_first()?;
            let (micros, id) = rest.split_first_chunk::<8>()?;
            let requested_at = DateTime::from_timestamp_micros(i64::from_be_bytes(*micros))?;
            // What PostgreSQL cannot hold was never a row's.
            let plausible = (0..10_000).contains(&chrono::Datelike::year(&requested_at));
            (format == FORMAT && plausible).then_some(Self { requested_at, id: Uuid::from_slice(id).ok()? })
        };
        read().ok_or_else(|| ReadError::argument("after", "use a cursor as it was answered."))
    }
}

/// The size of the page asked for.
///
/// # Errors
/// When it is not from 1 to [`LARGEST_PAGE`].
pub fn size(first: Option<i32>) -> Result<usize, ReadError> {
    let first = first.unwrap_or(DEFAULT_PAGE);
    if !(1..=LARGEST_PAGE).contains(&first) {
        return Err(ReadError::argument("first", format!("use a number from 1 to {LARGEST_PAGE}.")));
    }
    Ok(usize::try_from(first).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_as_the_same_place() {
        for micros in [0, 1, 1_700_000_000_123_456, -1_000_000_000] {
            let requested_at = DateTime::from_timestamp_micros(micros).unwrap();
            let cursor = Cursor { requested_at, id: Uuid::from_u128(7) };
            assert_eq!(Cursor::decode(&cursor.encode()).unwrap(), cursor);
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        let huge = [vec![FORMAT], i64::MAX.to_be_bytes().to_vec(), vec![0; 16]].concat();
        for text in
            ["", "AQ", "!", "AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", &URL_SAFE_NO_PAD.encode(huge), &"A".repeat(9_000)]
        {
            assert!(Cursor::decode(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_page_has_from_one_to_a_hundred_items() {
        assert_eq!(size(None).unwrap(), 20);
        assert_eq!(size(Some(100)).unwrap(), 100);
        for wrong in [i32::MIN, -1, 0, 101, i32::MAX] {
            assert!(size(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
