//! What operators set about mail.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use clap::Args;
use docket_platform::config::{Describe, Masked, Setting, parse_duration};

/// Where mail can go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderKind {
    /// A mail server.
    Smtp,
    /// The API of Resend.
    Resend,
    /// The API of SendGrid.
    SendGrid,
    /// A folder.
    Outbox,
}

impl ProviderKind {
    const ALL: [Self; 4] = [Self::Smtp, Self::Resend, Self::SendGrid, Self::Outbox];

    /// Its name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Resend => "resend",
            Self::SendGrid => "sendgrid",
            Self::Outbox => "outbox",
        }
    }
}

/// Providers in the order in which they are tried. May be none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Providers(pub Vec<ProviderKind>);

impl FromStr for Providers {
    type Err = String;

    /// Reads `smtp,resend`; empty is none.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut kinds = Vec::new();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let kind = ProviderKind::ALL
                .into_iter()
                .find(|kind| kind.name().eq_ignore_ascii_case(name))
                .ok_or_else(|| format!("{name:?} is none of smtp, resend, sendgrid, outbox"))?;
            if kinds.contains(&kind) {
                return Err(format!("{} is named twice", kind.name()));
            }
            kinds.push(kind);
        }
        Ok(Self(kinds))
    }
}

impl fmt::Display for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(","))
    }
}

/// How mail is sent. Set but empty is not set.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Mail")]
pub struct MailSettings {
    /// Who takes mail, in the order in which they are tried: smtp, resend, sendgrid, outbox (a folder)
    #[arg(long, env = "DOCKET_MAIL_PROVIDERS", default_value = "", value_name = "PROVIDERS")]
    pub mail_providers: Providers,
    /// Who mail is from: docket@example.com, or Docket <docket@example.com>
    #[arg(long, env = "DOCKET_MAIL_FROM", value_name = "MAILBOX")]
    pub mail_from: Option<String>,
    /// The mail server: smtp://user:password@host:587?tls=required (STARTTLS), or smtps://user:password@host
    #[arg(long, env = "DOCKET_MAIL_SMTP_URL", hide_env_values = true, value_name = "URL")]
    pub mail_smtp_url: Option<Masked>,
    /// Certificates (PEM) that the mail server's may be signed by, beside the public authorities
    #[arg(long, env = "DOCKET_MAIL_SMTP_CA", value_name = "FILE")]
    pub mail_smtp_ca: Option<PathBuf>,
    /// The key of Resend's API
    #[arg(long, env = "DOCKET_MAIL_RESEND_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub mail_resend_api_key: Option<Masked>,
    /// Where Resend's API is
    #[arg(long, env = "DOCKET_MAIL_RESEND_URL", default_value = "https://api.resend.com", value_name = "URL")]
    pub mail_resend_url: String,
    /// The key of SendGrid's API
    #[arg(long, env = "DOCKET_MAIL_SENDGRID_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub mail_sendgrid_api_key: Option<Masked>,
    /// Where SendGrid's API is
    #[arg(long, env = "DOCKET_MAIL_SENDGRID_URL", default_value = "https://api.sendgrid.com", value_name = "URL")]
    pub mail_sendgrid_url: String,
    /// The folder of the provider `outbox`; without it `outbox` in the data folder
    #[arg(long, env = "DOCKET_MAIL_OUTBOX", value_name = "FOLDER")]
    pub mail_outbox: Option<PathBuf>,
    /// How long one provider may take for one mail
    #[arg(
        long, env = "DOCKET_MAIL_TIMEOUT", default_value = "10s",
        value_parser = parse_duration, value_name = "DURATION"
    )]
    pub mail_timeout: Duration,
}

/// A value that is set, and not to nothing.
pub(super) fn set(value: Option<&Masked>) -> Option<&Masked> {
    value.filter(|value| !value.expose().is_empty())
}

pub(super) fn path(value: Option<&PathBuf>) -> Option<&PathBuf> {
    value.filter(|path| !path.as_os_str().is_empty())
}

impl Describe for MailSettings {
    fn describe(&self) -> Vec<Setting> {
        let shown = |path: Option<&PathBuf>| path.map(|path| path.display().to_string());
        let providers = Some(&self.mail_providers).filter(|providers| !providers.0.is_empty());
        vec![
            Setting::optional("DOCKET_MAIL_PROVIDERS", providers),
            Setting::optional("DOCKET_MAIL_FROM", self.mail_from.as_ref().filter(|from| !from.is_empty())),
            Setting::optional("DOCKET_MAIL_SMTP_URL", set(self.mail_smtp_url.as_ref())),
            Setting::optional("DOCKET_MAIL_SMTP_CA", shown(path(self.mail_smtp_ca.as_ref()))),
            Setting::optional("DOCKET_MAIL_RESEND_API_KEY", set(self.mail_resend_api_key.as_ref())),
            Setting::new("DOCKET_MAIL_RESEND_URL", &self.mail_resend_url),
            Setting::optional("DOCKET_MAIL_SENDGRID_API_KEY", set(self.mail_sendgrid_api_key.as_ref())),
            Setting::new("DOCKET_MAIL_SENDGRID_URL", &self.mail_sendgrid_url),
            Setting::optional("DOCKET_MAIL_OUTBOX", shown(path(self.mail_outbox.as_ref()))),
            Setting::new("DOCKET_MAIL_TIMEOUT", format!("{}ms", self.mail_timeout.as_millis())),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    #[derive(Debug, Parser)]
    struct All {
        #[command(flatten)]
        mail: MailSettings,
    }

    #[test]
    fn each_setting_has_an_environment_name_and_is_described_once() {
        let command = All::command();
        command.clone().debug_assert();
        let described = All::parse_from(["docket"]).mail.describe();
        let named: Vec<_> = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str()).collect();
        assert_eq!(described.iter().map(|setting| setting.name).collect::<Vec<_>>(), named);
    }

    #[test]
    fn secrets_are_masked_wherever_settings_are_shown() {
        let all = All::parse_from([
            "docket",
            "--mail-smtp-url=smtps://me:hunter2@mail.example",
            "--mail-resend-api-key=re_hunter2",
            "--mail-sendgrid-api-key=SG.hunter2",
        ]);
        let shown = format!("{all:?} {:?}", all.mail.describe());
        assert!(!shown.contains("hunter2") && shown.contains("smtps://me:********@mail.example"), "{shown}");
    }

    #[test]
    fn providers_are_known_and_named_once() {
        use ProviderKind::{Resend, Smtp};
        assert_eq!("smtp, Resend".parse(), Ok(Providers(vec![Smtp, Resend])));
        assert_eq!("".parse(), Ok(Providers::default()));
        assert!("smtp,pigeon".parse::<Providers>().is_err());
        assert!("smtp,smtp".parse::<Providers>().is_err());
    }
}
