//! Over SMTP: to a mail server that others wrote, and to one that refuses on demand.

use std::{path::PathBuf, process::Stdio, time::Instant};

use docket_platform::{clock, scratch_kafka};
use docket_projector::mail::{Mail, MailError, Mailbox};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::{
    server::Server,
    support::{DEADLINE, Logs, mail, mailer},
};

/// aiosmtpd, as a process of its own.
struct Sink {
    port: u64,
    lines: Lines<BufReader<ChildStdout>>,
    // Killed when it is dropped.
    _child: Child,
}

impl Sink {
    async fn start(arguments: &[&str]) -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut child = Command::new(root.join("target/python/bin/python"))
            .arg(root.join("projector/tests/mail/sink.py"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the packages that `script/bootstrap test` installs");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut sink = Self { port: 0, lines, _child: child };
        sink.port = sink.next().await["port"].as_u64().expect("a port");
        sink
    }

    /// What it says next.
    async fn next(&mut self) -> Value {
        let line = tokio::time::timeout(DEADLINE, self.lines.next_line()).await.expect("a line in time");
        let line = line.expect("output").expect("the server runs");
        serde_json::from_str(&line).expect("JSON")
    }
}

/// A folder with `ca.pem` and `server.pem`.
fn certificates() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("docket-mail-{}", docket_platform::ids::new_id()));
    std::fs::create_dir(&folder).expect("a folder");
    scratch_kafka::certificates(&folder).expect("certificates");
    folder
}

fn header<'a>(mail: &'a Value, name: &str) -> &'a str {
    let headers = mail["headers"].as_array().expect("headers");
    let found: Vec<_> = headers.iter().filter(|header| header[0] == name).collect();
    assert_eq!(found.len(), 1, "one {name}");
    found[0][1].as_str().expect("text")
}

#[tokio::test]
async fn a_mail_arrives_over_tls_and_a_login_as_it_was_written() {
    let (logs, _guard) = Logs::capture();
    let folder = certificates();
    let certificate = folder.join("server.pem").display().to_string();
    let mut sink = Sink::start(&["--tls", &certificate, "--login", "me", "hunter2 ü"]).await;
    let mailer = mailer(&[
        "--mail-providers=smtp",
        &format!("--mail-smtp-url=smtp://me:hunter2%20%C3%BC@localhost:{}?tls=required", sink.port),
        &format!("--mail-smtp-ca={}", folder.join("ca.pem").display()),
    ]);
    let mail = mail();
    let sent = mailer.send(&mail).await.expect("taken");
    assert_eq!(sent.provider, "smtp");

    assert_eq!(sink.next().await["tried"], "PLAIN");
    let came = sink.next().await;
    assert_eq!(came["secure"], true);
    assert_eq!(came["authenticated"], true);
    assert_eq!(
        (&came["sender"], &came["recipients"][0]),
        (&"docket@docket.example".into(), &mail.to.address.clone().into())
    );
    assert_eq!(header(&came, "From"), "Docket <docket@docket.example>");
    assert_eq!(came["to_name"], "Ada Ünal");
    assert_eq!(header(&came, "Subject"), mail.subject);
    assert_eq!(header(&came, "Message-ID"), format!("<{}@docket.example>", mail.id));
    assert_eq!(header(&came, "Message-ID"), sent.id);
    assert_eq!(header(&came, "Auto-Submitted"), "auto-generated");
    assert!(!header(&came, "Date").is_empty());
    let part = |kind: &str| came[kind].as_str().map(|part| part.replace("\r\n", "\n"));
    assert_eq!((part("text"), part("html")), (Some(mail.text), Some(mail.html)));
    logs.assert_private(&format!("{mailer:?} {sent:?}"));
    std::fs::remove_dir_all(folder).expect("a folder");
}

#[tokio::test]
async fn a_server_that_cannot_prove_itself_gets_no_password() {
    let (logs, _guard) = Logs::capture();
    let folder = certificates();
    let certificate = folder.join("server.pem").display().to_string();
    let mut sink = Sink::start(&["--tls", &certificate, "--login", "me", "hunter2"]).await;
    let url = format!("--mail-smtp-url=smtp://me:hunter2@localhost:{}?tls=required", sink.port);
    let error = mailer(&["--mail-providers=smtp", &url]).send(&mail()).await.expect_err("no trust");
    assert!(matches!(&error, MailError::Transient { reason, .. } if reason.contains("secured")), "{error}");
    // The first that it is asked for is what the next one, who knows its authority, tries.
    let trusting =
        mailer(&["--mail-providers=smtp", &url, &format!("--mail-smtp-ca={}", folder.join("ca.pem").display())]);
    trusting.send(&mail()).await.expect("taken");
    assert_eq!(sink.next().await["tried"], "PLAIN");
    assert_eq!(sink.next().await["authenticated"], true, "no other attempt to log in came before");
    logs.assert_private(&error.to_string());
    std::fs::remove_dir_all(folder).expect("a folder");
}

#[tokio::test]
async fn a_server_without_the_tls_that_is_required_gets_nothing() {
    let server = Server::start(&[]).await;
    let url = format!("--mail-smtp-url=smtp://me:hunter2@{}?tls=required", server.address);
    let error = mailer(&["--mail-providers=smtp", &url]).send(&mail()).await.expect_err("no TLS");
    assert!(matches!(&error, MailError::Transient { reason, .. } if reason.contains("no TLS")), "{error}");
    assert!(server.taken().is_empty());
}

#[tokio::test]
async fn refusals_mean_what_they_do_at_their_step() {
    let (logs, _guard) = Logs::capture();
    let cases = [
        ("banner", "421 4.3.2 closing ada@reader.example", false),
        ("banner", "554 5.3.2 no service", false),
        ("banner", "SSH-2.0-OpenSSH_9.2", false),
        ("AUTH", "535 5.7.8 bad credentials for hunter2", false),
        ("AUTH", "454 4.7.0 try later", false),
        ("MAIL", "550 5.1.8 who are you", false),
        ("MAIL", "552 5.3.4 too large", true),
        ("MAIL", "452 4.3.1 full", false),
        ("RCPT", "550 5.1.1 <ada@reader.example> unknown", true),
        ("RCPT", "550 <ada@reader.example> unknown", true),
        ("RCPT", "554 5.7.1 relay access denied", false),
        ("RCPT", "530 log in first", false),
        ("RCPT", "450 4.2.0 greylisted", false),
        ("DATA", "451 4.3.0 later", false),
        (".", "554 5.6.0 not like this", true),
        (".", "552 too large", true),
        (".", "451 4.3.0 later", false),
    ];
    for (step, words, for_good) in cases {
        let server = Server::start(&[(step, Some(words))]).await;
        let error = mailer(&["--mail-providers=smtp", &server.url()]).send(&mail()).await.expect_err(words);
        assert_eq!(matches!(error, MailError::Permanent { .. }), for_good, "{step} {words}: {error}");
        assert!(server.taken().is_empty());
        logs.assert_private(&error.to_string());
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_in_time_and_one_that_took_the_mail_is_believed() {
    for step in ["banner", "EHLO", "AUTH", "RCPT", "DATA", "."] {
        let server = Server::start(&[(step, None)]).await;
        let mailer = mailer(&["--mail-providers=smtp", &server.url(), "--mail-timeout=500ms"]);
        let began = Instant::now();
        let error = mailer.send(&mail()).await.expect_err("silence");
        assert!(matches!(error, MailError::Transient { .. }), "{step}: {error}");
        assert!(began.elapsed() < DEADLINE, "{step}");
    }
    // Silent when it is said goodbye to: the mail is taken all the same.
    let server = Server::start(&[("QUIT", None)]).await;
    mailer(&["--mail-providers=smtp", &server.url(), "--mail-timeout=20s"]).send(&mail()).await.expect("taken");
    assert_eq!(server.taken().len(), 1);
}

#[tokio::test]
async fn nothing_that_a_mail_holds_becomes_a_header_or_ends_it() {
    let server = Server::start(&[]).await;
    let mail = Mail {
        to: Mailbox { name: Some("Eve\r\nBcc: all@reader.example\r\n\r\nx".to_owned()), ..mail().to },
        subject: "Hi\r\nBcc: all@reader.example\nX-Evil: 1\r\n\r\nbody".to_owned(),
        text: "\r\n.\r\nMAIL FROM:<eve@evil.example>\r\n".to_owned(),
        ..mail()
    };
    mailer(&["--mail-providers=smtp", &server.url()]).send(&mail).await.expect("taken");
    let taken = server.taken();
    assert_eq!(taken.len(), 1);
    let head = taken[0].split("\r\n\r\n").next().expect("headers");
    let names: Vec<_> =
        head.lines().filter(|line| !line.starts_with([' ', '\t'])).filter_map(|line| line.split(':').next()).collect();
    assert_eq!(
        names,
        ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]
    );
    let year = clock::now().format("%Y").to_string();
    assert!(head.contains(&year));
}

#[tokio::test]
async fn what_is_no_address_is_sent_to_nobody() {
    let server = Server::start(&[]).await;
    let mailer = mailer(&["--mail-providers=smtp", &server.url(), "--mail-timeout=5s"]);
    for address in
        ["", "ada", "ada@", "@reader.example", "a b@reader.example", "ada@reader.example>\r\nRCPT TO:<eve@evil.example"]
    {
        let mail = Mail { to: Mailbox { name: None, address: address.to_owned() }, ..mail() };
        let error = mailer.send(&mail).await.expect_err(address);
        assert!(matches!(error, MailError::Permanent { .. }), "{address}: {error}");
        assert!(address.is_empty() || !error.to_string().contains(address));
    }
    assert!(server.taken().is_empty());
}
