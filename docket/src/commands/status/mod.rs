//! `docket status`: how far each projection is behind the log, shard by shard, what is parked, and how the log in Kafka is.
//!
//! Owns what is shown. It only reads, and asks the brokers nothing: that is [`check`]'s.

mod check;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use docket_log::relay::marks;
use docket_log::{Installation, KafkaArgs, Mode};
use docket_platform::db::DbRole;
use docket_projector::generation;
use docket_projector::status::{self, Lag};
use serde::Serialize;
use sqlx::{PgPool, Row as _};

use crate::place::{self, Place};

/// How to show it.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  docket status
  docket status --json | jq '.totals[] | select(.behind > 0)'
  KAFKA_BROKERS=127.0.0.1:9092 docket status --check          says in words what is wrong, and what mends it
  KAFKA_BROKERS=127.0.0.1:9092 docket status --check --full   reads every message of the topics

Exit codes with --check: 0 all is well, 1 something is wrong, 3 the database or Kafka does not answer.")]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// As JSON
    #[arg(long, conflicts_with = "check")]
    json: bool,
    /// Look for what is wrong: topics against the journal, relays, projections
    #[arg(long)]
    check: bool,
    /// With --check: compare every message of the topics with the journal, and not the ends alone
    #[arg(long, requires = "check")]
    full: bool,
    #[command(flatten)]
    kafka: KafkaArgs,
}

/// The log, as the database knows it.
#[derive(Debug, Serialize)]
struct Log {
    /// Where it is: journal or kafka.
    mode: &'static str,
    /// Events that are journalled and not published; none while the log is in the journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    backlog: Option<u64>,
    /// Shards of which nothing is published, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    halted: Vec<Halted>,
    /// Messages on the topics that no relay of ours wrote.
    foreign_messages: u64,
    /// The newest of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    foreign: Vec<Foreign>,
}

#[derive(Debug, Serialize)]
struct Halted {
    shard: String,
    reason: String,
}

#[derive(Debug, Serialize)]
struct Foreign {
    shard: String,
    offset: i64,
    reason: String,
}

/// Foreign messages that are shown.
const FOREIGN: i64 = 5;

impl Log {
    async fn read(pool: &PgPool, installation: Installation) -> Result<Self, sqlx::Error> {
        let in_kafka = installation.mode == Mode::Kafka;
        let backlog = if in_kafka { Some(marks::backlog(pool).await?) } else { None };
        let marks = if in_kafka { marks::all(pool).await? } else { BTreeMap::new() };
        let halted = marks
            .into_iter()
            .filter_map(|(shard, mark)| Some(Halted { shard: shard.to_string(), reason: mark.halted? }));
        let foreign_messages: i64 =
            sqlx::query_scalar("select count(*) from write.foreign_message").fetch_one(pool).await?;
        let rows = sqlx::query(
            "select c.name || '/' || f.shard, f.log_offset, f.reason
             from write.foreign_message f join write.category c on c.code = f.category order by f.seen_at desc limit $1",
        )
        .bind(FOREIGN)
        .fetch_all(pool)
        .await?;
        let foreign = rows
            .iter()
            .map(|row| Ok(Foreign { shard: row.try_get(0)?, offset: row.try_get(1)?, reason: row.try_get(2)? }))
            .collect::<Result<_, sqlx::Error>>()?;
        Ok(Self {
            mode: installation.mode.name(),
            backlog,
            halted: halted.collect(),
            foreign_messages: foreign_messages.unsigned_abs(),
            foreign,
        })
    }

    fn lines(&self) -> String {
        let mut text = format!("log  {}", self.mode);
        // Writing to a text cannot fail.
        if let Some(backlog) = self.backlog {
            let _ = write!(text, ", {backlog} events not published yet");
        }
        text.push('\n');
        for Halted { shard, reason } in &self.halted {
            let _ = writeln!(text, "halted  {shard}: {reason}");
        }
        if self.foreign_messages > 0 {
            let _ = writeln!(text, "foreign messages  {}, left out by projections; the newest:", self.foreign_messages);
        }
        for Foreign { shard, offset, reason } in &self.foreign {
            let _ = writeln!(text, "  {shard} at offset {offset}: {reason}");
        }
        text
    }
}

/// One projection in one shard, or in all of them.
#[derive(Debug, Serialize)]
struct Row {
    projection: String,
    shard: String,
    applied: u64,
    behind: u64,
    lag_seconds: f64,
    parked: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    log: Log,
    /// Projections that `docket rebuild` has to make anew for this release.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outdated: Vec<&'static str>,
    shards: Vec<Row>,
    totals: Vec<Row>,
}

/// Shows it.
///
/// # Errors
/// When the database does not answer.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let database = args.place.find().await?;
    let pool = database.pool(DbRole::Projector, 1, args.place.database.acquire_timeout);
    let installation = place::installation(&pool).await?;
    if args.check {
        let kafka = place::kafka(&args.kafka)?;
        return check::run(&pool, installation, kafka.as_ref(), args.full).await;
    }
    let outdated = generation::outdated(&pool).await?.into_iter().map(|outdated| outdated.projection).collect();
    let report = Report::new(Log::read(&pool, installation).await?, outdated, &status::lag(&pool).await?);
    let text = if args.json { serde_json::to_string_pretty(&report)? + "\n" } else { report.table() };
    super::quietly(io::stdout().write_all(text.as_bytes()))?;
    Ok(())
}

impl Report {
    fn new(log: Log, outdated: Vec<&'static str>, lags: &[Lag]) -> Self {
        let mut totals: BTreeMap<&str, Row> = BTreeMap::new();
        for lag in lags {
            let total = totals.entry(&lag.projection).or_insert_with(|| Row::total(&lag.projection));
            total.applied += lag.sequence;
            total.behind += lag.events();
            total.lag_seconds = total.lag_seconds.max(lag.seconds);
            total.parked += lag.parked_streams;
        }
        Self { log, outdated, totals: totals.into_values().collect(), shards: lags.iter().map(Row::of).collect() }
    }

    fn table(&self) -> String {
        let mut text = self.log.lines();
        for projection in &self.outdated {
            let _ = writeln!(
                text,
                "outdated  {projection}: another release made its rows; run `docket rebuild {projection}`"
            );
        }
        if self.shards.is_empty() {
            return text + "nothing is projected yet: start `docket up` or `docket projector`\n";
        }
        let rows = self.shards.iter().chain(&self.totals);
        let width = |of: fn(&Row) -> &str| rows.clone().map(|row| of(row).len()).max().unwrap_or(0);
        let (projection, shard) = (width(|row| &row.projection).max(10), width(|row| &row.shard).max(5));
        let _ = writeln!(text, "{:projection$}  {:shard$}  applied  behind  lag (s)  parked", "projection", "shard");
        for row in rows {
            // Writing to a text cannot fail.
            let _ = writeln!(
                text,
                "{:projection$}  {:shard$}  {:>7}  {:>6}  {:>7.1}  {:>6}",
                row.projection, row.shard, row.applied, row.behind, row.lag_seconds, row.parked
            );
        }
        text
    }
}

impl Row {
    fn of(lag: &Lag) -> Self {
        Self {
            projection: lag.projection.clone(),
            shard: lag.shard.to_string(),
            applied: lag.sequence,
            behind: lag.events(),
            lag_seconds: lag.seconds,
            parked: lag.parked_streams,
        }
    }

    fn total(projection: &str) -> Self {
        Self {
            projection: projection.to_owned(),
            shard: "all".to_owned(),
            applied: 0,
            behind: 0,
            lag_seconds: 0.0,
            parked: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use docket_events::{Category, ShardId};

    fn lag(shard: u16, sequence: u64, head: u64, seconds: f64) -> Lag {
        let shard = ShardId { category: Category::Consultation, shard };
        Lag { projection: "consultation".to_owned(), shard, sequence, head, journal: head, seconds, parked_streams: 1 }
    }

    #[test]
    fn totals_add_events_and_take_the_longest_lag() {
        let log = Log { mode: "kafka", backlog: Some(3), halted: vec![], foreign_messages: 0, foreign: vec![] };
        let report = Report::new(log, vec![], &[lag(0, 5, 7, 1.5), lag(1, 9, 9, 0.0)]);
        let [total] = report.totals.as_slice() else { panic!("one projection, one total") };
        assert_eq!((total.applied, total.behind, total.parked), (14, 2, 2));
        assert!((total.lag_seconds - 1.5).abs() < f64::EPSILON);
        let table = report.table();
        assert!(table.starts_with("log  kafka, 3 events not published yet\n"), "{table}");
        assert!(table.contains("consultation/0        5       2      1.5       1"), "{table}");
    }
}
