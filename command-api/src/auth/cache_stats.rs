//! `GET /api/v1/auth/cache-stats`: how well verified tokens are remembered.

use axum::Json as Answer;
use docket_platform::{
    Problem,
    auth::{
        CacheStats, Principal,
        permissions::{self, Action},
    },
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{openapi::ReadProblems, state::State};

/// The figures of one process, since it started.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TokenCacheStats)]
pub(super) struct Stats {
    /// Tokens that are remembered.
    #[schema(example = 12)]
    size: u64,
    /// Requests whose token had been verified before.
    #[schema(example = 9_400)]
    hits: u64,
    /// Requests whose token had to be verified, valid or not.
    #[schema(example = 600)]
    misses: u64,
    /// The share of hits, from 0 to 1.
    #[schema(example = 0.94)]
    hit_rate: f64,
}

impl From<CacheStats> for Stats {
    fn from(stats: CacheStats) -> Self {
        Self { size: stats.size, hits: stats.hits, misses: stats.misses, hit_rate: stats.hit_rate() }
    }
}

/// Show how verified tokens are remembered
///
/// Figures of the process that answers, since it started; for administrators.
#[utoipa::path(
    get, path = "/api/v1/auth/cache-stats", operation_id = "tokenCacheStats", tag = "auth",
    responses((status = OK, description = "The figures", body = Stats), ReadProblems),
)]
pub(super) async fn handler(
    axum::extract::State(state): axum::extract::State<State>,
    principal: Principal,
) -> Result<Answer<Stats>, Problem> {
    permissions::check(&principal, Action::Inspect)?;
    Ok(Answer(state.authenticator.cache_stats().await.into()))
}
