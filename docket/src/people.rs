//! The first people of an installation.
//!
//! Owns the only place where a password is printed.

use anyhow::Context;
use docket_command_api::FirstStartArgs;
use docket_command_api::setup::{self, FirstStartOptions};
use docket_events::identity::Role;
use docket_log::Store;

use crate::node::say;

/// Makes the first people, and tells their passwords: the only time.
///
/// # Errors
/// When the journal does not take them.
pub async fn greet(store: &Store, args: &FirstStartArgs) -> anyhow::Result<()> {
    let made = setup::first_start(store, FirstStartOptions::new(args, true)).await;
    for person in made.context("the first organisation cannot be made")?.into_iter().flat_map(|made| made.people) {
        let role = match person.role {
            Role::Admin => "admin",
            Role::Reviewer => "reviewer",
            Role::Requester => "requester",
            Role::Analyst => "analyst",
        };
        // A password that was given is known, and need not stand in a log.
        let password = if person.generated { person.expose_password() } else { "" };
        say(format!("{role}  {}  {password}", person.email).trim_end());
    }
    Ok(())
}
