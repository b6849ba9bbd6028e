//! `docket recover`: the tail of the log comes back into a journal that was restored to an older state.
//!
//! Owns the way back from the topics: journal rows, and what is a function of them (deadlines, claims). Each shard is mended in one
//! transaction, so that whoever dies in the middle of it repeats the command. It must not invent an order: what stands in the topic
//! keeps its sequence, and what was journalled since the restore goes behind it, or is set aside.
//!
//! | step | module |
//! |---|---|
//! | where topic and journal part | `divergence` |
//! | the transaction of one shard | `restore` |

mod divergence;
mod restore;

use chrono::{DateTime, Utc};
use docket_events::{Category, DecodeError, Recorded, ShardId, StreamId};
use sqlx::PgPool;

use crate::{
    append::Claim,
    installation::Installation,
    kafka::{KafkaError, Probe},
    reader::ReadError,
};
use divergence::Tail;

/// What is kept beside a stream's events and can be made from them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Derived {
    /// When the clock has to end it.
    pub deadline: Option<DateTime<Utc>>,
    /// The values that it alone may hold.
    pub claims: Vec<Claim>,
    /// Personal fields whose key is not in the vault.
    pub unreadable: usize,
}

/// Makes what is kept beside a stream from its events.
pub trait Derive: Send + Sync {
    /// What belongs to `stream` after `events`, which are all of it.
    ///
    /// # Errors
    /// When an event cannot be read, or the vault does not answer.
    fn derive(
        &self,
        stream: StreamId,
        events: &[Recorded],
    ) -> impl Future<Output = Result<Derived, RecoverError>> + Send;
}

/// Takes what must leave the journal.
pub trait SetAside: Send {
    /// Keeps `events` durably before it returns.
    ///
    /// # Errors
    /// When they could not be kept: then nothing is changed.
    fn keep(&mut self, events: &[Recorded]) -> std::io::Result<()>;
}

/// Why a journal could not be recovered. What is refused leaves every shard as it was; when the database fails on the way, shards that
/// were mended before stay mended, and the command may be repeated.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The database did not answer, or refused.
    #[error("the journal cannot be recovered: {0}")]
    Database(#[from] sqlx::Error),
    /// The topics could not be read.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// The journal could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An event of the tail is of a type that only a newer release knows, or is damaged.
    #[error("the tail cannot be taken over: {0}")]
    Decode(#[from] DecodeError),
    /// The topic lacks an event of its own tail.
    #[error("the topic of {shard} has no event with sequence {sequence}: its tail cannot be taken over")]
    Hole {
        /// The shard.
        shard: ShardId,
        /// What is missing.
        sequence: u64,
    },
    /// Two events stand under one sequence of the topic.
    #[error("the topic of {shard} holds two events with sequence {sequence}: its tail cannot be taken over")]
    Contradiction {
        /// The shard.
        shard: ShardId,
        /// The sequence.
        sequence: u64,
    },
    /// The journal took events since the restore, on streams that the tail goes on with too.
    #[error(
        "since the restore {events} events were journalled on {streams} streams of {shard} that the log goes on with otherwise: \
         they can only be set aside, with --set-aside FILE"
    )]
    Conflict {
        /// The shard.
        shard: ShardId,
        /// So many events.
        events: usize,
        /// Of so many streams.
        streams: usize,
    },
    /// Data keys are missing: names could not be read, nor addresses claimed.
    #[error(
        "{fields} personal fields in the tail of {shard} are sealed under keys that the vault does not have: restore the newest backup \
         of the schema `vault` first, or give them up with --without-keys"
    )]
    KeysMissing {
        /// The shard.
        shard: ShardId,
        /// So many fields.
        fields: usize,
    },
    /// What has to leave the journal could not be kept elsewhere.
    #[error("what has to leave the journal cannot be kept elsewhere: {0}")]
    SetAside(#[from] std::io::Error),
    /// A value that one stream alone may hold is held by two.
    #[error("the stream {stream} of the tail claims a value that {holder} has claimed since the restore")]
    ClaimTaken {
        /// The stream of the tail.
        stream: StreamId,
        /// Who holds the value.
        holder: uuid::Uuid,
    },
    /// A shard moved while it was looked at.
    #[error("{0} is being written to at this moment: stop the command API, or try again")]
    Moving(ShardId),
}

/// What may be given up for a recovery.
#[derive(Debug)]
pub struct Price<'a, S> {
    /// Where events go that contradict the tail; none: they may not be given up.
    pub aside: Option<&'a mut S>,
    /// Whether personal fields whose keys are lost stay lost.
    pub without_keys: bool,
}

/// What became of one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The shard.
    pub shard: ShardId,
    /// Up to here topic and journal had been the same.
    pub common: u64,
    /// Events that came back from the topic.
    pub restored: usize,
    /// Events journalled since the restore that stand behind the tail now.
    pub moved: usize,
    /// Events of the clock since the restore that the tail makes void.
    pub void: usize,
    /// Events that were set aside.
    pub set_aside: usize,
    /// Personal fields that nobody can read: their keys are not in the vault.
    pub unreadable: usize,
    /// Whether projections may have applied what was moved or removed.
    pub projected: bool,
}

/// Brings back the tail of every shard that lacks it, for no more than `price`, and answers what was done; empty: nothing was amiss.
///
/// `owner` belongs to the owner of the schema.
///
/// # Errors
/// See [`RecoverError`].
pub async fn recover(
    owner: &PgPool,
    probe: &Probe,
    installation: Installation,
    derive: &impl Derive,
    mut price: Price<'_, impl SetAside>,
    progress: impl Fn(&Recovered) + Send,
) -> Result<Vec<Recovered>, RecoverError> {
    let shards: Vec<ShardId> = Category::ALL.into_iter().flat_map(|c| installation.shards_of(c)).collect();
    let mut recovered = Vec::new();
    let tails = divergence::find(owner, probe, &shards).await?;
    // What is refused is refused before anything changes.
    let mut plans = Vec::with_capacity(tails.len());
    for tail in &tails {
        plans.push(restore::plan(owner, tail, derive, &price).await?);
    }
    for plan in &plans {
        let done = restore::restore(owner, plan, &mut price).await?;
        progress(&done);
        recovered.push(done);
    }
    Ok(recovered)
}
