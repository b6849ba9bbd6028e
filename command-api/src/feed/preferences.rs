//! `/api/v1/user/topics/preferences`: how much a reader cares for topics.

use std::collections::BTreeMap;

use axum::response::Response;
use chrono::{DateTime, Utc};
use docket_domain::feed::{Preferences, preferences_id, set_preferences};
use docket_log::Statuses;
use docket_platform::http::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Keep, article::known_topics, error::RouteError, run};
use crate::{
    envelope::Envelope,
    openapi::{CommandHeaders, FeedProblems},
    state::State,
};

/// How much a reader cares, whole.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SetPreferencesRequest, example = json!({"topics": {"leases": 1, "time": 0.2}}))]
pub(super) struct SetRequest {
    /// From 0 (not at all) to 1, by topic. What is not named stands where nothing was said.
    topics: BTreeMap<String, f64>,
}

/// How much a reader cares.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TopicPreferences)]
struct View {
    /// The version, which is its `ETag`.
    version: u64,
    /// From 0 to 1, by topic.
    topics: BTreeMap<String, f64>,
    /// When they were last set.
    set_at: Option<DateTime<Utc>>,
}

/// Set one's preferences
///
/// They stand in place of what was said before. A preference counts for what is a part of the topic, too, where nothing nearer is said.
#[utoipa::path(
    put, path = "/api/v1/user/topics/preferences", operation_id = "set_topic_preferences", tag = "feed",
    request_body = SetRequest, params(CommandHeaders),
    responses((status = OK, description = "The preferences", body = View), FeedProblems),
)]
pub(super) async fn set(
    axum::extract::State(state): axum::extract::State<State>,
    envelope: Envelope<Keep>,
    Json { value: SetRequest { topics }, hash }: Json<SetRequest>,
) -> Result<Response, RouteError> {
    let (tenant, user) = (envelope.principal.tenant, envelope.principal.id);
    known_topics(&state, tenant, topics.keys()).await?;
    let context = envelope.context(hash, Statuses::default());
    let id = preferences_id(tenant, user);
    let decide = |preferences: &Preferences, _| set_preferences(preferences, user, &topics);
    let done = run::run(&state, &context, ("preference", id), decide).await?;
    Ok(done.answer(|Preferences { topics, set_at, .. }, version| View { version, topics, set_at }))
}
