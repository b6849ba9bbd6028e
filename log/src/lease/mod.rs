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
/// What others decline counts to no share: whoever can work it takes all of it beside its own, or it would wait for as long as an
/// older release runs beside a newer one.
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
     ), refused as (
         select w.category, w.shard from wanted w join write.lease l on l.category = w.category and l.shard = w.shard
         where l.team = $6 and l.holder <> $2 and l.expires_at >= clock_timestamp()
     ), share as (
         select ceil(((select count(*) from wanted) - (select count(*) from refused))::numeric / (select members from team))::bigint
             as size
     ), mine as (
         select l.category, l.shard, r.shard is not null as others_refuse,
             row_number() over (partition by r.shard is not null order by l.shard, l.category) as place
         from write.lease l join wanted w on w.category = l.category and w.shard = l.shard
         left join refused r on r.category = l.category and r.shard = l.shard
         where l.team = $1 and l.holder = $2
     ), declined as (
         delete from write.lease l where l.team = $1 and l.holder = $2
           and not exists (select 1 from wanted w where w.category = l.category and w.shard = l.shard)
     ), renewed as (
         update write.lease l set expires_at = clock_timestamp() + make_interval(secs => $3)
         from mine m where l.team = $1 and l.category = m.category and l.shard = m.shard and l.holder = $2
           and (m.others_refuse or m.place <= (select size from share))
         returning l.category, l.shard
     ), given_back as (
         delete from write.lease l using mine m
         where l.team = $1 and l.category = m.category and l.shard = m.shard and l.holder = $2
           and not m.others_refuse and m.place > (select size from share)
     ), free as (
         select w.category, w.shard, r.shard is not null as others_refuse
         from wanted w left join write.lease l on l.team = $1 and l.category = w.category and l.shard = w.shard
         left join refused r on r.category = w.category and r.shard = w.shard
         where l.holder is null or (l.holder <> $2 and l.expires_at < clock_timestamp())
     ), taken as (
         insert into write.lease (team, category, shard, holder, expires_at)
         select $1, f.category, f.shard, $2, clock_timestamp() + make_interval(secs => $3)
         from free f
         order by f.others_refuse desc, f.shard, f.category
         limit (select count(*) from free where others_refuse)
             + greatest((select size from share) - (select count(*) from mine where not others_refuse), 0)
         on conflict (team, category, shard) do update
             set holder = excluded.holder, expires_at = excluded.expires_at
             where write.lease.expires_at < clock_timestamp()
         returning category, shard
     )
     select category, shard from renewed union all select category, shard from taken";

/// Tells the others what this member declines, and until when.
const DECLINE: &str = "insert into write.lease (team, category, shard, holder, expires_at)
     select $1, d.category, d.shard, $2, clock_timestamp() + make_interval(secs => d.seconds)
     from unnest($3::smallint[], $4::smallint[], $5::float8[]) as d (category, shard, seconds)
     order by d.category, d.shard
     on conflict (team, category, shard) do update set holder = excluded.holder, expires_at = excluded.expires_at";

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
        if !self.declined.is_empty() {
            self.tell_declined(now).await?;
        }
        let rows = sqlx::query(TICK)
            .bind(self.team)
            .bind(self.member)
            .bind(self.ttl.as_secs_f64())
            .bind(wanted.iter().map(|shard| shard.category.code()).collect::<Vec<_>>())
            .bind(wanted.iter().map(|shard| shard.shard as i16).collect::<Vec<_>>())
            .bind(self.declining())
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

    /// The name under which the team keeps what its members decline.
    fn declining(&self) -> String {
        format!("{} declines", self.team)
    }

    async fn tell_declined(&self, now: Instant) -> Result<(), sqlx::Error> {
        sqlx::query(DECLINE)
            .bind(self.declining())
            .bind(self.member)
            .bind(self.declined.keys().map(|shard| shard.category.code()).collect::<Vec<_>>())
            .bind(self.declined.keys().map(|shard| shard.shard as i16).collect::<Vec<_>>())
            .bind(self.declined.values().map(|until| (*until - now).as_secs_f64()).collect::<Vec<_>>())
            .execute(&self.pool)
            .await
            .map(drop)
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
        sqlx::query("delete from write.lease where team in ($1, $3) and holder = $2")
            .bind(self.team)
            .bind(self.member)
            .bind(self.declining())
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
