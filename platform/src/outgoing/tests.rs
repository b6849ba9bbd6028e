//! Against real servers on the loopback.

use std::{
    collections::VecDeque,
    future::IntoFuture,
    io,
    net::{IpAddr, SocketAddr},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, StatusCode, header},
    routing::{get, post},
};
use futures_util::{future::BoxFuture, stream};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    process::Command,
};

use super::{ANSWER_LIMIT, Answer, Lookup, Outgoing, OutgoingArgs, OutgoingError, Request, Trust};

/// Answers what it was told, in turn; the last one for ever.
struct Told {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Told {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let addresses = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
        Arc::new(Self { answers: Mutex::new(answers.iter().map(addresses).collect()), asked: AtomicUsize::new(0) })
    }
}

impl Lookup for Told {
    fn lookup<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Box::pin(async move { Ok(answer.unwrap_or_default()) })
    }
}

/// A server that counts connections and answers each request with its own address.
async fn counting(listener: TcpListener) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await;
            let body = socket.local_addr().unwrap().ip().to_string();
            let answer =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    count
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    address
}

fn settings(allow: &str) -> OutgoingArgs {
    OutgoingArgs {
        outgoing_ports: "443,80,1024-65535".parse().unwrap(),
        outgoing_allow: allow.parse().unwrap(),
        outgoing_http: true,
        outgoing_local: false,
    }
}

fn loopback() -> Outgoing {
    Outgoing::new(&settings("127.0.0.1"))
}

async fn refused(outgoing: &Outgoing, trust: Trust, url: &str) -> OutgoingError {
    match outgoing.send(trust, Request::get(url)).await {
        Err(error) => error,
        Ok(answer) => panic!("{url} answered {answer:?}"),
    }
}

#[tokio::test]
async fn addresses_are_refused_in_every_spelling() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = counting(listener).await;
    let outgoing = Outgoing::new(&settings(""));
    let hosts = "127.0.0.1 2130706433 0x7f.1 0x7f000001 0177.0.0.1 127.1 127.0.0.1. 017700000001 0 0.0.0.0 [::1] [::] \
        [::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:7f00:0001] [64:ff9b::7f00:1] [2002:7f00:1::] [fe80::1] 169.254.169.254 \
        10.0.0.1 1２7.0.0.1 ①②⑦.0.0.1 127。0。0。1 %31%32%37.0.0.1 localhost localhost. LOCALHOST";
    for host in hosts.split_whitespace() {
        let error = refused(&outgoing, Trust::Foreign, &format!("http://{host}:{port}/")).await;
        // Some machines do not know the name with a dot at its end.
        let unknown = error == OutgoingError::Unresolved && host == "localhost.";
        assert!(error == OutgoingError::Address || unknown, "{host}: {error}");
        assert!(!error.to_string().contains("127"), "{error}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 0, "nothing was connected to");
}

/// An address of IPv4 as hosts may spell it, and IPv6 addresses that lead there.
fn spellings(address: [u8; 4]) -> Vec<String> {
    let [a, b, c, d] = address;
    let number = u32::from_be_bytes(address);
    let (high, low) = (number >> 16, number & 0xffff);
    let tail = u32::from_be_bytes([0, b, c, d]);
    let mut all = vec![
        format!("{a}.{b}.{c}.{d}"),
        format!("{a}.{b}.{c}.{d}."),
        number.to_string(),
        format!("{number:#x}"),
        format!("0X{number:X}"),
        format!("0{number:o}"),
        format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("000{a:o}.{b}.{c}.{d:#x}"),
        format!("{a}.{tail}"),
        format!("{a:#x}.{tail:#o}").replace("0o", "0"),
        format!("{a}.{b}.{low}"),
        format!("{a}.{b}.{low:#x}"),
        format!("%3{}{}", a.to_string().as_bytes()[0] - b'0', &format!("{a}.{b}.{c}.{d}")[1..]),
        format!("{a}。{b}。{c}。{d}"),
    ];
    let prefixes =
        ["::ffff:", "::", "::ffff:0:", "64:ff9b::", "64:ff9b:1::", "0:0:0:0:0:ffff:", "0000:0000:0000:0000:0000:FFFF:"];
    all.extend(prefixes.iter().map(|prefix| format!("[{prefix}{high:x}:{low:x}]")));
    all.extend(prefixes.iter().map(|prefix| format!("[{prefix}{a}.{b}.{c}.{d}]")));
    all.push(format!("[2002:{high:x}:{low:x}::1]"));
    all.push(format!("[2001:0:{high:x}:{low:x}::1]"));
    all
}

#[tokio::test]
async fn of_five_hundred_ways_to_private_addresses_none_gets_through() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = counting(listener).await;
    let targets = [
        [127, 0, 0, 1],
        [127, 255, 255, 254],
        [10, 0, 0, 1],
        [10, 255, 0, 255],
        [172, 16, 0, 1],
        [172, 31, 255, 255],
        [192, 168, 0, 1],
        [192, 168, 255, 254],
        [169, 254, 169, 254],
        [100, 64, 0, 1],
        [100, 127, 255, 254],
        [0, 0, 0, 0],
        [198, 18, 0, 1],
        [192, 0, 0, 170],
        [224, 0, 0, 1],
        [255, 255, 255, 255],
        [240, 0, 0, 1],
    ];
    let local = ["[::1]", "[::]", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[fec0::1]", "[100::1]"];
    let mut hosts: Vec<String> = targets.into_iter().flat_map(spellings).collect();
    hosts.extend(local.map(str::to_owned));
    let outgoing = Outgoing::new(&settings(""));
    for host in &hosts {
        let error = refused(&outgoing, Trust::Foreign, &format!("http://{host}:{port}/")).await;
        assert_eq!(error, OutgoingError::Address, "{host}");
    }
    // By name: whatever it leads to.
    let mut names = 0;
    for address in targets.map(|address| IpAddr::from(address).to_string()).into_iter().chain(
        local.map(|host| host.trim_matches(['[', ']']).to_owned()).into_iter().chain(["::ffff:127.0.0.1".to_owned()]),
    ) {
        let named = Outgoing::with_lookup(&settings(""), Told::new(&[&[&address], &["8.8.8.8"]]));
        let error = refused(&named, Trust::Foreign, &format!("http://name.example:{port}/")).await;
        assert_eq!(error, OutgoingError::Address, "{address}");
        names += 1;
    }
    assert!(hosts.len() + names >= 500, "{} and {names}", hosts.len());
    assert_eq!(count.load(Ordering::SeqCst), 0, "something was connected to");
}

#[tokio::test]
async fn of_a_name_with_five_hundred_addresses_a_few_are_tried() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let addresses: Vec<String> = (1..=500_u32).map(|n| format!("127.0.{}.{}", n / 250, n % 250 + 1)).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let outgoing = Outgoing::with_lookup(&settings("127.0.0.0/8"), Told::new(&[&addresses]));
    let url = format!("http://many.example:{port}/");
    assert_eq!(refused(&outgoing, Trust::Foreign, &url).await, OutgoingError::Unreachable);
    // One of the first that answers is enough.
    let listener = TcpListener::bind("127.0.0.3:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    counting(listener).await;
    let answer = outgoing.send(Trust::Foreign, Request::get(format!("http://many.example:{port}/"))).await.unwrap();
    assert_eq!(answer.body, b"127.0.0.3");
}

#[tokio::test]
async fn this_machine_may_be_called_where_that_is_said_and_nothing_else_with_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    counting(listener).await;
    let outgoing = Outgoing::new(&OutgoingArgs { outgoing_local: true, ..OutgoingArgs::default() });
    for host in ["127.0.0.1", "localhost"] {
        let answer = outgoing.send(Trust::Foreign, Request::get(format!("http://{host}:{port}/"))).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
    }
    assert_eq!(refused(&outgoing, Trust::Foreign, "https://10.0.0.1/").await, OutgoingError::Address);
    assert_eq!(refused(&outgoing, Trust::Foreign, "http://example.com/").await, OutgoingError::Scheme);
    assert_eq!(refused(&outgoing, Trust::Foreign, "https://example.com:8443/").await, OutgoingError::Port(8443));
}

#[tokio::test]
async fn foreign_targets_are_https_on_allowed_ports_without_credentials() {
    let outgoing = Outgoing::new(&OutgoingArgs::default());
    let cases = [
        ("http://example.com/", OutgoingError::Scheme),
        ("ftp://example.com/", OutgoingError::Scheme),
        ("file:///etc/passwd", OutgoingError::Scheme),
        ("gopher://127.0.0.1/", OutgoingError::Scheme),
        ("https://example.com:22/", OutgoingError::Port(22)),
        ("https://example.com:8443/", OutgoingError::Port(8443)),
        ("https://me:secret@example.com/", OutgoingError::UserInfo),
        ("https://me@example.com/", OutgoingError::UserInfo),
        ("https://example.com@10.0.0.1/", OutgoingError::UserInfo),
        ("https://", OutgoingError::NotAUrl),
        ("https://exa mple.com/", OutgoingError::NotAUrl),
        ("https://256.256.256.256/", OutgoingError::NotAUrl),
        ("https://[::1/", OutgoingError::NotAUrl),
        ("/relative", OutgoingError::NotAUrl),
        ("", OutgoingError::NotAUrl),
    ];
    for (url, expected) in cases {
        let error = refused(&outgoing, Trust::Foreign, url).await;
        assert_eq!(error, expected, "{url}");
        assert!(!error.is_transient() && !error.to_string().contains("secret"), "{url}");
    }
    // What the operator writes is no place for credentials either.
    assert_eq!(refused(&outgoing, Trust::Configured, "http://me:x@127.0.0.1/").await, OutgoingError::UserInfo);
}

#[tokio::test]
async fn a_name_that_changes_its_address_is_connected_to_only_where_it_was_checked() {
    let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = first.local_addr().unwrap().port();
    let second = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    let (first, second) = (counting(first).await, counting(second).await);
    let told = Told::new(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let outgoing = Outgoing::with_lookup(&settings("127.0.0.1"), told.clone());
    let url = format!("http://rebind.example:{port}/");

    let answer = outgoing.send(Trust::Foreign, Request::get(&url)).await.unwrap();
    assert_eq!(answer.body, b"127.0.0.1");
    assert_eq!(told.asked.load(Ordering::SeqCst), 1, "the name was resolved once");
    // The server closed the connection: the next request resolves anew, and the new address is looked at.
    assert_eq!(refused(&outgoing, Trust::Foreign, &url).await, OutgoingError::Address);
    assert_eq!((first.load(Ordering::SeqCst), second.load(Ordering::SeqCst)), (1, 0));
}

#[tokio::test]
async fn of_a_names_addresses_only_fitting_ones_are_tried() {
    let inside = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = inside.local_addr().unwrap().port();
    let outside = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let (inside, outside) = (counting(inside).await, counting(outside).await);
    let told = Told::new(&[&["127.0.0.2", "10.0.0.1", "127.0.0.1", "::1"]]);
    let outgoing = Outgoing::with_lookup(&settings("127.0.0.1"), told);
    let answer = outgoing.send(Trust::Foreign, Request::get(format!("http://both.example:{port}/"))).await.unwrap();
    assert_eq!(answer.body, b"127.0.0.1");
    assert_eq!((inside.load(Ordering::SeqCst), outside.load(Ordering::SeqCst)), (0, 1));
}

#[tokio::test]
async fn a_connection_of_the_operators_is_not_taken_for_a_users_target() {
    let address = serve(Router::new().route("/", get(|| async { "inside" }))).await;
    let outgoing = Outgoing::with_lookup(&settings(""), Told::new(&[&["127.0.0.1"]]));
    let url = format!("http://inside.example:{}/", address.port());
    let answer = outgoing.send(Trust::Configured, Request::get(&url)).await.unwrap();
    assert_eq!(answer.body, b"inside", "the operator may name a private address");
    assert_eq!(refused(&outgoing, Trust::Foreign, &url).await, OutgoingError::Address);
}

#[tokio::test]
async fn redirects_are_answers_and_are_not_followed() {
    let followed = Arc::new(AtomicUsize::new(0));
    let counter = followed.clone();
    let inside = move || async move {
        counter.fetch_add(1, Ordering::SeqCst);
    };
    let away = || async { (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "/inside")]) };
    let router = Router::new().route("/away", post(away)).route("/inside", post(inside));
    let url = format!("http://{}/away", serve(router).await);
    for trust in [Trust::Foreign, Trust::Configured] {
        let answer = loopback().send(trust, Request::post(&url)).await.unwrap();
        assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
    }
    assert_eq!(followed.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_answer_is_read_up_to_its_limit() {
    let endless = || async { Body::from_stream(stream::repeat_with(|| Ok::<_, io::Error>(vec![b'x'; 10_000]))) };
    let router = Router::new()
        .route("/whole", get(|| async { vec![b'x'; ANSWER_LIMIT] }))
        .route("/endless", get(endless))
        .route("/packed", get(|headers: HeaderMap| async move { format!("{:?}", headers.get("accept-encoding")) }));
    let address = serve(router).await;
    let get = async |path: &str| {
        loopback().send(Trust::Foreign, Request::get(format!("http://{address}{path}"))).await.unwrap()
    };
    let whole = get("/whole").await;
    assert!(whole.body.len() == ANSWER_LIMIT && !whole.cut);
    let endless = get("/endless").await;
    assert!(endless.body.len() == ANSWER_LIMIT && endless.cut);
    assert_eq!(get("/packed").await.body, b"None", "no packed answer is asked for");
}

#[tokio::test]
async fn whoever_hangs_or_drips_is_given_up_in_time() {
    let drop = |()| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some((Ok::<_, io::Error>("x"), ()))
    };
    let drips = move || async move { Body::from_stream(stream::unfold((), drop)) };
    let router = Router::new().route("/hangs", get(std::future::pending::<()>)).route("/drips", get(drips));
    let address = serve(router).await;
    let limit = Duration::from_millis(300);
    for path in ["/hangs", "/drips"] {
        let request = Request::get(format!("http://{address}{path}")).within(limit);
        let error = loopback().send(Trust::Foreign, request).await.unwrap_err();
        assert_eq!(error, OutgoingError::TimedOut(limit), "{path}");
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn what_is_away_is_transient_and_what_is_not_trusted_is_said() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = closed.local_addr().unwrap();
    drop(closed);
    let outgoing = Outgoing::with_lookup(&settings("127.0.0.1"), Told::new(&[&[]]));
    let plain = serve(Router::new()).await;
    let cases = [
        (format!("http://{gone}/"), OutgoingError::Unreachable),
        ("http://nowhere.example/".to_owned(), OutgoingError::Unresolved),
        (format!("https://{plain}/"), OutgoingError::Insecure),
    ];
    for (url, expected) in cases {
        let error = refused(&outgoing, Trust::Foreign, &url).await;
        assert_eq!(error, expected, "{url}");
        assert!(error.is_transient());
    }
}

/// Where the server is, for the process below.
const TLS_SERVER: &str = "DOCKET_TEST_TLS_SERVER";

/// A process of its own is told another authority than the machine's, and a proxy where nobody listens: an environment cannot be changed
/// for one test alone.
#[tokio::test]
async fn the_machines_authorities_are_trusted_and_its_proxy_is_not_asked() {
    if let Ok(url) = std::env::var(TLS_SERVER) {
        let answer = loopback().send(Trust::Foreign, Request::get(url)).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
        return;
    }
    let folder = std::env::temp_dir().join(format!("docket-outgoing-{}", crate::ids::new_id()));
    std::fs::create_dir(&folder).unwrap();
    crate::scratch_kafka::certificates(&folder).unwrap();
    let mut server = Command::new("openssl")
        .args(["s_server", "-accept", "127.0.0.1:0", "-www", "-cert", "server.pem", "-key", "server.pem"])
        .current_dir(&folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let port = loop {
        let line = lines.next_line().await.unwrap().expect("the server says where it listens");
        if let Some((_, port)) = line.strip_prefix("ACCEPT ").and_then(|place| place.rsplit_once(':')) {
            break port.to_owned();
        }
    };
    let url = format!("https://127.0.0.1:{port}/");
    assert_eq!(refused(&loopback(), Trust::Foreign, &url).await, OutgoingError::Insecure);
    let trusting = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "outgoing::tests::the_machines_authorities_are_trusted_and_its_proxy_is_not_asked"])
        .env(TLS_SERVER, url)
        .env("SSL_CERT_FILE", folder.join("ca.pem"))
        .envs(["HTTPS_PROXY", "https_proxy", "ALL_PROXY"].map(|name| (name, "http://127.0.0.1:1")))
        .envs(["NO_PROXY", "no_proxy"].map(|name| (name, "")))
        .output()
        .await
        .unwrap();
    let output = String::from_utf8_lossy(&trusting.stdout).into_owned();
    assert!(trusting.status.success() && output.contains("1 passed"), "{output}");
    server.kill().await.unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn neither_token_nor_body_is_shown() {
    let request = Request::post("https://hooks.example/T0K3N").bearer("hunter2").unwrap().json(&"private").unwrap();
    let shown = format!("{request:?}");
    assert!(!shown.contains("T0K3N") && !shown.contains("hunter2") && !shown.contains("private"), "{shown}");
    let broken = Request::post("https://hooks.example").bearer("hun\nter2").unwrap_err();
    assert_eq!(broken, OutgoingError::Header);
}

#[test]
fn whoever_asks_for_a_rest_gets_a_day_at_most() {
    let asked = |text: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", text.parse().unwrap());
        Answer { status: StatusCode::TOO_MANY_REQUESTS, headers, body: Vec::new(), cut: false }.retry_after()
    };
    let day = Some(Duration::from_secs(86_400));
    assert_eq!(asked("7"), Some(Duration::from_secs(7)));
    assert_eq!((asked("18446744073709551615"), asked("Tue, 31 Dec 2999 23:59:59 GMT")), (day, day));
    assert_eq!(asked("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
    assert_eq!(asked("soon"), None);
}

#[test]
fn a_body_without_a_json_form_is_an_error() {
    let body = std::collections::BTreeMap::from([((1, 2), 3)]);
    assert_eq!(Request::post("https://hooks.example").json(&body).unwrap_err(), OutgoingError::Body);
}
