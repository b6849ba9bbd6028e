//! Articles that a text finds. Owns what may be looked for, and the cursor: a place is a number here, because a rank is none that lasts.

use async_graphql::SimpleObject;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Article, highlight, rows, topics};
use crate::{page::no_cursor, read::ReadError};

const MAX_TEXT_CHARS: usize = 200;
/// So many are found, and no more: whoever has not found it by then asks for something else.
const MAX_FOUND: u32 = 1_000;
/// The first byte of every cursor.
const FORMAT: u8 = 3;

/// An article that was found.
#[derive(Debug, Clone, Serialize, SimpleObject, ToSchema)]
pub struct ArticleFound {
    /// The article.
    pub(super) article: Article,
    /// Its title as HTML: escaped, with `<mark>` … `</mark>` around what was found.
    pub(super) title_marked: String,
    /// What stands around what was found in its summary and body, likewise; parts are separated by ` … `.
    pub(super) excerpt: String,
}

/// A text to look for, without the blanks around it.
pub(super) fn text(text: &str) -> Result<&str, ReadError> {
    let text = text.trim();
    if (1..=MAX_TEXT_CHARS).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        return Ok(text);
    }
    let detail = format!("use 1 to {MAX_TEXT_CHARS} characters, none of them control characters.");
    Err(ReadError::argument("text", detail))
}

/// What `after` is behind the first `count` that were found.
fn encode(count: u32) -> String {
    let mut bytes = vec![FORMAT];
    bytes.extend(count.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// How many come before what a cursor asks for.
pub(super) fn offset(after: Option<&str>) -> Result<u32, ReadError> {
    let Some(text) = after else { return Ok(0) };
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (&format, count) = bytes.split_first()?;
        let count = u32::from_be_bytes(count.try_into().ok()?);
        (format == FORMAT && count <= MAX_FOUND).then_some(count)
    };
    read().ok_or_else(no_cursor)
}

/// Articles of a tenant that `text` finds behind the first `offset`, at most `limit`, the best first; and where the next page begins.
pub(super) async fn find(
    connection: &mut PgConnection,
    tenant: Uuid,
    text: &str,
    topic: Option<&str>,
    (offset, limit): (u32, usize),
) -> Result<(Vec<ArticleFound>, Option<String>), sqlx::Error> {
    let topics = topics::within(connection, tenant, topic).await?;
    let left = usize::try_from(MAX_FOUND - offset.min(MAX_FOUND)).unwrap_or(0);
    let limit = limit.min(left);
    let mut found: Vec<(Uuid, String, String)> =
        sqlx::query_as("select id, title_marked, excerpt from read.find_articles($1, $2, $3, $4, $5)")
            .bind(tenant)
            .bind(text)
            .bind(topics)
            .bind(i64::try_from(limit + 1).unwrap_or(i64::MAX))
            .bind(i64::from(offset))
            .fetch_all(&mut *connection)
            .await?;
    let more = found.len() > limit && limit < left;
    found.truncate(limit);
    let ids: Vec<Uuid> = found.iter().map(|(id, ..)| *id).collect();
    let mut articles = rows::by_ids(connection, &ids).await?;
    let found = found.into_iter().filter_map(|(id, title, excerpt)| {
        let (title_marked, excerpt) = (highlight::html(&title), highlight::html(&excerpt));
        Some(ArticleFound { article: articles.remove(&id)?, title_marked, excerpt })
    });
    let next = more.then(|| encode(offset + u32::try_from(limit).unwrap_or(MAX_FOUND)));
    Ok((found.collect(), next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_and_nothing_else_does() {
        assert_eq!(offset(Some(&encode(40))).unwrap(), 40);
        assert_eq!(offset(None).unwrap(), 0);
        for wrong in ["", "AQ", "!", &encode(1_001), &URL_SAFE_NO_PAD.encode([1, 0, 0, 0, 1])] {
            assert!(offset(Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_looked_for_is_refused() {
        assert_eq!(text(" two words ").unwrap(), "two words");
        for wrong in ["", " \n ", "a\u{7}", &"x".repeat(201)] {
            assert!(text(wrong).is_err(), "{wrong}");
        }
    }
}
