//! The demonstration, against a server that runs.

use super::server::{Client, Folder, Server, docket, done, eventually};

#[tokio::test]
async fn a_demonstration_decides_times_out_and_leaves_nobody_behind() {
    let folder = Folder::with(|_| vec![("DOCKET_OUTGOING_LOCAL", "true".to_owned())]);
    let path = folder.0.to_str().expect("a plain path").to_owned();
    let server = Server::up(&folder);
    let told = done(&["demo", "--url", &server.url, "--data-dir", &path]);
    for words in [
        "Decided: approve, by the rule m_of_n.",
        "409 already_ended",
        "timed_out",
        "late_response_recorded",
        "its signature fits: consultation.responded",
        "its signature fits: consultation.timed_out",
    ] {
        assert!(told.contains(words), "{words} is not in:\n{told}");
    }
    let admin = Client::login(&server.url, &server.credentials("admin")).await;
    let query = "{ members { nodes { name } } consultations { edges { node { state labels } } } }";
    eventually("those who came have left", async || {
        let shown = admin.query(&server.url, query).await;
        let edges = shown["consultations"]["edges"].as_array().expect("edges").clone();
        let states: Vec<_> = edges.iter().map(|edge| edge["node"]["state"].as_str().expect("a state")).collect();
        assert_eq!(states, ["TIMED_OUT", "RESPONDED"]);
        let names = shown["members"]["nodes"].to_string();
        ["Ada", "Grace", "Edsger", "Alan", "Barbara"].iter().all(|name| !names.contains(name)).then_some(())
    })
    .await;
    assert!(server.stop().0.success());
    // Without a server it says so, by its exit code too.
    let output = docket(&["demo", "--url", "http://127.0.0.1:9", "--data-dir", &path]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
}
