//! A mail as a message of RFC 5322, and the checks that none gets past.

use chrono::{DateTime, Utc};
use lettre::{
    Message,
    message::{
        Mailbox as Address, MultiPart,
        header::{HeaderName, HeaderValue},
    },
};

use super::{
    Mail, Mailbox,
    provider::{Checked, ProviderError},
    templates::one_line,
};

/// Reads the address, and makes of name and subject what fits one line and looks like what it is: a line break in a header would begin
/// another.
pub(super) fn check(mail: &Mail) -> Result<Checked, ProviderError> {
    let to = read(&mail.to).ok_or_else(|| ProviderError::Mail("the recipient's address is none".to_owned()))?;
    let mail = Mail { subject: one_line(&mail.subject), ..mail.clone() };
    Ok(Checked { mail, to })
}

/// A mailbox whose address is one.
pub(super) fn read(mailbox: &Mailbox) -> Option<Address> {
    let name = mailbox.name.as_deref().map(one_line).filter(|name| !name.is_empty());
    Some(Address::new(name, mailbox.address.trim().parse().ok()?))
}

/// The mail's name among all mails: the same in every attempt, so that a recipient may drop a repetition.
pub(super) fn message_id(from: &Address, mail: &Mail) -> String {
    format!("<{}@{}>", mail.id, from.email.domain())
}

/// The message as it is sent.
pub(super) fn compose(from: &Address, checked: &Checked, now: DateTime<Utc>) -> Result<Message, ProviderError> {
    let Checked { mail, to } = checked;
    let mut message = Message::builder()
        .from(from.clone())
        .to(to.clone())
        .subject(mail.subject.clone())
        .date(now.into())
        .message_id(Some(message_id(from, mail)));
    for (name, value) in mail.headers() {
        message = message.raw_header(HeaderValue::new(HeaderName::new_from_ascii_str(name), value));
    }
    message
        .multipart(MultiPart::alternative_plain_html(mail.text.clone(), mail.html.clone()))
        .map_err(|_| ProviderError::Mail("no message can be made of the mail".to_owned()))
}
