//! The pages: the start page, those that mailed links lead to, GraphiQL and the REST documentation, all from files within the program.
//!
//! Owns their paths, their caching and what a browser may do on them. Nothing is loaded from elsewhere, and the content security
//! policy says so.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use docket_platform::{Problem, http::Path};
use rust_embed::RustEmbed;
use tower_http::compression::CompressionLayer;
use utoipa_swagger_ui::Config;
use uuid::Uuid;

/// What `console/` was built to.
#[derive(RustEmbed)]
#[folder = "../console/dist"]
struct Console;

/// Shown where the pages were not built in.
const PLAIN: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Docket</title>
<h1>Docket</h1><p>This program was built without its pages.</p>
<ul><li><a href=\"/docs\">REST API</a></li><li><a href=\"/schema.graphql\">GraphQL schema</a></li>
<li><a href=\"/health/ready\">Health</a></li><li><a href=\"/metrics\">Metrics</a></li></ul></html>";

/// Files, scripts and connections of the own origin, and nothing else.
const STRICT: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
);
/// The same for pages whose parts set styles from scripts and show small pictures of their own.
const STYLED: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'self'; \
     form-action 'self'; frame-ancestors 'none'",
);

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// For names that change with their content.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// For names that stay: ask whether it changed.
const ASK: HeaderValue = HeaderValue::from_static("no-cache");

/// The start page and what pages load.
pub fn start() -> Router {
    Router::new()
        .route("/", get(|headers| page("index.html", STRICT, headers)))
        .route("/assets/{*file}", get(asset))
        .route("/favicon.ico", get(|| async { StatusCode::NO_CONTENT }))
        .layer(CompressionLayer::new())
}

/// Where mailed links lead: a new password, an address to confirm, an invitation, a consultation, and what one is told by mail.
pub fn mailed() -> Router {
    Router::new()
        .route("/password", get(|headers| page("password/index.html", STRICT, headers)))
        .route("/verify", get(|headers| page("verify/index.html", STRICT, headers)))
        .route("/join", get(|headers| page("join/index.html", STRICT, headers)))
        .route("/consultations/{id}", get(consultation))
        .route("/settings/notifications", get(notifications))
        .layer(CompressionLayer::new())
}

/// GraphiQL.
pub fn graphiql() -> Router {
    Router::new()
        .route("/graphiql", get(|headers| page("graphiql/index.html", STYLED, headers)))
        .layer(CompressionLayer::new())
}

/// The documentation of the REST interface.
pub fn docs() -> Router {
    Router::new()
        .route("/docs", get(docs_page))
        .route("/docs/", get(docs_page))
        .route("/docs/{*file}", get(docs_file))
        .layer(CompressionLayer::new())
}

/// What a mailed link opens: how the consultation is read and answered. It says nothing of it, and whether it is there.
async fn consultation(Path(id): Path<Uuid>) -> Response {
    plain(
        "Consultation",
        &format!(
            "<p>This is the consultation <code>{id}</code>. Log in to read and to answer it:</p>
<ul><li>in GraphQL: <a href=\"/graphiql\">GraphiQL</a>, <code>{{ consultation(id: \"{id}\") {{ title body state deadline }} }}</code></li>
<li>over REST: <code>GET /api/v1/consultations/{id}</code>, and <code>POST /api/v1/consultations/{id}/responses</code> to answer, as
<a href=\"/docs\">the documentation</a> says</li></ul>"
        ),
    )
}

async fn notifications() -> Response {
    plain(
        "What you are told by mail",
        "<p>What you are told at once, once a day or not at all, and your quiet hours, are set by
<code>PUT /api/v1/auth/me/notifications</code>, as <a href=\"/docs\">the documentation</a> says.</p>",
    )
}

/// A page of a few words.
fn plain(title: &str, said: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, \
         initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\"><title>{title} · Docket</title>\n\
         <h1>{title}</h1>\n{said}\n<p><a href=\"/\">Docket</a></p></html>\n"
    );
    ([(header::CONTENT_SECURITY_POLICY, STRICT), (header::CONTENT_TYPE, HTML)], html).into_response()
}

async fn page(name: &'static str, policy: HeaderValue, request: HeaderMap) -> Response {
    let policy = [(header::CONTENT_SECURITY_POLICY, policy)];
    match Console::get(name) {
        Some(file) => (policy, embedded(file, HTML, ASK, &request)).into_response(),
        None => (policy, [(header::CONTENT_TYPE, HTML)], PLAIN).into_response(),
    }
}

async fn asset(Path(file): Path<String>, request: HeaderMap) -> Response {
    let Some(found) = Console::get(&format!("assets/{file}")) else {
        return Problem::not_found("There is no such file.").into_response();
    };
    let kind = HeaderValue::from_str(found.metadata.mimetype())
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    embedded(found, kind, if is_hashed(&file) { FOR_EVER } else { ASK }, &request)
}

/// Whether the name ends in a hash of the content, as in `start-7226SGBA.js`.
fn is_hashed(file: &str) -> bool {
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let hash = stem.rsplit_once('-').map_or("", |(_, hash)| hash);
    hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// A file, unless the browser has it.
fn embedded(file: rust_embed::EmbeddedFile, kind: HeaderValue, caching: HeaderValue, request: &HeaderMap) -> Response {
    let [first, second, third, fourth, ..] = file.metadata.sha256_hash();
    let tag = format!("W/\"{:08x}\"", u32::from_be_bytes([first, second, third, fourth]));
    let known = request.get(header::IF_NONE_MATCH).is_some_and(|value| value == tag.as_str());
    let tag = HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("W/\"\""));
    let headers: [(HeaderName, HeaderValue); 2] = [(header::ETAG, tag), (header::CACHE_CONTROL, caching)];
    if known {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let body = match file.data {
        Cow::Borrowed(bytes) => axum::body::Body::from(bytes),
        Cow::Owned(bytes) => axum::body::Body::from(bytes),
    };
    (headers, [(header::CONTENT_TYPE, kind)], body).into_response()
}

async fn docs_page() -> Response {
    docs_file(Path(String::new())).await
}

async fn docs_file(Path(file): Path<String>) -> Response {
    // No validator of another site is asked.
    let config = Arc::new(Config::new(["/openapi.json"]).validator_url("none").persist_authorization(false));
    let found = match utoipa_swagger_ui::serve(&file, config) {
        Ok(Some(found)) => found,
        Ok(None) => return Problem::not_found("There is no such file.").into_response(),
        Err(error) => return Problem::internal(error).into_response(),
    };
    let kind =
        HeaderValue::from_str(&found.content_type).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let mut bytes = found.bytes.into_owned();
    if !found.gzpipped && matches!(file.as_str(), "" | "index.html") {
        // The page's own links are relative to `/docs/`, and it is served without the slash too.
        let html = String::from_utf8_lossy(&bytes).replacen("<head>", "<head>\n    <base href=\"/docs/\">", 1);
        bytes = html.into_bytes();
    }
    let mut response =
        ([(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, STYLED)], bytes).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    if found.gzpipped {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_with_a_hash_are_kept_for_ever() {
        assert!(is_hashed("start-7226SGBA.js") && is_hashed("image-b970cabe-3LHVENM2.png"));
        assert!(!is_hashed("third-party.txt") && !is_hashed("start.js") && !is_hashed("image-b970cabe.png"));
    }
}
