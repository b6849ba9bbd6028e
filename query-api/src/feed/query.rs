//! The root fields of the feed.

use async_graphql::{
    Context, Object, Result, SimpleObject,
    connection::{Connection, Edge},
};
use docket_log::Position;
use docket_platform::{auth::permissions::Action, clock};
use uuid::Uuid;

use super::{
    Article, check_topic,
    personal::{self, Asked, FeedItem},
    reader::{self, SavedArticle},
    rows,
    search::{self, ArticleFound},
    topics::{self, Topic},
    trending::{self, TrendingItem},
};
use crate::{
    engagement::ItemKind,
    graphql::{Asker, Instant, error},
    page::{self, Cursor, Page},
    position::{ENGAGEMENT, FEED, KNOWLEDGE},
    read::ReadError,
};

/// How much a reader cares for a topic.
#[derive(Debug, SimpleObject)]
struct TopicPreference {
    /// The word of the topic.
    topic: String,
    /// How much, from 0 to 1.
    weight: f64,
}

/// How much a reader cares for topics.
#[derive(Debug, SimpleObject)]
struct TopicPreferences {
    /// The version, for `If-Match`; 0: nothing was ever said.
    version: u64,
    /// In the order of the words.
    topics: Vec<TopicPreference>,
    /// When it was last said; null: never.
    set_at: Option<Instant>,
}

/// The root fields of the feed.
#[derive(Debug, Default)]
pub struct FeedQuery;

#[Object]
impl FeedQuery {
    /// One article, whether it stands or was retracted; null when the organisation has none of this id.
    async fn article(
        &self,
        context: &Context<'_>,
        id: Uuid,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Option<Article>> {
        let asker = Asker::who_may(context, Action::ReadKnowledge)?;
        let read = async {
            let mut entered = asker.enter(&[FEED], &asker.at_least(at_least.as_deref())?).await?;
            let found = asker.gate.reads().guard(rows::by_ids(&mut entered.tx, &[id])).await?;
            Ok(found.into_values().next())
        };
        Box::pin(read).await.map_err(error::from_read)
    }

    /// Articles that stand, the last published first.
    #[graphql(complexity = "page::cost(first, child_complexity)")]
    async fn articles(
        &self,
        context: &Context<'_>,
        #[graphql(default_with = "Some(page::DEFAULT_PAGE)", desc = "At most this many, up to 100.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Behind this cursor.")] after: Option<String>,
        #[graphql(desc = "About this topic, or one that is a part of it.")] topic: Option<String>,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Connection<String, Article>> {
        let asker = Asker::who_may(context, Action::ReadKnowledge)?;
        let read = async {
            let page = Page::new(first, after.as_deref())?;
            check_topic(topic.as_deref())?;
            let mut entered = asker.enter(&[FEED], &asker.at_least(at_least.as_deref())?).await?;
            let rows = async {
                let (tx, tenant) = (&mut entered.tx, asker.principal.tenant);
                let topics = topics::within(tx, tenant, topic.as_deref()).await?;
                rows::newest(tx, tenant, topics.as_deref(), page.after, page.limit()).await
            };
            let rows = asker.gate.reads().guard(rows).await?;
            Ok(page.connection(rows, |row| (Cursor { at: row.published_at, id: row.id }, row.into())))
        };
        Box::pin(read).await.map_err(error::from_read)
    }

    /// Articles that a text finds by words of title, summary and body, the best first.
    #[graphql(complexity = "page::cost(Some(limit), child_complexity)")]
    async fn search_articles(
        &self,
        context: &Context<'_>,
        #[graphql(
            desc = "1 to 200 characters: words in whatever form; `\"several words\"` stand together, `or` stands between alternatives, and `-word` must not be there."
        )]
        text: String,
        #[graphql(desc = "About this topic, or one that is a part of it.")] topic: Option<String>,
        #[graphql(default = 20, desc = "At most this many, up to 100.")] limit: i32,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Vec<ArticleFound>> {
        let asker = Asker::who_may(context, Action::ReadKnowledge)?;
        let read = async {
            let (text, limit) = (search::text(&text)?, page::limit(limit)?);
            check_topic(topic.as_deref())?;
            let mut entered = asker.enter(&[FEED], &asker.at_least(at_least.as_deref())?).await?;
            let tenant = asker.principal.tenant;
            let found = search::find(&mut entered.tx, tenant, text, topic.as_deref(), (0, limit));
            Ok(asker.gate.reads().guard(found).await?.0)
        };
        Box::pin(read).await.map_err(error::from_read)
    }

    /// Articles for whoever asks, those first that are for them. Pages fit together: what is added and what is read meanwhile changes
    /// nothing about them. Where there are more than the 5,000 newest, which are ranked, `extensions.cut` is true.
    #[graphql(complexity = "page::cost(first, child_complexity)")]
    async fn feed(
        &self,
        context: &Context<'_>,
        #[graphql(default_with = "Some(page::DEFAULT_PAGE)", desc = "At most this many, up to 100.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Behind this cursor.")] after: Option<String>,
        #[graphql(desc = "About this topic, or one that is a part of it.")] topic: Option<String>,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Connection<String, FeedItem>> {
        let asker = Asker::who_may(context, Action::ReadKnowledge)?;
        let read = async {
            let asked = Asked::new("first", first, after.as_deref(), topic)?;
            let mut entered = asker.enter(&[FEED, ENGAGEMENT], &asker.at_least(at_least.as_deref())?).await?;
            let page = personal::page(&mut entered, asker.reader(), &asked);
            let page = asker.gate.reads().guard(page).await?;
            if page.cut {
                asker.seen.say_cut();
            }
            let mut connection = Connection::new(after.is_some(), page.more);
            connection.edges.extend(page.items.into_iter().map(|item| Edge::new(item.cursor.clone(), item)));
            Ok(connection)
        };
        Box::pin(read).await.map_err(error::from_read)
    }

    /// What is talked of, the most first: what readers do with it counts half as much after every day.
    #[graphql(complexity = "page::cost(Some(limit), child_complexity)")]
    async fn trending(
        &self,
        context: &Context<'_>,
        #[graphql(default = 20, desc = "At most this many, up to 100.")] limit: i32,
        #[graphql(desc = "Of this kind alone.")] kind: Option<ItemKind>,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Vec<TrendingItem>> {
        let asker = Asker::who_may(context, Action::ReadKnowledge)?;
        let read = async {
            let limit = page::limit(limit)?;
            let sources = [ENGAGEMENT, FEED, KNOWLEDGE];
            let mut entered = asker.enter(&sources, &asker.at_least(at_least.as_deref())?).await?;
            let tenant = asker.principal.tenant;
            let items = trending::trending(&mut entered.tx, tenant, kind, clock::now(), limit as i64);
            asker.gate.reads().guard(items).await
        };
        Box::pin(read).await.map_err(error::from_read)
    }

    /// Every topic, in the order of their words.
    #[graphql(complexity = "100 + child_complexity")]
    async fn topics(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Vec<Topic>> {
        let asker = Asker::who_may(context, Action::ReadKnowledge)?;
        let read = async {
            let mut entered = asker.enter(&[FEED], &asker.at_least(at_least.as_deref())?).await?;
            asker.gate.reads().guard(topics::list(&mut entered.tx, asker.principal.tenant)).await
        };
        Box::pin(read).await.map_err(error::from_read)
    }

    /// How much whoever asks cares for topics.
    async fn my_topic_preferences(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<TopicPreferences> {
        let asker = Asker::who_may(context, Action::Engage)?;
        let wanted = asker.at_least(at_least.as_deref()).map_err(error::from_read)?;
        Box::pin(preferences(asker, &wanted)).await.map_err(error::from_read)
    }

    /// What whoever asks saved, the last saved first.
    #[graphql(complexity = "page::cost(first, child_complexity)")]
    async fn my_saved(
        &self,
        context: &Context<'_>,
        #[graphql(default_with = "Some(page::DEFAULT_PAGE)", desc = "At most this many, up to 100.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Connection<String, SavedArticle>> {
        let asker = Asker::who_may(context, Action::Engage)?;
        let read = async {
            let page = Page::new(first, after.as_deref())?;
            let mut entered = asker.enter(&[FEED], &asker.at_least(at_least.as_deref())?).await?;
            let rows = reader::saved(&mut entered.tx, asker.reader(), page.after, page.limit());
            let rows = asker.gate.reads().guard(rows).await?;
            Ok(page.connection(rows, |row| (row.place(), row)))
        };
        Box::pin(read).await.map_err(error::from_read)
    }
}

async fn preferences(asker: &Asker, wanted: &Position) -> Result<TopicPreferences, ReadError> {
    let mut entered = asker.enter(&[FEED], wanted).await?;
    let found = reader::preferences(&mut entered.tx, asker.reader());
    let found = asker.gate.reads().guard(found).await?;
    let topics = found.topics.into_iter().map(|(topic, weight)| TopicPreference { topic, weight });
    Ok(TopicPreferences { version: found.version, topics: topics.collect(), set_at: found.set_at.map(Instant) })
}
