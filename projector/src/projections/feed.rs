//! The projection `feed`: articles, the tree of topics, readers' preferences and saved articles.
//!
//! Owns `article_v1`, `topic_v1`, `preference_v1` and `saved_v1`. Each row is owned by its own stream, topics by the one of their tenant. What
//! a reader is shown first is judged on read, and must not be here.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use docket_events::{
    Category, Event, Recorded,
    feed::{ArticleFacts, FeedEvent, TopicSet},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Stand, column};
use crate::projection::{Info, Poison, Projection, Schema, Table, WriteError, all_there};

/// Articles and what readers keep.
#[derive(Debug, Clone, Copy)]
pub struct Feed;

/// What a batch comes to: of each row what the newest events of it say.
#[derive(Debug, Default)]
pub struct Batch {
    articles: BTreeMap<Uuid, Article>,
    /// By tenant and word: as it is set, or gone.
    topics: BTreeMap<(Uuid, String), (Stand, Option<TopicSet>)>,
    preferences: BTreeMap<Uuid, (Stand, Uuid, String)>,
    /// As it is saved, or gone.
    saved: BTreeMap<Uuid, (Stand, Option<Kept>)>,
}

/// What a batch says of an article.
#[derive(Debug)]
struct Article {
    stand: Stand,
    /// Where the batch holds its first event: the external id.
    added: Option<(Option<String>, DateTime<Utc>)>,
    facts: Option<ArticleFacts>,
    retracted: Option<String>,
}

#[derive(Debug)]
struct Kept {
    user_id: Uuid,
    article_id: Uuid,
    note: Option<String>,
}

const NEW_ARTICLES: &str = "insert into {schema}.article_v1
         (id, tenant, shard, version, title, summary, body, content_type, quality, relevance, topics, entities, source_url, external_id,
          published_at, added_at, updated_at, retracted, words)
     select id, tenant, shard, version, title, summary, body, content_type, quality, relevance, topics::text[], entities::uuid[], source_url,
          external_id, published_at, added_at, updated_at, retracted, read.article_words(tenant, title, summary, body)
     from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
                 $9::double precision[], $10::double precision[], $11::text[], $12::text[], $13::text[], $14::text[], $15::timestamptz[],
                 $16::timestamptz[], $17::timestamptz[], $18::text[])
         as n (id, tenant, shard, version, title, summary, body, content_type, quality, relevance, topics, entities, source_url, external_id,
               published_at, added_at, updated_at, retracted)";

const SAID_OF_ARTICLES: &str = "update {schema}.article_v1 a set
         title = n.title, summary = n.summary, body = n.body, content_type = n.content_type, quality = n.quality, relevance = n.relevance,
         topics = n.topics::text[], entities = n.entities::uuid[], source_url = n.source_url, published_at = n.published_at,
         words = read.article_words(a.tenant, n.title, n.summary, n.body)
     from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::double precision[], $7::double precision[], $8::text[],
                 $9::text[], $10::text[], $11::timestamptz[])
         as n (id, title, summary, body, content_type, quality, relevance, topics, entities, source_url, published_at)
     where a.id = n.id";

const ARTICLES_STAND: &str = "update {schema}.article_v1 a set
         version = n.version, updated_at = n.updated_at, retracted = coalesce(n.retracted, a.retracted)
     from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[]) as n (id, version, updated_at, retracted)
     where a.id = n.id";

const SET_TOPICS: &str = "insert into {schema}.topic_v1 (tenant, topic, shard, name, parent)
     select * from unnest($1::uuid[], $2::text[], $3::smallint[], $4::text[], $5::text[])
     on conflict (tenant, topic) do update set shard = excluded.shard, name = excluded.name, parent = excluded.parent";

const GONE_TOPICS: &str = "delete from {schema}.topic_v1 t using unnest($1::uuid[], $2::text[]) as g (tenant, topic)
     where t.tenant = g.tenant and t.topic = g.topic";

const SET_PREFERENCES: &str = "insert into {schema}.preference_v1 (id, tenant, shard, version, user_id, topics, set_at)
     select * from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::bigint[], $5::uuid[], $6::text[], $7::timestamptz[])
     on conflict (id) do update set version = excluded.version, topics = excluded.topics, set_at = excluded.set_at";

const SET_SAVED: &str = "insert into {schema}.saved_v1 (id, tenant, shard, version, user_id, article_id, note, saved_at)
     select * from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::bigint[], $5::uuid[], $6::uuid[], $7::text[], $8::timestamptz[])
     on conflict (id) do update set version = excluded.version, note = excluded.note, saved_at = excluded.saved_at";

const GONE_SAVED: &str = "delete from {schema}.saved_v1 where id = any($1)";

impl Projection for Feed {
    const INFO: Info = Info {
        name: "feed",
        version: 1,
        categories: &[Category::Feed],
        tables: &[
            Table { name: "article_v1", personal: &[] },
            Table { name: "topic_v1", personal: &[] },
            Table { name: "preference_v1", personal: &[] },
            Table { name: "saved_v1", personal: &[] },
        ],
    };

    type Batch = Batch;

    fn apply(&self, batch: &mut Batch, event: &Recorded, data: &Event) -> Result<(), Poison> {
        use FeedEvent as E;
        let Event::Feed(data) = data else { return Ok(()) };
        let stand = Stand::of(event);
        match data {
            E::ArticlePublished(_) if event.version != 1 => return Err(Poison::new("an article is published once")),
            E::ArticleRevised(_) | E::ArticleRetracted(_) if event.version == 1 => {
                return Err(Poison::new("an article begins with being published"));
            }
            E::ArticlePublished(_) | E::ArticleRevised(_) | E::ArticleRetracted(_) => {
                batch.article(event).fold(event, data)
            }
            E::TopicSet(data) => {
                batch.topics.insert((event.tenant, data.topic.clone()), (stand, Some(data.clone())));
            }
            E::TopicRemoved(data) => {
                batch.topics.insert((event.tenant, data.topic.clone()), (stand, None));
            }
            E::PreferencesSet(data) => {
                // A map of words to numbers from 0 to 1 has a JSON form.
                let topics = serde_json::to_string(&data.topics).unwrap_or_else(|_| "{}".to_owned());
                batch.preferences.insert(event.stream.id, (stand, data.user_id, topics));
            }
            E::ArticleSaved(data) => {
                let kept = Kept { user_id: data.user_id, article_id: data.article_id, note: data.note.clone() };
                batch.saved.insert(event.stream.id, (stand, Some(kept)));
            }
            E::ArticleUnsaved(_) => {
                batch.saved.insert(event.stream.id, (stand, None));
            }
        }
        Ok(())
    }

    async fn write(&self, schema: &Schema, connection: &mut PgConnection, batch: &Batch) -> Result<(), WriteError> {
        write_articles(schema, connection, &batch.articles).await?;
        write_topics(schema, connection, &batch.topics).await?;
        write_preferences(schema, connection, &batch.preferences).await?;
        write_saved(schema, connection, &batch.saved).await
    }
}

impl Batch {
    fn article(&mut self, event: &Recorded) -> &mut Article {
        let stand = Stand::of(event);
        let new = Article { stand, added: None, facts: None, retracted: None };
        let row = self.articles.entry(event.stream.id).or_insert(new);
        row.stand = stand;
        row
    }
}

impl Article {
    fn fold(&mut self, event: &Recorded, data: &FeedEvent) {
        match data {
            FeedEvent::ArticlePublished(data) => {
                self.added = Some((data.external_id.clone(), event.time));
                self.facts = Some(data.facts.clone());
            }
            FeedEvent::ArticleRevised(data) => self.facts = Some(data.facts.clone()),
            FeedEvent::ArticleRetracted(data) => self.retracted = Some(data.reason.clone()),
            _ => {}
        }
    }
}

/// Words and ids as the literal of an array, which need no quotes: arrays of arrays must be of one length, and these are not.
fn array<T: ToString>(list: &[T]) -> String {
    format!("{{{}}}", list.iter().map(T::to_string).collect::<Vec<_>>().join(","))
}

async fn write_articles(
    schema: &Schema,
    connection: &mut PgConnection,
    articles: &BTreeMap<Uuid, Article>,
) -> Result<(), WriteError> {
    let new: Vec<_> =
        articles.iter().filter_map(|(id, row)| Some((*id, row, row.facts.as_ref()?, row.added.as_ref()?))).collect();
    if !new.is_empty() {
        sqlx::query(schema.sql(NEW_ARTICLES))
            .bind(column(&new, |(id, ..)| *id))
            .bind(column(&new, |(_, row, ..)| row.stand.tenant))
            .bind(column(&new, |(_, row, ..)| row.stand.shard as i16))
            .bind(column(&new, |(_, row, ..)| row.stand.version as i64))
            .bind(column(&new, |(_, _, facts, _)| facts.title.as_str()))
            .bind(column(&new, |(_, _, facts, _)| facts.summary.as_str()))
            .bind(column(&new, |(_, _, facts, _)| facts.body.as_str()))
            .bind(column(&new, |(_, _, facts, _)| facts.content_type.as_str()))
            .bind(column(&new, |(_, _, facts, _)| facts.quality))
            .bind(column(&new, |(_, _, facts, _)| facts.relevance))
            .bind(column(&new, |(_, _, facts, _)| array(&facts.topics)))
            .bind(column(&new, |(_, _, facts, _)| array(&facts.entities)))
            .bind(column(&new, |(_, _, facts, _)| facts.source_url.as_deref()))
            .bind(column(&new, |(_, _, _, (external_id, _))| external_id.as_deref()))
            .bind(column(&new, |(_, _, facts, _)| facts.published_at))
            .bind(column(&new, |(_, _, _, (_, at))| *at))
            .bind(column(&new, |(_, row, ..)| row.stand.at))
            .bind(column(&new, |(_, row, ..)| row.retracted.as_deref()))
            .execute(&mut *connection)
            .await?;
    }
    let old: Vec<_> = articles.iter().filter(|(_, row)| row.added.is_none()).collect();
    let said: Vec<_> = old.iter().filter_map(|(id, row)| Some((**id, row.facts.as_ref()?))).collect();
    if !said.is_empty() {
        sqlx::query(schema.sql(SAID_OF_ARTICLES))
            .bind(column(&said, |(id, _)| *id))
            .bind(column(&said, |(_, facts)| facts.title.as_str()))
            .bind(column(&said, |(_, facts)| facts.summary.as_str()))
            .bind(column(&said, |(_, facts)| facts.body.as_str()))
            .bind(column(&said, |(_, facts)| facts.content_type.as_str()))
            .bind(column(&said, |(_, facts)| facts.quality))
            .bind(column(&said, |(_, facts)| facts.relevance))
            .bind(column(&said, |(_, facts)| array(&facts.topics)))
            .bind(column(&said, |(_, facts)| array(&facts.entities)))
            .bind(column(&said, |(_, facts)| facts.source_url.as_deref()))
            .bind(column(&said, |(_, facts)| facts.published_at))
            .execute(&mut *connection)
            .await?;
    }
    if !old.is_empty() {
        let done = sqlx::query(schema.sql(ARTICLES_STAND))
            .bind(column(&old, |(id, _)| **id))
            .bind(column(&old, |(_, row)| row.stand.version as i64))
            .bind(column(&old, |(_, row)| row.stand.at))
            .bind(column(&old, |(_, row)| row.retracted.as_deref()))
            .execute(connection)
            .await?;
        all_there("articles", done.rows_affected(), old.len())?;
    }
    Ok(())
}

async fn write_topics(
    schema: &Schema,
    connection: &mut PgConnection,
    topics: &BTreeMap<(Uuid, String), (Stand, Option<TopicSet>)>,
) -> Result<(), WriteError> {
    let set: Vec<_> = topics.values().filter_map(|(stand, set)| Some((stand, set.as_ref()?))).collect();
    if !set.is_empty() {
        sqlx::query(schema.sql(SET_TOPICS))
            .bind(column(&set, |(stand, _)| stand.tenant))
            .bind(column(&set, |(_, set)| set.topic.as_str()))
            .bind(column(&set, |(stand, _)| stand.shard as i16))
            .bind(column(&set, |(_, set)| set.name.as_str()))
            .bind(column(&set, |(_, set)| set.parent.as_deref()))
            .execute(&mut *connection)
            .await?;
    }
    let gone: Vec<_> = topics.iter().filter(|(_, (_, set))| set.is_none()).collect();
    if !gone.is_empty() {
        sqlx::query(schema.sql(GONE_TOPICS))
            .bind(column(&gone, |((tenant, _), _)| *tenant))
            .bind(column(&gone, |((_, topic), _)| topic.as_str()))
            .execute(connection)
            .await?;
    }
    Ok(())
}

async fn write_preferences(
    schema: &Schema,
    connection: &mut PgConnection,
    preferences: &BTreeMap<Uuid, (Stand, Uuid, String)>,
) -> Result<(), WriteError> {
    if preferences.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = preferences.iter().collect();
    sqlx::query(schema.sql(SET_PREFERENCES))
        .bind(column(&rows, |(id, _)| **id))
        .bind(column(&rows, |(_, (stand, ..))| stand.tenant))
        .bind(column(&rows, |(_, (stand, ..))| stand.shard as i16))
        .bind(column(&rows, |(_, (stand, ..))| stand.version as i64))
        .bind(column(&rows, |(_, (_, user_id, _))| *user_id))
        .bind(column(&rows, |(_, (_, _, topics))| topics.as_str()))
        .bind(column(&rows, |(_, (stand, ..))| stand.at))
        .execute(connection)
        .await?;
    Ok(())
}

async fn write_saved(
    schema: &Schema,
    connection: &mut PgConnection,
    saved: &BTreeMap<Uuid, (Stand, Option<Kept>)>,
) -> Result<(), WriteError> {
    let kept: Vec<_> = saved.iter().filter_map(|(id, (stand, kept))| Some((*id, stand, kept.as_ref()?))).collect();
    if !kept.is_empty() {
        sqlx::query(schema.sql(SET_SAVED))
            .bind(column(&kept, |(id, ..)| *id))
            .bind(column(&kept, |(_, stand, _)| stand.tenant))
            .bind(column(&kept, |(_, stand, _)| stand.shard as i16))
            .bind(column(&kept, |(_, stand, _)| stand.version as i64))
            .bind(column(&kept, |(_, _, kept)| kept.user_id))
            .bind(column(&kept, |(_, _, kept)| kept.article_id))
            .bind(column(&kept, |(_, _, kept)| kept.note.as_deref()))
            .bind(column(&kept, |(_, stand, _)| stand.at))
            .execute(&mut *connection)
            .await?;
    }
    let gone: Vec<Uuid> = saved.iter().filter(|(_, (_, kept))| kept.is_none()).map(|(id, _)| *id).collect();
    if !gone.is_empty() {
        sqlx::query(schema.sql(GONE_SAVED)).bind(gone).execute(connection).await?;
    }
    Ok(())
}
