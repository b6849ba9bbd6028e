//! Changes of counters, and the subscription to them.
//!
//! A call tells of up to a thousand things, so what is followed is that somebody told anything; which counters changed is seen by looking
//! at those that are watched.

use std::collections::HashMap;

use async_graphql::{Context, Result, SimpleObject, Subscription};
use docket_events::ShardId;
use docket_log::Position;
use docket_platform::auth::permissions::Action;
use futures_util::Stream;
use uuid::Uuid;

use super::rows::{self, EngagementCounts};
use crate::{
    changes::{Change, Changed, Followed, Hubs, Interest},
    graphql::{Asker, Instant, error, subscribe},
    position::{ENGAGEMENT, Gate, Source},
    read::{ReadError, Tx},
};

/// So many items may be watched by one subscription.
const MAX_WATCHED: usize = 100;

/// The source of changes of counters.
#[derive(Debug, Clone, Copy)]
pub struct Engagements;

impl Followed for Engagements {
    const SOURCE: Source = ENGAGEMENT;
    type Rows = ();

    async fn load(_: &mut Tx, _: &[Uuid]) -> Result<(), sqlx::Error> {
        Ok(())
    }
}

/// What readers did with an item, ever.
#[derive(Debug, Clone, Copy, SimpleObject)]
pub struct CountedItem {
    /// The article or the entity.
    item_id: Uuid,
    /// What was done with it, ever.
    total: EngagementCounts,
}

/// The counters of some items.
#[derive(Debug, Clone)]
struct OfItems {
    items: Vec<Uuid>,
    /// As they were told last.
    told: HashMap<Uuid, EngagementCounts>,
    /// What is to be told behind a change.
    news: Option<(ShardId, u64, Vec<CountedItem>)>,
}

impl Interest for OfItems {
    type In = Engagements;
    type Shown = Vec<CountedItem>;

    fn wants(&self, _: &Change) -> bool {
        true
    }

    async fn look(&mut self, gate: &Gate, tenant: Uuid, changes: &[Change], (): &()) -> Result<(), ReadError> {
        let Some(last) = changes.last() else { return Ok(()) };
        let _turn = gate.turn().await;
        let mut entered = gate.enter(tenant, ENGAGEMENT, &Position::default(), None).await?;
        let totals = gate.reads().guard(rows::totals(&mut entered.tx, tenant, &self.items)).await?;
        let mut changed = Vec::new();
        for (item_id, total) in totals {
            if self.told.insert(item_id, total) != Some(total) {
                changed.push(CountedItem { item_id, total });
            }
        }
        self.news = Some((last.shard, last.sequence, changed)).filter(|(.., changed)| !changed.is_empty());
        Ok(())
    }

    fn show(&self, change: &Change, (): &()) -> Option<Vec<CountedItem>> {
        let (shard, sequence, changed) = self.news.as_ref()?;
        // Behind the last change that was looked at, so that whoever resumes there has seen them all.
        ((*shard, *sequence) == (change.shard, change.sequence)).then(|| changed.clone())
    }
}

/// Counters changed.
#[derive(Debug, Clone, SimpleObject)]
pub struct EngagementCount {
    /// The watched items whose counters changed since they were last told, in the order of their ids.
    items: Vec<CountedItem>,
    /// Resume behind this change with `since`.
    position: String,
    /// When the change came to the read model.
    at: Instant,
}

impl From<Changed<Vec<CountedItem>>> for EngagementCount {
    fn from(changed: Changed<Vec<CountedItem>>) -> Self {
        let (position, at) = (changed.position.to_string(), Instant(changed.at));
        Self { items: changed.shown, position, at }
    }
}

/// The subscriptions of this feature.
#[derive(Debug, Default)]
pub struct EngagementSubscription;

#[Subscription]
impl EngagementSubscription {
    /// The counters of items, whenever they changed: since a position, or from now on. Changes that come close together are told at once;
    /// the first message holds whatever counters there are. When they cannot be told without a gap, the subscription ends with an error
    /// whose code is RESYNC_REQUIRED: query anew, and subscribe since the answer's position.
    async fn engagement_counted(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "1 to 100 articles and entities.")] item_ids: Vec<Uuid>,
        #[graphql(desc = "Behind this position; shards that it does not name are followed from now on.")] since: Option<
            String,
        >,
    ) -> Result<impl Stream<Item = Result<EngagementCount>> + use<>> {
        let asker = Asker::who_may(context, Action::ReadKnowledge)?;
        if !(1..=MAX_WATCHED).contains(&item_ids.len()) {
            let refused = ReadError::argument("itemIds", format!("name 1 to {MAX_WATCHED} items."));
            return Err(error::from_read(refused));
        }
        let hub = context.data::<Hubs>()?.engagement.clone();
        let interest = OfItems { items: item_ids, told: HashMap::new(), news: None };
        subscribe(asker, hub, since.as_deref(), interest).await
    }
}
