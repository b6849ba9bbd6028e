//! Mail through Resend: `POST /emails`.

use std::{collections::BTreeMap, time::Duration};

use docket_platform::{
    config::Masked,
    outgoing::{Answer, HeaderName, Outgoing, Request, Trust},
};
use futures_util::future::BoxFuture;
use lettre::message::Mailbox as Address;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::provider::{Checked, Provider, ProviderError};

/// Within 24 hours a request with the same key is answered as the first one was, and sends nothing. One with the same key and another body
/// is refused, so the key is made of the mail's id and its text: an attempt that bears a newer link is another mail.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The API of Resend.
#[derive(Debug)]
pub(super) struct Resend {
    pub(super) outgoing: Outgoing,
    pub(super) base: String,
    pub(super) key: Masked,
    pub(super) from: Address,
    pub(super) timeout: Duration,
}

#[derive(Deserialize)]
struct Taken {
    id: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Refused {
    name: String,
    message: String,
}

impl Resend {
    fn request(&self, checked: &Checked) -> Result<Request, ProviderError> {
        let Checked { mail, to } = checked;
        let written = [&mail.subject, &mail.text, &mail.html].map(|part| part.as_str()).join("\0");
        let key = Uuid::new_v5(&mail.id, written.as_bytes());
        let body = json!({
            "from": self.from.to_string(),
            "to": [to.to_string()],
            "subject": mail.subject,
            "text": mail.text,
            "html": mail.html,
            "headers": mail.headers().into_iter().collect::<BTreeMap<_, _>>(),
        });
        Ok(Request::post(format!("{}/emails", self.base.trim_end_matches('/')))
            .bearer(self.key.expose())?
            .header(IDEMPOTENCY_KEY, &key.to_string())?
            .json(&body)?
            .within(self.timeout))
    }
}

impl Provider for Resend {
    fn name(&self) -> &'static str {
        "resend"
    }

    fn send<'a>(&'a self, mail: &'a Checked) -> BoxFuture<'a, Result<String, ProviderError>> {
        Box::pin(async move {
            let answer = self.outgoing.send(Trust::Configured, self.request(mail)?).await?;
            if answer.status.is_success() {
                return Ok(answer.json::<Taken>().map_or_else(|| mail.mail.id.to_string(), |taken| taken.id));
            }
            Err(refused(&answer))
        })
    }
}

/// What Resend's documented errors mean.
fn refused(answer: &Answer) -> ProviderError {
    let Refused { name, message } = answer.json().unwrap_or_default();
    match (answer.status.as_u16(), name.as_str()) {
        // A key that is no key is answered as a faulty field.
        (400, _) if message.to_ascii_lowercase().contains("api key") => {
            ProviderError::Setup("it refused the key (400)".to_owned())
        }
        (422, "invalid_from_address") => ProviderError::Setup("it refused the sender (422)".to_owned()),
        // An earlier attempt is still under way.
        (409, _) => ProviderError::down("it is busy with an earlier attempt (409)"),
        (status @ (400 | 422 | 451), _) => ProviderError::Mail(format!("the mail was refused ({status})")),
        _ => ProviderError::of_status(answer),
    }
}
