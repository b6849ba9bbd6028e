//! Whether the process lives and whether it can serve.
//!
//! Owns `/health/live` and `/health/ready`. It must not tell why a dependency fails, only which: these pages are
//! open to everybody.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use utoipa::ToSchema;

use crate::db::{self, Reachability};
use crate::shutdown::Shutdown;

/// How long one check may take.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

type CheckFuture = Pin<Box<dyn Future<Output = Result<(), &'static str>> + Send>>;
type Check = Arc<dyn Fn() -> CheckFuture + Send + Sync>;

/// What `/health/ready` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// `ready`, `unready` or `shutting_down`.
    #[schema(example = "ready")]
    pub status: String,
    /// The release that answers.
    #[schema(example = "0.1.0")]
    pub version: String,
    /// What each dependency is: `ok`, or a word for what is wrong.
    pub checks: BTreeMap<String, String>,
}

/// The readiness checks of a process. Clones share one list.
#[derive(Clone)]
pub struct Health {
    shutdown: Shutdown,
    checks: Arc<RwLock<BTreeMap<String, Check>>>,
}

impl Health {
    /// Ready as long as all checks pass and `shutdown` has not begun.
    pub fn new(shutdown: Shutdown) -> Self {
        Self { shutdown, checks: Arc::default() }
    }

    /// Adds (or replaces) the check called `name`. Its error is shown to everybody: one word, no internals.
    pub fn register<F>(&self, name: impl Into<String>, check: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<(), &'static str>> + Send + 'static,
    {
        let check: Check = Arc::new(move || Box::pin(check()));
        self.checks.write().unwrap_or_else(PoisonError::into_inner).insert(name.into(), check);
    }

    /// Adds a check that the database behind this pool can be reached. A busy pool is no reason to be unready.
    pub fn register_postgres(&self, name: impl Into<String>, pool: PgPool) {
        self.register(name, move || {
            let pool = pool.clone();
            async move {
                match db::reachability(&pool).await {
                    Reachability::Answers => Ok(()),
                    Reachability::Refuses => Err("refusing"),
                    Reachability::Silent => Err("timeout"),
                    Reachability::Gone(_) => Err("unreachable"),
                }
            }
        });
    }

    /// Runs all checks at once, each bounded by [`CHECK_TIMEOUT`].
    pub async fn check(&self) -> (bool, Readiness) {
        let checks: Vec<(String, Check)> = {
            let checks = self.checks.read().unwrap_or_else(PoisonError::into_inner);
            checks.iter().map(|(name, check)| (name.clone(), check.clone())).collect()
        };
        let results = join_all(checks.into_iter().map(|(name, check)| async move {
            let result = tokio::time::timeout(CHECK_TIMEOUT, check()).await.unwrap_or(Err("timeout"));
            (name, result)
        }))
        .await;
        let healthy = results.iter().all(|(_, result)| result.is_ok());
        let ready = healthy && !self.shutdown.has_begun();
        let status = match (self.shutdown.has_begun(), healthy) {
            (true, _) => "shutting_down",
            (false, true) => "ready",
            (false, false) => "unready",
        };
        let checks = results.into_iter().map(|(name, result)| (name, result.err().unwrap_or("ok").to_owned()));
        let version = env!("CARGO_PKG_VERSION").to_owned();
        (ready, Readiness { status: status.to_owned(), version, checks: checks.collect() })
    }

    /// `/health/live` and `/health/ready`.
    pub fn router(&self) -> Router {
        Router::new().route("/health/live", get(live)).route("/health/ready", get(ready)).with_state(self.clone())
    }
}

async fn live() -> Json<serde_json::Value> {
    Json(serde_json::json!({ "status": "live" }))
}

async fn ready(State(health): State<Health>) -> Response {
    let (ready, readiness) = health.check().await;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    async fn status(health: &Health, path: &str) -> StatusCode {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        health.router().oneshot(request).await.expect("infallible").status()
    }

    #[tokio::test(start_paused = true)]
    async fn ready_names_the_dependency_that_fails() {
        let health = Health::new(Shutdown::new());
        health.register("postgres", || async { Err("unreachable") });
        health.register("journal", || async { Ok(()) });
        let (ready, readiness) = health.check().await;
        assert!(!ready);
        assert_eq!(readiness.checks["postgres"], "unreachable");
        assert_eq!(readiness.checks["journal"], "ok");
        assert_eq!(status(&health, "/health/ready").await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(status(&health, "/health/live").await, StatusCode::OK);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_is_given_up() {
        let health = Health::new(Shutdown::new());
        health.register("slow", std::future::pending);
        let (ready, readiness) = health.check().await;
        assert!(!ready);
        assert_eq!(readiness.checks["slow"], "timeout");
    }

    #[tokio::test]
    async fn a_process_that_ends_is_unready_but_alive() {
        let shutdown = Shutdown::new();
        let health = Health::new(shutdown.clone());
        assert_eq!(status(&health, "/health/ready").await, StatusCode::OK);
        shutdown.begin();
        assert_eq!(status(&health, "/health/ready").await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(status(&health, "/health/live").await, StatusCode::OK);
    }
}
