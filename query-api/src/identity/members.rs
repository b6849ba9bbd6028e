//! The members of the organisation: the query `members`.
//!
//! Owns the SQL of the list. Every member sees who the others are and in which role; addresses are for administrators, and one's own
//! for oneself.

use async_graphql::{Context, Object, Result, SimpleObject, connection::Connection};
use chrono::{DateTime, Utc};
use docket_log::Position;
use docket_platform::auth::{Role as TokenRole, permissions::Action};
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::{Role, StoredRole};
use crate::{
    graphql::{Asker, Instant, error},
    page::{self, Cursor, Page},
    position::{DIRECTORY, IDENTITY},
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
        #[graphql(desc = "Only those in this group.")] group: Option<Uuid>,
        #[graphql(default_with = "Some(page::DEFAULT_PAGE)", desc = "At most this many, up to 100.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Connection<String, Member>> {
        let asker = Asker::who_may(context, Action::ReadMembers)?;
        let wanted = asker.at_least(at_least.as_deref()).map_err(error::from_read)?;
        let page = Page::new(first, after.as_deref());
        members(asker, Filter { role, group }, page, &wanted).await.map_err(error::from_read)
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

/// Which members are asked for.
#[derive(Debug, Clone, Copy)]
struct Filter {
    role: Option<Role>,
    group: Option<Uuid>,
}

async fn members(
    asker: &Asker,
    filter: Filter,
    page: Result<Page, ReadError>,
    wanted: &Position,
) -> Result<Connection<String, Member>, ReadError> {
    let page = page?;
    let principal = asker.principal;
    if filter.group.is_some() {
        // Who is in the group is another projection's: it has to be as new.
        asker.seen.record(&asker.gate.enter(principal.tenant, DIRECTORY, wanted, None).await?);
    }
    let mut entered = asker.gate.enter(principal.tenant, IDENTITY, wanted, None).await?;
    asker.seen.record(&entered);
    let rows = asker.gate.reads().guard(rows(&mut entered.tx, filter, &page)).await?;
    Ok(page.connection(rows, |row| {
        let tells = principal.role == TokenRole::Admin || principal.id == row.user_id;
        let member = Member {
            id: row.user_id,
            name: row.name,
            email: row.email.filter(|_| tells),
            role: row.role.0.into(),
            since: Instant(row.since),
        };
        (Cursor { at: row.since, id: row.user_id }, member)
    }))
}

async fn rows(connection: &mut PgConnection, filter: Filter, page: &Page) -> Result<Vec<Row>, sqlx::Error> {
    let mut query = QueryBuilder::<Postgres>::new(
        "select m.user_id, m.role, m.since, u.name, u.email
         from read.member m left join read.user u on u.user_id = m.user_id where true",
    );
    if let Some(role) = filter.role {
        query.push(" and m.role = ").push_bind(TokenRole::from(role).as_str());
    }
    if let Some(group) = filter.group {
        query.push(" and m.user_id in (select g.user_id from read.group_member g where g.group_id = ");
        query.push_bind(group).push(")");
    }
    if let Some(cursor) = page.after {
        query.push(" and (m.since, m.user_id) > (").push_bind(cursor.at).push(", ").push_bind(cursor.id).push(")");
    }
    query.push(" order by m.since, m.user_id limit ").push_bind(page.limit());
    query.build_query_as().fetch_all(connection).await
}
