//! Whether what was read stands in the journal.
//!
//! Owns the rule for reactors: they do nothing for an event that the journal lacks. After PostgreSQL was put back to an older state, topics
//! hold more than the journal until `docket recover` has brought that back; and what a reactor does for an event it finds out in
//! the journal: who is to be told, and of what.

use std::time::Duration;

use docket_log::reader::Reader;

use super::{
    decode::Run,
    engine::{Engine, EngineError},
    shard::Stop,
};
use crate::projection::Schema;

/// How long a shard rests at events that the journal lacks.
const LACKING_REST: Duration = Duration::from_secs(1);

const STAND: &str = "select exists (select from write.journal j
                    where j.category = w.category and j.shard = w.shard and j.sequence = w.sequence and j.event_id = w.event_id)
     from unnest($1::smallint[], $2::smallint[], $3::bigint[], $4::uuid[]) with ordinality
         as w (category, shard, sequence, event_id, number)
     order by w.number";

impl<R: Reader> Engine<R> {
    /// Takes the runs away whose last event the journal lacks, if reactors are to hear of them.
    pub(super) async fn hold_back_unjournalled(&mut self, runs: &mut Vec<Run>) -> Result<(), EngineError> {
        if self.schema != Schema::reactors() {
            return Ok(());
        }
        let last: Vec<_> = runs.iter().filter_map(|run| Some((run.shard, &run.items.last()?.event))).collect();
        if last.is_empty() {
            return Ok(());
        }
        let stand: Vec<bool> = sqlx::query_scalar(STAND)
            .bind(last.iter().map(|(shard, _)| shard.category.code()).collect::<Vec<_>>())
            .bind(last.iter().map(|(shard, _)| shard.shard as i16).collect::<Vec<_>>())
            .bind(last.iter().map(|(_, event)| event.sequence as i64).collect::<Vec<_>>())
            .bind(last.iter().map(|(_, event)| event.id).collect::<Vec<_>>())
            .fetch_all(&self.pool)
            .await?;
        let lacking: Vec<_> = last
            .into_iter()
            .zip(stand)
            .filter(|(_, stands)| !stands)
            .map(|((shard, event), _)| (shard, event.sequence))
            .collect();
        for (shard, sequence) in lacking {
            tracing::error!(%shard, sequence, "reactors wait: the log holds events that the journal lacks; \
                PostgreSQL seems to have been restored, and `docket recover` brings them back");
            self.stop(shard, Stop::Unjournalled, Some(LACKING_REST));
            runs.retain(|run| run.shard != shard);
        }
        Ok(())
    }
}
