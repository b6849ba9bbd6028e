//! Leases: who works a shard now.
//!
//! A lease spares work that two processes would do twice; it fences nothing. Whoever writes under a lease guards the write itself
//! (a projector by the compare-and-set of its checkpoint). Members of a team share the shards evenly: each renews what it holds,
//! gives back what is over its share, and takes what is free.

mod keep;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use docket_events::{Category, ShardId};
use sqlx::{PgPool, Row};
use uuid::Uuid;

pub use keep::{Held, keep};

/// How long a lease holds without being renewed, unless told otherwise.
pub const DEFAULT_TTL: Duration = Duration::from_secs(5);

/// One process's membership of a team.
#[derive(Debug)]
pub struct Leases {
    pool: PgPool,
    team: &'static str,
    member: Uuid,
    ttl: Duration,
    all: Vec<ShardId>,
    declined: BTreeMap<ShardId, Instant>,
}

/// Renews, gives back, takes; answers what is held afterwards. Times are the database's.
///
/// Shards are counted across the categories, not one category after the other: or one member would work the busy category alone.
const TICK: &str = "with me as (
         insert into write.member (team, id, expires_at) values ($1, $2, clock_timestamp() + make_interval(secs => $3))
         on conflict (team, id) do update set expires_at = excluded.expires_at returning id
     ), gone as (
         delete from write.member where team = $1 and id <> $2 and expires_at < clock_timestamp() returning id
     ), team as (
         select count(*) as members from (
             select id from write.member where team = $1 and expires_at >= clock_timestamp() union select id from me
         ) m
     ), wanted as (
         select category, shard from unnest($4::smallint[], $5::smallint[]) as w (category, shard)
     ), share as (
         select ceil((select count(*) from wanted)::numeric / (select members from team))::bigint as size
     ), mine as (
         select category, shard, row_number() over (order by shard, category) as place
         from write.lease join wanted using (category, shard) where team = $1 and holder = $2
     ), declined as (
         delete from write.lease l where l.team = $1 and l.holder = $2
           and not exists (select 1 from wanted w where w.category = l.category and w.shard = l.shard)
     ), renewed as (
         update write.lease l set expires_at = clock_timestamp() + make_interval(secs => $3)
         from mine m where l.team = $1 and l.category = m.category and l.shard = m.shard and l.holder = $2
           and m.place <= (select size from share)
         returning l.category, l.shard
     ), given_back as (
         delete from write.lease l using mine m
         where l.team = $1 and l.category = m.category and l.shard = m.shard and l.holder = $2
           and m.place > (select size from share)
     ), taken as (
         insert into write.lease (team, category, shard, holder, expires_at)
         select $1, w.category, w.shard, $2, clock_timestamp() + make_interval(secs => $3)
         from wanted w left join write.lease l on l.team = $1 and l.category = w.category and l.shard = w.shard
         where l.holder is null or (l.holder <> $2 and l.expires_at < clock_timestamp())
         order by w.shard, w.category
         limit greatest((select size from share) - (select count(*) from mine), 0)
         on conflict (team, category, shard) do update
             set holder = excluded.holder, expires_at = excluded.expires_at
             where write.lease.expires_at < clock_timestamp()
         returning category, shard
     )
     select category, shard from renewed union all select category, shard from taken";

impl Leases {
    /// Joins `team`, which works the shards `all`; nothing is held before the first [`Leases::tick`].
    #[must_use]
    pub fn join(pool: PgPool, team: &'static str, member: Uuid, ttl: Duration, all: Vec<ShardId>) -> Self {
        Self { pool, team, member, ttl, all, declined: BTreeMap::new() }
    }

    /// Renews what is held and takes a fair share; to be called a few times per `ttl`.
    ///
    /// # Errors
    /// When the database does not answer; what was held runs out by itself.
    pub async fn tick(&mut self) -> Result<BTreeSet<ShardId>, sqlx::Error> {
        let now = Instant::now();
        self.declined.retain(|_, until| now < *until);
        let wanted: Vec<ShardId> =
            self.all.iter().filter(|shard| !self.declined.contains_key(shard)).copied().collect();
        let rows = sqlx::query(TICK)
            .bind(self.team)
            .bind(self.member)
            .bind(self.ttl.as_secs_f64())
            .bind(wanted.iter().map(|shard| shard.category.code()).collect::<Vec<_>>())
            .bind(wanted.iter().map(|shard| shard.shard as i16).collect::<Vec<_>>())
            .fetch_all(&self.pool)
            .await?;
        let mut held = BTreeSet::new();
        for row in rows {
            let (category, shard): (i16, i16) = (row.try_get(0)?, row.try_get(1)?);
            if let Some(category) = Category::from_code(category) {
                held.insert(ShardId { category, shard: shard as u16 });
            }
        }
        Ok(held)
    }

    /// Gives `shard` back at the next [`Leases::tick`] and leaves it to others for `rest`: they may be able to work it.
    pub fn decline(&mut self, shard: ShardId, rest: Duration) {
        self.declined.insert(shard, Instant::now() + rest);
    }

    /// When to call [`Leases::tick`] again.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.ttl / 3
    }

    /// Gives everything back, so that others need not wait.
    ///
    /// # Errors
    /// When the database does not answer; the leases then run out by themselves.
    pub async fn leave(self) -> Result<(), sqlx::Error> {
        sqlx::query("delete from write.lease where team = $1 and holder = $2")
            .bind(self.team)
            .bind(self.member)
            .execute(&self.pool)
            .await?;
        sqlx::query("delete from write.member where team = $1 and id = $2")
            .bind(self.team)
            .bind(self.member)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
