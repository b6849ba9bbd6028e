//! `docket health`, as a container engine or a person asks.

use std::net::TcpListener;
use std::process::Output;

use super::server::{Folder, Server, docket, eventually};

fn ask(arguments: &[&str]) -> Output {
    docket(&["health"]).args(arguments).output().expect("the program starts")
}

/// The exit code, and what was said wherever.
fn said(output: &Output) -> (Option<i32>, String) {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("UTF-8"))
}

#[tokio::test]
async fn a_process_is_ready_until_its_database_is_gone() {
    let folder = Folder::new();
    let whole = Server::up(&folder);
    let queries = Server::start(&folder, "query-api");
    let port = queries.url.rsplit_once(':').expect("a port").1;
    let ready = format!("ready  {}  postgres ok, revocations ok\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(said(&ask(&["--url", &queries.url])), (Some(0), ready.clone()));
    // As within an image: told to serve on all addresses, asked on this machine.
    let output = docket(&["health"]).env("DOCKET_LISTEN", format!("0.0.0.0:{port}")).output().expect("it runs");
    assert_eq!(said(&output), (Some(0), ready));

    assert!(whole.stop().0.success());
    eventually("the role is not ready", async || {
        let (code, text) = said(&ask(&["--url", &queries.url]));
        (code == Some(1) && text.starts_with("docket: unready: ") && text.contains("postgres unreachable"))
            .then_some(())
    })
    .await;
    assert!(queries.stop().0.success());
}

#[test]
fn nobody_there_and_nobody_answering_are_3() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("an address").to_string();
    let (code, text) = said(&ask(&["--listen", &address, "--timeout", "200ms"]));
    assert_eq!((code, text), (Some(3), format!("docket: no answer from {address} in 200ms\n")));
    drop(silent);
    let (code, text) = said(&ask(&["--listen", &address]));
    assert!(code == Some(3) && text.starts_with(&format!("docket: nothing answers at {address}: ")), "{text}");
}

#[test]
fn what_is_no_address_is_usage() {
    for wrong in ["https://docket.example", "docket", "http://a b"] {
        let (code, text) = said(&ask(&["--url", wrong]));
        assert!(code == Some(2) && !text.is_empty(), "{wrong}: {text}");
    }
}
