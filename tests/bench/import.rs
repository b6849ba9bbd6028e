//! `docket import graph` and `docket import articles` beside a running `docket up`, beside what can be appended at most in the same run: the
//! real data where it is there, and of it as much as a small run takes. What was imported is then searched over HTTP.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use docket_events::Category;
use docket_log::Store;
use docket_platform::db::Database;
use sqlx::PgPool;
use tokio::process::Command;

use crate::{
    Size, append, graph, projected,
    report::{Report, Target},
    server::Server,
    yardstick,
};

const REAL: &str = "../shared/data";
/// Writers of the yardstick: as many commands as an import has on their way.
const WRITERS: usize = 256;
/// How often it is looked whether all is projected.
const LOOK: Duration = Duration::from_millis(20);
/// Relationships and articles of a small run.
const FEW: [usize; 2] = [5_000, 250];

/// The section.
pub async fn run(docket: &Path, size: Size, report: &mut Report) -> Result<()> {
    if !Path::new(REAL).join("graph").exists() {
        println!("skipped: the real graph is not there ({REAL}/graph)");
        return Ok(());
    }
    let folder = std::env::temp_dir().join(format!("docket-bench-import-{}", std::process::id()));
    let server = Server::start(docket, &folder, None).await?;
    let outcome = measure(docket, &server, &folder, size, report).await;
    server.stop().await?;
    fs::remove_dir_all(&folder)?;
    outcome
}

async fn measure(docket: &Path, server: &Server, folder: &Path, size: Size, report: &mut Report) -> Result<()> {
    let cluster = server.cluster().await?;
    let (database, store) = append::database(|user, name| cluster.connect_options(user, name), "bench_import").await?;
    append::writers(&store, WRITERS, false, 0.5).await?;
    let bench = Bench { docket, folder, owner: server.owner().await?, database, store, seconds: size.seconds() };
    let files = graph_files(folder, size)?;
    bench.import("graph", Category::Knowledge, &files, report).await?;
    graph::http::run(server, &bench.owner, size, report).await?;
    let articles = article_file(folder, size)?;
    bench.import("articles", Category::Feed, &[articles], report).await
}

/// An installation into which is imported.
struct Bench<'a> {
    docket: &'a Path,
    folder: &'a Path,
    owner: PgPool,
    /// Where the yardsticks write, on the same cluster.
    database: Database,
    store: Store,
    seconds: f64,
}

impl Bench<'_> {
    async fn import(&self, what: &str, category: Category, files: &[PathBuf], report: &mut Report) -> Result<()> {
        let before = self.ceiling().await?;
        let imported = self.twice(what, category, files).await?;
        let after = self.ceiling().await?;
        let ceiling = Ceiling {
            append: f64::midpoint(before.append, after.append),
            copy: f64::midpoint(before.copy, after.copy),
        };
        imported.tell(what, &ceiling, report);
        Ok(())
    }

    /// Imports files twice; an error unless the first time brings everything and the second nothing.
    async fn twice(&self, what: &str, category: Category, files: &[PathBuf]) -> Result<Imported> {
        let started = Instant::now();
        let first = self.command(what, files).await?;
        let imported_in = started.elapsed();
        projected::all(&self.owner, &[category], LOOK).await?;
        let projected_in = started.elapsed();
        let (events, bytes) = self.journalled(category).await?;
        ensure!(first == (events, 0), "{} imported, {} there before, {events} events", first.0, first.1);
        let started = Instant::now();
        let again = self.command(what, files).await?;
        let again_in = started.elapsed();
        ensure!(again == (0, events), "the second time {} were imported and {} were there", again.0, again.1);
        ensure!(self.journalled(category).await? == (events, bytes), "the second time changed something");
        Ok(Imported { events, bytes, imported_in, projected_in, again_in })
    }

    /// What can be appended at most, while nothing else is done.
    async fn ceiling(&self) -> Result<Ceiling> {
        let (append, _) = append::writers(&self.store, WRITERS, false, self.seconds / 2.0).await?;
        let copy = yardstick::copy_times_two(&self.database, self.seconds / 2.0).await?;
        Ok(Ceiling { append, copy })
    }

    /// Runs an import to its end; how many were written, and how many were there.
    async fn command(&self, what: &str, files: &[PathBuf]) -> Result<(u64, u64)> {
        let output = Command::new(self.docket)
            .args(["import", what])
            .args(files)
            .arg("--data-dir")
            .arg(self.folder)
            .env("DOCKET_LOG", "warn")
            .env_remove("DATABASE_URL")
            .env("KAFKA_BROKERS", "")
            .kill_on_drop(true)
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "import {what}: {said}{}", String::from_utf8_lossy(&output.stderr));
        let sum = |name: &str| -> u64 {
            let counts = said.lines().filter_map(|line| line.strip_prefix(name));
            counts.filter_map(|count| count.trim().parse::<u64>().ok()).sum()
        };
        Ok((sum("imported "), sum("already there ")))
    }

    /// How many events of a category there are, and the bytes of their data.
    async fn journalled(&self, category: Category) -> Result<(u64, u64)> {
        let (events, bytes): (i64, i64) = sqlx::query_as(
            "select count(*), coalesce(sum(octet_length(data)), 0)::bigint from write.journal where category = $1",
        )
        .bind(category.code())
        .fetch_one(&self.owner)
        .await?;
        Ok((events.unsigned_abs(), bytes.unsigned_abs()))
    }
}

/// Events a second.
struct Ceiling {
    append: f64,
    copy: f64,
}

/// What an import brought, and how long it took, from its start on.
struct Imported {
    events: u64,
    /// Of their data.
    bytes: u64,
    imported_in: Duration,
    projected_in: Duration,
    /// The second one.
    again_in: Duration,
}

impl Imported {
    fn tell(&self, what: &str, ceiling: &Ceiling, report: &mut Report) {
        let per_second = |time: Duration| self.events as f64 / time.as_secs_f64();
        let (rate, seconds) = (per_second(self.imported_in), self.imported_in.as_secs_f64());
        let each = self.bytes / self.events.max(1);
        report.row(
            &format!("import {what}, {} events of {each} bytes", self.events),
            format!("{rate:.0} events/s ({seconds:.2} s)"),
            format!("append without key, {WRITERS} writers {:.0}/s", ceiling.append),
            rate / ceiling.append,
            Target::None,
        );
        report.row(
            "the same",
            format!("{rate:.0} events/s"),
            format!("COPY x 2 {:.0}/s", ceiling.copy),
            rate / ceiling.copy,
            Target::None,
        );
        let again = self.again_in.as_secs_f64();
        report.row(
            &format!("import {what} once more, nothing new"),
            format!("{again:.2} s"),
            format!("the first time {seconds:.2} s"),
            again / seconds,
            Target::None,
        );
        let (projected, behind) = (per_second(self.projected_in), self.projected_in.saturating_sub(self.imported_in));
        report.row(
            &format!("import {what}, until all projections have it"),
            format!("{projected:.0} events/s ({:.2} s behind the import)", behind.as_secs_f64()),
            format!("imported {rate:.0} events/s"),
            projected / rate,
            Target::None,
        );
    }
}

fn real(file: &str) -> Result<String> {
    fs::read_to_string(Path::new(REAL).join(file)).with_context(|| format!("reading {file}"))
}

fn written(folder: &Path, name: &str, lines: Vec<&str>) -> Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, lines.join("\n") + "\n").with_context(|| format!("writing {name}"))?;
    Ok(path)
}

/// The graph: some relationships, and the entities that they are of.
fn graph_files(folder: &Path, size: Size) -> Result<[PathBuf; 2]> {
    let (entities, relationships) = (real("graph/entities.tsv")?, real("graph/relationships.tsv")?);
    let relationships: Vec<&str> = relationships.lines().take(size.pick(FEW[0] + 1, usize::MAX)).collect();
    let mut ends = HashSet::new();
    for line in relationships.iter().skip(1) {
        let mut fields = line.split('\t');
        ends.extend(fields.next());
        ends.extend(fields.nth(1));
    }
    let is_wanted = |line: &&str| size == Size::Full || line.split('\t').next().is_some_and(|id| ends.contains(id));
    let head = entities.lines().take(1);
    let entities: Vec<&str> = head.chain(entities.lines().skip(1).filter(is_wanted)).collect();
    Ok([written(folder, "bench-entities.tsv", entities)?, written(folder, "bench-relationships.tsv", relationships)?])
}

/// The articles.
fn article_file(folder: &Path, size: Size) -> Result<PathBuf> {
    let articles = real("articles/articles.ndjson")?;
    let few = articles.lines().take(size.pick(FEW[1], usize::MAX)).collect();
    written(folder, "bench-articles.ndjson", few)
}
