//! The WebSocket: its handshake, its close codes, its limits.

use std::time::Duration;

use docket_query_api::Config;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, handshake::client::Request},
};
use uuid::Uuid;

use crate::support::{Asked, World};

const OURS: Uuid = Uuid::from_u128(0xa);

/// A client of `graphql-transport-ws`.
pub struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

fn request(world: &World) -> Request {
    let mut request = format!("ws://{}/graphql", world.address).into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
    request
}

impl Client {
    pub async fn connect(world: &World) -> Self {
        Self(connect_async(request(world)).await.unwrap().0)
    }

    /// A client that has said who it is.
    pub async fn ready(world: &World, token: &str) -> Self {
        let mut client = Self::connect(world).await;
        client.init(token).await;
        assert_eq!(client.receive().await, json!({"type": "connection_ack"}));
        client
    }

    pub async fn init(&mut self, token: &str) {
        self.send(json!({"type": "connection_init", "payload": {"authorization": format!("Bearer {token}")}})).await;
    }

    pub async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    pub async fn subscribe(&mut self, id: &str, query: &str) {
        self.send(json!({"type": "subscribe", "id": id, "payload": {"query": query}})).await;
    }

    async fn frame(&mut self) -> Message {
        loop {
            let frame = tokio::time::timeout(Duration::from_secs(20), self.0.next()).await.expect("a message in time");
            match frame.unwrap().unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                other => return other,
            }
        }
    }

    pub async fn receive(&mut self) -> Value {
        let frame = self.frame().await;
        serde_json::from_str(frame.to_text().unwrap()).unwrap_or_else(|_| panic!("no JSON: {frame:?}"))
    }

    /// The next answer of any operation.
    pub async fn next(&mut self) -> (String, Value) {
        let message = self.receive().await;
        assert_eq!(message["type"], "next", "{message}");
        (message["id"].as_str().unwrap().to_owned(), message["payload"].clone())
    }

    pub async fn closed(&mut self) -> u16 {
        match self.frame().await {
            Message::Close(frame) => frame.expect("a code").code.into(),
            other => panic!("not closed: {other:?}"),
        }
    }
}

#[tokio::test]
async fn who_says_nothing_is_closed_with_4408() {
    let config = Config { graphql_init_timeout: Duration::from_millis(150), ..Config::default() };
    let world = World::with(config).await;
    assert_eq!(Client::connect(&world).await.closed().await, 4408);
}

#[tokio::test]
async fn each_breach_of_the_protocol_has_its_close_code() {
    let world = World::new().await;
    let token = world.token(OURS).await;
    let subscription =
        json!({"type": "subscribe", "id": "1", "payload": {"query": "subscription { consultationChanged { kind } }"}});
    let init = json!({"type": "connection_init", "payload": {"Authorization": format!("Bearer {token}")}});

    let mut early = Client::connect(&world).await;
    early.send(subscription.clone()).await;
    assert_eq!(early.closed().await, 4401);

    for payload in
        [json!(null), json!({}), json!({"authorization": "Bearer nonsense"}), json!({"authorization": token})]
    {
        let mut stranger = Client::connect(&world).await;
        stranger.send(json!({"type": "connection_init", "payload": payload})).await;
        assert_eq!(stranger.closed().await, 4403, "{payload}");
    }

    let mut twice = Client::ready(&world, &token).await;
    twice.send(init).await;
    assert_eq!(twice.closed().await, 4429);

    let mut doubled = Client::ready(&world, &token).await;
    doubled.send(subscription.clone()).await;
    doubled.send(subscription).await;
    assert_eq!(doubled.closed().await, 4409);

    for nonsense in
        [json!(7), json!({"type": "start"}), json!({"type": "subscribe", "id": "", "payload": {"query": "{a}"}})]
    {
        let mut confused = Client::ready(&world, &token).await;
        confused.send(nonsense.clone()).await;
        assert_eq!(confused.closed().await, 4400, "{nonsense}");
    }

    let mut binary = Client::ready(&world, &token).await;
    binary.0.send(Message::binary(vec![0])).await.unwrap();
    assert_eq!(binary.closed().await, 4400);

    let mut large = Client::ready(&world, &token).await;
    large.0.send(Message::text(" ".repeat(64 * 1024 + 1))).await.unwrap();
    assert_eq!(large.closed().await, 1009);
}

#[tokio::test]
async fn another_protocol_and_another_origin_are_turned_away() {
    let world = World::new().await;
    let mut other = request(&world);
    other.headers_mut().insert("sec-websocket-protocol", "graphql-ws".parse().unwrap());
    // The client's library already refuses an answer without the protocol that it asked for.
    assert!(connect_async(other).await.is_err());
    let mut none = request(&world);
    none.headers_mut().remove("sec-websocket-protocol");
    assert_eq!(Client(connect_async(none).await.unwrap().0).closed().await, 4406);

    let with_origin = async |origin: &str| {
        let mut request = request(&world);
        request.headers_mut().insert("origin", origin.parse().unwrap());
        match connect_async(request).await {
            Ok(_) => 101,
            Err(Error::Http(response)) => response.status().as_u16(),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(with_origin(&format!("http://{}", world.address)).await, 101);
    assert_eq!(with_origin("https://evil.example").await, 403);
}

#[tokio::test]
async fn a_connection_ends_with_its_token() {
    let world = World::new().await;
    let token = world.token_for(OURS, Duration::from_secs(2)).await;
    let mut client = Client::ready(&world, &token).await;
    client.subscribe("1", "subscription { consultationChanged { kind } }").await;
    assert_eq!(client.closed().await, 4401);
}

#[tokio::test]
async fn a_connection_ends_with_the_process() {
    let world = World::new().await;
    let mut client = Client::ready(&world, &world.token(OURS).await).await;
    world.shutdown.begin();
    assert_eq!(client.closed().await, 1001);
}

#[tokio::test]
async fn queries_errors_and_pings_are_answered() {
    let world = World::new().await;
    let mut client = Client::ready(&world, &world.token(OURS).await).await;
    world.asked(OURS, &Asked::titled("one")).await;
    client.subscribe("q", "{ consultations { edges { node { title } } } }").await;
    let (id, answer) = client.next().await;
    assert_eq!((id.as_str(), &answer["data"]["consultations"]["edges"][0]["node"]["title"]), ("q", &json!("one")));
    assert!(answer["extensions"]["position"].is_string());
    assert_eq!(client.receive().await, json!({"type": "complete", "id": "q"}));

    for (query, code) in [
        ("{ nothing }", "BAD_REQUEST"),
        ("mutation { a }", "BAD_REQUEST"),
        ("{ a { a { a { a { a { a { a { a { a } } } } } } } } }", "TOO_COMPLEX"),
        ("subscription { consultationChanged(since: \"x\") { kind } }", "INVALID_POSITION"),
    ] {
        client.subscribe("e", query).await;
        let error = client.receive().await;
        assert_eq!((&error["type"], &error["id"]), (&json!("error"), &json!("e")), "{error}");
        assert_eq!(error["payload"][0]["extensions"]["code"], code, "{error}");
    }
    client.send(json!({"type": "ping", "payload": {}})).await;
    assert_eq!(client.receive().await, json!({"type": "pong"}));

    // An id is free again when its operation was ended.
    for _ in 0..2 {
        client.subscribe("s", "subscription { consultationChanged { kind } }").await;
        client.send(json!({"type": "complete", "id": "s"})).await;
    }
    client.send(json!({"type": "ping"})).await;
    assert_eq!(client.receive().await, json!({"type": "pong"}));
}
