//! Simulated data: made once, whatever kills it, and users who live on.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use docket_log::Mode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::server::{Client, Folder, Server, docket, done, eventually, run, secret};

/// What is asked for: users, entities, relationships and articles.
const NUMBERS: [&str; 8] = ["--users", "12", "--entities", "400", "--relationships", "3000", "--articles", "60"];
const PASSWORD: &str = "seven simulated herons";

fn arguments<'a>(path: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["seed", "--data-dir", path], &NUMBERS[..], more].concat()
}

/// The numbers of a summary: of each thing how many there are, were made, and were there.
fn counts(summary: &str) -> Vec<[u64; 3]> {
    let numbers: Vec<u64> = summary.lines().filter_map(|line| line.split_whitespace().last()?.parse().ok()).collect();
    numbers.chunks_exact(3).map(|of| [of[0], of[1], of[2]]).collect()
}

/// The events of a category, in order.
fn events(path: &str, category: &str) -> Vec<Value> {
    let lines = done(&["replay", "--category", category, "--data-dir", path]);
    lines.lines().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
}

fn of_type<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["type"] == format!("docket.{name}.v1")).collect()
}

/// Starts it, and kills it once something of it stands on the log.
async fn kill_one_on_its_way(path: &str) {
    let mut seed = docket(&arguments(path, &[])).stdout(Stdio::null()).spawn().expect("it starts");
    eventually("something is made", async || (!events(path, "knowledge").is_empty()).then_some(())).await;
    // It may have come to its end just now.
    let _ = seed.kill();
    seed.wait().expect("it ends");
}

#[tokio::test]
async fn simulated_data_is_made_once_whatever_kills_it() {
    secret(PASSWORD);
    let folder = Folder::on(Mode::Journal);
    let path = folder.0.to_str().expect("a plain path").to_owned();
    let server = Server::up(&folder);
    let client = Client::login(&server.url, &server.credentials("admin")).await;
    kill_one_on_its_way(&path).await;
    let summary = done(&arguments(&path, &[]));
    let made = counts(&summary);
    let all: Vec<u64> = made.iter().map(|[all, ..]| *all).collect();
    assert_eq!(all[..6], [12, 400, 3000, 20, 60, 12], "{summary}");
    assert!(made.iter().all(|[all, made, there]| *all == made + there), "{summary}");
    assert!(made[1][2] > 0, "the one that was killed had written something: {summary}");

    let knowledge = events(&path, "knowledge");
    assert_eq!(of_type(&knowledge, "knowledge.entity_added").len(), 400);
    assert_eq!(of_type(&knowledge, "knowledge.relationship_added").len(), 3000);
    let ends = |event: &&Value| [event["data"]["source_id"].to_string(), event["data"]["target_id"].to_string()];
    let related: BTreeSet<_> = of_type(&knowledge, "knowledge.relationship_added").iter().map(ends).collect();
    assert_eq!(related.len(), 3000, "none twice");
    assert!(related.iter().all(|[source, target]| source != target));
    let feed = events(&path, "feed");
    assert_eq!(["feed.article_published", "feed.topic_set"].map(|name| of_type(&feed, name).len()), [60, 20]);
    assert_eq!(events(&path, "engagement").len() as u64, made[6][0]);
    assert!(made[6][0] > 20 && made[7][0] > 0, "{summary}");

    let identity = events(&path, "identity");
    let again = counts(&done(&arguments(&path, &["--password", PASSWORD])));
    assert!(again.iter().all(|[_, made, _]| *made == 0), "{again:?}");
    assert_eq!(again.iter().map(|[all, ..]| *all).collect::<Vec<_>>(), all);
    assert_eq!(events(&path, "knowledge"), knowledge);
    assert_eq!((events(&path, "feed"), events(&path, "identity")), (feed, identity));

    let members = eventually("the members are there", async || {
        let query = "{ members(first: 50) { nodes { role email } } }";
        let members = client.query(&server.url, query).await["members"]["nodes"].as_array()?.clone();
        // And the two of the first start.
        (members.len() == 14).then_some(members)
    })
    .await;
    let seeded = |member: &&Value| member["email"].as_str().is_some_and(|email| email.ends_with(".docket.invalid"));
    let roles = members.iter().filter(seeded).map(|member| member["role"].as_str().unwrap_or_default());
    assert_eq!(roles.filter(|role| *role == "REVIEWER").count(), 7);
    let email = members.iter().find(seeded).expect("a seeded one")["email"].as_str().expect("text").to_owned();
    let one = Client::login(&server.url, &super::server::Credentials { email, password: PASSWORD.to_owned() }).await;
    let found = eventually("the graph is there", async || {
        let query = "{ searchEntities(text: \"a\", limit: 5) { name relationships(limit: 50) { id } } }";
        let found = one.query(&server.url, query).await["searchEntities"].as_array()?.clone();
        found.iter().any(|entity| entity["relationships"] != json!([])).then_some(found)
    })
    .await;
    assert!(!found.is_empty());
}

#[test]
fn what_cannot_be_made_is_refused_before_anything_is() {
    for (arguments, why) in [
        (
            &["--entities", "3", "--relationships", "4"][..],
            "3 entities can have at most 3 relationships, and 4 are asked for",
        ),
        (&["--entities", "0", "--relationships", "1"], "0 entities can have at most 0 relationships"),
        (&["--live", "0"], "more than 0"),
        (&["--live", "-1"], "more than 0"),
        (&["--live", "NaN"], "more than 0"),
        (&["--live", "1", "--users", "1"], "--users 2"),
        (&["--until", "2999-01-01"], "future"),
        (&["--until", "soon"], "--until"),
        (&["--users", "-1"], "-1"),
    ] {
        let output = run(&[&["seed", "--data-dir", "/nonexistent"], arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
}

fn terminate(child: &Child) {
    kill_process(Pid::from_child(child), Signal::TERM).expect("it runs");
}

#[tokio::test]
async fn users_live_on_until_they_are_stopped() {
    let folder = Folder::on(Mode::Journal);
    let path = folder.0.to_str().expect("a plain path").to_owned();
    let server = Server::up(&folder);
    let client = Client::login(&server.url, &server.credentials("admin")).await;
    let mut seed = docket(&arguments(&path, &["--live", "40"])).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut said = BufReader::new(seed.stdout.take().expect("piped"));
    let mut line = String::new();
    while !line.starts_with("live: ") {
        line.clear();
        assert!(said.read_line(&mut line).expect("text") > 0, "it ended");
    }
    let before = events(&path, "engagement").len();
    eventually("some was decided", async || {
        let query = "{ consultationStats { responded } }";
        let responded = client.query(&server.url, query).await["consultationStats"]["responded"].as_u64()?;
        (responded >= 3).then_some(())
    })
    .await;
    terminate(&seed);
    let mut rest = String::new();
    said.read_to_string(&mut rest).expect("text");
    assert!(seed.wait().expect("it ends").success(), "{rest}");
    let count = |what: &str| -> usize {
        let line = rest.lines().find(|line| line.starts_with(what)).unwrap_or_else(|| panic!("{what}: {rest}"));
        line.split_whitespace().last().and_then(|word| word.parse().ok()).expect("a number")
    };
    let consultations = events(&path, "consultation");
    let journalled = |name: &str| of_type(&consultations, &format!("consultation.{name}")).len();
    assert_eq!(count("asked"), journalled("requested"));
    assert_eq!(count("commented"), journalled("commented"));
    assert_eq!(count("decided"), journalled("vote_cast"));
    assert!(journalled("responded") >= 3 && count("things read") > 0, "{rest}");
    let asked = of_type(&consultations, "consultation.requested");
    assert!(asked.iter().all(|asked| asked["data"]["cites"][0]["entity"].is_string()), "{asked:?}");
    let engagement = events(&path, "engagement");
    assert!(engagement.len() > before);
    let considered = |event: &Value| event["data"]["items"][0]["consultation_id"].as_str().map(ToOwned::to_owned);
    let considered: BTreeSet<String> = engagement.iter().filter_map(considered).collect();
    let subject =
        |event: &Value| event["subject"].as_str().unwrap_or_default().contains(considered.first().expect("some"));
    assert!(consultations.iter().any(subject), "what is cited is opened while a question is considered");
    assert!(!rest.contains("failed") && !rest.contains("refused"), "{rest}");
}
