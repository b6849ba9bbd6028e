//! What operators may set about targets that users name.

use std::{fmt, net::IpAddr, ops::RangeInclusive, str::FromStr};

use clap::Args;
use ipnet::IpNet;

use crate::config::{Describe, Setting};

/// Ports, one by one or in ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports(Vec<RangeInclusive<u16>>);

impl Ports {
    /// Whether `port` is among them.
    #[must_use]
    pub fn hold(&self, port: u16) -> bool {
        self.0.iter().any(|range| range.contains(&port))
    }
}

impl Default for Ports {
    fn default() -> Self {
        Self(vec![443..=443, 80..=80])
    }
}

impl FromStr for Ports {
    type Err = String;

    /// Reads `443,8000-8999`; empty is the default.
    fn from_str(text: &str) -> Result<Self, String> {
        let port = |text: &str| match text.trim().parse::<u16>() {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(format!("{text:?} is not a port: expected ports and ranges such as 443,8000-8999")),
        };
        let range = |text: &str| match text.split_once('-') {
            Some((first, last)) => Ok(port(first)?..=port(last)?),
            None => port(text).map(|port| port..=port),
        };
        let ranges = items(text).map(range).collect::<Result<Vec<_>, _>>()?;
        Ok(if ranges.is_empty() { Self::default() } else { Self(ranges) })
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |range: &RangeInclusive<u16>| match (range.start(), range.end()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        };
        f.write_str(&self.0.iter().map(text).collect::<Vec<_>>().join(","))
    }
}

/// Addresses and networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(pub(super) Vec<IpNet>);

impl Networks {
    /// Whether `address` is among them.
    #[must_use]
    pub fn hold(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromStr for Networks {
    type Err = String;

    /// Reads `10.1.0.0/16,192.0.2.7`; empty is none.
    fn from_str(text: &str) -> Result<Self, String> {
        let network = |text: &str| {
            text.parse::<IpNet>()
                .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
                .map_err(|_| format!("{text:?} is neither an address nor a network such as 10.1.0.0/16"))
        };
        items(text).map(network).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    }
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// Where requests may go whose target a user named.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Outgoing requests")]
pub struct OutgoingArgs {
    /// Ports that may be called where users name the target, separated by commas, ranges as 8000-8999
    #[arg(long, env = "DOCKET_OUTGOING_PORTS", default_value = "443,80", value_name = "PORTS")]
    pub outgoing_ports: Ports,
    /// Addresses and networks that users may name though they are not public, separated by commas
    #[arg(long, env = "DOCKET_OUTGOING_ALLOW", default_value = "", value_name = "NETWORKS")]
    pub outgoing_allow: Networks,
    /// Whether targets that users name may be http, without TLS
    #[arg(long, env = "DOCKET_OUTGOING_HTTP", default_value_t = false)]
    pub outgoing_http: bool,
    /// Whether targets that users name may be on this machine, on any port and without TLS; for development
    #[arg(long, env = "DOCKET_OUTGOING_LOCAL", default_value_t = false)]
    pub outgoing_local: bool,
}

impl Describe for OutgoingArgs {
    fn describe(&self) -> Vec<Setting> {
        vec![
            Setting::new("DOCKET_OUTGOING_PORTS", &self.outgoing_ports),
            Setting::new("DOCKET_OUTGOING_ALLOW", &self.outgoing_allow),
            Setting::new("DOCKET_OUTGOING_HTTP", self.outgoing_http),
            Setting::new("DOCKET_OUTGOING_LOCAL", self.outgoing_local),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    #[derive(Debug, Parser)]
    struct All {
        #[command(flatten)]
        outgoing: OutgoingArgs,
    }

    #[test]
    fn lists_are_read_and_shown_and_nonsense_is_refused() {
        All::command().debug_assert();
        let all =
            All::parse_from(["docket", "--outgoing-ports", "443, 8000-8002", "--outgoing-allow", "10.1.0.0/16,::1"]);
        let ports = &all.outgoing.outgoing_ports;
        assert!(ports.hold(443) && ports.hold(8002) && !ports.hold(80) && !ports.hold(8003));
        let shown: Vec<_> = all.outgoing.describe().into_iter().filter_map(|setting| setting.value).collect();
        assert_eq!(shown, ["443,8000-8002", "10.1.0.0/16,::1/128", "false", "false"]);
        for wrong in ["0", "70000", "https", "1-"] {
            assert!(wrong.parse::<Ports>().is_err(), "{wrong}");
        }
        for wrong in ["10.0.0.0/33", "localhost", "10.0.0"] {
            assert!(wrong.parse::<Networks>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn set_but_empty_is_not_set() {
        assert_eq!("".parse(), Ok(Ports::default()));
        assert_eq!("".parse(), Ok(Networks::default()));
    }
}
