//! The look at both ends of shards, for whoever [judges](super::judge::judge) them.

use std::collections::BTreeMap;

use docket_events::ShardId;
use sqlx::PgPool;

use super::{judge::Sight, marks};
use crate::kafka::{Edge, KafkaError, Probe};

/// What is known of each shard. The order counts: the marks first, since another relay may move them meanwhile, which would look as if
/// Kafka had lost something; the journal last, since what the topics have must be journalled by then.
pub(crate) async fn look<E>(
    pool: &PgPool,
    probe: &Probe,
    shards: &[ShardId],
) -> Result<BTreeMap<ShardId, (Edge, Sight)>, E>
where
    E: From<sqlx::Error> + From<KafkaError>,
{
    let marks = marks::all(pool).await?;
    let edges = probe.edges(shards).await?;
    let ends: Vec<_> = edges.iter().map(|(shard, edge)| (*shard, edge.last)).collect();
    let journalled = marks::journalled(pool, &ends).await?;
    let seen = edges.into_iter().filter_map(|(shard, edge)| {
        let known = journalled.get(&shard)?;
        let sight = Sight {
            topic: edge.last,
            end: edge.end.unsigned_abs(),
            mark: marks.get(&shard).map_or(0, |mark| mark.sequence),
            journal: known.tail,
            journal_id: known.id,
        };
        Some((shard, (edge, sight)))
    });
    Ok(seen.collect())
}
