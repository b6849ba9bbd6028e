//! The second factor: set up, asked for, used once, demanded.

use docket_command_api::{Config, config::SecondFactorRoles};
use docket_platform::auth::Role;
use serde_json::{Value, json};
use totp_rs::{Builder, Secret, Totp};

use crate::{
    sessions::Login,
    support::{Answer, App, CONSULTATIONS, Member, request},
};

async fn post(app: &App, by: Option<&Member>, path: &str, body: Value) -> Answer {
    app.send(request(by, &format!("/api/v1/auth/{path}"), body.to_string().into(), &[])).await
}

async fn log_in(app: &App, code: Option<&str>) -> Answer {
    post(app, None, "login", json!({"email": "ada@example.org", "password": "ada's password", "code": code})).await
}

struct Device(Totp);

impl Device {
    /// The code of the time step that is `steps` away from now by this machine's clock.
    fn code(&self, steps: i64) -> String {
        let now = docket_platform::clock::now().timestamp() + 30 * steps;
        self.0.generate(u64::try_from(now).unwrap()).to_string()
    }
}

/// Sets a second factor up, and gives the app and the recovery codes.
async fn enrol(app: &App, by: &Member) -> (Device, Vec<String>) {
    post(app, Some(by), "mfa", json!({"password": "not the one"})).await.problem(403, "wrong_password");
    let offer = post(app, Some(by), "mfa", json!({"password": "ada's password"})).await.expect(200);
    let secret = Secret::try_from_base32(offer.body["secret"].as_str().unwrap()).unwrap();
    let device = Device(Builder::new().with_secret(secret).with_account_name("ada").build().unwrap());
    let scanned = Totp::from_url(offer.body["otpauth_url"].as_str().unwrap()).unwrap();
    assert_eq!(scanned.generate(59).to_string(), device.0.generate(59).to_string());
    assert!(offer.body["qr"].as_str().unwrap().starts_with("data:image/png;base64,iVBOR"));
    assert_eq!(log_in(app, None).await.status, 200, "it counts once it is confirmed");
    post(app, Some(by), "mfa/confirm", json!({"code": "000000"})).await.problem(401, "wrong_code");
    // The step before: the present one is left for what comes next.
    let codes = post(app, Some(by), "mfa/confirm", json!({"code": device.code(-1)})).await.expect(200);
    let codes = codes.body["recovery_codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned());
    (device, codes.collect())
}

#[tokio::test]
async fn a_code_is_asked_for_after_the_password_and_taken_once() {
    // More wrong ones than are looked at otherwise.
    let app = App::with(Config { login_attempts: 0, ..Config::default() }).await;
    let ada = app.member("ada", Role::Requester).await;
    let (device, _) = enrol(&app, &ada).await;
    let wrong = json!({"email": "ada@example.org", "password": "a wrong one", "code": device.code(0)});
    post(&app, None, "login", wrong).await.problem(401, "invalid_credentials");
    log_in(&app, None).await.problem(401, "second_factor_needed");
    for bad in ["000000", "", "12345", "not a code at all"] {
        log_in(&app, Some(bad)).await.problem(401, "wrong_code");
    }
    let code = device.code(0);
    let answers = futures_util::future::join_all((0..10).map(|_| log_in(&app, Some(&code)))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "one code, one login");
    log_in(&app, Some(&code)).await.problem(401, "wrong_code");
    log_in(&app, Some(&device.code(-1))).await.problem(401, "wrong_code");
    log_in(&app, Some(&device.code(1))).await.expect(200);
    assert_eq!(app.events_of(ada.id).await, ["user_registered", "second_factor_enabled"]);
    let me = app
        .send(
            axum::http::Request::get("/api/v1/auth/me")
                .header("authorization", format!("Bearer {}", ada.token))
                .body(axum::body::Body::empty())
                .unwrap(),
        )
        .await;
    assert_eq!(me.body["second_factor"], json!(true));
}

#[tokio::test]
async fn wrong_codes_count_like_wrong_passwords() {
    let app = App::new().await;
    let ada = app.member("ada", Role::Requester).await;
    let (device, _) = enrol(&app, &ada).await;
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(log_in(&app, Some("000000")).await.body["code"].as_str().unwrap().to_owned());
    }
    assert_eq!((answers[0].as_str(), answers[5].as_str()), ("wrong_code", "too_many_attempts"), "{answers:?}");
    log_in(&app, Some(&device.code(0))).await.problem(429, "too_many_attempts");
}

#[tokio::test]
async fn a_stolen_token_does_not_become_a_password_by_trying() {
    let app = App::new().await;
    let ada = app.member("ada", Role::Requester).await;
    let change = |password: &str| {
        let body = json!({"current_password": password, "new_password": "lantern mustard orbit"});
        post(&app, Some(&ada), "change-password", body)
    };
    for n in 0..5 {
        change(&format!("guess {n}")).await.problem(403, "wrong_password");
    }
    let told = change("ada's password").await.problem(429, "too_many_attempts");
    assert!(told.headers.contains_key("retry-after"));
    post(&app, Some(&ada), "mfa", json!({"password": "ada's password"})).await.problem(429, "too_many_attempts");
}

#[tokio::test]
async fn a_recovery_code_stands_in_once() {
    let app = App::with(Config { login_attempts: 0, ..Config::default() }).await;
    let ada = app.member("ada", Role::Requester).await;
    let (device, codes) = enrol(&app, &ada).await;
    assert_eq!(codes.len(), 10);
    let racers = futures_util::future::join_all((0..10).map(|_| log_in(&app, Some(&codes[0])))).await;
    assert_eq!(racers.iter().filter(|answer| answer.status == 200).count(), 1);
    log_in(&app, Some(&codes[1].to_uppercase().replace('-', " "))).await.expect(200);
    assert_eq!(app.events_of(ada.id).await[2..], ["recovery_code_used", "recovery_code_used"]);
    let renewed = post(&app, Some(&ada), "mfa/recovery-codes", json!({"code": device.code(0)})).await.expect(200);
    log_in(&app, Some(&codes[2])).await.problem(401, "wrong_code");
    log_in(&app, Some(renewed.body["recovery_codes"][0].as_str().unwrap())).await.expect(200);
    let stored: Vec<String> =
        sqlx::query_scalar("select r::text from auth.recovery_code r").fetch_all(&app.owner).await.unwrap();
    assert!(stored.iter().all(|row| !codes.iter().any(|code| row.contains(&code.replace('-', "")))));
}

#[tokio::test]
async fn it_is_taken_away_with_password_and_code() {
    let app = App::new().await;
    let ada = app.member("ada", Role::Requester).await;
    let (device, codes) = enrol(&app, &ada).await;
    post(&app, Some(&ada), "mfa", json!({"password": "ada's password"})).await.problem(409, "second_factor_exists");
    let end = |password: &'static str, code: String| {
        let mut request = request(
            Some(&ada),
            "/api/v1/auth/mfa",
            json!({"password": password, "code": code}).to_string().into(),
            &[],
        );
        *request.method_mut() = axum::http::Method::DELETE;
        app.send(request)
    };
    end("not the one", device.code(0)).await.problem(403, "wrong_password");
    end("ada's password", "000000".to_owned()).await.problem(401, "wrong_code");
    end("ada's password", device.code(0)).await.expect(200);
    log_in(&app, None).await.expect(200);
    log_in(&app, Some(&codes[0])).await.expect(200);
    end("ada's password", device.code(1)).await.problem(409, "no_second_factor");
}

#[tokio::test]
async fn where_it_is_demanded_nothing_else_is_done_before() {
    let config = Config { second_factor: Some(SecondFactorRoles(vec![Role::Admin])), ..Config::default() };
    let app = App::with(config).await;
    app.member("ada", Role::Admin).await;
    let answer = log_in(&app, None).await.expect(200);
    assert_eq!(answer.body["second_factor_required"], json!(true));
    let ada = Login::of(&answer);
    app.post(&ada.access, CONSULTATIONS, &json!({"title": "t"})).await.problem(403, "second_factor_required");
    post(&app, Some(&ada.access), "mfa/recovery-codes", json!({"code": "1"}))
        .await
        .problem(403, "second_factor_required");
    let (device, _) = enrol(&app, &ada.access).await;
    app.post(&ada.access, CONSULTATIONS, &json!({"title": "t"})).await.problem(403, "second_factor_required");
    let renewed = post(&app, None, "refresh", json!({"refresh_token": ada.refresh})).await.expect(200);
    assert_eq!(renewed.body["second_factor_required"], json!(false));
    let ada = Login::of(&renewed);
    app.post(&ada.access, CONSULTATIONS, &json!({"title": "t"})).await.expect(201);
    let mut end = request(
        Some(&ada.access),
        "/api/v1/auth/mfa",
        json!({"password": "ada's password", "code": device.code(0)}).to_string().into(),
        &[],
    );
    *end.method_mut() = axum::http::Method::DELETE;
    app.send(end).await.problem(409, "second_factor_demanded");
    // Others are not asked.
    app.member("bob", Role::Reviewer).await;
    let bob =
        post(&app, None, "login", json!({"email": "bob@example.org", "password": "bob's password"})).await.expect(200);
    assert_eq!(bob.body["second_factor_required"], json!(false));
}
