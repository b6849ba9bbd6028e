//! Why an outgoing request gave no answer.

use std::{io, time::Duration};

/// Why an outgoing request gave no answer. The texts name neither the target nor what it resolved to, and nothing of the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutgoingError {
    /// What was given cannot be called at all.
    #[error("the target is not a URL that can be called")]
    NotAUrl,
    /// Neither https nor, where that is configured, http.
    #[error("the target is not https")]
    Scheme,
    /// The port is not on the list.
    #[error("port {0} may not be called")]
    Port(u16),
    /// Credentials in a URL end in logs.
    #[error("the target must not hold a user or a password")]
    UserInfo,
    /// It is, or resolves to nothing but, an address that is not public.
    #[error("the target's address may not be called")]
    Address,
    /// A header cannot be written as it is.
    #[error("a header holds characters that cannot be sent")]
    Header,
    /// The body cannot be written as JSON.
    #[error("the body has no JSON form")]
    Body,
    /// The machine has nothing to verify certificates with.
    #[error("TLS cannot be set up: are root certificates installed?")]
    NoTls,
    /// The name has no address just now.
    #[error("the target's name cannot be resolved")]
    Unresolved,
    /// No connection.
    #[error("the target cannot be reached")]
    Unreachable,
    /// A connection, but none that can be trusted.
    #[error("the connection could not be secured: its certificate or its TLS was refused")]
    Insecure,
    /// Nothing, or not everything, came in time.
    #[error("the target did not answer within {0:?}")]
    TimedOut(Duration),
    /// The connection ended before the answer did.
    #[error("the connection broke before the answer was whole")]
    Broken,
}

impl OutgoingError {
    /// Whether the same request may succeed later. What is refused stays refused.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::NotAUrl
            | Self::Scheme
            | Self::Port(_)
            | Self::UserInfo
            | Self::Address
            | Self::Header
            | Self::Body => false,
            Self::NoTls | Self::Unresolved | Self::Unreachable | Self::Insecure | Self::TimedOut(_) | Self::Broken => {
                true
            }
        }
    }

    /// What a client's error comes to. Its own text is not kept: it names the target.
    pub(super) fn of(error: &reqwest::Error, within: Duration) -> Self {
        let mut insecure = false;
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            if let Some(refused) = inner.downcast_ref::<Self>() {
                return refused.clone();
            }
            insecure |= inner.downcast_ref::<io::Error>().is_some_and(is_of_tls);
            cause = inner.source();
        }
        match () {
            () if error.is_timeout() => Self::TimedOut(within),
            () if insecure && error.is_connect() => Self::Insecure,
            () if error.is_connect() => Self::Unreachable,
            () if error.is_builder() => Self::NotAUrl,
            () => Self::Broken,
        }
    }
}

/// TLS reports what it does not like as invalid data, which the layers above wrap once more.
fn is_of_tls(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<io::Error>());
    error.kind() == io::ErrorKind::InvalidData || inner.is_some_and(is_of_tls)
}
