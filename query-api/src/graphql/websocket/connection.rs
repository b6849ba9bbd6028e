//! One connection, from its upgrade to its close.
//!
//! Owns its operations: a client that reads slowly slows its own operations down and nobody else's, and one that reads nothing
//! is left.

use std::{pin::Pin, time::Duration};

use async_graphql::{Pos, Response, Value, parser::types::OperationType};
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use docket_log::Position;
use docket_platform::auth::{Access, AuthError, Revocations};
use docket_platform::clock;
use docket_platform::rate_limit::Limiter;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::time::{Instant, Sleep};
use tokio_stream::StreamMap;

use super::message::{Closing, FromClient, ToClient, token};
use crate::graphql::{Body, Door, error, sse::remaining};

/// The most operations of one connection at once.
const OPERATIONS: usize = 64;
/// How long a client may take to accept a message, or a token to be verified.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a client is asked for a sign of life.
const PING: Duration = Duration::from_secs(25);
/// How long a client may be silent.
const SILENCE: Duration = Duration::from_secs(80);

/// What an operation gives next.
enum Step {
    Answer(Box<Response>),
    /// It failed, and has ended.
    Failed(Box<Response>),
    Ended,
}

/// A connection under way.
pub struct Connection {
    door: Door,
    limiter: Option<Limiter>,
    socket: WebSocket,
    access: Option<Access>,
    operations: StreamMap<String, BoxStream<'static, Step>>,
    /// When it must have said who it is; then, when its token expires.
    deadline: Pin<Box<Sleep>>,
    heard: Instant,
}

impl Connection {
    /// A connection that has said nothing yet.
    pub fn new(door: Door, limiter: Option<Limiter>, socket: WebSocket) -> Self {
        let deadline = Box::pin(tokio::time::sleep(door.init_timeout));
        Self { door, limiter, socket, access: None, operations: StreamMap::new(), deadline, heard: Instant::now() }
    }

    /// Serves it to its end.
    pub async fn serve(mut self) {
        let closing = self.converse().await;
        self.operations.clear();
        let (code, reason) = closing.frame();
        tracing::debug!(code, reason, "WebSocket closed");
        if closing == Closing::Gone {
            return;
        }
        let frame = CloseFrame { code, reason: reason.into() };
        let farewell = async {
            self.socket.send(Message::Close(Some(frame))).await?;
            // Until the client has taken note: closing at once could destroy what it has not read yet.
            while self.socket.recv().await.transpose()?.is_some() {}
            Ok::<(), axum::Error>(())
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), farewell).await;
    }

    async fn converse(&mut self) -> Closing {
        if self.socket.protocol().is_none() {
            return Closing::OtherProtocol;
        }
        let shutdown = self.door.shutdown.clone();
        let revocations = self.door.authenticator.revocations().clone();
        let mut ping = tokio::time::interval_at(Instant::now() + PING, PING);
        loop {
            let done = tokio::select! {
                () = shutdown.cancelled() => Err(Closing::GoingAway),
                () = &mut self.deadline => Err(self.overdue()),
                () = ended(&revocations, self.access.as_ref()) => Err(Closing::Revoked),
                _ = ping.tick() => self.ask_for_life().await,
                Some((id, step)) = self.operations.next(), if !self.operations.is_empty() => self.tell(&id, step).await,
                message = self.socket.recv() => self.hear(message).await,
            };
            if let Err(closing) = done {
                return closing;
            }
        }
    }

    fn overdue(&self) -> Closing {
        if self.access.is_some() { Closing::Expired } else { Closing::InitTimeout }
    }

    async fn ask_for_life(&mut self) -> Result<(), Closing> {
        if self.heard.elapsed() > SILENCE {
            return Err(Closing::Gone);
        }
        self.send(Message::Ping(Default::default())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Closing> {
        match tokio::time::timeout(PATIENCE, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Closing::Gone),
        }
    }

    async fn say(&mut self, message: ToClient<'_>) -> Result<(), Closing> {
        let text = serde_json::to_string(&message).map_err(|_| Closing::Gone)?;
        self.send(Message::text(text)).await
    }

    async fn tell(&mut self, id: &str, step: Step) -> Result<(), Closing> {
        match step {
            Step::Answer(answer) => self.say(ToClient::Next { id, payload: &answer }).await,
            Step::Failed(answer) => {
                self.operations.remove(id);
                self.say(ToClient::Error { id, payload: &answer.errors }).await
            }
            Step::Ended => {
                self.operations.remove(id);
                self.say(ToClient::Complete { id }).await
            }
        }
    }

    async fn hear(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), Closing> {
        self.heard = Instant::now();
        let text = match message {
            None | Some(Ok(Message::Close(_))) => return Err(Closing::Gone),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(()),
            Some(Ok(Message::Binary(_))) => return Err(Closing::BadMessage),
            Some(Ok(Message::Text(text))) => text,
            Some(Err(error)) if is_too_large(&error) => return Err(Closing::TooLarge),
            Some(Err(_)) => return Err(Closing::Gone),
        };
        match serde_json::from_str(&text).map_err(|_| Closing::BadMessage)? {
            FromClient::ConnectionInit { payload } => self.init(token(payload.as_ref())).await,
            FromClient::Subscribe { id, payload } => self.subscribe(id, payload).await,
            FromClient::Complete { id } => {
                self.operations.remove(&id);
                Ok(())
            }
            FromClient::Ping => self.say(ToClient::Pong).await,
            FromClient::Pong => Ok(()),
        }
    }

    async fn init(&mut self, token: Option<&str>) -> Result<(), Closing> {
        if self.access.is_some() {
            return Err(Closing::SecondInit);
        }
        let token = token.ok_or(Closing::Forbidden)?;
        let verified = tokio::time::timeout(PATIENCE, self.door.authenticator.verify(token, clock::now())).await;
        let access = match verified {
            Ok(Ok(access)) if access.restricted => return Err(Closing::Forbidden),
            Ok(Ok(access)) => access,
            Ok(Err(AuthError::Database(_) | AuthError::ApiKeys(_) | AuthError::NoKeys | AuthError::Stale)) | Err(_) => {
                return Err(Closing::TryAgainLater);
            }
            Ok(Err(_)) => return Err(Closing::Forbidden),
        };
        self.deadline.as_mut().reset(Instant::now() + remaining(&access));
        self.access = Some(access);
        self.say(ToClient::ConnectionAck).await
    }

    async fn subscribe(&mut self, id: String, body: Body) -> Result<(), Closing> {
        let Some(access) = &self.access else { return Err(Closing::Unauthorised) };
        if id.is_empty() {
            return Err(Closing::BadMessage);
        }
        if self.operations.contains_key(&id) {
            return Err(Closing::IdInUse);
        }
        if let Some(limiter) = &self.limiter
            && let Err(problem) = limiter.admit(&access.principal).await
        {
            let mut error = error::from_problem(&problem).into_server_error(Pos::default());
            error.locations.clear();
            return self.say(ToClient::Error { id: &id, payload: &[error] }).await;
        }
        let prepared = if self.operations.len() < OPERATIONS {
            self.door.engine.prepare(body)
        } else {
            let message = format!("A connection may have at most {OPERATIONS} operations at once.");
            Err(error::refusal(error::TOO_COMPLEX, message, None))
        };
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return self.say(ToClient::Error { id: &id, payload: &[error] }).await,
        };
        let kind = prepared.kind;
        let answers = self.door.engine.stream(prepared, access.principal, Position::default());
        let steps = answers.map(move |answer| step(kind, answer)).chain(stream::iter([Step::Ended]));
        self.operations.insert(id, steps.boxed());
        Ok(())
    }
}

/// Comes back when what `access` stands on is taken away; never, while nobody has said who it is.
async fn ended(revocations: &Revocations, access: Option<&Access>) {
    match access {
        Some(access) => revocations.ended(access).await,
        None => std::future::pending().await,
    }
}

/// An answer that only says what went wrong ends a subscription; a query that failed in a field has an answer all the same.
fn step(kind: OperationType, answer: Response) -> Step {
    let failed = match kind {
        OperationType::Subscription => answer.data == Value::Null && !answer.errors.is_empty(),
        _ => error::is_request_error(&answer),
    };
    if failed { Step::Failed(Box::new(answer)) } else { Step::Answer(Box::new(answer)) }
}

fn is_too_large(error: &axum::Error) -> bool {
    // The library's own type is not ours to name; its text is stable for a message over the limit.
    std::error::Error::source(error).is_some_and(|source| source.to_string().contains("too long"))
}
