//! Which events come next behind a cursor, and where it stands behind them.
//!
//! Owns the exactness of the cursor. In each shard a page is a prefix of what lies between the cursor and the checkpoint, which was read
//! before it; what is filtered out is passed over. Nothing is told past an event that is parked: once it is healed it must still come.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
};

use chrono::{DateTime, Utc};
use docket_events::{Category, ShardId};
use docket_log::Position;
use sqlx::PgConnection;
use uuid::Uuid;

use super::filter::{Filter, Kinds};
use crate::position::{Entered, columns, sequence, shard};

/// Of a shard, so many events are looked through for those that are wanted, at once.
const LOOKED_THROUGH: i64 = 20_000;

/// Where an event stands.
pub(super) type Place = (ShardId, u64);

/// What was found behind a cursor.
#[derive(Debug)]
pub(super) struct Found {
    /// The places of the events, in the order in which they are told.
    pub(super) places: Vec<Place>,
    /// How far each shard was looked through.
    reached: Position,
    /// How far it can be told by now.
    end: Position,
    /// Since when something waits to be told that cannot be.
    pub(super) parked_since: Option<DateTime<Utc>>,
}

/// What is told up to now: the checkpoints, but for what is parked.
///
/// # Errors
/// When it cannot be read.
pub(super) async fn end(
    entered: &mut Entered,
    filter: &Filter,
) -> Result<(Position, Option<DateTime<Utc>>), sqlx::Error> {
    let mut end: BTreeMap<ShardId, u64> = entered.seen.iter().collect();
    let mut since = None;
    for (source, _) in &filter.0 {
        // The policy shows the tenant's own.
        let parked: Vec<(i16, i64, DateTime<Utc>)> = sqlx::query_as(
            "select shard, min(sequence), min(parked_at) from read.dead_letter
             where projection = $1 and category = $2 group by shard",
        )
        .bind(source.projection)
        .bind(source.category.code())
        .fetch_all(&mut *entered.tx)
        .await?;
        for (number, first, parked_at) in parked {
            let end = end.entry(shard(source.category, number)).or_default();
            *end = (*end).min(sequence(first).saturating_sub(1));
            since = [since, Some(parked_at)].into_iter().flatten().min();
        }
    }
    Ok((end.into_iter().collect(), since))
}

/// The next events of `tenant` behind `cursor`, at most `limit`.
///
/// # Errors
/// When they cannot be read.
pub(super) async fn find(
    entered: &mut Entered,
    tenant: Uuid,
    filter: &Filter,
    cursor: &Position,
    limit: usize,
) -> Result<Found, sqlx::Error> {
    let (end, parked_since) = end(entered, filter).await?;
    let mut shards = BTreeMap::new();
    let mut reached: BTreeMap<ShardId, u64> = end.iter().collect();
    for (source, kinds) in filter.0.iter().filter(|(_, kinds)| *kinds != Kinds::Some(Vec::new())) {
        let is_behind = |(shard, end): &(ShardId, u64)| shard.category == source.category && cursor.get(*shard) < *end;
        let behind: Position = end.iter().filter(is_behind).collect();
        if !behind.is_empty() {
            let range = Range { tenant, category: source.category, cursor, end: &behind };
            let (found, cut) = find_in(&mut entered.tx, &range, kinds, limit).await?;
            reached.extend(cut);
            shards.extend(found);
        }
    }
    let reached = reached.into_iter().collect();
    Ok(Found { places: merged(shards), reached, end, parked_since }.cut(limit))
}

/// The events of a shard in their order, with their times.
type Queue = VecDeque<(u64, DateTime<Utc>)>;

/// An event: its shard, its sequence and time, whether it is wanted, and whether it is the last that was looked at.
type Row = (i16, i64, DateTime<Utc>, bool, bool);

struct Range<'a> {
    tenant: Uuid,
    category: Category,
    cursor: &'a Position,
    /// Of the shards that have anything behind the cursor.
    end: &'a Position,
}

// The inner limit comes before the choice, so that an index is walked in its order and no farther.
const FIND: &str = "select c.shard, f.sequence, f.at, f.is_wanted, f.is_last
     from unnest($3::smallint[], $4::bigint[], $5::bigint[]) as c (shard, behind, until)
     cross join lateral (
         select * from (
             select p.sequence, p.at, $6::text[] is null or p.kind = any($6) as is_wanted,
                    row_number() over (order by p.sequence) = $7 as is_last
             from (
                 select f.sequence, f.at, f.kind from read.event f
                 where f.tenant = $1 and f.category = $2 and f.shard = c.shard and f.sequence > c.behind and f.sequence <= c.until
                 order by f.sequence limit $7
             ) p
         ) looked
         where looked.is_wanted or looked.is_last
         order by looked.sequence limit $8
     ) f
     order by c.shard, f.sequence";

/// The wanted events of each shard, at most `limit`, and how far those shards were looked through that were not to their end.
async fn find_in(
    connection: &mut PgConnection,
    range: &Range<'_>,
    kinds: &Kinds,
    limit: usize,
) -> Result<(BTreeMap<ShardId, Queue>, BTreeMap<ShardId, u64>), sqlx::Error> {
    let (shards, ends) = columns(range.end);
    let (_, behind) = columns(&range.end.iter().map(|(shard, _)| (shard, range.cursor.get(shard))).collect());
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let (kinds, looked_through) = match kinds {
        Kinds::All => (None, most),
        Kinds::Some(kinds) => (Some(kinds), LOOKED_THROUGH),
    };
    let rows: Vec<Row> = sqlx::query_as(FIND)
        .bind(range.tenant)
        .bind(range.category.code())
        .bind(shards)
        .bind(behind)
        .bind(ends)
        .bind(kinds)
        .bind(looked_through)
        .bind(most)
        .fetch_all(connection)
        .await?;
    let (mut found, mut cut): (BTreeMap<ShardId, Queue>, _) = (BTreeMap::new(), BTreeMap::new());
    for of_shard in rows.chunk_by(|one, next| one.0 == next.0) {
        let shard = shard(range.category, of_shard[0].0);
        let wanted = of_shard.iter().filter(|(.., is_wanted, _)| *is_wanted);
        found.insert(shard, wanted.map(|(_, number, at, ..)| (sequence(*number), *at)).collect());
        let last = of_shard.last().filter(|(.., is_last)| *is_last || of_shard.len() >= limit);
        cut.extend(last.map(|(_, number, ..)| (shard, sequence(*number))));
    }
    Ok((found, cut))
}

/// All shards' events by time, without changing the order within a shard.
fn merged(mut shards: BTreeMap<ShardId, Queue>) -> Vec<Place> {
    let mut places = Vec::new();
    let mut heads: BinaryHeap<_> =
        shards.iter().filter_map(|(shard, queue)| Some(Reverse((queue.front()?.1, *shard)))).collect();
    while let Some(Reverse((_, shard))) = heads.pop() {
        let Some(queue) = shards.get_mut(&shard) else { continue };
        places.extend(queue.pop_front().map(|(sequence, _)| (shard, sequence)));
        heads.extend(queue.front().map(|(_, at)| Reverse((*at, shard))));
    }
    places
}

impl Found {
    /// The first `count` of the events, and nothing that was looked through behind them.
    pub(super) fn cut(mut self, count: usize) -> Self {
        let rest = self.places.split_off(count.min(self.places.len()));
        let mut reached: BTreeMap<ShardId, u64> = self.reached.iter().collect();
        for (shard, sequence) in rest {
            let reached = reached.entry(shard).or_default();
            *reached = (*reached).min(sequence - 1);
        }
        self.reached = reached.into_iter().collect();
        self
    }

    /// Where `cursor` stands behind these events and what was passed over.
    pub(super) fn behind(&self, cursor: &Position) -> Position {
        let mut behind = cursor.clone();
        behind.join(&self.reached);
        behind
    }

    /// Whether there is something behind `cursor` that was not looked through yet.
    pub(super) fn has_more(&self, cursor: &Position) -> bool {
        self.end.iter().any(|(shard, end)| cursor.get(shard) < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn place(number: u16, sequence: u64) -> Place {
        (ShardId { category: Category::Consultation, shard: number }, sequence)
    }

    fn found() -> Found {
        let [zero, one] = [0, 1].map(|number| place(number, 0).0);
        // A clock that went back in one shard.
        let shards = [(zero, [(3, at(10)), (5, at(4)), (6, at(40))].into()), (one, [(2, at(20)), (9, at(30))].into())];
        let end: Position = [(zero, 8), (one, 9)].into_iter().collect();
        Found { places: merged(shards.into()), reached: end.clone(), end, parked_since: None }
    }

    #[test]
    fn shards_are_merged_by_time_and_none_is_changed() {
        assert_eq!(found().places, [place(0, 3), place(0, 5), place(1, 2), place(1, 9), place(0, 6)]);
    }

    #[test]
    fn behind_each_cut_the_rest_is_still_to_come_and_nothing_twice() {
        let start: Position = [place(0, 2), place(1, 1)].into_iter().collect();
        let all = found().places;
        for count in 0..=all.len() {
            let page = found().cut(count);
            assert_eq!(page.places, all[..count]);
            let behind = page.behind(&start);
            let left: Vec<_> = all.iter().filter(|(shard, sequence)| behind.get(*shard) < *sequence).copied().collect();
            assert_eq!(left, all[count..], "{count}");
            assert_eq!(page.has_more(&behind), count < all.len(), "{count}");
        }
    }
}
