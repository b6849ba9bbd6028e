//! Logging in and renewing tokens: logins beside what the machine's cores can hash, renewals beside bare rotations of a row.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use docket_command_api::auth::password::Hasher;
use docket_platform::{
    db::{Database, DbRole},
    embedded::{DATABASE, OWNER},
};
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::{
    Size,
    report::{Latencies, Report, Target},
    server::{Client, Server, request},
};

/// More than there are cores, so that none waits for the next request.
const AT_ONCE: usize = 8;

/// The section.
pub async fn run(docket: &Path, size: Size, report: &mut Report) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("docket-bench-logins-{}", std::process::id()));
    let server = Server::start(docket, &folder, None).await?;
    let outcome = async {
        logins(&server, size.seconds(), report).await?;
        renewals(&server, size.seconds(), report).await
    }
    .await;
    server.stop().await?;
    std::fs::remove_dir_all(&folder)?;
    outcome
}

/// Password hashes a second with the same parameters, as many at once as there are cores, while the server rests.
async fn ceiling(seconds: f64) -> Result<f64> {
    let hasher = Hasher::new(AT_ONCE);
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let started = Instant::now();
    let work = (0..AT_ONCE).map(|_| async {
        let mut count = 0_u32;
        while Instant::now() < until {
            hasher.hash("a password of some length".into()).await?;
            count += 1;
        }
        anyhow::Ok(count)
    });
    let counts: u32 = try_join_all(work).await?.into_iter().sum();
    Ok(f64::from(counts) / started.elapsed().as_secs_f64())
}

async fn logins(server: &Server, seconds: f64, report: &mut Report) -> Result<()> {
    let (email, password) = server.person(0)?;
    let body = json!({ "email": email, "password": password }).to_string();
    let login = request("POST", "/api/v1/auth/login", "", &body);
    let before = ceiling(seconds / 2.0).await?;
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let started = Instant::now();
    let work = (0..AT_ONCE).map(|_| async {
        let mut client = Client::connect(&server.address).await?;
        let mut latencies = Vec::new();
        while Instant::now() < until {
            let began = Instant::now();
            let (status, body) = client.send(&login).await?;
            ensure!(status == 200, "login answered {status}: {}", String::from_utf8_lossy(&body));
            latencies.push(began.elapsed());
        }
        anyhow::Ok(latencies)
    });
    let all: Vec<Duration> = try_join_all(work).await?.into_iter().flatten().collect();
    let rate = all.len() as f64 / started.elapsed().as_secs_f64();
    let latencies = Latencies::new(all);
    let hashes = f64::midpoint(before, ceiling(seconds / 2.0).await?);
    report.row(
        &format!("logins/s, {AT_ONCE} at once"),
        format!("{rate:.0}/s (p50 {:.0} ms, p99 {:.0} ms)", latencies.ms(0.5), latencies.ms(0.99)),
        format!("argon2 on all cores {hashes:.0}/s"),
        rate / hashes,
        Target::None,
    );
    Ok(())
}

/// Each connection renews its own session, one token after the other.
async fn renewals(server: &Server, seconds: f64, report: &mut Report) -> Result<()> {
    let bare = rotations(server, seconds).await?;
    let mut sessions = Vec::new();
    for _ in 0..AT_ONCE {
        sessions.push(server.refresh_token(0).await?);
    }
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let started = Instant::now();
    let work = sessions.into_iter().map(|mut token| async move {
        let mut client = Client::connect(&server.address).await?;
        let mut latencies = Vec::new();
        while Instant::now() < until {
            let body = json!({ "refresh_token": token }).to_string();
            let began = Instant::now();
            let (status, body) = client.send(&request("POST", "/api/v1/auth/refresh", "", &body)).await?;
            latencies.push(began.elapsed());
            ensure!(status == 200, "refresh answered {status}: {}", String::from_utf8_lossy(&body));
            let answer: Value = serde_json::from_slice(&body)?;
            answer["refresh_token"].as_str().context("no token")?.clone_into(&mut token);
        }
        anyhow::Ok(latencies)
    });
    let all: Vec<Duration> = try_join_all(work).await?.into_iter().flatten().collect();
    let rate = all.len() as f64 / started.elapsed().as_secs_f64();
    let latencies = Latencies::new(all);
    report.row(
        &format!("token renewals/s, {AT_ONCE} at once"),
        format!("{rate:.0}/s (p50 {:.1} ms, p99 {:.1} ms)", latencies.ms(0.5), latencies.ms(0.99)),
        format!("bare rotation of a row {bare:.0}/s"),
        rate / bare,
        Target::None,
    );
    Ok(())
}

/// What PostgreSQL takes to mark one row and insert the next, durably, by as many connections.
async fn rotations(server: &Server, seconds: f64) -> Result<f64> {
    let cluster = server.cluster().await?;
    let owner = Database::embedded(cluster.connect_options(OWNER, DATABASE)).pool(
        DbRole::Owner,
        u32::try_from(AT_ONCE)?,
        Duration::from_secs(5),
    );
    sqlx::raw_sql(
        "create table public.bench_rotation (hash bytea primary key, chain int not null, used_at timestamptz)",
    )
    .execute(&owner)
    .await?;
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let started = Instant::now();
    let work = (0..AT_ONCE).map(|_| async {
        let mut connection = owner.acquire().await?;
        let mut last = docket_platform::ids::random_bytes::<32>();
        let mut count = 0_u32;
        while Instant::now() < until {
            let next = docket_platform::ids::random_bytes::<32>();
            sqlx::query(
                "with used as (update public.bench_rotation set used_at = now() where hash = $1 returning chain)
                 insert into public.bench_rotation (hash, chain) select $2, coalesce((select chain from used), 0)",
            )
            .bind(last.as_slice())
            .bind(next.as_slice())
            .execute(&mut *connection)
            .await?;
            last = next;
            count += 1;
        }
        anyhow::Ok(count)
    });
    let counts: u32 = try_join_all(work).await?.into_iter().sum();
    let rate = f64::from(counts) / started.elapsed().as_secs_f64();
    sqlx::raw_sql("drop table public.bench_rotation").execute(&owner).await?;
    Ok(rate)
}
