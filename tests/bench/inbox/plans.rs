//! How PostgreSQL finds what a request asks for: the plans of its statements, out of the server's own log.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use docket_tests::eventually;
use sqlx::PgPool;

/// Where whole plans are kept.
pub const FOLDER: &str = "target/bench-plans";

/// How long the log must not grow to be taken for whole.
const QUIET: Duration = Duration::from_millis(200);

/// From the next session on, the server logs the plan of every statement of those who read, of such within functions too.
const SWITCH_ON: &str = "
    alter role docket_reader set session_preload_libraries = 'auto_explain';
    alter role docket_reader set auto_explain.log_min_duration = 0;
    alter role docket_reader set auto_explain.log_analyze = on;
    alter role docket_reader set auto_explain.log_buffers = on;
    alter role docket_reader set auto_explain.log_nested_statements = on;
    alter role docket_reader set auto_explain.log_format = 'text'";

/// The server's log.
pub struct Plans<'a> {
    owner: &'a PgPool,
    folder: PathBuf,
}

/// A place in it.
pub struct Mark {
    file: String,
    size: i64,
}

impl<'a> Plans<'a> {
    /// Begins to log plans.
    pub async fn begin(owner: &'a PgPool) -> Result<Self> {
        sqlx::raw_sql(SWITCH_ON).execute(owner).await?;
        // The log stays in one file.
        sqlx::query("alter system set log_rotation_age = 0").execute(owner).await?;
        sqlx::query("select pg_reload_conf()").execute(owner).await?;
        let folder = PathBuf::from(FOLDER);
        std::fs::create_dir_all(&folder).with_context(|| format!("making {FOLDER}"))?;
        Ok(Self { owner, folder })
    }

    /// The end of the log as it is now.
    pub async fn mark(&self) -> Result<Mark> {
        let (file, size) = sqlx::query_as("select pg_current_logfile(), (pg_stat_file(pg_current_logfile())).size")
            .fetch_one(self.owner)
            .await?;
        Ok(Mark { file, size })
    }

    /// What was logged behind `mark` on consultations, once all of it is written; kept in a file of this name.
    pub async fn since(&self, mark: &Mark, name: &str) -> Result<Scans> {
        let whole = eventually("the log is written", async || {
            let before = self.mark().await?;
            tokio::time::sleep(QUIET).await;
            let after = self.mark().await?;
            Ok((before.size == after.size && before.file == after.file).then_some(after))
        })
        .await?;
        ensure!(whole.file == mark.file, "the server began another log meanwhile");
        let text: String = sqlx::query_scalar("select pg_read_file($1, $2, $3)")
            .bind(&mark.file)
            .bind(mark.size)
            .bind(whole.size - mark.size)
            .fetch_one(self.owner)
            .await?;
        let plans: Vec<&str> =
            entries(&text).into_iter().filter(|entry| Scans::of(entry).is_of_consultations()).collect();
        ensure!(!plans.is_empty(), "no plan was logged");
        std::fs::write(self.file(name), plans.join("\n"))?;
        let left_out = plans.iter().map(|plan| left_out(plan)).max().unwrap_or_default();
        Ok(Scans { left_out, ..Scans::of(&plans.join("\n")) })
    }

    fn file(&self, name: &str) -> PathBuf {
        let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
        Path::new(&self.folder).join(format!("{}.txt", name.chars().map(plain).collect::<String>()))
    }
}

/// The entries of a log; the lines of one are indented but for the first.
fn entries(log: &str) -> Vec<&str> {
    let starts: Vec<usize> = std::iter::once(0)
        .chain(log.match_indices('\n').map(|(at, _)| at + 1))
        .filter(|at| log[*at..].chars().next().is_some_and(|first| first != '\t'))
        .collect();
    let ends = starts.iter().skip(1).copied().chain(std::iter::once(log.len()));
    starts.iter().zip(ends).map(|(start, end)| log[*start..end].trim_end()).collect()
}

/// What plans read, and by what.
#[derive(Debug, Default)]
pub struct Scans {
    /// Indexes, each with its table where the plan names it.
    indexed: BTreeSet<String>,
    /// Tables that were read from end to end.
    sequential: BTreeSet<String>,
    /// The most rows that one statement read and then left out: an index that finds too much is no better than none.
    left_out: u64,
}

/// How many rows a plan read and left out.
fn left_out(plan: &str) -> u64 {
    let kinds = ["Rows Removed by Filter: ", "Rows Removed by Index Recheck: ", "Rows Removed by Join Filter: "];
    // What a node that is repeated removes is told as the mean of its loops.
    let mut loops = 1;
    let mut total = 0;
    for line in plan.lines().map(str::trim) {
        if let Some((_, rest)) = line.split_once(" loops=") {
            loops = rest.trim_end_matches(')').parse().unwrap_or(1);
        }
        let removed = kinds.iter().find_map(|kind| line.strip_prefix(kind)).and_then(|rows| rows.parse::<u64>().ok());
        total += removed.unwrap_or_default() * loops;
    }
    total
}

const BY_INDEX: [&str; 4] =
    ["Index Scan using ", "Index Scan Backward using ", "Index Only Scan using ", "Index Only Scan Backward using "];

impl Scans {
    fn of(plans: &str) -> Self {
        let mut scans = Self::default();
        for line in plans.lines().filter(|line| !line.contains("(never executed)")) {
            let node = line.trim_start().trim_start_matches("->").trim_start().trim_start_matches("Parallel ");
            if let Some(rest) = BY_INDEX.iter().find_map(|kind| node.strip_prefix(kind))
                && let [index, "on", table, ..] = rest.split_whitespace().collect::<Vec<_>>()[..]
            {
                scans.indexed.insert(format!("{table} by {index}"));
            } else if let Some(index) = node.strip_prefix("Bitmap Index Scan on ") {
                scans.indexed.insert(format!("bitmap of {}", index.split_whitespace().next().unwrap_or_default()));
            } else if let Some(table) = node.strip_prefix("Seq Scan on ") {
                scans.sequential.insert(table.split_whitespace().next().unwrap_or_default().to_owned());
            }
        }
        scans
    }

    fn is_of_consultations(&self) -> bool {
        self.indexed.iter().any(|scan| scan.trim_start_matches("bitmap of ").starts_with("consultation"))
            || self.sequential.iter().any(|table| table.starts_with("consultation"))
    }

    /// The tables of consultations that were read from end to end.
    pub fn missed(&self) -> usize {
        self.sequential.iter().filter(|table| table.starts_with("consultation")).count()
    }

    /// All of it on one line.
    pub fn line(&self) -> String {
        let sequential = self.sequential.iter().map(|table| format!("all of {table}"));
        let scans = sequential.chain(self.indexed.iter().cloned()).collect::<Vec<_>>().join(", ");
        format!("{scans}; rows left out: {}", self.left_out)
    }
}
