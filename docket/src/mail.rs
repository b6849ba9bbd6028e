//! How this process tells people and endpoints: the settings of mail and of outgoing requests, and who delivers made of them.

use std::path::PathBuf;
use std::sync::Arc;

use docket_log::{Store, Vault};
use docket_platform::config::{Describe, Setting};
use docket_platform::outgoing::{Outgoing, OutgoingArgs};
use docket_projector::Telling;
use docket_projector::mail::{MailSettings, Mailer, ProviderKind};
use docket_projector::reactors::{Deliverer, Letters, MAIL, NOTICES, Noter, Postman, Webhooks};
use sqlx::PgPool;

use crate::exit::Ending;

/// Mail, and where its links lead.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct MailArgs {
    /// Where people reach the pages of this installation, for the links in mails; without it the address that is listened on
    #[arg(long, env = "DOCKET_PUBLIC_URL", value_name = "URL", help_heading = "Mail")]
    public_url: Option<String>,
    #[command(flatten)]
    mail: MailSettings,
    #[command(flatten)]
    outgoing: OutgoingArgs,
}

impl Describe for MailArgs {
    fn describe(&self) -> Vec<Setting> {
        let public = Setting::optional("DOCKET_PUBLIC_URL", self.public_url());
        [vec![public], self.mail.describe(), self.outgoing.describe()].concat()
    }
}

impl MailArgs {
    /// Set but empty is not set.
    fn public_url(&self) -> Option<&str> {
        self.public_url.as_deref().filter(|url| !url.is_empty())
    }

    /// The folder that mails go to, where they go to one: `data` is the folder of an installation that lives in one.
    pub fn outbox(&self, data: Option<PathBuf>) -> Option<PathBuf> {
        let kinds = &self.mail.mail_providers.0;
        if !kinds.is_empty() && !kinds.contains(&ProviderKind::Outbox) {
            return None;
        }
        let named = self.mail.mail_outbox.clone().filter(|folder| !folder.as_os_str().is_empty());
        named.or_else(|| data.map(|data| data.join("outbox")))
    }

    /// Where people reach this installation: as was said, or where this process listens.
    fn base<'a>(&'a self, listening: &'a str) -> Result<&'a str, Ending> {
        let base = self.public_url().unwrap_or(listening);
        if !base.starts_with("http://") && !base.starts_with("https://") {
            return Err(Ending::usage("DOCKET_PUBLIC_URL is no address such as https://docket.example.com"));
        }
        Ok(base)
    }

    /// Who tells people and endpoints here: no person, where no provider is set. `store` takes the command that disables an endpoint,
    /// `pool` belongs to the projector's role, and `listening` is the address of this process.
    ///
    /// # Errors
    /// When a setting cannot be used, which is a mistake in the usage.
    pub fn telling(
        &self,
        data: Option<PathBuf>,
        pool: PgPool,
        store: Store,
        listening: &str,
    ) -> anyhow::Result<Telling> {
        let url = self.base(listening)?.trim_end_matches('/').to_owned();
        let webhooks = Some(Webhooks { outgoing: Outgoing::new(&self.outgoing), store, url: url.clone() });
        let mailer = Mailer::new(&self.mail, data.as_deref(), &Outgoing::new(&self.outgoing));
        let mailer = mailer.map_err(|error| Ending::usage(error.to_string()))?;
        if !mailer.has_providers() {
            return Ok(Telling { webhooks, ..Telling::default() });
        }
        let postman = Postman::new(pool.clone(), Vault::new(pool.clone()), mailer.clone(), &url);
        let deliverers = vec![
            Deliverer { reactor: &MAIL, by: Arc::new(postman) },
            Deliverer { reactor: &NOTICES, by: Arc::new(Noter::new(pool)) },
        ];
        Ok(Telling { deliverers, webhooks, letters: Some(Letters { mailer, url }) })
    }
}
