//! Where a request about an account comes from, and in which request it came: what its events tell.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use docket_events::{Metadata, Personal};
use docket_log::CommandContext;
use docket_platform::{
    auth::Principal,
    http::{ClientAddress, RequestContext},
};
use uuid::Uuid;

use crate::state::State;

/// Characters of a program's name that are kept.
const AGENT_CHARS: usize = 200;

/// Where a request comes from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The network address.
    pub(crate) address: Option<String>,
    /// The program, as it calls itself.
    pub(crate) agent: Option<String>,
    request: RequestContext,
}

impl FromRequestParts<State> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Infallible> {
        let ClientAddress(address) = ClientAddress::from_request_parts(parts, state).await?;
        let request = RequestContext::from_request_parts(parts, state).await?;
        let agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        let agent = agent.map(|text| text.chars().take(AGENT_CHARS).collect::<String>());
        Ok(Self { address: address.map(|address| address.to_string()), agent, request })
    }
}

impl Origin {
    /// The network address, as `user`'s.
    pub(crate) fn address_of(&self, user: Uuid) -> Option<Personal<String>> {
        self.address.clone().map(|address| Personal::known(user, address))
    }

    /// What the journal needs to know besides a command that nobody who is logged in gave.
    pub(crate) fn anonymous(&self, tenant: Uuid) -> CommandContext {
        let RequestContext { request_id, correlation_id, traceparent } = self.request.clone();
        CommandContext {
            tenant,
            metadata: Metadata {
                principal: None,
                session: None,
                correlation_id: Some(correlation_id),
                causation_id: Some(request_id),
                traceparent,
                imported: false,
            },
            ..CommandContext::default()
        }
    }

    /// The same for a command of `user` in `session`.
    pub(crate) fn by(&self, tenant: Uuid, user: Uuid, session: Option<Uuid>) -> CommandContext {
        let mut context = self.anonymous(tenant);
        context.metadata.principal = Some(user);
        context.metadata.session = session;
        context
    }

    /// The same for a command of `principal` to its own stream, which belongs to no tenant.
    pub(crate) fn of_oneself(&self, principal: &Principal) -> CommandContext {
        self.by(Uuid::nil(), principal.id, principal.session)
    }
}
