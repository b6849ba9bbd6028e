//! Positions: what a client holds to say "at least this new".
//!
//! A position is a vector of sequences over the shards that a command or an answer touched. Outside it is an opaque token that
//! stays valid when the log's mode changes, because it names sequences and no offsets.

use std::{collections::BTreeMap, fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use docket_events::{Category, ShardId};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The first byte of every token.
const FORMAT: u8 = 1;

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
        let Some((&FORMAT, mut rest)) = bytes.split_first() else { return Err(InvalidPosition) };
        let mut position = Self::default();
        while !rest.is_empty() {
            let mut next = || read_varint(&mut rest).ok_or(InvalidPosition);
            let (category, shard, sequence) = (next()?, next()?, next()?);
            let category = i16::try_from(category).ok().and_then(Category::from_code).ok_or(InvalidPosition)?;
            let shard = u16::try_from(shard).map_err(|_| InvalidPosition)?;
            if i64::try_from(sequence).is_err() || shard >= 1024 {
                return Err(InvalidPosition);
            }
            position.raise(ShardId { category, shard }, sequence);
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
    fn foreign_and_damaged_tokens_are_refused() {
        for text in ["", "AA", "!", "AQ==", "AQI", "AQIB", "AQkBAQ", "AQL_____________8BAQ", "zz", &"A".repeat(4096)] {
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
