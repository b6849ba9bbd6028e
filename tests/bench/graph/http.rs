//! The same searches as clients ask for them: GraphQL over HTTP, over one connection, of an organisation whose graph is in memory.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use sqlx::{Executor, PgPool};
use uuid::Uuid;

use super::{DEPTH, SEED};
use crate::{
    Size,
    report::{Latencies, Report, Target},
    server::{Client, Server, request},
};

const HUB: &str = "select id from (
         select source_id as id from read.relationship union all select target_id from read.relationship
     ) ends group by id order by count(*) desc, id limit 1";

/// Who asks.
struct Asker {
    client: Client,
    headers: String,
}

impl Asker {
    /// Asks once; the answer's `field`, and how long it took.
    async fn ask(&mut self, query: &str, field: &str) -> Result<(Value, Duration)> {
        let bytes = request("POST", "/graphql", &self.headers, &json!({ "query": query }).to_string());
        let begun = Instant::now();
        let (status, answer) = self.client.send(&bytes).await?;
        let took = begun.elapsed();
        let mut answer: Value = serde_json::from_slice(&answer)?;
        ensure!(status == 200 && answer["errors"].is_null(), "{field} answered {status}: {}", answer["errors"]);
        Ok((answer["data"][field].take(), took))
    }
}

/// What clients wait for, on the graph that the server has.
pub async fn run(server: &Server, owner: &PgPool, size: Size, report: &mut Report) -> Result<()> {
    // As autovacuum does within seconds: a plan is made for what was counted last.
    owner.execute("analyze read.entity_v1, read.relationship_v1").await?;
    let headers = format!("authorization: Bearer {}\r\n", server.token(0).await?);
    let mut asker = Asker { client: Client::connect(&server.address).await?, headers };
    let hub: Uuid = sqlx::query_scalar(HUB).fetch_one(owner).await?;
    let around = |fields: &str| format!("{{ neighbourhood(id: \"{hub}\", depth: 2, limit: 1000) {{ cut {fields} }} }}");
    let repeats = size.pick(50, 300);
    for (what, fields, bound) in [
        ("1,000 packed", "packed { ids parents relationshipTypes }", Some(2.0)),
        ("1,000 as objects", "nodes { id name type } edges { source target type }", None),
    ] {
        let mut times = Vec::new();
        for _ in 0..repeats {
            let (found, took) = asker.ask(&around(fields), "neighbourhood").await?;
            ensure!(found["cut"].is_boolean(), "the hub is known");
            times.push(took);
        }
        row(report, &format!("depth 2 from the hub, {what}"), times, bound);
    }
    let pairs = pairs(owner, size.pick(50, 500)).await?;
    let mut times = Vec::new();
    for (from, to) in pairs {
        let query =
            format!("{{ path(from: \"{from}\", to: \"{to}\", maxDepth: {DEPTH}) {{ hops entities {{ id name }} }} }}");
        times.push(asker.ask(&query, "path").await?.1);
    }
    row(report, &format!("shortest path of random pairs, depth {DEPTH}"), times, Some(0.4));
    Ok(())
}

/// Entities chosen by chance, two by two.
async fn pairs(owner: &PgPool, count: usize) -> Result<Vec<(Uuid, Uuid)>> {
    let ids: Vec<Uuid> = sqlx::query_scalar("select id from read.entity order by id").fetch_all(owner).await?;
    ensure!(!ids.is_empty(), "there are entities");
    let mut rng = StdRng::seed_from_u64(SEED);
    let mut one = || ids.get(rng.random_range(0..ids.len())).copied().context("it is there");
    (0..count).map(|_| Ok((one()?, one()?))).collect()
}

/// `bound` is in milliseconds, for the 95th percentile.
fn row(report: &mut Report, what: &str, times: Vec<Duration>, bound: Option<f64>) {
    // The first ones find the graph loaded, and plans made.
    let times = Latencies::new(times.into_iter().skip(5).collect());
    let (half, most) = (times.ms(0.5), times.ms(0.95));
    let (yardstick, ratio, target) = match bound {
        Some(bound) => (format!("target p95 {bound} ms"), most / bound, Target::AtMost(1.0)),
        None => (String::new(), 1.0, Target::None),
    };
    report.row(
        &format!("graph over HTTP: {what}"),
        format!("p50 {half:.2} ms, p95 {most:.2} ms"),
        yardstick,
        ratio,
        target,
    );
}
