//! `docket config`: what is in force, and where each value comes from.

use std::io::{self, Write};

use clap::parser::ValueSource;
use docket_platform::config::{Describe, LogArgs, Setting};
use serde::Serialize;

use super::up;

/// Every setting, as the other commands take them.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  docket config
  docket config --json | jq -r '.[] | select(.source != \"default\") | .name'")]
pub struct Args {
    #[command(flatten)]
    settings: up::Args,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Filled in by the command line's reader, which alone knows.
    #[arg(skip)]
    pub sources: Vec<(String, ValueSource)>,
}

#[derive(Debug, Serialize)]
struct Line {
    name: &'static str,
    value: Option<String>,
    source: &'static str,
}

/// Shows it, secrets masked.
///
/// # Errors
/// When it cannot be written.
pub fn run(log: &LogArgs, args: &Args) -> anyhow::Result<()> {
    let lines: Vec<Line> =
        [args.settings.describe(), log.describe()].concat().into_iter().map(|s| args.line(s)).collect();
    let text = if args.json { serde_json::to_string_pretty(&lines)? + "\n" } else { table(&lines) };
    super::quietly(io::stdout().write_all(text.as_bytes()))?;
    Ok(())
}

impl Args {
    fn line(&self, setting: Setting) -> Line {
        let source = self.sources.iter().find(|(name, _)| name == setting.name).map(|(_, source)| *source);
        let source = match (source, &setting.value) {
            (_, None) => "not set",
            (Some(ValueSource::CommandLine), _) => "command line",
            (Some(ValueSource::EnvVariable), _) => "environment",
            _ => "default",
        };
        Line { name: setting.name, value: setting.value, source }
    }
}

fn table(lines: &[Line]) -> String {
    let width = |of: fn(&Line) -> usize| lines.iter().map(of).max().unwrap_or(0);
    let (name, value) =
        (width(|line| line.name.len()), width(|line| line.value.as_deref().map_or(0, str::len)).min(60));
    let line = |line: &Line| {
        let shown = line.value.as_deref().unwrap_or("-");
        format!("{:name$}  {shown:value$}  {}\n", line.name, line.source)
    };
    lines.iter().map(line).collect()
}
