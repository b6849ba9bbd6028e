//! What a provider of mail is, and what its refusals mean.

use std::time::Duration;

use docket_platform::outgoing::{Answer, OutgoingError};
use futures_util::future::BoxFuture;
use lettre::message::Mailbox as Address;

use super::Mail;

/// A mail whose addresses were read and whose texts fit headers: providers need not look again.
#[derive(Clone)]
pub(super) struct Checked {
    pub(super) mail: Mail,
    pub(super) to: Address,
}

/// Takes mail.
pub(super) trait Provider: Send + Sync {
    /// Its name in configuration, logs and metrics.
    fn name(&self) -> &'static str;

    /// Hands over `mail` once, and answers under which id it is known there. It ends when its caller stops waiting.
    fn send<'a>(&'a self, mail: &'a Checked) -> BoxFuture<'a, Result<String, ProviderError>>;
}

/// Why a provider did not take a mail. The texts hold neither what was sent nor what came back but codes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProviderError {
    /// Nobody will take this mail.
    #[error("{0}")]
    Mail(String),
    /// It will take none of ours before somebody changes something: the key, the sender, the set-up.
    #[error("{0}")]
    Setup(String),
    /// It has taken enough for now.
    #[error("it takes no more mail for now")]
    Limited {
        /// For how long, if it said so.
        retry_after: Option<Duration>,
    },
    /// It cannot be reached, does not answer in time, or says that it is broken.
    #[error("{reason}")]
    Down {
        /// What is wrong.
        reason: String,
        /// Not before then, if it said so.
        retry_after: Option<Duration>,
    },
}

impl ProviderError {
    /// Down, for no known time.
    pub(super) fn down(reason: impl Into<String>) -> Self {
        Self::Down { reason: reason.into(), retry_after: None }
    }

    /// What statuses mean whoever answers: a redirect is not followed, so it is a set-up that does not fit.
    pub(super) fn of_status(answer: &Answer) -> Self {
        let status = answer.status.as_u16();
        match status {
            413 => Self::Mail("the mail is too large (413)".to_owned()),
            429 => Self::Limited { retry_after: answer.retry_after() },
            401 | 403 => Self::Setup(format!("it refused the key or the sender ({status})")),
            408 | 500.. => {
                Self::Down { reason: format!("it is out of order ({status})"), retry_after: answer.retry_after() }
            }
            _ => Self::Setup(format!("it refused the request ({status})")),
        }
    }
}

impl From<OutgoingError> for ProviderError {
    fn from(error: OutgoingError) -> Self {
        if error.is_transient() { Self::down(error.to_string()) } else { Self::Setup(error.to_string()) }
    }
}
