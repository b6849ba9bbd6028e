//! PostgreSQL away: an honest 503 at once, and recovery without a restart.

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use docket_command_api::{Config, State, setup};
use docket_events::identity;
use docket_log::{Installation, Mode, migrate::migrate};
use docket_platform::{
    auth::{Authenticator, Keys, Principal, Role, SigningKey},
    clock,
    db::Database,
    embedded::{DATABASE, OWNER, ScratchCluster},
    ids,
};
use serde_json::json;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use uuid::Uuid;

use crate::support::{Answer, CONSULTATIONS, Member, hardened, request, send, store};

async fn member(authenticator: &Authenticator, id: Uuid, tenant: Uuid) -> Member {
    let principal = Principal { user_id: id, tenant, role: Role::Admin };
    let (token, _) = authenticator.issue(principal, clock::now(), Duration::from_secs(600)).await.unwrap();
    Member { id, token }
}

#[track_caller]
fn unavailable(answer: Answer) {
    assert_eq!(answer.problem(503, "database_unavailable").header("retry-after"), "1");
}

#[tokio::test]
async fn without_a_database_commands_are_answered_503_at_once() {
    let database = Database::embedded(PgConnectOptions::new().socket("/nonexistent/folder").database("docket"));
    let installation = Installation { id: ids::new_id(), shards: 2, mode: Mode::Journal };
    let authenticator = Arc::new(Authenticator::fixed(Keys::new(vec![SigningKey::generate().unwrap()])));
    let router = hardened(State::new(store(&database, installation), authenticator.clone(), Config::default()));
    let member = member(&authenticator, ids::new_id(), ids::new_id()).await;
    let body = json!({"title": "t"}).to_string().into_bytes();
    for _ in 0..8 {
        unavailable(send(&router, request(Some(&member), CONSULTATIONS, body.clone(), &[])).await);
    }
    // The circuit is open by now: nothing is tried any more.
    let before = Instant::now();
    unavailable(send(&router, request(Some(&member), CONSULTATIONS, body, &[])).await);
    assert!(before.elapsed() < Duration::from_millis(90), "{:?}", before.elapsed());
    let login = json!({"email": "a@example.org", "password": "a password"}).to_string().into_bytes();
    unavailable(send(&router, request(None, "/api/v1/auth/login", login, &[])).await);
}

#[tokio::test]
async fn a_killed_database_costs_some_503_and_no_restart() {
    let cluster = ScratchCluster::start().unwrap();
    let options = cluster.connect_options(OWNER, DATABASE);
    let mut owner = PgConnection::connect_with(&options).await.unwrap();
    migrate(&mut owner).await.unwrap();
    let installation = Installation::set_up(&mut owner, ids::new_id(), 2, Mode::Journal).await.unwrap();
    drop(owner);
    let database = Database::embedded(options);
    let store = store(&database, installation);
    let authenticator = Arc::new(Authenticator::fixed(Keys::new(vec![SigningKey::generate().unwrap()])));
    let state = State::new(store.clone(), authenticator.clone(), Config::default());
    let organisation = setup::first_organisation(&store);
    setup::create_organisation(&store, organisation, "Test").await.unwrap();
    let password = "a password".into();
    let user = setup::create_user(&store, "ada@example.org", "ada", identity::Role::Admin, password).await.unwrap();
    let member = member(&authenticator, user.user_id, organisation).await;
    let router = hardened(state);
    let body = json!({"title": "t", "external_id": "once"}).to_string().into_bytes();
    let ask = || send(&router, request(Some(&member), CONSULTATIONS, body.clone(), &[]));
    assert_eq!(ask().await.status, 201);

    let pid_file = cluster.data_dir().join("postgres/data/postmaster.pid");
    let pid = std::fs::read_to_string(pid_file).unwrap().lines().next().unwrap().to_owned();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());

    let recovery = async {
        let mut refused = 0;
        loop {
            let answer = ask().await;
            match answer.status.as_u16() {
                200 if refused > 0 => return,
                // From before the kill.
                200 => {}
                503 => {
                    assert_eq!(answer.header("retry-after"), "1");
                    refused += 1;
                }
                _ => panic!("{}: {}", answer.status, answer.body),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), recovery).await.expect("it recovers");
}
