//! Sessions across processes: what one takes away is gone in the others, and processes die in between.

use docket_platform::scratch_kafka::ScratchKafka;
use reqwest::{Client as Http, StatusCode};
use serde_json::{Value, json};

use super::modes::on;
use super::server::{Client, Credentials, Folder, Server, eventually, secret};

/// A login whole.
struct Login {
    client: Client,
    refresh: String,
}

async fn log_in(url: &str, who: &Credentials) -> Login {
    let body = json!({ "email": who.email, "password": who.password });
    let answer = Http::new().post(format!("{url}/api/v1/auth/login")).json(&body).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let answer: Value = answer.json().await.expect("JSON");
    let text = |name: &str| answer[name].as_str().expect("a token").to_owned();
    secret(&text("refresh_token"));
    Login { client: Client::with(&text("access_token")), refresh: text("refresh_token") }
}

#[tokio::test]
async fn a_session_that_ends_is_over_in_every_role_while_kafka_is_away() {
    let broker = tokio::task::spawn_blocking(ScratchKafka::start).await.expect("no panic").expect("a broker");
    let folder = Folder::with(|name| on(&broker, name));
    let whole = Server::up(&folder);
    let admin = whole.credentials("admin");
    let (commands, queries) = (Server::start(&folder, "command-api"), Server::start(&folder, "query-api"));
    let (gone, stays) = (log_in(&whole.url, &admin).await, log_in(&whole.url, &admin).await);
    broker.kill(1).expect("killed");
    let graphql = format!("{}/graphql", queries.url);
    let changes = json!({ "query": "subscription { consultationChanged { kind } }" });
    let open = gone.client.stream(graphql.clone(), &changes).await;
    let other = stays.client.stream(graphql.clone(), &changes).await;
    assert_eq!((open.status(), other.status()), (StatusCode::OK, StatusCode::OK));

    let out = gone.client.post(format!("{}/api/v1/auth/logout", commands.url), &json!({})).await;
    assert_eq!(out.status(), StatusCode::OK);
    let said = tokio::time::timeout(std::time::Duration::from_secs(60), open.text()).await;
    let said = said.expect("the stream ends").expect("text");
    assert!(said.contains("UNAUTHENTICATED") && said.contains("event: complete"), "{said}");
    for server in [&whole, &commands, &queries] {
        let me = format!("{}/api/v1/auth/me", server.url);
        let read = format!("{}/graphql?query=%7Bme%7Bid%7D%7D", server.url);
        for path in [me, read] {
            eventually("it is refused", async || {
                let status = gone.client.get(path.clone()).await.status();
                [StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND].contains(&status).then_some(())
            })
            .await;
        }
        assert_ne!(stays.client.get(format!("{}/graphql?query=%7Bme%7Bid%7D%7D", server.url)).await.status(), 401);
    }
    drop(other);
    for server in [queries, commands, whole] {
        assert!(server.stop().0.success());
    }
}

#[tokio::test]
async fn a_server_of_an_own_database_demands_a_second_factor_of_administrators() {
    let folder = Folder::with(|_| vec![("DOCKET_SECOND_FACTOR", "admin".to_owned())]);
    let server = Server::up(&folder);
    let (admin, reviewer) = (server.credentials("admin"), server.credentials("reviewer"));
    let asked = log_in(&server.url, &admin).await.client.ask(&server.url, "without one").await;
    assert_eq!(asked.status(), StatusCode::FORBIDDEN);
    let problem: Value = asked.json().await.expect("JSON");
    assert_eq!(problem["code"], "second_factor_required");
    assert_eq!(log_in(&server.url, &reviewer).await.client.ask(&server.url, "a reviewer").await.status(), 201);
    assert!(server.stop().0.success());
}

#[cfg(feature = "faults")]
async fn refresh(url: &str, token: &str) -> reqwest::Result<StatusCode> {
    let body = json!({ "refresh_token": token });
    Ok(Http::new().post(format!("{url}/api/v1/auth/refresh")).json(&body).send().await?.status())
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn a_kill_between_the_rotation_and_the_answer_leaves_one_who_can_go_on_by_logging_in() {
    let folder = Folder::new();
    let command = |folder: &Folder| folder.docket(&["up", "--listen", "127.0.0.1:0"]);
    let server = Server::launch(&folder, command(&folder).env("DOCKET_FAULT_CRASH", "refresh.before_answer"));
    let admin = server.credentials("admin");
    let login = log_in(&server.url, &admin).await;
    refresh(&server.url, &login.refresh).await.expect_err("it died");
    server.ended();
    let server = Server::up(&folder);
    // Nobody can tell whether the one who asks again is the one who asked: the session ends, and it is noted.
    assert_eq!(refresh(&server.url, &login.refresh).await.expect("an answer"), StatusCode::UNAUTHORIZED);
    assert_eq!(refresh(&server.url, &login.refresh).await.expect("an answer"), StatusCode::UNAUTHORIZED);
    let again = log_in(&server.url, &admin).await;
    assert_eq!(refresh(&server.url, &again.refresh).await.expect("an answer"), StatusCode::OK);
    let events = folder.docket(&["replay", "--category", "identity"]).output().expect("it starts").stdout;
    let events = String::from_utf8(events).expect("text");
    assert_eq!(events.matches("docket.identity.session_revoked.v1\"").count(), 1, "noted once");
    assert!(events.contains("refresh_token_reused"));
    assert!(server.stop().0.success());
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn a_kill_in_the_middle_of_a_login_leaves_nothing_to_log_in_with() {
    let folder = Folder::new();
    let command = |folder: &Folder| folder.docket(&["up", "--listen", "127.0.0.1:0"]);
    let server = Server::launch(&folder, command(&folder).env("DOCKET_FAULT_CRASH", "login.before_rows"));
    let admin = server.credentials("admin");
    let body = json!({ "email": admin.email, "password": admin.password });
    Http::new().post(format!("{}/api/v1/auth/login", server.url)).json(&body).send().await.expect_err("it died");
    server.ended();
    let server = Server::up(&folder);
    let login = log_in(&server.url, &admin).await;
    let list = login.client.get(format!("{}/api/v1/auth/sessions", server.url)).await;
    let list: Value = list.json().await.expect("JSON");
    assert_eq!(list["sessions"].as_array().expect("a list").len(), 1, "{list}");
    assert!(server.stop().0.success());
}
