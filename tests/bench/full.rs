//! A full journal, filled once for the sections that read all of it.

use std::time::Duration;

use anyhow::{Result, ensure};
use docket_domain::consultation::Consultation;
use docket_events::consultation::{
    Answer, Commented, ConsultationEvent, Decision, Requested, Responded, Rule, VoteCast,
};
use docket_log::{CommandContext, Store, Timed, Verdict};
use docket_platform::{
    clock,
    db::{Database, DbRole},
    embedded::ScratchCluster,
    ids,
};
use docket_tests::{TENANT, new_stream, person};
use futures_util::future::try_join_all;
use sqlx::{Executor, PgPool};

use crate::{Size, append};

/// Events of one consultation.
const PER_STREAM: usize = 8;
/// Streams that are written at once.
const AT_ONCE: usize = 500;

/// The journal.
pub struct Full {
    pub database: Database,
    pub store: Store,
    pub owner: PgPool,
    /// How many events it holds, all of them of consultations.
    pub events: u64,
}

impl Full {
    /// A journal of decided consultations in a database of its own.
    pub async fn fill(cluster: &ScratchCluster, size: Size) -> Result<Self> {
        let (database, store) =
            append::database(|user, name| cluster.connect_options(user, name), "bench_full").await?;
        let streams = size.pick(5_000, 50_000);
        for _ in 0..streams / AT_ONCE {
            try_join_all((0..AT_ONCE).map(|_| decide(&store))).await?;
        }
        let owner = database.pool(DbRole::Owner, 2, Duration::from_secs(5));
        owner.execute("vacuum analyze write.journal").await?;
        Ok(Self { database, store, owner, events: (streams * PER_STREAM) as u64 })
    }
}

/// Writes one consultation with all its events.
async fn decide(store: &Store) -> Result<()> {
    let context = CommandContext { tenant: TENANT, ..CommandContext::default() };
    let stream = new_stream();
    let (loaded, _) = store.load(stream, None).await?;
    let events = story().into_iter().map(|event| Timed { time: clock::now(), id: ids::new_id(), event }).collect();
    let (_, append) = store.prepare::<Consultation>(&context, stream, loaded, events).await?;
    let verdict = store.append(append).await?;
    ensure!(matches!(verdict, Verdict::Appended { .. }), "{verdict:?}");
    Ok(())
}

fn story() -> Vec<ConsultationEvent> {
    let mut events = vec![ConsultationEvent::Requested(Requested {
        body: Some("All checks are green, staging ran for a day.".to_owned()),
        ..Requested::new("Deploy release 42?", person(1))
    })];
    events.extend((0..PER_STREAM - 3).map(|n| {
        let text = "Looked at it, nothing to add.".to_owned();
        ConsultationEvent::Commented(Commented::new(ids::new_id(), person(3 + n as u128), text, None))
    }));
    events.push(ConsultationEvent::VoteCast(VoteCast::new(person(2), Answer::of(Decision::Approve), None)));
    events.push(ConsultationEvent::Responded(Responded {
        decision: Some(Decision::Approve),
        by: person(2),
        rule: Rule::AnyOne,
        request_version: 1,
        comment: None,
        content: None,
        private: None,
        agreed: Vec::new(),
    }));
    events
}
