//! How far the projections are behind the journal.

use std::collections::HashMap;

use docket_projector::registry;
use sqlx::PgConnection;

use crate::topology::SHARDS;

/// The last sequence of every shard, by category and shard.
pub type Tails = HashMap<(i16, i16), i64>;

/// Where every shard ends now.
pub async fn tails(connection: &mut PgConnection) -> Result<Tails, sqlx::Error> {
    let rows: Vec<(i16, i16, i64)> =
        sqlx::query_as("select category, shard, sequence from write.shard").fetch_all(connection).await?;
    Ok(rows.into_iter().map(|(category, shard, sequence)| ((category, shard), sequence)).collect())
}

/// The projections that have not come to the end of a shard, in words; with `wanted` not so far as that says.
pub async fn lagging(connection: &mut PgConnection, wanted: Option<&Tails>) -> Result<Vec<String>, sqlx::Error> {
    let rows: Vec<(String, i16, i16, i64, i64)> = sqlx::query_as(
        "select c.projection, c.category, c.shard, c.sequence, s.sequence
         from read.checkpoint c join write.shard s using (category, shard) order by 1, 2, 3",
    )
    .fetch_all(connection)
    .await?;
    let places = registry().iter().map(|projection| projection.info().categories.len() * usize::from(SHARDS)).sum();
    let mut lagging = Vec::new();
    if rows.len() < places {
        lagging.push(format!("only {} of {places} checkpoints are there", rows.len()));
    }
    for (projection, category, shard, at, tail) in rows {
        let tail = wanted.map_or(tail, |wanted| wanted.get(&(category, shard)).copied().unwrap_or(0));
        if at < tail {
            lagging.push(format!("{projection} stands at {at} of {tail} in shard {shard} of category {category}"));
        }
    }
    Ok(lagging)
}
