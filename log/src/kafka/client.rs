//! Clients of Kafka, all made here from the one set of settings.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use docket_events::{Category, ShardId};
use rdkafka::{
    ClientConfig, ClientContext,
    admin::AdminClient,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::{BaseConsumer, ConsumerContext},
    error::{KafkaError as ClientError, RDKafkaErrorCode},
};

use super::{
    config::{KafkaArgs, Security},
    error::{KafkaError, is_unknown_topic},
};

/// How long a question to the brokers may take.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);
/// How long a question waits before we listen whether the brokers refuse us: then it would wait in vain.
const LISTEN: Duration = Duration::from_millis(500);
/// How long what was heard explains an error: an old trouble says nothing of a new one.
const FRESH: Duration = Duration::from_secs(15);
/// How long a silence means that nothing more is to be heard.
const HEAR: Duration = Duration::from_millis(20);

/// Where Kafka is. Clones are the same.
#[derive(Debug, Clone)]
pub struct Kafka(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    args: KafkaArgs,
    brokers: String,
    topics: Vec<(Category, String)>,
}

/// Hears what a client has to say of its connections, and remembers the last of it: an error alone says only "timed out".
#[derive(Debug, Clone, Default)]
pub struct Hearing(Arc<Mutex<Option<Heard>>>);

#[derive(Debug, Clone)]
struct Heard {
    code: RDKafkaErrorCode,
    reason: String,
    at: Instant,
}

impl ClientContext for Hearing {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        // What matters comes as an error too; the rest would fill the log while a broker is down.
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::warn!(target: "kafka", fac, message);
            }
            _ => tracing::debug!(target: "kafka", fac, message),
        }
    }

    fn error(&self, error: ClientError, reason: &str) {
        tracing::debug!(target: "kafka", %error, reason);
        let Some(code) = error.rdkafka_error_code() else { return };
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // "All brokers are down" comes last and says least.
        if code != RDKafkaErrorCode::AllBrokersDown || last.is_none() {
            *last = Some(Heard { code, reason: reason.to_owned(), at: Instant::now() });
        }
    }
}

impl ConsumerContext for Hearing {}

impl Hearing {
    fn last(&self) -> Option<(RDKafkaErrorCode, String)> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        last.filter(|heard| heard.at.elapsed() < FRESH).map(|heard| (heard.code, heard.reason))
    }

    fn is_refused(&self) -> bool {
        self.last().is_some_and(|(code, _)| is_refusal(code))
    }
}

/// A client for questions, and what it hears.
pub(crate) struct Asker {
    pub(crate) consumer: BaseConsumer<Hearing>,
    pub(crate) hearing: Hearing,
}

impl Asker {
    /// Lets the client say what its connections suffered: it says so only to who polls it, and questions do not.
    pub(crate) fn listen(&self) {
        while let Some(Err(_)) = self.consumer.poll(HEAR) {}
    }
}

impl Kafka {
    /// The Kafka of these settings; none when no broker is named. Connects to nothing yet.
    ///
    /// # Errors
    /// When the settings contradict each other.
    pub fn new(args: &KafkaArgs) -> Result<Option<Self>, KafkaError> {
        let Some(brokers) = args.brokers().map(str::to_owned) else { return Ok(None) };
        let settings = |problem: &str| Err(KafkaError::Settings(problem.to_owned()));
        if args.security.has_password() && (args.username.is_none() || args.password.is_none()) {
            return settings("SASL needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD");
        }
        if !args.security.has_password() && args.username.is_some() {
            return settings(
                "KAFKA_SASL_USERNAME is set, but KAFKA_SECURITY_PROTOCOL is not sasl_plaintext or sasl_ssl",
            );
        }
        if !args.security.has_tls() && (args.ca.is_some() || args.certificate.is_some()) {
            return settings("certificates are named, but KAFKA_SECURITY_PROTOCOL is not ssl or sasl_ssl");
        }
        for file in [&args.ca, &args.certificate, &args.key].into_iter().flatten() {
            if let Err(error) = std::fs::File::open(file) {
                return settings(&format!("{} cannot be read: {error}", file.display()));
            }
        }
        let topics = Category::ALL.into_iter().map(|category| (category, args.topic(category))).collect();
        Ok(Some(Self(Arc::new(Inner { args: args.clone(), brokers, topics }))))
    }

    /// The brokers to begin with.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.0.brokers
    }

    /// The settings.
    #[must_use]
    pub fn args(&self) -> &KafkaArgs {
        &self.0.args
    }

    /// The topic of a category.
    #[must_use]
    pub fn topic(&self, category: Category) -> &str {
        // Every category is in the list, which was made from all of them.
        self.0.topics.iter().find(|(known, _)| *known == category).map_or("", |(_, topic)| topic)
    }

    /// The category of a topic.
    #[must_use]
    pub fn category(&self, topic: &str) -> Option<Category> {
        self.0.topics.iter().find(|(_, known)| known == topic).map(|(category, _)| *category)
    }

    /// The shard that a partition is.
    pub(crate) fn shard(&self, topic: &str, partition: i32) -> Option<ShardId> {
        Some(ShardId { category: self.category(topic)?, shard: u16::try_from(partition).ok()? })
    }

    /// The group under which projectors commit offsets, for lag tools alone.
    #[must_use]
    pub fn group(&self) -> String {
        format!("{}.projector", self.0.args.topic_prefix)
    }

    fn base(&self) -> ClientConfig {
        let args = &self.0.args;
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.0.brokers)
            .set("client.id", "docket")
            .set("security.protocol", args.security.name())
            .set("socket.keepalive.enable", "true")
            // A topic that is gone is missed soon, instead of being waited for as one that is about to be made.
            .set("topic.metadata.propagation.max.ms", "2000")
            // A broker that comes back is met soon.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set_log_level(RDKafkaLogLevel::Info);
        if let (true, Some(username), Some(password)) = (args.security.has_password(), &args.username, &args.password) {
            config
                .set("sasl.mechanism", args.mechanism.name())
                .set("sasl.username", username)
                .set("sasl.password", password.expose());
        }
        if args.security == Security::Ssl || args.security == Security::SaslSsl {
            let files = [
                ("ssl.ca.location", &args.ca),
                ("ssl.certificate.location", &args.certificate),
                ("ssl.key.location", &args.key),
            ];
            for (name, file) in files {
                if let Some(file) = file {
                    config.set(name, file.display().to_string());
                }
            }
        }
        config
    }

    /// A client with `settings` besides ours.
    pub(crate) fn client<T: FromClientConfigAndContext<Hearing>>(
        &self,
        settings: &[(&str, &str)],
    ) -> Result<(T, Hearing), KafkaError> {
        let hearing = Hearing::default();
        let client = self.configured(settings).create_with_context(hearing.clone())?;
        Ok((client, hearing))
    }

    /// The settings of a client.
    pub(crate) fn configured(&self, settings: &[(&str, &str)]) -> ClientConfig {
        let mut config = self.base();
        for (name, value) in settings {
            config.set(*name, *value);
        }
        config
    }

    pub(crate) fn admin(&self) -> Result<(AdminClient<Hearing>, Hearing), KafkaError> {
        self.client(&[])
    }

    /// A client for questions.
    pub(crate) fn asker(&self, settings: &[(&str, &str)]) -> Result<Asker, KafkaError> {
        let (consumer, hearing) = self.client(settings)?;
        Ok(Asker { consumer, hearing })
    }

    /// Puts a question until it is answered, the time is over, or the brokers refuse us. Blocks.
    pub(crate) fn ask<T>(
        &self,
        asker: &Asker,
        question: impl Fn(&BaseConsumer<Hearing>, Duration) -> Result<T, ClientError>,
    ) -> Result<T, KafkaError> {
        let deadline = Instant::now() + ANSWER;
        loop {
            let error = match question(&asker.consumer, LISTEN) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            asker.listen();
            let is_silent = error.rdkafka_error_code().is_some_and(is_silence);
            if !is_silent || asker.hearing.is_refused() || Instant::now() >= deadline {
                return Err(self.explain(error, &asker.hearing));
            }
        }
    }

    /// What an error of a client means, with what the client heard.
    pub(crate) fn explain(&self, error: ClientError, hearing: &Hearing) -> KafkaError {
        let brokers = self.0.brokers.clone();
        let heard = hearing.last();
        let code = error.rdkafka_error_code();
        match (code, heard) {
            (_, Some((heard, reason))) if is_refusal(heard) => KafkaError::Refused { brokers, reason },
            (Some(code), _) if is_refusal(code) => KafkaError::Refused { brokers, reason: error.to_string() },
            (Some(code), heard) if is_silence(code) => {
                KafkaError::Unreachable { brokers, reason: heard.map(|(_, reason)| reason) }
            }
            _ if is_unknown_topic(&error) => KafkaError::Missing("of the log".to_owned()),
            _ => KafkaError::Client(error),
        }
    }
}

/// Whether a code means that we are not let in.
const fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::SSL
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::UnsupportedSASLMechanism
    )
}

/// Whether a code means that nobody answered.
pub(crate) fn is_silence(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::MessageTimedOut
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::TimedOutQueue
            | RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::NotLeaderForPartition
    )
}
