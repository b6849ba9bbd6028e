//! Mail: through which provider it goes, and what happens when one is down.
//!
//! Owns the providers behind one trait, the fail-over between them, and the letters that Docket writes. It must not decide when a mail
//! is sent, nor how often it is tried: the reactor that sends it does. What it logs and the texts of its errors name providers, codes
//! and ids: never an address, a body or a key.
//!
//! | you look for | module |
//! |---|---|
//! | one mail | [`Mail`], [`Mailbox`] |
//! | what operators set | `settings` |
//! | which provider is tried, and what its failure means | `mailer` |
//! | what a provider is | `provider` |
//! | the providers | `smtp`, `resend`, `sendgrid`, `outbox` |
//! | a mail as a message of RFC 5322 | `message` |
//! | the letters, as HTML and text | [`templates`] |

mod mailer;
mod message;
mod outbox;
mod provider;
mod resend;
mod sendgrid;
mod settings;
mod smtp;
pub mod templates;

use std::fmt;

use uuid::Uuid;

pub use mailer::{MailError, MailSetupError, Mailer, Sent};
pub use settings::{MailSettings, ProviderKind, Providers};

/// Whom a mail is from or for.
#[derive(Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// How they are called, if that is known.
    pub name: Option<String>,
    /// Where they read mail.
    pub address: String,
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}

/// One mail. `Debug` shows its id alone: address and text are personal, and the text may hold a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// The same in every attempt, even where the text differs: providers that can tell one mail from another by it do.
    pub id: Uuid,
    /// For whom.
    pub to: Mailbox,
    /// What it is about.
    pub subject: String,
    /// What it says.
    pub text: String,
    /// What it says, for those who see HTML.
    pub html: String,
    /// Where whoever does not want such mail any more says so with one click (RFC 8058).
    pub unsubscribe: Option<String>,
}

impl Mail {
    /// The headers that every provider sends beside those that it makes itself.
    fn headers(&self) -> Vec<(&'static str, String)> {
        // Nobody's absence note answers it.
        let mut headers = vec![("Auto-Submitted", "auto-generated".to_owned())];
        if let Some(url) = &self.unsubscribe {
            headers.push(("List-Unsubscribe", format!("<{url}>")));
            headers.push(("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()));
        }
        headers
    }
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("id", &self.id).finish_non_exhaustive()
    }
}
