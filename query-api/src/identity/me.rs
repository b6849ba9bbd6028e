//! Who asks: the query `me`.
//!
//! Owns what is shown to people of themselves alone: where else they belong, and how their account stands.

use async_graphql::{Context, Enum, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use docket_events::identity::{Mailing as Told, NotificationPreferencesSet};
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
    /// How the user wants to be told by mail of consultations; null likewise.
    notifications: Option<NotificationPreferences>,
}

/// How somebody is told of one kind of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "Told")]
pub enum Mailing {
    /// As soon as it happens; what comes within a few minutes after a mail goes as one.
    AtOnce,
    /// Once a day, together with the rest.
    Digest,
    /// Not at all.
    None,
}

/// How somebody wants to be told by mail.
#[derive(Debug, Clone, SimpleObject)]
struct NotificationPreferences {
    /// Of what is wanted of one.
    asked: Mailing,
    /// Of what came of what one asked, or had a part in.
    outcome: Mailing,
    /// The time zone of the hours.
    time_zone: String,
    /// The hour of the day at which the digest goes.
    digest_hour: u8,
    /// When nothing goes but what is urgent; null: never.
    quiet_hours: Option<QuietHours>,
}

/// A part of every day, as the clock on the wall shows it. One that ends before it begins goes over midnight.
#[derive(Debug, Clone, SimpleObject)]
struct QuietHours {
    /// From, `HH:MM`.
    from: String,
    /// To, likewise.
    to: String,
}

impl From<NotificationPreferencesSet> for NotificationPreferences {
    fn from(set: NotificationPreferencesSet) -> Self {
        let time = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        Self {
            asked: set.asked.into(),
            outcome: set.outcome.into(),
            time_zone: set.time_zone,
            digest_hour: set.digest_hour,
            quiet_hours: set.quiet_hours.map(|hours| QuietHours { from: time(hours.from), to: time(hours.to) }),
        }
    }
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
        let own = Own {
            organisations: asked("organisations"),
            account: ["secondFactor", "emailVerified", "notifications"].into_iter().any(asked),
        };
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
        second_factor: account.as_ref().map(|account| account.second_factor),
        email_verified: account.as_ref().map(|account| account.verified),
        notifications: account.map(|account| account.notifications()),
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

#[derive(Clone, sqlx::FromRow)]
struct Account {
    verified: bool,
    second_factor: bool,
    notifications: Option<String>,
}

impl Account {
    /// The default where nothing was said, or a newer release said what this one cannot read.
    fn notifications(&self) -> NotificationPreferences {
        let said: Option<NotificationPreferencesSet> =
            self.notifications.as_deref().and_then(|json| serde_json::from_str(json).ok());
        said.unwrap_or_default().into()
    }
}

async fn account(asker: &Asker, wanted: &Position) -> Result<Option<Account>, ReadError> {
    let principal = asker.principal;
    let mut entered = asker.gate.enter(principal.tenant, DIRECTORY, wanted, None).await?;
    asker.seen.record(&entered);
    let read = async {
        read::as_person(&mut entered.tx, principal.id).await?;
        sqlx::query_as(
            "select verified_at is not null as verified, second_factor_at is not null as second_factor, notifications
             from read.account where user_id = $1",
        )
        .bind(principal.id)
        .fetch_optional(&mut *entered.tx)
        .await
    };
    asker.gate.reads().guard(read).await
}
