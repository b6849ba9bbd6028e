//! Changes of articles, and the subscription to them.

use std::collections::HashMap;

use async_graphql::{Context, Result, SimpleObject, Subscription};
use docket_platform::auth::permissions::Action;
use futures_util::Stream;
use uuid::Uuid;

use super::{Article, check_topic, rows};
use crate::{
    changes::{Change, Changed, Followed, Hubs, Interest},
    graphql::{Asker, Instant, error, subscribe},
    position::{FEED, Source},
    read::Tx,
};

/// The source of changes of the feed. What readers prefer and save is a part of it, and is told nobody.
#[derive(Debug, Clone, Copy)]
pub struct Feed;

impl Followed for Feed {
    const SOURCE: Source = FEED;
    type Rows = HashMap<Uuid, Article>;

    async fn load(tx: &mut Tx, keys: &[Uuid]) -> Result<Self::Rows, sqlx::Error> {
        rows::by_ids(tx, keys).await
    }
}

/// Changes of articles.
#[derive(Debug, Clone)]
struct OfArticles {
    /// Of articles about this topic only.
    topic: Option<String>,
}

impl Interest for OfArticles {
    type In = Feed;
    type Shown = Article;

    fn wants(&self, change: &Change) -> bool {
        matches!(change.kind.as_str(), "article_published" | "article_revised" | "article_retracted")
    }

    fn show(&self, change: &Change, rows: &HashMap<Uuid, Article>) -> Option<Article> {
        let article = rows.get(&change.key)?;
        self.topic.as_ref().is_none_or(|topic| article.is_about(topic)).then(|| article.clone())
    }
}

/// An article changed.
#[derive(Debug, Clone, SimpleObject)]
pub struct FeedUpdate {
    /// The article as it stands now; it may be newer than this change.
    article: Article,
    /// What happened: article_published, article_revised or article_retracted; later releases may add to these.
    kind: String,
    /// Resume behind this change with `since`.
    position: String,
    /// When the change came to the read model.
    at: Instant,
}

impl From<Changed<Article>> for FeedUpdate {
    fn from(changed: Changed<Article>) -> Self {
        let (position, at) = (changed.position.to_string(), Instant(changed.at));
        Self { article: changed.shown, kind: changed.kind, position, at }
    }
}

/// The subscriptions of this feature.
#[derive(Debug, Default)]
pub struct FeedSubscription;

#[Subscription]
impl FeedSubscription {
    /// Articles that are published, revised or retracted: all since a position, or those from now on. When they cannot be told without a
    /// gap, the subscription ends with an error whose code is RESYNC_REQUIRED: query anew, and subscribe since the answer's position.
    async fn feed_updated(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Behind this position; shards that it does not name are followed from now on.")] since: Option<
            String,
        >,
        #[graphql(desc = "Of articles that name this topic only.")] topic: Option<String>,
    ) -> Result<impl Stream<Item = Result<FeedUpdate>> + use<>> {
        let asker = Asker::who_may(context, Action::ReadKnowledge)?;
        check_topic(topic.as_deref()).map_err(error::from_read)?;
        let hub = context.data::<Hubs>()?.feed.clone();
        subscribe(asker, hub, since.as_deref(), OfArticles { topic }).await
    }
}
