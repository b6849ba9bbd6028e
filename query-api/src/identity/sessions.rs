//! One's own logins: the query `sessions`.
//!
//! Owns the question which sessions are open, as far as rows tell: not ended, not expired, and begun after sessions were last ended all
//! at once, or kept then.

use async_graphql::{Context, Enum, Object, Result, SimpleObject, connection::Connection};
use chrono::{DateTime, Utc};
use docket_events::identity::LoginMethod as Method;
use docket_log::Position;
use docket_platform::auth::permissions::Action;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::{
    graphql::{Asker, Instant, error},
    page::{self, Cursor, Page},
    position::DIRECTORY,
    read::{self, ReadError, Tx},
};

/// What began a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "Method")]
pub enum LoginMethod {
    /// The password.
    Password,
    /// The password and a second factor.
    PasswordAndSecondFactor,
    /// Another session of the same user, in another organisation.
    Switch,
}

/// A login that goes on.
#[derive(Debug, Clone, SimpleObject)]
pub struct Session {
    /// The session's id.
    id: Uuid,
    /// Whether it is the one that asks.
    current: bool,
    /// What began it.
    method: LoginMethod,
    /// When it began.
    started_at: Instant,
    /// When it was last renewed; null when that is not known.
    last_used_at: Option<Instant>,
    /// When it ends at the latest.
    expires_at: Instant,
    /// Whether one had not been seen with this network address or program before, though with others.
    new_place: bool,
    /// The network address that it came from; null when it is not known, or was erased.
    address: Option<String>,
    /// The program, as it calls itself; null likewise.
    agent: Option<String>,
}

/// The root field of this list.
#[derive(Debug, Default)]
pub struct SessionsQuery;

#[Object]
impl SessionsQuery {
    /// One's own sessions in the organisation that go on, the newest first.
    #[graphql(complexity = "page::cost(first, child_complexity)")]
    async fn sessions(
        &self,
        context: &Context<'_>,
        #[graphql(default_with = "Some(page::DEFAULT_PAGE)", desc = "At most this many, up to 100.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Connection<String, Session>> {
        let asker = Asker::who_may(context, Action::ManageSelf)?;
        let wanted = asker.at_least(at_least.as_deref()).map_err(error::from_read)?;
        let page = Page::new(first, after.as_deref()).map_err(error::from_read)?;
        sessions(asker, &page, &wanted).await.map_err(error::from_read)
    }
}

/// A method as it is stored.
#[derive(Debug, Clone, Copy)]
struct StoredMethod(Method);

/// There is no such method of login.
#[derive(Debug, thiserror::Error)]
#[error("there is no method of login {0:?}")]
struct UnknownMethod(String);

impl TryFrom<String> for StoredMethod {
    type Error = UnknownMethod;

    fn try_from(text: String) -> Result<Self, UnknownMethod> {
        Ok(Self(match text.as_str() {
            "password" => Method::Password,
            "password_and_second_factor" => Method::PasswordAndSecondFactor,
            "switch" => Method::Switch,
            _ => return Err(UnknownMethod(text)),
        }))
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    #[sqlx(try_from = "String")]
    method: StoredMethod,
    started_at: DateTime<Utc>,
    last_used_at: Option<DateTime<Utc>>,
    expires_at: DateTime<Utc>,
    new_place: bool,
    address: Option<String>,
    agent: Option<String>,
}

async fn sessions(asker: &Asker, page: &Page, wanted: &Position) -> Result<Connection<String, Session>, ReadError> {
    let principal = asker.principal;
    let mut entered = asker.gate.enter(principal.tenant, DIRECTORY, wanted, None).await?;
    asker.seen.record(&entered);
    let rows = asker.gate.reads().guard(rows(&mut entered.tx, principal.id, page)).await?;
    Ok(page.connection(rows, |row: Row| {
        let session = Session {
            id: row.id,
            current: principal.session == Some(row.id),
            method: row.method.0.into(),
            started_at: Instant(row.started_at),
            last_used_at: row.last_used_at.map(Instant),
            expires_at: Instant(row.expires_at),
            new_place: row.new_place,
            address: row.address,
            agent: row.agent,
        };
        (Cursor { at: row.started_at, id: row.id }, session)
    }))
}

async fn rows(tx: &mut Tx, user: Uuid, page: &Page) -> Result<Vec<Row>, sqlx::Error> {
    read::as_person(tx, user).await?;
    let mut query = QueryBuilder::<Postgres>::new(
        "select s.id, s.method, s.started_at, used.last_used_at, s.expires_at, s.new_place, s.address, s.agent
         from read.session s
         left join read.account a on a.user_id = s.user_id
         left join auth.session used on used.id = s.id
         where s.ended_at is null and s.expires_at > now()
           and (s.credentials >= coalesce(a.sessions_ended, 0) or s.id = a.session_kept) and s.user_id = ",
    );
    query.push_bind(user);
    if let Some(cursor) = page.after {
        query.push(" and (s.started_at, s.id) < (").push_bind(cursor.at).push(", ").push_bind(cursor.id).push(")");
    }
    query.push(" order by s.started_at desc, s.id desc limit ").push_bind(page.limit());
    query.build_query_as().fetch_all(&mut **tx).await
}
