//! The outbox in the browser: the mails that the embedded default writes to a folder instead of sending them.
//!
//! Owns `/outbox` and `/outbox/{file}`. A mail may bear a link that sets a password, so both answer this machine alone: they are
//! served only where nothing but a loopback address is listened on, and only to a request that names one. Another site's name that
//! was made to point here (DNS rebinding) gets nothing.

use std::io;
use std::net::IpAddr;
use std::path::{Path as FilePath, PathBuf};

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use docket_platform::Problem;

/// The newest mails that are listed.
const LISTED: usize = 100;
/// The longest mail that is shown.
const LARGEST: u64 = 1024 * 1024;

/// The routes over one folder.
pub fn router(folder: PathBuf) -> Router {
    Router::new()
        .route("/outbox", get(list))
        .route("/outbox/{file}", get(show))
        .layer(middleware::from_fn(on_this_machine))
        .with_state(folder)
}

/// Lets a request through that was made to this machine under a name that is always its own.
async fn on_this_machine(request: Request, next: Next) -> Response {
    let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if named.is_some_and(is_loopback) {
        return next.run(request).await;
    }
    Problem::not_found("There is no such page.").into_response()
}

/// Whether `HOST[:PORT]` is a loopback address or `localhost`.
fn is_loopback(authority: &str) -> bool {
    let Ok(uri) = authority.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

async fn list(State(folder): State<PathBuf>) -> Result<Html<String>, Problem> {
    let names = tokio::task::spawn_blocking(move || names(&folder)).await;
    let names = names.map_err(Problem::internal)?.map_err(Problem::internal)?;
    let mut items = String::new();
    for name in &names {
        // Names are made here, of letters, digits, dots and hyphens; see `is_name`.
        items.push_str(&format!("<li><a href=\"/outbox/{name}\">{name}</a></li>"));
    }
    let none = if names.is_empty() { "<p>No mail yet.</p>" } else { "" };
    Ok(Html(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>Outbox · Docket</title></head><body><h1>Outbox</h1>\
         <p>Mails that are written to a folder because no provider is set; the newest first.</p>{none}<ul>{items}</ul></body></html>"
    )))
}

async fn show(State(folder): State<PathBuf>, Path(file): Path<String>) -> Result<Response, Problem> {
    let missing = || Problem::not_found("There is no such mail.");
    if !is_name(&file) {
        return Err(missing());
    }
    let path = folder.join(file);
    let read = tokio::task::spawn_blocking(move || read(&path)).await.map_err(Problem::internal)?;
    match read {
        Ok(Some(bytes)) => {
            let kind = HeaderValue::from_static("text/plain; charset=utf-8");
            Ok(([(header::CONTENT_TYPE, kind)], bytes).into_response())
        }
        Ok(None) => Err(missing()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing()),
        Err(error) => Err(Problem::internal(error)),
    }
}

/// The newest mails, by name: names begin with the time.
fn names(folder: &FilePath) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names: Vec<String> = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string().ok().filter(|name| is_name(name)));
    }
    names.sort_unstable_by(|one, other| other.cmp(one));
    names.truncate(LISTED);
    Ok(names)
}

/// A mail; none: it is no plain file of a mail's size.
fn read(path: &FilePath) -> io::Result<Option<Vec<u8>>> {
    let kind = std::fs::symlink_metadata(path)?;
    if !kind.is_file() || kind.len() > LARGEST {
        return Ok(None);
    }
    std::fs::read(path).map(Some)
}

/// Whether it is the name of a mail, and nothing that leads out of the folder.
fn is_name(name: &str) -> bool {
    name.ends_with(".eml")
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_this_machine() {
        for own in ["127.0.0.1:8080", "localhost:8080", "LocalHost", "[::1]:8080", "127.0.0.2"] {
            assert!(is_loopback(own), "{own}");
        }
        for foreign in ["", "example.org:8080", "10.0.0.1", "localhost.example.org", "127.0.0.1.example.org", "[::]:80"]
        {
            assert!(!is_loopback(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_name_leads_nowhere_else() {
        assert!(is_name("20260102T030405.678Z-reset-0199.eml"));
        for other in ["../x.eml", "a/b.eml", ".eml", "x.txt", "a\u{202e}.eml", "x.eml\0", ""] {
            assert!(!is_name(other), "{other:?}");
        }
    }
}
