//! Which targets may be called, and where their names may lead.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use ipnet::IpNet;
use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

use super::{
    OutgoingError, Trust, address,
    settings::{OutgoingArgs, Ports},
};

/// What targets that users name must obey.
#[derive(Debug)]
pub(super) struct Policy {
    ports: Ports,
    allowed: Vec<IpNet>,
    http: bool,
    /// Whether this machine may be called, on any port and without TLS.
    local: bool,
}

impl Policy {
    pub(super) fn new(settings: &OutgoingArgs) -> Self {
        let mut allowed = settings.outgoing_allow.0.clone();
        if settings.outgoing_local {
            allowed.extend(address::LOOPBACK);
        }
        let (http, local) = (settings.outgoing_http, settings.outgoing_local);
        Self { ports: settings.outgoing_ports.clone(), allowed, http, local }
    }

    /// The target, when it may be called as far as its text tells. Reading it makes every odd spelling of an IPv4 address (`0x7f.1`,
    /// `2130706433`) a plain one. An address is looked at here: the client asks the resolver for names alone.
    pub(super) fn target(&self, trust: Trust, text: &str) -> Result<Url, OutgoingError> {
        let url = Url::parse(text).map_err(|_| OutgoingError::NotAUrl)?;
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(OutgoingError::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OutgoingError::UserInfo);
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(OutgoingError::NotAUrl)?;
        let port = url.port_or_known_default().ok_or(OutgoingError::NotAUrl)?;
        if trust == Trust::Foreign {
            let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
            let is_here = literal.as_ref().map_or(host == "localhost", |address| address::is_loopback(*address));
            let local = self.local && is_here;
            if !secure && !self.http && !local {
                return Err(OutgoingError::Scheme);
            }
            if !self.ports.hold(port) && !local {
                return Err(OutgoingError::Port(port));
            }
            if literal.is_ok_and(|address| !address::may_be_called(address, &self.allowed)) {
                return Err(OutgoingError::Address);
            }
        }
        Ok(url)
    }

    /// Those of a name's addresses that may be called.
    fn fitting(&self, trust: Trust, found: Vec<IpAddr>) -> Result<Vec<IpAddr>, OutgoingError> {
        if found.is_empty() {
            return Err(OutgoingError::Unresolved);
        }
        let may = |address: &IpAddr| trust == Trust::Configured || address::may_be_called(*address, &self.allowed);
        let fitting: Vec<IpAddr> = found.into_iter().filter(may).collect();
        if fitting.is_empty() { Err(OutgoingError::Address) } else { Ok(fitting) }
    }
}

/// Of a name that has hundreds of addresses only so many are tried, each with its part of the time.
const MOST_ADDRESSES: usize = 8;

/// Who knows the addresses of names.
pub(super) trait Lookup: Send + Sync {
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The machine's resolver.
pub(super) struct System;

impl Lookup for System {
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// The client's only resolver. The client connects to what it answers, and asks once for each connection: there is no second answer
/// that could differ from the one that was looked at.
pub(super) struct Guard {
    pub(super) trust: Trust,
    pub(super) policy: Arc<Policy>,
    pub(super) lookup: Arc<dyn Lookup>,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (trust, policy, lookup) = (self.trust, self.policy.clone(), self.lookup.clone());
        Box::pin(async move {
            let found = lookup.lookup(name.as_str()).await.map_err(|_| OutgoingError::Unresolved)?;
            let fitting = policy.fitting(trust, found)?.into_iter().take(MOST_ADDRESSES);
            // The port is the URL's: the client fills it in.
            let addresses: Addrs = Box::new(fitting.map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}
