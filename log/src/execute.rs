//! The way of every command: load, decide, append; again when another command was faster.

use chrono::{DateTime, Utc};
use docket_domain::{Aggregate, At, Decided};
use docket_events::{EventData, Metadata, NewEvent, StreamId, envelope::MAX_EVENT_BYTES};
use docket_platform::{db, ids};
use uuid::Uuid;

use crate::{
    append::{Append, AppendError, Claim, DeadlineChange, IdempotencyRow, SnapshotRow, Verdict},
    load::{Answered, LoadError, Loaded},
    position::Position,
    store::Store,
    vault::VaultError,
};

/// A snapshot is written at every version that this divides.
pub const SNAPSHOT_EVERY: u64 = 64;

/// How often a command is decided anew before the answer is that the stream is too contended.
const MAX_ATTEMPTS: usize = 24;

/// The key under which a client may repeat a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Hash of tenant, principal, route and key; see [`IdempotencyKey::scoped`].
    pub id: Uuid,
    /// SHA-256 of the request.
    pub request_hash: [u8; 32],
}

impl IdempotencyKey {
    /// The key of one principal on one route.
    #[must_use]
    pub fn scoped(tenant: Uuid, principal: Uuid, route: &str, key: &str, request_hash: [u8; 32]) -> Self {
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        hash.update(tenant.as_bytes());
        hash.update(principal.as_bytes());
        hash.update((route.len() as u64).to_be_bytes());
        hash.update(route);
        hash.update(key);
        let digest = hash.finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        Self { id: Uuid::from_bytes(id), request_hash }
    }
}

/// What comes with a command besides the command.
#[derive(Debug, Clone, Default)]
pub struct CommandContext {
    /// Whose stream it writes; nil for users.
    pub tenant: Uuid,
    /// Who commanded it, and in which request.
    pub metadata: Metadata,
    /// The key under which it may be repeated.
    pub idempotency: Option<IdempotencyKey>,
    /// The version that the client saw and wants to change.
    pub if_match: Option<u64>,
    /// Values that the stream claims.
    pub claims: Vec<Claim>,
    /// The status of an answer after events, and after none.
    pub status: Statuses,
}

/// The HTTP statuses that a command answers with; kept with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statuses {
    /// When it brought events.
    pub changed: u16,
    /// When it changed nothing.
    pub unchanged: u16,
}

impl Default for Statuses {
    fn default() -> Self {
        Self { changed: 200, unchanged: 200 }
    }
}

/// What a command came to.
#[derive(Debug, Clone)]
pub enum Outcome<A, R> {
    /// Done, now or when the key was first used.
    Accepted(Accepted<A>),
    /// Judged and refused; nothing of the command itself was written.
    Refused(R),
}

/// A command that was done.
#[derive(Debug, Clone)]
pub struct Accepted<A> {
    /// The stream: for a repetition the one of the first answer, whatever id was invented this time.
    pub stream: StreamId,
    /// The state after the command, personal fields sealed.
    pub state: A,
    /// The stream's version after the command.
    pub version: u64,
    /// What a read has to see to see this.
    pub position: Position,
    /// The HTTP status of the first answer.
    pub status: u16,
    /// Whether this is the answer to a repetition.
    pub replayed: bool,
}

/// Why a command has no outcome.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The stream stands at another version than the client named.
    #[error("the stream stands at version {actual}")]
    VersionMismatch {
        /// The stream's version.
        actual: u64,
    },
    /// A claimed value belongs to another stream.
    #[error("a value that must be unique is taken")]
    ClaimTaken,
    /// An event would be larger than [`MAX_EVENT_BYTES`].
    #[error("an event would have {bytes} bytes, more than {MAX_EVENT_BYTES}")]
    EventTooLarge {
        /// How large it would be.
        bytes: usize,
    },
    /// Too many others wrote the stream at once; nothing was written.
    #[error("the stream is contended")]
    Contended,
    /// The database cannot be reached; whether the command was done is unknown, and a retry with the same key is safe.
    #[error("the journal cannot be reached")]
    Unreachable,
    /// The shard is locked, or connections are short; nothing was written.
    #[error("the journal is busy")]
    Busy,
    /// What is stored cannot be read by this release, or the database refused; nothing was written.
    #[error("the journal failed: {0}")]
    Internal(String),
}

impl From<sqlx::Error> for ExecuteError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut => Self::Busy,
            error if db::is_connection_failure(&error) => Self::Unreachable,
            error => match error.as_database_error().and_then(|e| e.code()).as_deref() {
                Some("55P03" | "57014") => Self::Busy,
                _ => Self::Internal(error.to_string()),
            },
        }
    }
}

impl From<LoadError> for ExecuteError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Database(error) => error.into(),
            LoadError::Decode(error) => Self::Internal(error.to_string()),
        }
    }
}

impl From<AppendError> for ExecuteError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Unreachable | AppendError::Closed => Self::Unreachable,
            AppendError::Busy => Self::Busy,
            AppendError::Refused(cause) => Self::Internal(cause),
        }
    }
}

impl From<VaultError> for ExecuteError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Database(error) => error.into(),
            VaultError::Personal(error) => Self::Internal(error.to_string()),
        }
    }
}

impl Store {
    /// Decides a command on the stream's newest state and journals what it decided.
    ///
    /// `decide` is called again on a fresh state whenever another command was faster. Its `now` is the database's time, never
    /// earlier than the stream's last event. A stream of another tenant than the context's does not exist. A refusal is given only
    /// after the key was read once more, so that a repetition that overtook its own first attempt gets the first answer.
    ///
    /// # Errors
    /// See [`ExecuteError`].
    pub async fn execute<A: Aggregate, R>(
        &self,
        context: &CommandContext,
        stream: StreamId,
        mut decide: impl FnMut(&A, DateTime<Utc>) -> Decided<A::Event, R>,
    ) -> Result<Outcome<A, R>, ExecuteError> {
        let key = context.idempotency.as_ref().map(|key| key.id);
        let mut turn = None;
        for attempt in 0..MAX_ATTEMPTS {
            // Those who lost a race stand in line here instead of racing each other again; other processes have lines of their own.
            if attempt > 0 && turn.is_none() {
                turn = Some(self.turns().of(stream).lock().await);
            }
            let (loaded, answered) = self.load_in::<A>(context.tenant, stream, key).await?;
            if let Some(answered) = answered {
                return self.repeat(context, stream, answered).await;
            }
            if let Some(expected) = context.if_match
                && expected != loaded.version
            {
                let mismatch = Err(ExecuteError::VersionMismatch { actual: loaded.version });
                return self.unless_answered(context, stream, mismatch).await;
            }
            let now = loaded.last_time.map_or(loaded.now, |last| last.max(loaded.now));
            let decided = if loaded.state.decides_in_clear() {
                let mut open = loaded.state.clone();
                self.vault().open(std::slice::from_mut(&mut open)).await?;
                decide(&open, now)
            } else {
                decide(&loaded.state, now)
            };
            if decided.events.is_empty() {
                if let Some(refusal) = decided.refusal {
                    return self.unless_answered(context, stream, Ok(Outcome::Refused(refusal))).await;
                }
                if context.idempotency.is_none() {
                    return Ok(Outcome::Accepted(self.accepted(stream, &loaded, context.status.unchanged, false)));
                }
            }
            match self.write(context, stream, loaded, decided, now).await? {
                Written::Done(outcome) => return Ok(outcome),
                Written::Answered => {
                    if let Some(answered) = self.answer_of(context).await? {
                        return self.repeat(context, stream, answered).await;
                    }
                    // The first attempt took the key and then failed: decide again.
                }
                Written::Conflict => {}
                Written::ClaimTaken => {
                    return self.unless_answered(context, stream, Err(ExecuteError::ClaimTaken)).await;
                }
            }
        }
        Err(ExecuteError::Contended)
    }

    /// Encodes, seals and appends what was decided.
    async fn write<A: Aggregate, R>(
        &self,
        context: &CommandContext,
        stream: StreamId,
        loaded: Loaded<A>,
        decided: Decided<A::Event, R>,
        now: DateTime<Utc>,
    ) -> Result<Written<A, R>, ExecuteError> {
        let Decided { events, refusal } = decided;
        let changed = !events.is_empty();
        let events = events.into_iter().map(|event| Timed { time: now, id: ids::new_id(), event }).collect();
        let (mut after, mut append) = self.prepare(context, stream, loaded, events).await?;
        let status = if changed { context.status.changed } else { context.status.unchanged };
        // A refused command brings facts, but no answer that could be repeated.
        if refusal.is_none() {
            append.idempotency = context.idempotency.as_ref().map(|key| IdempotencyRow {
                id: key.id,
                request_hash: key.request_hash,
                status,
            });
        } else {
            append.claims.clear();
        }
        match self.append(append).await? {
            Verdict::Appended { version, sequence } => {
                after.version = version;
                // Without events the append tells the shard's sequence. The stream's own is enough to see it, and a repetition tells that.
                if changed {
                    after.sequence = sequence;
                }
                Ok(Written::Done(match refusal {
                    Some(refusal) => Outcome::Refused(refusal),
                    None => Outcome::Accepted(self.accepted(stream, &after, status, false)),
                }))
            }
            Verdict::Answered => Ok(Written::Answered),
            Verdict::Conflict { .. } => Ok(Written::Conflict),
            Verdict::ClaimTaken => Ok(Written::ClaimTaken),
        }
    }

    /// Turns decided events into an append and the state behind it; what `execute` and the importers share.
    ///
    /// # Errors
    /// [`ExecuteError::EventTooLarge`], or when the vault does not answer.
    pub async fn prepare<A: Aggregate>(
        &self,
        context: &CommandContext,
        stream: StreamId,
        mut loaded: Loaded<A>,
        events: Vec<Timed<A::Event>>,
    ) -> Result<(Loaded<A>, Append), ExecuteError> {
        let (times, mut sealed): (Vec<_>, Vec<_>) = events.into_iter().map(|e| ((e.id, e.time), e.event)).unzip();
        self.vault().seal(&mut sealed).await?;
        let expected_version = loaded.version;
        let before = loaded.state.deadline();
        let mut new_events = Vec::with_capacity(sealed.len());
        for ((id, time), event) in times.into_iter().zip(&sealed) {
            let data = event.encode().map_err(|error| ExecuteError::Internal(error.to_string()))?;
            if data.len() > MAX_EVENT_BYTES {
                return Err(ExecuteError::EventTooLarge { bytes: data.len() });
            }
            new_events.push(NewEvent { id, event_type: event.event_type(), time, data });
            loaded.version += 1;
            loaded.last_time = Some(time);
            loaded.state.evolve(event, At { version: loaded.version, time });
        }
        let snapshot = match loaded.last_time {
            Some(time) if loaded.version / SNAPSHOT_EVERY > expected_version / SNAPSHOT_EVERY => Some(SnapshotRow {
                schema: A::SCHEMA,
                version: loaded.version,
                time,
                state: serde_json::to_string(&loaded.state).map_err(|e| ExecuteError::Internal(e.to_string()))?,
            }),
            _ => None,
        };
        let append = Append {
            tenant: context.tenant,
            stream,
            expected_version,
            events: new_events,
            meta: serde_json::to_string(&context.metadata).map_err(|e| ExecuteError::Internal(e.to_string()))?,
            idempotency: None,
            claims: context.claims.clone(),
            deadline: DeadlineChange::between(before, loaded.state.deadline()),
            snapshot,
        };
        Ok((loaded, append))
    }

    fn accepted<A: Aggregate>(&self, stream: StreamId, loaded: &Loaded<A>, status: u16, replayed: bool) -> Accepted<A> {
        Accepted {
            stream,
            state: loaded.state.clone(),
            version: loaded.version,
            position: Position::at(self.installation().shard_of(stream), loaded.sequence),
            status,
            replayed,
        }
    }

    /// Gives the first answer again, rendered from the stream at the version that it showed.
    async fn repeat<A: Aggregate, R>(
        &self,
        context: &CommandContext,
        stream: StreamId,
        answered: Answered,
    ) -> Result<Outcome<A, R>, ExecuteError> {
        let same = context.idempotency.as_ref().is_some_and(|key| key.request_hash[..] == answered.request_hash[..]);
        if !same {
            return Err(ExecuteError::KeyReused);
        }
        let loaded = self.load_at(answered.stream, stream.category, answered.version).await?;
        let first = StreamId::new(stream.category, answered.stream);
        Ok(Outcome::Accepted(self.accepted(first, &loaded, answered.status, true)))
    }

    /// The first answer when the key has one by now, `otherwise` when not.
    async fn unless_answered<A: Aggregate, R>(
        &self,
        context: &CommandContext,
        stream: StreamId,
        otherwise: Result<Outcome<A, R>, ExecuteError>,
    ) -> Result<Outcome<A, R>, ExecuteError> {
        match self.answer_of(context).await? {
            Some(answered) => self.repeat(context, stream, answered).await,
            None => otherwise,
        }
    }

    async fn answer_of(&self, context: &CommandContext) -> Result<Option<Answered>, ExecuteError> {
        match &context.idempotency {
            Some(key) => Ok(self.answered(key.id).await?),
            None => Ok(None),
        }
    }
}

/// An event with the time that was decided for it, and its id.
#[derive(Debug, Clone)]
pub struct Timed<E> {
    /// The decided `now`.
    pub time: DateTime<Utc>,
    /// UUIDv7, or UUIDv5 where a repetition must give the same.
    pub id: Uuid,
    /// The event.
    pub event: E,
}

enum Written<A, R> {
    Done(Outcome<A, R>),
    Answered,
    Conflict,
    ClaimTaken,
}
