//! Follows the change feed for all tenants, source by source, with a cursor per shard.
//!
//! Owns the only connection that may read every tenant's changes (`docket.follower`), and shows it to nobody. The bell says when to
//! look, the poll sees what the bell did not say. A source that nobody listens to is passed over without a look at its changes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use docket_log::{Bell, Installation, Position};
use docket_platform::{Shutdown, db};
use prometheus::IntCounter;
use sqlx::{PgConnection, PgPool, postgres::PgPoolOptions};
use uuid::Uuid;

use super::{Change, Hubs, entries, hub::Outlet};
use crate::position::{Source, checkpoints};

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
    hubs: Hubs,
    roads: Vec<Road>,
    poll: Duration,
    resyncs: IntCounter,
}

/// One source, and how far it was followed.
#[derive(Debug)]
struct Road {
    hub: Arc<dyn Outlet>,
    cursors: Option<Cursors>,
}

#[derive(Debug)]
struct Cursors {
    at: Position,
    parked: i64,
}

/// What a look at a source came to.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// All that there is was handed out.
    Done,
    /// There is more than a page.
    More,
    /// What happened cannot be told.
    Resync,
}

impl Follower {
    /// A follower that hands to `hubs` what it finds, connecting as the pool `reader` does.
    pub fn new(reader: &PgPool, bell: Bell, installation: Installation, hubs: Hubs, poll: Duration) -> Self {
        let options = reader.connect_options().as_ref().clone().options([("docket.follower", "on")]);
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(reader.options().get_acquire_timeout())
            .connect_lazy_with(options.application_name("docket-follower"));
        let resyncs = docket_platform::metrics::int_counter(
            "docket_feed_resyncs_total",
            "Times that all subscribers to a source were told to read anew.",
        );
        let roads = hubs.all().into_iter().map(|hub| Road { hub, cursors: None }).collect();
        Self { pool, bell, installation, hubs, roads, poll, resyncs }
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
        self.hubs.all().iter().for_each(|hub| hub.close());
    }

    /// Hands out what is new, a page of each source; true when there is more of one.
    async fn round(&mut self) -> Result<bool, sqlx::Error> {
        let mut connection = db::acquire(&self.pool).await?;
        let mut more = false;
        for road in &mut self.roads {
            let found = road.look(&mut connection, &self.installation).await?;
            if found == Found::Resync {
                tracing::info!(projection = road.hub.source().projection, "subscribers are told to read anew");
                self.resyncs.inc();
                road.hub.resync_all();
            }
            more |= found == Found::More;
        }
        Ok(more)
    }
}

impl Road {
    async fn look(&mut self, connection: &mut PgConnection, installation: &Installation) -> Result<Found, sqlx::Error> {
        let source = self.hub.source();
        let seen = checkpoints(connection, installation, source).await?;
        let parked = entries::parked(connection, source).await?;
        let Some(cursors) = &mut self.cursors else {
            self.cursors = Some(Cursors { at: seen, parked });
            self.hub.follows();
            return Ok(Found::Done);
        };
        // Asked after the checkpoints were read: whoever listens since later finds in the database all that they count.
        if !self.hub.is_heard() {
            *cursors = Cursors { at: seen, parked };
            return Ok(Found::Done);
        }
        // A projection that was built anew, or a parked stream that was retried, changed rows at sequences already passed.
        let went_back = cursors.at.iter().any(|(shard, at)| seen.get(shard) < at);
        if went_back || parked != cursors.parked {
            *cursors = Cursors { at: seen, parked };
            return Ok(Found::Resync);
        }
        let moved: Position = cursors.at.iter().filter(|(shard, at)| seen.get(*shard) > *at).collect();
        if moved.is_empty() {
            return Ok(Found::Done);
        }
        let (found, reached, more) = page(connection, source, &moved, &seen).await?;
        let Some(found) = found else {
            *cursors = Cursors { at: seen, parked };
            return Ok(Found::Resync);
        };
        cursors.at.join(&reached);
        let reached = Arc::new(cursors.at.clone());
        self.hand_out(found, &reached);
        Ok(if more { Found::More } else { Found::Done })
    }

    fn hand_out(&self, found: Vec<Change>, reached: &Arc<Position>) {
        let mut tenants: BTreeMap<Uuid, Vec<Change>> = BTreeMap::new();
        for change in found.into_iter().filter(|change| self.hub.is_heard_by(change.tenant)) {
            tenants.entry(change.tenant).or_default().push(change);
        }
        for (tenant, mut changes) in tenants {
            while !changes.is_empty() {
                let rest = changes.split_off(changes.len().min(BATCH));
                let reached = rest.is_empty().then(|| reached.clone());
                self.hub.publish(tenant, changes, reached);
                changes = rest;
            }
        }
    }
}

/// A page of changes; none when some of them were trimmed away meanwhile.
async fn page(
    connection: &mut PgConnection,
    source: Source,
    moved: &Position,
    seen: &Position,
) -> Result<(Option<Vec<Change>>, Position, bool), sqlx::Error> {
    let found = entries::behind(connection, source, moved, i64::try_from(PAGE).unwrap_or(i64::MAX)).await?;
    // After the changes: what was trimmed before is then seen to be missing.
    let trimmed = entries::trimmed(connection, source).await?;
    let (reached, more) = entries::advance(moved, seen, &found, PAGE);
    let whole = !entries::is_too_old(moved, &trimmed);
    Ok((whole.then_some(found), reached, more))
}
