//! Topics: made as the log needs them, and never bent to it when they are not.

use anyhow::Result;
use docket_events::Category;
use docket_log::{
    Kafka, KafkaArgs, KafkaError,
    kafka::topics::{self, Missing},
};
use docket_platform::scratch_kafka::{KafkaOptions, ScratchKafka};
use docket_tests::SHARDS;
use rdkafka::{
    admin::{NewTopic, ResourceSpecifier, TopicReplication},
    consumer::{BaseConsumer, Consumer},
};

use super::support::{Log, options};

#[tokio::test]
async fn topics_are_made_once_and_keep_everything_for_ever() -> Result<()> {
    let log = Log::new().await?;
    let refused = topics::ensure(&log.kafka, SHARDS, Missing::Refuse).await;
    let Err(KafkaError::Missing(names)) = refused else { panic!("{refused:?}") };
    for category in Category::ALL {
        assert!(names.contains(log.kafka.topic(category)), "{names}");
    }
    for _ in 0..2 {
        topics::ensure(&log.kafka, SHARDS, Missing::Make).await?;
    }
    topics::ensure(&log.kafka, SHARDS, Missing::Refuse).await?;
    for category in Category::ALL {
        let topic = log.kafka.topic(category);
        let consumer: BaseConsumer = log.client().create()?;
        let metadata = consumer.fetch_metadata(Some(topic), super::support::PATIENCE)?;
        assert_eq!(metadata.topics()[0].partitions().len(), usize::from(SHARDS));
        let described = log.admin()?.describe_configs([&ResourceSpecifier::Topic(topic)], &options()).await?;
        let config = described.into_iter().next().expect("one")?;
        let setting = |name: &str| config.get(name).and_then(|entry| entry.value.clone()).unwrap_or_default();
        assert_eq!(setting("cleanup.policy"), "delete");
        assert_eq!((setting("retention.ms").as_str(), setting("retention.bytes").as_str()), ("-1", "-1"));
        assert_eq!(setting("max.message.bytes"), "1048588");
        assert_eq!(setting("min.insync.replicas"), "1");
    }
    Ok(())
}

#[tokio::test]
async fn a_topic_that_cannot_hold_the_log_is_refused_with_everything_that_is_wrong_and_left_as_it_is() -> Result<()> {
    let log = Log::new().await?;
    let topic = log.kafka.topic(Category::Consultation);
    let wrong = NewTopic::new(topic, 3, TopicReplication::Fixed(1))
        .set("cleanup.policy", "compact,delete")
        .set("retention.ms", "1000")
        .set("retention.bytes", "1000000")
        .set("max.message.bytes", "1000");
    log.admin()?.create_topics([&wrong], &options()).await?.into_iter().for_each(|made| drop(made.expect("made")));
    let refused = topics::ensure(&log.kafka, SHARDS, Missing::Make).await;
    let Err(KafkaError::Topic { topic: named, problems }) = &refused else { panic!("{refused:?}") };
    assert_eq!(named, topic);
    let all = problems.join("\n");
    for what in [
        "it has 3 partitions, and the installation has 2 shards",
        "cleanup.policy is compact,delete, and must be delete",
        "retention.ms is 1000, and must be -1",
        "retention.bytes is 1000000, and must be -1",
        "max.message.bytes is 1000, and must be 327680 at least",
    ] {
        assert!(all.contains(what), "{what}: {all}");
    }
    Ok(())
}

#[tokio::test]
async fn where_the_brokers_keep_three_copies_two_must_have_an_event() -> Result<()> {
    // Kafka's own default is that one is enough.
    let properties = vec![("min.insync.replicas".to_owned(), "1".to_owned())];
    let options = KafkaOptions { brokers: 3, properties, ..KafkaOptions::default() };
    let brokers = tokio::task::spawn_blocking(move || ScratchKafka::start_with(options)).await??;
    let log = Log::on(&brokers.bootstrap()).await?;
    topics::ensure(&log.kafka, SHARDS, Missing::Make).await?;
    topics::ensure(&log.kafka, SHARDS, Missing::Refuse).await?;
    Ok(())
}

#[tokio::test]
async fn too_few_copies_are_refused() -> Result<()> {
    let log = Log::new().await?;
    topics::ensure(&log.kafka, SHARDS, Missing::Make).await?;
    let args = KafkaArgs { min_isr: Some(2), replication: Some(3), ..log.kafka.args().clone() };
    let kafka = Kafka::new(&args)?.expect("brokers are named");
    let refused = topics::ensure(&kafka, SHARDS, Missing::Make).await.expect_err("one broker has one copy").to_string();
    assert!(refused.contains("min.insync.replicas is 1, and must be 2 at least"), "{refused}");
    assert!(refused.contains("it has 1 copies, and must have 3"), "{refused}");

    let args = KafkaArgs { topic_prefix: super::support::prefix(), ..args };
    let kafka = Kafka::new(&args)?.expect("brokers are named");
    let refused = topics::ensure(&kafka, SHARDS, Missing::Make).await;
    let Err(KafkaError::Topic { problems, .. }) = &refused else { panic!("{refused:?}") };
    assert!(problems[0].starts_with("it cannot be made: "), "{problems:?}");
    Ok(())
}
