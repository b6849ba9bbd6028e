//! Topics: made where they are missing, verified where they are there. What is wrong is said, never mended behind the operator's
//! back: another number of partitions would tear streams apart, and compaction would eat history.

use std::{collections::BTreeMap, time::Duration};

use docket_events::{Category, envelope::MAX_EVENT_BYTES};
use rdkafka::{
    admin::{AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication},
    consumer::{BaseConsumer, Consumer},
    types::RDKafkaErrorCode,
};

use super::{
    client::{ANSWER, Hearing, Kafka, hear},
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

/// Makes the topics that are missing, and verifies all of them.
///
/// # Errors
/// See [`KafkaError`]; [`KafkaError::Topic`] says everything that is wrong with the first topic that does not fit.
pub async fn ensure(kafka: &Kafka, shards: u16, missing: Missing) -> Result<(), KafkaError> {
    let mut found = describe(kafka).await?;
    let absent: Vec<&str> = Category::ALL
        .iter()
        .map(|category| kafka.topic(*category))
        .filter(|topic| !found.contains_key(*topic))
        .collect();
    if !absent.is_empty() {
        if missing == Missing::Refuse {
            return Err(KafkaError::Missing(absent.join(", ")));
        }
        make(kafka, &absent, shards).await?;
        found = describe(kafka).await?;
    }
    for category in Category::ALL {
        let topic = kafka.topic(category);
        // The controller knows it, the broker that we asked may not yet.
        let Some(found) = found.get(topic) else { continue };
        let problems = verify(kafka, topic, found, shards).await?;
        if !problems.is_empty() {
            return Err(KafkaError::Topic { topic: topic.to_owned(), problems });
        }
    }
    Ok(())
}

/// The topics of the log that are there.
async fn describe(kafka: &Kafka) -> Result<BTreeMap<String, Found>, KafkaError> {
    let kafka = kafka.clone();
    blocking(move || {
        let (consumer, hearing): (BaseConsumer<Hearing>, _) = kafka.client(&[("group.id", "docket")])?;
        // All topics: to ask for one by name makes some brokers create it.
        let metadata = consumer.fetch_metadata(None, ANSWER).map_err(|error| {
            hear(&consumer);
            kafka.explain(error, &hearing)
        })?;
        Ok(metadata
            .topics()
            .iter()
            .filter(|topic| kafka.category(topic.name()).is_some() && topic.error().is_none())
            .map(|topic| {
                let replicas = topic.partitions().iter().map(|partition| partition.replicas().len()).min();
                let found = Found { partitions: topic.partitions().len(), replicas: replicas.unwrap_or(0) };
                (topic.name().to_owned(), found)
            })
            .collect())
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

async fn make(kafka: &Kafka, absent: &[&str], shards: u16) -> Result<(), KafkaError> {
    let (admin, hearing) = kafka.admin()?;
    let args = kafka.args();
    let replication = args.replication.map_or(-1, i32::from);
    let bytes = MESSAGE_BYTES.to_string();
    let min_isr = min_isr(kafka, args.replication.map_or(1, usize::from)).to_string();
    let topics: Vec<NewTopic<'_>> = absent
        .iter()
        .map(|topic| {
            let new = NewTopic::new(topic, i32::from(shards), TopicReplication::Fixed(replication))
                .set("cleanup.policy", "delete")
                .set("retention.ms", "-1")
                .set("retention.bytes", "-1")
                .set("max.message.bytes", &bytes);
            // Unset, the brokers' own default holds, which knows how many copies they keep by default.
            if args.min_isr.is_some() || args.replication.is_some() {
                new.set("min.insync.replicas", &min_isr)
            } else {
                new
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

/// How many copies must have an event: what was asked for, else 2 of three.
fn min_isr(kafka: &Kafka, replicas: usize) -> u64 {
    kafka.args().min_isr.map_or(if replicas >= 3 { 2 } else { 1 }, u64::from)
}

/// Everything that is wrong with a topic.
async fn verify(kafka: &Kafka, topic: &str, found: &Found, shards: u16) -> Result<Vec<String>, KafkaError> {
    let (admin, hearing) = kafka.admin()?;
    let options = AdminOptions::new().request_timeout(Some(ANSWER));
    let described = admin.describe_configs([&ResourceSpecifier::Topic(topic)], &options).await;
    let config: ConfigResource = match described.map_err(|error| kafka.explain(error, &hearing))?.into_iter().next() {
        Some(Ok(config)) => config,
        Some(Err(RDKafkaErrorCode::UnknownTopicOrPartition)) | None => return Ok(Vec::new()),
        Some(Err(code)) => return Ok(vec![format!("its settings cannot be read: {code}")]),
    };
    let is = |name: &str| config.get(name).and_then(|entry| entry.value.clone()).unwrap_or_default();
    let number = |name: &str| is(name).parse::<u64>().unwrap_or(0);
    let mut problems = Vec::new();
    if found.partitions != usize::from(shards) {
        problems.push(format!("it has {} partitions, and the installation has {shards} shards", found.partitions));
    }
    if is("cleanup.policy") != "delete" {
        problems.push(format!("cleanup.policy is {}, and must be delete", is("cleanup.policy")));
    }
    for name in ["retention.ms", "retention.bytes"] {
        if is(name) != "-1" {
            problems.push(format!("{name} is {}, and must be -1: history is kept for ever", is(name)));
        }
    }
    if number("max.message.bytes") < MIN_MESSAGE_BYTES {
        problems.push(format!(
            "max.message.bytes is {}, and must be {MIN_MESSAGE_BYTES} at least",
            is("max.message.bytes")
        ));
    }
    let wanted = min_isr(kafka, found.replicas);
    if number("min.insync.replicas") < wanted {
        problems.push(format!("min.insync.replicas is {}, and must be {wanted} at least", is("min.insync.replicas")));
    }
    if let Some(wanted) = kafka.args().replication.map(usize::from).filter(|wanted| found.replicas < *wanted) {
        problems.push(format!("it has {} copies, and must have {wanted}", found.replicas));
    }
    Ok(problems)
}
