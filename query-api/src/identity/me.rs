//! Who asks: the query `me`.
//!
//! Owns what is shown to people of themselves alone: where else they belong, and how their account stands.

use async_graphql::{Context, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use docket_log::Position;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Organisation, Role, StoredRole, organisation};
use crate::{
    graphql::{Asker, Instant, error},
    position::{DIRECTORY, IDENTITY},
    read::{self, ReadError},
};

/// The most organisations of one person that are shown.
const MOST: i64 = 100;

/// Who asks.
#[derive(Debug, Clone, SimpleObject)]
pub struct Me {
    /// The user's id, or the API key's.
    id: Uuid,
    /// The user's name; null for API keys, when it was erased, or as long as the read model has not heard of the user.
    name: Option<String>,
    /// The user's address, likewise.
    email: Option<String>,
    /// The user's role in the organisation. An API key has the least that asking takes; what it may do is said by its scopes.
    role: Role,
    /// The organisation that the token names.
    organisation: Organisation,
    /// Every organisation that the user belongs to, the longest first; up to 100. None for API keys.
    organisations: Vec<Membership>,
    /// Whether a login takes a second factor; null for API keys, or as long as the read model has not heard of the user.
    second_factor: Option<bool>,
    /// Whether the user has shown that the address is theirs; null likewise.
    email_verified: Option<bool>,
}

/// An organisation that one belongs to.
#[derive(Debug, Clone, SimpleObject)]
struct Membership {
    /// The organisation.
    organisation: Organisation,
    /// What one may do there.
    role: Role,
    /// Since when, in this role.
    since: Instant,
}

/// The root field `me`.
#[derive(Debug, Default)]
pub struct MeQuery;

#[Object]
impl MeQuery {
    /// Who asks.
    async fn me(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Me> {
        let asker = Asker::of(context)?;
        let wanted = asker.at_least(at_least.as_deref()).map_err(error::from_read)?;
        let asked = |field| context.look_ahead().field(field).exists();
        let own =
            Own { organisations: asked("organisations"), account: asked("secondFactor") || asked("emailVerified") };
        me(asker, own, &wanted).await.map_err(error::from_read)
    }
}

/// What is read only where it is asked for.
#[derive(Debug, Clone, Copy)]
struct Own {
    organisations: bool,
    account: bool,
}

async fn me(asker: &Asker, own: Own, wanted: &Position) -> Result<Me, ReadError> {
    let principal = asker.principal;
    let is_person = principal.scopes.is_none();
    let mut entered = asker.gate.enter(principal.tenant, IDENTITY, wanted, None).await?;
    asker.seen.record(&entered);
    let (user, organisation, organisations) = asker
        .gate
        .reads()
        .guard(async {
            let tx = &mut entered.tx;
            let user = if is_person { user(tx, principal.id).await? } else { None };
            let organisation = organisation(tx, principal.tenant).await?;
            if !is_person || !own.organisations {
                return Ok((user, organisation, Vec::new()));
            }
            // Last: from here on rows of other organisations are seen.
            read::as_person(tx, principal.id).await?;
            Ok((user, organisation, memberships(tx, principal.id).await?))
        })
        .await?;
    drop(entered);
    let account = if is_person && own.account { account(asker, wanted).await? } else { None };
    let (name, email) = user.unwrap_or_default();
    Ok(Me {
        id: principal.id,
        name,
        email,
        role: principal.role.into(),
        organisation: Organisation { id: principal.tenant, name: organisation },
        organisations,
        second_factor: account.map(|account| account.second_factor),
        email_verified: account.map(|account| account.verified),
    })
}

type NameAndAddress = (Option<String>, Option<String>);

async fn user(connection: &mut PgConnection, id: Uuid) -> Result<Option<NameAndAddress>, sqlx::Error> {
    sqlx::query_as("select name, email from read.user where user_id = $1").bind(id).fetch_optional(connection).await
}

#[derive(sqlx::FromRow)]
struct MembershipRow {
    tenant: Uuid,
    name: Option<String>,
    #[sqlx(try_from = "String")]
    role: StoredRole,
    since: DateTime<Utc>,
}

async fn memberships(connection: &mut PgConnection, user: Uuid) -> Result<Vec<Membership>, sqlx::Error> {
    let rows: Vec<MembershipRow> = sqlx::query_as(
        "select m.tenant, o.name, m.role, m.since
         from read.member m left join read.organisation o on o.id = m.tenant
         where m.user_id = $1 order by m.since, m.tenant limit $2",
    )
    .bind(user)
    .bind(MOST)
    .fetch_all(connection)
    .await?;
    let membership = |row: MembershipRow| Membership {
        organisation: Organisation { id: row.tenant, name: row.name },
        role: row.role.0.into(),
        since: Instant(row.since),
    };
    Ok(rows.into_iter().map(membership).collect())
}

#[derive(Clone, Copy, sqlx::FromRow)]
struct Account {
    verified: bool,
    second_factor: bool,
}

async fn account(asker: &Asker, wanted: &Position) -> Result<Option<Account>, ReadError> {
    let principal = asker.principal;
    let mut entered = asker.gate.enter(principal.tenant, DIRECTORY, wanted, None).await?;
    asker.seen.record(&entered);
    let read = async {
        read::as_person(&mut entered.tx, principal.id).await?;
        sqlx::query_as(
            "select verified_at is not null as verified, second_factor_at is not null as second_factor
             from read.account where user_id = $1",
        )
        .bind(principal.id)
        .fetch_optional(&mut *entered.tx)
        .await
    };
    asker.gate.reads().guard(read).await
}
