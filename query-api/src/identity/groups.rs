//! Groups of members who can be addressed together: the query `groups`.

use std::collections::HashMap;

use async_graphql::{
    ComplexObject, Context, Object, Result, SimpleObject,
    connection::Connection,
    dataloader::{DataLoader, Loader},
};
use chrono::{DateTime, Utc};
use docket_log::Position;
use docket_platform::{Problem, auth::permissions::Action};
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use crate::{
    graphql::{Asker, Instant, error},
    page::{self, Cursor, LARGEST_PAGE, Page},
    position::DIRECTORY,
    read::{ReadError, Reads},
};

/// Members who can be addressed together.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub struct Group {
    /// The group's id.
    id: Uuid,
    /// Its name, which no other group of the organisation has.
    name: String,
    /// When it was made.
    created_at: Instant,
    /// How many belong to it.
    member_count: i64,
}

#[ComplexObject]
impl Group {
    /// Who belongs to it, the longest first. The query `members` with the argument `group` gives all of a large one.
    #[graphql(complexity = "page::cost(Some(limit), child_complexity)")]
    async fn members(
        &self,
        context: &Context<'_>,
        #[graphql(default = 20, desc = "At most this many, up to 100.")] limit: i32,
    ) -> Result<Vec<GroupMember>> {
        let limit = page::limit(limit).map_err(error::from_read)?;
        let loader = context.data::<DataLoader<GroupMembers>>()?;
        let members = loader.load_one(self.id).await.map_err(|problem| error::from_problem(&problem))?;
        Ok(members.unwrap_or_default().into_iter().take(limit).collect())
    }
}

/// Somebody who belongs to a group.
#[derive(Debug, Clone, SimpleObject)]
pub struct GroupMember {
    /// The user's id.
    id: Uuid,
    /// The user's name; null when it was erased, or as long as the read model has not heard of the user.
    name: Option<String>,
    /// Since when the user belongs to the group.
    since: Instant,
}

/// The root field of this list.
#[derive(Debug, Default)]
pub struct GroupsQuery;

#[Object]
impl GroupsQuery {
    /// The organisation's groups, the oldest first.
    #[graphql(complexity = "page::cost(first, child_complexity)")]
    async fn groups(
        &self,
        context: &Context<'_>,
        #[graphql(default_with = "Some(page::DEFAULT_PAGE)", desc = "At most this many, up to 100.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Connection<String, Group>> {
        let asker = Asker::who_may(context, Action::ReadMembers)?;
        let wanted = asker.at_least(at_least.as_deref()).map_err(error::from_read)?;
        let page = Page::new(first, after.as_deref()).map_err(error::from_read)?;
        groups(asker, &page, &wanted).await.map_err(error::from_read)
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    group_id: Uuid,
    name: String,
    created_at: DateTime<Utc>,
    member_count: i64,
}

async fn groups(asker: &Asker, page: &Page, wanted: &Position) -> Result<Connection<String, Group>, ReadError> {
    let mut entered = asker.gate.enter(asker.principal.tenant, DIRECTORY, wanted, None).await?;
    asker.seen.record(&entered);
    let rows = asker.gate.reads().guard(rows(&mut entered.tx, page)).await?;
    Ok(page.connection(rows, |row: Row| {
        let cursor = Cursor { at: row.created_at, id: row.group_id };
        let (created_at, member_count) = (Instant(row.created_at), row.member_count);
        (cursor, Group { id: row.group_id, name: row.name, created_at, member_count })
    }))
}

async fn rows(connection: &mut PgConnection, page: &Page) -> Result<Vec<Row>, sqlx::Error> {
    let mut query = QueryBuilder::<Postgres>::new(
        "select g.group_id, g.name, g.created_at,
                (select count(*) from read.group_member m where m.tenant = g.tenant and m.group_id = g.group_id) as member_count
         from read.group g where true",
    );
    if let Some(cursor) = page.after {
        query
            .push(" and (g.created_at, g.group_id) > (")
            .push_bind(cursor.at)
            .push(", ")
            .push_bind(cursor.id)
            .push(")");
    }
    query.push(" order by g.created_at, g.group_id limit ").push_bind(page.limit());
    query.build_query_as().fetch_all(connection).await
}

/// Loads the members of many groups at once, as one tenant: of each the first [`LARGEST_PAGE`].
pub struct GroupMembers {
    reads: Reads,
    tenant: Uuid,
}

impl GroupMembers {
    /// Members that `tenant` may see.
    pub fn new(reads: Reads, tenant: Uuid) -> Self {
        Self { reads, tenant }
    }
}

#[derive(sqlx::FromRow)]
struct MemberRow {
    group_id: Uuid,
    user_id: Uuid,
    name: Option<String>,
    since: DateTime<Utc>,
}

impl Loader<Uuid> for GroupMembers {
    type Value = Vec<GroupMember>;
    type Error = Problem;

    async fn load(&self, groups: &[Uuid]) -> Result<HashMap<Uuid, Self::Value>, Problem> {
        let read = async {
            let mut tx = self.reads.begin(self.tenant).await?;
            sqlx::query_as::<_, MemberRow>(
                "select m.group_id, m.user_id, u.name, m.since
                 from unnest($1::uuid[]) as asked (id)
                 cross join lateral (select * from read.group_member g where g.group_id = asked.id
                                     order by g.since, g.user_id limit $2) m
                 left join read.user u on u.user_id = m.user_id
                 order by m.group_id, m.since, m.user_id",
            )
            .bind(groups)
            .bind(i64::from(LARGEST_PAGE))
            .fetch_all(&mut *tx)
            .await
        };
        let mut members: HashMap<Uuid, Vec<GroupMember>> = HashMap::new();
        for row in self.reads.guard(read).await? {
            let member = GroupMember { id: row.user_id, name: row.name, since: Instant(row.since) };
            members.entry(row.group_id).or_default().push(member);
        }
        Ok(members)
    }
}
