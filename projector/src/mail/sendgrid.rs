//! Mail through SendGrid: `POST /v3/mail/send`.

use std::{collections::BTreeMap, time::Duration};

use docket_platform::{
    clock,
    config::Masked,
    outgoing::{Answer, Outgoing, Request, Trust},
};
use futures_util::future::BoxFuture;
use lettre::message::Mailbox as Address;
use serde::Deserialize;
use serde_json::{Value, json};

use super::provider::{Checked, Provider, ProviderError};

/// The API of SendGrid.
#[derive(Debug)]
pub(super) struct SendGrid {
    pub(super) outgoing: Outgoing,
    pub(super) base: String,
    pub(super) key: Masked,
    pub(super) from: Address,
    pub(super) timeout: Duration,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Refused {
    errors: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default)]
    field: Option<String>,
}

fn mailbox(address: &Address) -> Value {
    match &address.name {
        Some(name) => json!({ "email": address.email.to_string(), "name": name }),
        None => json!({ "email": address.email.to_string() }),
    }
}

impl SendGrid {
    fn request(&self, checked: &Checked) -> Result<Request, ProviderError> {
        let Checked { mail, to } = checked;
        let off = json!({ "enable": false });
        let body = json!({
            "personalizations": [{ "to": [mailbox(to)], "custom_args": { "docket_id": mail.id } }],
            "from": mailbox(&self.from),
            "subject": mail.subject,
            "content": [
                { "type": "text/plain", "value": mail.text },
                { "type": "text/html", "value": mail.html },
            ],
            "headers": mail.headers().into_iter().collect::<BTreeMap<_, _>>(),
            // A link that logs in is nobody else's business.
            "tracking_settings": { "click_tracking": { "enable": false, "enable_text": false }, "open_tracking": off },
        });
        Ok(Request::post(format!("{}/v3/mail/send", self.base.trim_end_matches('/')))
            .bearer(self.key.expose())?
            .json(&body)?
            .within(self.timeout))
    }
}

impl Provider for SendGrid {
    fn name(&self) -> &'static str {
        "sendgrid"
    }

    fn send<'a>(&'a self, mail: &'a Checked) -> BoxFuture<'a, Result<String, ProviderError>> {
        Box::pin(async move {
            let answer = self.outgoing.send(Trust::Configured, self.request(mail)?).await?;
            if answer.status.is_success() {
                return Ok(answer.header("x-message-id").map_or_else(|| mail.mail.id.to_string(), str::to_owned));
            }
            Err(refused(&answer))
        })
    }
}

/// What SendGrid's documented errors mean.
fn refused(answer: &Answer) -> ProviderError {
    match answer.status.as_u16() {
        400 => {
            let Refused { errors } = answer.json().unwrap_or_default();
            let of_sender = |fault: &Fault| fault.field.as_deref().is_some_and(|field| field.starts_with("from"));
            if errors.iter().any(of_sender) {
                ProviderError::Setup("it refused the sender (400)".to_owned())
            } else {
                ProviderError::Mail("the mail was refused (400)".to_owned())
            }
        }
        429 => ProviderError::Limited { retry_after: answer.retry_after().or_else(|| until_reset(answer)) },
        _ => ProviderError::of_status(answer),
    }
}

/// Until when its limit holds, in seconds since 1970.
fn until_reset(answer: &Answer) -> Option<Duration> {
    let reset: i64 = answer.header("x-ratelimit-reset")?.parse().ok()?;
    let seconds = reset.saturating_sub(clock::now().timestamp());
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}
