//! Which provider is tried, and what its failure means.
//!
//! The first that can takes a mail. One whose breaker is open, or that asked for a rest, is passed over; one that fails leaves the mail
//! to the next; a mail that is refused for what it is goes to nobody else.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use docket_platform::{
    breaker::{Breaker, BreakerSettings},
    config::Masked,
    outgoing::Outgoing,
};
use lettre::message::Mailbox as Address;
use tokio::time::Instant;

use super::{
    Mail, MailSettings, ProviderKind, message,
    outbox::Outbox,
    provider::{Checked, Provider, ProviderError},
    resend::Resend,
    sendgrid::SendGrid,
    settings::{path, set},
    smtp::{Smtp, SmtpSetupError},
};
use crate::metrics;

/// Three failures within a minute open a provider's breaker: mails are few, and another provider is there at once.
const BREAKER: BreakerSettings = BreakerSettings {
    failures: 3,
    window: Duration::from_secs(60),
    open_min: Duration::from_secs(1),
    open_max: Duration::from_secs(60),
};
/// The longest rest that a provider may ask for: then it is asked again.
const LONGEST_REST: Duration = Duration::from_secs(3600);
/// Who mail is from where nobody said, into a folder.
const LOCAL_SENDER: &str = "Docket <docket@localhost>";

/// Who took a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The provider's name.
    pub provider: &'static str,
    /// The mail's name there.
    pub id: String,
}

/// Why a mail was taken by nobody. The texts hold no address, nothing of the mail and no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// It may be taken later.
    #[error("no provider takes mail just now: {reason}")]
    Transient {
        /// What each of them said.
        reason: String,
        /// Not before then, where that is known of every provider that is left.
        retry_after: Option<Duration>,
    },
    /// It will never be.
    #[error("the mail is refused for good: {reason}")]
    Permanent {
        /// By whom, and why.
        reason: String,
    },
}

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum MailSetupError {
    /// A provider is chosen that lacks something.
    #[error("DOCKET_MAIL_PROVIDERS names {provider}, which needs {needs}")]
    Missing {
        /// The provider.
        provider: &'static str,
        /// The setting.
        needs: &'static str,
    },
    /// The sender cannot be read.
    #[error("DOCKET_MAIL_FROM is not a mailbox such as Docket <docket@example.com>")]
    From,
    /// The mail server's settings cannot be used.
    #[error(transparent)]
    Smtp(#[from] SmtpSetupError),
    /// The certificates cannot be read.
    #[error("DOCKET_MAIL_SMTP_CA cannot be read")]
    Ca(#[source] std::io::Error),
}

/// A provider, and how it has been doing.
struct Way {
    provider: Box<dyn Provider>,
    breaker: Breaker,
    /// Until when it asked not to be asked.
    rest: Mutex<Option<Instant>>,
}

/// Sends mail. Clones share breakers.
#[derive(Clone)]
pub struct Mailer {
    ways: Arc<[Way]>,
    timeout: Duration,
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.ways.iter().map(|way| way.provider.name())).finish()
    }
}

impl Mailer {
    /// The configured providers in their order. Where none is chosen, mail goes to the folder `outbox` in `data`; where there is no such
    /// folder either, nobody takes mail, and a warning says so.
    ///
    /// # Errors
    /// When a chosen provider lacks a setting, or one cannot be read.
    pub fn new(settings: &MailSettings, data: Option<&Path>, outgoing: &Outgoing) -> Result<Self, MailSetupError> {
        let mut kinds = settings.mail_providers.0.clone();
        if kinds.is_empty() && (data.is_some() || path(settings.mail_outbox.as_ref()).is_some()) {
            kinds.push(ProviderKind::Outbox);
        }
        if kinds.is_empty() {
            tracing::warn!("no mail is sent: DOCKET_MAIL_PROVIDERS names nobody who takes it");
        }
        let from = sender(settings, &kinds)?;
        let ways = kinds
            .into_iter()
            .map(|kind| {
                let provider = provider(kind, settings, data, outgoing, &from)?;
                let breaker = Breaker::new(format!("mail-{}", kind.name()), BREAKER);
                Ok(Way { provider, breaker, rest: Mutex::new(None) })
            })
            .collect::<Result<_, MailSetupError>>()?;
        Ok(Self { ways, timeout: settings.mail_timeout })
    }

    /// Whether anybody takes mail here at all.
    #[must_use]
    pub fn has_providers(&self) -> bool {
        !self.ways.is_empty()
    }

    /// Hands `mail` to the first provider that takes it.
    ///
    /// # Errors
    /// When none does now, or none ever will.
    pub async fn send(&self, mail: &Mail) -> Result<Sent, MailError> {
        let checked = message::check(mail).map_err(|error| MailError::Permanent { reason: error.to_string() })?;
        let mut reasons = Vec::new();
        // The time of the first that may take it again; none when one of them may at any time.
        let mut soonest = Some(Duration::MAX);
        for way in self.ways.iter() {
            let name = way.provider.name();
            let (reason, retry_after) = match self.attempt(way, &checked).await {
                Ok(id) => return Ok(Sent { provider: name, id }),
                Err(Failure::Mail(reason)) => {
                    return Err(MailError::Permanent { reason: format!("{name}: {reason}") });
                }
                Err(Failure::Way { reason, retry_after }) => (reason, retry_after),
            };
            soonest = soonest.zip(retry_after).map(|(soonest, after)| soonest.min(after));
            reasons.push(format!("{name}: {reason}"));
        }
        let reason = if reasons.is_empty() { "none is configured".to_owned() } else { reasons.join("; ") };
        Err(MailError::Transient { reason, retry_after: soonest.filter(|after| *after < Duration::MAX) })
    }

    async fn attempt(&self, way: &Way, checked: &Checked) -> Result<String, Failure> {
        if let Some(left) = way.rests_for() {
            return Err(Failure::Way { reason: "it asked for a rest".to_owned(), retry_after: Some(left) });
        }
        let permit = way.breaker.permit().map_err(|left| Failure::Way {
            reason: "it failed too often and is left alone for now".to_owned(),
            retry_after: Some(left),
        })?;
        let name = way.provider.name();
        let slow = || ProviderError::down(format!("it did not answer within {:?}", self.timeout));
        let answer =
            tokio::time::timeout(self.timeout, way.provider.send(checked)).await.unwrap_or_else(|_| Err(slow()));
        let id = checked.mail.id;
        metrics::get().mails.with_label_values(&[name, outcome(&answer)]).inc();
        match answer {
            Ok(taken) => {
                permit.success();
                tracing::info!(provider = name, %id, taken, "a mail was taken");
                Ok(taken)
            }
            Err(ProviderError::Mail(reason)) => {
                permit.success();
                tracing::warn!(provider = name, %id, reason, "a mail was refused for good");
                Err(Failure::Mail(reason))
            }
            Err(ProviderError::Setup(reason)) => {
                permit.failure();
                tracing::error!(provider = name, %id, reason, "a provider takes no mail of ours: look at its settings");
                Err(Failure::Way { reason, retry_after: None })
            }
            Err(error @ ProviderError::Limited { retry_after }) => {
                // It works, it is only asked too much: that is nothing for the breaker to count.
                drop(permit);
                way.rest(retry_after);
                tracing::warn!(provider = name, %id, ?retry_after, "a provider takes no more mail for now");
                Err(Failure::Way {
                    reason: error.to_string(),
                    retry_after: retry_after.map(|after| after.min(LONGEST_REST)),
                })
            }
            Err(ProviderError::Down { reason, retry_after }) => {
                permit.failure();
                way.rest(retry_after);
                tracing::warn!(provider = name, %id, reason, "a provider did not take a mail");
                Err(Failure::Way { reason, retry_after: retry_after.map(|after| after.min(LONGEST_REST)) })
            }
        }
    }
}

/// Whose fault it is that a mail was not taken.
enum Failure {
    Mail(String),
    Way { reason: String, retry_after: Option<Duration> },
}

impl Way {
    fn rests_for(&self) -> Option<Duration> {
        let until = *self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        until.and_then(|until| until.checked_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }

    fn rest(&self, asked: Option<Duration>) {
        if let Some(asked) = asked {
            let until = Instant::now() + asked.min(LONGEST_REST);
            *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        }
    }
}

fn outcome(answer: &Result<String, ProviderError>) -> &'static str {
    match answer {
        Ok(_) => "taken",
        Err(ProviderError::Mail(_)) => "refused",
        Err(ProviderError::Setup(_)) => "setup",
        Err(ProviderError::Limited { .. }) => "limited",
        Err(ProviderError::Down { .. }) => "down",
    }
}

fn sender(settings: &MailSettings, kinds: &[ProviderKind]) -> Result<Address, MailSetupError> {
    let chosen = settings.mail_from.as_deref().map(str::trim).filter(|from| !from.is_empty());
    let outside = kinds.iter().find(|kind| **kind != ProviderKind::Outbox);
    match (chosen, outside) {
        (None, Some(kind)) => Err(MailSetupError::Missing { provider: kind.name(), needs: "DOCKET_MAIL_FROM" }),
        (chosen, _) => {
            let text = chosen.unwrap_or(LOCAL_SENDER);
            text.parse().ok().filter(|_| !text.contains(char::is_control)).ok_or(MailSetupError::From)
        }
    }
}

fn provider(
    kind: ProviderKind,
    settings: &MailSettings,
    data: Option<&Path>,
    outgoing: &Outgoing,
    from: &Address,
) -> Result<Box<dyn Provider>, MailSetupError> {
    let missing = |needs| MailSetupError::Missing { provider: kind.name(), needs };
    let key = |value: &Option<Masked>, needs| set(value.as_ref()).cloned().ok_or_else(|| missing(needs));
    let (outgoing, from, timeout) = (outgoing.clone(), from.clone(), settings.mail_timeout);
    Ok(match kind {
        ProviderKind::Smtp => {
            let url = key(&settings.mail_smtp_url, "DOCKET_MAIL_SMTP_URL")?;
            let ca = path(settings.mail_smtp_ca.as_ref()).map(std::fs::read).transpose().map_err(MailSetupError::Ca)?;
            Box::new(Smtp::new(&url, ca.as_deref(), from, timeout)?)
        }
        ProviderKind::Resend => {
            let key = key(&settings.mail_resend_api_key, "DOCKET_MAIL_RESEND_API_KEY")?;
            Box::new(Resend { outgoing, base: settings.mail_resend_url.clone(), key, from, timeout })
        }
        ProviderKind::SendGrid => {
            let key = key(&settings.mail_sendgrid_api_key, "DOCKET_MAIL_SENDGRID_API_KEY")?;
            Box::new(SendGrid { outgoing, base: settings.mail_sendgrid_url.clone(), key, from, timeout })
        }
        ProviderKind::Outbox => {
            let chosen = path(settings.mail_outbox.as_ref()).cloned();
            let folder =
                chosen.or_else(|| data.map(|data| data.join("outbox"))).ok_or_else(|| missing("DOCKET_MAIL_OUTBOX"))?;
            Box::new(Outbox::new(folder, from))
        }
    })
}
