//! The members of the organisation: the query `members`.
//!
//! Owns the SQL of the list. Every member sees who the others are and in which role; addresses are for administrators, and one's own
//! for oneself.

use async_graphql::{
    Context, Object, Result, SimpleObject,
    connection::{Connection, Edge},
};
use chrono::{DateTime, Utc};
use docket_log::Position;
use docket_platform::auth::{Role as TokenRole, UnknownRole, permissions::Action};
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::Role;
use crate::{
    graphql::{Asker, Instant, error},
    page::{self, Cursor},
    position::IDENTITY,
    read::ReadError,
};

/// Somebody who belongs to the organisation.
#[derive(Debug, Clone, SimpleObject)]
pub struct Member {
    /// The user's id.
    id: Uuid,
    /// The user's name; null when it was erased, or as long as the read model has not heard of the user.
    name: Option<String>,
    /// The user's address, for administrators and the user; null for others, and likewise.
    email: Option<String>,
    /// What the user may do in the organisation.
    role: Role,
    /// Since when the user belongs to it, in this role.
    since: Instant,
}

/// The root field of this list.
#[derive(Debug, Default)]
pub struct MembersQuery;

#[Object]
impl MembersQuery {
    /// Who belongs to the organisation, the longest members first.
    #[graphql(complexity = "page::cost(first, child_complexity)")]
    async fn members(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Only those in this role.")] role: Option<Role>,
        #[graphql(default_with = "Some(page::DEFAULT_PAGE)", desc = "At most this many, up to 100.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Connection<String, Member>> {
        let asker = Asker::who_may(context, Action::ReadMembers)?;
        let wanted = asker.at_least(at_least.as_deref()).map_err(error::from_read)?;
        members(asker, role, first, after.as_deref(), &wanted).await.map_err(error::from_read)
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    user_id: Uuid,
    #[sqlx(try_from = "String")]
    role: StoredRole,
    since: DateTime<Utc>,
    name: Option<String>,
    email: Option<String>,
}

/// A role as it is stored.
#[derive(Debug, Clone, Copy)]
struct StoredRole(TokenRole);

impl TryFrom<String> for StoredRole {
    type Error = UnknownRole;

    fn try_from(text: String) -> Result<Self, UnknownRole> {
        text.parse().map(Self)
    }
}

async fn members(
    asker: &Asker,
    role: Option<Role>,
    first: Option<i32>,
    after: Option<&str>,
    wanted: &Position,
) -> Result<Connection<String, Member>, ReadError> {
    let size = page::size(first)?;
    let after = after.map(Cursor::decode).transpose()?;
    let principal = asker.principal;
    let mut entered = asker.gate.enter(principal.tenant, IDENTITY, wanted, None).await?;
    asker.seen.record(&entered);
    // One more than asked for tells whether there is more.
    let limit = i64::try_from(size + 1).unwrap_or(i64::MAX);
    let role = role.map(|role| TokenRole::from(role).as_str());
    let mut rows = asker.gate.reads().guard(rows(&mut entered.tx, role, after, limit)).await?;
    let more = rows.len() > size;
    rows.truncate(size);
    let mut connection = Connection::new(after.is_some(), more);
    for row in rows {
        let cursor = Cursor { at: row.since, id: row.user_id }.encode();
        let tells = principal.role == TokenRole::Admin || principal.id == row.user_id;
        let member = Member {
            id: row.user_id,
            name: row.name,
            email: row.email.filter(|_| tells),
            role: row.role.0.into(),
            since: Instant(row.since),
        };
        connection.edges.push(Edge::new(cursor, member));
    }
    Ok(connection)
}

async fn rows(
    connection: &mut PgConnection,
    role: Option<&'static str>,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<Row>, sqlx::Error> {
    let mut query = QueryBuilder::<Postgres>::new(
        "select m.user_id, m.role, m.since, u.name, u.email
         from read.member m left join read.user u on u.user_id = m.user_id where true",
    );
    if let Some(role) = role {
        query.push(" and m.role = ").push_bind(role);
    }
    if let Some(cursor) = after {
        query.push(" and (m.since, m.user_id) > (").push_bind(cursor.at).push(", ").push_bind(cursor.id).push(")");
    }
    query.push(" order by m.since, m.user_id limit ").push_bind(limit);
    query.build_query_as().fetch_all(connection).await
}
