//! Searches in the knowledge graph: in memory, beside what PostgreSQL does alone, in the same run.
//!
//! On the real graph of 14,308 entities and 109,071 relationships where it is there, else on one of the same size; a full run repeats it on
//! a graph of 1,000,000 entities and 10,000,000 relationships.

pub mod http;
mod plain;
mod shape;

use std::time::Instant;

use anyhow::{Context, Result};
use docket_platform::embedded::ScratchCluster;
use docket_query_api::knowledge::Adjacency;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use uuid::Uuid;

use crate::{
    Size,
    report::{Latencies, Report, Target},
};

use shape::Shape;

const SEED: u64 = 8;
const DEPTH: usize = 5;

/// The section.
pub async fn run(cluster: &ScratchCluster, size: Size, report: &mut Report) -> Result<()> {
    let real = Shape::real()?.unwrap_or_else(|| Shape::made(14_308, 109_071));
    on(cluster, real, size, report).await?;
    if size == Size::Full {
        on(cluster, Shape::made(1_000_000, 10_000_000), size, report).await?;
    }
    Ok(())
}

/// How long each of `count` calls took.
fn times(count: usize, mut call: impl FnMut(usize)) -> Latencies {
    let time = |n| {
        let begun = Instant::now();
        call(n);
        begun.elapsed()
    };
    Latencies::new((0..count).map(time).collect())
}

async fn on(cluster: &ScratchCluster, shape: Shape, size: Size, report: &mut Report) -> Result<()> {
    let name = &shape.name;
    let begun = Instant::now();
    let graph = Adjacency::new(shape.entities(), shape.relationships())?;
    let seconds = begun.elapsed().as_secs_f64();
    let millions = shape.edges.len() as f64 / 1e6;
    let each = graph.bytes() as f64 / 1e6 / millions;
    report.row(
        &format!("{name}: memory"),
        format!("{each:.1} MB per million relationships, made in {seconds:.1} s"),
        "target 40 MB".to_owned(),
        each / 40.0,
        Target::AtMost(1.0),
    );
    let mut plain = plain::Plain::fill(cluster, &shape).await?;
    hub(&graph, &mut plain, &shape, size, report).await?;
    pairs(&graph, &mut plain, &shape, size, report).await?;
    plain.close(cluster).await
}

/// What is around the entity with the most relationships.
async fn hub(
    graph: &Adjacency,
    plain: &mut plain::Plain,
    shape: &Shape,
    size: Size,
    report: &mut Report,
) -> Result<()> {
    let (name, hub) = (&shape.name, shape.hub());
    let count = graph.count(hub, 2).context("the hub is known")?;
    let (repeats, slow) = (size.pick(50, 500), size.pick(3, 20));
    let (cte, by_cte) = plain.count(hub, slow).await?;
    anyhow::ensure!(cte == count, "the recursive CTE counts {cte} and the memory {count}");
    let frontier = plain.frontier(hub, slow).await?;
    let memory = times(repeats, |_| {
        std::hint::black_box(graph.count(hub, 2));
    });
    report.row(
        &format!("{name}: depth 2 from the hub, count of {count}"),
        format!("p50 {:.2} ms, p95 {:.2} ms", memory.ms(0.5), memory.ms(0.95)),
        format!("recursive CTE p50 {:.1} ms, SQL frontier p50 {:.1} ms", by_cte.ms(0.5), frontier.ms(0.5)),
        by_cte.ms(0.5) / memory.ms(0.5),
        Target::AtLeast(40.0),
    );
    let packed = times(repeats, |_| {
        std::hint::black_box(graph.around(hub, 2, 1_000));
    });
    report.row(
        &format!("{name}: depth 2 from the hub, 1,000 with parents and types"),
        format!("p50 {:.2} ms, p95 {:.2} ms", packed.ms(0.5), packed.ms(0.95)),
        format!("recursive CTE p50 {:.1} ms", by_cte.ms(0.5)),
        by_cte.ms(0.5) / packed.ms(0.5),
        Target::AtLeast(40.0),
    );
    Ok(())
}

/// Ways between entities chosen by chance.
async fn pairs(
    graph: &Adjacency,
    plain: &mut plain::Plain,
    shape: &Shape,
    size: Size,
    report: &mut Report,
) -> Result<()> {
    let name = &shape.name;
    let mut rng = StdRng::seed_from_u64(SEED);
    let mut one = || shape.ids[rng.random_range(0..shape.ids.len())];
    let pairs: Vec<(Uuid, Uuid)> = (0..size.pick(50, 500)).map(|_| (one(), one())).collect();
    let (lengths, by_sql) = plain.ways(&pairs[..pairs.len().min(size.pick(20, 200))], DEPTH).await?;
    for (length, (from, to)) in lengths.iter().zip(&pairs) {
        let way = graph.shortest(*from, *to, DEPTH).and_then(|(way, _)| way).map(|way| way.len());
        anyhow::ensure!(way == *length, "from {from} to {to}: SQL finds {length:?} and the memory {way:?}");
    }
    let short = times(pairs.len(), |n| {
        std::hint::black_box(graph.shortest(pairs[n].0, pairs[n].1, DEPTH));
    });
    report.row(
        &format!("{name}: shortest path, {} random pairs, depth {DEPTH}", pairs.len()),
        format!("p50 {:.3} ms, p95 {:.3} ms", short.ms(0.5), short.ms(0.95)),
        format!("two-way SQL frontier p50 {:.2} ms, p95 {:.2} ms", by_sql.ms(0.5), by_sql.ms(0.95)),
        by_sql.ms(0.5) / short.ms(0.5),
        Target::AtLeast(10.0),
    );
    let sure = times(size.pick(5, 50), |n| {
        std::hint::black_box(graph.surest(pairs[n].0, pairs[n].1, DEPTH));
    });
    report.row(
        &format!("{name}: surest path of the same, depth {DEPTH}"),
        format!("p50 {:.1} ms, p95 {:.1} ms", sure.ms(0.5), sure.ms(0.95)),
        format!("shortest p50 {:.3} ms", short.ms(0.5)),
        sure.ms(0.5) / short.ms(0.5),
        Target::None,
    );
    Ok(())
}
