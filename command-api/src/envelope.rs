//! What comes with a command besides its body: who, under which key, against which version, in which request.
//!
//! Owns the order in which a request is refused before its body is looked at: 401, then 403, then malformed headers. It must not
//! look at the body.

use std::marker::PhantomData;

use axum::{
    extract::{FromRequestParts, MatchedPath, OriginalUri},
    http::request::Parts,
};
use docket_events::Metadata;
use docket_log::{CommandContext, IdempotencyKey, Statuses};
use docket_platform::{
    FieldError, Problem,
    auth::{
        Principal,
        permissions::{self, Action},
    },
    http::{self, IfMatch, RequestContext},
    ids,
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::state::State;

/// The action that a route needs leave for.
pub(crate) trait Needs: Send + Sync {
    /// The action.
    const ACTION: Action;
}

/// Everything about a command but its body. Extracting it refuses whoever may not do what `N` needs.
#[derive(Debug)]
pub(crate) struct Envelope<N> {
    /// Who commands.
    pub(crate) principal: Principal,
    request: RequestContext,
    key: Option<String>,
    if_match: Option<u64>,
    /// Method and template of the path: the key's scope.
    route: String,
    /// The path as it came: part of what a repeated request must repeat.
    path: String,
    needs: PhantomData<N>,
}

impl<N: Needs> FromRequestParts<State> for Envelope<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let principal = Principal::from_request_parts(parts, state).await?;
        permissions::check(&principal, N::ACTION)?;
        let http::IdempotencyKey(key) = http::IdempotencyKey::from_request_parts(parts, state).await?;
        if key.is_none() && state.config.require_idempotency_key {
            return Err(key_required());
        }
        let IfMatch(if_match) = IfMatch::from_request_parts(parts, state).await?;
        let Ok(request) = RequestContext::from_request_parts(parts, state).await;
        let path = match parts.extensions.get::<OriginalUri>() {
            Some(OriginalUri(uri)) => uri.path().to_owned(),
            None => parts.uri.path().to_owned(),
        };
        let template = parts.extensions.get::<MatchedPath>().map_or(path.as_str(), MatchedPath::as_str);
        let route = format!("{} {template}", parts.method);
        Ok(Self { principal, request, key, if_match, route, path, needs: PhantomData })
    }
}

impl<N> Envelope<N> {
    /// The same for a command without a body.
    pub(crate) fn context_of_nothing(&self) -> CommandContext {
        self.context(Sha256::digest([]).into(), Statuses::default())
    }

    /// What the journal needs to know besides the command.
    pub(crate) fn context(&self, body_hash: [u8; 32], status: Statuses) -> CommandContext {
        let Principal { id, tenant, session, .. } = self.principal;
        CommandContext {
            tenant,
            metadata: Metadata {
                principal: Some(id),
                session,
                correlation_id: Some(self.request.correlation_id.clone()),
                causation_id: Some(self.request.request_id.clone()),
                traceparent: self.request.traceparent.clone(),
                imported: false,
            },
            idempotency: self
                .key
                .as_deref()
                .map(|key| IdempotencyKey::scoped(tenant, id, &self.route, key, self.request_hash(body_hash))),
            if_match: self.if_match,
            claims: Vec::new(),
            status,
        }
    }

    /// The same for item `index` of a request of many, which stands for itself.
    pub(crate) fn context_of_item(&self, index: usize, hash: [u8; 32], status: Statuses) -> CommandContext {
        let Principal { id, tenant, .. } = self.principal;
        let key = |key: &String| {
            IdempotencyKey::scoped(tenant, id, &self.route, &format!("{key}/{index}"), self.request_hash(hash))
        };
        CommandContext { idempotency: self.key.as_ref().map(key), if_match: None, ..self.context(hash, status) }
    }

    fn request_hash(&self, body_hash: [u8; 32]) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [&self.route, &self.path] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.update(body_hash);
        hash.finalize().into()
    }
}

/// The id of what a command makes within a stream: the same whenever the request is repeated under its key.
pub(crate) fn made_id(context: &CommandContext) -> Uuid {
    context.idempotency.as_ref().map_or_else(ids::new_id, |key| Uuid::new_v5(&key.id, &key.request_hash))
}

fn key_required() -> Problem {
    Problem::bad_request(
        "idempotency_key_required",
        "Commands need an Idempotency-Key here, so that they can be repeated.",
    )
    .with_error(FieldError::coded("Idempotency-Key", "missing_header", "Must be given."))
}
