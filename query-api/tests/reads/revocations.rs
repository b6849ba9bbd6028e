//! What is taken away ends open sockets and the next request, whoever tells of it.

use std::time::Duration;

use docket_platform::auth::{Access, Principal, Revocation, Role};
use serde_json::json;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    support::{Asked, World, person},
    websocket::Client,
};

const OURS: Uuid = Uuid::from_u128(0xa);
const SUBSCRIPTION: &str = "subscription { consultationChanged { kind } }";

fn access(session: u128) -> Access {
    let principal =
        Principal { session: Some(Uuid::from_u128(session)), ..Principal::member(person(1), OURS, Role::Analyst) };
    Access { credentials: Some(3), member_since: Some(5), ..Access::of(principal) }
}

/// An open WebSocket and an open stream of events.
struct Sockets {
    token: String,
    socket: Client,
    events: reqwest::Response,
}

impl Sockets {
    async fn open(world: &World, access: Access) -> Self {
        let token = world.token_of(access).await;
        let mut socket = Client::ready(world, &token).await;
        socket.subscribe("1", SUBSCRIPTION).await;
        let request = world.http.post(world.url("/graphql")).bearer_auth(&token).header("accept", "text/event-stream");
        let events = request.json(&json!({"query": SUBSCRIPTION})).send().await.unwrap();
        assert_eq!(events.status(), 200);
        Self { token, socket, events }
    }

    /// Both are alive.
    async fn go_on(&mut self, world: &World) {
        self.socket.send(json!({"type": "ping"})).await;
        assert_eq!(self.socket.receive().await["type"], "pong");
        assert_eq!(world.query(&self.token, "{ me { id } }").await.0["me"]["id"], json!(person(1)));
    }

    /// Both end, and say why; and nothing more is answered.
    async fn ended(mut self, world: &World) {
        assert_eq!(self.socket.closed().await, 4403);
        let text = timeout(Duration::from_secs(20), self.events.text()).await.expect("an end").unwrap();
        assert!(text.contains("UNAUTHENTICATED") && text.ends_with("event: complete\ndata: \n\n"), "{text}");
        let request = world.http.post(world.url("/graphql")).bearer_auth(&self.token);
        let response = request.json(&json!({"query": "{ me { id } }"})).send().await.unwrap();
        assert_eq!(response.status(), 401);
        assert_eq!(response.json::<serde_json::Value>().await.unwrap()["code"], "token_revoked");
        let mut late = Client::connect(world).await;
        late.init(&self.token).await;
        assert_eq!(late.closed().await, 4403);
    }
}

#[tokio::test]
async fn whatever_a_token_stands_on_its_end_closes_open_sockets_and_no_others() {
    let (user, tenant) = (person(1), OURS);
    let elsewhere =
        Access { principal: Principal { tenant: Uuid::from_u128(0xb), ..access(8).principal }, ..access(8) };
    let taken = [
        (Revocation::Session(Uuid::from_u128(7)), access(8)),
        (Revocation::Sessions { user, below: 4, kept: Some(Uuid::from_u128(8)) }, access(8)),
        // The membership or the role, in one organisation.
        (Revocation::Member { tenant, user, below: 6 }, elsewhere),
    ];
    for (revocation, other) in taken {
        let world = World::new().await;
        let (ended, mut kept) = (Sockets::open(&world, access(7)).await, Sockets::open(&world, other).await);
        let now = Instant::now();
        world.keys.revocations().add([(revocation, now + Duration::from_secs(60))], now);
        ended.ended(&world).await;
        kept.go_on(&world).await;
    }
}

#[tokio::test]
async fn an_event_in_the_journal_closes_open_sockets() {
    let world = World::new().await;
    let stop = CancellationToken::new();
    world.keys.revocations().begin(Instant::now());
    let following = tokio::spawn({
        let (pool, revocations, stop) = (world.reader.clone(), world.keys.revocations().clone(), stop.clone());
        async move { docket_log::revocations::follow(pool, &revocations, stop).await }
    });
    // Until what was taken away is known, nobody is let in.
    let deadline = Instant::now() + Duration::from_secs(20);
    while world.keys.revocations().is_stale() {
        assert!(Instant::now() < deadline, "the follower looks");
        tokio::task::yield_now().await;
    }
    let (ended, mut kept) = (Sockets::open(&world, access(7)).await, Sockets::open(&world, access(8)).await);
    world
        .run(&format!(
            "insert into write.journal (category, shard, sequence, stream_id, stream_version, event_id, tenant, time, event_type, data, meta)
             values (1, 0, 1, '{}', 2, '{}', '{OURS}', now(), 'docket.identity.session_revoked.v1',
                     '{{\"user_id\":\"{}\",\"reason\":\"logged_out\"}}', '{{}}')",
            Uuid::from_u128(7),
            Uuid::from_u128(99),
            person(1)
        ))
        .await;
    ended.ended(&world).await;
    kept.go_on(&world).await;
    stop.cancel();
    following.await.unwrap();
}

#[tokio::test]
async fn a_read_that_waits_ends_with_its_session() {
    let world = World::new().await;
    let (id, _) = world.asked(OURS, &Asked::titled("slow")).await;
    let token = world.token_of(access(7)).await;
    let url = world.url(&format!("/api/v1/consultations/{id}?wait=60"));
    let wait = world.http.get(url).bearer_auth(&token).send();
    let end = async {
        world.heard_by(OURS, 1).await;
        let now = Instant::now();
        world.keys.revocations().add([(Revocation::Session(Uuid::from_u128(7)), now + Duration::from_secs(60))], now);
    };
    let (answer, ()) = timeout(Duration::from_secs(30), async { tokio::join!(wait, end) }).await.expect("an end");
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.json::<serde_json::Value>().await.unwrap()["code"], "token_revoked");
}
