//! The subscription that shows attempts as they are made.
//!
//! Attempts are noted some time after they began and in any order, so the table is looked through again as far back as one may take,
//! and what was told already is passed over.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use async_graphql::{Context, Result, Subscription};
use chrono::{DateTime, TimeDelta, Utc};
use docket_platform::{auth::permissions::Action, clock};
use futures_util::Stream;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::deliveries::{ATTEMPT, AttemptRow, WebhookAttempt};
use crate::{
    graphql::{Asker, error},
    position::{DIRECTORY, Gate},
    read::ReadError,
};

/// How often is looked.
const PERIOD: Duration = Duration::from_millis(500);
/// How long an attempt may take until it is noted.
const OVERLAP: TimeDelta = TimeDelta::seconds(90);
/// Attempts at once.
const AT_ONCE: i64 = 500;

/// The subscriptions of this feature.
#[derive(Debug, Default)]
pub struct WebhookSubscription;

#[Subscription]
impl WebhookSubscription {
    /// Attempts to deliver, from now on, as they come to something. For administrators.
    async fn webhook_attempted(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "To this endpoint only.")] endpoint_id: Option<Uuid>,
    ) -> Result<impl Stream<Item = Result<WebhookAttempt>> + use<>> {
        let asker = Asker::who_may(context, Action::ManageWebhooks)?;
        let watch = Watch {
            gate: asker.gate.clone(),
            tenant: asker.principal.tenant,
            endpoint: endpoint_id,
            begun: clock::now(),
            told: BTreeMap::new(),
            waiting: VecDeque::new(),
        };
        Ok(futures_util::stream::unfold(watch, |mut watch| async {
            let next = watch.next().await;
            Some((next.map_err(error::from_read), watch))
        }))
    }
}

/// Somebody who watches.
struct Watch {
    gate: Gate,
    tenant: Uuid,
    endpoint: Option<Uuid>,
    begun: DateTime<Utc>,
    /// What was told, and when it began: by delivery and number.
    told: BTreeMap<(Uuid, i32), DateTime<Utc>>,
    waiting: VecDeque<WebhookAttempt>,
}

impl Watch {
    async fn next(&mut self) -> Result<WebhookAttempt, ReadError> {
        loop {
            if let Some(attempt) = self.waiting.pop_front() {
                return Ok(attempt);
            }
            let since = self.begun.max(clock::now() - OVERLAP);
            self.told.retain(|_, at| *at >= since);
            for row in self.rows(since).await? {
                if self.told.insert((row.delivery, row.number), row.at).is_none() {
                    self.waiting.push_back(row.into());
                }
            }
            if self.waiting.is_empty() {
                tokio::time::sleep(PERIOD).await;
            }
        }
    }

    async fn rows(&self, since: DateTime<Utc>) -> Result<Vec<AttemptRow>, ReadError> {
        let mut entered = self.gate.enter(self.tenant, DIRECTORY, &docket_log::Position::default(), None).await?;
        let (deliveries, numbers): (Vec<Uuid>, Vec<i32>) = self.told.keys().copied().unzip();
        let rows = async |connection: &mut PgConnection| {
            let mut query = QueryBuilder::<Postgres>::new("select ");
            query.push(ATTEMPT).push(" from react.attempt where at >= ").push_bind(since);
            query.push(" and tenant = ").push_bind(self.tenant);
            if let Some(endpoint) = self.endpoint {
                query.push(" and endpoint = ").push_bind(endpoint);
            }
            query.push(" and (delivery, number) not in (select * from unnest(").push_bind(deliveries);
            query.push("::uuid[], ").push_bind(numbers).push("::int[])) order by at limit ").push_bind(AT_ONCE);
            query.build_query_as::<AttemptRow>().fetch_all(connection).await
        };
        self.gate.reads().guard(rows(&mut entered.tx)).await
    }
}
