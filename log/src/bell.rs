//! Doorbells: "there may be news". The truth is always a query; a bell only says when to ask.
//!
//! A bell rings inside this process at once and, coalesced, by NOTIFY for every other process on the database; its own NOTIFYs it does
//! not hear. Listeners that miss a ring (a broken connection, another server) still poll.

use std::{sync::Arc, time::Duration};

use docket_platform::ids;
use sqlx::{PgPool, postgres::PgListener};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// What a bell is about; also the NOTIFY channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Events were journalled.
    Journal,
    /// Projections were written.
    Read,
    /// Reactors noted what they have to do.
    React,
}

impl Topic {
    const fn channel(self) -> &'static str {
        match self {
            Self::Journal => "docket_journal",
            Self::Read => "docket_read",
            Self::React => "docket_react",
        }
    }
}

/// The least time between two NOTIFYs: a burst of commits is one ring.
const QUIET: Duration = Duration::from_millis(5);

/// One doorbell of this process. Clones are the same bell.
#[derive(Debug, Clone)]
pub struct Bell {
    topic: Topic,
    /// Tells our own NOTIFYs from those of others.
    name: Arc<str>,
    rings: Arc<watch::Sender<u64>>,
    outward: Arc<Notify>,
}

impl Bell {
    /// A silent bell; [`Bell::announce`] and [`Bell::follow`] tie it to other processes.
    #[must_use]
    pub fn new(topic: Topic) -> Self {
        let name = ids::new_id().to_string().into();
        Self { topic, name, rings: Arc::new(watch::Sender::new(0)), outward: Arc::new(Notify::new()) }
    }

    /// Rings here, and wakes the announcer.
    pub fn ring(&self) {
        self.ring_here();
        self.outward.notify_one();
    }

    fn ring_here(&self) {
        self.rings.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Hears every ring from now on.
    #[must_use]
    pub fn listen(&self) -> Listener {
        Listener { rings: self.rings.subscribe() }
    }

    /// Tells other processes by NOTIFY, one at a time, after the commits that rang; ends with `stop`.
    pub async fn announce(self, pool: PgPool, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.outward.notified() => {}
            }
            // Lost when the database is down: listeners poll.
            let notify = sqlx::query("select pg_notify($1, $2)").bind(self.topic.channel()).bind(&*self.name);
            if let Err(error) = notify.execute(&pool).await {
                tracing::debug!(%error, "doorbell not rung outside");
            }
            tokio::time::sleep(QUIET).await;
        }
    }

    /// Rings here whenever another process announces; ends with `stop`.
    pub async fn follow(self, pool: PgPool, stop: CancellationToken) {
        let listen = async {
            loop {
                if let Err(error) = self.follow_once(&pool).await {
                    tracing::debug!(%error, "doorbell listener lost its connection");
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = listen => {}
        }
    }

    async fn follow_once(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(self.topic.channel()).await?;
        // What was announced while nobody listened.
        self.ring_here();
        while let Some(heard) = listener.try_recv().await? {
            if heard.payload() != &*self.name {
                self.ring_here();
            }
        }
        Ok(())
    }
}

/// Hears a [`Bell`].
#[derive(Debug, Clone)]
pub struct Listener {
    rings: watch::Receiver<u64>,
}

impl Listener {
    /// Resolves at the next ring not yet heard, or after `at_most`.
    pub async fn heard(&mut self, at_most: Duration) {
        // A bell that was dropped rings no more: then only the time passes.
        if let Ok(Err(_)) = tokio::time::timeout(at_most, self.rings.changed()).await {
            tokio::time::sleep(at_most).await;
        }
    }
}
