//! Where a request comes from: the network address of the client.
//!
//! Owns [`ClientAddress`]. What a client says of itself counts for nothing; what a proxy says of it counts when the operator named the
//! proxy ([`HttpSettings::trusted_proxies`](super::HttpSettings)).

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;

use super::forwarded;
use crate::outgoing::Networks;

/// The client's network address; none where there is no connection, as in tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub Option<IpAddr>);

impl ClientAddress {
    /// As what the client is counted: its address, of IPv6 the /64, which is what one customer gets.
    #[must_use]
    pub fn counted(self) -> Option<IpAddr> {
        self.0.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
            address => address,
        })
    }
}

/// Middleware: finds out who the client is, for all that comes behind.
pub(super) async fn establish(proxies: &Networks, mut request: Request, next: Next) -> Response {
    // Whoever calls the router without a connection may have said it already.
    if request.extensions().get::<ClientAddress>().is_none()
        && let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>()
    {
        let client = forwarded::client(peer.ip().to_canonical(), request.headers(), proxies);
        request.extensions_mut().insert(ClientAddress(Some(client)));
    }
    next.run(request).await
}

impl<S: Send + Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().copied().unwrap_or(Self(None)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(address: &str) -> String {
        let address = address.parse().expect("an address");
        ClientAddress(Some(address)).counted().expect("one").to_string()
    }

    #[test]
    fn of_ipv6_the_64_is_counted() {
        assert_eq!(counted("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(counted("2001:db8:1:2:ffff::"), counted("2001:db8:1:2::1"));
        assert_ne!(counted("2001:db8:1:3::1"), counted("2001:db8:1:2::1"));
        assert_eq!(counted("203.0.113.9"), "203.0.113.9");
        assert_eq!(counted("::ffff:203.0.113.9"), "203.0.113.9");
        assert_eq!(ClientAddress(None).counted(), None);
    }
}
