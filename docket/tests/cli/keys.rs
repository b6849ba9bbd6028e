//! The keys of access tokens: rotated while everything serves, and by somebody who is killed.

use std::process::Output;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use docket_log::Mode;
use docket_platform::auth::RECEIPT_KID_PREFIX;
use docket_platform::embedded::{Cluster, DATABASE, OWNER};
use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection};

use super::server::{Client, Credentials, Folder, Server, eventually};

fn run(folder: &Folder, arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = folder.docket(arguments).output().expect("the program starts");
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

/// The output of a command that must succeed.
fn done(folder: &Folder, arguments: &[&str]) -> String {
    let (code, said) = run(folder, arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {said}");
    said
}

/// The keys' states, the newest last.
fn states(folder: &Folder) -> Vec<String> {
    let keys: Vec<Value> = serde_json::from_str(&done(folder, &["keys", "list", "--json"])).expect("JSON");
    keys.iter().map(|key| key["state"].as_str().expect("a state").to_owned()).collect()
}

/// The ids of the published keys of access tokens.
async fn published(url: &str) -> Vec<String> {
    let answer = reqwest::get(format!("{url}/.well-known/jwks.json")).await.expect("an answer");
    let set: Value = answer.json().await.expect("JSON");
    let keys = set["keys"].as_array().expect("keys");
    let ids = keys.iter().map(|key| key["kid"].as_str().expect("an id").to_owned());
    ids.filter(|kid| !kid.starts_with(RECEIPT_KID_PREFIX)).collect()
}

/// The id of the key that signed the token.
fn kid(client: &Client) -> String {
    let header = client.token.split('.').next().expect("a first part");
    let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).expect("base64")).expect("JSON");
    header["kid"].as_str().expect("an id").to_owned()
}

/// How the read of a consultation that is not there is answered: 404 where the token is taken.
async fn read(client: &Client, url: &str) -> u16 {
    client.get(format!("{url}/api/v1/consultations/01990000-0000-7000-8000-000000000000")).await.status().as_u16()
}

async fn ask(client: &Client, url: &str) -> u16 {
    client.ask(url, "with this token").await.status().as_u16()
}

/// Somebody whose token another key signed than this.
async fn signed_by_another(url: &str, admin: &Credentials, old: &str) -> Client {
    eventually("the new key signs", async || {
        let client = Client::login(url, admin).await;
        (kid(&client) != old).then_some(client)
    })
    .await
}

async fn figure(url: &str, name: &str) -> u64 {
    let page = reqwest::get(format!("{url}/metrics")).await.expect("an answer").text().await.expect("text");
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn keys_rotate_while_every_role_serves() {
    let folder = Folder::on(Mode::Journal);
    let whole = Server::up(&folder);
    let commands = Server::start(&folder, "command-api");
    let queries = Server::start(&folder, "query-api");
    let admin = whole.credentials("admin");
    let old = Client::login(&whole.url, &admin).await;
    let first = kid(&old);
    assert_eq!(states(&folder), ["signs"]);
    for _ in 0..2 {
        assert_eq!((read(&old, &queries.url).await, ask(&old, &commands.url).await), (404, 201));
    }
    for server in [&queries, &commands] {
        assert_eq!(figure(&server.url, "docket_token_cache_misses_total").await, 1);
        assert_eq!(figure(&server.url, "docket_token_cache_hits_total").await, 1);
        eventually("the size is shown", async || {
            (figure(&server.url, "docket_token_cache_entries").await == 1).then_some(())
        })
        .await;
    }

    assert!(done(&folder, &["keys", "rotate", "--lead", "0s"]).starts_with("rotated  "));
    assert_eq!(states(&folder), ["verifies", "signs"]);
    for server in [&whole, &commands, &queries] {
        eventually("both are published", async || (published(&server.url).await.len() == 2).then_some(())).await;
    }
    let new =
        [signed_by_another(&whole.url, &admin, &first).await, signed_by_another(&commands.url, &admin, &first).await];
    for client in new.iter().chain([&old]) {
        assert_eq!((read(client, &queries.url).await, ask(client, &commands.url).await), (404, 201));
    }

    // By default a new key is published before it signs, and is not made twice.
    let waits = done(&folder, &["keys", "rotate"]);
    assert_eq!(states(&folder), ["verifies", "signs", "waits"]);
    let again = done(&folder, &["keys", "rotate"]);
    assert!(again.starts_with("under way  ") && again.contains("nothing was changed"), "{again}");
    assert_eq!(again.split_whitespace().nth(2), waits.split_whitespace().nth(1));

    done(&folder, &["keys", "rotate", "--at-once"]);
    assert_eq!(states(&folder), ["retired", "retired", "signs", "retired"]);
    for server in [&whole, &commands, &queries] {
        eventually("one is published", async || (published(&server.url).await.len() == 1).then_some(())).await;
    }
    for client in new.iter().chain([&old]) {
        assert_eq!((read(client, &queries.url).await, ask(client, &commands.url).await), (401, 401));
        assert_eq!((read(client, &whole.url).await, ask(client, &whole.url).await), (401, 401));
    }
    let client = Client::login(&commands.url, &admin).await;
    assert_eq!((read(&client, &queries.url).await, ask(&client, &whole.url).await), (404, 201));
    for server in [queries, commands, whole] {
        assert!(server.stop().0.success());
    }
}

#[tokio::test]
async fn a_killed_rotation_has_changed_nothing() {
    // More logins than one address has in a minute.
    let folder = Folder::with(|_| vec![("DOCKET_RATE_LIMIT_AUTH", "0".to_owned())]);
    let server = Server::up(&folder);
    let admin = server.credentials("admin");
    let first = kid(&Client::login(&server.url, &admin).await);
    let cluster = Cluster::attach(&folder.0).await.expect("it runs");
    let connect =
        async || PgConnection::connect_with(&cluster.connect_options(OWNER, DATABASE)).await.expect("connected");
    // What others do is seen anew outside a transaction only.
    let (mut owner, mut watcher) = (connect().await, connect().await);
    let mut holder = owner.begin().await.expect("begun");
    // The row of the old key is changed before the new one is made.
    holder.execute("SELECT kid FROM auth.signing_key FOR UPDATE").await.expect("locked");
    let mut killed = folder.docket(&["keys", "rotate", "--lead", "0s"]).spawn().expect("it starts");
    let waits =
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE auth%')";
    eventually("it is in the middle", async || {
        let waits: bool = sqlx::query_scalar(waits).fetch_one(&mut watcher).await.expect("an answer");
        waits.then_some(())
    })
    .await;
    killed.kill().expect("it runs");
    killed.wait().expect("it ends");
    holder.rollback().await.expect("unlocked");
    // Again, and this time to its end: whatever the first one held is free.
    assert_eq!(published(&server.url).await, [first.as_str()]);
    assert_eq!(states(&folder), ["signs"]);
    assert!(done(&folder, &["keys", "rotate", "--lead", "0s"]).starts_with("rotated  "));
    assert_eq!(states(&folder), ["verifies", "signs"]);
    signed_by_another(&server.url, &admin, &first).await;
    assert!(server.stop().0.success());
}

#[test]
fn keys_say_what_they_cannot_do() {
    let folder = Folder::new();
    for arguments in [
        &["keys"][..],
        &["keys", "rotate", "--lead", "25h"],
        &["keys", "rotate", "--lead", "1s", "--at-once"],
        &["keys", "rotate", "--receipts", "--at-once"],
    ] {
        let (code, said) = run(&folder, arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
    }
    for arguments in [["keys", "list"], ["keys", "rotate"]] {
        let (code, said) = run(&folder, &arguments);
        assert_eq!(code, Some(3), "{arguments:?}: {said}");
        assert!(said.contains("start it with `docket up"), "{said}");
    }
}
