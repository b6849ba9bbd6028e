//! What `docket up` and the roles say when Kafka is not as it must be, and what they do without it.

use std::process::{Command, Output, Stdio};
use std::time::Instant;

use docket_events::Category;
use docket_log::kafka::topics::{self, Missing};
use docket_log::{Kafka, KafkaArgs, Mode};
use docket_platform::scratch_kafka::{KafkaOptions, ScratchKafka, Security};
use serde_json::{Value, json};

use super::modes::{on, settings};
use super::server::{Client, Folder, PATIENCE, Server, eventually};

/// How a command ended, and the one line that it said to people; fails when it does not end by itself.
fn ending(mut command: Command) -> (Option<i32>, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let end = Instant::now() + PATIENCE;
    while child.try_wait().expect("a child").is_none() {
        if Instant::now() > end {
            let _ = child.kill();
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it ended");
    let stderr = String::from_utf8(stderr).expect("UTF-8");
    let said: Vec<&str> = stderr.lines().filter_map(|line| line.strip_prefix("docket: ")).collect();
    assert_eq!((stdout.as_slice(), said.len()), (&b""[..], 1), "{stderr}");
    (status.code(), said.concat())
}

fn up(folder: &Folder) -> (Option<i32>, String) {
    ending(folder.docket(&["up", "--listen", "127.0.0.1:0"]))
}

/// Nothing was set up in the folder: what starts there starts for the first time, with the log in the journal.
async fn nothing_was_set_up(mut folder: Folder) {
    folder.tell(Vec::new());
    let server = Server::up(&folder);
    assert!(!server.credentials("admin").email.is_empty());
    folder.log_is_whole(Mode::Journal).await;
    assert!(server.stop().0.success());
}

#[tokio::test]
async fn brokers_that_do_not_answer_are_said_and_nothing_is_set_up() {
    // Privileged, and of a service that no longer exists: nobody listens there.
    let folder = Folder::with(|_| vec![("KAFKA_BROKERS", "127.0.0.1:9".to_owned())]);
    let (code, said) = up(&folder);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.starts_with("nothing was set up: Kafka at 127.0.0.1:9 does not answer: "), "{said}");
    nothing_was_set_up(folder).await;
}

#[test]
fn a_wrong_password_is_refused_and_not_shown() {
    let security = Security::SaslScram256 { user: "docket".to_owned(), password: "correct-horse".to_owned() };
    let broker = ScratchKafka::start_with(KafkaOptions { security, ..KafkaOptions::default() }).expect("a broker");
    let folder = Folder::with(|name| {
        let mut settings = on(&broker, name);
        settings.extend([
            ("KAFKA_SECURITY_PROTOCOL", "sasl_plaintext".to_owned()),
            ("KAFKA_SASL_MECHANISM", "SCRAM-SHA-256".to_owned()),
            ("KAFKA_SASL_USERNAME", "docket".to_owned()),
            ("KAFKA_SASL_PASSWORD", "hunter2".to_owned()),
        ]);
        settings
    });
    let (code, said) = up(&folder);
    assert_eq!(code, Some(4), "{said}");
    let refused = format!("nothing was set up: Kafka at {} refuses the connection: ", broker.bootstrap());
    assert!(said.starts_with(&refused) && !said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn a_topic_that_cannot_hold_the_log_is_named_with_what_is_wrong() {
    let mut prefix = String::new();
    let folder = Folder::with(|name| {
        name.clone_into(&mut prefix);
        settings(Mode::Kafka, name)
    });
    let args = KafkaArgs::plaintext(ScratchKafka::shared().bootstrap(), &prefix);
    let kafka = Kafka::new(&args).expect("settings").expect("brokers");
    topics::ensure(&kafka, 3, Missing::Make).await.expect("topics with three partitions");
    let (code, said) = up(&folder);
    assert_eq!(code, Some(1), "{said}");
    let what = "cannot hold the log: it has 3 partitions, and the installation has 16 shards";
    assert!(said.starts_with(&format!("nothing was set up: the topic {prefix}.")) && said.ends_with(what), "{said}");
    nothing_was_set_up(folder).await;
}

#[tokio::test]
async fn settings_that_contradict_each_other_are_usage() {
    let folder = Folder::with(|_| {
        vec![
            ("KAFKA_BROKERS", "127.0.0.1:9".to_owned()),
            ("KAFKA_SECURITY_PROTOCOL", "sasl_ssl".to_owned()),
            ("KAFKA_SASL_USERNAME", "docket".to_owned()),
        ]
    });
    for command in ["up", "relay", "command-api", "projector"] {
        let (code, said) = ending(folder.docket(&[command, "--listen", "127.0.0.1:0"]));
        assert!(code == Some(2) && said.contains("KAFKA_SASL_PASSWORD"), "{command}: {said}");
    }
}

#[tokio::test]
async fn an_installation_with_its_log_in_kafka_takes_commands_without_its_brokers_but_must_know_of_them() {
    let broker = tokio::task::spawn_blocking(ScratchKafka::start).await.expect("no panic").expect("a broker");
    let mut folder = Folder::with(|name| on(&broker, name));
    let first = Server::up(&folder);
    let admin = first.credentials("admin");
    assert!(first.stop().0.success());

    let told = folder.tell(Vec::new());
    let (code, said) = up(&folder);
    let sentence = "the log of this installation is in Kafka, and KAFKA_BROKERS is not set";
    assert_eq!((code, said.as_str()), (Some(2), sentence));

    broker.kill(1).expect("killed");
    folder.tell(told);
    let server = Server::up(&folder);
    let client = Client::login(&server.url, &admin).await;
    let asked = client.ask(&server.url, "while Kafka is away").await;
    assert_eq!(asked.status(), 201);
    let asked: Value = asked.json().await.expect("JSON");
    let path = format!("{}/api/v1/consultations/{}", server.url, asked["id"].as_str().expect("an id"));

    broker.start_again(1).expect("started again");
    eventually("it is read", async || (client.get(path.clone()).await.status() == 200).then_some(())).await;
    folder.log_is_whole(Mode::Kafka).await;
    assert!(server.stop().0.success());
}

#[tokio::test]
async fn what_is_read_while_kafka_is_away_says_how_old_it_is() {
    let broker = tokio::task::spawn_blocking(ScratchKafka::start).await.expect("no panic").expect("a broker");
    let folder = Folder::with(|name| on(&broker, name));
    let server = Server::up(&folder);
    let client = Client::login(&server.url, &server.credentials("admin")).await;
    let ask = async |title| -> String {
        let asked: Value = client.ask(&server.url, title).await.json().await.expect("JSON");
        format!("{}/api/v1/consultations/{}", server.url, asked["id"].as_str().expect("an id"))
    };
    let graphql = json!({ "query": "{ consultationStats { total } }" });
    let answer = async || -> Value {
        let answer: Value = client.post(format!("{}/graphql", server.url), &graphql).await.json().await.expect("JSON");
        assert_eq!(answer["errors"], Value::Null, "{answer}");
        answer
    };
    for _ in 0..8 {
        ask("while Kafka is there").await;
    }
    let all = eventually("all are read", async || {
        let answer = answer().await;
        (answer["data"]["consultationStats"]["total"] == 8).then_some(answer)
    });
    assert_eq!(all.await["extensions"]["age"], Value::Null);

    let followed = async || {
        let metrics =
            reqwest::get(format!("{}/metrics", server.url)).await.expect("an answer").text().await.expect("text");
        metrics.lines().find_map(|line| {
            line.strip_prefix("docket_reader_kafka_shards{reader=\"projections\"} ")?.parse::<f64>().ok()
        })
    };
    let all = Category::ALL.len() as f64 * 16.0;
    eventually("all topics are followed", async || (followed().await == Some(all)).then_some(())).await;
    broker.kill(1).expect("killed");
    let mut last = String::new();
    let aged = eventually("answers show their age", async || {
        last = ask("while Kafka is away").await;
        answer().await["extensions"]["age"].as_i64().filter(|age| *age >= 2)
    });
    aged.await;
    // Be it that nothing is there.
    let unknown = client.get(last.clone()).await;
    assert_eq!(unknown.status(), 404);
    let age =
        eventually("its shard's age", async || client.get(last.clone()).await.headers().get("docket-age").cloned());
    assert!(age.await.to_str().is_ok_and(|age| age.parse::<u64>().is_ok_and(|age| age >= 1)));

    broker.start_again(1).expect("started again");
    eventually("it is read", async || (client.get(last.clone()).await.status() == 200).then_some(())).await;
    eventually("answers are new", async || answer().await["extensions"]["age"].is_null().then_some(())).await;
    assert_eq!(client.get(last).await.headers().get("docket-age"), None);
    assert!(server.stop().0.success());
}
