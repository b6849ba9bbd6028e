//! `docket status`: how far each projection is behind the log, shard by shard, and what is parked.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use docket_platform::db::DbRole;
use docket_projector::status::{self, Lag};
use serde::Serialize;

use crate::place::{self, Place};

/// How to show it.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  docket status
  docket status --json | jq '.totals[] | select(.behind > 0)'")]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// As JSON
    #[arg(long)]
    json: bool,
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
    place::installation(&pool).await?;
    let report = Report::new(&status::lag(&pool).await?);
    let text = if args.json { serde_json::to_string_pretty(&report)? + "\n" } else { report.table() };
    super::quietly(io::stdout().write_all(text.as_bytes()))?;
    Ok(())
}

impl Report {
    fn new(lags: &[Lag]) -> Self {
        let mut totals: BTreeMap<&str, Row> = BTreeMap::new();
        for lag in lags {
            let total = totals.entry(&lag.projection).or_insert_with(|| Row::total(&lag.projection));
            total.applied += lag.sequence;
            total.behind += lag.events();
            total.lag_seconds = total.lag_seconds.max(lag.seconds);
            total.parked += lag.parked_streams;
        }
        Self { totals: totals.into_values().collect(), shards: lags.iter().map(Row::of).collect() }
    }

    fn table(&self) -> String {
        if self.shards.is_empty() {
            return "nothing is projected yet: start `docket up` or `docket projector`\n".to_owned();
        }
        let rows = self.shards.iter().chain(&self.totals);
        let width = |of: fn(&Row) -> &str| rows.clone().map(|row| of(row).len()).max().unwrap_or(0);
        let (projection, shard) = (width(|row| &row.projection).max(10), width(|row| &row.shard).max(5));
        let mut text = format!("{:projection$}  {:shard$}  applied  behind  lag (s)  parked\n", "projection", "shard");
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
        Lag { projection: "consultation".to_owned(), shard, sequence, head, seconds, parked_streams: 1 }
    }

    #[test]
    fn totals_add_events_and_take_the_longest_lag() {
        let report = Report::new(&[lag(0, 5, 7, 1.5), lag(1, 9, 9, 0.0)]);
        let [total] = report.totals.as_slice() else { panic!("one projection, one total") };
        assert_eq!((total.applied, total.behind, total.parked), (14, 2, 2));
        assert!((total.lag_seconds - 1.5).abs() < f64::EPSILON);
        let table = report.table();
        assert!(table.contains("consultation/0        5       2      1.5       1"), "{table}");
    }
}
