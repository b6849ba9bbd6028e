//! Positions: what a client holds to say "at least this new".
//!
//! A position is a vector of sequences over the shards that a command or an answer touched. Outside it is an opaque token that
//! stays valid when the log's mode changes, because it names sequences and no offsets.

use std::{collections::BTreeMap, fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use docket_events::{Category, ShardId};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use uuid::Uuid;

/// The first byte of a token.
const FORMAT: u8 = 1;
/// The first byte of a token that says of which installation it is.
const MARKED: u8 = 2;

/// At least these sequences, per shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position(BTreeMap<ShardId, u64>);

/// A text that is no position of this platform.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a position; use the value of a `Docket-Position` header as it came")]
pub struct InvalidPosition;

impl Position {
    /// The position right behind one event.
    #[must_use]
    pub fn at(shard: ShardId, sequence: u64) -> Self {
        Self(BTreeMap::from([(shard, sequence)]))
    }

    /// The sequence asked for in `shard`; 0 when the position does not speak of it.
    #[must_use]
    pub fn get(&self, shard: ShardId) -> u64 {
        self.0.get(&shard).copied().unwrap_or(0)
    }

    /// Raises the position so that it covers `sequence` of `shard` too.
    pub fn raise(&mut self, shard: ShardId, sequence: u64) {
        let entry = self.0.entry(shard).or_insert(0);
        *entry = (*entry).max(sequence);
    }

    /// Raises the position so that it covers all of `other` too.
    pub fn join(&mut self, other: &Self) {
        for (shard, sequence) in &other.0 {
            self.raise(*shard, *sequence);
        }
    }

    /// The shards spoken of, with their sequences.
    pub fn iter(&self) -> impl Iterator<Item = (ShardId, u64)> + '_ {
        self.0.iter().map(|(shard, sequence)| (*shard, *sequence))
    }

    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A token that says of which installation it is, for those who keep it for long: elsewhere it is refused. Shards that stand side by
    /// side take little more than their sequences, so that a position over all of them is short.
    #[must_use]
    pub fn marked(&self, installation: Uuid) -> String {
        let mut bytes = vec![MARKED];
        bytes.extend_from_slice(&mark(installation));
        let entries: Vec<(ShardId, u64)> = self.iter().collect();
        for run in entries.chunk_by(|(one, _), (next, _)| one.category == next.category && one.shard + 1 == next.shard)
        {
            let (first, _) = run[0];
            write_varint(&mut bytes, u64::from(first.category.code().unsigned_abs()));
            write_varint(&mut bytes, u64::from(first.shard));
            write_varint(&mut bytes, run.len() as u64);
            run.iter().for_each(|(_, sequence)| write_varint(&mut bytes, *sequence));
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token that says of which installation it is.
    ///
    /// # Errors
    /// When it is none, or of another installation.
    pub fn from_marked(text: &str, installation: Uuid) -> Result<Self, InvalidPosition> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidPosition)?;
        let rest = bytes.strip_prefix(&[MARKED]).and_then(|rest| rest.strip_prefix(&mark(installation)));
        rest.and_then(runs).ok_or(InvalidPosition)
    }
}

/// What tells an installation from others: the half of its id that is random.
fn mark(installation: Uuid) -> [u8; 8] {
    installation.as_u64_pair().1.to_be_bytes()
}

/// A shard and a sequence as they may stand in a token.
fn entry(category: u64, shard: u64, sequence: u64) -> Option<(ShardId, u64)> {
    let category = i16::try_from(category).ok().and_then(Category::from_code)?;
    let shard = u16::try_from(shard).ok().filter(|shard| *shard < 1024)?;
    i64::try_from(sequence).ok()?;
    Some((ShardId { category, shard }, sequence))
}

/// What stands behind the mark.
fn runs(mut rest: &[u8]) -> Option<Position> {
    let mut position = Position::default();
    while !rest.is_empty() {
        let (category, first) = (read_varint(&mut rest)?, read_varint(&mut rest)?);
        let end = first.checked_add(read_varint(&mut rest)?)?;
        for shard in first..end {
            let (shard, sequence) = entry(category, shard, read_varint(&mut rest)?)?;
            position.raise(shard, sequence);
        }
    }
    Some(position)
}

impl FromIterator<(ShardId, u64)> for Position {
    fn from_iter<I: IntoIterator<Item = (ShardId, u64)>>(entries: I) -> Self {
        let mut position = Self::default();
        for (shard, sequence) in entries {
            position.raise(shard, sequence);
        }
        position
    }
}

fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![FORMAT];
        for (shard, sequence) in &self.0 {
            write_varint(&mut bytes, u64::from(shard.category.code().unsigned_abs()));
            write_varint(&mut bytes, u64::from(shard.shard));
            write_varint(&mut bytes, *sequence);
        }
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidPosition)?;
        let mut rest = match bytes.split_first() {
            Some((&FORMAT, rest)) => rest,
            // Whoever insists on it waits for sequences; where they were given is asked by those who go on from there.
            Some((&MARKED, rest)) => return rest.get(8..).and_then(runs).ok_or(InvalidPosition),
            _ => return Err(InvalidPosition),
        };
        let mut position = Self::default();
        while !rest.is_empty() {
            let mut next = || read_varint(&mut rest).ok_or(InvalidPosition);
            let (category, shard, sequence) = (next()?, next()?, next()?);
            let (shard, sequence) = entry(category, shard, sequence).ok_or(InvalidPosition)?;
            position.raise(shard, sequence);
        }
        Ok(position)
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn shard(shard: u16) -> ShardId {
        ShardId { category: Category::Consultation, shard }
    }

    #[test]
    fn a_token_reads_back_as_the_same_position() {
        for position in [
            Position::default(),
            Position::at(shard(15), 1),
            [(shard(0), u64::from(u32::MAX) * 7), (shard(1023), i64::MAX as u64)].into_iter().collect(),
        ] {
            assert_eq!(position.to_string().parse(), Ok(position));
        }
    }

    #[test]
    fn a_marked_token_is_of_one_installation_and_a_position_everywhere() {
        let [here, there] = [1, 2].map(Uuid::from_u128);
        let whole: Position = (0..16).map(|n| (shard(n), 1_000_000 + u64::from(n))).collect();
        let gaps: Position = [(shard(0), 1), (shard(1), u64::MAX >> 1), (shard(1023), 3)].into_iter().collect();
        for position in [Position::default(), whole.clone(), gaps] {
            let token = position.marked(here);
            assert_eq!(Position::from_marked(&token, here), Ok(position.clone()));
            assert_eq!(Position::from_marked(&token, there), Err(InvalidPosition));
            assert_eq!(token.parse(), Ok(position));
        }
        assert!(whole.marked(here).len() < 100, "{}", whole.marked(here));
        assert_eq!(Position::from_marked(&whole.to_string(), here), Err(InvalidPosition));
    }

    #[test]
    fn foreign_and_damaged_tokens_are_refused() {
        for text in [
            "",
            "AA",
            "!",
            "AQ==",
            "AQI",
            "Ag",
            "AgAAAAAAAAAAAgD___8P",
            "AgAAAAAAAAAAAv__AwEB",
            "AQIB",
            "AQkBAQ",
            "AQL_____________8BAQ",
            "zz",
            &"A".repeat(4096),
        ] {
            assert_eq!(text.parse::<Position>(), Err(InvalidPosition), "{text}");
        }
    }

    #[test]
    fn joining_takes_the_higher_sequence_of_each_shard() {
        let mut position: Position = [(shard(1), 5), (shard(2), 9)].into_iter().collect();
        position.join(&[(shard(2), 3), (shard(3), 1), (shard(1), 6)].into_iter().collect());
        assert_eq!(position.iter().map(|(s, n)| (s.shard, n)).collect::<Vec<_>>(), [(1, 6), (2, 9), (3, 1)]);
    }
}
