//! Wakes those who wait for an event of their organisation, without a connection to the database for each.
//!
//! Owns one look for all of them whenever the bell rings: at the shards that have moved, for the organisations that somebody waits for.
//! It says that there is something and not what; whoever is woken reads under their own tenant. While nobody waits it does nothing.

use std::{
    collections::HashMap,
    future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use docket_log::{Bell, Installation, Position};
use docket_platform::{Shutdown, db};
use sqlx::{PgConnection, PgPool, postgres::PgPoolOptions};
use tokio::sync::watch;
use uuid::Uuid;

use crate::position::{EVENTS_CONSULTATION, SOURCES, checkpoints, sequence};

/// Wakes those who wait. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Waker(Arc<Mutex<HashMap<Uuid, watch::Sender<()>>>>);

/// Hears of events of one organisation.
#[derive(Debug)]
pub struct Ear(watch::Receiver<()>);

impl Ear {
    /// Returns when there may be an event since the ear was made, or since this returned last.
    pub async fn heard(&mut self) {
        if self.0.changed().await.is_err() {
            future::pending::<()>().await;
        }
    }
}

impl Waker {
    fn ears(&self) -> MutexGuard<'_, HashMap<Uuid, watch::Sender<()>>> {
        // The map is valid after every statement, so a panic elsewhere leaves nothing broken behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens from now on: whoever reads after this and then waits misses nothing.
    pub fn listen(&self, tenant: Uuid) -> Ear {
        Ear(self.ears().entry(tenant).or_insert_with(|| watch::Sender::new(())).subscribe())
    }

    /// How many wait for events of `tenant`.
    pub fn listeners(&self, tenant: Uuid) -> usize {
        self.ears().get(&tenant).map_or(0, watch::Sender::receiver_count)
    }

    /// The organisations that somebody waits for; the others are forgotten.
    fn waited_for(&self) -> Vec<Uuid> {
        let mut ears = self.ears();
        ears.retain(|_, ear| ear.receiver_count() > 0);
        ears.keys().copied().collect()
    }

    fn wake(&self, tenants: &[Uuid]) {
        let ears = self.ears();
        tenants.iter().filter_map(|tenant| ears.get(tenant)).for_each(|ear| ear.send_replace(()));
    }

    /// Wakes until the shutdown; `reader` gives the way to the database.
    pub(crate) async fn run(
        self,
        reader: PgPool,
        bell: Bell,
        installation: Installation,
        poll: Duration,
        shutdown: Shutdown,
    ) {
        let options = reader.connect_options().as_ref().clone().options([("docket.follower", "on")]);
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(reader.options().get_acquire_timeout())
            .connect_lazy_with(options.application_name("docket-events"));
        let mut bell = bell.listen();
        let mut stood = None;
        loop {
            if self.waited_for().is_empty() {
                stood = None;
            } else {
                match self.look(&pool, &installation, stood.as_ref()).await {
                    Ok(stands) => stood = Some(stands),
                    Err(error) => tracing::debug!(%error, "nobody is woken: the feed cannot be looked at"),
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = bell.heard(poll) => {}
            }
        }
    }

    /// Wakes those for whom something came since the feed stood at `stood`, and answers where it stands.
    async fn look(
        &self,
        pool: &PgPool,
        installation: &Installation,
        stood: Option<&Stands>,
    ) -> Result<Stands, sqlx::Error> {
        let mut connection = db::acquire(pool).await?;
        let stands = Stands::now(&mut connection, installation).await?;
        // Only now: whoever listens since later reads later, and sees what these checkpoints count.
        let tenants = self.waited_for();
        match stood {
            Some(stood) if stood.parked == stands.parked => {
                let moved: Position =
                    stands.at.iter().filter(|(shard, sequence)| stood.at.get(*shard) < *sequence).collect();
                if !moved.is_empty() {
                    self.wake(&heard_of(&mut connection, &tenants, &stood.at, &moved).await?);
                }
            }
            // Nobody looked since they came, or what was parked came in behind a checkpoint.
            _ => self.wake(&tenants),
        }
        Ok(stands)
    }
}

/// Where the feed stands.
#[derive(Debug)]
struct Stands {
    at: Position,
    /// How often the set of parked streams changed.
    parked: u64,
}

impl Stands {
    async fn now(connection: &mut PgConnection, installation: &Installation) -> Result<Self, sqlx::Error> {
        let mut at = Position::default();
        for source in SOURCES.iter().filter(|source| source.projection == EVENTS_CONSULTATION.projection) {
            at.join(&checkpoints(connection, installation, *source).await?);
        }
        let parked: i64 =
            sqlx::query_scalar("select coalesce(sum(parked), 0)::bigint from read.checkpoint where projection = $1")
                .bind(EVENTS_CONSULTATION.projection)
                .fetch_one(connection)
                .await?;
        Ok(Self { at, parked: sequence(parked) })
    }
}

/// Those of `tenants` that have an event in the shards that have moved.
async fn heard_of(
    connection: &mut PgConnection,
    tenants: &[Uuid],
    stood: &Position,
    moved: &Position,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let narrow = |sequence: u64| i64::try_from(sequence).unwrap_or(i64::MAX);
    sqlx::query_scalar(
        "select distinct t.tenant
         from unnest($1::uuid[]) as t (tenant)
         cross join unnest($2::smallint[], $3::smallint[], $4::bigint[], $5::bigint[]) as c (category, shard, behind, until)
         cross join lateral (
             select from read.event f
             where f.tenant = t.tenant and f.category = c.category and f.shard = c.shard
               and f.sequence > c.behind and f.sequence <= c.until
             limit 1
         ) f",
    )
    .bind(tenants)
    .bind(moved.iter().map(|(shard, _)| shard.category.code()).collect::<Vec<_>>())
    .bind(moved.iter().map(|(shard, _)| i16::try_from(shard.shard).unwrap_or(i16::MAX)).collect::<Vec<_>>())
    .bind(moved.iter().map(|(shard, _)| narrow(stood.get(shard))).collect::<Vec<_>>())
    .bind(moved.iter().map(|(_, sequence)| narrow(sequence)).collect::<Vec<_>>())
    .fetch_all(connection)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_listens_is_woken_and_nobody_else() {
        let waker = Waker::default();
        let [ours, theirs] = [1, 2].map(Uuid::from_u128);
        let (mut one, mut other) = (waker.listen(ours), waker.listen(theirs));
        waker.wake(&[ours]);
        one.heard().await;
        assert!(!other.0.has_changed().unwrap());
        waker.wake(&[theirs]);
        other.heard().await;
        assert!(!one.0.has_changed().unwrap(), "what was heard is heard once");
    }

    #[test]
    fn whom_nobody_waits_for_is_forgotten() {
        let waker = Waker::default();
        drop(waker.listen(Uuid::nil()));
        assert!(waker.waited_for().is_empty());
        assert_eq!(waker.listeners(Uuid::nil()), 0);
    }
}
