//! What a reader keeps: preferences for topics, and saved articles.

use std::collections::BTreeMap;

use async_graphql::SimpleObject;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Article, rows};
use crate::{graphql::Instant, page::Cursor};

/// How much a reader cares for topics.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[schema(as = ReadTopicPreferences)]
pub struct Preferences {
    /// The version, which is its `ETag`; 0: nothing was ever said.
    pub(super) version: u64,
    /// How much, from 0 to 1, by topic.
    pub(super) topics: BTreeMap<String, f64>,
    /// When it was last said; null: never.
    pub(super) set_at: Option<DateTime<Utc>>,
}

/// What `reader`, a user of a tenant, prefers.
pub(super) async fn preferences(
    connection: &mut PgConnection,
    (tenant, user): (Uuid, Uuid),
) -> Result<Preferences, sqlx::Error> {
    let sql = "select version, topics, set_at from read.preference where tenant = $1 and user_id = $2";
    let row: Option<(i64, String, DateTime<Utc>)> =
        sqlx::query_as(sql).bind(tenant).bind(user).fetch_optional(connection).await?;
    let Some((version, topics, set_at)) = row else { return Ok(Preferences::default()) };
    let topics = serde_json::from_str(&topics).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Preferences { version: version.unsigned_abs(), topics, set_at: Some(set_at) })
}

/// An article that a reader keeps at hand.
#[derive(Debug, Clone, Serialize, SimpleObject, ToSchema)]
#[schema(as = ReadSavedArticle)]
pub struct SavedArticle {
    /// The article's id.
    article_id: Uuid,
    /// What the reader noted.
    note: Option<String>,
    /// When it was saved, or the note last changed.
    #[schema(value_type = DateTime<Utc>)]
    saved_at: Instant,
    /// The article, which `retracted` says of whether it stands still; null as long as the read model has not heard of it.
    article: Option<Article>,
}

impl SavedArticle {
    pub(super) fn place(&self) -> Cursor {
        Cursor { at: self.saved_at.0, id: self.article_id }
    }
}

/// What `reader` saved, the last saved first.
pub(super) async fn saved(
    connection: &mut PgConnection,
    (tenant, user): (Uuid, Uuid),
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<SavedArticle>, sqlx::Error> {
    let rows: Vec<(Uuid, Option<String>, DateTime<Utc>)> = sqlx::query_as(
        "select article_id, note, saved_at from read.saved
         where tenant = $1 and user_id = $2 and ($3::timestamptz is null or (saved_at, article_id) < ($3, $4))
         order by saved_at desc, article_id desc limit $5",
    )
    .bind(tenant)
    .bind(user)
    .bind(after.map(|cursor| cursor.at))
    .bind(after.map(|cursor| cursor.id))
    .bind(limit)
    .fetch_all(&mut *connection)
    .await?;
    let ids: Vec<Uuid> = rows.iter().map(|(id, ..)| *id).collect();
    let mut articles = rows::by_ids(connection, &ids).await?;
    let saved = rows.into_iter().map(|(article_id, note, saved_at)| SavedArticle {
        article: articles.remove(&article_id),
        article_id,
        note,
        saved_at: Instant(saved_at),
    });
    Ok(saved.collect())
}
