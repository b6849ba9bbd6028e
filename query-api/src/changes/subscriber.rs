//! One subscription: first what happened since its position, from the database; then what the hub hands out.
//!
//! Owns the seam between the two. A subscriber listens to the hub before it looks at the database for the last time, so that a
//! change is in the one or the other, and it skips what it has seen. It reads under its own tenant only.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use docket_log::Position;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use uuid::Uuid;

use super::{
    Change, Followed, Hub, Interest, entries,
    hub::{Batch, News},
};
use crate::{
    position::{Gate, checkpoints},
    read::{ReadError, Tx},
};

/// Changes of one shard read at once while catching up.
const PAGE: usize = 100;
/// How long a subscription waits for the follower's first look.
const PATIENCE: Duration = Duration::from_secs(2);

/// A change that a subscriber sees.
#[derive(Debug, Clone)]
pub struct Changed<T> {
    /// What is shown of it, as it stands now; it may be newer than the change.
    pub shown: T,
    /// What happened.
    pub kind: String,
    /// When it was written to the read model.
    pub at: DateTime<Utc>,
    /// Resume behind this change from here.
    pub position: Position,
}

type Rows<I> = <<I as Interest>::In as Followed>::Rows;

/// A subscription under way.
pub struct Subscriber<I: Interest> {
    gate: Gate,
    hub: Arc<Hub<I::In>>,
    tenant: Uuid,
    interest: I,
    /// Everything up to here was seen.
    at: Position,
    news: Option<Receiver<News<I::In>>>,
    catching_up: bool,
    ready: VecDeque<Changed<I::Shown>>,
    ended: bool,
}

/// A page of changes from the database, and what it says.
struct Page<R> {
    found: Vec<Change>,
    rows: R,
    reached: Position,
    more: bool,
}

impl<I: Interest> Subscriber<I> {
    /// Subscribes to the changes of `tenant`: those since a position, or from now on. A shard that the position does not name is
    /// followed from now on.
    ///
    /// # Errors
    /// When the database cannot be read, or the position is too old.
    pub async fn start(
        gate: Gate,
        hub: Arc<Hub<I::In>>,
        tenant: Uuid,
        since: Option<Position>,
        interest: I,
    ) -> Result<Self, ReadError> {
        // A follower that has not looked yet would begin behind this subscriber. It looks at once unless the database is away.
        tokio::time::timeout(PATIENCE, hub.followed()).await.map_err(|_| ReadError::NotFollowing)?;
        let catching_up = since.is_some();
        // Without a position nothing is caught up on, so listening begins before the checkpoints are read.
        let news = if catching_up { None } else { hub.subscribe(tenant) };
        let ended = !catching_up && news.is_none();
        let (now, trimmed) = gate
            .reads()
            .guard(async {
                let mut tx = gate.reads().begin(tenant).await?;
                let now = checkpoints(&mut tx, gate.installation(), I::In::SOURCE).await?;
                Ok((now, entries::trimmed(&mut tx, I::In::SOURCE).await?))
            })
            .await?;
        let at = since.map_or_else(|| now.clone(), |since| resume(&since, &now));
        if entries::is_too_old(&at, &trimmed) {
            return Err(ReadError::Resync);
        }
        let ready = VecDeque::new();
        let mut subscriber = Self { gate, hub, tenant, interest, at, news, catching_up, ready, ended };
        if catching_up {
            let (healed, rows) = subscriber.gate.reads().guard(subscriber.healed()).await?;
            subscriber.enqueue(&healed, &rows).await?;
        }
        Ok(subscriber)
    }

    /// What was healed behind the position while nobody listened. Better shown twice than never.
    async fn healed(&self) -> Result<(Vec<Change>, Rows<I>), sqlx::Error> {
        let mut tx = self.gate.reads().begin(self.tenant).await?;
        let healed = entries::healed(&mut tx, I::In::SOURCE, &self.at).await?;
        let rows = load::<I::In>(&mut tx, &healed).await?;
        Ok((healed, rows))
    }

    /// The next change; none when the process is ending. After an error there is nothing more.
    pub async fn next(&mut self) -> Option<Result<Changed<I::Shown>, ReadError>> {
        loop {
            if let Some(changed) = self.ready.pop_front() {
                return Some(Ok(changed));
            }
            if self.ended {
                return None;
            }
            let found = if self.catching_up { self.catch_up().await } else { self.hear().await };
            if let Err(error) = found {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }

    /// One page from the database. The hub is listened to as soon as few are left, and then the rest is read.
    async fn catch_up(&mut self) -> Result<(), ReadError> {
        let listening = self.news.is_some();
        let page = self.gate.reads().guard(self.page()).await?.ok_or(ReadError::Resync)?;
        self.enqueue(&page.found, &page.rows).await?;
        self.at.join(&page.reached);
        if !page.more && listening {
            self.catching_up = false;
        } else if !page.more {
            self.news = self.hub.subscribe(self.tenant);
            self.ended = self.news.is_none();
        }
        Ok(())
    }

    async fn page(&self) -> Result<Option<Page<Rows<I>>>, sqlx::Error> {
        let source = I::In::SOURCE;
        let mut tx = self.gate.reads().begin(self.tenant).await?;
        let seen = checkpoints(&mut tx, self.gate.installation(), source).await?;
        let found = entries::behind(&mut tx, source, &self.at, i64::try_from(PAGE).unwrap_or(i64::MAX)).await?;
        // After the changes: what was trimmed before is then seen to be missing.
        if entries::is_too_old(&self.at, &entries::trimmed(&mut tx, source).await?) {
            return Ok(None);
        }
        let (reached, more) = entries::advance(&self.at, &seen, &found, PAGE);
        let rows = load::<I::In>(&mut tx, &found).await?;
        Ok(Some(Page { found, rows, reached, more }))
    }

    /// What the hub hands out next.
    async fn hear(&mut self) -> Result<(), ReadError> {
        let Some(news) = &mut self.news else {
            self.ended = true;
            return Ok(());
        };
        match news.recv().await {
            Ok(News::Changes(batch)) => self.take(&batch).await,
            Ok(News::Resync) | Err(RecvError::Lagged(_)) => Err(ReadError::Resync),
            Err(RecvError::Closed) => {
                self.ended = true;
                Ok(())
            }
        }
    }

    async fn take(&mut self, batch: &Batch<I::In>) -> Result<(), ReadError> {
        let wanted = |change: &Change| change.sequence > self.at.get(change.shard) && self.wants(change);
        let new: Vec<Change> = batch.changes.iter().filter(|change| wanted(change)).cloned().collect();
        if !new.is_empty() {
            let rows = batch.rows.get_or_try_init(|| self.gate.reads().guard(self.load_all(&batch.changes))).await?;
            self.enqueue(&new, rows).await?;
        }
        for change in &batch.changes {
            self.at.raise(change.shard, change.sequence);
        }
        if let Some(reached) = &batch.reached {
            self.at.join(reached);
        }
        Ok(())
    }

    /// The rows of a whole batch: other subscribers of the tenant share them, whatever this one wants.
    async fn load_all(&self, changes: &[Change]) -> Result<Rows<I>, sqlx::Error> {
        let mut tx = self.gate.reads().begin(self.tenant).await?;
        load::<I::In>(&mut tx, changes).await
    }

    fn wants(&self, change: &Change) -> bool {
        change.tenant == self.tenant && self.interest.wants(change)
    }

    async fn enqueue(&mut self, found: &[Change], rows: &Rows<I>) -> Result<(), ReadError> {
        if found.iter().any(|change| self.wants(change)) {
            self.interest.look(&self.gate, self.tenant, found, rows).await?;
        }
        let mut position = self.at.clone();
        for change in found {
            position.raise(change.shard, change.sequence);
            // A row that is not there any more has nothing to show.
            let shown = if self.wants(change) { self.interest.show(change, rows) } else { None };
            self.ready.extend(shown.map(|shown| Changed {
                shown,
                kind: change.kind.clone(),
                at: change.at,
                position: position.clone(),
            }));
        }
        Ok(())
    }
}

async fn load<F: Followed>(tx: &mut Tx, changes: &[Change]) -> Result<F::Rows, sqlx::Error> {
    let mut keys: Vec<Uuid> = changes.iter().map(|change| change.key).collect();
    keys.sort_unstable();
    keys.dedup();
    F::load(tx, &keys).await
}

/// From where to go on: as `since` says, and from `now` on where it says nothing.
fn resume(since: &Position, now: &Position) -> Position {
    let named: HashMap<_, _> = since.iter().collect();
    now.iter().map(|(shard, now)| (shard, named.get(&shard).copied().unwrap_or(now))).collect()
}
