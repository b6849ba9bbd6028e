//! A forgotten password, as its owner lives it: a mail in the outbox, a link, a new password; and processes that die in between.

use std::fs;
use std::path::PathBuf;

use docket_log::{Mode, in_both_modes};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::server::{Client, Credentials, Folder, Server, eventually, secret};

const NEW: &str = "orbit lantern mustard";

impl Folder {
    /// The mails that were written, oldest first.
    fn mails(&self) -> Vec<(PathBuf, String)> {
        let Ok(entries) = fs::read_dir(self.0.join("outbox")) else { return Vec::new() };
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "eml")).collect();
        paths.sort();
        paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).expect("a mail"))).collect()
    }

    pub async fn mail_number(&self, count: usize) -> String {
        eventually("the mail is written", async || self.mails().get(count - 1).map(|(_, mail)| mail.clone())).await
    }

    /// The first mail that says this.
    pub async fn mail_containing(&self, text: &str) -> String {
        let found = async || self.mails().into_iter().map(|(_, mail)| mail).find(|mail| mail.contains(text));
        eventually("the mail is written", found).await
    }
}

pub async fn post(url: &str, path: &str, body: &Value) -> (StatusCode, Value) {
    let answer = reqwest::Client::new().post(format!("{url}/api/v1/auth/{path}")).json(body).send().await;
    let answer = answer.expect("an answer");
    (answer.status(), answer.json().await.expect("JSON"))
}

/// The token of the link in a mail, whose lines may be folded (quoted-printable).
pub fn token(mail: &str) -> String {
    let unfolded = mail.replace("=\r\n", "").replace("=\n", "").replace("=3D", "=");
    let (_, rest) = unfolded.split_once("#token=").expect("a link");
    let token: String =
        rest.chars().take_while(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_')).collect();
    secret(&token);
    token
}

in_both_modes!(a_forgotten_password_is_set_anew_by_the_mailed_link);

async fn a_forgotten_password_is_set_anew_by_the_mailed_link(mode: Mode) {
    let folder = Folder::on(mode);
    let server = Server::up(&folder);
    let admin = server.credentials("admin");
    let known = post(&server.url, "forgot-password", &json!({ "email": admin.email })).await;
    assert_eq!(known.0, StatusCode::ACCEPTED);
    assert_eq!(post(&server.url, "forgot-password", &json!({ "email": "nobody@example.org" })).await, known);
    let mail = folder.mail_number(1).await;
    assert!(mail.contains("To: ") && mail.contains(&admin.email), "{mail}");
    assert!(!mail.contains(&admin.password));

    // The start page leads to it, on this machine.
    let list = reqwest::get(format!("{}/outbox", server.url)).await.expect("an answer").text().await.expect("text");
    let name = folder.mails()[0].0.file_name().expect("a name").to_str().expect("ASCII").to_owned();
    assert!(list.contains(&format!("/outbox/{name}")), "{list}");
    let shown = reqwest::get(format!("{}/outbox/{name}", server.url)).await.expect("an answer");
    let shown = shown.text().await.expect("text");
    assert!(shown.contains(&format!("To: Administrator <{}>", admin.email)), "{shown}");
    let link = format!("{}/password#token={}", server.url, token(&mail));
    assert!(shown.lines().any(|line| line.trim_end() == link), "the link is whole: {shown}");
    let port = server.url.rsplit_once(':').expect("a port").1;
    let foreign = reqwest::Client::new().get(format!("{}/outbox/{name}", server.url));
    let foreign = foreign.header("host", format!("rebound.example.org:{port}")).send().await.expect("an answer");
    assert_eq!(foreign.status(), StatusCode::NOT_FOUND);

    let body = json!({ "token": token(&mail), "password": NEW });
    let (status, answer) = post(&server.url, "reset-password", &body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let old = json!({ "email": admin.email, "password": admin.password });
    assert_eq!(post(&server.url, "login", &old).await.0, StatusCode::UNAUTHORIZED);
    Client::login(&server.url, &Credentials { email: admin.email.clone(), password: NEW.to_owned() }).await;
    let (status, answer) = post(&server.url, "reset-password", &body).await;
    assert_eq!((status, &answer["code"]), (StatusCode::BAD_REQUEST, &json!("invalid_token")));
    // The owner is told.
    let told = folder.mail_number(2).await;
    assert!(told.contains("password"), "{told}");
    assert!(server.stop().0.success());
}

#[tokio::test]
async fn a_mail_that_was_asked_for_before_a_kill_is_sent_after_it() {
    let folder = Folder::with(|_| vec![("DOCKET_DELIVERY_RETRY", "200ms".to_owned())]);
    let server = Server::up(&folder);
    let admin = server.credentials("admin");
    // Nothing can be written there, so the mail waits.
    fs::create_dir_all(&folder.0).expect("a folder");
    let _ = fs::remove_dir_all(folder.0.join("outbox"));
    fs::write(folder.0.join("outbox"), "in the way").expect("written");
    let asked = post(&server.url, "forgot-password", &json!({ "email": admin.email })).await;
    assert_eq!(asked.0, StatusCode::ACCEPTED);
    let list = |state: &'static str| {
        let output = folder.docket(&["deliveries", "list", "--json", "--state", state]).output().expect("it starts");
        serde_json::from_slice::<Vec<Value>>(&output.stdout).unwrap_or_default()
    };
    let waiting = eventually("it is tried in vain", async || {
        list("pending").into_iter().find(|letter| letter["attempts"].as_u64() > Some(0) && !letter["outcome"].is_null())
    });
    let waiting = waiting.await;
    assert_eq!((&waiting["reactor"], &waiting["target"]), (&json!("mail"), &json!("reset_password")));
    server.kill();
    fs::remove_file(folder.0.join("outbox")).expect("removed");

    let server = Server::up(&folder);
    let mail = folder.mail_number(1).await;
    assert_eq!(
        post(&server.url, "reset-password", &json!({ "token": token(&mail), "password": NEW })).await.0,
        StatusCode::OK
    );
    let done = eventually("it is done", async || list("done").into_iter().find(|letter| letter["id"] == waiting["id"]));
    assert!(done.await["outcome"].as_str().is_some_and(|outcome| outcome.contains("outbox")));
    assert!(server.stop().0.success());
}

/// A server that ends itself, as by a kill, when it passes `step`.
#[cfg(feature = "faults")]
pub fn up_until(folder: &Folder, step: &str) -> Server {
    Server::launch(folder, folder.docket(&["up", "--listen", "127.0.0.1:0"]).env("DOCKET_FAULT_CRASH", step))
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn a_kill_around_a_delivery_loses_no_mail_and_leaves_links_that_work() {
    for step in ["reactor.before_delivery", "reactor.after_delivery"] {
        let quick = ["DOCKET_DELIVERY_RETRY", "DOCKET_DELIVERY_TIMEOUT"].map(|name| (name, "1s".to_owned()));
        let folder = Folder::with(|_| quick.to_vec());
        let server = up_until(&folder, step);
        let admin = server.credentials("admin");
        // It may die before it has answered.
        let body = json!({ "email": admin.email });
        let _ =
            reqwest::Client::new().post(format!("{}/api/v1/auth/forgot-password", server.url)).json(&body).send().await;
        server.ended();
        let server = Server::up(&folder);
        let done = eventually("it is done", async || {
            let output =
                folder.docket(&["deliveries", "list", "--json", "--state", "done"]).output().expect("it starts");
            let done: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
            done.into_iter().next()
        });
        assert_eq!(done.await["attempts"], 2, "{step}");
        // A folder knows a mail that it has by its id, so there is one; its link is the first attempt's, and works.
        let body = json!({ "token": token(&folder.mail_number(1).await), "password": NEW });
        assert_eq!(post(&server.url, "reset-password", &body).await.0, StatusCode::OK, "{step}");
        // The owner is told; that is the last mail.
        folder.mail_number(2).await;
        assert!(server.stop().0.success());
        assert_eq!(folder.mails().len(), 2, "{step}");
    }
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn a_kill_between_the_event_and_the_password_leaves_the_link_good() {
    let folder = Folder::new();
    let server = up_until(&folder, "reset.before_write");
    let admin = server.credentials("admin");
    post(&server.url, "forgot-password", &json!({ "email": admin.email })).await;
    let body = json!({ "token": token(&folder.mail_number(1).await), "password": NEW });
    let cut =
        reqwest::Client::new().post(format!("{}/api/v1/auth/reset-password", server.url)).json(&body).send().await;
    assert!(cut.is_err(), "{cut:?}");
    server.ended();
    let server = Server::up(&folder);
    Client::login(&server.url, &admin).await;
    assert_eq!(post(&server.url, "reset-password", &body).await.0, StatusCode::OK);
    Client::login(&server.url, &Credentials { email: admin.email, password: NEW.to_owned() }).await;
    let events = folder.docket(&["replay", "--category", "identity"]).output().expect("it starts").stdout;
    let events = String::from_utf8(events).expect("text");
    assert_eq!(events.matches("docket.identity.password_changed.v1\"").count(), 1, "noted once");
    assert!(server.stop().0.success());
}
