//! Authenticated requests: with tokens that were verified before, beside tokens that nobody has seen.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use docket_platform::{
    auth::{Claims, Principal, Role, load_keys},
    clock,
    db::{Database, DbRole},
    embedded::{DATABASE, OWNER},
    ids,
};
use futures_util::future::try_join_all;

use crate::{
    Size,
    report::{Report, Target},
    server::{Client, Server, request},
};

const CONNECTIONS: usize = 16;

/// Requests that stand ready, so that signing costs the server nothing while it is measured. The route asks no database.
fn requests(tokens: &[String]) -> Vec<Vec<u8>> {
    let ask =
        |token: &String| request("GET", "/api/v1/auth/cache-stats", &format!("authorization: Bearer {token}\r\n"), "");
    tokens.iter().map(ask).collect()
}

/// Sends `count` requests in turn over some connections; requests a second.
async fn rate(address: &str, requests: &Arc<Vec<Vec<u8>>>, count: usize) -> Result<f64> {
    let clients = try_join_all((0..CONNECTIONS).map(|_| Client::connect(address))).await?;
    let started = Instant::now();
    let work = clients.into_iter().enumerate().map(|(first, mut client)| async move {
        for n in (first..count).step_by(CONNECTIONS) {
            let (status, body) = client.send(&requests[n % requests.len()]).await?;
            ensure!(status == 200, "answered {status}: {}", String::from_utf8_lossy(&body));
        }
        anyhow::Ok(())
    });
    try_join_all(work).await?;
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

/// The section.
pub async fn run(docket: &Path, size: Size, report: &mut Report) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("docket-bench-tokens-{}", std::process::id()));
    let server = Server::start(docket, &folder, None).await?;
    let outcome = measure(&server, size.pick(5_000, 50_000), report).await;
    server.stop().await?;
    std::fs::remove_dir_all(&folder)?;
    outcome
}

async fn measure(server: &Server, count: usize, report: &mut Report) -> Result<()> {
    // The first login makes the key.
    let known = Arc::new(requests(&[server.token(0).await?]));
    let database = Database::embedded(server.cluster().await?.connect_options(OWNER, DATABASE));
    let keys = load_keys(&database.pool(DbRole::Writer, 1, Duration::from_secs(5))).await?;
    let principal = Principal::member(ids::new_id(), ids::new_id(), Role::Admin);
    let fresh = |_| keys.issue(&Claims::new(&principal.into(), ids::new_id(), clock::now(), Duration::from_secs(900)));
    let fresh = Arc::new(requests(&(0..count).map(fresh).collect::<Result<Vec<_>, _>>()?));
    rate(&server.address, &known, count).await?;
    // Before and after, since machines drift.
    let before = rate(&server.address, &known, count / 2).await?;
    let without = rate(&server.address, &fresh, count).await?;
    let after = rate(&server.address, &known, count / 2).await?;
    let with = f64::midpoint(before, after);
    report.row(
        "authenticated requests/s, verified tokens",
        format!("{with:.0}/s"),
        format!("tokens seen for the first time {without:.0}/s"),
        with / without,
        Target::None,
    );
    Ok(())
}
