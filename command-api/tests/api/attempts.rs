//! Wrong passwords: who guesses waits, the owner does not, and logins never slow commands.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use docket_command_api::{Config, State, auth::attempts};
use docket_platform::{
    auth::{
        Role,
        mailed::{self, Purpose},
    },
    db::{self, DbRole},
};
use futures_util::future::join_all;
use secrecy::ExposeSecret;
use serde_json::json;
use uuid::Uuid;

use crate::support::{Answer, App, CONSULTATIONS, from, hardened, request, send, until};

const ADA: &str = "ada@example.org";
const RIGHT: &str = "ada's password";
const HOME: &str = "192.0.2.1";
const ATTACKER: &str = "203.0.113.9";

async fn login_from(app: &App, address: &str, email: &str, password: &str) -> Answer {
    let body = json!({"email": email, "password": password}).to_string();
    app.send(from(address, request(None, "/api/v1/auth/login", body.into(), &[]))).await
}

/// Lets all waits be over.
async fn wait_over(app: &App) {
    sqlx::query("update auth.login_attempt set blocked_until = clock_timestamp() where blocked_until is not null")
        .execute(&app.owner)
        .await
        .unwrap();
}

async fn lockouts(app: &App, user: Uuid) -> Vec<String> {
    sqlx::query_scalar("select data from write.journal where stream_id = $1 and event_type like '%.locked_out.v1'")
        .bind(user)
        .fetch_all(&app.owner)
        .await
        .unwrap()
}

#[tokio::test]
async fn who_guesses_waits_ever_longer_and_the_owner_does_not() {
    let app = App::new().await;
    let ada = app.member("ada", Role::Requester).await;
    let other = hardened(State::new(app.other_store(), app.authenticator.clone(), Config::default()));
    let right = json!({"email": ADA, "password": RIGHT}).to_string();
    let guess = async || login_from(&app, ATTACKER, ADA, "a wrong password").await;
    for _ in 0..5 {
        guess().await.problem(401, "invalid_credentials");
    }
    for expected in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 900.0, 900.0] {
        let wait = waiting(&app).await;
        assert!((wait - expected).abs() < 0.5, "{wait} is not {expected}");
        let before = app.state.hasher().runs();
        long_wait(&app).await;
        // The right one is not looked at either, nor by another process.
        login_from(&app, ATTACKER, ADA, RIGHT).await.problem(429, "too_many_attempts");
        let there = from(ATTACKER, request(None, "/api/v1/auth/login", right.clone().into(), &[]));
        let refused = send(&other, there).await.problem(429, "too_many_attempts");
        assert_eq!(refused.body["retry_after"].to_string(), refused.header("retry-after"));
        assert_eq!(app.state.hasher().runs(), before, "no password is looked at");
        // Meanwhile the owner comes from anywhere else.
        login_from(&app, HOME, ADA, RIGHT).await.expect(200);
        wait_over(&app).await;
        guess().await.problem(401, "invalid_credentials");
    }
    assert!(!lockouts(&app, ada.id).await.is_empty());
    wait_over(&app).await;
    login_from(&app, ATTACKER, ADA, RIGHT).await.expect(200);
}

/// Makes the waits that there are so long that this machine cannot outlast them.
async fn long_wait(app: &App) {
    sqlx::query(
        "update auth.login_attempt set blocked_until = blocked_until + interval '1 hour' where blocked_until is not null",
    )
    .execute(&app.owner)
    .await
    .unwrap();
}

/// The longest wait as it was set, in seconds.
async fn waiting(app: &App) -> f64 {
    sqlx::query_scalar(
        "select extract(epoch from max(blocked_until - counted_until) + interval '24 hours')::float8
         from auth.login_attempt where place <> ''",
    )
    .fetch_one(&app.owner)
    .await
    .unwrap()
}

#[tokio::test]
async fn of_many_guesses_at_once_five_are_looked_at() {
    let app = App::new().await;
    app.member("ada", Role::Requester).await;
    let guesses = || join_all((0..40).map(|_| login_from(&app, ATTACKER, ADA, "a wrong password")));
    let before = app.state.hasher().runs();
    let answers = guesses().await;
    let of = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    // Each is looked at, or told to wait, or told that there is no room.
    let looked_at = (app.state.hasher().runs() - before) as usize;
    assert_eq!((of(401), of(401) + of(429) + of(503)), (looked_at, 40));
    assert!(looked_at <= 5, "{looked_at}");
}

#[tokio::test]
async fn an_account_and_none_are_alike_to_who_guesses() {
    let app = App::new().await;
    app.member("ada", Role::Requester).await;
    let mut told = Vec::new();
    for email in [ADA, "nobody@example.org", "no address at all"] {
        let before = app.state.hasher().runs();
        let mut answers = Vec::new();
        for n in 0..14 {
            if n > 5 {
                wait_over(&app).await;
            }
            answers.push(login_from(&app, ATTACKER, email, "a wrong password").await);
            if n >= 5 {
                long_wait(&app).await;
                let mut refused = login_from(&app, ATTACKER, email, "a wrong password").await;
                refused.headers.remove("retry-after");
                refused.body["retry_after"].take();
                answers.push(refused);
            }
        }
        let answers: Vec<_> =
            answers.into_iter().map(Answer::anonymous).map(|(status, body)| (status, body["code"].clone())).collect();
        told.push((answers, app.state.hasher().runs() - before));
    }
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
    let (account, place): (bool, bool) = sqlx::query_as(
        "select bool_and(octet_length(account) = 32), bool_and(octet_length(place) in (0, 32)) from auth.login_attempt",
    )
    .fetch_one(&app.owner)
    .await
    .unwrap();
    assert!(account && place, "nothing stands there in clear");
}

#[tokio::test]
async fn a_guess_from_everywhere_slows_strangers_alone() {
    let app = App::new().await;
    app.member("ada", Role::Requester).await;
    login_from(&app, HOME, ADA, RIGHT).await.expect(200);
    for n in 0..50 {
        login_from(&app, &format!("198.51.100.{n}"), ADA, "a wrong password").await.expect(401);
    }
    long_wait(&app).await;
    login_from(&app, ATTACKER, ADA, RIGHT).await.problem(429, "too_many_attempts");
    login_from(&app, HOME, ADA, RIGHT).await.expect(200);
    // Another account is not concerned.
    app.member("bob", Role::Requester).await;
    login_from(&app, ATTACKER, "bob@example.org", "bob's password").await.expect(200);
    // Once it is over, a stranger who knows the password gets in, and is none any more.
    wait_over(&app).await;
    login_from(&app, ATTACKER, ADA, RIGHT).await.expect(200);
    sqlx::query("update auth.login_attempt set blocked_until = clock_timestamp() + interval '1 h' where place = ''")
        .execute(&app.owner)
        .await
        .unwrap();
    login_from(&app, ATTACKER, ADA, RIGHT).await.expect(200);
}

#[tokio::test]
async fn an_owner_who_mistypes_at_home_waits_there_too_and_logs_in_often_at_once() {
    let app = App::new().await;
    app.member("ada", Role::Requester).await;
    login_from(&app, HOME, ADA, RIGHT).await.expect(200);
    let at_once = join_all((0..12).map(|_| login_from(&app, HOME, ADA, RIGHT))).await;
    assert!(
        at_once.iter().all(|answer| answer.status == 200),
        "{:?}",
        at_once.iter().map(|a| a.status).collect::<Vec<_>>()
    );
    for _ in 0..5 {
        login_from(&app, HOME, ADA, "a wrong password").await.expect(401);
    }
    long_wait(&app).await;
    login_from(&app, HOME, ADA, RIGHT).await.problem(429, "too_many_attempts");
    wait_over(&app).await;
    login_from(&app, HOME, ADA, RIGHT).await.expect(200);
}

#[tokio::test]
async fn a_new_password_by_mail_ends_all_waits() {
    let app = App::new().await;
    let ada = app.member("ada", Role::Requester).await;
    for _ in 0..5 {
        login_from(&app, HOME, ADA, "a wrong password").await.expect(401);
    }
    sqlx::query("update auth.login_attempt set failures = 1000, blocked_until = clock_timestamp() + interval '1 h'")
        .execute(&app.owner)
        .await
        .unwrap();
    login_from(&app, HOME, ADA, RIGHT).await.problem(429, "too_many_attempts");
    let forgot = json!({"email": ADA}).to_string();
    app.send(from(HOME, request(None, "/api/v1/auth/forgot-password", forgot.into(), &[]))).await.expect(202);
    let pool = app.database.pool(DbRole::Projector, 1, Duration::from_secs(5));
    let mut door = db::door(&pool).await.unwrap();
    let token = mailed::issue(&mut door, Purpose::ResetPassword, ada.id).await.unwrap();
    door.commit().await.unwrap();
    let reset = json!({"token": token.expose_secret(), "password": "orbit lantern mustard"}).to_string();
    app.send(from(HOME, request(None, "/api/v1/auth/reset-password", reset.into(), &[]))).await.expect(200);
    login_from(&app, HOME, ADA, "orbit lantern mustard").await.expect(200);
    login_from(&app, "198.51.100.7", ADA, "orbit lantern mustard").await.expect(200);
}

#[tokio::test]
async fn a_long_wait_is_on_the_owners_record_once() {
    let app = App::new().await;
    let ada = app.member("ada", Role::Requester).await;
    let guess = async |address: &str| {
        for _ in 0..11 {
            wait_over(&app).await;
            login_from(&app, address, ADA, "a wrong password").await.expect(401);
        }
    };
    guess(ATTACKER).await;
    let noted = lockouts(&app, ada.id).await;
    assert_eq!(noted.len(), 1, "{noted:?}");
    assert!(noted[0].contains("until") && noted[0].contains("$personal") && !noted[0].contains(ATTACKER), "{noted:?}");
    // Whoever goes on, from wherever, fills no record.
    guess(ATTACKER).await;
    guess("198.51.100.7").await;
    assert_eq!(lockouts(&app, ada.id).await.len(), 1);
}

#[tokio::test]
async fn wrong_passwords_are_forgotten_after_a_day() {
    let app = App::new().await;
    app.member("ada", Role::Requester).await;
    for _ in 0..5 {
        login_from(&app, ATTACKER, ADA, "a wrong password").await.expect(401);
    }
    login_from(&app, HOME, ADA, RIGHT).await.expect(200);
    wait_over(&app).await;
    sqlx::query("update auth.login_attempt set counted_until = clock_timestamp()").execute(&app.owner).await.unwrap();
    for _ in 0..5 {
        login_from(&app, ATTACKER, ADA, "a wrong password").await.expect(401);
    }
    wait_over(&app).await;
    sqlx::query("update auth.login_attempt set counted_until = clock_timestamp()").execute(&app.owner).await.unwrap();
    let mut door = db::door(app.store.pool()).await.unwrap();
    // The owner's home stays known.
    assert_eq!(attempts::forget_expired(&mut door).await.unwrap(), 2);
    assert_eq!(attempts::forget_expired(&mut door).await.unwrap(), 0);
}

#[tokio::test]
async fn without_a_bound_nobody_waits() {
    let app = App::with(Config { login_attempts: 0, ..Config::default() }).await;
    for _ in 0..12 {
        login_from(&app, ATTACKER, ADA, "a wrong password").await.expect(401);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_logins_slows_logins_and_not_commands() {
    let app = Arc::new(App::with(Config { login_queue: 4, ..Config::default() }).await);
    let ada = app.member("ada", Role::Requester).await;
    let (on, turned_away) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU32::new(0)));
    let flood: Vec<_> = (0..64)
        .map(|n| {
            let (app, on, turned_away) = (app.clone(), on.clone(), turned_away.clone());
            tokio::spawn(async move {
                while on.load(Ordering::SeqCst) {
                    let answer =
                        login_from(&app, &format!("198.51.100.{n}"), &format!("{n}@example.org"), "a password").await;
                    if answer.status == 503 {
                        turned_away.fetch_add(1, Ordering::SeqCst);
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let is_full = async || {
        let before = turned_away.load(Ordering::SeqCst);
        until("the queue is full", async || turned_away.load(Ordering::SeqCst) > before).await;
    };
    for _ in 0..20 {
        is_full().await;
        // Neither refused nor kept waiting until it would be: the pool is free.
        app.post(&ada, CONSULTATIONS, &json!({"title": "t"})).await.expect(201);
    }
    is_full().await;
    on.store(false, Ordering::SeqCst);
    join_all(flood).await;
}
