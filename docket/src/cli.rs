//! The command line: commands, flags, environment names, help.
//!
//! Owns what is asked of the program; each command's flags stand beside the command. It must not do anything.

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use docket_platform::config::{LogArgs, LogFormat};

use crate::commands::{
    command_api, completions, config, deliveries, demo, health, import, keys, log, migrate, projector, query_api,
    rebuild, recover, relay, replay, retry, roles, seed, status, up,
};

const EXAMPLES: &str = "\
Examples:
  docket up                                     run everything here, on http://127.0.0.1:8080
  docket import permits permits.csv             bring in permit requests from a file
  docket replay --category consultation | jq    read what happened, one event a line
  docket status                                 how far the read models are

Exit codes: 0 done, 1 failed, 2 usage, 3 not reachable, 4 refused.
Every setting has a flag and an environment variable; the flag goes first.";

/// Puts human decisions on the record
///
/// Software and people ask for a decision, reviewers answer it or its deadline passes, and every step is an event.
#[derive(Debug, Parser)]
#[command(name = "docket", version, propagate_version = true, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    /// What is logged.
    #[command(flatten)]
    pub log: LogArgs,
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What `docket` can do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Run everything in one process: PostgreSQL, commands, projections, queries, pages
    Up(up::Args),
    /// Run the command API alone
    CommandApi(command_api::Args),
    /// Run the projector alone
    Projector(projector::Args),
    /// Run the query API alone
    QueryApi(query_api::Args),
    /// Publish the journal to Kafka
    Relay(relay::Args),
    /// Bring the database up to date
    Migrate(migrate::Args),
    /// Bring in data from elsewhere
    Import(import::Args),
    /// Make an organisation's worth of simulated data, and let its users live on
    Seed(seed::Args),
    /// Show on a running docket what it is for
    Demo(demo::Args),
    /// Print the events of the log, CloudEvents as JSON, one a line
    Replay(replay::Args),
    /// Apply again what a projection could not apply
    Retry(retry::Args),
    /// Show what was sent or could not be sent, such as mail, and try it again
    Deliveries(deliveries::Args),
    /// Make a projection anew from the log, beside the live one
    Rebuild(rebuild::Args),
    /// Say where the log is kept
    Log(log::Args),
    /// Bring back from Kafka what a restored database lacks
    Recover(recover::Args),
    /// Show or change the keys that sign access tokens
    Keys(keys::Args),
    /// Show which role may do what
    Roles(roles::Args),
    /// Show how far each projection is behind the log
    Status(status::Args),
    /// Ask a running docket whether it is ready
    Health(health::Args),
    /// Show what is in force, secrets masked
    Config(config::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
}

/// Reads the command line; says how to use it and ends the process where it makes no sense.
pub fn parse() -> Cli {
    let mut matches = Cli::command().get_matches();
    let given = Given::of(&matches);
    let mut cli = Cli::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.exit());
    match &mut cli.action {
        Action::Up(_) | Action::CommandApi(_) | Action::Projector(_) | Action::QueryApi(_) | Action::Relay(_) => {}
        Action::Config(args) => args.sources = given.sources,
        _ => given.quieten(&mut cli.log),
    }
    cli
}

/// Where the values of the command's settings come from.
struct Given {
    sources: Vec<(String, ValueSource)>,
}

impl Given {
    fn of(matches: &ArgMatches) -> Self {
        let Some((name, matches)) = matches.subcommand() else { return Self { sources: Vec::new() } };
        let mut root = Cli::command();
        // So that the flags of all commands are among those of each.
        root.build();
        let command = root.find_subcommand(name);
        let arguments = command.into_iter().flat_map(clap::Command::get_arguments);
        let sources = arguments.filter_map(|argument| {
            let name = argument.get_env()?.to_str()?.to_owned();
            // An argument that this command does not have would be a mistake in the program; then the source is not known.
            let source = matches.try_contains_id(argument.get_id().as_str()).ok()?;
            source.then(|| matches.value_source(argument.get_id().as_str()).map(|source| (name, source)))?
        });
        Self { sources: sources.collect() }
    }

    fn is_default(&self, name: &str) -> bool {
        !self.sources.iter().any(|(known, source)| known == name && *source != ValueSource::DefaultValue)
    }

    /// A tool prints to a person: what a server logs would stand in its way, unless it was asked for.
    fn quieten(&self, log: &mut LogArgs) {
        if self.is_default("DOCKET_LOG") {
            "error".clone_into(&mut log.log);
        }
        if self.is_default("DOCKET_LOG_FORMAT") {
            log.log_format = LogFormat::Text;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
        let path = format!("{path} {}", command.get_name());
        for child in command.get_subcommands().filter(|child| child.get_name() != "help") {
            leaves(child, &path, found);
        }
        if !command.has_subcommands() {
            found.push((path, command.clone()));
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples_and_every_flag_a_help_text() {
        let mut commands = Vec::new();
        leaves(&Cli::command(), "", &mut commands);
        assert!(commands.len() > 8);
        for (path, command) in commands {
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(examples.starts_with("Example"), "{path} has no examples");
            for argument in command.get_arguments().filter(|argument| argument.get_id() != "help") {
                assert!(argument.get_help().is_some(), "{path}: {} has no help", argument.get_id());
            }
        }
    }

    #[test]
    fn a_tool_is_quiet_unless_told_otherwise() {
        let of = |line: &[&str]| {
            let mut matches = Cli::command().try_get_matches_from(line).expect("a command line");
            let given = Given::of(&matches);
            let mut log = Cli::from_arg_matches_mut(&mut matches).expect("a command").log;
            given.quieten(&mut log);
            log
        };
        assert_eq!(of(&["docket", "status"]).log, "error");
        assert_eq!(of(&["docket", "status", "--log", "debug"]).log, "debug");
        assert_eq!(of(&["docket", "--log-format", "json", "status"]).log_format, LogFormat::Json);
    }
}
