//! Mail over SMTP.
//!
//! One connection a mail: one that was given up midway must not carry the next. The dialogue is led step by step, since what a refusal
//! means depends on the step; and the mail is sent once the server has taken its text, whatever becomes of the connection then.

use std::{fmt, io, time::Duration};

use docket_platform::{clock, config::Masked};
use futures_util::future::BoxFuture;
use lettre::{
    message::Mailbox as Address,
    transport::smtp::{
        Error,
        authentication::{Credentials, Mechanism},
        client::{AsyncSmtpConnection, Certificate, TlsParameters},
        commands::{Data, Mail as MailFrom, Rcpt},
        extension::{ClientId, Extension, MailParameter},
    },
};
use url::Url;

use super::{
    message,
    provider::{Checked, Provider, ProviderError},
};

/// How long a server may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);
/// What a server may offer to recognise us by.
const MECHANISMS: &[Mechanism] = &[Mechanism::Plain, Mechanism::Login];

/// When the connection becomes a secret one.
enum Tls {
    Never,
    /// Asked for in the dialogue, and insisted on.
    Required(TlsParameters),
    /// From the first byte on.
    Wrapped(TlsParameters),
}

/// A mail server.
pub(super) struct Smtp {
    host: String,
    port: u16,
    tls: Tls,
    credentials: Option<Credentials>,
    hello: ClientId,
    from: Address,
    timeout: Duration,
}

/// What is wrong with `DOCKET_MAIL_SMTP_URL` or `DOCKET_MAIL_SMTP_CA`. Never the URL itself: it holds a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SmtpSetupError {
    /// It is no URL, or one of another scheme.
    #[error("DOCKET_MAIL_SMTP_URL is not smtp://[user:password@]host[:port][?tls=required] or smtps://…")]
    Url,
    /// A password would go over the net in clear.
    #[error("DOCKET_MAIL_SMTP_URL has a password, but no TLS to keep it secret: say smtps:// or ?tls=required")]
    Clear,
    /// The certificate cannot be read.
    #[error("DOCKET_MAIL_SMTP_CA is not a file of certificates (PEM)")]
    Ca,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Smtp {
    /// The server that `url` names; its certificate is signed by a public authority, or by `ca` (PEM).
    pub(super) fn new(
        url: &Masked,
        ca: Option<&[u8]>,
        from: Address,
        timeout: Duration,
    ) -> Result<Self, SmtpSetupError> {
        let url = Url::parse(url.expose()).map_err(|_| SmtpSetupError::Url)?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(SmtpSetupError::Url)?.to_owned();
        let options: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let required = match options.as_slice() {
            [] => false,
            [(name, value)] if name == "tls" && value == "required" => true,
            [(name, value)] if name == "tls" && value == "none" => false,
            _ => return Err(SmtpSetupError::Url),
        };
        let (tls, port) = match url.scheme() {
            "smtps" => (Tls::Wrapped(trust(&host, ca)?), 465),
            "smtp" if required => (Tls::Required(trust(&host, ca)?), 587),
            "smtp" => (Tls::Never, 25),
            _ => return Err(SmtpSetupError::Url),
        };
        let credentials = credentials(&url)?;
        if credentials.is_some() && matches!(tls, Tls::Never) && !is_this_machine(&host) {
            return Err(SmtpSetupError::Clear);
        }
        Ok(Self { host, port: url.port().unwrap_or(port), tls, credentials, hello: ClientId::default(), from, timeout })
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, ProviderError> {
        let wrapped = match &self.tls {
            Tls::Wrapped(parameters) => Some(parameters.clone()),
            Tls::Never | Tls::Required(_) => None,
        };
        // As a URL writes it, an IPv6 address stands in brackets.
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let to = (host, self.port);
        let mut connection = AsyncSmtpConnection::connect_tokio1(to, Some(self.timeout), &self.hello, wrapped, None)
            .await
            .map_err(|error| unavailable(&error))?;
        if let Tls::Required(parameters) = &self.tls {
            if !connection.can_starttls() {
                return Err(ProviderError::Setup("it offers no TLS, which is required".to_owned()));
            }
            connection.starttls(parameters.clone(), &self.hello).await.map_err(|error| unavailable(&error))?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(MECHANISMS, credentials).await.map_err(|error| of_login(&error))?;
        }
        Ok(connection)
    }

    async fn hand_over(&self, checked: &Checked) -> Result<String, ProviderError> {
        let message = message::compose(&self.from, checked, clock::now())?;
        let mut connection = self.connect().await?;
        let mut options = Vec::new();
        let beyond_ascii = |address: &Address| !address.email.to_string().is_ascii();
        if beyond_ascii(&checked.to) || beyond_ascii(&self.from) {
            if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
                return Err(ProviderError::Setup("it takes no addresses beyond ASCII".to_owned()));
            }
            options.push(MailParameter::SmtpUtfEight);
        }
        let sender = MailFrom::new(Some(self.from.email.clone()), options);
        connection.command(sender).await.map_err(|error| of_sender(&error))?;
        let recipient = Rcpt::new(checked.to.email.clone(), Vec::new());
        connection.command(recipient).await.map_err(|error| of_recipient(&error))?;
        connection.command(Data).await.map_err(|error| of_text(&error))?;
        connection.message(&message.formatted()).await.map_err(|error| of_text(&error))?;
        // It is theirs now: nobody waits for a goodbye.
        tokio::spawn(async move { tokio::time::timeout(GOODBYE, connection.abort()).await });
        Ok(message::message_id(&self.from, &checked.mail))
    }
}

impl Provider for Smtp {
    fn name(&self) -> &'static str {
        "smtp"
    }

    fn send<'a>(&'a self, mail: &'a Checked) -> BoxFuture<'a, Result<String, ProviderError>> {
        Box::pin(self.hand_over(mail))
    }
}

fn trust(host: &str, ca: Option<&[u8]>) -> Result<TlsParameters, SmtpSetupError> {
    let mut parameters = TlsParameters::builder(host.to_owned());
    if let Some(pem) = ca {
        parameters = parameters.add_root_certificate(Certificate::from_pem(pem).map_err(|_| SmtpSetupError::Ca)?);
    }
    parameters.build().map_err(|_| SmtpSetupError::Ca)
}

fn credentials(url: &Url) -> Result<Option<Credentials>, SmtpSetupError> {
    let Some(password) = url.password() else { return Ok(None) };
    let plain = |text: &str| {
        let text = percent_encoding::percent_decode_str(text).decode_utf8().map_err(|_| SmtpSetupError::Url)?;
        Ok(text.into_owned())
    };
    Ok(Some(Credentials::new(plain(url.username())?, plain(password)?)))
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// A server's refusal: its code, and the finer one that many put before their words (RFC 3463). The words themselves stay out: they
/// repeat addresses.
struct Refusal {
    code: String,
    finer: String,
    lasting: bool,
}

fn refusal(error: &Error) -> Option<Refusal> {
    let code = error.status()?.to_string();
    let words = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let first = words.split_whitespace().next().unwrap_or_default();
    let is_finer = first.split('.').count() == 3 && first.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let finer = if is_finer { first.to_owned() } else { String::new() };
    Some(Refusal { code, finer, lasting: error.is_permanent() })
}

impl Refusal {
    /// Whether the finer code says so, or the code where there is no finer one.
    fn is(&self, code: &str, finer: &str) -> bool {
        if self.finer.is_empty() {
            self.code == code
        } else {
            self.finer.get(1..).is_some_and(|f| f.starts_with(finer))
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.finer).map(drop)
    }
}

/// TLS reports a certificate that it does not trust as invalid data.
fn is_of_tls(error: &Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if inner.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::InvalidData) {
            return true;
        }
        cause = inner.source();
    }
    error.is_tls()
}

/// Before the mail itself is spoken of.
fn unavailable(error: &Error) -> ProviderError {
    match refusal(error) {
        Some(refusal) => ProviderError::down(format!("it refused the connection ({refusal})")),
        None if is_of_tls(error) => {
            ProviderError::Setup("the connection could not be secured: is its certificate trusted?".to_owned())
        }
        None => ProviderError::down("it cannot be reached, or does not speak as a mail server does"),
    }
}

fn of_login(error: &Error) -> ProviderError {
    match refusal(error) {
        Some(refusal) if refusal.lasting => ProviderError::Setup(format!("it refused user or password ({refusal})")),
        None if error.is_client() => ProviderError::Setup("it offers no way to log in that we know".to_owned()),
        _ => unavailable(error),
    }
}

fn of_sender(error: &Error) -> ProviderError {
    match refusal(error) {
        Some(refusal) if refusal.lasting && refusal.is("552", ".3.4") => too_large(&refusal),
        Some(refusal) if refusal.lasting => ProviderError::Setup(format!("it refused the sender ({refusal})")),
        Some(_) => ProviderError::Limited { retry_after: None },
        None => unavailable(error),
    }
}

fn of_recipient(error: &Error) -> ProviderError {
    match refusal(error) {
        // Policy (5.7), such as a server that relays for nobody it does not know, is not the recipient's fault.
        Some(refusal) if refusal.lasting && (refusal.code == "530" || refusal.finer.starts_with("5.7.")) => {
            ProviderError::Setup(format!("it does not relay our mail ({refusal})"))
        }
        Some(refusal) if refusal.lasting => ProviderError::Mail(format!("the recipient was refused ({refusal})")),
        // Among them greylisting: the same mail is taken some minutes later.
        Some(_) => ProviderError::Limited { retry_after: None },
        None => unavailable(error),
    }
}

fn of_text(error: &Error) -> ProviderError {
    match refusal(error) {
        Some(refusal) if refusal.lasting && refusal.is("552", ".3.4") => too_large(&refusal),
        Some(refusal) if refusal.lasting => ProviderError::Mail(format!("the mail was refused ({refusal})")),
        Some(_) => ProviderError::Limited { retry_after: None },
        None => unavailable(error),
    }
}

fn too_large(refusal: &Refusal) -> ProviderError {
    ProviderError::Mail(format!("the mail is too large ({refusal})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> Result<Smtp, SmtpSetupError> {
        let from = "docket@docket.example".parse().unwrap();
        Smtp::new(&Masked::new(url), None, from, Duration::from_secs(1))
    }

    #[test]
    fn urls_say_host_port_and_tls() {
        let place = |url: &str| server(url).map(|smtp| (smtp.host.clone(), smtp.port)).unwrap();
        assert_eq!(place("smtp://mail.example"), ("mail.example".to_owned(), 25));
        assert_eq!(place("smtp://mail.example?tls=required"), ("mail.example".to_owned(), 587));
        assert_eq!(place("smtps://u:p@mail.example"), ("mail.example".to_owned(), 465));
        assert_eq!(place("smtp://u:p@127.0.0.1:2525"), ("127.0.0.1".to_owned(), 2525));
        for wrong in ["mail.example", "http://mail.example", "smtp://", "smtp://m?tls=maybe", "smtp://m?tsl=required"] {
            assert_eq!(server(wrong).err(), Some(SmtpSetupError::Url), "{wrong}");
        }
        assert_eq!(server("smtp://u:p@mail.example").err(), Some(SmtpSetupError::Clear));
    }

    #[test]
    fn a_password_is_not_shown() {
        let shown = format!("{:?}", server("smtps://me:hunter2@mail.example"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
