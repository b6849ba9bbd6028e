//! Who asks, who belongs to the organisation, what it has prepared, what people and software come in with, and what happened to all of these.
//!
//! Owns the SQL over the rows of people and organisations, a file per root field. The role is the token's: it is what counts now.

mod api_keys;
mod audit;
mod groups;
mod invitations;
mod me;
mod members;
mod sessions;
mod templates;

use async_graphql::{MergedObject, SimpleObject};
use docket_log::Position;
use docket_platform::auth::{Role as TokenRole, UnknownRole};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    graphql::{Asker, Boxed},
    position::IDENTITY,
    read::ReadError,
};

pub use groups::GroupMembers;

/// The root fields of this feature.
#[derive(Debug, Default, MergedObject)]
pub struct IdentityQuery(
    Boxed<me::MeQuery>,
    Boxed<members::MembersQuery>,
    Boxed<groups::GroupsQuery>,
    Boxed<invitations::InvitationsQuery>,
    Boxed<sessions::SessionsQuery>,
    Boxed<api_keys::ApiKeysQuery>,
    Boxed<audit::AuditQuery>,
    Boxed<templates::TemplatesQuery>,
);

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

/// A role as it is stored.
#[derive(Debug, Clone, Copy)]
struct StoredRole(TokenRole);

impl TryFrom<String> for StoredRole {
    type Error = UnknownRole;

    fn try_from(text: String) -> Result<Self, UnknownRole> {
        text.parse().map(Self)
    }
}

/// An organisation.
#[derive(Debug, Clone, SimpleObject)]
pub struct Organisation {
    /// The organisation's id.
    pub id: Uuid,
    /// Its name; null as long as the read model has not heard of it.
    pub name: Option<String>,
}

/// Somebody, by today's name.
#[derive(Debug, Clone, SimpleObject)]
pub(crate) struct User {
    /// The user's id.
    id: Uuid,
    /// The user's name; null when it was erased, and for those who do not belong to the organisation any more.
    name: Option<String>,
}

impl User {
    pub(crate) fn new(id: Option<Uuid>, name: Option<String>) -> Option<Self> {
        Some(Self { id: id?, name })
    }
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

async fn organisation(connection: &mut PgConnection, id: Uuid) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar("select name from read.organisation where id = $1").bind(id).fetch_optional(connection).await
}
