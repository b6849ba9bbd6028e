//! `docket status --check`: what is wrong, in words, and which command mends it.
//!
//! Owns the words. It changes nothing, also where it knows the remedy.

use std::collections::BTreeMap;

use docket_events::{Category, ShardId};
use docket_log::compare::{self, Compared, Ends};
use docket_log::kafka::topics::{self, Missing};
use docket_log::kafka::{KafkaError, Probe};
use docket_log::relay::judge::Judgement;
use docket_log::relay::{self, marks};
use docket_log::{Installation, Kafka, MacKey, Mode};
use docket_projector::{generation, status};
use sqlx::PgPool;

use crate::exit::Ending;
use crate::progress::Progress;

/// Flaws shown of one shard.
const EXAMPLES: usize = 3;

/// Something that is wrong.
struct Problem {
    what: String,
    /// What to do about it.
    remedy: String,
}

/// Everything that was found.
#[derive(Default)]
struct Found {
    well: Vec<String>,
    problems: Vec<Problem>,
}

impl Found {
    fn well(&mut self, what: impl Into<String>) {
        self.well.push(what.into());
    }

    fn wrong(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem { what: what.into(), remedy: remedy.into() });
    }
}

/// Looks, and says what it saw.
///
/// # Errors
/// When something is wrong, or could not be looked at.
pub(super) async fn run(
    pool: &PgPool,
    installation: Installation,
    kafka: Option<&Kafka>,
    full: bool,
) -> anyhow::Result<()> {
    let mut found = Found::default();
    match (installation.mode, kafka) {
        (Mode::Journal, None) => found.well("the log is in the journal"),
        (Mode::Journal, Some(_)) => found.well("the log is in the journal; `docket log switch` moves it to Kafka"),
        (Mode::Kafka, None) => {
            return Err(Ending::usage("the log is in Kafka: set KAFKA_BROKERS to have it checked").into());
        }
        (Mode::Kafka, Some(kafka)) => log(pool, installation, kafka, full, &mut found).await?,
    }
    projections(pool, &mut found).await?;
    for what in &found.well {
        println!("ok       {what}");
    }
    for (index, Problem { what, remedy }) in found.problems.iter().enumerate() {
        println!("problem  {what}");
        // What mends several in a row is said once.
        if found.problems.get(index + 1).is_none_or(|next| next.remedy != *remedy) {
            println!("         {remedy}");
        }
    }
    match found.problems.len() {
        0 => Ok(()),
        1 => anyhow::bail!("one thing is wrong"),
        more => anyhow::bail!("{more} things are wrong"),
    }
}

async fn log(
    pool: &PgPool,
    installation: Installation,
    kafka: &Kafka,
    full: bool,
    found: &mut Found,
) -> anyhow::Result<()> {
    match topics::ensure(kafka, installation.shards, Missing::Refuse).await {
        Ok(()) => found.well(format!("the topics at {} are as they must be", kafka.brokers())),
        Err(error @ KafkaError::Topic { .. }) => {
            found.wrong(
                error.to_string(),
                "change the topic's settings (kafka-configs), or name brokers without it; see docs/operations.md",
            );
            return Ok(());
        }
        Err(error @ KafkaError::Missing(_)) => {
            let remedy = "a running relay makes them and publishes the journal again: `docket relay`, `docket up`";
            found.wrong(error.to_string(), remedy);
            return relays(pool, found).await;
        }
        Err(other) => return Err(other.into()),
    }
    let probe = Probe::new(kafka, MacKey::load(pool).await?)?;
    let shards: Vec<ShardId> = Category::ALL.into_iter().flat_map(|c| installation.shards_of(c)).collect();
    let ends = compare::ends(pool, &probe, &shards).await?;
    ends.iter().for_each(|ends| end(ends, found));
    if full {
        every_message(pool, &probe, &ends, found).await?;
    } else if found.problems.is_empty() {
        found.well("each topic ends as the journal does, or as far as it is published");
    }
    relays(pool, found).await
}

fn end(ends: &Ends, found: &mut Found) {
    let Ends { shard, published, topic, judgement, .. } = ends;
    match judgement {
        Judgement::Agree { .. } => {}
        Judgement::Lost { .. } => {
            let has = topic.map_or_else(|| "holds nothing".to_owned(), |topic| format!("ends with sequence {topic}"));
            let what = format!("the topic of {shard} {has}, and {published} was acknowledged: a broker has lost data");
            found.wrong(what, "a running relay publishes it again within seconds: `docket relay`, `docket up`");
        }
        Judgement::Diverged(divergence) => found.wrong(
            format!("{shard}: {divergence}"),
            "`docket recover` brings the topic's tail into the journal; nothing of the shard is published until then",
        ),
    }
}

async fn every_message(pool: &PgPool, probe: &Probe, ends: &[Ends], found: &mut Found) -> anyhow::Result<()> {
    let total = ends.iter().filter_map(|ends| ends.topic).sum();
    let progress = Progress::new("compared");
    let (mut events, mut repeated, flaws) = (0, 0, found.problems.len());
    for Ends { shard, .. } in ends {
        let compared: Compared = compare::events(pool, probe, *shard).await?;
        events += compared.events;
        repeated += compared.repeated;
        progress.at(events, total);
        let examples: Vec<String> = compared.flaws.iter().take(EXAMPLES).map(ToString::to_string).collect();
        if !examples.is_empty() {
            let what = format!("the topic of {shard} has {} flaws: {}", compared.flaws.len(), examples.join("; "));
            found.wrong(what, "delete the topics and let a relay publish the journal anew; see docs/operations.md");
        }
    }
    progress.end();
    if found.problems.len() == flaws {
        found.well(format!("every message is as journalled: {events} events, {repeated} repetitions"));
    }
    Ok(())
}

/// What the database knows of relays and of what they publish.
async fn relays(pool: &PgPool, found: &mut Found) -> anyhow::Result<()> {
    let backlog = marks::backlog(pool).await?;
    let relays: i64 =
        sqlx::query_scalar("select count(*) from write.member where team = $1 and expires_at > clock_timestamp()")
            .bind(relay::TEAM)
            .fetch_one(pool)
            .await?;
    match (relays, backlog) {
        (0, backlog) => found.wrong(
            format!("no relay runs, and {backlog} events are not published"),
            "start one with KAFKA_BROKERS set: `docket relay`, `docket command-api`, `docket up`",
        ),
        (relays, 0) => found.well(format!("everything is published; {relays} relays run")),
        (relays, backlog) => found.well(format!("{backlog} events are not published yet; {relays} relays run")),
    }
    // A divergence was said already, from the topics themselves.
    let halted = marks::all(pool).await?.into_iter().filter_map(|(shard, mark)| Some((shard, mark.halted?)));
    for (shard, reason) in halted.filter(|(_, reason)| !reason.contains("PostgreSQL seems to have been restored")) {
        found.wrong(
            format!("nothing of {shard} is published: {reason}"),
            "the relay tries again by itself every minute",
        );
    }
    let foreign: i64 = sqlx::query_scalar("select count(*) from write.foreign_message").fetch_one(pool).await?;
    if foreign > 0 {
        found.wrong(
            format!("{foreign} messages on the topics were not written by a relay of this installation"),
            "projections leave them out; `docket status` shows where they stand; see who may write to the topics",
        );
    }
    Ok(())
}

async fn projections(pool: &PgPool, found: &mut Found) -> anyhow::Result<()> {
    let problems = found.problems.len();
    for outdated in generation::outdated(pool).await? {
        let generation::Outdated { projection, live, version } = outdated;
        found.wrong(
            format!("{projection} stands still: version {live} made its rows, and this release has version {version}"),
            format!("`docket rebuild {projection}`"),
        );
    }
    let lags = status::lag(pool).await?;
    let parked: u64 = lags.iter().map(|lag| lag.parked_streams).sum();
    if parked > 0 {
        found.wrong(
            format!("{parked} streams are parked"),
            "`docket retry` says why, and applies them once the cause is gone",
        );
    }
    let mut ahead: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for lag in lags.iter().filter(|lag| lag.sequence > lag.journal) {
        let place = format!("{} of {} in {}", lag.sequence, lag.journal, lag.shard);
        ahead.entry(&lag.projection).or_default().push(place);
    }
    for (projection, places) in ahead {
        let what = format!("{projection} has applied events that the journal does not have: {}", places.join(", "));
        found.wrong(what, "`docket recover` brings back what the journal lacks");
    }
    let behind: u64 = lags.iter().map(status::Lag::events).sum();
    let oldest = lags.iter().fold(0.0, |oldest: f64, lag| oldest.max(lag.seconds));
    if oldest > 30.0 {
        found.wrong(
            format!("projections are {behind} events behind, {oldest:.0} s"),
            "is a projector running? `docket projector`, `docket up`; its log and docs/operations.md say more",
        );
    } else if found.problems.len() == problems {
        found.well(format!("projections are {behind} events behind, nothing is parked"));
    }
    Ok(())
}
