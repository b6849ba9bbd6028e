//! Settings, mails, what was logged, and waiting.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use clap::Parser;
use docket_platform::{
    ids,
    outgoing::{Outgoing, OutgoingArgs},
};
use docket_projector::mail::{Mail, MailSettings, Mailbox, Mailer};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// What must never be logged or shown, in any test: address, subject, text and secrets.
pub(crate) const PRIVATE: &[&str] = &["ada@reader.example", "Your code", "s3cret-link", "hunter2"];
/// How long a test waits for what must happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, Parser)]
struct All {
    #[command(flatten)]
    mail: MailSettings,
}

pub(crate) fn settings(arguments: &[&str]) -> MailSettings {
    let from = ["docket", "--mail-from=Docket <docket@docket.example>"];
    All::try_parse_from(from.iter().chain(arguments)).expect("settings").mail
}

pub(crate) fn outgoing() -> Outgoing {
    Outgoing::new(&OutgoingArgs::default())
}

pub(crate) fn mailer(arguments: &[&str]) -> Mailer {
    Mailer::new(&settings(arguments), None, &outgoing()).expect("a mailer")
}

pub(crate) fn mail() -> Mail {
    Mail {
        id: ids::new_id(),
        to: Mailbox { name: Some("Ada Ünal".to_owned()), address: "ada@reader.example".to_owned() },
        subject: "Your code ✓".to_owned(),
        text: "Follow s3cret-link\n.\n..\nÄ\n".to_owned(),
        html: "<p>Follow <a href=\"https://docket.example/s3cret-link\">Ä</a></p>\n".to_owned(),
        unsubscribe: None,
    }
}

/// Everything that this thread logs, at every level.
#[derive(Clone, Default)]
pub(crate) struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    pub(crate) fn capture() -> (Self, DefaultGuard) {
        let logs = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(logs.clone())
            .finish();
        (logs, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no panic while logging")).into_owned()
    }

    /// Fails when anything private was logged, or stands in `shown`.
    pub(crate) fn assert_private(&self, shown: &str) {
        let text = self.text() + shown;
        assert!(!text.is_empty());
        for private in PRIVATE {
            assert!(!text.contains(private), "{private} is shown:\n{text}");
        }
    }
}

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic while logging").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logs {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Tries until `found` answers something.
pub(crate) async fn eventually<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = found().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, search).await.unwrap_or_else(|_| panic!("{what} did not come in time"))
}
