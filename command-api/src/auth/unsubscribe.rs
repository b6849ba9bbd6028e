//! `/api/v1/notifications/unsubscribe`: no more mails of a kind, by the link that one of them bore (RFC 8058).
//!
//! A mail program posts to it by itself. Whoever follows the link in a browser gets a page with a button: programs that look at
//! links of mails follow them, and unsubscribe nobody.

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use docket_domain::{identity::unsubscribe, notice::Topic};
use docket_platform::{
    Problem,
    auth::mailed::{self, Unsubscribed},
    db,
    http::Query,
};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::{error::RouteError, origin::Origin, user};
use crate::{openapi::UnsubscribeProblems, state::State};

/// What the link bears.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Link {
    /// The token of the mailed link.
    #[param(value_type = String)]
    token: SecretString,
}

/// What a mail program sends (RFC 8058, section 3.2), and the page's button.
const ONE_CLICK: (&str, &str) = ("List-Unsubscribe", "One-Click");

/// The page loads nothing and posts to where it is from.
const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'");

/// Ask whether to get no more of these mails
///
/// A page with a button that posts. Looking at it changes nothing.
#[utoipa::path(
    get, path = "/api/v1/notifications/unsubscribe", operation_id = "unsubscribe_page", tag = "auth", params(Link),
    responses((status = OK, description = "A page", content_type = "text/html", body = String), UnsubscribeProblems),
    security(()),
)]
pub(super) async fn page(
    axum::extract::State(state): axum::extract::State<State>,
    request: HeaderMap,
    Query(link): Query<Link>,
) -> Result<Response, RouteError> {
    let (name, value) = ONE_CLICK;
    Ok(match whose(&state, &link).await? {
        Some((_, which)) => html(
            StatusCode::OK,
            &format!(
                "<p>You are about to get no more mails about {}.</p>\n<form method=\"post\">\
                 <input type=\"hidden\" name=\"{name}\" value=\"{value}\"><button>Get no more of these mails</button></form>",
                about(which)
            ),
        ),
        None => invalid(&request),
    })
}

/// Get no more of these mails
///
/// Needs nothing but the token of the mailed link, and the form `List-Unsubscribe=One-Click` (RFC 8058). Again: nothing happens.
#[utoipa::path(
    post, path = "/api/v1/notifications/unsubscribe", operation_id = "unsubscribe", tag = "auth", params(Link),
    request_body(content_type = "application/x-www-form-urlencoded", description = "`List-Unsubscribe=One-Click`", content = String),
    responses((status = OK, description = "No more of them", content_type = "text/html", body = String), UnsubscribeProblems),
    security(()),
)]
pub(super) async fn handler(
    axum::extract::State(state): axum::extract::State<State>,
    origin: Origin,
    request: HeaderMap,
    Query(link): Query<Link>,
    body: Bytes,
) -> Result<Response, RouteError> {
    if !is_one_click(&body) {
        let problem = Problem::bad_request("invalid_form", "The form must say `List-Unsubscribe=One-Click`.");
        return Err(problem.into());
    }
    let Some((reader, which)) = whose(&state, &link).await? else { return Ok(invalid(&request)) };
    let topics: &[Topic] = match which {
        Unsubscribed::Asked => &[Topic::Asked],
        Unsubscribed::Outcome => &[Topic::Outcome],
        Unsubscribed::Both => &Topic::ALL,
    };
    let context = origin.anonymous(Uuid::nil());
    if !user::command(&state, &context, reader, |user, _| unsubscribe(user, topics)).await? {
        return Ok(invalid(&request));
    }
    let done = format!(
        "<p>You get no more mails about {}. What you want to be told can be set anew at any time.</p>",
        about(which)
    );
    Ok(html(StatusCode::OK, &done))
}

/// Whose link it is, and what it ends.
async fn whose(state: &State, link: &Link) -> Result<Option<(Uuid, Unsubscribed)>, RouteError> {
    let found = async { Ok(mailed::unsubscriber(&mut *db::door(state.store.pool()).await?, &link.token).await?) };
    Ok(state.guarded(found).await?)
}

const fn about(which: Unsubscribed) -> &'static str {
    match which {
        Unsubscribed::Asked => "what is wanted of you",
        Unsubscribed::Outcome => "what came of what you asked or had a part in",
        Unsubscribed::Both => "consultations",
    }
}

/// Whether the form says it, in either of the two forms that mail programs send.
fn is_one_click(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    let (name, value) = ONE_CLICK;
    let said = text.trim_end() == format!("{name}={value}");
    let part = format!("name=\"{name}\"\r\n\r\n{value}\r\n");
    said || text.contains(&part)
}

/// A person reads a page, and a program a problem.
fn invalid(request: &HeaderMap) -> Response {
    let accepted = request.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if accepted.is_some_and(|accepted| accepted.contains("text/html")) {
        let said =
            "<p>This link has expired, or is none of ours. Links of newer mails work, and so do the settings.</p>";
        return html(StatusCode::BAD_REQUEST, said);
    }
    RouteError::InvalidToken.into_response()
}

fn html(status: StatusCode, said: &str) -> Response {
    let body = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"robots\" content=\"noindex\">\n\
         <title>Mails from Docket</title>\n</head>\n<body>\n<h1>Docket</h1>\n{said}\n\
         <p><a href=\"/settings/notifications\">Settings</a></p>\n</body>\n</html>\n"
    );
    let headers: [(HeaderName, HeaderValue); 2] = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    (status, headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::is_one_click;

    #[test]
    fn both_forms_of_mail_programs_are_understood() {
        assert!(is_one_click(b"List-Unsubscribe=One-Click"));
        let parts = b"--x\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--x--\r\n";
        assert!(is_one_click(parts));
        for other in [&b""[..], b"List-Unsubscribe=", b"One-Click", b"x=1", b"\xff"] {
            assert!(!is_one_click(other));
        }
    }
}
