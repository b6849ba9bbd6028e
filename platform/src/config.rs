//! Configuration that the roles share: flags, environment names, defaults.
//!
//! Owns the `Args` structs and the way they are shown with secrets masked. It must not read the environment anywhere
//! but through clap, so that `--help` tells the whole truth.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::RangedI64ValueParser;
use clap::{Args, ValueEnum};

use crate::db::DbRole;
use crate::outgoing::Networks;
use crate::rate_limit::RateLimitArgs;

/// What stands in place of a secret.
pub const MASK: &str = "********";

/// A value that must not be shown. `Debug` and `Display` mask it; a URL keeps all but its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Masked(String);

impl Masked {
    /// Hides `value`.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one who needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Masked {
    type Err = std::convert::Infallible;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(value))
    }
}

impl fmt::Display for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask(&self.0))
    }
}

impl fmt::Debug for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Masks a secret: all of it, or of a URL the password and every query parameter that may hold one.
pub fn mask(secret: &str) -> String {
    let Some((scheme, rest)) = secret.split_once("://") else {
        return MASK.to_owned();
    };
    let (before_query, query) = match rest.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (rest, None),
    };
    // The last `@` ends the user information even where a password holds an unescaped `/` or `@`.
    let (user_info, place) = match before_query.rsplit_once('@') {
        Some((user_info, place)) => (Some(user_info), place),
        None => (None, before_query),
    };
    let mut masked = format!("{scheme}://");
    if let Some(user_info) = user_info {
        masked.push_str(user_info.split_once(':').map_or(user_info, |(user, _)| user));
        if user_info.contains(':') {
            masked.push(':');
            masked.push_str(MASK);
        }
        masked.push('@');
    }
    if query.is_some_and(|query| query.contains('@')) {
        // A `?` in an unescaped password looks like a query: show nothing that might be part of it.
        return format!("{scheme}://{MASK}");
    }
    masked.push_str(place);
    if let Some(query) = query {
        let parameters = query.split('&').map(|parameter| match parameter.split_once('=') {
            Some((name, _)) if may_hold_a_secret(name) => format!("{name}={MASK}"),
            _ => parameter.to_owned(),
        });
        masked.push('?');
        masked.push_str(&parameters.collect::<Vec<_>>().join("&"));
    }
    masked
}

fn may_hold_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // A percent-encoded name may spell anything.
    ["pass", "pwd", "secret", "token", "key", "%"].iter().any(|part| name.contains(part))
}

/// One setting in force, as `docket config` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The environment variable that sets it.
    pub name: &'static str,
    /// Its value, masked where it is secret; none when it is not set.
    pub value: Option<String>,
}

impl Setting {
    /// A setting that may be shown.
    pub fn new(name: &'static str, value: impl fmt::Display) -> Self {
        Self { name, value: Some(value.to_string()) }
    }

    /// A setting that may be shown and may be absent.
    pub fn optional(name: &'static str, value: Option<impl fmt::Display>) -> Self {
        Self { name, value: value.map(|value| value.to_string()) }
    }
}

/// Configuration that can tell what is in force.
pub trait Describe {
    /// All settings, secrets masked.
    fn describe(&self) -> Vec<Setting>;
}

/// Reads `500ms`, `2s`, `5m`, `1h`, or a bare number of seconds.
///
/// # Errors
/// When it is none of these.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "expected a duration such as 500ms, 2s or 5m".to_owned())?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" | "" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3_600).map(Duration::from_secs),
        "d" => number.checked_mul(86_400).map(Duration::from_secs),
        _ => return Err(format!("unknown unit {unit:?}: use ms, s, m, h or d")),
    }
    .ok_or_else(|| "the duration is too long".to_owned())
}

/// Numbers from one to `limit`.
fn at_most(limit: i64) -> RangedI64ValueParser<u32> {
    RangedI64ValueParser::new().range(1..=limit)
}

/// Reads a web origin such as `https://app.example:8443`; empty is none.
///
/// # Errors
/// When it is not one: `*` would let every page of the web call.
pub fn parse_origin(text: &str) -> Result<String, String> {
    let text = text.trim().trim_end_matches('/');
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_host = |host: &str| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte))
    };
    if text.is_empty() || host.is_some_and(is_host) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("expected an origin such as https://app.example".to_owned())
    }
}

/// A duration as it is shown and can be read again.
pub fn show(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// Where PostgreSQL is and how many connections each role opens.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseArgs {
    /// PostgreSQL to use instead of the private cluster: postgres://user:password@host:5432/docket
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<Masked>,
    /// A replica that the query API reads from
    #[arg(long, env = "DATABASE_URL_READ", hide_env_values = true, value_name = "URL")]
    pub database_url_read: Option<Masked>,
    /// Lanes that append to the journal; each holds one connection and owns a share of the shards
    #[arg(long, env = "DOCKET_WRITER_LANES", default_value_t = 2, value_parser = at_most(64), value_name = "N")]
    pub writer_lanes: u32,
    /// Connections of the command API beside its lanes
    #[arg(
        long, env = "DOCKET_WRITER_CONNECTIONS", default_value_t = 8,
        value_parser = at_most(1_000), value_name = "N"
    )]
    pub writer_connections: u32,
    /// Connections of the query API
    #[arg(
        long, env = "DOCKET_READER_CONNECTIONS", default_value_t = 16,
        value_parser = at_most(1_000), value_name = "N"
    )]
    pub reader_connections: u32,
    /// How long a request waits for a free connection before it is answered 503
    #[arg(
        long, env = "DOCKET_ACQUIRE_TIMEOUT", default_value = "2s",
        value_parser = parse_duration, value_name = "DURATION"
    )]
    pub acquire_timeout: Duration,
}

impl DatabaseArgs {
    /// The outside database, if one is named. Set but empty is not set.
    pub fn url(&self) -> Option<&Masked> {
        self.database_url.as_ref().filter(|url| !url.expose().is_empty())
    }

    /// The replica to read from, if one is named.
    pub fn url_read(&self) -> Option<&Masked> {
        self.database_url_read.as_ref().filter(|url| !url.expose().is_empty())
    }

    /// The size of a role's pool.
    pub fn connections(&self, role: DbRole) -> u32 {
        match role {
            // The projector's work is one transaction at a time; the others are for leases and figures.
            DbRole::Owner | DbRole::Projector => 2,
            DbRole::Writer => self.writer_connections,
            DbRole::Reader => self.reader_connections,
        }
    }
}

impl Describe for DatabaseArgs {
    fn describe(&self) -> Vec<Setting> {
        vec![
            Setting::optional("DATABASE_URL", self.url()),
            Setting::optional("DATABASE_URL_READ", self.url_read()),
            Setting::new("DOCKET_WRITER_LANES", self.writer_lanes),
            Setting::new("DOCKET_WRITER_CONNECTIONS", self.writer_connections),
            Setting::new("DOCKET_READER_CONNECTIONS", self.reader_connections),
            Setting::new("DOCKET_ACQUIRE_TIMEOUT", show(self.acquire_timeout)),
        ]
    }
}

/// How HTTP is served.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "HTTP")]
pub struct HttpArgs {
    /// The address to serve on
    #[arg(long, env = "DOCKET_LISTEN", default_value = "127.0.0.1:8080", value_name = "HOST:PORT")]
    pub listen: String,
    /// The largest request body, in bytes
    #[arg(long, env = "DOCKET_BODY_LIMIT", default_value_t = 1024 * 1024, value_name = "BYTES")]
    pub body_limit: usize,
    /// How long a request may take before it is answered 503
    #[arg(
        long, env = "DOCKET_REQUEST_TIMEOUT", default_value = "30s",
        value_parser = parse_duration, value_name = "DURATION"
    )]
    pub request_timeout: Duration,
    /// Web origins that may call from a browser, separated by commas; the own origin always may
    #[arg(
        long, env = "DOCKET_ALLOWED_ORIGINS", value_delimiter = ',',
        value_parser = parse_origin, value_name = "ORIGIN"
    )]
    pub allowed_origins: Vec<String>,
    /// Whether a proxy in front speaks TLS: browsers are then told to use nothing else (HSTS)
    #[arg(long, env = "DOCKET_BEHIND_TLS", default_value_t = false)]
    pub behind_tls: bool,
    /// Proxies in front, as addresses or networks separated by commas: only their X-Forwarded-For or Forwarded is believed
    #[arg(long, env = "DOCKET_TRUSTED_PROXIES", default_value = "", value_name = "NETWORKS")]
    pub trusted_proxies: Networks,
    /// How much one client may ask for
    #[command(flatten)]
    pub rate_limits: RateLimitArgs,
}

impl Describe for HttpArgs {
    fn describe(&self) -> Vec<Setting> {
        let origins = (!self.allowed_origins.is_empty()).then(|| self.allowed_origins.join(","));
        let http = vec![
            Setting::new("DOCKET_LISTEN", &self.listen),
            Setting::new("DOCKET_BODY_LIMIT", self.body_limit),
            Setting::new("DOCKET_REQUEST_TIMEOUT", show(self.request_timeout)),
            Setting::optional("DOCKET_ALLOWED_ORIGINS", origins),
            Setting::new("DOCKET_BEHIND_TLS", self.behind_tls),
            Setting::new("DOCKET_TRUSTED_PROXIES", &self.trusted_proxies),
        ];
        [http, self.rate_limits.describe()].concat()
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line, for collectors.
    Json,
    /// One readable line, for people.
    Text,
}

/// What is logged, to standard error.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs")]
pub struct LogArgs {
    /// Which log lines are written: a level, or filters such as info,docket_log=debug
    #[arg(long, env = "DOCKET_LOG", default_value = "info,sqlx=warn", value_name = "FILTER", global = true)]
    pub log: String,
    /// How log lines look
    #[arg(long, env = "DOCKET_LOG_FORMAT", default_value = "json", value_enum, value_name = "FORMAT", global = true)]
    pub log_format: LogFormat,
}

impl Describe for LogArgs {
    fn describe(&self) -> Vec<Setting> {
        let format = if self.log_format == LogFormat::Json { "json" } else { "text" };
        vec![Setting::new("DOCKET_LOG", &self.log), Setting::new("DOCKET_LOG_FORMAT", format)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    #[derive(Debug, Parser)]
    struct Everything {
        #[command(flatten)]
        database: DatabaseArgs,
        #[command(flatten)]
        http: HttpArgs,
        #[command(flatten)]
        log: LogArgs,
    }

    #[test]
    fn the_definition_is_sound_and_each_flag_has_an_environment_name() {
        let command = Everything::command();
        command.clone().debug_assert();
        for argument in command.get_arguments().filter(|argument| argument.get_id() != "help") {
            assert!(argument.get_env().is_some(), "{}", argument.get_id());
            assert!(argument.get_help().is_some(), "{}", argument.get_id());
        }
    }

    #[test]
    fn the_description_names_each_setting_once() {
        let parsed = Everything::parse_from(["docket"]);
        let described = [parsed.database.describe(), parsed.http.describe(), parsed.log.describe()].concat();
        let command = Everything::command();
        for argument in command.get_arguments().filter_map(clap::Arg::get_env) {
            let name = argument.to_str().expect("ASCII");
            assert_eq!(described.iter().filter(|setting| setting.name == name).count(), 1, "{name}");
        }
    }

    #[test]
    fn secrets_are_masked_wherever_they_are_shown() {
        let parsed = Everything::parse_from(["docket", "--database-url", "postgres://docket:hunter2@db:5432/docket"]);
        let shown = format!("{parsed:?} {:?}", parsed.database.describe());
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("postgres://docket:********@db:5432/docket"), "{shown}");
    }

    #[test]
    fn masking_survives_odd_urls() {
        assert_eq!(mask("hunter2"), MASK);
        assert_eq!(mask("postgres://db/docket"), "postgres://db/docket");
        assert_eq!(mask("postgres://me@db/docket"), "postgres://me@db/docket");
        assert_eq!(mask("postgres://me:a/b@c@db/docket"), "postgres://me:********@db/docket");
        assert_eq!(
            mask("postgres:///x?user=me&password=p&sslmode=off"),
            "postgres:///x?user=me&password=********&sslmode=off"
        );
        assert!(!mask("postgres://me:a?hunter2@db/docket").contains("hunter2"));
        assert!(!mask("postgres://db/x?p%61ssword=hunter2").contains("hunter2"));
    }

    #[test]
    fn an_empty_url_is_none() {
        let parsed = Everything::parse_from(["docket", "--database-url", "", "--allowed-origins", ""]);
        assert_eq!(parsed.database.url(), None);
    }

    #[test]
    fn origins_are_whole_and_never_all() {
        assert_eq!(parse_origin("https://App.example:8443/"), Ok("https://app.example:8443".to_owned()));
        for wrong in ["*", "app.example", "https://", "https://app.example/path", "https://a b", "null"] {
            assert!(parse_origin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_duration("30"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
        for wrong in ["", "s", "2 fortnights", "-1s", "99999999999999999999s", "18446744073709551615h"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
