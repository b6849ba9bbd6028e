//! The settings of the command API. Owns their flags and environment names.

use clap::Args;
use docket_platform::config::{Describe, Masked, Setting};

/// A quarter of an hour of a busy installation.
const MAX_BACKLOG: u64 = 1_000_000;

/// How commands are taken.
#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(next_help_heading = "Commands")]
pub struct Config {
    /// Refuse commands that come without an Idempotency-Key
    #[arg(long, env = "DOCKET_REQUIRE_IDEMPOTENCY_KEY", default_value_t = false)]
    pub require_idempotency_key: bool,
    /// Logins that may wait for a free core before further ones are answered 503
    #[arg(long, env = "DOCKET_LOGIN_QUEUE", default_value_t = 64, value_parser = clap::value_parser!(u32).range(0..=10_000), value_name = "N")]
    pub login_queue: u32,
    /// Wrong passwords for one account from one address before further ones have to wait; 0: none has to
    #[arg(long, env = "DOCKET_LOGIN_ATTEMPTS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=1_000), value_name = "N")]
    pub login_attempts: u32,
    /// Events that may wait for Kafka before commands are answered 503; only where the log is in Kafka
    #[arg(long = "command-max-backlog", env = "DOCKET_COMMAND_MAX_BACKLOG", default_value_t = MAX_BACKLOG,
          value_parser = clap::value_parser!(u64).range(1..), value_name = "N")]
    pub max_backlog: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { require_idempotency_key: false, login_queue: 64, login_attempts: 5, max_backlog: MAX_BACKLOG }
    }
}

impl Describe for Config {
    fn describe(&self) -> Vec<Setting> {
        vec![
            Setting::new("DOCKET_REQUIRE_IDEMPOTENCY_KEY", self.require_idempotency_key),
            Setting::new("DOCKET_LOGIN_QUEUE", self.login_queue),
            Setting::new("DOCKET_LOGIN_ATTEMPTS", self.login_attempts),
            Setting::new("DOCKET_COMMAND_MAX_BACKLOG", self.max_backlog),
        ]
    }
}

/// What the first start makes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "First start")]
pub struct FirstStartArgs {
    /// The name of the first organisation
    #[arg(long, env = "DOCKET_ORGANISATION", value_name = "NAME")]
    pub organisation: Option<String>,
    /// The e-mail address of the first administrator
    #[arg(long, env = "DOCKET_ADMIN_EMAIL", value_name = "EMAIL")]
    pub admin_email: Option<String>,
    /// The password of the first administrator; one is generated and printed once when none is given
    #[arg(long, env = "DOCKET_ADMIN_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub admin_password: Option<Masked>,
}

impl Describe for FirstStartArgs {
    fn describe(&self) -> Vec<Setting> {
        vec![
            Setting::optional("DOCKET_ORGANISATION", self.organisation.as_ref()),
            Setting::optional("DOCKET_ADMIN_EMAIL", self.admin_email.as_ref()),
            Setting::optional("DOCKET_ADMIN_PASSWORD", self.admin_password.as_ref()),
        ]
    }
}
