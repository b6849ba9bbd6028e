//! Invitations that wait to be accepted: the query `invitations`, for administrators.

use async_graphql::{Context, Object, Result, SimpleObject, connection::Connection};
use chrono::{DateTime, Utc};
use docket_log::Position;
use docket_platform::auth::permissions::Action;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::{Role, StoredRole, User};
use crate::{
    graphql::{Asker, Instant, error},
    page::{self, Cursor, Page},
    position::DIRECTORY,
    read::ReadError,
};

/// An invitation that waits.
#[derive(Debug, Clone, SimpleObject)]
pub struct Invitation {
    /// The invitation's id.
    id: Uuid,
    /// Where it was mailed to; null when that was erased.
    email: Option<String>,
    /// What the invited is to do.
    role: Role,
    /// Who invited; null when it was nobody who had logged in.
    invited_by: Option<User>,
    /// When.
    invited_at: Instant,
    /// Until when it can be accepted.
    expires_at: Instant,
}

/// The root field of this list.
#[derive(Debug, Default)]
pub struct InvitationsQuery;

#[Object]
impl InvitationsQuery {
    /// Invitations that can be accepted, the newest first. For administrators.
    #[graphql(complexity = "page::cost(first, child_complexity)")]
    async fn invitations(
        &self,
        context: &Context<'_>,
        #[graphql(default_with = "Some(page::DEFAULT_PAGE)", desc = "At most this many, up to 100.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Connection<String, Invitation>> {
        let asker = Asker::who_may(context, Action::ManageMembers)?;
        let wanted = asker.at_least(at_least.as_deref()).map_err(error::from_read)?;
        let page = Page::new(first, after.as_deref()).map_err(error::from_read)?;
        invitations(asker, &page, &wanted).await.map_err(error::from_read)
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    invitation_id: Uuid,
    email: Option<String>,
    #[sqlx(try_from = "String")]
    role: StoredRole,
    invited_by: Option<Uuid>,
    invited_by_name: Option<String>,
    invited_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

impl From<Row> for Invitation {
    fn from(row: Row) -> Self {
        Self {
            id: row.invitation_id,
            email: row.email,
            role: row.role.0.into(),
            invited_by: User::new(row.invited_by, row.invited_by_name),
            invited_at: Instant(row.invited_at),
            expires_at: Instant(row.expires_at),
        }
    }
}

async fn invitations(
    asker: &Asker,
    page: &Page,
    wanted: &Position,
) -> Result<Connection<String, Invitation>, ReadError> {
    let mut entered = asker.gate.enter(asker.principal.tenant, DIRECTORY, wanted, None).await?;
    asker.seen.record(&entered);
    let rows = asker.gate.reads().guard(rows(&mut entered.tx, page)).await?;
    Ok(page.connection(rows, |row: Row| (Cursor { at: row.invited_at, id: row.invitation_id }, row.into())))
}

async fn rows(connection: &mut PgConnection, page: &Page) -> Result<Vec<Row>, sqlx::Error> {
    let mut query = QueryBuilder::<Postgres>::new(
        "select i.invitation_id, i.email, i.role, i.invited_by, u.name as invited_by_name, i.invited_at, i.expires_at
         from read.invitation i left join read.user u on u.user_id = i.invited_by where i.expires_at > now()",
    );
    if let Some(cursor) = page.after {
        query.push(" and (i.invited_at, i.invitation_id) < (");
        query.push_bind(cursor.at).push(", ").push_bind(cursor.id).push(")");
    }
    query.push(" order by i.invited_at desc, i.invitation_id desc limit ").push_bind(page.limit());
    query.build_query_as().fetch_all(connection).await
}
