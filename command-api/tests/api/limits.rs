//! Rate limits: what a client may ask for in a minute, whichever process it asks.

use std::time::Duration;

use axum::Router;
use docket_command_api::{open_routes, router};
use docket_platform::{
    auth::{Principal, Role, Scope},
    db::{Database, DbRole},
    http::harden,
    ids,
    rate_limit::{Limiter, RateLimitArgs},
};
use serde_json::json;
use sqlx::postgres::PgConnectOptions;

use crate::support::{Answer, App, CONSULTATIONS, Member, from, request, send, settings, until};

const LOGIN: &str = "/api/v1/auth/login";
const FORGOT: &str = "/api/v1/auth/forgot-password";
/// Longer than any machine is slow: a count that is not waited for is a request that is let through.
const PATIENCE: Duration = Duration::from_secs(20);

fn limits(change: impl FnOnce(&mut RateLimitArgs)) -> RateLimitArgs {
    let mut limits = RateLimitArgs::OFF;
    change(&mut limits);
    limits
}

fn limiter(app: &App, role: DbRole, limits: RateLimitArgs) -> Limiter {
    let pool = app.database.pool(role, 2, Duration::from_secs(5));
    Limiter::patient(pool, limits, open_routes(), PATIENCE)
}

/// One more process that takes commands of this database.
fn replica(app: &App, limits: &RateLimitArgs) -> Router {
    behind(&limiter(app, DbRole::Writer, limits.clone()), app, "")
}

fn behind(limiter: &Limiter, app: &App, proxies: &str) -> Router {
    let mut settings = settings();
    settings.trusted_proxies = proxies.parse().unwrap();
    harden(limiter.guard(router(app.state.clone())), &settings, false)
}

async fn ask(router: &Router, by: &Member) -> Answer {
    send(router, request(Some(by), CONSULTATIONS, json!({"title": "t"}).to_string().into(), &[])).await
}

/// Who does not exist, at the cost of no password.
async fn forgot(router: &Router, address: &str, headers: &[(&str, &str)]) -> Answer {
    let body = json!({"email": "nobody@example.org"}).to_string();
    send(router, from(address, request(None, FORGOT, body.into(), headers))).await
}

/// The parameter of a policy in a header.
fn parameter(answer: &Answer, header: &str, policy: &str, name: &str) -> u64 {
    let item = answer.header(header).split(", ").find(|item| item.starts_with(&format!("\"{policy}\";"))).unwrap();
    let mut parameters = item.split(';').skip(1).map(|parameter| parameter.split_once('=').unwrap());
    parameters.find(|(known, _)| *known == name).unwrap().1.parse().unwrap()
}

async fn clock(app: &App) -> f64 {
    sqlx::query_scalar("select extract(epoch from clock_timestamp())::float8").fetch_one(&app.owner).await.unwrap()
}

#[tokio::test]
async fn replicas_share_the_limit_of_an_account() {
    let app = App::new().await;
    let (ada, bob) = (app.member("ada", Role::Requester).await, app.member("bob", Role::Requester).await);
    let limits = limits(|limits| limits.rate_limit_account = 12);
    let replicas = [replica(&app, &limits), replica(&app, &limits)];
    let began = clock(&app).await;
    let mut admitted = 0;
    let refused = loop {
        let answer = ask(&replicas[admitted % 2], &ada).await;
        if answer.status == 429 {
            break answer;
        }
        answer.expect(201);
        admitted += 1;
    };
    // One comes back every five seconds, however slow this machine is.
    let back = ((clock(&app).await - began) / 5.0) as usize + 1;
    assert!((12..=12 + back).contains(&admitted), "{admitted} were admitted");
    let refused = refused.problem(429, "rate_limited");
    assert_eq!(refused.body["retry_after"].to_string(), refused.header("retry-after"));
    // The other one may have learnt of a token meanwhile, and then has none either.
    let elsewhere = ask(&replicas[(admitted + 1) % 2], &ada).await;
    assert!(elsewhere.status == 429 || clock(&app).await - began > 5.0, "{}", elsewhere.status);
    // Others are not concerned.
    ask(&replicas[0], &bob).await.expect(201);
}

#[tokio::test]
async fn answers_tell_what_is_left() {
    let app = App::new().await;
    let ada = app.member("ada", Role::Requester).await;
    let router =
        replica(&app, &limits(|limits| (limits.rate_limit_account, limits.rate_limit_address) = (6_000, 60_000)));
    let answer = ask(&router, &ada).await.expect(201);
    assert_eq!(answer.header("ratelimit-policy"), r#""address";q=60000;w=60, "account";q=6000;w=60"#);
    assert_eq!(answer.header("ratelimit"), r#""address";r=59999;t=1, "account";r=5999;t=1"#);
    let answer = ask(&router, &ada).await.expect(201);
    assert_eq!(parameter(&answer, "ratelimit", "account", "r"), 5_998);
    // Without a token it is nobody's, but still the address's.
    let nobody = send(&router, request(None, CONSULTATIONS, b"{}".to_vec(), &[])).await.problem(401, "unauthorized");
    assert_eq!(nobody.header("ratelimit-policy"), r#""address";q=60000;w=60"#);
    // Without limits nothing is told.
    let free = ask(&replica(&app, &RateLimitArgs::OFF), &ada).await.expect(201);
    assert!(!free.headers.contains_key("ratelimit") && !free.headers.contains_key("ratelimit-policy"));
}

#[tokio::test]
async fn who_is_refused_is_let_in_again_when_it_was_said() {
    let app = App::new().await;
    let ada = app.member("ada", Role::Requester).await;
    let router = replica(&app, &limits(|limits| limits.rate_limit_account = 60));
    // As after an hour of asking for everything.
    ask(&router, &ada).await.expect(201);
    used_up(&app, 0.5).await;
    let refused = ask(&router, &ada).await;
    // Half a second may be over already.
    if refused.status == 429 {
        let refused = refused.problem(429, "rate_limited");
        assert_eq!(refused.header("ratelimit-policy"), r#""account";q=60;w=60"#);
        assert_eq!(refused.header("ratelimit"), r#""account";r=0;t=1"#);
        assert_eq!(refused.header("retry-after"), "1");
    }
    until("a token is back", async || ask(&router, &ada).await.status == 201).await;
}

/// Leaves nothing of anybody's quota for this many seconds, of a minute's quota that is counted one by one.
async fn used_up(app: &App, seconds: f64) {
    sqlx::query("update auth.rate_limit set full_at = clock_timestamp() + make_interval(secs => 59 + $1)")
        .bind(seconds)
        .execute(&app.owner)
        .await
        .unwrap();
}

#[tokio::test]
async fn most_requests_cost_no_statement() {
    let app = App::new().await;
    let ada = app.member("ada", Role::Requester).await;
    sqlx::raw_sql(
        "create table public.taken (n integer);
         create function public.note() returns trigger language plpgsql security definer as
             $$ begin insert into public.taken values (new.granted); return new; end $$;
         create trigger note after insert or update on auth.rate_limit for each row execute function public.note();",
    )
    .execute(&app.owner)
    .await
    .unwrap();
    let router = replica(&app, &limits(|limits| limits.rate_limit_account = 6_000));
    for _ in 0..150 {
        // Nothing is decided: the body is none.
        send(&router, request(Some(&ada), CONSULTATIONS, b"{".to_vec(), &[])).await.expect(400);
    }
    let taken: Vec<i32> = sqlx::query_scalar("select n from public.taken").fetch_all(&app.owner).await.unwrap();
    assert_eq!(taken, [100, 100]);
}

#[tokio::test]
async fn a_key_and_a_person_are_counted_apart_in_either_role() {
    let app = App::new().await;
    let (id, tenant) = (ids::new_id(), ids::new_id());
    let person = Principal::member(id, tenant, Role::Requester);
    let key = Principal::key(id, tenant, [Scope::ConsultationAsk].into_iter().collect());
    let limits = limits(|limits| (limits.rate_limit_account, limits.rate_limit_key) = (60, 60));
    let processes = [DbRole::Writer, DbRole::Reader].map(|role| limiter(&app, role, limits.clone()));
    for process in &processes {
        process.admit(&key).await.unwrap();
    }
    used_up(&app, 3_600.0).await;
    for process in &processes {
        let problem = process.admit(&key).await.unwrap_err();
        assert_eq!((problem.status().as_u16(), problem.code()), (429, "rate_limited"));
        process.admit(&person).await.unwrap();
    }
}

#[tokio::test]
async fn routes_without_a_token_are_counted_by_address_each_for_itself() {
    let app = App::new().await;
    let router = replica(&app, &limits(|limits| limits.rate_limit_auth = 2));
    let answer = forgot(&router, "203.0.113.9", &[]).await.expect(202);
    assert_eq!(answer.header("ratelimit"), r#""auth";r=1;t=30"#);
    used_up(&app, 3_600.0).await;
    forgot(&router, "203.0.113.9", &[]).await.problem(429, "rate_limited");
    forgot(&router, "203.0.113.10", &[]).await.expect(202);
    // Who floods one does not close the others, and neither a token nor another spelling of the address helps.
    let login = json!({"email": "nobody@example.org", "password": "a password"}).to_string();
    send(&router, from("203.0.113.9", request(None, LOGIN, login.into(), &[]))).await.expect(401);
    let ada = app.member("ada", Role::Requester).await;
    let bearer = format!("Bearer {}", ada.token);
    forgot(&router, "203.0.113.9", &[("authorization", &bearer)]).await.problem(429, "rate_limited");
    forgot(&router, "::ffff:203.0.113.9", &[]).await.problem(429, "rate_limited");
    // Of IPv6 the /64 counts.
    forgot(&router, "2001:db8:1:2::1", &[]).await.expect(202);
    used_up(&app, 3_600.0).await;
    forgot(&router, "2001:db8:1:2:ffff::9", &[]).await.problem(429, "rate_limited");
    forgot(&router, "2001:db8:1:3::1", &[]).await.expect(202);
}

#[test]
fn every_route_without_a_token_is_counted_so() {
    let open = open_routes();
    for route in [LOGIN, FORGOT, "/api/v1/auth/reset-password"] {
        assert!(open.iter().any(|open| open == route), "{route} is not in {open:?}");
    }
    for route in [CONSULTATIONS, "/api/v1/auth/change-password", "/api/v1/auth/cache-stats"] {
        assert!(!open.iter().any(|open| open == route), "{route} is in {open:?}");
    }
}

#[tokio::test]
async fn behind_a_proxy_the_client_is_who_the_proxy_says() {
    let app = App::new().await;
    let limits = limits(|limits| limits.rate_limit_auth = 2);
    let router = behind(&limiter(&app, DbRole::Writer, limits), &app, "10.0.0.0/8");
    let by = async |peer: &str, said: &str| forgot(&router, peer, &[("x-forwarded-for", said)]).await;
    by("10.0.0.1", "203.0.113.9").await.expect(202);
    used_up(&app, 3_600.0).await;
    by("10.0.0.2", "203.0.113.9").await.problem(429, "rate_limited");
    by("10.0.0.1", "203.0.113.10").await.expect(202);
    // What the client itself wrote stands on the left.
    by("10.0.0.1", "198.51.100.1, 203.0.113.9").await.problem(429, "rate_limited");
    // Nobody trusts this one: it is the client, whatever it says.
    by("192.0.2.7", "203.0.113.11").await.expect(202);
    used_up(&app, 3_600.0).await;
    by("192.0.2.7", "203.0.113.12").await.problem(429, "rate_limited");
}

#[tokio::test]
async fn without_an_answer_of_the_database_nobody_is_turned_away() {
    let app = App::new().await;
    let ada = app.member("ada", Role::Requester).await;
    let few = limits(|limits| (limits.rate_limit_account, limits.rate_limit_address) = (1, 1));
    let nowhere = Database::embedded(PgConnectOptions::new().socket("/nonexistent/folder").database("docket"));
    let away = Limiter::new(nowhere.pool(DbRole::Writer, 1, Duration::from_secs(5)), few.clone(), open_routes());
    let router = behind(&away, &app, "");
    for _ in 0..3 {
        ask(&router, &ada).await.expect(201);
    }

    // A count that hangs does not keep a command waiting.
    let pool = app.database.pool(DbRole::Writer, 2, Duration::from_secs(5));
    let hanging = behind(&Limiter::new(pool, few, open_routes()), &app, "");
    let mut holder = app.owner.begin().await.unwrap();
    sqlx::query("lock table auth.rate_limit in access exclusive mode").execute(&mut *holder).await.unwrap();
    for _ in 0..3 {
        ask(&hanging, &ada).await.expect(201);
    }
    holder.rollback().await.unwrap();
    until("requests are counted again", async || ask(&hanging, &ada).await.status == 429).await;
}

#[tokio::test]
async fn who_has_been_quiet_is_forgotten() {
    let app = App::new().await;
    let router = replica(&app, &limits(|limits| limits.rate_limit_auth = 2));
    forgot(&router, "203.0.113.9", &[]).await.expect(202);
    forgot(&router, "203.0.113.10", &[]).await.expect(202);
    used_up(&app, 3_600.0).await;
    sqlx::query(
        "update auth.rate_limit set full_at = now() - interval '1 s' where id = (select id from auth.rate_limit limit 1)",
    )
    .execute(&app.owner)
    .await
    .unwrap();
    let mut connection = app.store.pool().acquire().await.unwrap();
    assert_eq!(docket_platform::rate_limit::forget_idle(&mut connection).await.unwrap(), 1);
    assert_eq!(docket_platform::rate_limit::forget_idle(&mut connection).await.unwrap(), 0);
}
