//! Rows of articles: by id, by age, and by what they are about.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Article;
use crate::page::Cursor;

/// A row of `article`; the body where it was asked for.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct ArticleRow {
    pub(super) id: Uuid,
    pub(super) version: i64,
    pub(super) title: String,
    pub(super) summary: String,
    #[sqlx(default)]
    pub(super) body: Option<String>,
    pub(super) content_type: String,
    pub(super) quality: f64,
    pub(super) relevance: f64,
    pub(super) topics: Vec<String>,
    pub(super) entities: Vec<Uuid>,
    pub(super) source_url: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) published_at: DateTime<Utc>,
    pub(super) added_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
    pub(super) retracted: Option<String>,
}

/// `select` of everything but the body, which can be long.
macro_rules! articles {
    ($rest:literal) => {
        concat!(
            "select id, version, title, summary, content_type, quality, relevance, topics, entities, source_url, external_id,
                    published_at, added_at, updated_at, retracted ",
            $rest
        )
    };
}

/// An article with its body, whether it stands or not.
pub(super) async fn whole(connection: &mut PgConnection, id: Uuid) -> Result<Option<Article>, sqlx::Error> {
    let row: Option<ArticleRow> =
        sqlx::query_as(articles!(", body from read.article where id = $1")).bind(id).fetch_optional(connection).await?;
    Ok(row.map(Article::from))
}

/// The articles with these ids, whether they stand or not, without their bodies.
pub(super) async fn by_ids(connection: &mut PgConnection, ids: &[Uuid]) -> Result<HashMap<Uuid, Article>, sqlx::Error> {
    let rows: Vec<ArticleRow> =
        sqlx::query_as(articles!("from read.article where id = any($1)")).bind(ids).fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.into())).collect())
}

/// The texts of the articles with these ids.
pub(super) async fn bodies(connection: &mut PgConnection, ids: &[Uuid]) -> Result<HashMap<Uuid, String>, sqlx::Error> {
    let sql = "select id, body from read.article where id = any($1)";
    let rows: Vec<(Uuid, String)> = sqlx::query_as(sql).bind(ids).fetch_all(connection).await?;
    Ok(rows.into_iter().collect())
}

/// Articles of a tenant that stand, the last published first; about one of `topics`, if any are given.
pub(super) async fn newest(
    connection: &mut PgConnection,
    tenant: Uuid,
    topics: Option<&[String]>,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<ArticleRow>, sqlx::Error> {
    sqlx::query_as(articles!(
        "from read.article
         where tenant = $1 and retracted is null and ($2::text[] is null or topics && $2)
           and ($3::timestamptz is null or (published_at, id) < ($3, $4))
         order by published_at desc, id desc limit $5"
    ))
    .bind(tenant)
    .bind(topics)
    .bind(after.map(|cursor| cursor.at))
    .bind(after.map(|cursor| cursor.id))
    .bind(limit)
    .fetch_all(connection)
    .await
}

/// Articles of a tenant that stand and are about any of these entities, the last published first.
pub(crate) async fn about(
    connection: &mut PgConnection,
    tenant: Uuid,
    entities: &[Uuid],
    limit: i64,
) -> Result<Vec<Article>, sqlx::Error> {
    let ids: Vec<Uuid> = sqlx::query_scalar("select id from read.articles_about($1, $2, $3)")
        .bind(tenant)
        .bind(entities)
        .bind(limit)
        .fetch_all(&mut *connection)
        .await?;
    let mut articles = by_ids(connection, &ids).await?;
    Ok(ids.iter().filter_map(|id| articles.remove(id)).collect())
}
