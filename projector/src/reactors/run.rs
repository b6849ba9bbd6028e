//! Running the reactors of one process: registered, reading, delivering.

use std::time::Duration;

use docket_events::ShardId;
use docket_log::{Bell, Topic, Vault, lease::Held, reader::Reader};
use docket_platform::Shutdown;
use sqlx::PgPool;
use tokio::sync::{mpsc, watch};

use super::{
    REACTORS,
    backoff::Patience,
    deliveries,
    delivery::{Deliverer, Dispatch},
    intents,
    notices::{Correspondence, Letters},
    webhook::{self, Persistence, Webhooks},
};
use crate::{
    projection::Schema,
    runtime::{self, Engine, EngineOptions},
};

/// How long to wait before the registration is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// What the reactors of one process need.
pub(crate) struct Reacting<R> {
    /// Belongs to the projector's role.
    pub(crate) pool: PgPool,
    pub(crate) vault: Vault,
    pub(crate) reader: R,
    pub(crate) deliverers: Vec<Deliverer>,
    pub(crate) options: EngineOptions,
    pub(crate) patience: Patience,
    /// Who tells endpoints; none: nobody here does, and it waits for a process that does.
    pub(crate) webhooks: Option<(Webhooks, Persistence)>,
    /// Who writes to people here, and how long each is left alone after a letter; none: likewise.
    pub(crate) letters: Option<(Letters, Duration)>,
}

impl<R: Reader> Reacting<R> {
    /// Works the shards that are `held` until the shutdown; PostgreSQL may be down at any time.
    pub(crate) async fn run(
        self,
        held: watch::Receiver<Held>,
        declines: mpsc::UnboundedSender<ShardId>,
        shutdown: &Shutdown,
    ) {
        let Self { pool, vault, reader, deliverers, options, patience, webhooks, letters } = self;
        if !registered(&pool, shutdown).await {
            return;
        }
        let bell = Bell::new(Topic::React);
        let schema = Schema::reactors();
        let engine = Engine::new(pool.clone(), vault.clone(), reader, REACTORS, schema, Some(bell.clone()))
            .with_options(options)
            .with_declines(declines);
        let dispatch = Dispatch::new(pool.clone(), vault.clone(), deliverers, patience);
        let writing = async {
            if let Some((letters, interval)) = letters {
                let writer = Correspondence::new(pool.clone(), vault.clone(), letters, patience, interval);
                writer.run(bell.clone(), shutdown.clone()).await;
            }
        };
        let telling = async {
            if let Some((webhooks, persistence)) = webhooks {
                let dispatch = webhook::Dispatch::new(pool.clone(), vault.clone(), webhooks, persistence);
                let kept = webhook::keep(pool.clone(), shutdown.clone());
                tokio::join!(dispatch.run(bell.clone(), shutdown.clone()), kept);
            }
        };
        tokio::join!(
            runtime::work(engine, held, shutdown.clone()),
            dispatch.run(bell.clone(), shutdown.clone()),
            telling,
            writing,
            deliveries::keep(pool.clone(), shutdown.clone()),
        );
    }
}

/// Registers, however long it takes; false: the process ends.
async fn registered(pool: &PgPool, shutdown: &Shutdown) -> bool {
    while let Err(error) = intents::register(pool, REACTORS).await {
        tracing::warn!(%error, "the reactors cannot be registered yet");
        tokio::select! {
            () = shutdown.cancelled() => return false,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
    !shutdown.has_begun()
}
