//! The yardsticks: what PostgreSQL does with the same relationships and no more than their ends, well indexed.

use std::{collections::HashSet, time::Instant};

use anyhow::Result;
use docket_platform::embedded::{OWNER, ScratchCluster};
use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

use super::shape::Shape;
use crate::report::Latencies;

const CHUNK: usize = 100_000;

const COUNT: &str = "with recursive walk (id, depth) as (
         select $1::uuid, 0
         union
         select n.far, w.depth + 1 from walk w cross join lateral (
             select target as far from edge where source = w.id union all select source from edge where target = w.id
         ) n where w.depth < 2
     )
     select count(distinct id) - 1 from walk";

const FRONTIER: &str = "select distinct far from (
         select target as far from edge where source = any($1) union all select source from edge where target = any($1)
     ) f";

/// A database that holds nothing but relationships.
pub struct Plain(PgConnection);

impl Plain {
    pub async fn fill(cluster: &ScratchCluster, shape: &Shape) -> Result<Self> {
        let mut admin = PgConnection::connect_with(&cluster.connect_options(OWNER, "postgres")).await?;
        admin.execute("drop database if exists plain_graph").await?;
        admin.execute("create database plain_graph").await?;
        admin.close().await?;
        let mut connection = PgConnection::connect_with(&cluster.connect_options(OWNER, "plain_graph")).await?;
        connection.execute("create table edge (id uuid not null, source uuid not null, target uuid not null)").await?;
        for (chunk, edges) in shape.edges.chunks(CHUNK).enumerate() {
            let ends = |end: fn(&(u32, u32, u32)) -> u32| -> Vec<Uuid> {
                edges.iter().map(|edge| shape.ids[end(edge) as usize]).collect()
            };
            let ids: Vec<Uuid> = (0..edges.len()).map(|place| Shape::edge_id(chunk * CHUNK + place)).collect();
            sqlx::query("insert into edge select * from unnest($1::uuid[], $2::uuid[], $3::uuid[])")
                .bind(ids)
                .bind(ends(|edge| edge.0))
                .bind(ends(|edge| edge.2))
                .execute(&mut connection)
                .await?;
        }
        let indexes = "create index on edge (source) include (target); create index on edge (target) include (source)";
        connection.execute(sqlx::raw_sql(indexes)).await?;
        connection.execute("vacuum analyze edge").await?;
        Ok(Self(connection))
    }

    /// How many are within two relationships, by a recursive CTE.
    pub async fn count(&mut self, hub: Uuid, repeats: usize) -> Result<(usize, Latencies)> {
        let (mut count, mut times) = (0_i64, Vec::new());
        for _ in 0..repeats {
            let begun = Instant::now();
            count = sqlx::query_scalar(COUNT).bind(hub).fetch_one(&mut self.0).await?;
            times.push(begun.elapsed());
        }
        Ok((usize::try_from(count)?, Latencies::new(times)))
    }

    /// The same, a statement for each step.
    pub async fn frontier(&mut self, hub: Uuid, repeats: usize) -> Result<Latencies> {
        let mut times = Vec::new();
        for _ in 0..repeats {
            let begun = Instant::now();
            let mut side = Side::new(hub);
            side.step(&mut self.0).await?;
            side.step(&mut self.0).await?;
            times.push(begun.elapsed());
        }
        Ok(Latencies::new(times))
    }

    /// How long the shortest way between the ends of each pair is, by steps from both ends.
    pub async fn ways(&mut self, pairs: &[(Uuid, Uuid)], depth: usize) -> Result<(Vec<Option<usize>>, Latencies)> {
        let (mut lengths, mut times) = (Vec::new(), Vec::new());
        for (from, to) in pairs {
            let begun = Instant::now();
            lengths.push(self.way(*from, *to, depth).await?);
            times.push(begun.elapsed());
        }
        Ok((lengths, Latencies::new(times)))
    }

    async fn way(&mut self, from: Uuid, to: Uuid, depth: usize) -> Result<Option<usize>> {
        let (mut near, mut far) = (Side::new(from), Side::new(to));
        for length in 0..=depth {
            if near.frontier.iter().any(|id| far.seen.contains(id))
                || far.frontier.iter().any(|id| near.seen.contains(id))
            {
                return Ok(Some(length));
            }
            if near.frontier.is_empty() || far.frontier.is_empty() || length == depth {
                break;
            }
            let side = if near.frontier.len() <= far.frontier.len() { &mut near } else { &mut far };
            side.step(&mut self.0).await?;
        }
        Ok(None)
    }

    pub async fn close(self, cluster: &ScratchCluster) -> Result<()> {
        self.0.close().await?;
        let mut admin = PgConnection::connect_with(&cluster.connect_options(OWNER, "postgres")).await?;
        admin.execute("drop database plain_graph").await?;
        Ok(admin.close().await?)
    }
}

/// A search from one end.
struct Side {
    seen: HashSet<Uuid>,
    frontier: Vec<Uuid>,
}

impl Side {
    fn new(root: Uuid) -> Self {
        Self { seen: HashSet::from([root]), frontier: vec![root] }
    }

    async fn step(&mut self, connection: &mut PgConnection) -> Result<()> {
        let found: Vec<Uuid> = sqlx::query_scalar(FRONTIER).bind(&self.frontier).fetch_all(connection).await?;
        self.frontier = found.into_iter().filter(|id| self.seen.insert(*id)).collect();
        Ok(())
    }
}
