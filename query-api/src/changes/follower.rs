//! Follows the change feed for all tenants, with a cursor per shard.
//!
//! Owns the only connection that may read every tenant's changes (`docket.follower`), and shows it to nobody. The bell says when to
//! look, the poll sees what the bell did not say.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use docket_log::{Bell, Installation, Position};
use docket_platform::{Shutdown, db};
use prometheus::IntCounter;
use sqlx::{PgConnection, PgPool, postgres::PgPoolOptions};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::{Batch, Change, FOLLOWED, Hub, News, entries};
use crate::position::checkpoints;

/// Changes of one shard read at once.
const PAGE: usize = 500;
/// Changes handed out, and loaded, at once.
const BATCH: usize = 64;

/// The follower of one process.
#[derive(Debug)]
pub struct Follower {
    pool: PgPool,
    bell: Bell,
    installation: Installation,
    hub: Arc<Hub>,
    poll: Duration,
    cursors: Option<Cursors>,
    resyncs: IntCounter,
}

#[derive(Debug)]
struct Cursors {
    at: Position,
    parked: i64,
}

impl Follower {
    /// A follower that hands to `hub` what it finds, connecting as the pool `reader` does.
    pub fn new(reader: &PgPool, bell: Bell, installation: Installation, hub: Arc<Hub>, poll: Duration) -> Self {
        let options = reader.connect_options().as_ref().clone().options([("docket.follower", "on")]);
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(reader.options().get_acquire_timeout())
            .connect_lazy_with(options.application_name("docket-follower"));
        let resyncs = docket_platform::metrics::int_counter(
            "docket_feed_resyncs_total",
            "Times that all subscribers were told to read anew.",
        );
        Self { pool, bell, installation, hub, poll, cursors: None, resyncs }
    }

    /// Follows until the shutdown, then ends all subscriptions.
    pub async fn run(mut self, shutdown: Shutdown) {
        let mut bell = self.bell.listen();
        let mut failing = false;
        loop {
            let found = tokio::select! {
                () = shutdown.cancelled() => break,
                found = self.round() => found,
            };
            match found {
                // There is more than a page: go on at once.
                Ok(true) => continue,
                Ok(false) => failing = false,
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "the change feed cannot be followed");
                    }
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = bell.heard(self.poll) => {}
            }
        }
        self.hub.close();
    }

    /// Hands out what is new; true when there is more.
    async fn round(&mut self) -> Result<bool, sqlx::Error> {
        let mut connection = db::acquire(&self.pool).await?;
        let seen = checkpoints(&mut connection, &self.installation, FOLLOWED).await?;
        let parked = entries::parked(&mut connection, FOLLOWED).await?;
        let Some(cursors) = &mut self.cursors else {
            self.cursors = Some(Cursors { at: seen, parked });
            self.hub.follows();
            return Ok(false);
        };
        // A projection that was built anew, or a parked stream that was retried, changed rows at sequences already passed.
        let went_back = cursors.at.iter().any(|(shard, at)| seen.get(shard) < at);
        if went_back || parked != cursors.parked {
            *cursors = Cursors { at: seen, parked };
            self.resync();
            return Ok(false);
        }
        let moved: Position = cursors.at.iter().filter(|(shard, at)| seen.get(*shard) > *at).collect();
        if moved.is_empty() {
            return Ok(false);
        }
        let (found, reached, more) = look(&mut connection, &moved, &seen).await?;
        let Some(found) = found else {
            *cursors = Cursors { at: seen, parked };
            self.resync();
            return Ok(false);
        };
        cursors.at.join(&reached);
        let reached = Arc::new(cursors.at.clone());
        drop(connection);
        self.hand_out(found, &reached);
        Ok(more)
    }

    fn resync(&self) {
        tracing::info!("subscribers are told to read anew");
        self.resyncs.inc();
        self.hub.resync_all();
    }

    fn hand_out(&self, found: Vec<Change>, reached: &Arc<Position>) {
        let mut tenants: BTreeMap<Uuid, Vec<Change>> = BTreeMap::new();
        for change in found.into_iter().filter(|change| self.hub.is_heard(change.tenant)) {
            tenants.entry(change.tenant).or_default().push(change);
        }
        for (tenant, mut changes) in tenants {
            while !changes.is_empty() {
                let rest = changes.split_off(changes.len().min(BATCH));
                let reached = rest.is_empty().then(|| reached.clone());
                let batch = Batch { changes, reached, rows: OnceCell::new() };
                self.hub.publish(tenant, News::Changes(Arc::new(batch)));
                changes = rest;
            }
        }
    }
}

/// A page of changes; none when some of them were trimmed away meanwhile.
async fn look(
    connection: &mut PgConnection,
    moved: &Position,
    seen: &Position,
) -> Result<(Option<Vec<Change>>, Position, bool), sqlx::Error> {
    let found = entries::behind(connection, FOLLOWED, moved, i64::try_from(PAGE).unwrap_or(i64::MAX)).await?;
    // After the changes: what was trimmed before is then seen to be missing.
    let trimmed = entries::trimmed(connection, FOLLOWED).await?;
    let (reached, more) = entries::advance(moved, seen, &found, PAGE);
    let whole = !entries::is_too_old(moved, &trimmed);
    Ok((whole.then_some(found), reached, more))
}
