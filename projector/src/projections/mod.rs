//! Every projection of this release.
//!
//! Owns the one registry. A new projection is a file here and a line in [`registry`].

mod audit;
mod consultation;
mod consultation_stats;
mod directory;
mod engagement;
mod events;
mod feed;
mod identity;
mod knowledge;
#[cfg(test)]
mod tests;

pub use audit::Audit;
pub use consultation::Consultation;
pub use consultation_stats::ConsultationStats;
pub use directory::Directory;
pub use engagement::Engagement;
pub use events::Events;
pub use feed::Feed;
pub use identity::Identity;
pub use knowledge::Knowledge;

use chrono::{DateTime, Utc};
use docket_events::Recorded;
use uuid::Uuid;

use crate::projection::{AnyProjection, Registry};

static REGISTRY: [&dyn AnyProjection; 9] =
    [&Consultation, &ConsultationStats, &Identity, &Directory, &Audit, &Events, &Knowledge, &Feed, &Engagement];

/// Where a row that its own stream owns stands behind an event.
#[derive(Debug, Clone, Copy)]
struct Stand {
    tenant: Uuid,
    shard: u16,
    version: u64,
    at: DateTime<Utc>,
}

impl Stand {
    fn of(event: &Recorded) -> Self {
        Self { tenant: event.tenant, shard: event.shard, version: event.version, at: event.time }
    }
}

/// One column of an array parameter.
fn column<T, C>(rows: &[T], of: impl FnMut(&T) -> C) -> Vec<C> {
    rows.iter().map(of).collect()
}

/// All projections.
#[must_use]
pub fn registry() -> Registry {
    &REGISTRY
}

/// Every column of the read models that holds personal data, as (table, column).
pub fn personal_columns() -> impl Iterator<Item = (&'static str, &'static str)> {
    registry()
        .iter()
        .flat_map(|projection| projection.info().tables)
        .flat_map(|table| table.personal.iter().map(|column| (table.name, *column)))
}
