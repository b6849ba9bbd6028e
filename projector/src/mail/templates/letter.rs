//! What the letters say.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    Action, Installation, Page, Paragraph, Piece, name,
    notice::{self, Ends, Notice},
    words,
};

/// A letter. Links are whole and ours; names, roles, addresses and agents are as somebody gave them.
#[derive(Clone, PartialEq, Eq)]
pub enum Letter {
    /// Whether an address is whose it is said to be.
    VerifyAddress {
        /// Says so.
        link: String,
        /// For how long it does.
        valid: Duration,
    },
    /// A forgotten password.
    ResetPassword {
        /// Sets another.
        link: String,
        /// For how long it does.
        valid: Duration,
    },
    /// Somebody is asked into an organisation.
    Invitation {
        /// By whom.
        by: String,
        /// Into which.
        organisation: String,
        /// To be what there.
        role: String,
        /// Accepts.
        link: String,
        /// For how long it does.
        valid: Duration,
    },
    /// Somebody logged in from where they had not.
    NewSignIn {
        /// When.
        at: DateTime<Utc>,
        /// From which address.
        address: String,
        /// With which program, as it calls itself.
        agent: String,
        /// Sets another password, which ends every session.
        link: String,
    },
    /// The password is another.
    PasswordChanged {
        /// Since when.
        at: DateTime<Utc>,
        /// From which address it was changed, where that is known.
        address: Option<String>,
        /// Sets another.
        link: String,
    },
    /// One thing that concerns the reader.
    Notice {
        /// What.
        notice: Box<Notice>,
        /// How there are no more of these.
        ends: Ends,
    },
    /// Several.
    Digest {
        /// Those that are told in full, at most [`LISTED`](super::LISTED).
        notices: Vec<Notice>,
        /// How many there are besides.
        more: usize,
        /// How there are no more of these.
        ends: Ends,
    },
}

impl std::fmt::Debug for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::VerifyAddress { .. } => "VerifyAddress",
            Self::ResetPassword { .. } => "ResetPassword",
            Self::Invitation { .. } => "Invitation",
            Self::NewSignIn { .. } => "NewSignIn",
            Self::PasswordChanged { .. } => "PasswordChanged",
            Self::Notice { .. } => "Notice",
            Self::Digest { .. } => "Digest",
        })
    }
}

impl Letter {
    pub(super) fn page(&self, to: Option<&str>, installation: &Installation) -> Page {
        let body = self.body(installation);
        let footer = match body.footer.is_empty() {
            true => vec![vec![words("Sent by Docket at "), name_of(installation)]],
            false => body.footer,
        };
        Page { greeting: greeting(to), footer, ..body }
    }

    fn body(&self, installation: &Installation) -> Page {
        match self {
            Self::VerifyAddress { link, valid } => verify_address(link, *valid),
            Self::ResetPassword { link, valid } => reset_password(link, *valid),
            Self::Invitation { by, organisation, role, link, valid } => {
                invitation(by, organisation, role, link, *valid)
            }
            Self::NewSignIn { at, address, agent, link } => new_sign_in(*at, address, agent, link),
            Self::PasswordChanged { at, address, link } => password_changed(*at, address.as_deref(), link),
            Self::Notice { notice, ends } => notice::single(notice, ends, installation),
            Self::Digest { notices, more, ends } => notice::digest(notices, *more, ends, installation),
        }
    }
}

fn verify_address(link: &str, valid: Duration) -> Page {
    Page {
        preview: "One more step, and your account is ready.",
        before: vec![says("Please confirm that this is your address.")],
        action: Some(Action { label: "Confirm my address", link: link.to_owned() }),
        after: vec![
            says(format!("The link works once, for {}.", spoken(valid))),
            says("If you did not sign up, you need not do anything."),
        ],
        ..page("Confirm your address")
    }
}

fn reset_password(link: &str, valid: Duration) -> Page {
    Page {
        preview: "Somebody asked for a new password for your account.",
        before: vec![says("Somebody, hopefully you, asked for a new password for your account.")],
        action: Some(Action { label: "Choose a new password", link: link.to_owned() }),
        after: vec![
            says(format!("The link works once, for {}. Give it to nobody.", spoken(valid))),
            says("If it was not you, you need not do anything: your password stays as it is."),
        ],
        ..page("Reset your password")
    }
}

fn invitation(by: &str, organisation: &str, role: &str, link: &str, valid: Duration) -> Page {
    let subject = vec![words("Invitation to "), name(organisation)];
    Page {
        preview: "You are invited to take part in decisions.",
        before: vec![vec![
            name(by),
            words(" invites you to the organisation "),
            name(organisation),
            words(" on Docket, in the role "),
            name(role),
            words("."),
        ]],
        action: Some(Action { label: "See the invitation", link: link.to_owned() }),
        after: vec![
            says(format!("The link works once, for {}.", spoken(valid))),
            says("If you do not know who invites you, do not follow it."),
        ],
        ..page(plain(&subject))
    }
}

fn new_sign_in(at: DateTime<Utc>, address: &str, agent: &str, link: &str) -> Page {
    Page {
        preview: "Your account was used from somewhere new.",
        before: vec![says("Somebody signed in to your account from where you had not before.")],
        facts: vec![("When", when(at)), ("From", super::neutral::name(address)), ("With", super::neutral::name(agent))],
        action: Some(Action { label: "It was not me", link: link.to_owned() }),
        after: vec![says("If it was you, all is well. If not, set a new password at once: that ends every session.")],
        ..page("New sign-in to your account")
    }
}

fn password_changed(at: DateTime<Utc>, address: Option<&str>, link: &str) -> Page {
    let from = address.map(|address| ("From", super::neutral::name(address)));
    Page {
        preview: "Your password was changed.",
        before: vec![says("The password of your account was changed, and all other sessions were ended.")],
        facts: [Some(("When", when(at))), from].into_iter().flatten().collect(),
        action: Some(Action { label: "It was not me", link: link.to_owned() }),
        after: vec![says("If it was you, all is well. If not, set a new password at once.")],
        ..page("Your password was changed")
    }
}

pub(super) fn page(subject: impl Into<String>) -> Page {
    Page {
        subject: subject.into(),
        preview: "",
        greeting: Vec::new(),
        before: Vec::new(),
        facts: Vec::new(),
        items: Vec::new(),
        action: None,
        after: Vec::new(),
        footer: Vec::new(),
    }
}

fn greeting(to: Option<&str>) -> Paragraph {
    match to.map(super::neutral::name).filter(|to| !to.is_empty()) {
        Some(to) => vec![words("Hello "), Piece::Name(to), words(",")],
        None => vec![words("Hello,")],
    }
}

pub(super) fn name_of(installation: &Installation) -> Piece {
    words(super::one_line(&installation.url))
}

pub(super) fn says(text: impl Into<String>) -> Paragraph {
    vec![words(text)]
}

pub(super) fn plain(paragraph: &[Piece]) -> String {
    paragraph
        .iter()
        .map(|piece| match piece {
            Piece::Words(text) | Piece::Name(text) => text.as_str(),
            Piece::Link(label, _) => label,
        })
        .collect()
}

pub(crate) fn when(at: DateTime<Utc>) -> String {
    at.format("%-d %B %Y, %H:%M UTC").to_string()
}

/// A duration in its largest whole unit.
fn spoken(duration: Duration) -> String {
    let minutes = duration.as_secs() / 60;
    let (count, unit) = match minutes {
        _ if minutes >= 2 * 1440 && minutes.is_multiple_of(1440) => (minutes / 1440, "day"),
        _ if minutes >= 60 && minutes.is_multiple_of(60) => (minutes / 60, "hour"),
        _ => (minutes, "minute"),
    };
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}
