//! Subscriptions: nothing is missed, or it is said.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use docket_log::Position;
use docket_platform::breaker::{Breaker, BreakerSettings};
use docket_query_api::{
    Config,
    age::Ages,
    changes::{Follower, Hubs, Subscriber},
    consultation::Wanted,
    position::Gate,
    read::{ReadError, Reads},
};
use futures_util::StreamExt;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    support::{Asked, World},
    websocket::Client,
};

const OURS: Uuid = Uuid::from_u128(0xa);

fn changes(arguments: &str) -> String {
    format!(
        "subscription {{ consultationChanged{arguments} {{ kind position at consultation {{ id title state version history {{ kind }} }} }} }}"
    )
}

async fn position(world: &World, token: &str) -> String {
    world.query(token, "{ consultations(first: 1) { edges { cursor } } }").await.1
}

#[tokio::test]
async fn a_subscriber_that_leaves_and_resumes_while_writes_go_on_misses_nothing() {
    const WRITES: usize = 150;
    let world = Arc::new(World::new().await);
    let token = world.token(OURS).await;
    let mut since = position(&world, &token).await;
    let writer = {
        let world = world.clone();
        tokio::spawn(async move {
            for n in 0..WRITES {
                world.asked(OURS, &Asked::titled(n.to_string())).await;
            }
        })
    };
    let mut seen = BTreeSet::new();
    let mut visits = 0;
    while seen.len() < WRITES {
        let mut client = Client::ready(&world, &token).await;
        client.subscribe("1", &changes(&format!("(since: \"{since}\")"))).await;
        // Each visit is of another length, so that it ends somewhere else between the database and the hub.
        for _ in 0..(1 + visits % 13).min(WRITES - seen.len()) {
            let (_, answer) = client.next().await;
            let change = &answer["data"]["consultationChanged"];
            let title: usize =
                change["consultation"]["title"].as_str().unwrap_or_else(|| panic!("{answer}")).parse().unwrap();
            assert!(seen.insert(title), "{title} came twice");
            assert_eq!(change["consultation"]["history"], json!([{"kind": "requested"}]));
            since = change["position"].as_str().unwrap().to_owned();
        }
        visits += 1;
    }
    writer.await.unwrap();
    assert_eq!(seen, (0..WRITES).collect());
}

#[tokio::test]
async fn one_subscriber_hears_every_change_of_many_in_the_order_of_each_consultation() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    let since = position(&world, &token).await;
    let mut client = Client::ready(&world, &token).await;
    client.subscribe("1", &changes(&format!("(since: \"{since}\")"))).await;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(world.asked(OURS, &Asked::titled(n.to_string())).await.0);
    }
    for id in ids.iter().cycle().take(40) {
        world.write(OURS, *id, &Asked::titled(""), "commented").await;
    }
    let (mut heard, mut last) = (vec![0; 4], Position::default());
    for _ in 0..44 {
        let (_, answer) = client.next().await;
        let change = &answer["data"]["consultationChanged"];
        let id: Uuid = change["consultation"]["id"].as_str().unwrap().parse().unwrap();
        heard[ids.iter().position(|known| *known == id).unwrap()] += 1;
        let position: Position = change["position"].as_str().unwrap().parse().unwrap();
        assert!(last.iter().all(|(shard, sequence)| position.get(shard) >= sequence), "a position went back");
        last = position;
    }
    assert_eq!(heard, [11; 4]);
}

#[tokio::test]
async fn a_subscription_without_a_position_begins_now() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    world.asked(OURS, &Asked::titled("before")).await;
    let mut client = Client::ready(&world, &token).await;
    client.subscribe("1", &changes("")).await;
    // It is under way once it tells of one of these.
    let (_, first) = loop {
        world.asked(OURS, &Asked::titled("after")).await;
        tokio::select! {
            heard = client.next() => break heard,
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
    };
    assert_eq!(first["data"]["consultationChanged"]["consultation"]["title"], "after");
}

#[tokio::test]
async fn a_subscription_may_be_of_one_consultation_or_of_some_states() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    let since = position(&world, &token).await;
    let (one, _) = world.asked(OURS, &Asked::titled("one")).await;
    let mut client = Client::ready(&world, &token).await;
    client.subscribe("one", &changes(&format!("(since: \"{since}\", id: \"{one}\")"))).await;
    client.subscribe("timed_out", &changes(&format!("(since: \"{since}\", states: [TIMED_OUT])"))).await;
    let (id, first) = client.next().await;
    assert_eq!((id.as_str(), &first["data"]["consultationChanged"]["kind"]), ("one", &json!("requested")));
    world.asked(OURS, &Asked::titled("two")).await;
    world.asked(OURS, &Asked { state: "timed_out", ..Asked::titled("three") }).await;
    let (id, second) = client.next().await;
    let change = &second["data"]["consultationChanged"]["consultation"];
    assert_eq!((id.as_str(), &change["title"], &change["state"]), ("timed_out", &json!("three"), &json!("TIMED_OUT")));
}

#[tokio::test]
async fn a_position_from_before_the_trimming_must_resync() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    let old = position(&world, &token).await;
    for n in 0..6 {
        world.asked(OURS, &Asked::titled(n.to_string())).await;
    }
    world.run("with gone as (delete from read.change where sequence <= 2 returning *)
               insert into read.change_trimmed select projection, category, shard, max(sequence) from gone group by 1, 2, 3").await;
    let mut client = Client::ready(&world, &token).await;
    client.subscribe("1", &changes(&format!("(since: \"{old}\")"))).await;
    let error = client.receive().await;
    assert_eq!(
        (&error["type"], &error["payload"][0]["extensions"]["code"]),
        (&json!("error"), &json!("RESYNC_REQUIRED"))
    );
    // The way on: read anew, and subscribe since the answer's position.
    let new = position(&world, &token).await;
    client.subscribe("1", &changes(&format!("(since: \"{new}\")"))).await;
    world.asked(OURS, &Asked::titled("next")).await;
    assert_eq!(client.next().await.1["data"]["consultationChanged"]["consultation"]["title"], "next");
}

#[tokio::test]
async fn what_was_healed_behind_a_position_is_shown_to_whoever_resumes_there() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    world.asked(OURS, &Asked::titled("was parked")).await;
    let since = position(&world, &token).await;
    world.run("update read.change set late = true").await;
    let mut client = Client::ready(&world, &token).await;
    client.subscribe("1", &changes(&format!("(since: \"{since}\")"))).await;
    assert_eq!(client.next().await.1["data"]["consultationChanged"]["consultation"]["title"], "was parked");
    world.asked(OURS, &Asked::titled("next")).await;
    assert_eq!(client.next().await.1["data"]["consultationChanged"]["consultation"]["title"], "next");
}

#[tokio::test]
async fn what_was_parked_and_retried_makes_subscribers_resync() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    let since = position(&world, &token).await;
    let mut client = Client::ready(&world, &token).await;
    client.subscribe("1", &changes(&format!("(since: \"{since}\")"))).await;
    world.asked(OURS, &Asked::titled("live")).await;
    assert_eq!(client.next().await.1["data"]["consultationChanged"]["consultation"]["title"], "live");
    world.run("update read.checkpoint set parked = parked + 1 where projection = 'consultation' and shard = 0").await;
    world.bell.ring();
    let error = client.receive().await;
    assert_eq!(
        (&error["type"], &error["payload"][0]["extensions"]["code"]),
        (&json!("error"), &json!("RESYNC_REQUIRED"))
    );
}

#[tokio::test]
async fn a_subscriber_that_does_not_keep_up_must_resync_and_another_is_not_disturbed() {
    let world = World::new().await;
    let reads = Reads::new(world.reader.clone(), Breaker::new("test", BreakerSettings::default()));
    let gate = Gate::new(reads, world.bell.clone(), world.installation, Ages::default(), Duration::from_secs(1));
    let hubs = Hubs::new(2);
    let poll = Duration::from_secs(1);
    let follower = Follower::new(&world.reader, world.bell.clone(), world.installation, hubs.clone(), poll);
    tokio::spawn(follower.run(world.shutdown.clone()));
    let hub = &hubs.consultations;
    let start = async || Subscriber::start(gate.clone(), hub.clone(), OURS, None, Wanted::default()).await.unwrap();
    let (mut slow, mut quick) = (start().await, start().await);
    for n in 0..10 {
        world.asked(OURS, &Asked::titled(n.to_string())).await;
        let heard = quick.next().await.unwrap().unwrap();
        assert_eq!(heard.shown.title, n.to_string());
    }
    assert!(matches!(slow.next().await, Some(Err(ReadError::Resync))));
    assert!(slow.next().await.is_none());
    // With the end of the process the subscription ends.
    world.shutdown.begin();
    assert!(quick.next().await.is_none());
}

#[tokio::test]
async fn changes_are_heard_by_the_poll_when_no_bell_rings() {
    let config = Config { poll: Duration::from_millis(50), ..Config::default() };
    let world = World::with(config).await;
    let token = world.token(OURS).await;
    let (id, _) = world.asked(OURS, &Asked::titled("one")).await;
    let since = position(&world, &token).await;
    let mut client = Client::ready(&world, &token).await;
    client.subscribe("1", &changes(&format!("(since: \"{since}\")"))).await;
    client.send(json!({"type": "ping"})).await;
    assert_eq!(client.receive().await["type"], "pong");
    let shard = world.shard_of(id).shard;
    world
        .run(&format!(
            "with c as (update read.checkpoint set sequence = sequence + 1
                    where projection = 'consultation' and shard = {shard} returning sequence)
         insert into read.change select 'consultation', 2, {shard}, sequence, '{OURS}', '{id}', 'commented' from c"
        ))
        .await;
    assert_eq!(client.next().await.1["data"]["consultationChanged"]["kind"], "commented");
}

#[tokio::test]
async fn events_carry_queries_and_subscriptions() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    let since = position(&world, &token).await;
    let ask = async |query: &str| {
        let request = world.http.post(world.url("/graphql")).bearer_auth(&token).header("accept", "text/event-stream");
        let response = request.json(&json!({ "query": query })).send().await.unwrap();
        (response.status().as_u16(), response)
    };
    let (_, query) = ask("{ __typename }").await;
    let text = query.text().await.unwrap();
    assert_eq!(text, "event: next\ndata: {\"data\":{\"__typename\":\"Query\"}}\n\nevent: complete\ndata: \n\n");
    let (refused, _) = ask("{").await;
    assert_eq!(refused, 400);

    let (status, response) = ask(&changes(&format!("(since: \"{since}\")"))).await;
    assert_eq!((status, response.headers()["content-type"].to_str().unwrap()), (200, "text/event-stream"));
    world.asked(OURS, &Asked::titled("one")).await;
    let mut stream = response.bytes_stream();
    let event = String::from_utf8(stream.next().await.unwrap().unwrap().to_vec()).unwrap();
    let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let answer: Value = serde_json::from_str(data).unwrap();
    assert_eq!(answer["data"]["consultationChanged"]["consultation"]["title"], "one");
    // The process ends: so does the stream, in its own words.
    world.shutdown.begin();
    let mut rest = String::new();
    while let Some(Ok(bytes)) = stream.next().await {
        rest.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    assert_eq!(rest, "event: complete\ndata: \n\n");
}
