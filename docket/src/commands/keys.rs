//! `docket keys`: the keys that sign access tokens, and those that sign receipts.
//!
//! Owns what is shown of them, which is never a half of one.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use docket_command_api::auth::TOKEN_LIFETIME;
use docket_platform::auth::{Pace, Rotation, list_keys, list_receipt_keys, rotate_key, rotate_receipt_key};
use docket_platform::config::parse_duration;
use docket_platform::db::DbRole;
use serde::Serialize;

use crate::node::KEYS_PERIOD;
use crate::place::{self, Place};

/// More is a mistake: an old key would sign for a day after it was to be replaced.
const MAX_LEAD: Duration = Duration::from_secs(24 * 60 * 60);

/// What to do with the keys.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show the keys, and what each does
    List(ListArgs),
    /// Make a new key that takes over
    Rotate(RotateArgs),
}

#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  docket keys list
  docket keys list --receipts
  docket keys list --json | jq -r '.[] | select(.state == \"signs\") | .kid'

A key waits (is published, and will sign), signs, verifies (what it has signed, until the last of it has expired), or is retired. All
but the retired ones are in /.well-known/jwks.json.")]
struct ListArgs {
    #[command(flatten)]
    place: Place,
    /// Those of receipts
    #[arg(long)]
    receipts: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  docket keys rotate                 nobody notices: the old key verifies until its last token has expired
  docket keys rotate --at-once       the old key has leaked: whoever is logged in has to log in again
  docket keys rotate --receipts      outcomes from then on have receipts by the new key; those of older ones stay as they are

Running processes know of it within 5 seconds; none has to be started anew. Cut off at any moment it has changed nothing, or
everything: run it again. While a new key waits to sign, a further rotation changes nothing.")]
struct RotateArgs {
    #[command(flatten)]
    place: Place,
    /// How long the new key is published before it signs; those who keep the key set ask for it again within a minute. Below 5s, one
    /// process may sign by the new key what another still signs by the old one
    #[arg(long, default_value = "2m", value_parser = lead, value_name = "DURATION")]
    lead: Duration,
    /// End the old keys now, with every token they have signed
    #[arg(long, conflicts_with = "lead")]
    at_once: bool,
    /// The key of receipts; older ones are published for ever, and verify what they have signed
    #[arg(long, conflicts_with = "at_once")]
    receipts: bool,
}

fn lead(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        long if long > MAX_LEAD => Err("at most 24h".to_owned()),
        lead => Ok(lead),
    }
}

/// A key, as it is shown.
#[derive(Debug, Serialize)]
struct Line {
    kid: String,
    state: &'static str,
    created_at: DateTime<Utc>,
    signs_from: DateTime<Utc>,
    /// Until when it verifies; none while it goes on.
    retires_at: Option<DateTime<Utc>>,
}

/// Does it.
///
/// # Errors
/// When the database refuses or does not answer; then nothing was changed.
pub async fn run(args: Args) -> anyhow::Result<()> {
    match args.action {
        Action::List(args) => list(args).await,
        Action::Rotate(args) => rotate(args).await,
    }
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let database = args.place.find().await?;
    let pool = args.place.pool(&database, DbRole::Writer);
    place::installation(&pool).await?;
    let keys = if args.receipts { list_receipt_keys(&pool).await? } else { list_keys(&pool).await? };
    let keys = keys.into_iter().map(|(key, state)| Line {
        kid: key.kid,
        state: state.as_str(),
        created_at: key.created_at,
        signs_from: key.signs_from,
        retires_at: key.retires_at,
    });
    let keys: Vec<_> = keys.collect();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&keys)?);
        return Ok(());
    }
    if keys.is_empty() {
        println!("there is no key yet; the first login makes one");
    }
    for key in keys {
        let until = key.retires_at.map(|end| format!(", verifies until {}", time(end))).unwrap_or_default();
        println!("{:<43}  {:<8}  signs from {}{until}", key.kid, key.state, time(key.signs_from));
    }
    Ok(())
}

async fn rotate(args: RotateArgs) -> anyhow::Result<()> {
    let database = args.place.find().await?;
    let pool = args.place.pool(&database, DbRole::Writer);
    place::installation(&pool).await?;
    let pace = match args.at_once {
        true => Pace::AtOnce,
        false => Pace::Overlap { lead: args.lead, lifetime: TOKEN_LIFETIME },
    };
    let period = KEYS_PERIOD.as_secs();
    let rotation =
        if args.receipts { rotate_receipt_key(&pool, args.lead).await? } else { rotate_key(&pool, pace).await? };
    match rotation {
        Rotation::Done(key) => {
            println!("rotated  {} signs from {}", key.kid, time(key.signs_from));
            let list = if args.receipts { "docket keys list --receipts" } else { "docket keys list" };
            println!("running processes know of it within {period} seconds; `{list}` shows the old ones");
        }
        Rotation::UnderWay(key) => {
            println!("under way  {} signs from {}; nothing was changed", key.kid, time(key.signs_from));
        }
    }
    Ok(())
}

fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
