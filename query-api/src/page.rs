//! Pages of lists: how large one is, what it costs, and where the next one begins.
//!
//! Owns the cursor. A cursor is a place in the order of a list, by time and id, never a position of the log.

use async_graphql::{
    OutputType,
    connection::{Connection, Edge},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use uuid::Uuid;

use crate::read::ReadError;

/// The page that is given when none is asked for.
pub const DEFAULT_PAGE: i32 = 20;
/// The largest page.
pub const LARGEST_PAGE: i32 = 100;

/// The first byte of every cursor.
const FORMAT: u8 = 1;

/// The place of one item in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Its time.
    pub at: DateTime<Utc>,
    /// Its id.
    pub id: Uuid,
}

impl Cursor {
    /// The opaque text.
    pub fn encode(self) -> String {
        let mut bytes = vec![FORMAT];
        bytes.extend(self.at.timestamp_micros().to_be_bytes());
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
            let at = DateTime::from_timestamp_micros(i64::from_be_bytes(*micros))?;
            // What PostgreSQL cannot hold was never a row's.
            let plausible = (0..10_000).contains(&chrono::Datelike::year(&at));
            (format == FORMAT && plausible).then_some(Self { at, id: Uuid::from_slice(id).ok()? })
        };
        read().ok_or_else(no_cursor)
    }
}

/// What stands where a cursor should.
pub(crate) fn no_cursor() -> ReadError {
    ReadError::argument("after", "use a cursor as it was answered.")
}

/// The size of the page asked for by the argument `name`.
///
/// # Errors
/// When it is not from 1 to [`LARGEST_PAGE`].
pub(crate) fn size(name: &'static str, number: Option<i32>) -> Result<usize, ReadError> {
    self::number(name, number.unwrap_or(DEFAULT_PAGE))
}

/// The argument `limit` of a plain list.
///
/// # Errors
/// When it is not from 1 to [`LARGEST_PAGE`].
pub fn limit(limit: i32) -> Result<usize, ReadError> {
    number("limit", limit)
}

fn number(name: &'static str, number: i32) -> Result<usize, ReadError> {
    if !(1..=LARGEST_PAGE).contains(&number) {
        return Err(ReadError::argument(name, format!("use a number from 1 to {LARGEST_PAGE}.")));
    }
    Ok(usize::try_from(number).unwrap_or_default())
}

/// The page that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    size: usize,
    /// The place behind which it begins.
    pub after: Option<Cursor>,
}

/// What is asked for of a plain list, as it stands in a query string.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paged {
    pub(crate) limit: Option<i32>,
    pub(crate) after: Option<String>,
}

impl Page {
    /// A page as the arguments ask for it.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn new(first: Option<i32>, after: Option<&str>) -> Result<Self, ReadError> {
        Self::named("first", first, after)
    }

    /// The same, where the size is the argument `name`.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn named(name: &'static str, number: Option<i32>, after: Option<&str>) -> Result<Self, ReadError> {
        Ok(Self { size: size(name, number)?, after: after.map(Cursor::decode).transpose()? })
    }

    /// The same where the size is the argument `limit`.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn limited(limit: Option<i32>, after: Option<&str>) -> Result<Self, ReadError> {
        let size = number("limit", limit.unwrap_or(DEFAULT_PAGE))?;
        Ok(Self { size, after: after.map(Cursor::decode).transpose()? })
    }

    /// How many rows to read: one more than asked for tells whether there is more.
    pub fn limit(&self) -> i64 {
        i64::try_from(self.size + 1).unwrap_or(i64::MAX)
    }

    /// The rows as a connection; `node` gives the place and the item of each.
    pub fn connection<R, T: OutputType>(
        &self,
        mut rows: Vec<R>,
        mut node: impl FnMut(R) -> (Cursor, T),
    ) -> Connection<String, T> {
        let more = rows.len() > self.size;
        rows.truncate(self.size);
        let mut connection = Connection::new(self.after.is_some(), more);
        connection.edges.extend(rows.into_iter().map(|row| {
            let (cursor, node) = node(row);
            Edge::new(cursor.encode(), node)
        }));
        connection
    }
}

impl Page {
    /// The rows of this page alone, and where the next begins; none: it is the last.
    pub fn cut<R>(&self, mut rows: Vec<R>, place: impl FnOnce(&R) -> Cursor) -> (Vec<R>, Option<String>) {
        let more = rows.len() > self.size;
        rows.truncate(self.size);
        let next = rows.last().filter(|_| more).map(place).map(Cursor::encode);
        (rows, next)
    }
}

/// The cost of a page: everything under it is paid for once for each item that it may have.
pub fn cost(first: Option<i32>, child_complexity: usize) -> usize {
    let first = first.unwrap_or(DEFAULT_PAGE).clamp(1, LARGEST_PAGE);
    1 + usize::try_from(first).unwrap_or(1) * child_complexity
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_as_the_same_place() {
        for micros in [0, 1, 1_700_000_000_123_456, -1_000_000_000] {
            let at = DateTime::from_timestamp_micros(micros).unwrap();
            let cursor = Cursor { at, id: Uuid::from_u128(7) };
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
        assert_eq!(size("first", None).unwrap(), 20);
        assert_eq!(size("first", Some(100)).unwrap(), 100);
        for wrong in [i32::MIN, -1, 0, 101, i32::MAX] {
            assert!(size("first", Some(wrong)).is_err(), "{wrong}");
        }
    }
}
