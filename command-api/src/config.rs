//! The settings of the command API. Owns their flags and environment names.

use std::{fmt, str::FromStr, time::Duration};

use clap::{Args, ValueEnum};
use docket_platform::{
    auth::{Role, UnknownRole},
    config::{Describe, Masked, Setting, parse_duration, show},
};

/// A quarter of an hour of a busy installation.
const MAX_BACKLOG: u64 = 1_000_000;
/// Thirty days.
const SESSION_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

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
    /// How long a login lasts at most, however often its tokens are renewed
    #[arg(long, env = "DOCKET_SESSION_LIFETIME", default_value = "30d", value_parser = parse_duration, value_name = "DURATION")]
    pub session_lifetime: Duration,
    /// Roles that take a second factor unless their organisation says otherwise, separated by commas; admin where nothing is said and the
    /// database is not Docket's own
    #[arg(long, env = "DOCKET_SECOND_FACTOR", value_name = "ROLES|none")]
    pub second_factor: Option<SecondFactorRoles>,
    /// Who may register: everybody, or those who were invited
    #[arg(long, env = "DOCKET_REGISTRATION", value_enum, default_value_t = Registration::Open, value_name = "WHO")]
    pub registration: Registration,
}

/// Who may register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Registration {
    /// Everybody, each with an organisation of their own
    Open,
    /// Whoever has an invitation
    Invited,
}

impl Registration {
    const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Invited => "invited",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            require_idempotency_key: false,
            login_queue: 64,
            login_attempts: 5,
            max_backlog: MAX_BACKLOG,
            session_lifetime: SESSION_LIFETIME,
            second_factor: None,
            registration: Registration::Open,
        }
    }
}

/// The roles of which a second factor is demanded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecondFactorRoles(pub Vec<Role>);

impl FromStr for SecondFactorRoles {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let roles = text.split(',').map(str::trim).filter(|role| !matches!(*role, "" | "none"));
        roles.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for SecondFactorRoles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("none"),
            roles => f.write_str(&roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(",")),
        }
    }
}

impl Config {
    /// The same, with what counts where nothing was said: administrators take a second factor, unless it is a demonstration.
    #[must_use]
    pub fn settled(mut self, demonstration: bool) -> Self {
        let default = if demonstration { Vec::new() } else { vec![Role::Admin] };
        self.second_factor.get_or_insert(SecondFactorRoles(default));
        self
    }
}

impl Describe for Config {
    fn describe(&self) -> Vec<Setting> {
        vec![
            Setting::new("DOCKET_REQUIRE_IDEMPOTENCY_KEY", self.require_idempotency_key),
            Setting::new("DOCKET_LOGIN_QUEUE", self.login_queue),
            Setting::new("DOCKET_LOGIN_ATTEMPTS", self.login_attempts),
            Setting::new("DOCKET_COMMAND_MAX_BACKLOG", self.max_backlog),
            Setting::new("DOCKET_SESSION_LIFETIME", show(self.session_lifetime)),
            Setting::optional("DOCKET_SECOND_FACTOR", self.second_factor.as_ref()),
            Setting::new("DOCKET_REGISTRATION", self.registration.name()),
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
