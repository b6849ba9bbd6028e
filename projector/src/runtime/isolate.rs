//! Finding the event that spoils a batch, and nothing else with it.
//!
//! Owns the way of a projection whose rows were refused: transactions of its own, halved until the event stands alone, which then
//! parks its stream. When the data is not at fault, the projection rests and the others go on without it.

use std::time::Duration;

use docket_log::reader::Reader;
use tokio::time::Instant;

use super::{
    engine::{Attempt, Engine, EngineError},
    plan::{Refused, Slice},
    trouble::Trouble,
};
use crate::metrics;

/// How long a projection rests that cannot be written at all.
const FAILING_REST: Duration = Duration::from_secs(5);

impl<R: Reader> Engine<R> {
    /// Applies `slices` for one projection, in as many transactions as it takes.
    pub(super) async fn isolate(&mut self, slices: &[Slice<'_>], projection: usize) -> Result<(), EngineError> {
        let mut refused = Refused::new();
        let mut parts: Vec<Vec<Slice<'_>>> = vec![slices.to_vec()];
        while let Some(part) = parts.pop() {
            match self.attempt(&part, &[projection], &refused).await? {
                Attempt::Done => {}
                Attempt::Fenced(shards) => return self.reload(&shards).await,
                Attempt::Refused { error, .. } if error.is_data() => {
                    if let [Slice { items: [item], .. }] = part.as_slice()
                        && refused.insert((projection, item.event.id), error.to_string()).is_none()
                    {
                        parts.push(part);
                    } else if let Some((first, second)) = halve(&part) {
                        parts.push(second);
                        parts.push(first);
                    } else {
                        // One event, put aside already, and refused still: it is not the event.
                        self.fail(projection, &error.to_string());
                        return Ok(());
                    }
                }
                Attempt::Refused { error, .. } => {
                    self.fail(projection, &error.to_string());
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn fail(&mut self, projection: usize, error: &str) {
        let name = self.registry[projection].info().name;
        if self.meet(|| Trouble::Rows(error.to_owned())) {
            return;
        }
        tracing::error!(projection = name, error, "a projection cannot be written and rests; the others go on");
        metrics::get().failing.with_label_values(&[name]).set(1);
        self.failing.insert(projection, Instant::now() + FAILING_REST);
    }
}

/// The same events in two parts, each shard's order kept; none when there is but one event.
fn halve<'a>(slices: &[Slice<'a>]) -> Option<(Vec<Slice<'a>>, Vec<Slice<'a>>)> {
    let total: usize = slices.iter().map(|slice| slice.items.len()).sum();
    if total < 2 {
        return None;
    }
    let mut left = total / 2;
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for slice in slices {
        let (head, tail) = slice.items.split_at(left.min(slice.items.len()));
        left -= head.len();
        if !head.is_empty() {
            first.push(Slice { shard: slice.shard, items: head });
        }
        if !tail.is_empty() {
            second.push(Slice { shard: slice.shard, items: tail });
        }
    }
    Some((first, second))
}
