//! What exists: streams of a tenant that began with an event of a type.

use std::collections::BTreeSet;

use docket_events::Category;
use docket_platform::db;
use sqlx::PgPool;
use uuid::Uuid;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    category: Category,
    /// The type of the event that every stream of this kind begins with.
    first: &'static str,
}

/// Entities, whatever became of them.
pub(crate) const ENTITIES: Kind = Kind { category: Category::Knowledge, first: "docket.knowledge.entity_added.v1" };
/// Articles, whatever became of them.
pub(crate) const ARTICLES: Kind = Kind { category: Category::Feed, first: "docket.feed.article_published.v1" };
/// Consultations.
pub(crate) const CONSULTATIONS: Kind =
    Kind { category: Category::Consultation, first: "docket.consultation.requested.v1" };

// A stream begins with the event that adds it, and never loses it.
const EXIST: &str = "select stream_id from write.journal
     where stream_id = any($1) and stream_version = 1 and tenant = $2 and category = $3 and event_type = $4";

/// Those of `ids` that exist in `tenant`.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn among(
    pool: &PgPool,
    tenant: Uuid,
    kind: Kind,
    ids: &[Uuid],
) -> Result<BTreeSet<Uuid>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let found: Vec<Uuid> = sqlx::query_scalar(EXIST)
        .bind(ids)
        .bind(tenant)
        .bind(kind.category.code())
        .bind(kind.first)
        .fetch_all(&mut *db::acquire(pool).await?)
        .await?;
    Ok(found.into_iter().collect())
}
