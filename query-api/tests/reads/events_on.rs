//! `GET /api/v1/events` read on: waiting, streams, and what is not there yet.

use std::time::Duration;

use docket_events::Category;
use docket_log::Position;
use docket_platform::auth::{Principal, Role};
use futures_util::StreamExt;
use reqwest::Response;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    events_log::{Log, OURS, SOON, THEIRS, get, kinds, page, position, refused},
    support::{World, person},
};

#[tokio::test]
async fn whoever_waits_is_told_when_it_happens_and_when_nothing_does() {
    let world = World::new().await;
    let log = Log::new(&world);
    let token = world.token(OURS).await;
    let (_, now) = page(&world, &token, "?since=now").await;
    let (nothing, still) = page(&world, &token, &format!("?since={now}&wait=1")).await;
    assert_eq!((nothing.len(), &still), (0, &now));
    let waiting = page(&world, &token, "?since=now&wait=60&types=consultation.commented");
    let others = futures_util::future::join_all((0..200).map(|_| page(&world, &token, "?since=now&wait=60")));
    let happening = async {
        while world.state.waker().listeners(OURS) < 201 {
            tokio::task::yield_now().await;
        }
        // Of somebody else, and then not what one of them waits for.
        log.ask(THEIRS, "theirs").await;
        log.settle().await;
        let id = log.ask(OURS, "ours").await;
        log.settle().await;
        log.comment(OURS, id).await;
        log.settle().await;
    };
    let ((commented, _), others, ()) =
        timeout(SOON, async { tokio::join!(waiting, others, happening) }).await.expect("they are woken");
    assert_eq!(kinds(&commented), ["commented"]);
    assert!(others.iter().all(|(events, _)| kinds(events)[0] == "requested"));
}

#[tokio::test]
async fn whoever_waits_for_what_happens_in_the_graph_is_told() {
    let world = World::new().await;
    let log = Log::new(&world);
    let token = world.token(OURS).await;
    let waiting = page(&world, &token, "?since=now&wait=60&types=knowledge.*");
    let happening = async {
        let other = page(&world, &token, "?since=now&wait=60");
        let asked = async {
            while world.state.waker().listeners(OURS) < 2 {
                tokio::task::yield_now().await;
            }
            log.ask(OURS, "ours").await;
            log.settle().await;
        };
        // Once somebody was woken, nobody is woken any more but by an event of theirs.
        tokio::join!(other, asked);
        let data = json!({"type": "place", "name": "El Paso", "aliases": [], "properties": {}, "confidence": 1.0, "added_by": person(1)});
        log.event(Category::Knowledge, OURS, "docket.knowledge.entity_added.v1", &data).await;
        log.settle().await;
    };
    let ((added, _), ()) = timeout(SOON, async { tokio::join!(waiting, happening) }).await.expect("it is told");
    assert_eq!(kinds(&added), ["entity_added"]);
}

/// Reads events of a stream until there are so many, or it ends.
async fn streamed(response: Response, count: usize) -> Vec<(String, Value)> {
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (mut text, mut chunks) = (String::new(), response.bytes_stream());
    let parsed = |text: &str| {
        let blocks = text.split_inclusive("\n\n").filter(|block| block.ends_with("\n\n"));
        let field = |block: &str, name: &str| {
            block.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
        };
        let events = blocks.filter(|block| block.contains("data:"));
        events
            .map(|block| (field(block, "id:"), serde_json::from_str(&field(block, "data:")).unwrap()))
            .collect::<Vec<_>>()
    };
    while parsed(&text).len() < count {
        let Some(chunk) = timeout(SOON, chunks.next()).await.expect("news") else { break };
        text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
    }
    parsed(&text)
}

async fn stream(world: &World, token: &str, query: &str, last: Option<&str>) -> Response {
    let request = world.http.get(world.url(&format!("/api/v1/events{query}"))).bearer_auth(token);
    let request = request.header("accept", "text/event-stream");
    let request = last.into_iter().fold(request, |request, last| request.header("last-event-id", last));
    request.send().await.unwrap()
}

#[tokio::test]
async fn a_stream_goes_on_and_is_taken_up_where_it_was_left() {
    let world = World::new().await;
    let log = Log::new(&world);
    let token = world.token(OURS).await;
    let id = log.ask(OURS, "first").await;
    log.settle().await;
    let open = stream(&world, &token, "?limit=2", None).await;
    let happening = async {
        while world.state.waker().listeners(OURS) < 1 {
            tokio::task::yield_now().await;
        }
        for _ in 0..3 {
            log.comment(OURS, id).await;
            log.settle().await;
        }
    };
    let (first, ()) = tokio::join!(streamed(open, 4), happening);
    assert_eq!(
        kinds(&first.iter().map(|(_, event)| event.clone()).collect::<Vec<_>>()),
        ["requested", "commented", "commented", "commented"]
    );
    assert!(first.iter().all(|(position, event)| event["position"] == position.as_str()));
    for left in 0..first.len() {
        // The browser sends what it has seen last, whatever the address says.
        let again = stream(&world, &token, "?since=now", Some(&first[left].0)).await;
        log.comment(OURS, id).await;
        log.settle().await;
        let rest = streamed(again, first.len() - left).await;
        let expected: Vec<_> = first[left + 1..].iter().map(|(_, event)| event["id"].clone()).collect();
        assert_eq!(
            rest.iter().map(|(_, event)| event["id"].clone()).take(expected.len()).collect::<Vec<_>>(),
            expected
        );
    }
    let wrong = stream(&world, &token, "", Some("x")).await;
    assert_eq!(
        (wrong.status().as_u16(), wrong.json::<Value>().await.unwrap()["code"].clone()),
        (400, json!("invalid_position"))
    );
}

#[tokio::test]
async fn streams_and_waits_end_with_what_they_stand_on() {
    let world = World::new().await;
    let short = world.token_for(OURS, Duration::from_secs(1)).await;
    let ended = streamed(stream(&world, &short, "", None).await, usize::MAX).await;
    assert_eq!(ended.last().unwrap().1["code"], "token_expired");

    let session = Some(person(7));
    let token = world.token_of(Principal { session, ..Principal::member(person(1), OURS, Role::Analyst) }).await;
    let open = stream(&world, &token, "", None).await;
    let waiting = get(&world, &token, "?wait=60");
    let end = async {
        while world.state.waker().listeners(OURS) < 2 {
            tokio::task::yield_now().await;
        }
        let now = tokio::time::Instant::now();
        let revocation = docket_platform::auth::Revocation::Session(person(7));
        world.keys.revocations().add([(revocation, now + Duration::from_secs(60))], now);
    };
    let (ended, refused, ()) =
        timeout(SOON, async { tokio::join!(streamed(open, usize::MAX), waiting, end) }).await.expect("an end");
    assert_eq!(ended.last().unwrap().1["code"], "token_revoked");
    assert_eq!(
        (refused.status().as_u16(), refused.json::<Value>().await.unwrap()["code"].clone()),
        (401, json!("token_revoked"))
    );
}

#[tokio::test]
async fn nothing_is_told_past_a_parked_event_and_everything_once_it_is_healed() {
    let world = World::new().await;
    let log = Log::new(&world);
    let token = world.token(OURS).await;
    let id = log.ask(OURS, "first").await;
    log.comment(OURS, id).await;
    log.approve(OURS, id).await;
    log.settle().await;
    let shard = world.shard_of(id).shard;
    // As a projector leaves it that cannot apply the second event.
    world
        .run(
            "delete from read.event_v1 where sequence >= 2;
             insert into read.dead_letter select 'events', category, shard, sequence, tenant, stream_id, event_id, event_type, 'secret',
                 now() - interval '1 minute' from write.journal where sequence >= 2 and category = 2"
        )
        .await;
    let before = get(&world, &token, "").await;
    let (age, at): (i64, String) =
        (before.headers()["docket-age"].to_str().unwrap().parse().unwrap(), position(&before));
    assert!(age >= 60, "{age}");
    assert_eq!(before.text().await.unwrap().lines().count(), 1);
    assert_eq!(at.parse::<Position>().unwrap().get(world.shard_of(id)), 1);
    assert_eq!(page(&world, &token, "?since=now").await.1, at);
    let others = world.token(THEIRS).await;
    assert!(get(&world, &others, "").await.headers().get("docket-age").is_none());
    let since = format!("?wait=60&since={at}");
    let waiting = page(&world, &token, &since);
    let healing = async {
        while world.state.waker().listeners(OURS) < 1 {
            tokio::task::yield_now().await;
        }
        world
            .run(&format!(
                "begin;
                 insert into read.event_v1 select tenant, category, shard, sequence, split_part(event_type, '.', 3), time
                     from write.journal where sequence >= 2 and category = 2;
                 delete from read.dead_letter;
                 update read.checkpoint set parked = parked + 1 where projection = 'events' and category = 2 and shard = {shard};
                 commit"
            ))
            .await;
        world.bell.ring();
    };
    let ((healed, _), ()) = timeout(SOON, async { tokio::join!(waiting, healing) }).await.expect("they are woken");
    assert_eq!(kinds(&healed), ["commented", "vote_cast", "responded"]);
}

#[tokio::test]
async fn a_position_ahead_of_the_feed_is_waited_for_and_then_refused() {
    let world = World::with(docket_query_api::Config {
        position_wait: Duration::from_millis(100),
        loopback: true,
        ..docket_query_api::Config::default()
    })
    .await;
    let token = world.token(OURS).await;
    let ahead: Position = world.beginning().iter().map(|(shard, _)| (shard, 9)).collect();
    let (status, code, _) = refused(&world, &token, &format!("?since={}", ahead.marked(world.installation.id))).await;
    assert_eq!((status, code.as_str()), (503, "position_not_reached"));
}

#[tokio::test]
async fn an_event_of_a_newer_release_is_waited_for() {
    let world = World::new().await;
    let log = Log::new(&world);
    let admin = world.token_of(Principal::member(person(1), OURS, Role::Admin)).await;
    log.identity(OURS, "docket.identity.invented_later.v1", &json!({})).await;
    log.settle().await;
    assert_eq!(refused(&world, &admin, "").await.1, "newer_release");
}
