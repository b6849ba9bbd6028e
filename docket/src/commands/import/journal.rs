//! Whole streams into the journal, many at once; what importers and the seed share.
//!
//! Owns how a write whose outcome is not known is repeated. A stream is written whole by one append or not at all, and one that is there
//! already is left as it is.

use std::fmt::Display;
use std::time::Duration;

use chrono::{DateTime, Utc};
use docket_domain::{Aggregate, Decided};
use docket_events::{EventData, StreamId};
use docket_log::execute::Timed;
use docket_log::load::Loaded;
use docket_log::{AppendError, CommandContext, ExecuteError, Store, Verdict};
use docket_platform::ids;
use futures_util::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use super::bar;
use crate::place::patiently;

/// Commands that are on their way at once: enough to fill the lanes' batches.
const CONCURRENCY: usize = 256;
/// How long a command is tried again while the journal does not answer; repeating it doubles nothing.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A stream that is to begin with what was decided.
#[derive(Debug)]
pub struct Beginning<E, R> {
    /// The stream's id.
    pub id: Uuid,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What the domain made of the command.
    pub decided: Decided<E, R>,
}

/// What came of the streams.
#[derive(Debug, Default, Clone, Copy)]
pub struct Done {
    /// Written now.
    pub written: u64,
    /// There before.
    pub there: u64,
}

impl Done {
    /// All of them.
    pub const fn all(self) -> u64 {
        self.written + self.there
    }

    /// Counts one more; whether it was `written` now.
    pub const fn count(&mut self, written: bool) {
        *(if written { &mut self.written } else { &mut self.there }) += 1;
    }
}

/// Writes all streams that are not there yet, many at once, behind a bar that says `what` they are.
///
/// # Errors
/// When a command is refused, or the journal does not answer for [`PATIENCE`].
pub async fn write_all<A: Aggregate, R: Display>(
    store: &Store,
    context: &CommandContext,
    what: &'static str,
    beginnings: impl ExactSizeIterator<Item = Beginning<A::Event, R>>,
) -> anyhow::Result<Done> {
    let progress = bar(beginnings.len(), what);
    let mut written = stream::iter(beginnings)
        .map(|Beginning { id, at, decided }| async move {
            let stream = StreamId::new(A::Event::CATEGORY, id);
            if let Some(refusal) = decided.refusal {
                anyhow::bail!("{stream} is refused: {refusal}");
            }
            let timed = |event| Timed { id: ids::new_id(), time: at, event };
            let events: Vec<_> = decided.events.into_iter().map(timed).collect();
            Ok(write::<A>(store, context, stream, &events).await?)
        })
        .buffer_unordered(CONCURRENCY);
    let mut done = Done::default();
    while let Some(written) = written.try_next().await? {
        done.count(written);
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(done)
}

/// Writes a stream that is not there, and again when it is not known whether it was written; false: it was there, and is left as it is.
///
/// # Errors
/// See [`ExecuteError`]; that the journal does not answer only after it did not for [`PATIENCE`].
pub async fn write<A: Aggregate>(
    store: &Store,
    context: &CommandContext,
    stream: StreamId,
    events: &[Timed<A::Event>],
) -> Result<bool, ExecuteError> {
    let mut maybe_written = false;
    patiently(PATIENCE, is_passing, async || match attempt::<A>(store, context, stream, events).await {
        // What an attempt before this one wrote is ours.
        Ok(written) => Ok(written || maybe_written),
        Err(error) => {
            maybe_written |= matches!(error, ExecuteError::Unreachable);
            Err(error)
        }
    })
    .await
}

/// Whether it may work in a moment.
pub const fn is_passing(error: &ExecuteError) -> bool {
    matches!(error, ExecuteError::Unreachable | ExecuteError::Busy)
}

async fn attempt<A: Aggregate>(
    store: &Store,
    context: &CommandContext,
    stream: StreamId,
    events: &[Timed<A::Event>],
) -> Result<bool, ExecuteError> {
    let now = events.first().map_or(DateTime::UNIX_EPOCH, |event| event.time);
    let nothing = Loaded { state: A::default(), version: 0, sequence: 0, last_time: None, now };
    let (_, append) = store.prepare(context, stream, nothing, events.to_vec()).await?;
    match store.append(append).await? {
        Verdict::Appended { .. } => Ok(true),
        Verdict::Conflict { .. } => Ok(false),
        // Neither a key nor a claim is part of this append.
        Verdict::Answered | Verdict::ClaimTaken => Err(AppendError::Refused("an unexpected verdict".to_owned()).into()),
    }
}
