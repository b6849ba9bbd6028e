//! The root fields of engagement.

use async_graphql::{Context, Object, Result, connection::Connection};
use docket_platform::{auth::permissions::Action, clock};
use uuid::Uuid;

use super::rows::{self, Engagement, ItemEngagement};
use crate::{
    graphql::{Asker, error},
    page::{self, Page},
    position::ENGAGEMENT,
};

/// The root fields of engagement.
#[derive(Debug, Default)]
pub struct EngagementQuery;

#[Object]
impl EngagementQuery {
    /// What whoever asks did with what they read, the last first.
    #[graphql(complexity = "page::cost(first, child_complexity)")]
    async fn my_engagement(
        &self,
        context: &Context<'_>,
        #[graphql(default_with = "Some(page::DEFAULT_PAGE)", desc = "At most this many, up to 100.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Connection<String, Engagement>> {
        let asker = Asker::who_may(context, Action::Engage)?;
        let read = async {
            let page = Page::new(first, after.as_deref())?;
            let mut entered = asker.enter(&[ENGAGEMENT], &asker.at_least(at_least.as_deref())?).await?;
            let rows = rows::history(&mut entered.tx, asker.reader(), page.after, page.limit());
            let rows = asker.gate.reads().guard(rows).await?;
            Ok(page.connection(rows, |row| (row.place(), row)))
        };
        Box::pin(read).await.map_err(error::from_read)
    }

    /// How often readers did what with an article or an entity: ever, and by day.
    async fn engagement(
        &self,
        context: &Context<'_>,
        item_id: Uuid,
        #[graphql(default = 30, desc = "The last so many days, today among them, up to 366.")] days: i32,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<ItemEngagement> {
        let asker = Asker::who_may(context, Action::ReadKnowledge)?;
        let read = async {
            let days = rows::days(days)?;
            let mut entered = asker.enter(&[ENGAGEMENT], &asker.at_least(at_least.as_deref())?).await?;
            let counters = rows::counters(&mut entered.tx, asker.principal.tenant, item_id, days, clock::now());
            asker.gate.reads().guard(counters).await
        };
        Box::pin(read).await.map_err(error::from_read)
    }
}
