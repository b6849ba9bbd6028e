//! The whole stack of middleware, as a client sees it.

mod tokens;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, Response, StatusCode, header};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;
use tower::ServiceExt;
use uuid::Uuid;

use super::*;
use crate::auth::{Authenticator, Keys, Principal, Role, SigningKey};
use crate::clock;
use crate::outgoing::Networks;
use crate::problem::{PROBLEM_JSON, Problem, ProblemDocument};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Greeting {
    name: String,
}

#[derive(Deserialize)]
struct Page {
    #[serde(rename = "first")]
    _first: u32,
}

fn settings() -> HttpSettings {
    HttpSettings {
        body_limit: 64,
        request_timeout: Duration::from_secs(30),
        allowed_origins: vec!["https://app.example".to_owned()],
        behind_tls: false,
        trusted_proxies: Networks::default(),
    }
}

fn router() -> Router {
    Router::new()
        .route("/api/v1/greetings", post(|body: Json<Greeting>| async move { body.value.name }))
        .route("/api/v1/things/{id}", get(|Path(id): Path<Uuid>| async move { id.to_string() }))
        .route("/api/v1/list", get(|_: Query<Page>| async { "" }))
        .route("/whole", post(|body: axum::body::Bytes| async move { body.len().to_string() }))
        .route("/slow", get(std::future::pending::<()>))
        .route("/panics", get(|| async { panic!("secret detail") as () }))
        .route("/me", get(|principal: Principal| async move { principal.role.to_string() }))
        .route("/context", get(|context: RequestContext| async move { context.correlation_id }))
        .route("/fails", get(|| async { Problem::internal("secret detail") }))
}

fn app() -> Router {
    harden(router(), &settings(), false)
}

async fn send(app: Router, request: Request<Body>) -> Response<Body> {
    app.oneshot(request).await.expect("infallible")
}

async fn fetch(path: &str) -> Response<Body> {
    send(app(), Request::get(path).body(Body::empty()).expect("a request")).await
}

async fn send_json(path: &str, body: impl Into<Body>) -> Response<Body> {
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/json").body(body.into());
    send(app(), request.expect("a request")).await
}

async fn text(response: Response<Body>) -> String {
    let bytes = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

async fn problem(response: Response<Body>) -> ProblemDocument {
    assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
    let echoed = response.headers()["x-request-id"].to_str().expect("ASCII").to_owned();
    let status = response.status().as_u16();
    let document: ProblemDocument = serde_json::from_str(&text(response).await).expect("a problem");
    assert_eq!(document.request_id, Some(echoed));
    assert_eq!(document.status, status);
    document
}

#[tokio::test]
async fn unknown_routes_and_wrong_methods_are_problems() {
    let document = problem(fetch("/nowhere").await).await;
    assert_eq!((document.status, document.code.as_str()), (404, "not_found"));
    let response = fetch("/api/v1/greetings").await;
    assert_eq!(response.headers()[header::ALLOW], "POST");
    assert_eq!(problem(response).await.code, "method_not_allowed");
}

#[tokio::test]
async fn ids_are_echoed_and_made_when_missing() {
    let request = Request::get("/context").header("x-request-id", "mine").header("x-correlation-id", "ours");
    let response = send(app(), request.body(Body::empty()).expect("a request")).await;
    assert_eq!(response.headers()["x-request-id"], "mine");
    assert_eq!(response.headers()["x-correlation-id"], "ours");
    assert_eq!(text(response).await, "ours");
    assert!(!fetch("/context").await.headers()["x-request-id"].is_empty());
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    for path in ["/context", "/nowhere", "/panics"] {
        let response = fetch(path).await;
        let headers = response.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["content-security-policy"], "frame-ancestors 'none'", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        assert!(!headers.contains_key("strict-transport-security"), "{path}");
    }
    let behind_tls = harden(router(), &HttpSettings { behind_tls: true, ..settings() }, false);
    let response = send(behind_tls, Request::get("/context").body(Body::empty()).expect("a request")).await;
    assert!(response.headers().contains_key("strict-transport-security"));
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_announced_or_not() {
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(100));
    for path in ["/api/v1/greetings", "/whole"] {
        assert_eq!(problem(send_json(path, long.clone()).await).await.code, "too_large", "{path}");
        let parts = long.as_bytes().chunks(16).map(|part| Ok::<_, std::io::Error>(part.to_vec())).collect::<Vec<_>>();
        let stream = Body::from_stream(futures_util::stream::iter(parts));
        assert_eq!(problem(send_json(path, stream).await).await.code, "too_large", "{path}");
    }
    assert_eq!(text(send_json("/api/v1/greetings", r#"{"name":"Ada"}"#).await).await, "Ada");
}

#[tokio::test]
async fn another_media_type_is_415() {
    let request = Request::post("/api/v1/greetings").header(header::CONTENT_TYPE, "text/plain").body(Body::from("{}"));
    let document = problem(send(app(), request.expect("a request")).await).await;
    assert_eq!((document.status, document.code.as_str()), (415, "unsupported_media_type"));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_too_long_is_503() {
    let response = fetch("/slow").await;
    assert!(response.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(problem(response).await.code, "request_timeout");
}

#[tokio::test]
async fn a_panic_and_an_internal_error_tell_no_cause() {
    for path in ["/panics", "/fails"] {
        let document = problem(fetch(path).await).await;
        assert_eq!((document.status, document.code.as_str()), (500, "internal"));
        assert!(!serde_json::to_string(&document).expect("it serialises").contains("secret"));
    }
}

#[tokio::test]
async fn parameters_that_cannot_be_read_are_named() {
    let document = problem(fetch("/api/v1/things/7").await).await;
    assert_eq!((document.code.as_str(), document.errors[0].field.as_str()), ("invalid_path", "id"));
    for path in ["/api/v1/list", "/api/v1/list?first=-1"] {
        let document = problem(fetch(path).await).await;
        assert_eq!((document.code.as_str(), document.errors[0].field.as_str()), ("invalid_query", "first"), "{path}");
    }
}

#[tokio::test]
async fn allowed_origins_may_call_and_others_may_not() {
    let preflight = |origin: &str| {
        let request = Request::builder().method(Method::OPTIONS).uri("/api/v1/greetings");
        let request = request.header(header::ORIGIN, origin).header("access-control-request-method", "POST");
        send(app(), request.body(Body::empty()).expect("a request"))
    };
    let allowed = preflight("https://app.example").await;
    assert_eq!(allowed.status(), StatusCode::OK);
    assert_eq!(allowed.headers()["access-control-allow-origin"], "https://app.example");
    assert!(!preflight("https://evil.example").await.headers().contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn a_principal_comes_from_a_valid_token_only() {
    let keys = Keys::new(vec![SigningKey::generate().expect("a key")]);
    let authenticator = Arc::new(Authenticator::fixed(keys));
    let principal = Principal::member(Uuid::from_u128(1), Uuid::from_u128(2), Role::Analyst);
    let now = clock::now();
    let issue = |now| authenticator.issue(principal, now, Duration::from_secs(60));
    let (valid, _) = issue(now).await.expect("signed");
    let (expired, _) = issue(now - chrono::TimeDelta::hours(1)).await.expect("signed");
    let app = harden(router().layer(Extension(authenticator.clone())), &settings(), false);
    let ask = |token: &str| {
        let request = Request::get("/me").header(header::AUTHORIZATION, format!("Bearer {token}"));
        send(app.clone(), request.body(Body::empty()).expect("a request"))
    };
    assert_eq!(text(ask(&valid).await).await, "analyst");
    assert_eq!(problem(ask(&expired).await).await.code, "token_expired");
    let refused = ask("nonsense").await;
    assert!(refused.headers().contains_key(header::WWW_AUTHENTICATE));
    assert_eq!(problem(refused).await.code, "unauthorized");
    let anonymous = send(app.clone(), Request::get("/me").body(Body::empty()).expect("a request")).await;
    assert_eq!(problem(anonymous).await.status, 401);
}
