//! GraphQL: the schema, and the way from a request to an answer, whatever carries it.
//!
//! Owns the engine: limits before execution, time during it, codes and position after it. It knows no feature but by its root
//! fields, and no transport: [`http`], [`sse`] and [`websocket`] carry requests here.

mod boxed;
mod cost;
pub mod error;
mod http;
mod limits;
mod scalars;
pub(crate) mod sse;
mod subscription;
mod websocket;

use std::{sync::Arc, time::Duration};

use async_graphql::{
    Context, EmptyMutation, Interface, MergedObject, MergedSubscription, Object, Response, Result, Schema, ServerError,
    Value, Variables, dataloader::DataLoader, parser::types::OperationType,
};
use docket_log::Position;
use docket_platform::{
    auth::{
        Principal,
        permissions::{self, Action},
    },
    clock,
};
use futures_util::{
    StreamExt,
    future::{self, BoxFuture},
    stream::{self, BoxStream},
};
use serde::Deserialize;
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    age::age,
    changes::Hubs,
    consultation::{self, Consultation, ConsultationQuery, ConsultationSubscription, Histories, Votes},
    engagement::{EngagementQuery, EngagementSubscription},
    feed::{Bodies, FeedQuery, FeedSubscription, Headlines, Mentioned},
    identity::{self, GroupMembers, IdentityQuery, Organisation},
    knowledge::{KnowledgeQuery, KnowledgeSubscription},
    position::{Entered, Gate, Seen, Source},
    read::{self, ReadError},
    webhook::{WebhookQuery, WebhookSubscription},
};

pub use boxed::Boxed;
pub use http::{Door, router};
pub use scalars::Instant;
pub(crate) use subscription::subscribe;

/// The root fields of all features.
#[derive(Debug, Default, MergedObject)]
pub struct Query(
    Boxed<ConsultationQuery>,
    IdentityQuery,
    WebhookQuery,
    Boxed<KnowledgeQuery>,
    Boxed<FeedQuery>,
    Boxed<EngagementQuery>,
    Boxed<NodeQuery>,
);

/// The subscriptions of all features.
#[derive(Debug, Default, MergedSubscription)]
pub struct Subscriptions(
    ConsultationSubscription,
    WebhookSubscription,
    KnowledgeSubscription,
    FeedSubscription,
    EngagementSubscription,
);

type DocketSchema = Schema<Query, EmptyMutation, Subscriptions>;

/// Anything that has an id of its own.
#[derive(Debug, Clone, Interface)]
#[graphql(field(name = "id", ty = "&Uuid", desc = "The id."))]
pub enum Node {
    /// A request for a human decision.
    Consultation(Box<Consultation>),
    /// An organisation.
    Organisation(Organisation),
}

/// The root field that finds anything by its id.
#[derive(Debug, Default)]
pub struct NodeQuery;

#[Object]
impl NodeQuery {
    /// Whatever has this id; null when the organisation has no such thing.
    async fn node(
        &self,
        context: &Context<'_>,
        id: Uuid,
        #[graphql(desc = "Wait until the read model is at least this new.")] at_least: Option<String>,
    ) -> Result<Option<Node>> {
        let asker = Asker::who_may(context, Action::Read)?;
        let wanted = asker.at_least(at_least.as_deref()).map_err(error::from_read)?;
        if let Some(found) = consultation::one(asker, id, &wanted).await.map_err(error::from_read)? {
            return Ok(Some(Node::Consultation(Box::new(found))));
        }
        let own = identity::own_organisation(asker, id, &wanted).await.map_err(error::from_read)?;
        Ok(own.map(Node::Organisation))
    }
}

/// Who asks, and what this request has seen so far.
#[derive(Debug, Clone)]
pub struct Asker {
    /// From the verified token, and nowhere else.
    pub principal: Principal,
    /// Where reads begin.
    pub gate: Gate,
    /// The checkpoints of all reads of this request.
    pub seen: Arc<Seen>,
    /// What the request's header insists on.
    wanted: Position,
}

impl Asker {
    /// The asker of the request under way.
    ///
    /// # Errors
    /// When the engine was not given one, which no transport does.
    pub fn of<'a>(context: &'a Context<'_>) -> Result<&'a Self> {
        context.data::<Self>().map_err(|_| error::from_problem(&docket_platform::Problem::internal("no asker")))
    }

    /// The same, if the role or the scopes of whoever asks allow `action`.
    ///
    /// # Errors
    /// `FORBIDDEN`.
    pub fn who_may<'a>(context: &'a Context<'_>, action: Action) -> Result<&'a Self> {
        let asker = Self::of(context)?;
        permissions::check(&asker.principal, action).map_err(|problem| error::from_problem(&problem))?;
        Ok(asker)
    }

    /// The tenant and the id of whoever asks.
    pub fn reader(&self) -> (Uuid, Uuid) {
        (self.principal.tenant, self.principal.id)
    }

    /// Begins to read `sources`, each of a category of its own, once they have reached `wanted`.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn enter(&self, sources: &[Source], wanted: &Position) -> Result<Entered, ReadError> {
        let entered = self.gate.enter_all(self.principal.tenant, sources, wanted, None).await?;
        self.seen.record(&entered);
        Ok(entered)
    }

    /// The position that a field must have reached: its own argument's and the header's.
    ///
    /// # Errors
    /// When the argument is no position.
    pub fn at_least(&self, token: Option<&str>) -> Result<Position, ReadError> {
        let mut wanted = self.wanted.clone();
        wanted.join(&read::position(token)?);
        Ok(wanted)
    }
}

/// A GraphQL request as it is posted.
#[derive(Debug, Default, Deserialize)]
struct Body {
    query: Option<String>,
    #[serde(default, rename = "operationName")]
    operation_name: Option<String>,
    #[serde(default)]
    variables: Option<serde_json::Map<String, serde_json::Value>>,
}

/// A request that may be executed.
struct Prepared {
    request: async_graphql::Request,
    kind: OperationType,
}

/// Executes requests.
#[derive(Clone)]
pub struct Engine {
    schema: DocketSchema,
    gate: Gate,
    timeout: Duration,
    introspection: bool,
}

impl Engine {
    /// An engine that answers within `timeout`, and refuses what costs more than `cost`.
    pub fn new(gate: Gate, hubs: Hubs, timeout: Duration, cost: usize, introspection: bool) -> Self {
        Self { schema: schema(cost).data(hubs).finish(), gate, timeout, introspection }
    }

    /// Judges a request before anything is executed.
    fn prepare(&self, body: Body) -> Result<Prepared, ServerError> {
        let Some(query) = body.query else {
            return Err(error::refusal(error::BAD_REQUEST, "The request has no query.", None));
        };
        let (document, kind) = limits::check(&query, body.operation_name.as_deref(), self.introspection)?;
        if kind == OperationType::Mutation {
            return Err(error::refusal(error::BAD_REQUEST, "There are no mutations: writes are REST.", None));
        }
        let mut request = async_graphql::Request::new(query);
        request.operation_name = body.operation_name;
        let variables = serde_json::Value::Object(body.variables.unwrap_or_default());
        request.variables = Variables::from_json(variables);
        request.set_parsed_query(document);
        Ok(Prepared { request, kind })
    }

    fn asker(&self, principal: Principal, wanted: Position) -> Asker {
        Asker { principal, gate: self.gate.clone(), seen: Arc::default(), wanted }
    }

    fn equip(&self, request: async_graphql::Request, asker: Asker) -> async_graphql::Request {
        let (reads, tenant, span) = (self.gate.reads(), asker.principal.tenant, tracing::Span::current());
        let spawn = move |load: BoxFuture<'static, ()>| tokio::spawn(load.instrument(span.clone()));
        let histories = DataLoader::new(Histories::new(reads.clone(), tenant), spawn.clone());
        let votes = DataLoader::new(Votes::new(reads.clone(), tenant), spawn.clone());
        let members = DataLoader::new(GroupMembers::new(reads.clone(), tenant), spawn.clone());
        let bodies = DataLoader::new(Bodies::new(reads.clone(), tenant), spawn.clone());
        let headlines = DataLoader::new(Headlines::new(reads.clone(), tenant), spawn.clone());
        let mentioned = DataLoader::new(Mentioned::new(asker.clone()), spawn);
        let feed = request.data(bodies).data(headlines).data(mentioned);
        feed.data(histories).data(votes).data(members).data(asker)
    }

    /// Answers a query.
    async fn run(&self, prepared: Prepared, principal: Principal, wanted: Position) -> Response {
        let asker = self.asker(principal, wanted);
        let seen = asker.seen.clone();
        let request = self.equip(prepared.request, asker);
        let Ok(response) = tokio::time::timeout(self.timeout, self.schema.execute(request)).await else {
            tracing::warn!(limit_ms = self.timeout.as_millis(), "a GraphQL query timed out");
            return Response::from_errors(vec![error::refusal(error::TIMEOUT, "The query took too long.", None)]);
        };
        let response = error::complete(response);
        let response = match seen.position() {
            Some(position) => response.extension("position", Value::from(position.to_string())),
            None => response,
        };
        let response = if seen.is_cut() { response.extension("cut", Value::from(true)) } else { response };
        match age(seen.lacks_since(), clock::now()) {
            Some(age) => response.extension("age", Value::from(age)),
            None => response,
        }
    }

    /// Answers somebody who is known already, without a transport between.
    pub fn answer(&self, principal: Principal, query: &str) -> BoxStream<'static, Response> {
        let body = Body { query: Some(query.to_owned()), ..Body::default() };
        match self.prepare(body) {
            Ok(prepared) => self.stream(prepared, principal, Position::default()),
            Err(error) => stream::once(future::ready(Response::from_errors(vec![error]))).boxed(),
        }
    }

    /// Answers a query once, or a subscription for as long as it goes on.
    fn stream(&self, prepared: Prepared, principal: Principal, wanted: Position) -> BoxStream<'static, Response> {
        if prepared.kind == OperationType::Subscription {
            let request = self.equip(prepared.request, self.asker(principal, wanted));
            return self.schema.execute_stream(request).map(error::complete).boxed();
        }
        let engine = self.clone();
        stream::once(async move { engine.run(prepared, principal, wanted).await }).boxed()
    }
}

fn schema(cost: usize) -> async_graphql::SchemaBuilder<Query, EmptyMutation, Subscriptions> {
    Schema::build(Query::default(), EmptyMutation, Subscriptions::default()).extension(cost::Cost(cost))
}

/// The schema in GraphQL's own language.
pub fn sdl() -> String {
    schema(0).finish().sdl()
}
