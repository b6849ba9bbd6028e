//! From one provider to the next, and back.

use std::time::Duration;

use docket_projector::mail::{MailError, MailSetupError, Mailer};
use serde_json::json;

use crate::{
    api::{Api, KEY, Kind, Say},
    server::Server,
    support::{Logs, eventually, mail, mailer, outgoing, settings},
};

/// Resend, then SendGrid.
async fn two() -> (Api, Api) {
    (Api::start(Kind::Resend).await, Api::start(Kind::SendGrid).await)
}

fn through(resend: &Api, sendgrid: &Api, key: &str) -> Mailer {
    within("30s", resend, sendgrid, key)
}

fn within(timeout: &str, resend: &Api, sendgrid: &Api, key: &str) -> Mailer {
    let [first, second] = [resend.arguments(key), sendgrid.arguments(KEY)];
    let more = ["--mail-providers=resend,sendgrid".to_owned(), format!("--mail-timeout={timeout}")];
    let arguments: Vec<&str> = first.iter().chain(&second).chain(&more).map(String::as_str).collect();
    mailer(&arguments)
}

async fn by(mailer: &Mailer) -> &'static str {
    mailer.send(&mail()).await.expect("somebody takes it").provider
}

#[tokio::test]
async fn while_a_provider_is_down_the_next_takes_mail_and_it_gets_its_place_back() {
    let (mut resend, sendgrid) = two().await;
    let mailer = through(&resend, &sendgrid, KEY);
    assert_eq!(by(&mailer).await, "resend");

    resend.go_down().await;
    for _ in 0..5 {
        assert_eq!(by(&mailer).await, "sendgrid", "no mail waits for the one that is down");
    }
    resend.come_back().await;
    // The breaker lets one mail through to see, when its pause is over.
    eventually("the first provider's return", async || (by(&mailer).await == "resend").then_some(())).await;
    assert_eq!(by(&mailer).await, "resend");
}

#[tokio::test]
async fn a_provider_that_fails_again_and_again_is_left_alone_but_for_probes() {
    let (resend, sendgrid) = two().await;
    let mailer = through(&resend, &sendgrid, KEY);
    for _ in 0..100 {
        resend.say(Say::status(503));
    }
    for _ in 0..100 {
        assert_eq!(by(&mailer).await, "sendgrid");
    }
    // Three failures open the breaker; each probe after them waits a second, then two, then four.
    let asked = resend.requests().len();
    assert!((3..20).contains(&asked), "asked {asked} times for a hundred mails");
    resend.says_as_usual();
    eventually("the return", async || (by(&mailer).await == "resend").then_some(())).await;
    assert_eq!(resend.sent(), 1);
}

#[tokio::test]
async fn a_provider_that_accepts_and_then_hangs_costs_its_time_and_no_mail() {
    let (resend, sendgrid) = two().await;
    let mailer = within("1s", &resend, &sendgrid, KEY);
    resend.say(Say::Nothing);
    assert_eq!(by(&mailer).await, "sendgrid");
    // Alone, it makes the mail wait for another attempt.
    resend.say(Say::Nothing);
    sendgrid.say(Say::status(500));
    let error = mailer.send(&mail()).await.expect_err("nobody");
    assert!(matches!(&error, MailError::Transient { reason, .. } if reason.contains("did not answer")), "{error}");
}

#[tokio::test]
async fn a_provider_that_asks_for_a_rest_gets_it() {
    let (resend, sendgrid) = two().await;
    let mailer = through(&resend, &sendgrid, KEY);
    let rest = |seconds: u64| Say::Status(429, vec![("retry-after", seconds.to_string())], json!({}));
    resend.say(rest(600));
    assert_eq!(by(&mailer).await, "sendgrid");
    assert_eq!(by(&mailer).await, "sendgrid");
    assert_eq!(resend.requests().len(), 1, "it is not asked again before its time");
    // When all rest, the mail waits for the first.
    sendgrid.say(rest(60));
    let error = mailer.send(&mail()).await.expect_err("both rest");
    let MailError::Transient { retry_after: Some(after), .. } = error else { panic!("{error}") };
    assert_eq!(after, Duration::from_secs(60));
}

#[tokio::test]
async fn a_short_rest_ends() {
    let (resend, sendgrid) = two().await;
    let mailer = through(&resend, &sendgrid, KEY);
    resend.say(Say::Status(429, vec![("retry-after", "1".to_owned())], json!({})));
    assert_eq!(by(&mailer).await, "sendgrid");
    eventually("the end of the rest", async || (by(&mailer).await == "resend").then_some(())).await;
}

#[tokio::test]
async fn a_mail_that_is_refused_for_what_it_is_goes_to_nobody_else() {
    let (resend, sendgrid) = two().await;
    let mailer = through(&resend, &sendgrid, KEY);
    for _ in 0..5 {
        resend.say(Say::named(422, "invalid_parameter", "ada@reader.example bounces"));
        let error = mailer.send(&mail()).await.expect_err("refused");
        assert!(matches!(&error, MailError::Permanent { reason } if reason.starts_with("resend: ")), "{error}");
    }
    assert!(sendgrid.requests().is_empty());
    assert_eq!(by(&mailer).await, "resend", "the provider is not blamed");
}

#[tokio::test]
async fn refused_credentials_are_said_aloud_and_the_next_provider_takes_the_mail() {
    let (logs, _guard) = Logs::capture();
    let (resend, sendgrid) = two().await;
    let mailer = through(&resend, &sendgrid, "re_hunter2_old");
    assert_eq!(by(&mailer).await, "sendgrid");
    let text = logs.text();
    let loud = text.lines().find(|line| line.contains("ERROR")).expect("an error in the log");
    assert!(loud.contains("resend") && loud.contains("refused the key"), "{loud}");
    logs.assert_private("");
}

#[tokio::test]
async fn from_a_mail_server_to_an_api() {
    let (server, resend) = (Server::start(&[("RCPT", Some("451 4.3.0 later"))]).await, Api::start(Kind::Resend).await);
    let [url, key] = resend.arguments(KEY);
    let mailer = mailer(&["--mail-providers=smtp,resend", &server.url(), &url, &key]);
    assert_eq!(by(&mailer).await, "resend");
}

#[tokio::test]
async fn without_a_provider_mail_waits_and_a_warning_says_so() {
    let (logs, _guard) = Logs::capture();
    let mailer = mailer(&[]);
    assert!(!mailer.has_providers() && logs.text().contains("DOCKET_MAIL_PROVIDERS"));
    let error = mailer.send(&mail()).await.expect_err("nobody");
    assert!(matches!(error, MailError::Transient { retry_after: None, .. }), "{error}");
}

#[test]
fn a_setting_that_is_missing_is_named() {
    let needs = |arguments: &[&str]| match Mailer::new(&settings(arguments), None, &outgoing()) {
        Err(MailSetupError::Missing { needs, .. }) => needs,
        other => panic!("{arguments:?}: {other:?}"),
    };
    assert_eq!(needs(&["--mail-providers=smtp"]), "DOCKET_MAIL_SMTP_URL");
    assert_eq!(needs(&["--mail-providers=resend", "--mail-resend-api-key="]), "DOCKET_MAIL_RESEND_API_KEY");
    assert_eq!(needs(&["--mail-providers=sendgrid"]), "DOCKET_MAIL_SENDGRID_API_KEY");
    assert_eq!(needs(&["--mail-providers=outbox"]), "DOCKET_MAIL_OUTBOX");
    let mut nobody = settings(&["--mail-providers=resend", "--mail-resend-api-key=x"]);
    nobody.mail_from = None;
    let error = Mailer::new(&nobody, None, &outgoing()).expect_err("no sender");
    assert!(error.to_string().contains("DOCKET_MAIL_FROM"), "{error}");
    nobody.mail_from = Some("not an address".to_owned());
    assert!(matches!(Mailer::new(&nobody, None, &outgoing()), Err(MailSetupError::From)));
    let clear = settings(&["--mail-providers=smtp", "--mail-smtp-url=smtp://me:hunter2@mail.example"]);
    let error = Mailer::new(&clear, None, &outgoing()).expect_err("a password in clear").to_string();
    assert!(error.contains("TLS") && !error.contains("hunter2"), "{error}");
}
