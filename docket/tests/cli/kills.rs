//! What is killed comes back, and nothing acknowledged is lost.

use docket_log::{Mode, in_both_modes};
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use super::server::{Client, Folder, Server, eventually};

in_both_modes!(
    a_killed_postgres_is_started_again_and_the_server_recovers,
    a_killed_server_starts_again_with_everything_acknowledged,
);

async fn id(answer: reqwest::Response) -> String {
    assert_eq!(answer.status(), 201);
    let asked: Value = answer.json().await.expect("JSON");
    asked["id"].as_str().expect("an id").to_owned()
}

async fn is_there(client: &Client, url: &str, id: &str) -> Option<()> {
    let answer = client.get(format!("{url}/api/v1/consultations/{id}")).await;
    (answer.status() == 200).then_some(())
}

async fn a_killed_postgres_is_started_again_and_the_server_recovers(mode: Mode) {
    let folder = Folder::on(mode);
    let server = Server::up(&folder);
    let client = Client::login(&server.url, &server.credentials("admin")).await;
    let before = id(client.ask(&server.url, "before").await).await;
    let victim = folder.postgres().expect("it runs");
    kill_process(victim, Signal::KILL).expect("killed");
    // Until it is back: an answer at once, never a hang.
    let after = eventually("a command after the kill", async || {
        let answer = client.ask(&server.url, "after").await;
        match answer.status().as_u16() {
            201 => Some(id(answer).await),
            status => {
                assert_eq!(status, 503, "{:?}", answer.text().await);
                assert!(answer.headers().contains_key("retry-after"));
                None
            }
        }
    })
    .await;
    for id in [before, after] {
        eventually("reads after the kill", async || is_there(&client, &server.url, &id).await).await;
    }
    assert_ne!(folder.postgres(), Some(victim));
    eventually("readiness", async || {
        let answer = client.get(format!("{}/health/ready", server.url)).await;
        (answer.status() == 200).then_some(())
    })
    .await;
    folder.log_is_whole(mode).await;
    let (status, _) = server.stop();
    assert!(status.success());
    assert!(folder.postgres().is_none());
}

async fn a_killed_server_starts_again_with_everything_acknowledged(mode: Mode) {
    let folder = Folder::on(mode);
    let server = Server::up(&folder);
    let admin = server.credentials("admin");
    let client = Client::login(&server.url, &admin).await;
    let asked = id(client.ask(&server.url, "survives").await).await;
    server.kill();
    let again = Server::up(&folder);
    let client = Client::login(&again.url, &admin).await;
    eventually("what was acknowledged", async || is_there(&client, &again.url, &asked).await).await;
    folder.log_is_whole(mode).await;
    let (status, _) = again.stop();
    assert!(status.success());
    assert!(folder.postgres().is_none());
}
