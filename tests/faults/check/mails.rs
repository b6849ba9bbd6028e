//! Mails: each login from somewhere new is told to its user, however often who tells it was killed in between.
//!
//! Owns the comparison of the journal with what the reactor noted and what lies in the outbox. A mail may come twice, under one name.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{report::Findings, topology::Topology};

/// How long what is noted may take until it is done: attempts of killed processes run out first.
const DONE_WITHIN: Duration = Duration::from_secs(30);

/// What the reactor noted because of an event.
#[derive(Debug, sqlx::FromRow)]
struct Intent {
    event_id: Uuid,
    id: Uuid,
    state: String,
    outcome: Option<String>,
}

/// Every event that wants a mail has one intent and no other has any; each is done, and what was sent lies in the outbox.
pub(super) async fn check(topology: &Topology, findings: &mut Findings) -> Result<()> {
    let deadline = Instant::now() + DONE_WITHIN;
    let (wanted, intents) = loop {
        let (wanted, intents) = look(topology).await?;
        let open = intents.iter().any(|intent| intent.state == "pending") || intents.len() < wanted.len();
        if !open || Instant::now() >= deadline {
            break (wanted, intents);
        }
        sleep(Duration::from_millis(50)).await;
    };
    let sent = outbox(topology)?;
    let mut noted: HashMap<Uuid, Intent> = intents.into_iter().map(|intent| (intent.event_id, intent)).collect();
    for event in wanted {
        let Some(Intent { id, state, outcome, .. }) = noted.remove(&event) else {
            findings.add("mails", format!("nothing is noted of the login {event}, which wants a mail"));
            continue;
        };
        let by_outbox = outcome.as_deref().is_some_and(|outcome| outcome.contains("outbox"));
        if state != "done" {
            let seconds = DONE_WITHIN.as_secs();
            findings.add("mails", format!("after {seconds} s the mail {id} about {event} is {state}: {outcome:?}"));
        } else if by_outbox && !sent.iter().any(|name| name.ends_with(&format!("-{id}.eml"))) {
            findings.add("mails", format!("the mail {id} about {event} is said to be sent, and is not in the outbox"));
        }
    }
    findings
        .add_all("mails", noted.into_keys().map(|event| format!("a mail is noted about {event}, which wants none")));
    Ok(())
}

async fn look(topology: &Topology) -> Result<(Vec<Uuid>, Vec<Intent>)> {
    let wanted = sqlx::query_scalar(
        "select event_id from write.journal where event_type = 'docket.identity.session_started.v1'
         and (data::json ->> 'new_place')::boolean",
    )
    .fetch_all(&topology.owner)
    .await
    .context("reading which logins want a mail")?;
    let intents = sqlx::query_as("select event_id, id, state, outcome from react.intent where target = 'new_sign_in'")
        .fetch_all(&topology.owner)
        .await
        .context("reading what is noted")?;
    Ok((wanted, intents))
}

fn outbox(topology: &Topology) -> Result<Vec<String>> {
    let folder = topology.folder().join("outbox");
    let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(Vec::new()) };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect::<std::io::Result<_>>().with_context(|| format!("reading {}", folder.display()))
}
