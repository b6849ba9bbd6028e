//! The reactor `notices`, and the letters that come of it: people are told by mail what is wanted of them, and what came of it.
//!
//! | step | module |
//! |---|---|
//! | an event to a notice for each whom it concerns | `note` |
//! | consultations, organisations and users, read from the journal | `sources` |
//! | who is written to next, and what a letter came to | `queue` |
//! | what a letter says, and who need not be told any more | `write` |
//! | one letter after another, several at a time | `dispatch` |
//!
//! A notice names an event and a user and holds nothing of either. What a letter says is read when it is written, so that an erasure
//! reaches what waits, and what is answered by then is told to nobody. After a letter a user gets no other for a while: what comes
//! meanwhile goes as one digest.

mod dispatch;
mod note;
mod queue;
mod sources;
mod write;

use std::time::Duration;

use docket_domain::notice::Kind;
use docket_events::{Category, Event, Recorded};
use docket_log::{reader::ReadError, vault::VaultError};

use super::reactor::{DeliveryError, Reactor, Target};
use crate::{mail::Mailer, projection::Poison};

pub use dispatch::Correspondence;
pub use note::Noter;

/// What people may have to be told of. Its intents find out whom; history from elsewhere is told to nobody.
pub static NOTICES: Reactor = Reactor::new("notices", &[Category::Identity, Category::Consultation], wants);

/// The name under which letters that wait are listed and counted.
pub(super) const LETTERS: &str = "letters";

/// Who writes, and from where.
#[derive(Debug, Clone)]
pub struct Letters {
    /// Sends them.
    pub mailer: Mailer,
    /// Where people see this installation, without a slash at the end.
    pub url: String,
}

/// The pause after a letter to a user unless something else is said.
pub const INTERVAL: Duration = Duration::from_secs(5 * 60);

fn wants(event: &Recorded, data: &Event) -> Result<Vec<Target>, Poison> {
    let kind = match data {
        Event::Consultation(data) => Kind::of_consultation(data),
        Event::Identity(data) => Kind::of_identity(data),
        Event::Knowledge(_) | Event::Feed(_) | Event::Engagement(_) => None,
    };
    let kind = kind.filter(|_| !event.metadata().imported);
    Ok(kind.map(|kind| kind.name().to_owned()).into_iter().collect())
}

/// Why nothing can be said yet.
#[derive(Debug, thiserror::Error)]
enum Unsaid {
    #[error("the database did not answer")]
    Database(#[from] sqlx::Error),
    #[error("the journal cannot be read")]
    Read(#[from] ReadError),
    #[error("the personal fields cannot be opened")]
    Vault(#[from] VaultError),
    #[error("this release knows no notice `{0}` of this event")]
    Unknown(String),
}

impl From<Unsaid> for DeliveryError {
    fn from(error: Unsaid) -> Self {
        let reason = error.to_string();
        match error {
            Unsaid::Unknown(_) => Self::Lasting(reason),
            Unsaid::Database(_) | Unsaid::Read(_) | Unsaid::Vault(_) => Self::Passing { reason, retry_after: None },
        }
    }
}
