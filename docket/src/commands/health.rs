//! `docket health`: whether a docket serves, for supervisors, container engines and people.
//!
//! Owns one plain HTTP request, so that an image needs no other program for it. It must not look at anything but the answer: whether a
//! process is ready, the process knows best.

use std::time::Duration;

use anyhow::Context;
use axum::http::Uri;
use docket_platform::config::parse_duration;
use docket_platform::health::Readiness;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::exit::Ending;
use crate::node::say;

/// More than any docket answers.
const ANSWER_LIMIT: u64 = 64 * 1024;

/// Which docket, and how long it may take.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  docket health                              the docket of this machine, on the port of DOCKET_LISTEN
  docket health --url http://query-api:8080
  until docket health; do sleep 1; done      wait for it

Asks /health/ready. Exit codes: 0 ready, 1 not ready, 2 usage, 3 not reachable.")]
pub struct Args {
    /// Where it serves (http only); if not given, on this machine where --listen says
    #[arg(long, value_name = "URL")]
    url: Option<Uri>,
    /// The address that it was told to serve on
    #[arg(long, env = "DOCKET_LISTEN", default_value = "127.0.0.1:8080", value_name = "HOST:PORT")]
    listen: String,
    /// How long the answer may take
    #[arg(long, default_value = "3s", value_parser = parse_duration, value_name = "DURATION")]
    timeout: Duration,
}

/// Asks, and says what is the matter.
///
/// # Errors
/// When it is not ready, or not there.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let place = match &args.url {
        Some(url) => Place::of(url)?,
        None => Place::on_this_machine(&args.listen),
    };
    let address = &place.address;
    let answer = match tokio::time::timeout(args.timeout, place.ask()).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(Ending::unreachable(format!("nothing answers at {address}: {error}")).into()),
        Err(_) => return Err(Ending::unreachable(format!("no answer from {address} in {:?}", args.timeout)).into()),
    };
    let readiness = read(&answer).with_context(|| format!("what answers at {address} is no docket"))?;
    let checks = |wanted: fn(&str) -> bool| {
        let checks = readiness.checks.iter().filter(|(_, state)| wanted(state));
        checks.map(|(name, state)| format!("{name} {state}")).collect::<Vec<_>>().join(", ")
    };
    let status = readiness.status.replace('_', " ");
    anyhow::ensure!(status == "ready", "{status}: {}", checks(|state| state != "ok"));
    say(&format!("ready  {}  {}", readiness.version, checks(|_| true)));
    Ok(())
}

/// Where to ask.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// `host:port`.
    address: String,
    path: String,
}

impl Place {
    fn of(url: &Uri) -> Result<Self, Ending> {
        let (Some("http"), Some(host)) = (url.scheme_str(), url.host()) else {
            return Err(Ending::usage(format!("{url} is no address such as http://127.0.0.1:8080")));
        };
        let address = format!("{host}:{}", url.port_u16().unwrap_or(80));
        Ok(Self { address, path: format!("{}/health/ready", url.path().trim_end_matches('/')) })
    }

    /// Who serves on all addresses serves on the loopback address too.
    fn on_this_machine(listen: &str) -> Self {
        let address = match listen.rsplit_once(':') {
            Some(("0.0.0.0", port)) => format!("127.0.0.1:{port}"),
            Some(("[::]", port)) => format!("[::1]:{port}"),
            _ => listen.to_owned(),
        };
        Self { address, path: "/health/ready".to_owned() }
    }

    /// HTTP/1.0: the answer ends with the connection.
    async fn ask(&self) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let request =
            format!("GET {} HTTP/1.0\r\nhost: {}\r\naccept: application/json\r\n\r\n", self.path, self.address);
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_LIMIT).read_to_end(&mut answer).await?;
        Ok(answer)
    }
}

/// The body of an answer, if it is a docket's.
fn read(answer: &[u8]) -> anyhow::Result<Readiness> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").context("it speaks no HTTP")?;
    let first = head.lines().next().unwrap_or_default();
    serde_json::from_str(body).map_err(|_| anyhow::anyhow!("it said {first:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_serves_everywhere_is_asked_on_the_loopback_address() {
        let asked = |listen: &str| Place::on_this_machine(listen).address;
        assert_eq!(asked("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(asked("[::]:8080"), "[::1]:8080");
        assert_eq!(asked("127.0.0.1:9090"), "127.0.0.1:9090");
        assert_eq!(asked("query-api:8080"), "query-api:8080");
    }

    #[test]
    fn a_url_may_have_a_path_and_no_port_and_is_never_https() {
        let place = |url: &str| Place::of(&url.parse().expect("an address"));
        let found = place("http://[::1]:8081/docket/").expect("http");
        assert_eq!((found.address.as_str(), found.path.as_str()), ("[::1]:8081", "/docket/health/ready"));
        assert_eq!(place("http://docket").expect("http").address, "docket:80");
        assert!(place("https://docket").is_err() && place("docket:8080").is_err() && place("/").is_err());
    }
}
