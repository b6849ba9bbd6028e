//! Requests to the world outside: one policy, one place that sends them.
//!
//! Owns every HTTP client of the product. A target that a user named ([`Trust::Foreign`]) must be https, on an allowed port, at a public
//! address: its name is resolved once, by us, and the connection goes to the address that was looked at. One that the operator configured
//! ([`Trust::Configured`]) may be anywhere. For both: no redirect is followed, no proxy is taken from the environment, no credentials
//! stand in a URL, an answer is read up to [`ANSWER_LIMIT`], and everything ends in time. It never tries again: its callers do.
//!
//! | you look for | module |
//! |---|---|
//! | which addresses are public | `address` |
//! | which targets may be called, and where a name may lead | `policy` |
//! | what is sent and what comes back | `request` |
//! | why nothing came back, and whether it may later | `error` |
//! | what operators may set | `settings` |

mod address;
mod error;
mod policy;
mod request;
mod settings;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use reqwest::{Client, redirect, retry};
use tokio::sync::OnceCell;

pub use error::OutgoingError;
pub use request::{Answer, Request};
pub use reqwest::header::HeaderName;
pub use settings::{Networks, OutgoingArgs, Ports};

use policy::{Guard, Lookup, Policy, System};

/// The most that is read of an answer's body; what is beyond is not waited for.
pub const ANSWER_LIMIT: usize = 64 * 1024;
/// How long a request may take in all, where it does not say otherwise.
pub const TOTAL: Duration = Duration::from_secs(15);
/// How long resolving a name and connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a connection waits for the next request.
const IDLE: Duration = Duration::from_secs(30);
/// Such connections a host.
const IDLE_CONNECTIONS: usize = 32;

/// Who named the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// A user: it may be anything, so it must be public.
    Foreign,
    /// The operator, in the configuration: private addresses, other ports and http are theirs to choose.
    Configured,
}

/// Sends requests to the world outside. Clones share their connections.
#[derive(Clone)]
pub struct Outgoing(Arc<Inner>);

struct Inner {
    policy: Arc<Policy>,
    lookup: Arc<dyn Lookup>,
    /// One each, so that a connection to where only the operator may go is never taken for a user's target. Made at the first request:
    /// reading the machine's root certificates takes a while, and they may be missing where nothing is ever sent.
    foreign: OnceCell<Client>,
    configured: OnceCell<Client>,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Outgoing").field(&self.0.policy).finish()
    }
}

impl Outgoing {
    /// Sends under `settings`.
    #[must_use]
    pub fn new(settings: &OutgoingArgs) -> Self {
        Self::with_lookup(settings, Arc::new(System))
    }

    fn with_lookup(settings: &OutgoingArgs, lookup: Arc<dyn Lookup>) -> Self {
        let policy = Arc::new(Policy::new(settings));
        Self(Arc::new(Inner { policy, lookup, foreign: OnceCell::new(), configured: OnceCell::new() }))
    }

    /// Sends `request` once and waits for its answer, whatever its status: a redirect is an answer too.
    ///
    /// # Errors
    /// When the target may not be called, cannot be, or does not answer in time; see [`OutgoingError::is_transient`].
    pub async fn send(&self, trust: Trust, request: Request) -> Result<Answer, OutgoingError> {
        let within = request.within;
        let answer = self.exchange(trust, request);
        tokio::time::timeout(within, answer).await.unwrap_or(Err(OutgoingError::TimedOut(within)))
    }

    async fn exchange(&self, trust: Trust, request: Request) -> Result<Answer, OutgoingError> {
        let within = request.within;
        let broken = |error: reqwest::Error| OutgoingError::of(&error, within);
        let url = self.0.policy.target(trust, &request.url)?;
        let sent = self.client(trust).await?.request(request.method, url).headers(request.headers).body(request.body);
        let mut response = sent.send().await.map_err(broken)?;
        let mut answer = Answer {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body: Vec::new(),
            cut: false,
        };
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            let room = ANSWER_LIMIT - answer.body.len();
            answer.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                // Dropping the response ends the connection.
                answer.cut = true;
                break;
            }
        }
        Ok(answer)
    }

    async fn client(&self, trust: Trust) -> Result<&Client, OutgoingError> {
        let cell = match trust {
            Trust::Foreign => &self.0.foreign,
            Trust::Configured => &self.0.configured,
        };
        let guard = Guard { trust, policy: self.0.policy.clone(), lookup: self.0.lookup.clone() };
        cell.get_or_try_init(async || build(guard)).await
    }
}

#[allow(clippy::disallowed_methods, reason = "this is the one place that makes HTTP clients")]
fn build(guard: Guard) -> Result<Client, OutgoingError> {
    Client::builder()
        .user_agent(concat!("docket/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(guard)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        // Features that another crate turns on must not turn on more than is wanted here: an answer is not unpacked.
        .no_gzip()
        .no_brotli()
        .no_deflate()
        .no_zstd()
        .http1_only()
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .build()
        .map_err(|error| {
            tracing::error!(%error, "no HTTP client can be made");
            OutgoingError::NoTls
        })
}
