//! Receipts as their users meet them: the programs of the documentation check them offline, before a rotation of the key and after it.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use docket_log::Mode;
use serde_json::{Value, json};

use super::server::{Client, Folder, Server, eventually};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The programs of `docs/examples/receipts` that can run here.
fn programs() -> Vec<(&'static str, PathBuf)> {
    let contracts = root().join("tests/contracts");
    let folder = contracts.join("node_modules/.docket");
    let python = root().join("target/python/bin/python");
    let mut found = Vec::new();
    let has_packages = Command::new(&python).args(["-c", "import jwt, rfc8785, cryptography"]).output();
    match has_packages {
        Ok(output) if output.status.success() => {
            found.push(("python", root().join("docs/examples/receipts/check.py")));
        }
        Ok(_) | Err(_) => println!("skipped: the check in Python, for target/python lacks pyjwt[crypto] or rfc8785"),
    }
    if ["jose", "canonicalize"].iter().all(|package| contracts.join("node_modules").join(package).exists()) {
        std::fs::create_dir_all(&folder).expect("a folder");
        let script = folder.join("check.mjs");
        std::fs::copy(root().join("docs/examples/receipts/check.mjs"), &script).expect("copied");
        found.push(("node", script));
    } else {
        println!("skipped: the check in JavaScript, for tests/contracts/node_modules lacks jose or canonicalize");
    }
    found
}

/// What a program says of a receipt: the claims, or why it is refused.
fn check(
    folder: &Folder,
    (language, script): &(&str, PathBuf),
    jwks: &Value,
    receipt: &str,
    payload: &Value,
) -> Result<Value, String> {
    let file = |name: &str, text: String| {
        let path = folder.0.join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let arguments = [
        file("jwks.json", jwks.to_string()),
        file("receipt.txt", receipt.to_owned()),
        file("payload.json", payload.to_string()),
    ];
    let program = if *language == "python" { root().join("target/python/bin/python") } else { PathBuf::from("node") };
    let output = Command::new(program).arg(script).args(arguments).output().expect("it starts");
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout).expect("JSON"));
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn part(receipt: &str, place: usize) -> Value {
    let part = receipt.split('.').nth(place).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON")
}

/// The receipts of something that was asked with this context and approved: as its answer has it, and as the read model shows it.
async fn approved(url: &str, asker: &Client, reviewer: &Client, context: &Value) -> (String, String) {
    let ask = json!({"title": "Deploy?", "context": context, "four_eyes": false});
    let asked: Value = asker.post(format!("{url}/api/v1/consultations"), &ask).await.json().await.expect("JSON");
    let id = asked["id"].as_str().expect("an id");
    let answer =
        reviewer.post(format!("{url}/api/v1/consultations/{id}/responses"), &json!({"decision": "approve"})).await;
    let told: Value = answer.json().await.expect("JSON");
    let receipt = told["receipt"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned();
    let shown = eventually("the read model shows the outcome", async || {
        let read: Value = asker.get(format!("{url}/api/v1/consultations/{id}")).await.json().await.expect("JSON");
        read["receipt"].as_str().map(str::to_owned)
    })
    .await;
    (receipt, shown)
}

#[tokio::test]
async fn receipts_are_checked_offline_and_redeemed_across_a_rotation() {
    let folder = Folder::on(Mode::Journal);
    let server = Server::up(&folder);
    let url = server.url.as_str();
    let admin = Client::login(url, &server.credentials("admin")).await;
    // What is written differently and is the same: order of keys, numbers, text beyond ASCII.
    let payload = json!({"ß": "\u{1f600} \"quoted\"\n", "b": [1e21, 0.1, 1.0, -0.5], "a": {"z": null, "y": true}});
    let (first, shown) = approved(url, &admin, &admin, &payload).await;
    assert_eq!(first, shown);
    let jwks = async || {
        let answer = admin.get(format!("{url}/.well-known/jwks.json")).await;
        answer.json::<Value>().await.expect("JSON")
    };
    let before = jwks().await;
    let programs = programs();
    for program in &programs {
        let claims = check(&folder, program, &before, &first, &payload).expect("it is good");
        assert_eq!(claims, part(&first, 1));
        let refused = |receipt: &str, payload: &Value| {
            check(&folder, program, &before, receipt, payload).expect_err("refused").starts_with("refused: ")
        };
        assert!(refused(&first, &json!({"a": 1})), "another payload");
        let token = admin.token.clone();
        assert!(refused(&token, &payload), "an access token");
        let at = first.len() - 40;
        let other = if &first[at..=at] == "A" { "B" } else { "A" };
        assert!(refused(&format!("{}{other}{}", &first[..at], &first[at + 1..]), &payload), "an altered one");
    }

    let rotated = folder.docket(&["keys", "rotate", "--receipts", "--lead", "0s"]).output().expect("it starts");
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    let second = eventually("the new key signs", async || {
        // Without a lead, one role hears of the key before another does; then they sign alike again.
        let (receipt, shown) = approved(url, &admin, &admin, &payload).await;
        (receipt == shown && part(&receipt, 0)["kid"] != part(&first, 0)["kid"]).then_some(receipt)
    })
    .await;
    let after = jwks().await;
    for program in &programs {
        for receipt in [&first, &second] {
            check(&folder, program, &after, receipt, &payload).expect("both are good");
        }
        check(&folder, program, &before, &second, &payload).expect_err("its key is newer than that set");
    }
    for receipt in [&first, &second] {
        let body = json!({"receipt": receipt, "payload": payload});
        let redeem = async || admin.post(format!("{url}/api/v1/receipts/redeem"), &body).await.status().as_u16();
        assert_eq!((redeem().await, redeem().await), (200, 409));
    }
    assert!(server.stop().0.success());
}
