//! Topics: made where they are missing, verified where they are there. What is wrong is said, never mended behind the operator's
//! back: another number of partitions would tear streams apart, and compaction would eat history.

use std::{collections::BTreeMap, time::Duration};

use docket_events::{Category, envelope::MAX_EVENT_BYTES};
use rdkafka::{
    admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication},
    consumer::Consumer,
    types::RDKafkaErrorCode,
};

use super::{
    client::{ANSWER, Hearing, Kafka},
    error::KafkaError,
};

/// The least that a topic must take per message: the largest event, with its headers.
pub const MIN_MESSAGE_BYTES: u64 = MAX_EVENT_BYTES as u64 + 64 * 1024;
/// What we ask for when we make a topic.
const MESSAGE_BYTES: u64 = 1_048_588;
/// How long the making of topics may take.
const MAKING: Duration = Duration::from_secs(20);

/// Whether topics that are missing are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// They are made.
    Make,
    /// They are an error.
    Refuse,
}

/// What the brokers say of a topic.
struct Found {
    partitions: usize,
    replicas: usize,
}

/// What the brokers say of themselves and of the log.
struct Described {
    /// One of them.
    broker: Option<i32>,
    topics: BTreeMap<String, Found>,
}

/// A topic as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Surveyed {
    pub(crate) category: Category,
    topic: String,
    /// Why it cannot hold the log.
    problems: Vec<String>,
    /// The largest message that it takes.
    pub(crate) message_bytes: u64,
}

impl Surveyed {
    /// What makes it useless for every event; one that only takes too small messages is none of these.
    pub(crate) fn unfit(&self) -> Option<KafkaError> {
        let (topic, problems) = (self.topic.clone(), self.problems.clone());
        (!problems.is_empty()).then_some(KafkaError::Topic { topic, problems })
    }

    /// Everything that is wrong with it.
    fn wrong(mut self) -> Option<KafkaError> {
        if self.message_bytes < MIN_MESSAGE_BYTES {
            let bytes = self.message_bytes;
            self.problems.push(format!("max.message.bytes is {bytes}, and must be {MIN_MESSAGE_BYTES} at least"));
        }
        self.unfit()
    }
}

/// Makes the topics that are missing, and verifies all of them.
///
/// # Errors
/// See [`KafkaError`]; [`KafkaError::Topic`] says everything that is wrong with the first topic that does not fit.
pub async fn ensure(kafka: &Kafka, shards: u16, missing: Missing) -> Result<(), KafkaError> {
    let surveyed = survey(kafka, shards, missing).await?;
    surveyed.into_iter().find_map(Surveyed::wrong).map_or(Ok(()), Err)
}

/// Makes the topics that are missing, and looks what is wrong with each. One that no broker knows of yet is left out.
pub(crate) async fn survey(kafka: &Kafka, shards: u16, missing: Missing) -> Result<Vec<Surveyed>, KafkaError> {
    let Described { broker, topics: mut found } = describe(kafka).await?;
    let absent: Vec<&str> = Category::ALL
        .iter()
        .map(|category| kafka.topic(*category))
        .filter(|topic| !found.contains_key(*topic))
        .collect();
    if !absent.is_empty() {
        if missing == Missing::Refuse {
            return Err(KafkaError::Missing(absent.join(", ")));
        }
        make(kafka, broker, &absent, shards).await?;
        found = describe(kafka).await?.topics;
    }
    verify(kafka, &found, shards).await
}

/// Asks which topics of the log are there.
async fn describe(kafka: &Kafka) -> Result<Described, KafkaError> {
    let kafka = kafka.clone();
    blocking(move || {
        let asker = kafka.asker(&[("group.id", "docket")])?;
        // All topics: to ask for one by name makes some brokers create it.
        let metadata = kafka.ask(&asker, |consumer, patience| consumer.fetch_metadata(None, patience))?;
        let broker = metadata.brokers().first().map(rdkafka::metadata::MetadataBroker::id);
        let topics = metadata
            .topics()
            .iter()
            .filter(|topic| kafka.category(topic.name()).is_some() && topic.error().is_none())
            .map(|topic| {
                let replicas = topic.partitions().iter().map(|partition| partition.replicas().len()).min();
                let found = Found { partitions: topic.partitions().len(), replicas: replicas.unwrap_or(0) };
                (topic.name().to_owned(), found)
            })
            .collect();
        Ok(Described { broker, topics })
    })
    .await
}

/// librdkafka's questions block: they go to a thread of their own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, KafkaError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(KafkaError::Settings(format!("the question was not finished: {error}"))),
    }
}

async fn make(kafka: &Kafka, broker: Option<i32>, absent: &[&str], shards: u16) -> Result<(), KafkaError> {
    let (admin, hearing) = kafka.admin()?;
    let args = kafka.args();
    let replication = args.replication.map_or(-1, i32::from);
    let bytes = MESSAGE_BYTES.to_string();
    let copies = match args.replication {
        Some(copies) => Some(usize::from(copies)),
        None => default_copies(&admin, broker).await,
    };
    let enough = copies.map(|copies| min_isr(kafka, copies).to_string());
    let topics: Vec<NewTopic<'_>> = absent
        .iter()
        .map(|topic| {
            let new = NewTopic::new(topic, i32::from(shards), TopicReplication::Fixed(replication))
                .set("cleanup.policy", "delete")
                .set("retention.ms", "-1")
                .set("retention.bytes", "-1")
                .set("max.message.bytes", &bytes);
            // Unset, the brokers' own default holds.
            match &enough {
                Some(enough) => new.set("min.insync.replicas", enough),
                None => new,
            }
        })
        .collect();
    let options = AdminOptions::new().request_timeout(Some(MAKING)).operation_timeout(Some(MAKING));
    let made = admin.create_topics(&topics, &options).await.map_err(|error| kafka.explain(error, &hearing))?;
    for result in made {
        match result {
            // Somebody else was faster.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => {
                let problems = vec![format!("it cannot be made: {code}")];
                return Err(KafkaError::Topic { topic, problems });
            }
        }
    }
    tracing::info!(topics = absent.join(", "), shards, "topics of the log are made");
    Ok(())
}

/// How many copies the brokers keep of a topic for which nothing is said; none when they do not tell.
async fn default_copies(admin: &AdminClient<Hearing>, broker: Option<i32>) -> Option<usize> {
    let options = AdminOptions::new().request_timeout(Some(ANSWER));
    let described = admin.describe_configs([&ResourceSpecifier::Broker(broker?)], &options).await.ok()?;
    let config = described.into_iter().next()?.ok()?;
    setting(&config, "default.replication.factor").parse().ok()
}

/// How many copies must have an event: what was asked for, else 2 of three.
fn min_isr(kafka: &Kafka, replicas: usize) -> u64 {
    kafka.args().min_isr.map_or(if replicas >= 3 { 2 } else { 1 }, u64::from)
}

/// Asks for the settings of the topics, and compares them with what the log needs.
async fn verify(kafka: &Kafka, found: &BTreeMap<String, Found>, shards: u16) -> Result<Vec<Surveyed>, KafkaError> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let (admin, hearing) = kafka.admin()?;
    let options = AdminOptions::new().request_timeout(Some(ANSWER));
    let wanted: Vec<ResourceSpecifier<'_>> = found.keys().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let described = admin.describe_configs(&wanted, &options).await;
    let mut surveyed = Vec::new();
    for ((topic, found), config) in found.iter().zip(described.map_err(|error| kafka.explain(error, &hearing))?) {
        let Some(category) = kafka.category(topic) else { continue };
        let (problems, message_bytes) = match config {
            Ok(config) => (problems(kafka, found, &config, shards), number(&config, "max.message.bytes")),
            // Gone since.
            Err(RDKafkaErrorCode::UnknownTopicOrPartition) => continue,
            Err(code) => (vec![format!("its settings cannot be read: {code}")], MESSAGE_BYTES),
        };
        surveyed.push(Surveyed { category, topic: topic.clone(), problems, message_bytes });
    }
    Ok(surveyed)
}

fn setting(config: &ConfigResource, name: &str) -> String {
    config.get(name).and_then(|entry| entry.value.clone()).unwrap_or_default()
}

fn number(config: &ConfigResource, name: &str) -> u64 {
    setting(config, name).parse().unwrap_or(0)
}

/// Everything that is wrong with a topic, but for the size of its messages.
fn problems(kafka: &Kafka, found: &Found, config: &ConfigResource, shards: u16) -> Vec<String> {
    let mut problems = Vec::new();
    if found.partitions != usize::from(shards) {
        problems.push(format!("it has {} partitions, and the installation has {shards} shards", found.partitions));
    }
    let policy = setting(config, "cleanup.policy");
    if policy != "delete" {
        problems.push(format!("cleanup.policy is {policy}, and must be delete"));
    }
    for name in ["retention.ms", "retention.bytes"] {
        let value = setting(config, name);
        if value != "-1" {
            problems.push(format!("{name} is {value}, and must be -1: history is kept for ever"));
        }
    }
    let (enough, wanted) = (number(config, "min.insync.replicas"), min_isr(kafka, found.replicas));
    if enough < wanted {
        problems.push(format!("min.insync.replicas is {enough}, and must be {wanted} at least"));
    }
    if let Some(wanted) = kafka.args().replication.map(usize::from).filter(|wanted| found.replicas < *wanted) {
        problems.push(format!("it has {} copies, and must have {wanted}", found.replicas));
    }
    problems
}
