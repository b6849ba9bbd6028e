//! PostgreSQL or Kafka away: an honest 503 where nothing more can be taken, and recovery without a restart.

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use docket_command_api::{Config, State, setup, spawn_scheduler};
use docket_events::identity;
use docket_log::{
    Installation, Kafka, KafkaArgs, Mode,
    migrate::migrate,
    relay::{self, marks},
};
use docket_platform::{
    Shutdown,
    auth::{Authenticator, Keys, Principal, Role, SigningKey},
    clock,
    db::Database,
    embedded::{DATABASE, OWNER, ScratchCluster},
    ids,
    scratch_kafka::{ScratchKafka, ScratchKafkaError},
};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::sync::watch;
use uuid::Uuid;

use crate::support::{Answer, App, CONSULTATIONS, Member, hardened, request, send, store, until};

async fn member(authenticator: &Authenticator, id: Uuid, tenant: Uuid) -> Member {
    let principal = Principal::member(id, tenant, Role::Admin);
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

/// Does something to a broker, which takes seconds.
async fn on<T: Send + 'static>(
    kafka: &Arc<ScratchKafka>,
    work: impl FnOnce(&ScratchKafka) -> Result<T, ScratchKafkaError> + Send + 'static,
) -> T {
    let kafka = kafka.clone();
    tokio::task::spawn_blocking(move || work(&kafka)).await.unwrap().unwrap()
}

#[tokio::test]
async fn without_kafka_commands_are_taken_up_to_a_bound_and_again_when_it_is_back() {
    const MOST: u64 = 20;
    let app = App::with(Config { max_backlog: MOST, ..Config::default() }).await;
    let member = app.member("ada", Role::Requester).await;
    let body = json!({"title": "t"});
    let ask = async |key: &str| app.post_with(&member, CONSULTATIONS, &body, &[("idempotency-key", key)]).await;
    for n in 0..=MOST {
        ask(&format!("journal-{n}")).await.expect(201);
    }
    let shutdown = Shutdown::new();
    spawn_scheduler(&app.state, &shutdown);
    // While the log is in the journal nothing waits, however often that is looked at.
    let looked = Instant::now() + Duration::from_millis(1_500);
    while Instant::now() < looked {
        ask(&ids::new_id().to_string()).await.expect(201);
    }

    let broker = Arc::new(tokio::task::spawn_blocking(ScratchKafka::start).await.unwrap().unwrap());
    let kafka = Kafka::new(&KafkaArgs::plaintext(broker.bootstrap(), "outage")).unwrap().unwrap();
    Installation::set_mode(&app.owner, Mode::Kafka).await.unwrap();
    let (_mode, mode) = watch::channel(Mode::Kafka);
    let relay = {
        let (database, installation) = (app.database.clone(), app.store.installation());
        let (bell, shutdown) = (app.store.bell().clone(), shutdown.clone());
        tokio::spawn(async move {
            relay::run(relay::Config::default(), kafka, &database, installation, &bell, mode, &shutdown).await
        })
    };
    let is_published = async || marks::backlog(&app.owner).await.unwrap() == 0;
    until("all is published", is_published).await;
    until("that was seen", async || ask("seen").await.status == 201).await;

    on(&broker, |broker| broker.kill(1)).await;
    let mut taken = Vec::new();
    let refused = loop {
        let key = format!("outage-{}", taken.len());
        assert!(taken.len() < 20_000, "nothing is refused");
        let answer = ask(&key).await;
        if answer.status != 201 {
            break answer;
        }
        taken.push((key, answer.id()));
    };
    assert_eq!(refused.problem(503, "backlog_full").header("retry-after"), "5");
    assert!(taken.len() as u64 > MOST, "{} were taken", taken.len());
    // What was done is answered again all the same.
    let (key, id) = taken.first().unwrap();
    assert_eq!(ask(key).await.expect(201).id(), *id);
    // And a right that is taken away waits for nobody.
    let admin = app.member("chair", Role::Admin).await;
    let place = format!("/api/v1/members/{}", member.id);
    app.call(Some(&admin), "DELETE", &place, &Value::Null, &[]).await.expect(200);

    on(&broker, |broker| broker.start_again(1)).await;
    let again = async || app.post(&admin, CONSULTATIONS, &body).await.status == 201;
    until("commands are taken again", again).await;
    until("all is published", is_published).await;
    shutdown.drain(Duration::from_secs(10)).await.unwrap();
    relay.await.unwrap().unwrap();
}
