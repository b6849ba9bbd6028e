//! What readers did, told over HTTP in calls of a hundred things, and how soon it is counted, against a `docket up` process.
//!
//! Some calls are told twice. Each section ends with an error unless every thing is counted once, by item and by reader.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use docket_events::{Category, engagement::Action};
use docket_platform::ids;
use futures_util::future::try_join_all;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    Size, projected,
    report::{Latencies, Report, Target},
    server::{Client, Server, request},
};

const SEED: u64 = 8;
const ARTICLES: usize = 200;
/// Things in a call.
const THINGS: usize = 100;
/// Of so many calls, one is repeated as it was, and the things of another are told in a second call.
const AGAIN: usize = 20;
/// Things a second, at least.
const WANTED: f64 = 5_000.0;
/// How often it is looked whether all is counted.
const LOOK: Duration = Duration::from_millis(20);

/// Who tells, and of what.
struct Readers {
    /// A token each.
    tokens: Vec<String>,
    articles: Vec<Uuid>,
}

/// How often each thing was done, by what it was done with, or by its reader.
type Counts = BTreeMap<Uuid, [i64; Action::ALL.len()]>;

/// What was told, each thing once.
#[derive(Default)]
struct Told {
    things: usize,
    items: Counts,
    readers: HashMap<usize, i64>,
    latencies: Vec<Duration>,
    last: Option<Instant>,
}

impl Told {
    fn add(&mut self, other: Self) {
        self.things += other.things;
        for (item, counts) in other.items {
            let sums = self.items.entry(item).or_default();
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        for (reader, count) in other.readers {
            *self.readers.entry(reader).or_default() += count;
        }
        self.latencies.extend(other.latencies);
        self.last = self.last.max(other.last);
    }
}

/// The section.
pub async fn run(docket: &Path, size: Size, report: &mut Report) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("docket-bench-engagement-{}", std::process::id()));
    let server = Server::start(docket, &folder, None).await?;
    let outcome = measure(&server, size, report).await;
    server.stop().await?;
    std::fs::remove_dir_all(&folder)?;
    outcome
}

async fn measure(server: &Server, size: Size, report: &mut Report) -> Result<()> {
    let owner = server.owner().await?;
    let tokens = vec![server.token(0).await?, server.token(1).await?];
    let readers = Readers { articles: publish(&server.address, &tokens[1]).await?, tokens };
    let mut all = tell(&server.address, &readers, 4, 0.5).await?;
    counted(&owner, &all).await?;
    for connections in size.pick(&[1, 8][..], &[1, 8, 32, 128]) {
        let started = Instant::now();
        let mut told = tell(&server.address, &readers, *connections, size.seconds()).await?;
        let (things, told_in) = (told.things as f64, told.last.context("nothing was told")? - started);
        let latencies = Latencies::new(std::mem::take(&mut told.latencies));
        all.add(told);
        counted(&owner, &all).await?;
        let counted_in = started.elapsed();
        let rate = things / told_in.as_secs_f64();
        report.row(
            &format!("engagement in calls of {THINGS}, {connections} connections"),
            format!("{rate:.0} things/s (call p50 {:.1} ms, p95 {:.1} ms)", latencies.ms(0.5), latencies.ms(0.95)),
            format!("target {WANTED} things/s"),
            rate / WANTED,
            Target::AtLeast(1.0),
        );
        let projected = things / counted_in.as_secs_f64();
        let behind = counted_in.saturating_sub(told_in).as_secs_f64();
        report.row(
            "the same until all of it is counted, each thing once",
            format!("{projected:.0} things/s ({behind:.2} s behind the last call)"),
            format!("told {rate:.0} things/s"),
            projected / rate,
            Target::None,
        );
    }
    Ok(())
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

async fn publish(address: &str, token: &str) -> Result<Vec<Uuid>> {
    let mut client = Client::connect(address).await?;
    let mut articles = Vec::with_capacity(ARTICLES);
    for n in 0..ARTICLES {
        let body = json!({ "title": format!("Article {n}") }).to_string();
        let (status, answer) = client.send(&request("POST", "/api/v1/articles", &bearer(token), &body)).await?;
        ensure!(status == 201, "publishing answered {status}: {}", String::from_utf8_lossy(&answer));
        let answer: Value = serde_json::from_slice(&answer)?;
        articles.push(answer["id"].as_str().context("no id")?.parse()?);
    }
    Ok(articles)
}

/// Closed loop: each connection tells one call after the other.
async fn tell(address: &str, readers: &Readers, connections: usize, seconds: f64) -> Result<Told> {
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let work = (0..connections).map(|n| async move {
        let mut client = Client::connect(address).await?;
        let (mut told, mut rng) = (Told::default(), StdRng::seed_from_u64(SEED + n as u64));
        let reader = n % readers.tokens.len();
        let headers = bearer(&readers.tokens[reader]);
        for call in 0.. {
            let things = things(&mut rng, readers, reader, &mut told);
            let plain = format!("{{\"items\":[{things}]}}");
            send(&mut client, &headers, &plain, &mut told).await?;
            if call % AGAIN == 0 {
                send(&mut client, &headers, &plain, &mut told).await?;
            } else if call % AGAIN == AGAIN / 2 {
                let named = format!("{{\"batch_id\":\"{}\",\"items\":[{things}]}}", ids::new_id());
                send(&mut client, &headers, &named, &mut told).await?;
            }
            if Instant::now() >= until {
                break;
            }
        }
        anyhow::Ok(told)
    });
    let mut all = Told::default();
    try_join_all(work).await?.into_iter().for_each(|told| all.add(told));
    Ok(all)
}

/// A call's things in JSON: most of them views.
fn things(rng: &mut StdRng, readers: &Readers, reader: usize, told: &mut Told) -> String {
    let mut json = String::with_capacity(THINGS * 128);
    for n in 0..THINGS {
        let article = readers.articles[rng.random_range(0..ARTICLES)];
        let action = if rng.random_bool(0.8) { Action::View } else { Action::ALL[rng.random_range(0..4)] };
        told.items.entry(article).or_default()[action as usize] += 1;
        let (comma, id, action) = (if n == 0 { "" } else { "," }, ids::new_id(), action.name());
        // Nothing is written but to memory.
        let _ = write!(json, "{comma}{{\"id\":\"{id}\",\"action\":\"{action}\",\"article_id\":\"{article}\"}}");
    }
    told.things += THINGS;
    *told.readers.entry(reader).or_default() += THINGS as i64;
    json
}

async fn send(client: &mut Client, headers: &str, body: &str, told: &mut Told) -> Result<()> {
    let bytes = request("POST", "/api/v1/engagement", headers, body);
    let began = Instant::now();
    let (status, answer) = client.send(&bytes).await?;
    told.latencies.push(began.elapsed());
    told.last = Some(Instant::now());
    ensure!(status == 202, "telling answered {status}: {}", String::from_utf8_lossy(&answer));
    Ok(())
}

/// Waits until all is counted; an error unless each thing is, once, with its item and with its reader.
async fn counted(owner: &PgPool, told: &Told) -> Result<()> {
    projected::all(owner, &[Category::Engagement], LOOK).await?;
    let items: Vec<(Uuid, Vec<i64>)> = sqlx::query_as(
        "select item, array[sum(views), sum(clicks), sum(saves), sum(shares), sum(dwells)]::bigint[]
         from read.engagement_item_day group by item",
    )
    .fetch_all(owner)
    .await?;
    let found: BTreeMap<Uuid, Vec<i64>> = items.into_iter().collect();
    let expected: BTreeMap<Uuid, Vec<i64>> = told.items.iter().map(|(item, counts)| (*item, counts.to_vec())).collect();
    ensure!(found == expected, "the counters of items are not what was told");
    let mut readers: Vec<i64> = sqlx::query_scalar(
        "select sum(views + clicks + saves + shares + dwells)::bigint from read.engagement_user_day group by user_id",
    )
    .fetch_all(owner)
    .await?;
    let mut expected: Vec<i64> = told.readers.values().copied().collect();
    readers.sort_unstable();
    expected.sort_unstable();
    ensure!(readers == expected, "readers did {expected:?} things, and {readers:?} are counted");
    let rows: i64 = sqlx::query_scalar("select count(*) from read.engagement").fetch_one(owner).await?;
    ensure!(rows == told.things as i64, "{} things were told, and {rows} are there", told.things);
    Ok(())
}
