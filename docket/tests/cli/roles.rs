//! Each role in a process of its own, on one database.

use docket_log::{Mode, in_both_modes};
use serde_json::{Value, json};

use super::server::{Client, Folder, Server, eventually};

in_both_modes!(roles_alone_work_together_with_the_rest);

async fn roles_alone_work_together_with_the_rest(mode: Mode) {
    let folder = Folder::on(mode);
    let whole = Server::up(&folder);
    let commands = Server::start(&folder, "command-api");
    let projector = Server::start(&folder, "projector");
    let queries = Server::start(&folder, "query-api");
    let relay = (mode == Mode::Kafka).then(|| Server::start(&folder, "relay"));
    let admin = whole.credentials("admin");
    let client = Client::login(&commands.url, &admin).await;
    let asked: Value = client.ask(&commands.url, "through the roles").await.json().await.expect("JSON");
    let path = format!("{}/api/v1/consultations/{}", queries.url, asked["id"].as_str().expect("an id"));
    eventually("the query API reads it", async || (client.get(path.clone()).await.status() == 200).then_some(())).await;

    let status =
        async |url: &str, path: &str| reqwest::get(format!("{url}{path}")).await.expect("an answer").status().as_u16();
    for server in [&commands, &projector, &queries].into_iter().chain(&relay) {
        assert_eq!(status(&server.url, "/health/ready").await, 200);
        assert_eq!(status(&server.url, "/metrics").await, 200);
    }
    // A role alone serves its part of the paths and no other.
    assert_eq!(status(&queries.url, "/.well-known/jwks.json").await, 200);
    assert_eq!(status(&commands.url, "/graphql").await, 404);
    assert_eq!(status(&projector.url, "/api/v1/consultations").await, 404);
    let refused = client.post(format!("{}/api/v1/consultations", queries.url), &json!({})).await;
    assert_eq!(refused.status(), 405, "there it is read, and not written");
    folder.log_is_whole(mode).await;
    for server in relay.into_iter().chain([queries, projector, commands, whole]) {
        assert!(server.stop().0.success());
    }
}
