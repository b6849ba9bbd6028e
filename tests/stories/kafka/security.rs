//! Brokers that let in only whom they know, and brokers that are not there.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use docket_log::{
    Kafka, KafkaArgs, KafkaError,
    kafka::{
        config::{Mechanism, Security as Protocol},
        topics::{self, Missing},
    },
};
use docket_platform::{
    config::Masked,
    scratch_kafka::{KafkaOptions, ScratchKafka, Security},
};
use docket_tests::{SHARDS, accept, context, new_stream_in, request};

use super::{
    projecting::Projecting,
    support::{Log, PATIENCE, prefix, shard},
};

const PASSWORD: &str = "correct horse";
/// The longest that a refusal may take on a busy machine.
const BOUND: Duration = Duration::from_secs(15);

fn user() -> (String, String) {
    ("docket".to_owned(), PASSWORD.to_owned())
}

async fn start(security: Security, properties: &[(&str, &str)]) -> Result<ScratchKafka> {
    let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let options = KafkaOptions { security, properties, ..KafkaOptions::default() };
    Ok(tokio::task::spawn_blocking(move || ScratchKafka::start_with(options)).await??)
}

/// The settings of a client that is let in.
fn settings(kafka: &ScratchKafka, protocol: Protocol, mechanism: Option<Mechanism>) -> KafkaArgs {
    let mut args = KafkaArgs::plaintext(kafka.bootstrap(), prefix());
    args.security = protocol;
    args.ca = kafka.ca_file().map(Path::to_path_buf);
    if let Some(mechanism) = mechanism {
        args.mechanism = mechanism;
        args.username = Some("docket".to_owned());
        args.password = Some(Masked::new(PASSWORD));
    }
    args
}

/// A command goes all the way: journal, relay, topic, reader, read model.
async fn works(args: KafkaArgs) -> Result<()> {
    let log = Log::with(args).await?;
    let relay = log.relay();
    let mut projecting = Projecting::begin(&log, log.reader().await?).await?;
    docket_tests::eventually_within(PATIENCE, "read from Kafka", async || {
        accept(&log.store(), &context(), new_stream_in(0), request("secret", None)).await?;
        projecting.catch_up(&log).await?;
        Ok(projecting.is_from_kafka(shard(0)).then_some(()))
    })
    .await?;
    log.all_published().await?;
    projecting.assert_verified(&log).await?;
    relay.stop().await
}

/// What is said to whom is not let in.
async fn refusal(args: KafkaArgs) -> Result<String> {
    let begun = Instant::now();
    let kafka = Kafka::new(&args)?.context("brokers are named")?;
    let refused = topics::ensure(&kafka, SHARDS, Missing::Make).await.expect_err("not let in");
    assert!(matches!(&refused, KafkaError::Refused { .. }), "{refused:?}");
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    Ok(refused.to_string())
}

fn with_password(args: &KafkaArgs, password: &str) -> KafkaArgs {
    KafkaArgs { password: Some(Masked::new(password)), ..args.clone() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_are_shown_in_every_way_that_brokers_ask_for() -> Result<()> {
    let (user, password) = user();
    // One broker that takes both.
    let plain = [
        ("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256"),
        (
            "listener.name.client.plain.sasl.jaas.config",
            "org.apache.kafka.common.security.plain.PlainLoginModule required user_docket=\"correct horse\";",
        ),
    ];
    let kafka = start(Security::SaslScram256 { user: user.clone(), password: password.clone() }, &plain).await?;
    for mechanism in [Mechanism::Plain, Mechanism::ScramSha256] {
        let args = settings(&kafka, Protocol::SaslPlaintext, Some(mechanism));
        works(args.clone()).await?;
        let said = refusal(with_password(&args, "wrong")).await?;
        assert!(said.contains("refuses the connection") && said.contains("uthentication failed"), "{said}");
        assert!(!said.contains("wrong"), "no password in a message: {said}");
    }
    drop(kafka);
    let kafka = start(Security::SaslScram512 { user, password }, &[]).await?;
    works(settings(&kafka, Protocol::SaslPlaintext, Some(Mechanism::ScramSha512))).await?;
    let other = refusal(settings(&kafka, Protocol::SaslPlaintext, Some(Mechanism::Plain))).await?;
    assert!(other.contains("SCRAM-SHA-512"), "the mechanisms that the broker takes: {other}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_encrypted_and_brokers_must_prove_who_they_are() -> Result<()> {
    let (user, password) = user();
    let kafka = start(Security::Tls, &[]).await?;
    let stranger = start(Security::TlsSaslScram512 { user, password }, &[]).await?;
    let args = settings(&kafka, Protocol::Ssl, None);
    works(args.clone()).await?;
    let both = settings(&stranger, Protocol::SaslSsl, Some(Mechanism::ScramSha512));
    works(both.clone()).await?;

    let said = refusal(with_password(&both, "wrong")).await?;
    assert!(said.contains("uthentication failed"), "{said}");
    for args in [KafkaArgs { ca: both.ca, ..args.clone() }, KafkaArgs { ca: None, ..args }] {
        let said = refusal(args).await?;
        assert!(said.contains("certificate verify failed"), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn brokers_that_are_not_there_are_named_with_the_reason() -> Result<()> {
    let begun = Instant::now();
    let kafka = Kafka::new(&KafkaArgs::plaintext("127.0.0.1:1", prefix()))?.context("brokers are named")?;
    let error = topics::ensure(&kafka, SHARDS, Missing::Make).await.expect_err("nobody is there");
    assert!(matches!(&error, KafkaError::Unreachable { .. }), "{error:?}");
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    let said = error.to_string();
    assert!(said.starts_with("Kafka at 127.0.0.1:1 does not answer: "), "{said}");
    assert!(said.contains("Connection refused"), "{said}");
    Ok(())
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let plain = KafkaArgs::plaintext("127.0.0.1:1", "docket");
    let cases = [
        (KafkaArgs { security: Protocol::SaslPlaintext, ..plain.clone() }, "SASL needs KAFKA_SASL_USERNAME"),
        (
            KafkaArgs { username: Some("me".to_owned()), ..plain.clone() },
            "KAFKA_SECURITY_PROTOCOL is not sasl_plaintext",
        ),
        (KafkaArgs { ca: Some("/tmp/ca.pem".into()), ..plain.clone() }, "KAFKA_SECURITY_PROTOCOL is not ssl"),
        (
            KafkaArgs { security: Protocol::Ssl, ca: Some("/nowhere/ca.pem".into()), ..plain },
            "/nowhere/ca.pem cannot be read",
        ),
    ];
    for (args, what) in cases {
        let error = Kafka::new(&args).expect_err("refused").to_string();
        assert!(error.contains(what), "{error}");
    }
}
