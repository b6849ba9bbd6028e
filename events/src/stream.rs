//! Stream ids, and the frozen hash that picks a stream's shard.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::Category;

/// The identity of one aggregate's stream, written `consultation-0199…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    /// The kind of stream.
    pub category: Category,
    /// The aggregate's own id.
    pub id: Uuid,
}

impl StreamId {
    /// The stream of the aggregate `id` in `category`.
    #[must_use]
    pub const fn new(category: Category, id: Uuid) -> Self {
        Self { category, id }
    }

    /// The shard of this stream in an installation with `shards` shards a category.
    #[must_use]
    pub fn shard(self, shards: u16) -> ShardId {
        ShardId { category: self.category, shard: shard_of(self, shards) }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.category, self.id)
    }
}

/// A text that names no stream.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a stream id such as consultation-01990000-0000-7000-8000-000000000000")]
pub struct InvalidStreamId(pub String);

impl FromStr for StreamId {
    type Err = InvalidStreamId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidStreamId(text.to_owned());
        let (name, id) = text.split_once('-').ok_or_else(invalid)?;
        let category = Category::from_name(name).ok_or_else(invalid)?;
        let id = Uuid::parse_str(id).map_err(|_| invalid())?;
        Ok(Self { category, id })
    }
}

/// One slice of a category; equal to the Kafka partition of the category's topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ShardId {
    /// The kind of stream.
    pub category: Category,
    /// The slice, from 0.
    pub shard: u16,
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.category, self.shard)
    }
}

/// The shard of `stream` among `shards`.
///
/// The first eight bytes of SHA-256 over the stream id's text, big endian, modulo the number of shards. Frozen by
/// `fixtures/shards.json`: another result would tear streams apart.
#[must_use]
pub fn shard_of(stream: StreamId, shards: u16) -> u16 {
    let digest = Sha256::digest(stream.to_string().as_bytes());
    let mut head = [0_u8; 8];
    head.copy_from_slice(&digest[..8]);
    let slot = u64::from_be_bytes(head) % u64::from(shards.max(1));
    // The remainder of a division by a u16 fits a u16.
    slot as u16
}
