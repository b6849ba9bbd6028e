//! An API key as software lives it: it asks through one process and reads from another, until it is revoked.

use docket_log::Mode;
use docket_platform::embedded::{Cluster, DATABASE, OWNER};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use super::server::{Client, Folder, Server, eventually};

#[tokio::test]
async fn a_key_works_through_every_role_until_it_is_revoked() {
    let folder = Folder::on(Mode::Journal);
    let whole = Server::up(&folder);
    let commands = Server::start(&folder, "command-api");
    let queries = Server::start(&folder, "query-api");
    let admin = Client::login(&whole.url, &whole.credentials("admin")).await;
    let keys = format!("{}/api/v1/api-keys", whole.url);
    let body = json!({"name": "Pipeline", "scopes": ["consultation:ask", "consultation:read"]});
    let made = admin.post(keys.clone(), &body).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    let made: Value = made.json().await.expect("JSON");
    let key = Client::with(made["secret"].as_str().expect("a secret"));

    let asked = key.ask(&commands.url, "May it go out?").await;
    assert_eq!(asked.status(), StatusCode::CREATED);
    let asked: Value = asked.json().await.expect("JSON");
    assert_eq!(asked["requested_by"], json!({"id": made["id"], "name": "Pipeline"}));
    let path = format!("{}/api/v1/consultations/{}", queries.url, asked["id"].as_str().expect("an id"));
    eventually("it is read", async || (key.get(path.clone()).await.status() == 200).then_some(())).await;

    let ended = admin.delete(format!("{keys}/{}", made["id"].as_str().expect("an id"))).await;
    assert_eq!(ended.status(), StatusCode::OK);
    for url in [&commands.url, &whole.url] {
        eventually("it asks no more", async || (key.ask(url, "t").await.status() == 401).then_some(())).await;
    }
    eventually("it reads no more", async || (key.get(path.clone()).await.status() == 401).then_some(())).await;

    // Whoever ends writes down what was used.
    assert!(queries.stop().0.success());
    let cluster = Cluster::attach(&folder.0).await.expect("it runs");
    let mut owner = PgConnection::connect_with(&cluster.connect_options(OWNER, DATABASE)).await.expect("connected");
    let used = "SELECT count(*) FROM auth.api_key_use WHERE last_used_at > now() - interval '10 minutes'";
    let used: i64 = sqlx::query_scalar(used).fetch_one(&mut owner).await.expect("an answer");
    assert_eq!(used, 1);
    owner.close().await.expect("closed");
    for server in [commands, whole] {
        assert!(server.stop().0.success());
    }
}
