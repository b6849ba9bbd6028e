//! One request, and what its answer means.

use std::time::Duration;

use docket_platform::{
    clock,
    outgoing::{Answer, Outgoing, OutgoingError, Request, Trust},
};
use tokio::time::Instant;

use super::queue::Attempt;

/// How much of an answer is kept, in bytes.
const ANSWER_KEPT: usize = 1024;
/// The status by which an endpoint says that it is gone, for good.
const GONE: u16 = 410;

/// A request that is ready to be sent.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) request: Request,
    /// What is kept of it.
    pub(super) kept: String,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Came {
    /// It was taken.
    Taken,
    /// It may be taken later.
    Refused(Option<Duration>),
    /// It will never be: the target may not be called, or is none.
    Never,
    /// The endpoint is gone.
    Gone,
}

/// Sends, once.
pub(super) async fn make(outgoing: &Outgoing, Ready { request, kept }: Ready) -> (Came, String, Attempt) {
    let (at, begun) = (clock::now(), Instant::now());
    let answer = outgoing.send(Trust::Foreign, request).await;
    let (came, words) = judge(&answer);
    let failed = came != Came::Taken;
    let answer = answer.ok();
    let attempt = Attempt {
        at,
        duration: begun.elapsed(),
        request: kept,
        status: answer.as_ref().map(|answer| answer.status.as_u16()),
        error: failed.then(|| words.clone()),
        answer: answer.map(|answer| beginning(&answer)),
    };
    (came, words, attempt)
}

fn judge(answer: &Result<Answer, OutgoingError>) -> (Came, String) {
    match answer {
        Ok(answer) => {
            let status = answer.status.as_u16();
            let came = match status {
                200..=299 => Came::Taken,
                GONE => Came::Gone,
                _ => Came::Refused(answer.retry_after()),
            };
            (came, format!("it answered {status}"))
        }
        Err(error) if error.is_transient() => (Came::Refused(None), error.to_string()),
        Err(error) => (Came::Never, error.to_string()),
    }
}

fn beginning(answer: &Answer) -> String {
    let end = answer.body.len().min(ANSWER_KEPT);
    // PostgreSQL's text holds no NUL.
    String::from_utf8_lossy(&answer.body[..end]).replace('\0', "\u{fffd}")
}
