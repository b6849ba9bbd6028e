//! Lists of consultations in an organisation that has very many: what waits for somebody, what was searched for, and what else is
//! listed, beside the reading of a single one; and by which indexes PostgreSQL finds it.

mod fill;
mod kinds;
mod plans;
mod words;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use docket_platform::{
    auth::{Claims, Principal, Role, load_keys},
    clock, ids,
};
use docket_tests::TENANT;
use kinds::{Asking, Finds, Kind};
use plans::Plans;
use serde_json::Value;

use crate::{
    Size,
    process::Place,
    report::{Latencies, Report, Target},
    server::Client,
};

/// One kind of request is measured for so long at most; but [`LEAST`] are.
const AT_MOST: Duration = Duration::from_secs(60);
const LEAST: usize = 10;
/// Requests before the plan of one is believed: a statement that was prepared may get another plan at its sixth execution.
const BEFORE_PLAN: usize = 12;
/// Tokens live as long as the section.
const TOKEN_LIFETIME: Duration = Duration::from_secs(4 * 60 * 60);

/// The section.
pub async fn run(docket: &Path, size: Size, report: &mut Report) -> Result<()> {
    let place = Place::new().await?;
    let count = size.pick(20_000, 1_000_000);
    let began = Instant::now();
    fill::organisation(&place.store).await?;
    fill::consultations(&place.store, count).await?;
    let journalled = began.elapsed();
    fill::project(&place, docket).await.context("projecting")?;
    let projected = began.elapsed() - journalled;
    println!("{count} consultations: journalled in {journalled:.1?}, projected in {projected:.1?}");
    place.tidy().await?;

    let tokens = tokens(&place).await?;
    let server = place.role(docket, "query-api").await?;
    let asking = Asking::new(&server.address, &tokens, &place.owner, size.pick(50, 300)).await?;
    let kinds = kinds::all(&asking).await?;
    let mut failed = measure(&asking, &kinds, size, report).await?;
    server.stop().await?;
    if let Err(error) = explain(&place, docket, &kinds, size, report).await {
        failed.push(format!("{error:#}"));
    }
    ensure!(failed.is_empty(), "some lists gave no figure:\n{}", failed.join("\n"));
    Ok(())
}

/// A token of each reviewer.
async fn tokens(place: &Place) -> Result<Vec<String>> {
    let keys = load_keys(place.store.pool()).await?;
    let token = |n| {
        let principal = Principal::member(fill::reviewer(n).id, TENANT, Role::Reviewer);
        keys.issue(&Claims::new(&principal.into(), ids::new_id(), clock::now(), TOKEN_LIFETIME))
    };
    Ok((0..fill::REVIEWERS).map(token).collect::<Result<_, _>>()?)
}

/// Sends the requests of a kind, one after the other; an error where one is not answered as it should be.
async fn ask(address: &str, kind: &Kind, count: usize) -> Result<Latencies> {
    let mut client = Client::connect(address).await?;
    let begun = Instant::now();
    let (mut latencies, mut found) = (Vec::with_capacity(count), 0);
    for request in kind.requests.iter().cycle().take(count) {
        let began = Instant::now();
        let (status, body) = client.send(request).await?;
        latencies.push(began.elapsed());
        ensure!(status == 200, "answered {status}: {:.300}", String::from_utf8_lossy(&body));
        let answer: Value = serde_json::from_slice(&body)?;
        found += answer["consultations"].as_array().map_or(1, Vec::len);
        if begun.elapsed() > AT_MOST && latencies.len() >= LEAST {
            break;
        }
    }
    match kind.finds {
        Finds::Something => ensure!(found > 0, "nothing was found"),
        Finds::Nothing => ensure!(found == 0, "{found} were found that nobody wrote"),
    }
    Ok(Latencies::new(latencies))
}

/// How long each kind takes. What gave no figure is told.
async fn measure(asking: &Asking<'_>, kinds: &[Kind], size: Size, report: &mut Report) -> Result<Vec<String>> {
    let (warm, count) = (size.pick(10, 50), asking.count);
    let one = asking.one()?;
    ask(asking.address, &one, warm).await?;
    let mut failed = Vec::new();
    for kind in kinds {
        let measured = async {
            ask(asking.address, kind, warm).await?;
            // Before and after, since machines drift.
            let before = ask(asking.address, &one, count / 2).await?;
            let latencies = ask(asking.address, kind, count).await?;
            let after = ask(asking.address, &one, count / 2).await?;
            anyhow::Ok((latencies, f64::midpoint(before.ms(0.95), after.ms(0.95))))
        };
        match measured.await {
            Ok((latencies, one)) => report.row(
                &format!("{}, p95", kind.name),
                format!("{:.2} ms (p50 {:.2} ms)", latencies.ms(0.95), latencies.ms(0.5)),
                format!("one by its id, p95 {one:.2} ms"),
                latencies.ms(0.95) / one,
                Target::None,
            ),
            Err(error) => failed.push(format!("{}: {error:#}", kind.name)),
        }
    }
    Ok(failed)
}

/// By which indexes each kind is found, and which it reads all of a table for.
async fn explain(place: &Place, docket: &Path, kinds: &[Kind], size: Size, report: &mut Report) -> Result<()> {
    let plans = Plans::begin(&place.owner).await?;
    let server = place.role(docket, "query-api").await?;
    let consultations = size.pick("20,000", "1,000,000");
    for kind in kinds {
        let mark = plans.mark().await?;
        // Why it is not answered was told where it was measured.
        if ask(&server.address, kind, BEFORE_PLAN).await.is_err() {
            continue;
        }
        let scans = plans.since(&mark, &kind.name).await.with_context(|| format!("the plan of {}", kind.name))?;
        let missed = scans.missed();
        report.row(
            &format!("plan of {}", kind.name),
            scans.line(),
            format!("tables read whole, {consultations} consultations: {missed}"),
            missed as f64,
            Target::AtMost(0.0),
        );
    }
    server.stop().await?;
    println!("the whole plans are in {}", plans::FOLDER);
    Ok(())
}
