//! How Kafka is reached, and how its topics are named.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use docket_events::Category;
use docket_platform::config::{Describe, Masked, Setting};

/// How the connection to the brokers is secured; Kafka's own names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Security {
    /// Neither encrypted nor authenticated.
    Plaintext,
    /// TLS.
    Ssl,
    /// A user and a password, in clear.
    SaslPlaintext,
    /// A user and a password, through TLS.
    SaslSsl,
}

impl Security {
    /// The name that librdkafka takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    pub(crate) const fn has_password(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    pub(crate) const fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }
}

/// How a password is shown to the brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mechanism {
    /// PLAIN (RFC 4616): as it is.
    #[value(name = "PLAIN", alias = "plain")]
    Plain,
    /// SCRAM (RFC 5802) with SHA-256.
    #[value(name = "SCRAM-SHA-256", alias = "scram-sha-256")]
    ScramSha256,
    /// SCRAM (RFC 5802) with SHA-512.
    #[value(name = "SCRAM-SHA-512", alias = "scram-sha-512")]
    ScramSha512,
}

impl Mechanism {
    /// The name that librdkafka takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// Where the log's brokers are. Without brokers the log stays in the journal.
#[derive(Debug, Clone, Args)]
#[group(skip)]
#[command(next_help_heading = "Kafka")]
pub struct KafkaArgs {
    /// Brokers to begin with; a new installation then keeps its log in Kafka
    #[arg(long = "kafka-brokers", env = "KAFKA_BROKERS", value_name = "HOST:PORT,…")]
    pub brokers: Option<String>,
    /// How the connection is secured
    #[arg(long = "kafka-security-protocol", env = "KAFKA_SECURITY_PROTOCOL", value_enum, default_value_t = Security::Plaintext,
          value_name = "PROTOCOL")]
    pub security: Security,
    /// How the password is shown
    #[arg(long = "kafka-sasl-mechanism", env = "KAFKA_SASL_MECHANISM", value_enum, default_value_t = Mechanism::ScramSha512,
          value_name = "MECHANISM")]
    pub mechanism: Mechanism,
    /// The user, for the two protocols with SASL
    #[arg(long = "kafka-sasl-username", env = "KAFKA_SASL_USERNAME", value_name = "NAME")]
    pub username: Option<String>,
    /// The password, for the two protocols with SASL
    #[arg(long = "kafka-sasl-password", env = "KAFKA_SASL_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    pub password: Option<Masked>,
    /// The file with the certificates that sign the brokers'; the system's when not given
    #[arg(long = "kafka-ssl-ca", env = "KAFKA_SSL_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The file with our own certificate, where brokers ask for one
    #[arg(long = "kafka-ssl-certificate", env = "KAFKA_SSL_CERTIFICATE", value_name = "FILE", requires = "key")]
    pub certificate: Option<PathBuf>,
    /// The file with its key
    #[arg(id = "key", long = "kafka-ssl-key", env = "KAFKA_SSL_KEY", value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// The first part of the topics' names: `docket` in `docket.consultation`
    #[arg(long = "kafka-topic-prefix", env = "DOCKET_KAFKA_TOPIC_PREFIX", default_value = "docket", value_name = "NAME",
          value_parser = prefix)]
    pub topic_prefix: String,
    /// Copies of each topic when it is made; the brokers' default when not given
    #[arg(long = "kafka-replication", env = "DOCKET_KAFKA_REPLICATION", value_name = "N",
          value_parser = clap::value_parser!(u8).range(1..=9))]
    pub replication: Option<u8>,
    /// Copies that must have an event before it counts as published; 2 where there are three copies, else 1
    #[arg(long = "kafka-min-isr", env = "DOCKET_KAFKA_MIN_ISR", value_name = "N",
          value_parser = clap::value_parser!(u8).range(1..=9))]
    pub min_isr: Option<u8>,
}

/// Kafka's own rule for topic names, with room for the category.
fn prefix(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.is_empty() || text.len() > 200 || !text.chars().all(legal) || text.starts_with('.') {
        return Err("a topic's name has letters, digits, `.`, `_` and `-`, at most 200 here".to_owned());
    }
    Ok(text.to_owned())
}

impl KafkaArgs {
    /// Brokers without security, for tests and trials.
    #[must_use]
    pub fn plaintext(brokers: impl Into<String>, topic_prefix: impl Into<String>) -> Self {
        Self {
            brokers: Some(brokers.into()),
            security: Security::Plaintext,
            mechanism: Mechanism::ScramSha512,
            username: None,
            password: None,
            ca: None,
            certificate: None,
            key: None,
            topic_prefix: topic_prefix.into(),
            replication: None,
            min_isr: None,
        }
    }

    /// The brokers, if any are named. Set but empty is not set.
    #[must_use]
    pub fn brokers(&self) -> Option<&str> {
        self.brokers.as_deref().map(str::trim).filter(|brokers| !brokers.is_empty())
    }

    /// The topic of a category.
    #[must_use]
    pub fn topic(&self, category: Category) -> String {
        format!("{}.{}", self.topic_prefix, category.name())
    }
}

impl Describe for KafkaArgs {
    fn describe(&self) -> Vec<Setting> {
        vec![
            Setting::optional("KAFKA_BROKERS", self.brokers()),
            Setting::new("KAFKA_SECURITY_PROTOCOL", self.security.name()),
            Setting::new("KAFKA_SASL_MECHANISM", self.mechanism.name()),
            Setting::optional("KAFKA_SASL_USERNAME", self.username.as_ref()),
            Setting::optional("KAFKA_SASL_PASSWORD", self.password.as_ref()),
            Setting::optional("KAFKA_SSL_CA", self.ca.as_ref().map(|path| path.display())),
            Setting::optional("KAFKA_SSL_CERTIFICATE", self.certificate.as_ref().map(|path| path.display())),
            Setting::optional("KAFKA_SSL_KEY", self.key.as_ref().map(|path| path.display())),
            Setting::new("DOCKET_KAFKA_TOPIC_PREFIX", &self.topic_prefix),
            Setting::optional("DOCKET_KAFKA_REPLICATION", self.replication),
            Setting::optional("DOCKET_KAFKA_MIN_ISR", self.min_isr),
        ]
    }
}
