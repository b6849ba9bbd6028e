//! The clients' own books: every command that was sent, and what the client was told of it.
//!
//! Owns what the journal is compared with. A command that was answered 2xx is acknowledged; one that was refused at its only attempt
//! must have left nothing; of any other it is unknown whether it happened.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use docket_events::{consultation::Decision, engagement::Engaged};
use docket_log::IdempotencyKey;
use uuid::Uuid;

use crate::sessions::Sessions;

/// What a command is, with what of it must be found in its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Ask for a decision.
    Ask {
        /// Whether some instant of it is so near that it may be past when the command arrives.
        near: bool,
        /// The reviewers who may answer, a bit each; none: all.
        reviewers: u8,
    },
    /// Say something.
    Comment,
    /// Answer, or answer otherwise than before.
    Respond(Decision),
    /// Take it upon oneself.
    Claim,
    /// Let others have it again.
    Release,
    /// Give it into somebody's hands.
    Assign {
        /// Whose.
        to: Uuid,
    },
    /// Have somebody else answer in one's place.
    Delegate {
        /// Who.
        to: Uuid,
    },
    /// Ask the asker.
    Question {
        /// The id that the question must get: it is made of the key and of what was sent.
        id: Uuid,
    },
    /// Answer a question.
    Provide {
        /// Which.
        question: Uuid,
    },
    /// Take a request back.
    Withdraw,
}

impl Kind {
    /// Method and template of the path: the scope of the idempotency key.
    pub const fn route(self) -> &'static str {
        match self {
            Self::Ask { .. } => "POST /api/v1/consultations",
            Self::Comment => "POST /api/v1/consultations/{id}/comments",
            Self::Respond(_) => "POST /api/v1/consultations/{id}/responses",
            Self::Claim => "POST /api/v1/consultations/{id}/claim",
            Self::Release => "POST /api/v1/consultations/{id}/release",
            Self::Assign { .. } => "POST /api/v1/consultations/{id}/assignment",
            Self::Delegate { .. } => "POST /api/v1/consultations/{id}/delegation",
            Self::Question { .. } => "POST /api/v1/consultations/{id}/questions",
            Self::Provide { .. } => "POST /api/v1/consultations/{id}/questions/{question_id}/answer",
            Self::Withdraw => "POST /api/v1/consultations/{id}/withdrawal",
        }
    }

    /// Whether a refusal with this status can be the rules' and not a mistake: an instant was past, it had ended, somebody else has it
    /// in hand, another answers. Whether it was, `check::verdicts` says with the journal at hand.
    pub const fn may_refuse(self, status: u16) -> bool {
        match self {
            Self::Ask { near, .. } => near && status == 422,
            Self::Comment => false,
            Self::Respond(_) | Self::Claim | Self::Question { .. } => matches!(status, 403 | 409),
            Self::Release | Self::Withdraw => status == 409,
            Self::Assign { .. } => matches!(status, 409 | 422),
            Self::Delegate { .. } => matches!(status, 403 | 409 | 422),
            Self::Provide { .. } => matches!(status, 404 | 409),
        }
    }
}

/// One command, as it is sent at every attempt.
#[derive(Debug, Clone)]
pub struct Command {
    /// The idempotency key. It is the correlation id too, and stands in the text where there is one, so that events are known by it.
    pub key: String,
    /// What it is.
    pub kind: Kind,
    /// The number of the person who sends it.
    pub person: usize,
    /// The consultation; none for a new one.
    pub stream: Option<Uuid>,
    /// The path.
    pub path: String,
    /// The body, byte for byte.
    pub body: String,
}

/// An answer 2xx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The version, of the `ETag`.
    pub version: u64,
    /// The consultation, of the body.
    pub stream: Uuid,
    /// `Docket-Position`.
    pub position: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The answer in words; with its body, which may be long, only where that is what differs from `other`.
    pub fn beside(&self, other: &Self) -> String {
        let Self { status, version, stream, position, body } = self;
        let head = format!("{status}, version {version} of {stream} at {position}");
        let same =
            (status, version, stream, position) == (&other.status, &other.version, &other.stream, &other.position);
        if same { format!("{head}: {body}") } else { head }
    }
}

/// What the client knows of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Done.
    Acknowledged(Answer),
    /// Refused at its only attempt: it must have left nothing.
    Refused(u16),
    /// Anything: given up, or refused after an attempt without an answer.
    Unknown,
}

/// A command and its fate.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The command.
    pub command: Command,
    /// Who sent it.
    pub principal: Uuid,
    /// The id of its row in the journal's memory of answers.
    pub row: Uuid,
    /// What the client knows.
    pub fate: Fate,
    /// Whether its answer was lost with a database that was put back to an earlier state.
    pub is_forgotten: bool,
}

impl Entry {
    /// Books `command` of `principal` in `tenant`.
    pub fn new(command: Command, tenant: Uuid, principal: Uuid, fate: Fate) -> Self {
        let row = IdempotencyKey::scoped(tenant, principal, command.kind.route(), &command.key, [0; 32]).id;
        Self { command, principal, row, fate, is_forgotten: false }
    }
}

/// What a call of engagement is known by: its reader, and the ids in it.
pub type CallName = (Uuid, Vec<Uuid>);

/// A call of engagement, as it is sent at every attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// What was done.
    pub items: Vec<Engaged>,
    /// Whether it was answered with 202.
    pub is_taken: bool,
}

/// What readers told, and of what.
#[derive(Debug, Default)]
pub struct Told {
    /// Articles that were published, or may be.
    pub articles: HashSet<Uuid>,
    /// Every call.
    pub calls: HashMap<CallName, Call>,
}

/// The books of one database.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Books>);

/// What stands in a [`Ledger`].
#[derive(Debug, Default)]
pub struct Books {
    /// Every command, by key.
    pub entries: HashMap<String, Entry>,
    /// Keys booked since the last check.
    pub fresh: Vec<String>,
    /// Every session that somebody was told of.
    pub sessions: Sessions,
    /// What readers told.
    pub told: Told,
    /// Answers that should not have been given, in words.
    pub odd: Vec<String>,
    /// Commands that were repeated after their answer.
    pub repeated: u64,
    /// Attempts that got no answer.
    pub lost: u64,
    /// The longest time that a command took until its answer, all attempts together.
    pub longest: Duration,
}

impl Ledger {
    /// The books, for as long as they are held.
    pub fn open(&self) -> std::sync::MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    /// Books a command.
    pub fn enter(&mut self, entry: Entry, took: Duration) {
        let key = entry.command.key.clone();
        self.longest = self.longest.max(took);
        self.fresh.push(key.clone());
        self.entries.insert(key, entry);
    }

    /// How many commands booked since the last check were acknowledged.
    pub fn fresh_acknowledged(&self) -> usize {
        self.fresh.iter().filter(|key| matches!(self.entries[*key].fate, Fate::Acknowledged(_))).count()
    }
}
