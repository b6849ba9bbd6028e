//! How much one client may ask for.

use clap::Args;

use super::Kind;
use crate::config::{Describe, Setting};

/// Requests a minute; 0 is without a limit.
#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(next_help_heading = "Rate limits")]
pub struct RateLimitArgs {
    /// Requests a minute from one address to each route that needs no token, such as a login; 0: no limit
    #[arg(long, env = "DOCKET_RATE_LIMIT_AUTH", default_value_t = 30, value_parser = quota(), value_name = "N")]
    pub rate_limit_auth: u32,
    /// Requests a minute from one address to all other routes; 0: no limit
    #[arg(long, env = "DOCKET_RATE_LIMIT_ADDRESS", default_value_t = 30_000, value_parser = quota(), value_name = "N")]
    pub rate_limit_address: u32,
    /// Requests a minute of one person; 0: no limit
    #[arg(long, env = "DOCKET_RATE_LIMIT_ACCOUNT", default_value_t = 6_000, value_parser = quota(), value_name = "N")]
    pub rate_limit_account: u32,
    /// Requests a minute by one API key; 0: no limit
    #[arg(long, env = "DOCKET_RATE_LIMIT_KEY", default_value_t = 6_000, value_parser = quota(), value_name = "N")]
    pub rate_limit_key: u32,
}

fn quota() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(0..=100_000_000)
}

impl RateLimitArgs {
    /// No limits.
    pub const OFF: Self = Self { rate_limit_auth: 0, rate_limit_address: 0, rate_limit_account: 0, rate_limit_key: 0 };

    pub(super) const fn quota(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Auth => self.rate_limit_auth,
            Kind::Address => self.rate_limit_address,
            Kind::Account => self.rate_limit_account,
            Kind::Key => self.rate_limit_key,
        }
    }
}

impl Describe for RateLimitArgs {
    fn describe(&self) -> Vec<Setting> {
        vec![
            Setting::new("DOCKET_RATE_LIMIT_AUTH", self.rate_limit_auth),
            Setting::new("DOCKET_RATE_LIMIT_ADDRESS", self.rate_limit_address),
            Setting::new("DOCKET_RATE_LIMIT_ACCOUNT", self.rate_limit_account),
            Setting::new("DOCKET_RATE_LIMIT_KEY", self.rate_limit_key),
        ]
    }
}
