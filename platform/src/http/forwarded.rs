//! What proxies say of the client: `X-Forwarded-For`, and `Forwarded` (RFC 7239).
//!
//! Owns how the two are read: from the right, and only as far as each hop was named by the operator. It must never take an address
//! from a hop that nobody trusts: everything left of it may be invented.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, header};

use crate::outgoing::Networks;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client behind `peer`, which is whoever holds the connection.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, proxies: &Networks) -> IpAddr {
    if !proxies.hold(peer) {
        return peer;
    }
    let walked = |hops: Option<Vec<_>>| hops.map(|hops| walk(peer, hops, proxies));
    let x_forwarded_for = walked(hops(headers, &X_FORWARDED_FOR, |line| line.split(',').map(node).collect()));
    let forwarded =
        walked(hops(headers, &header::FORWARDED, |line| split(line, ',').into_iter().map(of_for).collect()));
    match (x_forwarded_for, forwarded) {
        (Some(client), None) | (None, Some(client)) => client,
        // A proxy writes one of them and may hand on the other as the client sent it: which is which cannot be seen from here.
        (Some(one), Some(other)) if one == other => one,
        (Some(_), Some(_)) | (None, None) => peer,
    }
}

/// What the lines of a header name, in order; none when there is no such line.
fn hops(headers: &HeaderMap, name: &HeaderName, read: fn(&str) -> Vec<Option<IpAddr>>) -> Option<Vec<Option<IpAddr>>> {
    let mut lines = headers.get_all(name).iter().peekable();
    lines.peek()?;
    // What is no text is no address, but what stands beside it is.
    Some(lines.flat_map(|line| read(&String::from_utf8_lossy(line.as_bytes()))).collect())
}

/// From the right to the first that is no proxy of ours; where one says nothing that can be read, that proxy is the client.
fn walk(peer: IpAddr, hops: Vec<Option<IpAddr>>, proxies: &Networks) -> IpAddr {
    let mut client = peer;
    for hop in hops.into_iter().rev() {
        let Some(hop) = hop else { return client };
        client = hop;
        if !proxies.hold(client) {
            return client;
        }
    }
    client
}

/// Splits at `separator` outside of quotes.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if character == separator && !quoted => {
                parts.push(&text[from..at]);
                from = at + separator.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

/// `for` of an element of `Forwarded`.
fn of_for(element: &str) -> Option<IpAddr> {
    let mut said = split(element, ';').into_iter().filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value)
    });
    let value = said.next()?;
    if said.next().is_some() { None } else { node(value) }
}

/// An address with or without a port, in brackets or quotes or without: every form that is in use.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = match bare {
        Some(bare) => bare.parse().ok().filter(IpAddr::is_ipv6),
        None => text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip())),
    };
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const PEER: &str = "10.0.0.1";

    fn seen(peer: &str, headers: &[(&HeaderName, &str)], proxies: &str) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        let proxies = proxies.parse().expect("networks");
        client(peer.parse().expect("an address"), &map, &proxies).to_string()
    }

    fn x(value: &str) -> String {
        seen(PEER, &[(&X_FORWARDED_FOR, value)], "10.0.0.0/8, fd00::/8")
    }

    fn forwarded(value: &str) -> String {
        seen(PEER, &[(&header::FORWARDED, value)], "10.0.0.0/8, fd00::/8")
    }

    #[test]
    fn a_client_says_nothing_of_itself() {
        let said = [(&X_FORWARDED_FOR, "198.51.100.7"), (&header::FORWARDED, "for=198.51.100.7")];
        assert_eq!(seen("203.0.113.9", &said, ""), "203.0.113.9");
        assert_eq!(seen("203.0.113.9", &said, "10.0.0.0/8"), "203.0.113.9");
        // Loopback is no proxy unless it is named.
        assert_eq!(seen("127.0.0.1", &said[..1], ""), "127.0.0.1");
        assert_eq!(seen("127.0.0.1", &said[..1], "127.0.0.1"), "198.51.100.7");
    }

    #[test]
    fn what_a_client_sends_ahead_of_a_proxy_is_not_reached() {
        assert_eq!(x("198.51.100.7"), "198.51.100.7");
        assert_eq!(x("1.1.1.1, 2.2.2.2, 198.51.100.7"), "198.51.100.7");
        assert_eq!(x("10.9.9.9, 198.51.100.7, 10.0.0.2,10.0.0.3"), "198.51.100.7");
        assert_eq!(x("10.0.0.9, 10.0.0.2"), "10.0.0.9");
        let lines = [(&X_FORWARDED_FOR, "1.1.1.1"), (&X_FORWARDED_FOR, "198.51.100.7, 10.0.0.2")];
        assert_eq!(seen(PEER, &lines, "10.0.0.0/8"), "198.51.100.7");
    }

    #[test]
    fn what_cannot_be_read_ends_at_the_proxy_that_said_it() {
        for garbage in
            ["", " ", "\"", "unknown", "_hidden", "1.2.3", "1.2.3.4.5", "é", "::1%eth0", "[1.2.3.4]", "1.2.3.4:99999"]
        {
            assert_eq!(x(garbage), PEER, "{garbage:?}");
            assert_eq!(x(&format!("198.51.100.7, {garbage}, 10.0.0.2")), "10.0.0.2", "{garbage:?}");
            assert_eq!(x(&format!("{garbage}, 198.51.100.7")), "198.51.100.7", "{garbage:?}");
        }
        assert_eq!(x(&"9,".repeat(10_000)), PEER);
        for garbage in ["", "by=1.2.3.4", "for", "for=", "for=1.2.3.4;for=5.6.7.8", "for=\"1.2.3.4", "for=_x"] {
            assert_eq!(forwarded(garbage), PEER, "{garbage:?}");
        }
    }

    #[test]
    fn every_form_of_an_address_is_read() {
        for (form, address) in [
            ("198.51.100.7:4711", "198.51.100.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
            ("\"[2001:db8::7]:4711\"", "2001:db8::7"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("[::ffff:198.51.100.7]:80", "198.51.100.7"),
        ] {
            assert_eq!(x(form), address);
            assert_eq!(forwarded(&format!("For={form}")), address);
            // A mapped address does not hide a proxy either.
            assert_eq!(x(&format!("{form}, ::ffff:10.0.0.2, fd00::1")), address);
        }
        assert_eq!(
            forwarded("for=1.1.1.1, for=198.51.100.7;proto=https;by=10.0.0.2, FOR=\"[fd00::1]:9\""),
            "198.51.100.7"
        );
        assert_eq!(forwarded("for=1.1.1.1;host=\"a,for=2.2.2.2\""), "1.1.1.1");
    }

    #[test]
    fn two_headers_that_disagree_say_nothing() {
        let both =
            |one: &str, other: &str| seen(PEER, &[(&X_FORWARDED_FOR, one), (&header::FORWARDED, other)], "10.0.0.0/8");
        assert_eq!(both("198.51.100.7", "for=203.0.113.9"), PEER);
        assert_eq!(both("198.51.100.7", "for=198.51.100.7"), "198.51.100.7");
    }
}
