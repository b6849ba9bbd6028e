//! How old an answer is: since when the journal has had an event that the read model lacks.
//!
//! Owns the watch over what projections lack. While Kafka or a projector is away reads are served from what was applied, and say so by
//! `Docket-Age` and `extensions.age`. It must not hold a read up.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use docket_events::{Category, ShardId};
use docket_log::Position;
use docket_platform::Shutdown;
use sqlx::{PgPool, Row};

use crate::position::{SOURCES, Source, sequence, shard};

/// Answers that lack nothing older than this are new: events take their time on the way to the read model.
const NEW: TimeDelta = TimeDelta::seconds(1);

/// The first event that a projection lacks in a shard.
#[derive(Debug, Clone, Copy)]
struct Lack {
    sequence: u64,
    /// When it was journalled.
    since: DateTime<Utc>,
}

/// What the projections lack, as last looked at. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Ages(Arc<RwLock<BTreeMap<(String, ShardId), Lack>>>);

impl Ages {
    /// Since when an answer of `source` that has seen `seen` is out of date; of the shard `only`, if it is of one. None: it lacks
    /// nothing that is known.
    pub(crate) fn lacks_since(&self, source: Source, seen: &Position, only: Option<ShardId>) -> Option<DateTime<Utc>> {
        let lacking = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let asked = lacking.iter().filter(|((projection, shard), _)| {
            projection == source.projection
                && shard.category == source.category
                && only.is_none_or(|only| only == *shard)
        });
        asked.filter(|((_, shard), lack)| seen.get(*shard) < lack.sequence).map(|(_, lack)| lack.since).min()
    }

    /// Looks every `period` until the shutdown. While nothing can be read, what was known before stands.
    pub(crate) async fn watch(self, pool: PgPool, period: Duration, shutdown: Shutdown) {
        loop {
            match look(&pool).await {
                Ok(lacking) => *self.0.write().unwrap_or_else(PoisonError::into_inner) = lacking,
                Err(error) => tracing::debug!(%error, "the age of the read models cannot be read"),
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(period) => {}
            }
        }
    }
}

async fn look(pool: &PgPool) -> Result<BTreeMap<(String, ShardId), Lack>, sqlx::Error> {
    let (projections, categories): (Vec<&str>, Vec<i16>) =
        SOURCES.iter().map(|source| (source.projection, source.category.code())).unzip();
    let rows = sqlx::query("select projection, category, shard, sequence, since from read.lacking($1, $2)")
        .bind(projections)
        .bind(categories)
        .fetch_all(pool)
        .await?;
    let mut lacking = BTreeMap::new();
    for row in rows {
        let Some(category) = Category::from_code(row.try_get("category")?) else { continue };
        let lack = Lack { sequence: sequence(row.try_get("sequence")?), since: row.try_get("since")? };
        lacking.insert((row.try_get("projection")?, shard(category, row.try_get("shard")?)), lack);
    }
    Ok(lacking)
}

/// Whole seconds that an answer is out of date at `now`, which lacks something `since`; none while it counts as new.
#[must_use]
pub fn age(since: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<i64> {
    since.map(|since| now - since).filter(|age| *age >= NEW).map(|age| age.num_seconds())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::{CONSULTATION, CONSULTATION_STATS};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn the_oldest_event_that_an_answer_lacks_tells_its_age() {
        let [zero, one] = [0, 1].map(|number| shard(Category::Consultation, number));
        let lack = |sequence, since| Lack { sequence, since: at(since) };
        let name = CONSULTATION.projection.to_owned();
        let lacking = [((name.clone(), zero), lack(7, 100)), ((name, one), lack(3, 50))];
        let ages = Ages(Arc::new(RwLock::new(lacking.into_iter().collect())));
        let seen = |first, second| [(zero, first), (one, second)].into_iter().collect::<Position>();
        let since = |seen, only| ages.lacks_since(CONSULTATION, &seen, only);
        assert_eq!(since(seen(6, 2), None), Some(at(50)));
        assert_eq!(since(seen(6, 2), Some(zero)), Some(at(100)));
        assert_eq!(since(seen(6, 3), None), Some(at(100)), "what was applied since the look is lacked no more");
        assert_eq!(since(seen(7, 3), None), None);
        assert_eq!(ages.lacks_since(CONSULTATION_STATS, &seen(0, 0), None), None);
    }

    #[test]
    fn what_is_younger_than_a_second_is_new() {
        assert_eq!(age(None, at(9)), None);
        assert_eq!(age(Some(at(9)), at(9)), None);
        assert_eq!(age(Some(at(10)), at(9)), None);
        assert_eq!(age(Some(at(9)), at(51)), Some(42));
    }
}
