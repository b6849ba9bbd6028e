//! What happened to the organisation's people, keys and sessions: the query `auditTrail`, for administrators.
//!
//! Owns the way from filters to rows. The organisation's own events and those of its members' accounts are two lists in the same
//! order; of each no more is read than the page takes.

use async_graphql::{Context, InputObject, Object, Result, SimpleObject, connection::Connection};
use chrono::{DateTime, Utc};
use docket_events::{EventData, identity::IdentityEvent};
use docket_log::Position;
use docket_platform::auth::permissions::Action;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::User;
use crate::{
    graphql::{Asker, Instant, error},
    page::{self, Cursor, Page},
    position::AUDIT,
    read::ReadError,
};

/// Something that happened.
#[derive(Debug, Clone, SimpleObject)]
pub struct AuditEntry {
    /// The event's id.
    id: Uuid,
    /// When it happened.
    at: Instant,
    /// What: session_started, role_changed, api_key_revoked and so on; later releases may add to these.
    #[graphql(name = "type")]
    kind: String,
    /// Who did it; null when it was nobody who had logged in.
    by: Option<User>,
    /// In which session; null when there was none, or not in this organisation.
    session: Option<Uuid>,
    /// The network address that it came from; null when it is not known, or was erased.
    address: Option<String>,
    /// The program, as it calls itself; null likewise.
    agent: Option<String>,
    /// Whom it was done to.
    user: Option<User>,
    /// The API key that it was done to.
    api_key: Option<Uuid>,
    /// The group that it was done to.
    group: Option<Uuid>,
    /// The invitation that it is about.
    invitation: Option<Uuid>,
    /// The session that was ended.
    ended_session: Option<Uuid>,
}

/// Which entries are asked for; all that is given must hold.
#[derive(Debug, Clone, Default, InputObject)]
pub struct AuditFilter {
    /// Of one of these types.
    types: Option<Vec<String>>,
    /// Done to this user, or by them.
    user: Option<Uuid>,
    /// At this instant or later.
    from: Option<Instant>,
    /// Before this instant.
    until: Option<Instant>,
}

/// The root field of this list.
#[derive(Debug, Default)]
pub struct AuditQuery;

#[Object]
impl AuditQuery {
    /// What happened to accounts, members, groups, sessions and keys of the organisation, the newest first. What happened to
    /// somebody's account is shown while they are a member, and who has left is still named. For administrators.
    #[graphql(complexity = "page::cost(first, child_complexity)")]
    async fn audit_trail(
        &self,
        context: &Context<'_>,
        filter: Option<AuditFilter>,
        #[graphql(default_with = "Some(page::DEFAULT_PAGE)", desc = "At most this many, up to 100.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Connection<String, AuditEntry>> {
        let asker = Asker::who_may(context, Action::ReadAudit)?;
        let wanted = asker.at_least(at_least.as_deref()).map_err(error::from_read)?;
        let page = Page::new(first, after.as_deref()).map_err(error::from_read)?;
        let filter = filter.unwrap_or_default();
        trail(asker, &filter, &page, &wanted).await.map_err(error::from_read)
    }
}

/// Every type, as the trail calls it.
fn types() -> impl Iterator<Item = &'static str> {
    IdentityEvent::TYPES.iter().filter_map(|name| name.split('.').nth(2))
}

#[derive(sqlx::FromRow)]
struct Row {
    event_id: Uuid,
    at: DateTime<Utc>,
    kind: String,
    by_id: Option<Uuid>,
    by_name: Option<String>,
    session_id: Option<Uuid>,
    address: Option<String>,
    agent: Option<String>,
    user_id: Option<Uuid>,
    user_name: Option<String>,
    key_id: Option<Uuid>,
    group_id: Option<Uuid>,
    invitation_id: Option<Uuid>,
    ended_session: Option<Uuid>,
}

impl From<Row> for AuditEntry {
    fn from(row: Row) -> Self {
        Self {
            id: row.event_id,
            at: Instant(row.at),
            kind: row.kind,
            by: User::new(row.by_id, row.by_name),
            session: row.session_id,
            address: row.address,
            agent: row.agent,
            user: User::new(row.user_id, row.user_name),
            api_key: row.key_id,
            group: row.group_id,
            invitation: row.invitation_id,
            ended_session: row.ended_session,
        }
    }
}

async fn trail(
    asker: &Asker,
    filter: &AuditFilter,
    page: &Page,
    wanted: &Position,
) -> Result<Connection<String, AuditEntry>, ReadError> {
    if filter.types.iter().flatten().any(|asked| !types().any(|known| known == asked)) {
        let all: Vec<_> = types().collect();
        return Err(ReadError::argument("filter.types", format!("use some of {}.", all.join(", "))));
    }
    let tenant = asker.principal.tenant;
    let mut entered = asker.gate.enter(tenant, AUDIT, wanted, None).await?;
    asker.seen.record(&entered);
    let rows = asker.gate.reads().guard(rows(&mut entered.tx, tenant, filter, page)).await?;
    Ok(page.connection(rows, |row: Row| (Cursor { at: row.at, id: row.event_id }, row.into())))
}

async fn rows(
    connection: &mut PgConnection,
    tenant: Uuid,
    filter: &AuditFilter,
    page: &Page,
) -> Result<Vec<Row>, sqlx::Error> {
    let mut query = QueryBuilder::<Postgres>::new(
        "select e.event_id, e.at, e.kind, e.by_id, b.name as by_name, s.id as session_id, coalesce(e.address, s.address) as address,
                s.agent, e.user_id, u.name as user_name, e.key_id, e.group_id, e.invitation_id, e.ended_session
         from ((select a.* from read.audit a where a.tenant = ",
    );
    query.push_bind(tenant);
    if let Some(user) = filter.user {
        query.push(" and (a.user_id = ").push_bind(user).push(" or a.by_id = ").push_bind(user).push(")");
    }
    push_page(&mut query, filter, page);
    // Accounts belong to no tenant: whose are shown is the members' list to say, and the policy's.
    query.push(
        ") union all (select a.* from read.audit_member m cross join lateral (select a.* from read.audit a
             where a.tenant = '00000000-0000-0000-0000-000000000000' and a.user_id = m.user_id
               and (m.until is null or a.at <= m.until)",
    );
    push_page(&mut query, filter, page);
    query.push(") a where m.tenant = ").push_bind(tenant);
    if let Some(user) = filter.user {
        query.push(" and m.user_id = ").push_bind(user);
    }
    query.push(
        ")) e
         left join read.session s on s.id = e.session_id
         left join read.audit_person b on b.user_id = e.by_id
         left join read.audit_person u on u.user_id = e.user_id
         order by e.at desc, e.event_id desc limit ",
    );
    query.push_bind(page.limit());
    query.build_query_as().fetch_all(connection).await
}

/// What holds for both lists, and their order.
fn push_page(query: &mut QueryBuilder<Postgres>, filter: &AuditFilter, page: &Page) {
    if let Some(types) = &filter.types {
        query.push(" and a.kind = any(").push_bind(types.clone()).push(")");
    }
    if let Some(from) = filter.from {
        query.push(" and a.at >= ").push_bind(from.0);
    }
    if let Some(until) = filter.until {
        query.push(" and a.at < ").push_bind(until.0);
    }
    if let Some(cursor) = page.after {
        query.push(" and (a.at, a.event_id) < (").push_bind(cursor.at).push(", ").push_bind(cursor.id).push(")");
    }
    query.push(" order by a.at desc, a.event_id desc limit ").push_bind(page.limit());
}
