//! Whether the projections have come to the end of what is journalled.

use std::time::Duration;

use anyhow::Result;
use docket_events::Category;
use docket_projector::registry;
use docket_tests::eventually_within;
use sqlx::PgPool;

/// How long they may take, whatever was journalled.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// Waits until every projection that reads one of `categories` has applied all of it; looks so often.
pub async fn all(owner: &PgPool, categories: &[Category], every: Duration) -> Result<()> {
    let sources = registry().iter().flat_map(|projection| {
        let read = projection.info().categories.iter().filter(|category| categories.contains(category));
        read.map(|category| (projection.info().name, category.code()))
    });
    let (names, codes): (Vec<&str>, Vec<i16>) = sources.unzip();
    eventually_within(PATIENCE, "all is projected", async || {
        // They work while nobody asks.
        tokio::time::sleep(every).await;
        let lacks: bool = sqlx::query_scalar("select exists (select from read.lacking($1, $2))")
            .bind(&names)
            .bind(&codes)
            .fetch_one(owner)
            .await?;
        Ok((!lacks).then_some(()))
    })
    .await
}
