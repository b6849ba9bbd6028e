//! `/api/v1/topics/{topic}`: set and remove.

use axum::response::Response;
use docket_domain::feed::{SetTopic, Topics, remove_topic, set_topic, topics_id};
use docket_log::Statuses;
use docket_platform::http::{Json, Path};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Write, error::RouteError, run};
use crate::{
    envelope::Envelope,
    openapi::{CommandHeaders, FeedProblems},
    state::State,
};

/// What a topic is called, and where it stands.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SetTopicRequest, example = json!({"name": "Leases", "parent": "time"}))]
pub(super) struct SetRequest {
    /// What it is called, 1 to 200 characters.
    name: String,
    /// The topic that it is a part of; none: it is at the top.
    parent: Option<String>,
}

/// A topic of the tree.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Topic)]
struct TopicView {
    /// The word that stands for it.
    topic: String,
    /// What it is called.
    name: String,
    /// The topic that it is a part of; null: it is at the top.
    parent: Option<String>,
}

/// The topics of the organisation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TopicTree)]
pub(super) struct TreeView {
    /// The version, which is its `ETag`: of all topics together.
    version: u64,
    /// Every topic, in the order of their words.
    topics: Vec<TopicView>,
}

impl TreeView {
    fn of(tree: Topics, version: u64) -> Self {
        let view =
            |(topic, of): (String, docket_domain::feed::Topic)| TopicView { topic, name: of.name, parent: of.parent };
        Self { version, topics: tree.topics.into_iter().map(view).collect() }
    }
}

/// Set a topic
///
/// It is made, renamed, or moved to another place of the tree. A topic is never a part of itself or of what is a part of it.
#[utoipa::path(
    put, path = "/api/v1/topics/{topic}", operation_id = "set_topic", tag = "feed", request_body = SetRequest,
    params(
        ("topic" = String, Path, description = "The word that stands for it: lower-case letters, digits and `_-./`, at most 100"),
        CommandHeaders,
    ),
    responses((status = OK, description = "All topics after it", body = TreeView), FeedProblems),
)]
pub(super) async fn set(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Write>,
    Path(topic): Path<String>,
    Json { value: SetRequest { name, parent }, hash }: Json<SetRequest>,
) -> Result<Response, RouteError> {
    let command = SetTopic { topic, name, parent, set_by: envelope.principal.id };
    let context = envelope.context(hash, Statuses::default());
    let id = topics_id(context.tenant);
    let done = run::run(&state, &context, ("topic", id), |topics: &Topics, _| set_topic(topics, &command)).await?;
    Ok(done.answer(TreeView::of))
}

/// Remove a topic
///
/// Only one that has no parts. Articles keep its word, which stands for nothing then.
#[utoipa::path(
    delete, path = "/api/v1/topics/{topic}", operation_id = "remove_topic", tag = "feed",
    params(("topic" = String, Path, description = "The word that stands for it"), CommandHeaders),
    responses((status = OK, description = "All topics after it", body = TreeView), FeedProblems),
)]
pub(super) async fn remove(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Write>,
    Path(topic): Path<String>,
) -> Result<Response, RouteError> {
    let context = envelope.context_of_nothing();
    let (id, by) = (topics_id(context.tenant), envelope.principal.id);
    let done = run::run(&state, &context, ("topic", id), |topics: &Topics, _| remove_topic(topics, &topic, by)).await?;
    Ok(done.answer(TreeView::of))
}
