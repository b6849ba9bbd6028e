//! Settings of the query API.
//!
//! Owns their names and defaults. Where PostgreSQL is and how HTTP is served are the platform's settings.

use std::time::Duration;

use clap::Args;
use docket_platform::config::{Describe, Setting, parse_duration};

/// How reads and subscriptions behave.
#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(next_help_heading = "Queries")]
pub struct Config {
    /// How long a read waits for the position it insists on before it says that it is not there yet
    #[arg(long = "query-position-wait", env = "DOCKET_QUERY_POSITION_WAIT", default_value = "5s", value_parser = parse_duration, value_name = "DURATION")]
    pub position_wait: Duration,
    /// How often the change feed is looked at when no bell rings
    #[arg(long = "query-poll", env = "DOCKET_QUERY_POLL", default_value = "1s", value_parser = parse_duration, value_name = "DURATION")]
    pub poll: Duration,
    /// How many batches of changes a subscriber may be behind before it must resync
    #[arg(long = "query-subscription-buffer", env = "DOCKET_QUERY_SUBSCRIPTION_BUFFER", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536), value_name = "N")]
    pub subscription_buffer: u32,
    /// How many MiB the knowledge graphs in memory may take together; what does not fit is searched in PostgreSQL. 0: none is held
    #[arg(long = "query-graph-memory", env = "DOCKET_QUERY_GRAPH_MEMORY", default_value_t = 512, value_name = "MIB")]
    pub graph_memory: u32,
    /// How long a GraphQL query may take
    #[arg(long, env = "DOCKET_GRAPHQL_TIMEOUT", default_value = "10s", value_parser = parse_duration, value_name = "DURATION")]
    pub graphql_timeout: Duration,
    /// The highest cost of a GraphQL query: one for each field, times the size of the page it is in
    #[arg(long, env = "DOCKET_GRAPHQL_COST", default_value_t = 5_000, value_name = "N")]
    pub graphql_cost: usize,
    /// Whether GraphQL introspection is answered; if not set, on loopback addresses only
    #[arg(long, env = "DOCKET_GRAPHQL_INTROSPECTION", value_name = "BOOL")]
    pub graphql_introspection: Option<bool>,
    /// How long a new WebSocket may take to say who it is
    #[arg(long, env = "DOCKET_GRAPHQL_INIT_TIMEOUT", default_value = "10s", value_parser = parse_duration, value_name = "DURATION")]
    pub graphql_init_timeout: Duration,
    /// Foreign web origins that may open a WebSocket: the process hands on its HTTP setting
    #[arg(skip)]
    pub allowed_origins: Vec<String>,
    /// Whether only this machine can ask: the process knows from the address that it listens on
    #[arg(skip)]
    pub loopback: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            position_wait: Duration::from_secs(5),
            poll: Duration::from_secs(1),
            subscription_buffer: 256,
            graph_memory: 512,
            graphql_timeout: Duration::from_secs(10),
            graphql_cost: 5_000,
            graphql_introspection: None,
            graphql_init_timeout: Duration::from_secs(10),
            allowed_origins: Vec::new(),
            loopback: false,
        }
    }
}

impl Describe for Config {
    fn describe(&self) -> Vec<Setting> {
        let ms = |duration: Duration| format!("{}ms", duration.as_millis());
        vec![
            Setting::new("DOCKET_QUERY_POSITION_WAIT", ms(self.position_wait)),
            Setting::new("DOCKET_QUERY_POLL", ms(self.poll)),
            Setting::new("DOCKET_QUERY_SUBSCRIPTION_BUFFER", self.subscription_buffer),
            Setting::new("DOCKET_QUERY_GRAPH_MEMORY", format!("{}MiB", self.graph_memory)),
            Setting::new("DOCKET_GRAPHQL_TIMEOUT", ms(self.graphql_timeout)),
            Setting::new("DOCKET_GRAPHQL_COST", self.graphql_cost),
            Setting::optional("DOCKET_GRAPHQL_INTROSPECTION", self.graphql_introspection),
            Setting::new("DOCKET_GRAPHQL_INIT_TIMEOUT", ms(self.graphql_init_timeout)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    #[derive(Debug, Parser)]
    struct Alone {
        #[command(flatten)]
        config: Config,
    }

    #[test]
    fn the_defaults_are_the_same_in_code_and_on_the_command_line() {
        assert_eq!(Alone::parse_from(["docket"]).config.describe(), Config::default().describe());
    }

    #[test]
    fn every_setting_is_described_once() {
        let described = Config::default().describe();
        for argument in Alone::command().get_arguments().filter_map(clap::Arg::get_env) {
            assert_eq!(described.iter().filter(|setting| setting.name == argument).count(), 1, "{argument:?}");
        }
    }
}
