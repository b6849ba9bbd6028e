//! `docket replay`: the log as CloudEvents 1.0, one JSON object a line.
//!
//! Owns the order (shard by shard, in sequence) and the pace (a page at a time, so that memory stays bounded and no statement
//! runs for as long as the reader of the output likes). It must not decode data: what is on the log is printed byte for byte.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use anyhow::Context;
use docket_events::{Category, Recorded, ShardId, StreamId};
use docket_log::journal::{self, JournalReader};
use docket_log::reader::Reader;
use docket_log::{Bell, Topic};
use docket_platform::db::DbRole;
use futures_util::TryStreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use sqlx::PgPool;

use crate::exit::Ending;
use crate::place::{self, Place};

/// Events that are in memory at once.
const PAGE: usize = 256;

/// Which events to print.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  docket replay | jq -r .type | sort | uniq -c         what happened how often
  docket replay --category consultation --type docket.consultation.timed_out.v1
  docket replay --stream consultation-01990000-0000-7000-8000-000000000000
  docket replay --category consultation --shard 3 --from-sequence 1000

Without --stream: shard by shard, in the order of each shard, up to what stood on the log at the start. Names of people are
printed as they stand on the log: encrypted.")]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// Only this stream
    #[arg(long, value_name = "ID", conflicts_with_all = ["category", "shard", "from_sequence"])]
    stream: Option<StreamId>,
    /// Only this category: identity, consultation or knowledge
    #[arg(long, value_name = "NAME", value_parser = category)]
    category: Option<Category>,
    /// Only this shard of the category
    #[arg(long, value_name = "N", requires = "category")]
    shard: Option<u16>,
    /// Only from this sequence on, in each shard
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    from_sequence: u64,
    /// Only events of this type; may be given several times
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
}

fn category(name: &str) -> Result<Category, String> {
    Category::from_name(name).ok_or_else(|| {
        let known: Vec<_> = Category::ALL.iter().map(|category| category.name()).collect();
        format!("there is no such category; there are {}", known.join(", "))
    })
}

/// Prints the events.
///
/// # Errors
/// When the log cannot be read or the output not be written; a reader that has seen enough is no error.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let database = args.place.find().await?;
    // This role sees all tenants, and its statements may take their time.
    let pool = database.pool(DbRole::Projector, 2, args.place.database.acquire_timeout);
    let installation = place::installation(&pool).await?;
    if let Some(shard) = args.shard.filter(|shard| *shard >= installation.shards) {
        return Err(
            Ending::usage(format!("there is no shard {shard}: this installation has {}", installation.shards)).into()
        );
    }
    let mut printer = Printer::new(&args);
    let printed = match args.stream {
        Some(stream) => print_stream(&pool, stream, &mut printer).await,
        None => print_shards(&pool, &args, &mut printer).await,
    };
    printer.finish(printed)
}

async fn print_stream(pool: &PgPool, stream: StreamId, printer: &mut Printer<'_>) -> anyhow::Result<()> {
    let mut events = std::pin::pin!(journal::stream_events(pool, stream));
    while let Some(event) = events.try_next().await? {
        printer.print(&event)?;
    }
    anyhow::ensure!(printer.seen > 0, "there is no stream {stream}");
    Ok(())
}

async fn print_shards(pool: &PgPool, args: &Args, printer: &mut Printer<'_>) -> anyhow::Result<()> {
    let tails = journal::tails(pool).await?;
    let chosen = |shard: &ShardId| {
        args.category.is_none_or(|category| category == shard.category) && args.shard.is_none_or(|n| n == shard.shard)
    };
    let tails: Vec<_> = tails.into_iter().filter(|(shard, _)| chosen(shard)).collect();
    let behind = args.from_sequence - 1;
    printer.expect(tails.iter().map(|(_, tail)| tail.saturating_sub(behind)).sum());
    let mut reader = JournalReader::new(pool.clone(), &Bell::new(Topic::Journal));
    for (shard, tail) in tails {
        let mut at = behind;
        while at < tail {
            let page = reader.read(&[(shard, at)], PAGE).await?;
            let Some(last) = page.last().map(|event| event.sequence) else { break };
            for event in page.iter().filter(|event| event.sequence <= tail) {
                printer.print(event)?;
            }
            at = last;
        }
    }
    Ok(())
}

/// Writes lines, and shows how far it is where somebody watches.
struct Printer<'a> {
    out: BufWriter<StdoutLock<'static>>,
    types: &'a [String],
    progress: ProgressBar,
    seen: u64,
}

impl<'a> Printer<'a> {
    fn new(args: &'a Args) -> Self {
        // On a terminal the lines themselves show how far it is.
        let progress = if io::stdout().is_terminal() { ProgressBar::hidden() } else { ProgressBar::no_length() };
        let out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
        Self { out, types: &args.types, progress, seen: 0 }
    }

    /// How many events there will be.
    fn expect(&self, events: u64) {
        self.progress.set_length(events);
        // The template is a literal: a mistake in it would only cost its looks.
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} events, {eta} to go") {
            self.progress.set_style(style);
        }
    }

    fn print(&mut self, event: &Recorded) -> anyhow::Result<()> {
        self.seen += 1;
        self.progress.inc(1);
        if !self.types.is_empty() && !self.types.contains(&event.event_type) {
            return Ok(());
        }
        let line = event
            .cloud_event()
            .with_context(|| format!("event {} of {} is damaged: its data is no JSON", event.version, event.stream))?;
        self.out.write_all(line.as_bytes())?;
        self.out.write_all(b"\n")?;
        Ok(())
    }

    fn finish(mut self, printed: anyhow::Result<()>) -> anyhow::Result<()> {
        self.progress.finish_and_clear();
        let flushed = printed.and_then(|()| Ok(self.out.flush()?));
        // What is left in the buffer has nowhere to go.
        let (_, _) = self.out.into_parts();
        match flushed {
            Err(error) if is_broken_pipe(&error) => Ok(()),
            result => result,
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
