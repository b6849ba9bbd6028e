//! What Resend and SendGrid are told, and what is made of their answers.

use docket_projector::mail::{Mail, MailError, Mailer};
use serde_json::json;

use crate::{
    api::{Api, KEY, Kind, Say},
    support::{Logs, mail, mailer},
};

fn through(api: &Api, kind: &str, timeout: &str) -> Mailer {
    let [url, key] = api.arguments(KEY);
    mailer(&[&format!("--mail-providers={kind}"), &url, &key, &format!("--mail-timeout={timeout}")])
}

#[tokio::test]
async fn resend_is_told_all_of_a_mail_and_sends_it_once() {
    let (logs, _guard) = Logs::capture();
    let api = Api::start(Kind::Resend).await;
    let mailer = through(&api, "resend", "30s");
    let mail = mail();
    let first = mailer.send(&mail).await.expect("taken");
    // The answer was lost: the same mail again.
    let again = mailer.send(&mail).await.expect("taken");
    assert_eq!((first.provider, &first.id), ("resend", &again.id));
    assert_eq!(api.sent(), 1, "the same key sends nothing a second time");
    // Another attempt, with a link of its own.
    let newer = Mail { text: "Follow another s3cret-link".to_owned(), ..mail.clone() };
    let newer = mailer.send(&newer).await.expect("taken");
    assert_ne!(newer.id, first.id, "what bears another link is sent");

    let (headers, body) = &api.requests()[0];
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(body["from"], "Docket <docket@docket.example>");
    assert_eq!(body["to"], json!(["Ada Ünal <ada@reader.example>"]));
    assert_eq!(
        (&body["subject"], &body["text"], &body["html"]),
        (&json!(mail.subject), &json!(mail.text), &json!(mail.html))
    );
    logs.assert_private(&format!("{mailer:?} {mail:?}"));
}

#[tokio::test]
async fn neither_a_name_nor_a_subject_becomes_more_than_it_is() {
    let api = Api::start(Kind::Resend).await;
    let mut mail = mail();
    mail.to.name = Some("Eve\" <eve@evil.example>, \"x".to_owned());
    mail.subject = "Hi\r\nBcc: eve@evil.example\u{202E}".to_owned();
    through(&api, "resend", "30s").send(&mail).await.expect("taken");
    let body = &api.requests()[0].1;
    assert_eq!(body["subject"], "Hi Bcc: eve@evil.example");
    assert_eq!(&body["to"], &json!([r#""Eve\" <eve@evil.example>, \"x" <ada@reader.example>"#]));
}

#[tokio::test]
async fn sendgrid_is_told_all_of_a_mail_and_to_follow_nobody() {
    let (logs, _guard) = Logs::capture();
    let api = Api::start(Kind::SendGrid).await;
    let mailer = through(&api, "sendgrid", "30s");
    let mail = mail();
    let sent = mailer.send(&mail).await.expect("taken");
    assert_eq!((sent.provider, sent.id.as_str()), ("sendgrid", "sg-1"));
    let (_, body) = &api.requests()[0];
    assert_eq!(body["personalizations"][0]["to"], json!([{ "email": "ada@reader.example", "name": "Ada Ünal" }]));
    assert_eq!(body["personalizations"][0]["custom_args"]["docket_id"], json!(mail.id));
    assert_eq!(body["from"], json!({ "email": "docket@docket.example", "name": "Docket" }));
    assert_eq!(body["content"][0]["value"], json!(mail.text));
    assert_eq!(body["content"][1]["value"], json!(mail.html));
    let tracking = &body["tracking_settings"];
    assert_eq!(tracking["click_tracking"], json!({ "enable": false, "enable_text": false }));
    assert_eq!(tracking["open_tracking"], json!({ "enable": false }));
    logs.assert_private("");
}

#[tokio::test]
async fn a_mail_that_can_be_ended_says_so_through_every_provider() {
    let end = "https://docket.example/api/v1/notifications/unsubscribe?token=s3cret-link";
    let one = json!({ "Auto-Submitted": "auto-generated" });
    let both = json!({
        "Auto-Submitted": "auto-generated",
        "List-Unsubscribe": format!("<{end}>"),
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    });
    for (kind, name) in [(Kind::Resend, "resend"), (Kind::SendGrid, "sendgrid")] {
        let api = Api::start(kind).await;
        let mailer = through(&api, name, "30s");
        mailer.send(&mail()).await.expect("taken");
        mailer.send(&Mail { unsubscribe: Some(end.to_owned()), ..mail() }).await.expect("taken");
        let requests = api.requests();
        assert_eq!((&requests[0].1["headers"], &requests[1].1["headers"]), (&one, &both), "{name}");
    }
}

/// Whether it is for good, and whether the provider says when to come back.
async fn outcome(api: &Api, kind: &str, say: Say) -> (bool, Option<u64>) {
    let logs = Logs::capture();
    api.say(say.clone());
    let mail: Mail = mail();
    let timeout = if matches!(say, Say::Nothing) { "300ms" } else { "30s" };
    let error = through(api, kind, timeout).send(&mail).await.expect_err("a refusal");
    logs.0.assert_private(&error.to_string());
    match error {
        MailError::Permanent { .. } => (true, None),
        MailError::Transient { retry_after, .. } => (false, retry_after.map(|after| after.as_secs())),
    }
}

#[tokio::test]
async fn the_documented_errors_of_resend_mean_what_they_say() {
    let api = Api::start(Kind::Resend).await;
    let retry_after = |status| Say::Status(status, vec![("retry-after", "7".to_owned())], json!({}));
    let cases = [
        (Say::named(400, "validation_error", "Invalid `to` field: ada@reader.example"), (true, None)),
        (Say::named(400, "validation_error", "API key is invalid"), (false, None)),
        (Say::named(401, "missing_api_key", "Missing API Key"), (false, None)),
        (Say::named(401, "restricted_api_key", "This API key is restricted"), (false, None)),
        (Say::named(403, "invalid_api_key", "re_hunter2 is invalid"), (false, None)),
        (Say::named(403, "validation_error", "The domain is not verified"), (false, None)),
        (Say::named(404, "not_found", "The requested endpoint does not exist"), (false, None)),
        (Say::named(409, "concurrent_idempotent_requests", "Another request is in progress"), (false, None)),
        (Say::named(422, "invalid_parameter", "The parameter must be valid"), (true, None)),
        (Say::named(422, "invalid_from_address", "Invalid from field"), (false, None)),
        (Say::named(429, "daily_quota_exceeded", "You have reached your daily quota"), (false, None)),
        (retry_after(429), (false, Some(7))),
        (Say::named(500, "application_error", "An unexpected error occurred"), (false, None)),
        (retry_after(503), (false, Some(7))),
        (Say::Status(307, vec![("location", "/emails".to_owned())], json!({})), (false, None)),
        (Say::Nothing, (false, None)),
    ];
    for (say, expected) in cases {
        assert_eq!(outcome(&api, "resend", say.clone()).await, expected, "{say:?}");
    }
    assert_eq!(api.sent(), 0);
}

#[tokio::test]
async fn the_documented_errors_of_sendgrid_mean_what_they_say() {
    let api = Api::start(Kind::SendGrid).await;
    let cases = [
        (Say::fault(400, "personalizations.0.to.0.email", "ada@reader.example does not contain a valid address"), true),
        (Say::fault(400, "from.email", "The from email does not contain a valid address"), false),
        (Say::fault(401, "", "The provided authorization grant is invalid"), false),
        (Say::fault(403, "from", "The from address does not match a verified Sender Identity"), false),
        (Say::status(413), true),
        (Say::fault(429, "", "too many requests"), false),
        (Say::status(500), false),
        (Say::status(503), false),
        (Say::Nothing, false),
    ];
    for (say, for_good) in cases {
        assert_eq!(outcome(&api, "sendgrid", say.clone()).await, (for_good, None), "{say:?}");
    }
    let reset = docket_platform::clock::now().timestamp() + 3_000;
    let limited = Say::Status(429, vec![("x-ratelimit-reset", reset.to_string())], json!({}));
    let (for_good, after) = outcome(&api, "sendgrid", limited).await;
    assert!(!for_good && after.is_some_and(|after| (2_900..=3_000).contains(&after)), "{after:?}");
    assert_eq!(api.sent(), 0);
}
