//! How people come: by registering, and by an invitation; and processes that die in between.

use docket_log::{Mode, in_both_modes};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::passwords::{post, token};
use super::server::{Client, Credentials, Folder, Server, eventually, secret};

const PASSWORD: &str = "orbit lantern mustard";

fn person(name: &str) -> Credentials {
    secret(PASSWORD);
    Credentials { email: format!("{name}@example.org"), password: PASSWORD.to_owned() }
}

fn wish(who: &Credentials) -> Value {
    json!({ "email": who.email, "name": "Ada Example", "password": who.password, "organisation": "Harbour Works" })
}

async fn invite(by: &Client, url: &str, who: &Credentials) -> StatusCode {
    let body = json!({ "email": who.email, "role": "reviewer" });
    by.post(format!("{url}/api/v1/invitations"), &body).await.status()
}

in_both_modes!(somebody_registers_invites_another_and_both_decide);

async fn somebody_registers_invites_another_and_both_decide(mode: Mode) {
    let folder = Folder::on(mode);
    let server = Server::up(&folder);
    let url = &server.url;
    let (ada, grace) = (person("ada"), person("grace"));
    let registered = post(url, "register", &wish(&ada)).await;
    assert_eq!(registered.0, StatusCode::ACCEPTED);
    let login = json!({ "email": ada.email, "password": ada.password });
    let (status, early) = post(url, "login", &login).await;
    assert_eq!((status, &early["code"]), (StatusCode::UNAUTHORIZED, &json!("invalid_credentials")));
    let mail = folder.mail_number(1).await;
    assert!(mail.contains(&ada.email) && mail.contains("/verify#token"), "{mail}");
    let verified = post(url, "verify", &json!({ "token": token(&mail) })).await;
    assert_eq!(verified.0, StatusCode::OK, "{}", verified.1);
    assert_eq!(post(url, "register", &wish(&ada)).await, registered, "known by now, and told alike");

    let admin = Client::login(url, &ada).await;
    assert_eq!(invite(&admin, url, &grace).await, StatusCode::CREATED);
    let invitation = folder.mail_containing(&grace.email).await;
    assert!(invitation.contains("Ada Example") && invitation.contains("Harbour Works"), "{invitation}");
    let body = json!({ "invitation": token(&invitation), "name": "Grace", "password": grace.password });
    let (status, joined) = post(url, "register", &body).await;
    assert_eq!((status, &joined["organisation"]["name"]), (StatusCode::CREATED, &json!("Harbour Works")));
    let reviewer = Client::login(url, &grace).await;
    let asked: Value = admin.ask(url, "Deploy?").await.json().await.expect("JSON");
    let place = format!("{url}/api/v1/consultations/{}/responses", asked["id"].as_str().expect("an id"));
    assert_eq!(reviewer.post(place, &json!({ "decision": "approve" })).await.status(), StatusCode::OK);
    told_from_where(&admin, url, &grace).await;
    assert!(server.stop().0.success());
}

/// The trail tells from where what nobody did who was logged in.
async fn told_from_where(admin: &Client, url: &str, who: &Credentials) {
    let login = json!({ "email": who.email, "password": who.password });
    let first = post(url, "login", &login).await.1["refresh_token"].clone();
    for status in [StatusCode::OK, StatusCode::UNAUTHORIZED] {
        assert_eq!(post(url, "refresh", &json!({ "refresh_token": first })).await.0, status);
    }
    let types =
        ["user_registered", "address_verified", "organisation_created", "invitation_accepted", "session_revoked"];
    let list = format!(r#"["{}"]"#, types.join(r#"", ""#));
    let query = format!("{{ auditTrail(filter: {{types: {list}}}) {{ nodes {{ type address }} }} }}");
    eventually("the trail has them", async || {
        let trail = admin.query(url, &query).await;
        let nodes = trail["auditTrail"]["nodes"].as_array().expect("entries").clone();
        let told = |kind: &str| nodes.iter().any(|node| node["type"] == kind && node["address"] == "127.0.0.1");
        types.into_iter().all(told).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_closed_installation_registers_nobody_who_was_not_invited() {
    let folder = Folder::with(|_| vec![("DOCKET_REGISTRATION", "invited".to_owned())]);
    let server = Server::up(&folder);
    let (status, answer) = post(&server.url, "register", &wish(&person("ada"))).await;
    assert_eq!((status, &answer["code"]), (StatusCode::FORBIDDEN, &json!("registration_closed")));
    let settings = folder.docket(&["config"]).output().expect("it starts").stdout;
    assert!(String::from_utf8(settings).expect("text").contains("invited"), "it is shown");
    assert!(server.stop().0.success());
}

#[cfg(feature = "faults")]
async fn cut(url: &str, path: &str, body: &Value) {
    let sent = reqwest::Client::new().post(format!("{url}/api/v1/auth/{path}")).json(body).send().await;
    assert!(sent.is_err(), "{sent:?}");
}

/// How often an event stands in the log.
#[cfg(feature = "faults")]
fn noted(folder: &Folder, event: &str) -> usize {
    let events = folder.docket(&["replay", "--category", "identity"]).output().expect("it starts").stdout;
    String::from_utf8(events).expect("text").matches(&format!("docket.identity.{event}.v1\"")).count()
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn a_kill_anywhere_in_a_registration_is_mended_by_repeating_the_step() {
    use super::passwords::up_until;
    let folder = Folder::new();
    let ada = person("ada");
    let server = up_until(&folder, "register.before_event");
    cut(&server.url, "register", &wish(&ada)).await;
    server.ended();
    let server = up_until(&folder, "verify.before_organisation");
    assert_eq!(post(&server.url, "register", &wish(&ada)).await.0, StatusCode::ACCEPTED);
    let body = json!({ "token": token(&folder.mail_number(1).await) });
    cut(&server.url, "verify", &body).await;
    server.ended();
    let server = up_until(&folder, "verify.before_write");
    cut(&server.url, "verify", &body).await;
    server.ended();
    let server = Server::up(&folder);
    assert_eq!(post(&server.url, "verify", &body).await.0, StatusCode::OK);
    Client::login(&server.url, &ada).await;
    assert_eq!((noted(&folder, "address_verified"), noted(&folder, "organisation_created")), (1, 2));
    assert!(server.stop().0.success());
}

#[cfg(feature = "faults")]
#[tokio::test]
async fn a_kill_anywhere_in_an_acceptance_is_mended_by_the_same_link() {
    use super::passwords::up_until;
    let folder = Folder::new();
    let grace = person("grace");
    let server = up_until(&folder, "join.before_acceptance");
    let admin = Client::login(&server.url, &server.credentials("admin")).await;
    assert_eq!(invite(&admin, &server.url, &grace).await, StatusCode::CREATED);
    let link = token(&folder.mail_number(1).await);
    let body = json!({ "invitation": link, "name": "Grace", "password": grace.password });
    cut(&server.url, "register", &body).await;
    server.ended();
    let server = up_until(&folder, "join.before_write");
    cut(&server.url, "register", &body).await;
    server.ended();
    let server = Server::up(&folder);
    assert_eq!(post(&server.url, "register", &body).await.0, StatusCode::CREATED);
    Client::login(&server.url, &grace).await;
    assert_eq!(noted(&folder, "invitation_accepted"), 1);
    assert!(server.stop().0.success());
}
