//! What software comes in with: the query `apiKeys`, for administrators. No secret is among it.

use async_graphql::{Context, Object, Result, SimpleObject, connection::Connection};
use chrono::{DateTime, Utc};
use docket_log::Position;
use docket_platform::auth::permissions::Action;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::User;
use crate::{
    graphql::{Asker, Instant, error},
    page::{self, Cursor, Page},
    position::DIRECTORY,
    read::ReadError,
};

/// An API key.
#[derive(Debug, Clone, SimpleObject)]
pub struct ApiKey {
    /// The key's id.
    id: Uuid,
    /// What it is for.
    name: String,
    /// What may be done with it, as `consultation:ask`.
    scopes: Vec<String>,
    /// Who made it.
    created_by: Option<User>,
    /// When.
    created_at: Instant,
    /// When it ends; null: never.
    expires_at: Option<Instant>,
    /// When its secret was last replaced; null: never.
    rotated_at: Option<Instant>,
    /// Until when the secret before the present one works; null: there was none.
    old_secret_until: Option<Instant>,
    /// When it was ended; null: it was not.
    revoked_at: Option<Instant>,
    /// When somebody last came in with it, to the minute or so; null: nobody did.
    last_used_at: Option<Instant>,
}

/// The root field of this list.
#[derive(Debug, Default)]
pub struct ApiKeysQuery;

#[Object]
impl ApiKeysQuery {
    /// The organisation's API keys, also those that have ended, the newest first. For administrators.
    #[graphql(complexity = "page::cost(first, child_complexity)")]
    async fn api_keys(
        &self,
        context: &Context<'_>,
        #[graphql(default_with = "Some(page::DEFAULT_PAGE)", desc = "At most this many, up to 100.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Connection<String, ApiKey>> {
        let asker = Asker::who_may(context, Action::ManageKeys)?;
        let wanted = asker.at_least(at_least.as_deref()).map_err(error::from_read)?;
        let page = Page::new(first, after.as_deref()).map_err(error::from_read)?;
        api_keys(asker, &page, &wanted).await.map_err(error::from_read)
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    scopes: Vec<String>,
    created_by: Uuid,
    created_by_name: Option<String>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    rotated_at: Option<DateTime<Utc>>,
    old_until: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
}

impl From<Row> for ApiKey {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            name: row.name,
            scopes: row.scopes,
            created_by: User::new(Some(row.created_by), row.created_by_name),
            created_at: Instant(row.created_at),
            expires_at: row.expires_at.map(Instant),
            rotated_at: row.rotated_at.map(Instant),
            old_secret_until: row.old_until.map(Instant),
            revoked_at: row.revoked_at.map(Instant),
            last_used_at: row.last_used_at.map(Instant),
        }
    }
}

async fn api_keys(asker: &Asker, page: &Page, wanted: &Position) -> Result<Connection<String, ApiKey>, ReadError> {
    let mut entered = asker.gate.enter(asker.principal.tenant, DIRECTORY, wanted, None).await?;
    asker.seen.record(&entered);
    let rows = asker.gate.reads().guard(rows(&mut entered.tx, page)).await?;
    Ok(page.connection(rows, |row: Row| (Cursor { at: row.created_at, id: row.id }, row.into())))
}

async fn rows(connection: &mut PgConnection, page: &Page) -> Result<Vec<Row>, sqlx::Error> {
    let mut query = QueryBuilder::<Postgres>::new(
        "select k.id, k.name, k.scopes, k.created_by, u.name as created_by_name, k.created_at, k.expires_at, k.rotated_at,
                k.old_until, k.revoked_at, used.last_used_at
         from read.api_key k
         left join read.user u on u.user_id = k.created_by
         left join auth.api_key_use used on used.key_id = k.id where true",
    );
    if let Some(cursor) = page.after {
        query.push(" and (k.created_at, k.id) < (").push_bind(cursor.at).push(", ").push_bind(cursor.id).push(")");
    }
    query.push(" order by k.created_at desc, k.id desc limit ").push_bind(page.limit());
    query.build_query_as().fetch_all(connection).await
}
