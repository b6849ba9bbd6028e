//! Who asks, for which organisation, and who belongs to it: the queries `me` and `members`.
//!
//! Owns the SQL over the rows of people and organisations. The role is the token's: it is what counts now.

mod members;

use async_graphql::{Context, Object, Result, SimpleObject};
use docket_log::Position;
use docket_platform::auth::Role as TokenRole;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    graphql::{Asker, error},
    position::IDENTITY,
    read::ReadError,
};

pub use members::MembersQuery;

/// What a member of an organisation may do there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, async_graphql::Enum)]
#[graphql(remote = "TokenRole")]
pub enum Role {
    /// Everything within the organisation.
    Admin,
    /// Answers consultations.
    Reviewer,
    /// Asks for decisions.
    Requester,
    /// Reads and replays.
    Analyst,
}

/// An organisation.
#[derive(Debug, Clone, SimpleObject)]
pub struct Organisation {
    /// The organisation's id.
    pub id: Uuid,
    /// Its name; null as long as the read model has not heard of it.
    pub name: Option<String>,
}

/// Who asks.
#[derive(Debug, Clone, SimpleObject)]
pub struct Me {
    /// The user's id.
    id: Uuid,
    /// The user's name; null when it was erased, or as long as the read model has not heard of the user.
    name: Option<String>,
    /// The user's address, likewise.
    email: Option<String>,
    /// The user's role in the organisation.
    role: Role,
    /// The organisation that the token names.
    organisation: Organisation,
}

/// The root fields of this feature.
#[derive(Debug, Default)]
pub struct IdentityQuery;

#[Object]
impl IdentityQuery {
    /// Who asks.
    async fn me(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Me> {
        let asker = Asker::of(context)?;
        let wanted = asker.at_least(at_least.as_deref()).map_err(error::from_read)?;
        me(asker, &wanted).await.map_err(error::from_read)
    }
}

async fn me(asker: &Asker, wanted: &Position) -> Result<Me, ReadError> {
    let principal = asker.principal;
    let mut entered = asker.gate.enter(principal.tenant, IDENTITY, wanted, None).await?;
    asker.seen.record(&entered);
    let (user, organisation) = asker
        .gate
        .reads()
        .guard(async {
            let user = user(&mut entered.tx, principal.id).await?;
            Ok((user, organisation(&mut entered.tx, principal.tenant).await?))
        })
        .await?;
    let (name, email) = user.unwrap_or_default();
    Ok(Me {
        id: principal.id,
        name,
        email,
        role: principal.role.into(),
        organisation: Organisation { id: principal.tenant, name: organisation },
    })
}

/// The organisation with this id, if it is the asker's.
///
/// # Errors
/// See [`ReadError`].
pub async fn own_organisation(asker: &Asker, id: Uuid, wanted: &Position) -> Result<Option<Organisation>, ReadError> {
    let mut entered = asker.gate.enter(asker.principal.tenant, IDENTITY, wanted, None).await?;
    asker.seen.record(&entered);
    let name = asker.gate.reads().guard(organisation(&mut entered.tx, id)).await?;
    Ok(name.map(|name| Organisation { id, name: Some(name) }))
}

type NameAndAddress = (Option<String>, Option<String>);

async fn user(connection: &mut PgConnection, id: Uuid) -> Result<Option<NameAndAddress>, sqlx::Error> {
    sqlx::query_as("select name, email from read.user where user_id = $1").bind(id).fetch_optional(connection).await
}

async fn organisation(connection: &mut PgConnection, id: Uuid) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar("select name from read.organisation where id = $1").bind(id).fetch_optional(connection).await
}
